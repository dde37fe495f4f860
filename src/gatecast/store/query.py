"""The work pushed down into the warehouse: rows filtered, and aggregated to one for each series and grid step.

Nothing is ordered: ORDER BY would force a warehouse into a single stream, and the panel sorts.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from sqlglot import exp

from gatecast.data.dates import Grid
from gatecast.data.frequency import Frequency
from gatecast.settings import Aggregate, SourceSettings
from gatecast.store import Kind
from gatecast.store.sql import SOURCE, column, sql
from gatecast.store.step_sql import Years, step_of

UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""How many of each unit of time make a second."""

AGGREGATES: dict[Aggregate, str] = {
    "sum": "SUM(y)",
    "mean": "AVG(y)",
    "last": "MAX_BY(y, STRUCT(t AS newest, y AS greatest))",  # of several at one time the order of rows has no say
    "count": "COUNT(*)",
    "min": "MIN(y)",
    "max": "MAX(y)",
}


def series_query(
    source: SourceSettings,
    kind: Kind,
    grid: Grid,
    aggregate: Aggregate,
    years: Years | None = None,
    kinds: Mapping[str, Kind] = MappingProxyType({}),
) -> exp.Select:
    """One row for each series and grid step.

    Columns: `key_0`, `key_1`, ... (the series), `step`, `value` (float64, NULL where every
    target was NULL or NaN), `row_count` (how many rows made it), and `covariate_0`, ... (the
    past, then the future columns: the mean of numbers, the last text in the alphabet). Where
    future columns are read, rows from `until` on are too, but without target and past columns.

    Args:
        years: of the rows, where `needs_years` says so.
        kinds: what the covariates hold.
    """
    value = exp.cast(sql(AGGREGATES[aggregate], **terms(source, kind, grid)), "DOUBLE")
    covariates = _covariates([*source.past, *source.future], "covariate", "AVG(c)", kinds)
    columns = {"value": value, "row_count": sql("COUNT(*)")} | covariates
    if not (source.until and source.future):
        return steps_query(source, kind, grid, years, columns)
    *_, before = bounds(source, kind, grid)
    hidden = {source.target, *source.past}
    if aggregate == "count":  # which names no column to hide
        columns["value"] = exp.cast(sql("NULLIF(COUNTIF(before), 0)", before=before), "DOUBLE")
    query = steps_query(source.model_copy(update={"until": None}), kind, grid, years, columns)
    for node in [node for node in query.find_all(exp.Column) if node.name in hidden]:
        node.replace(exp.If(this=before.copy(), true=node.copy(), false=exp.null()))
    return query


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


def static_query(
    source: SourceSettings, kind: Kind, grid: Grid, names: Sequence[str], kinds: Mapping[str, Kind]
) -> exp.Select:
    """One row for each series that has rows between `since` and `until`.

    Columns: `key_0`, ..., the static columns as `static_0`, ..., and how many values each has: `distinct_0`, ...
    """
    keys = key_columns(source)
    counts = {f"distinct_{i}": sql("COUNT(DISTINCT c)", c=column(name)) for i, name in enumerate(names)}
    columns = _covariates(names, "static", "MAX(c)", kinds) | counts
    selected = exp.select(*keys, *(exp.alias_(value, name) for name, value in columns.items())).from_(SOURCE)
    return selected.where(*bounds(source, kind, grid)).group_by(*map(str, range(1, len(keys) + 1)))


def _covariates(
    names: Sequence[str], prefix: str, numbers: str, kinds: Mapping[str, Kind]
) -> dict[str, exp.Expression]:
    """One value of each column, under numbered names."""
    found = {}
    for i, name in enumerate(names):
        text = kinds[name] == "text"
        found[f"{prefix}_{i}"] = sql(
            "MAX(c)" if text else numbers, c=exp.cast(column(name), "TEXT" if text else "DOUBLE")
        )
    return found


def steps_query(
    source: SourceSettings, kind: Kind, grid: Grid, years: Years | None, columns: Mapping[str, exp.Expression]
) -> exp.Select:
    """Some aggregates, by name, of the rows of each series and grid step."""
    keys = key_columns(source)
    selected = exp.select(*keys, sql(f"{step_of(kind, grid, years)} AS step", **terms(source, kind, grid)))
    selected = selected.select(*(exp.alias_(value, name) for name, value in columns.items()))
    return selected.from_(SOURCE).where(*bounds(source, kind, grid)).group_by(*map(str, range(1, len(keys) + 2)))


def key_columns(source: SourceSettings) -> list[exp.Expr]:
    """The series columns, as `key_0`, `key_1`, ..."""
    return [exp.alias_(column(name), f"key_{i}") for i, name in enumerate(source.series)]


def terms(source: SourceSettings, kind: Kind, grid: Grid) -> dict[str, exp.Expression]:
    """What `t`, `y` and `zone` stand for in templates: the time, the target as a number or NULL, the zone."""
    target = exp.cast(column(source.target), "DOUBLE") if source.target else exp.null()
    found = sql("IF(IS_NAN(y), NULL, y)", y=target) if source.target else target
    return {"t": _time(source, kind), "y": found, "zone": exp.Literal.string(grid.timezone or "UTC")}


def _time(source: SourceSettings, kind: Kind) -> exp.Expression:
    """The time column as a timestamp; text that is none becomes NULL."""
    time = column(source.time)
    if source.time_unit:
        factor = UNITS["us"] // UNITS[source.time_unit]
        scaled = f"CAST(t AS INT64) * {factor}" if factor else "DIV(CAST(t AS INT64), 1000)"
        return sql(f"TIMESTAMP_MICROS({scaled})", t=time)
    return sql("SAFE_CAST(t AS DATETIME)", t=time) if kind == "text" else time


def _raw_time(source: SourceSettings, kind: Kind) -> exp.Expression:
    """The time column as dates of the user are compared with it: whole numbers as they are."""
    return column(source.time) if source.time_unit else _time(source, kind)


def daily(timezone: str | None) -> Grid:
    """A grid that dates of the user are read on before the frequency is known; which one it is plays no part."""
    return Grid(Frequency("day", 1), timezone)


def bounds(source: SourceSettings, kind: Kind, grid: Grid) -> list[exp.Expression]:
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
