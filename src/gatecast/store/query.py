"""The work pushed down into the warehouse: SQL for any dialect, built as a tree and never by pasting text.

Expressions are written once in plain GoogleSQL and translated by sqlglot. Nothing is
ordered: ORDER BY would force a warehouse into a single stream, and the panel sorts.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from types import MappingProxyType

import numpy as np
import sqlglot
from sqlglot import TokenType, exp
from sqlglot.errors import TokenError

from gatecast.config import Aggregate, SourceSettings
from gatecast.data.dates import Grid
from gatecast.errors import UsageError
from gatecast.store import Dialect, Kind
from gatecast.store.step_sql import Years, step_of

SOURCE = "gatecast_source"
"""The name under which queries here see the user's table or query."""

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
    keys = [exp.alias_(column(name), f"key_{i}") for i, name in enumerate(source.series)]
    counts = {f"distinct_{i}": sql("COUNT(DISTINCT c)", c=column(name)) for i, name in enumerate(names)}
    columns = _covariates(names, "static", "MAX(c)", kinds) | counts
    selected = exp.select(*keys, *(exp.alias_(value, name) for name, value in columns.items())).from_(SOURCE)
    return selected.where(*bounds(source, kind, grid)).group_by(*[exp.Literal.number(i + 1) for i in range(len(keys))])


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
    keys = [exp.alias_(column(name), f"key_{i}") for i, name in enumerate(source.series)]
    selected = exp.select(*keys, sql(f"{step_of(kind, grid, years)} AS step", **terms(source, kind, grid)))
    selected = selected.select(*(exp.alias_(value, name) for name, value in columns.items()))
    groups = [exp.Literal.number(i + 1) for i in range(len(keys) + 1)]
    return selected.from_(SOURCE).where(*bounds(source, kind, grid)).group_by(*groups)


def terms(source: SourceSettings, kind: Kind, grid: Grid) -> dict[str, exp.Expression]:
    """What `t`, `y` and `zone` stand for in templates: the time, the target as a number or NULL, the zone."""
    target = exp.cast(column(source.target), "DOUBLE") if source.target else exp.null()
    found = sql("IF(IS_NAN(y), NULL, y)", y=target) if source.target else target
    return {"t": _time(source, kind), "y": found, "zone": exp.Literal.string(grid.timezone or "UTC")}


def latest_query(table: str, series: Sequence[str], columns: Sequence[str], *, instants: bool = False) -> exp.Select:
    """Of a table of forecasts the newest of each series, timestamp and level, as AI.FORECAST would give it.

    Newest is the latest cutoff, and of runs that forecast from the same cutoff the latest run.

    Args:
        table: where the forecasts are.
        series: its series columns.
        columns: the columns of AI.FORECAST after them, first the timestamp, last the status.
        instants: the timestamp is a TIMESTAMP, as AI.FORECAST gives it whatever the source has.
    """
    time, _, level, *_, status = columns
    one = {f"part_{i}": column(name) for i, name in enumerate((*series, time, level))}
    # Of one cutoff are the two hours of a clock that shows them twice.
    rank = sql(f"RANK() OVER (PARTITION BY {', '.join(one)} ORDER BY cutoff DESC, run_id DESC)", **one)
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


def dotted(table: exp.Table) -> str:
    """The name that `relation` makes a table of."""
    return ".".join(part.name for part in table.parts)


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


def no_select(statements: int, text: str) -> UsageError:
    """What is wrong with a query that is anything but one SELECT."""
    got = "another statement" if statements == 1 else f"{statements} statements"
    return UsageError(f"the query must be one SELECT, got {got}: {text!r}")


def render(query: exp.Select, rows: str, dialect: Dialect) -> str:
    """The query as SQL, with the user's rows in the place of `SOURCE`."""
    text = translated(query, dialect, pretty=True)
    own = text.removeprefix("WITH ")
    # On lines of their own, so that a closing comment in them ends before our parenthesis.
    return f"WITH {SOURCE} AS (\n{rows}\n){'' if own == text else ','}\n{own}"


def translated(query: exp.Select, dialect: Dialect, *, pretty: bool = False) -> str:
    """A query in a dialect."""
    return (query.transform(_unstructured) if dialect == "bigquery" else query).sql(dialect, pretty=pretty)


def _unstructured(node: exp.Expression) -> exp.Expression:
    """The value at the greatest structure, where none are compared: the first of all in their order."""
    if not (isinstance(node, exp.ArgMax) and isinstance(node.expression, exp.Struct)):
        return node
    time, value = (part.expression for part in node.expression.expressions)
    # Without the limit a group is an array of all its rows, which BigQuery refuses from a hundred megabytes on.
    return sql("ARRAY_AGG(y ORDER BY y IS NULL, t DESC, y DESC LIMIT 1)[SAFE_OFFSET(0)]", t=time, y=value)


def _unended(sql: str, dialect: Dialect) -> str:
    """A statement without the semicolon that ends it; what cannot be taken apart is the store's to refuse."""
    try:
        tokens = sqlglot.tokenize(sql, read=dialect)
    except TokenError:
        return sql
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        sql = sql[: tokens.pop().start]
    return sql


def sql(template: str, **names: exp.Expression) -> exp.Expression:
    """GoogleSQL with the columns named put in."""
    return _parsed(template).transform(
        lambda node: names[node.name].copy() if isinstance(node, exp.Column) and node.name in names else node
    )


@cache
def _parsed(template: str) -> exp.Expr:
    return sqlglot.parse_one(template, dialect="bigquery")


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
