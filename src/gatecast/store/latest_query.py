"""The view beside a table of forecasts."""

from collections.abc import Sequence

from sqlglot import exp

from gatecast.errors import StoreError
from gatecast.store.sql import column, relation, sql

RANK = "gatecast_rank"
"""A column within the view of the newest forecasts, which no view has that Gatecast did not make."""


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
    ranked = exp.select("*", exp.alias_(rank, RANK)).from_(relation(table)).subquery("ranked")
    keys, others = ([column(name) for name in part] for part in (series, columns[1:-1]))
    when = exp.alias_(exp.cast(column(time), "TIMESTAMPTZ"), time, quoted=True) if instants else column(time)
    # A forecast that is written has worked: AI.FORECAST says so by an empty text.
    done = exp.alias_(exp.Literal.string(""), status)
    return exp.select(*keys, when, *others, done).from_(ranked).where(f"{RANK} = 1")


def refuse_foreign(view: str, made_by: str) -> None:
    """Refuse to replace a view of the user's own.

    Args:
        made_by: the query of the view there is.

    Raises:
        StoreError: it was not made of `latest_query`.
    """
    if RANK not in made_by:
        raise StoreError(f"a view {view} is there that Gatecast did not make: rename it, or write into another table")
