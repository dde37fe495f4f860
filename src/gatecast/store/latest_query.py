"""The view beside a table of forecasts."""

from collections.abc import Sequence

from sqlglot import exp

from gatecast.store.sql import column, relation, sql


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
