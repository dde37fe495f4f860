"""The work pushed down into the warehouse: SQL for any dialect, built as a tree and never by pasting text.

Expressions are written once in plain GoogleSQL and translated by sqlglot. Nothing is
ordered: ORDER BY would force a warehouse into a single stream, and the panel sorts.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import numpy as np
import sqlglot
from sqlglot import TokenType, exp

from gatecast.config import Aggregate, SourceSettings
from gatecast.data.dates import Frequency, Grid
from gatecast.store import Kind

Dialect = Literal["duckdb", "bigquery"]
SOURCE = "gatecast_source"
"""The name under which queries here see the user's table or query."""

UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""How many of each unit of time make a second."""

AGGREGATES: dict[Aggregate, str] = {
    "sum": "SUM(y)",
    "mean": "AVG(y)",
    "last": "MAX_BY(y, t)",
    "count": "COUNT(*)",
    "min": "MIN(y)",
    "max": "MAX(y)",
}


def series_query(source: SourceSettings, kind: Kind, grid: Grid, aggregate: Aggregate) -> exp.Select:
    """One row for each series and grid step.

    Columns: `key_0`, `key_1`, ... (the series), `step` (see `steps_are_local`), `value`
    (float64, NULL where every target was), `row_count` (how many rows made it).
    """
    time, target = _time(source, kind), column(source.target) if source.target else exp.null()
    value = _sql(AGGREGATES[aggregate], t=time, y=exp.cast(target, "DOUBLE"))
    keys = [exp.alias_(column(name), f"key_{i}") for i, name in enumerate(source.series)]
    selected = exp.select(*keys, _sql(f"{_step(kind, grid)} AS step", t=time, zone=_zone(grid.timezone)))
    selected = selected.select(
        exp.alias_(exp.cast(value, "DOUBLE"), "value"), exp.alias_(exp.Count(this=exp.Star()), "row_count")
    )
    groups = [exp.Literal.number(i + 1) for i in range(len(keys) + 1)]
    return selected.from_(SOURCE).where(*_bounds(source, kind, grid)).group_by(*groups)


def without_older(
    query: exp.Select, source: SourceSettings, kind: Kind, grid: Grid, since: str, but: Sequence[Sequence[object]]
) -> exp.Select:
    """The query without the rows before a date, but those of some series (their keys)."""
    recent = exp.GTE(this=_raw_time(source, kind), expression=_moment(source, since, kind, grid))
    theirs = [
        exp.and_(
            *(
                exp.NullSafeEQ(this=column(n), expression=exp.convert(part))
                for n, part in zip(source.series, key, strict=True)
            )
        )
        for key in but
    ]
    return query.where(exp.or_(recent, *theirs))


def steps_are_local(kind: Kind, grid: Grid) -> bool:
    """Whether `step` numbers wall-clock steps that still have to be placed in the grid's zone.

    Warehouses disagree about wall-clock times that happen twice, so the rule is applied
    after the query, by `Grid.from_wall`.
    """
    return grid.frequency.elapsed and grid.timezone is not None and kind != "instant"


def spacing_query(source: SourceSettings, kind: Kind, timezone: str | None) -> exp.Select:
    """How far apart the timestamps of each series are, and what they have in common.

    Columns: `gap` (seconds on the wall clock), `gaps` (how many), `earliest` (seconds
    since 1970), and over the rows that end such a gap: `midnight`, `first_day`,
    `last_day`, `weekday` (each true if it holds for all of them).
    """
    wall = _sql(_wall(kind), t=_time(source, kind), zone=_zone(timezone))
    keys: list[exp.Expression] = [column(name) for name in source.series]
    times = exp.select(exp.alias_(wall, "t"), *[exp.alias_(key, f"key_{i}") for i, key in enumerate(keys)])
    times = times.from_(SOURCE).where(*_bounds(source, kind, Grid(Frequency("day", 1), timezone)))
    partition = ", ".join(f"key_{i}" for i in range(len(keys)))
    window = f"OVER ({f'PARTITION BY {partition} ' if keys else ''}ORDER BY t)"
    seconds = "DIV(UNIX_MICROS(TIMESTAMP(t)), 1000000)"
    marked = exp.select("t", _sql(f"{seconds} - LAG({seconds}) {window} AS gap")).from_(times.subquery("times"))
    day = "EXTRACT(DAY FROM {})"
    return (
        exp.select(
            "gap",
            _sql("COUNT(*) AS gaps"),
            _sql(f"MIN({seconds}) - gap AS earliest"),
            _sql(f"LOGICAL_AND(MOD({seconds}, 86400) = 0) AS midnight"),
            _sql(f"LOGICAL_AND({day.format('t')} = 1) AS first_day"),
            _sql(f"LOGICAL_AND({day.format('DATE_ADD(DATE(t), INTERVAL 1 DAY)')} = 1) AS last_day"),
            # By arithmetic, because dialects number weekdays differently (7000003 keeps MOD's operand positive).
            _sql("LOGICAL_AND(MOD(UNIX_DATE(DATE(t)) + 7000003, 7) < 5) AS weekday"),
        )
        .from_(marked.subquery("marked"))
        .where("gap > 0")
        .group_by("gap")
    )


def any_query(source: SourceSettings, kind: Kind, timezone: str | None) -> exp.Select:
    """One row, if there is one."""
    query = exp.select("1").from_(SOURCE).limit(1)
    return query if kind == "text" else query.where(*_bounds(source, kind, Grid(Frequency("day", 1), timezone)))


def size_query(source: SourceSettings) -> exp.Select:
    """The greatest number in the time column, whatever its sign (column `size`)."""
    return exp.select(_sql("MAX(ABS(t)) AS size", t=column(source.time))).from_(SOURCE)


def unreadable_query(source: SourceSettings, count: int) -> exp.Select:
    """Some texts in the time column that are no timestamps (column `found`)."""
    time = column(source.time)
    found = exp.alias_(exp.cast(time, "TEXT"), "found")
    return (
        exp.select(found)
        .from_(SOURCE)
        .where(_sql("t IS NOT NULL AND SAFE_CAST(t AS DATETIME) IS NULL", t=time))
        .limit(count)
    )


def latest_query(table: str, series: Sequence[str], columns: Sequence[str], *, instants: bool = False) -> exp.Select:
    """Of a table of forecasts the newest of each series, timestamp and level, as AI.FORECAST would give it.

    Args:
        table: where the forecasts are.
        series: its series columns.
        columns: the columns of AI.FORECAST after them, first the timestamp, last the status.
        instants: the timestamp is a TIMESTAMP, as AI.FORECAST gives it whatever the source has.
    """
    time, _, level, *_, status = columns
    one = ", ".join(column(name).sql("bigquery") for name in (*series, time, level))
    rank = _sql(f"ROW_NUMBER() OVER (PARTITION BY {one} ORDER BY cutoff DESC, run_id)")
    ranked = exp.select("*", exp.alias_(rank, "gatecast_rank")).from_(relation(table)).subquery("ranked")
    keys, others = ([column(name) for name in part] for part in (series, columns[1:-1]))
    when = exp.alias_(exp.cast(column(time), "TIMESTAMPTZ"), time, quoted=True) if instants else column(time)
    # A forecast that is written has worked: AI.FORECAST says so by an empty text.
    done = exp.alias_(exp.Literal.string(""), status)
    return exp.select(*keys, when, *others, done).from_(ranked).where("gatecast_rank = 1")


def column(name: str) -> exp.Column:
    """A column by name, always quoted."""
    return exp.column(name, quoted=True)


def relation(name: str) -> exp.Table:
    """A table by name, `schema.table` and `database.schema.table` too, each part quoted."""
    *path, table = (exp.to_identifier(part, quoted=True) for part in name.split("."))
    schema, catalog = ([None, None, *path])[:-3:-1]
    return exp.Table(this=table, db=schema, catalog=catalog)


def user_sql(source: SourceSettings, default: exp.Table | None, dialect: Dialect) -> str:
    """The user's query as it is, the only text that is; or all rows of the user's table."""
    if source.sql is not None:
        return _unended(source.sql, dialect)
    table = relation(source.table) if source.table else default
    assert table is not None
    return exp.select("*").from_(table).sql(dialect)


def pinned(table: exp.Table, moment: datetime) -> exp.Table:
    """A table as it was at a moment."""
    instant = exp.cast(exp.Literal.string(moment.isoformat(" ")), "TIMESTAMPTZ")
    return exp.Table(**table.args | {"version": exp.Version(this="TIMESTAMP", kind="AS OF", expression=instant)})


def render(query: exp.Select, rows: str, dialect: Dialect) -> str:
    """The query as SQL, with the user's rows in the place of `SOURCE`."""
    # On lines of their own, so that a closing comment in them ends before our parenthesis.
    return f"WITH {SOURCE} AS (\n{rows}\n)\n{query.sql(dialect, pretty=True)}"


