"""What is wrong with the rows, found by the warehouse: one query, of which only the findings come back."""

from collections.abc import Sequence

from sqlglot import exp

from gatecast.data.dates import Grid
from gatecast.data.frequency import DAY
from gatecast.data.zones import clock_of
from gatecast.errors import SHOWN
from gatecast.settings import LARGEST, Aggregate, SourceSettings
from gatecast.store import Kind
from gatecast.store.faults import FAULTS
from gatecast.store.query import AGGREGATES, steps_query, terms
from gatecast.store.sql import column, sql
from gatecast.store.step_sql import Years, floor, micros, wall

SHIFT = 8
"""Times a usual change that make a level shift."""

# Each step with its neighbours that have a value, the usual change in its series (zeros in a row are none), the last
# step with a value, and its rows if it is neither the first nor the last of them, which may be cut short.
_MARKS = """
SELECT *, AVG(IF(value = 0 AND low = 0, NULL, ABS(value - low))) OVER ({of}) AS usual,
  MAX(IF(value IS NULL, NULL, step)) OVER ({of}) AS last,
  IF(low IS NULL OR next IS NULL, NULL, row_count) AS inner_rows
FROM (
  SELECT *, LAG(step) OVER line AS before, LAG(value) OVER line AS low, LEAD(value) OVER line AS next
  FROM (SELECT * EXCEPT (value), IF(step IS NULL OR IS_NAN(value) OR IS_INF(value), NULL, value) AS value FROM steps)
  WINDOW line AS (PARTITION BY {keys}value IS NULL ORDER BY step)
)
"""
# After the last step with a value, a step is due behind each; the first that is not there, or whose future covariates
# are not, is unknown.
_SERIES = """
SELECT *, MAX(last) OVER () AS newest
FROM (
  SELECT {keys}SUM(row_count) AS row_count, COUNT(value) AS observed, MIN(value) AS least, MAX(value) AS most,
    SUM(IF(value = 0, 1, 0)) AS zeros, MIN(IF(value IS NULL, NULL, step)) AS first,
    MAX(last) AS last,
    SUM(IF(value IS NOT NULL AND step - before > 1, step - before - 1, 0)) AS absent,
    SUM(IF(value != low, 1, 0)) AS changes, MAX(IF(value != low, step, NULL)) AS changed,
    COUNT(DISTINCT early) AS clocks, MIN(early) AS early, MAX(late) AS late, SUM(IF(early != late, 1, 0)) AS apart,
    COALESCE(MIN(CASE WHEN step > due THEN due WHEN step > last AND known = 0 THEN step END), MAX(step) + 1) AS unknown,
    MIN(inner_rows) AS fewest, AVG(inner_rows) AS common, STDDEV_POP(inner_rows) AS spread,
    MAX(IF(value IS NOT NULL AND next IS NULL, row_count, NULL)) AS newest_rows
  FROM (SELECT *, GREATEST(COALESCE(before, last), last) + 1 AS due FROM marks) {group}
)
"""
# Means of whole seasons; where they move far and stay, the level has shifted.
_BLOCKS = """
SELECT *, LAG(shifted) OVER ({of} ORDER BY block) AS was_shifted
FROM (
  SELECT *, LEAST(ABS(after - before), ABS(later - earlier)) > {shift} * AVG(ABS(mean - before)) OVER ({of}) AS shifted
  FROM (
    SELECT *, LAG(mean) OVER line AS before, LEAD(mean) OVER line AS after, LAG(mean, 2) OVER line AS earlier,
      LEAD(mean, 2) OVER line AS later, LEAD(jump) OVER line AS next_jump, LEAD(place) OVER line AS next_place
    FROM (
      SELECT {keys}CAST(FLOOR(step / {block}) AS INT64) AS block, AVG(value) AS mean, MAX(ABS(value - low)) AS jump,
        MAX_BY(step, ABS(value - low)) AS place
      FROM marks WHERE value IS NOT NULL GROUP BY {keys}block
    )
    WINDOW line AS ({of} ORDER BY block)
  )
)
"""
_TOTALS = """
SELECT SUM(row_count) AS row_count, COUNT(last) AS series, SUM(last - first + 1) AS steps, MIN(first) AS first,
  MAX(last) AS last, MIN(last - first + 1) AS shortest, MAX(last - first + 1) AS longest
FROM series
"""
_PLACES = """
SELECT *, ROW_NUMBER() OVER (PARTITION BY finding ORDER BY {keys}step) AS rank,
  ROW_NUMBER() OVER (PARTITION BY finding ORDER BY size DESC, {keys}step) AS size_rank,
  COUNT(*) OVER (PARTITION BY finding) AS places, SUM(size) OVER (PARTITION BY finding) AS total
FROM found
"""


