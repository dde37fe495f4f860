"""What is asked of a source before its rows are read: whether there are any, which years, what a column holds."""

from collections.abc import Sequence

from sqlglot import exp

from gatecast.settings import SourceSettings
from gatecast.store import Kind
from gatecast.store.query import bounds, daily, terms
from gatecast.store.sql import SOURCE, column, sql
from gatecast.store.step_sql import wall

_DAY = "[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}"
_TIME = "[ T]+[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}([.][0-9]+)?)?"


def years_query(source: SourceSettings, kind: Kind, timezone: str | None) -> exp.Select:
    """The first and last year of the rows, as columns `first` and `last`."""
    grid = daily(timezone)
    ends = (sql(f"{each}(EXTRACT(YEAR FROM {wall(kind)}))", **terms(source, kind, grid)) for each in ("MIN", "MAX"))
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
    """The first text of a column in the alphabet, of those that are no numbers if some are not (column `found`).

    Those with digits come before others, such as n/a. Beside it: how many are `numbers`.
    """
    digits = "IF(REGEXP_CONTAINS(c, '[0-9]'), 0, 1)"
    odd, text = sql(f"IF(SAFE_CAST(c AS FLOAT64) IS NULL, {digits}, 2)", c=column(name)), column(name)
    count = sql("COUNT(SAFE_CAST(c AS FLOAT64)) OVER ()", c=text)
    found = (
        exp.select(exp.alias_(text, "found"), exp.alias_(count, "numbers"))
        .from_(SOURCE)
        .where(sql("c IS NOT NULL", c=text))
    )
    return found.order_by(odd, text.copy()).limit(1)


def size_query(source: SourceSettings) -> exp.Select:
    """The greatest number in the time column, whatever its sign (column `size`)."""
    return exp.select(sql("MAX(ABS(t)) AS size", t=column(source.time))).from_(SOURCE)


def types_query(names: Sequence[str]) -> exp.Select:
    """Some columns, and no rows of them."""
    return exp.select(*map(column, names)).from_(SOURCE).limit(0)


def unreadable_query(source: SourceSettings, count: int, timezone: str | None = None) -> exp.Select:
    """Some texts in the time column that are no timestamps (column `found`).

    DuckDB takes what follows a time, as PM or +02:00, for a zone and leaves it out. Only the Z of UTC may be, in UTC.
    """
    time, zone = column(source.time), "Z?" if timezone in (None, "UTC") else ""
    text, plain = exp.cast(time, "TEXT"), exp.Literal.string(f"^ *{_DAY}({_TIME}{zone})? *$")
    odd = "t IS NOT NULL AND (SAFE_CAST(t AS DATETIME) IS NULL OR NOT REGEXP_CONTAINS(text, plain))"
    return (
        exp.select(exp.alias_(text, "found"))
        .distinct()
        .from_(SOURCE)
        .where(sql(odd, t=time, text=text, plain=plain))
        .limit(count)
    )