def _unended(sql: str, dialect: Dialect) -> str:
    """A statement without the semicolon that ends it."""
    tokens = sqlglot.tokenize(sql, read=dialect)
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        sql = sql[: tokens.pop().start]
    return sql


def _sql(template: str, **names: exp.Expression) -> exp.Expression:
    """GoogleSQL with the columns named put in."""
    tree = sqlglot.parse_one(template, dialect="bigquery")
    return tree.transform(
        lambda node: names[node.name].copy() if isinstance(node, exp.Column) and node.name in names else node
    )


def _time(source: SourceSettings, kind: Kind) -> exp.Expression:
    """The time column as a timestamp; text that is none becomes NULL."""
    time = column(source.time)
    if source.time_unit:
        factor = UNITS["us"] // UNITS[source.time_unit]
        scaled = f"CAST(t AS INT64) * {factor}" if factor else "DIV(CAST(t AS INT64), 1000)"
        return _sql(f"TIMESTAMP_MICROS({scaled})", t=time)
    return _sql("SAFE_CAST(t AS DATETIME)", t=time) if kind == "text" else time


def _raw_time(source: SourceSettings, kind: Kind) -> exp.Expression:
    """The time column as dates of the user are compared with it: whole numbers as they are."""
    return column(source.time) if source.time_unit else _time(source, kind)