def row_steps(source: SourceSettings, kind: Kind, grid: Grid, aggregate: Aggregate, years: Years | None) -> exp.Select:
    """Grid steps with what only the rows themselves tell: values that are no numbers, times that clocks skip."""
    named = terms(source, kind, grid)
    plain = exp.cast(column(source.target), "DOUBLE") if source.target else exp.null()
    columns = {"value": exp.cast(sql(AGGREGATES[aggregate], **named), "DOUBLE"), "row_count": sql("COUNT(*)")}
    for name, joint, test, read in (
        ("bare", " OR ", "IS NULL", (*source.past, *source.future)),
        ("known", " AND ", "IS NOT NULL", source.future),
    ):
        beside = {f"c{i}": column(part) for i, part in enumerate(read)}
        tests = joint.join(f"{name} {test}" for name in beside)
        columns[name] = sql(f"COUNTIF({tests or 'FALSE'})", **beside)
    beyond = f"ABS(y) > {LARGEST} AND NOT IS_NAN(y)"
    for name, test in (("nans", "IS_NAN(y)"), ("infinite", beyond)):
        columns[name] = sql(f"COUNTIF({test})", y=plain) if source.target else sql("0")
    spans: dict[str, Sequence[tuple[int, int]]] = {"skipped": (), "twice": ()}
    if grid.timezone and years and kind in ("local", "text"):
        clock = clock_of(grid.timezone, years[0] - 1, years[1] + 2)
        spans = {"skipped": clock.skipped, "twice": clock.twice}
    number = micros(wall(kind))
    for name, stretches in spans.items():
        within = [f"{number} >= {first * 1_000_000} AND {number} < {end * 1_000_000}" for first, end in stretches]
        columns[name] = sql(f"COUNTIF({' OR '.join(within)})" if within else "0", **named)
    unplaced = kind == "instant" and not grid.timezone and not grid.frequency.timed  # days, of nobody knows where
    hour = f"{number} - {DAY * 1_000_000} * {floor(number, DAY * 1_000_000)}" if unplaced else "0"
    columns |= {"early": sql(f"MIN({hour})", **named), "late": sql(f"MAX({hour})", **named)}
    return steps_query(source, kind, grid, years, columns)


def ahead_query(steps: exp.Select, source: SourceSettings, horizon: int, *, common: bool) -> exp.Select:
    """Of each series the `last` step before its horizon: beside each `step` of that with known covariates, and another.

    Args:
        steps: what `series_query` gives.
        common: all series end at the newest step with a value of any.
    """
    names = [f"key_{i}" for i in range(len(source.series))]
    of = f"PARTITION BY {', '.join(names)}" if names else ""
    newest = "MAX(IF(value IS NOT NULL, step, NULL)) OVER ({})"
    own, last = sql(f"{newest.format(of)} AS own"), sql(f"{newest.format('' if common else of)} AS last")
    future = [f"covariate_{i} IS NOT NULL" for i in range(len(source.past), len(source.varying))]
    within = f"step = own OR own IS NOT NULL AND step BETWEEN last AND last + {horizon} AND {' AND '.join(future)}"
    ends = exp.select("*", own, last).from_("steps")
    query = exp.select(*names, "step", "last").from_("ends").where(sql(within))
    return query.with_("steps", as_=steps).with_("ends", as_=ends)


def audit_query(
    steps: exp.Select, keys: int, block: int, century: int, horizon: int, zero: bool, planned: bool = False
) -> exp.Select:
    """The findings, the first places of each and the one of the greatest size, beside what holds for all rows.

    Columns: `finding` (a key of `FAULTS`, or '' once), `key_0`, ..., `step`, `size`, `usual`,
    `rank`, `size_rank`, `places` (how many), `total` (of their sizes), and of all rows `row_count`,
    `series`, `steps`, `first`, `last`, `shortest`, `longest`.

    Args:
        steps: what `row_steps` gives.
        keys: how many series columns there are.
        block: steps of a season, between whose means level shifts are looked for.
        century: steps of a century.
        horizon: if known, series too short to be trained, validated and tested at it are found too.
        zero: steps without rows are taken as 0.
        planned: values of the horizon have to be known beforehand.
    """
    names = [f"key_{i}" for i in range(keys)]
    listed = "".join(f"{name}, " for name in names)
    of = f"PARTITION BY {', '.join(names)}" if names else ""
    group = f"GROUP BY {', '.join(names)}" if names else ""
    limits = {"absent": "absent" if zero else "0", "ahead": horizon if planned else 0}
    limits |= {"century": century, "short": 3 * horizon, "stale": max(horizon, 1)}
    relations = {
        "marks": _MARKS.format(keys=listed, of=of),
        "series": _SERIES.format(keys=listed, group=group),
        "blocks": _BLOCKS.format(keys=listed, of=of, block=block, shift=SHIFT),
        "totals": _TOTALS,
        "found": " UNION ALL ".join(
            f"SELECT '{name}' AS finding, {listed}CAST({fault.step} AS INT64) AS step, "
            f"CAST({fault.size} AS INT64) AS size, CAST({fault.usual} AS INT64) AS usual "
            f"FROM {fault.relation} WHERE {fault.condition}".format(**limits)
            for name, fault in FAULTS.items()
        )
        # One row at least, so that there always is one to give the totals beside.
        + f" UNION ALL SELECT '', {'NULL, ' * keys}NULL, 0, NULL",
        "placed": _PLACES.format(keys=listed),
    }
    query = exp.select("placed.*", "totals.*").from_("totals").join("placed", join_type="cross")
    query = query.where(f"rank <= {SHOWN} OR size_rank = 1").with_("steps", as_=steps)
    for name, text in relations.items():
        query = query.with_(name, as_=sql(text), copy=False)
    return query
