"""What is asked of a source before its rows are read: whether there are any, which years, what a column holds."""

from collections.abc import Sequence

from sqlglot import exp

from gatecast.config import SourceSettings
from gatecast.store import Dialect, Kind
from gatecast.store.query import bounds, daily, terms
from gatecast.store.sql import SOURCE, column, sql
from gatecast.store.step_sql import wall


def years_query(source: SourceSettings, kind: Kind, timezone: str | None) -> exp.Select:
    """The first and last year of the rows, as columns `first` and `last`."""
    grid = daily(timezone)
    ends = (sql(f"EXTRACT(YEAR FROM {each}({wall(kind)}))", **terms(source, kind, grid)) for each in ("MIN", "MAX"))
    selected = exp.select(*(exp.alias_(end, name) for end, name in zip(ends, ("first", "last"), strict=True)))
    return selected.from_(SOURCE).where(*bounds(source, kind, grid))


def days_query(source: SourceSettings, kind: Kind, timezone: str | None) -> exp.Select:
    """The days that have rows, counted from 1970 (column `day`)."""
    grid = daily(timezone)
    day = exp.alias_(sql(f"UNIX_DATE(DATE({wall(kind)}))", **terms(source, kind, grid)), "day")
    return exp.select(day).distinct().from_(SOURCE).where(*bounds(source, kind, grid))


def any_query(source: SourceSettings, kind: Kind, timezone: str | None) -> exp.Select:
    """One row, if there is one."""
    query = exp.select("1").from_(SOURCE).limit(1)
    return query if kind == "text" else query.where(*bounds(source, kind, daily(timezone)))


def value_query(name: str) -> exp.Select:
    """One row, if there is one with a value in a column."""
    return exp.select("1").from_(SOURCE).where(sql("c IS NOT NULL", c=column(name))).limit(1)


def worst_query(name: str) -> exp.Select:
    """The first text of a column in the alphabet, of those that are no numbers if some are not (column `found`)."""
    odd, text = sql("IF(SAFE_CAST(c AS FLOAT64) IS NULL, 0, 1)", c=column(name)), column(name)
    found = exp.select(exp.alias_(text, "found")).from_(SOURCE).where(sql("c IS NOT NULL", c=text))
    return found.order_by(odd, text.copy()).limit(1)


def number_sql(name: str, dialect: Dialect) -> str:
    """How a query says that a column of texts is one of numbers."""
    number = sql("SAFE_CAST(c AS FLOAT64)", c=exp.column(name))
    return f"SELECT * REPLACE ({exp.alias_(number, name).sql(dialect)}) FROM ..."


def size_query(source: SourceSettings) -> exp.Select:
    """The greatest number in the time column, whatever its sign (column `size`)."""
    return exp.select(sql("MAX(ABS(t)) AS size", t=column(source.time))).from_(SOURCE)


def types_query(names: Sequence[str]) -> exp.Select:
    """Some columns, and no rows of them."""
    return exp.select(*map(column, names)).from_(SOURCE).limit(0)


def unreadable_query(source: SourceSettings, count: int) -> exp.Select:
    """Some texts in the time column that are no timestamps (column `found`)."""
    time = column(source.time)
    found = exp.alias_(exp.cast(time, "TEXT"), "found")
    return (
        exp.select(found)
        .from_(SOURCE)
        .where(sql("t IS NOT NULL AND SAFE_CAST(t AS DATETIME) IS NULL", t=time))
        .limit(count)
    )