def _wall(kind: Kind) -> str:
    """The wall-clock time of `t` in `zone`, as GoogleSQL."""
    return "DATETIME(t, zone)" if kind == "instant" else "CAST(t AS DATETIME)"


def _zone(timezone: str | None) -> exp.Expression:
    return exp.Literal.string(timezone or "UTC")


def _step(kind: Kind, grid: Grid) -> str:
    """The number of the grid step that `t` falls in, as GoogleSQL over whole numbers."""
    frequency = grid.frequency
    if frequency.elapsed and kind == "instant":
        return _floor(f"UNIX_MICROS(t) + {(grid.lead - frequency.phase) * 1_000_000}", frequency.multiple * 1_000_000)
    wall = _wall(kind)
    if frequency.unit == "second":
        return _floor(f"UNIX_MICROS(TIMESTAMP({wall})) - {frequency.phase * 1_000_000}", frequency.multiple * 1_000_000)
    return _floor(f"{_units(frequency, wall)} - {frequency.phase}", frequency.multiple)


def _units(frequency: Frequency, wall: str) -> str:
    if frequency.unit == "month":
        return f"(EXTRACT(YEAR FROM {wall}) - 1970) * 12 + EXTRACT(MONTH FROM {wall}) - 1"
    days = f"UNIX_DATE(DATE({wall}))"
    if frequency.unit == "day":
        return days
    return f"({_floor(f'{days} + 3', 7)}) * 5 + LEAST({days} + 3 - 7 * ({_floor(f'{days} + 3', 7)}), 4)"


def _floor(number: str, divisor: int) -> str:
    """Whole quotient, rounded down (DIV and integer casts round towards zero)."""
    return f"CAST(FLOOR(({number}) / {divisor}) AS INT64)"


def _bounds(source: SourceSettings, kind: Kind, grid: Grid) -> list[exp.Expression]:
    """`since` and `until` as filters on the time column itself, so that partitions are pruned."""
    time = _raw_time(source, kind)
    ends: list[tuple[type[exp.Expression], str | None]] = [(exp.GTE, source.since), (exp.LT, source.until)]
    return [compare(this=time.copy(), expression=_moment(source, text, kind, grid)) for compare, text in ends if text]


def _moment(source: SourceSettings, text: str, kind: Kind, grid: Grid) -> exp.Expression:
    """A date of the user as a literal of the time column's own type."""
    when = grid.moment(text, instant=kind == "instant")
    if source.time_unit:  # the first number not before it
        number = -(-int(when.astype(np.int64)) * UNITS[source.time_unit] // UNITS["us"])
        return exp.Literal.number(number)
    if kind == "date":  # the first day not before it
        day = when.astype("datetime64[D]")
        return exp.cast(exp.Literal.string(str(day + int(day < when))), "DATE")
    moment = str(when).replace("T", " ")
    if kind == "instant":
        return exp.cast(exp.Literal.string(f"{moment}+00:00"), "TIMESTAMPTZ")
    return exp.cast(exp.Literal.string(moment), "TIMESTAMP")
