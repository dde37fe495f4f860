"""How far apart the timestamps of each series are, found by the warehouse."""

from sqlglot import exp

from gatecast.data.frequency import DAY, YEAR
from gatecast.data.spacing import LABELS
from gatecast.errors import SHOWN
from gatecast.settings import SourceSettings
from gatecast.store import Kind
from gatecast.store.query import bounds, daily, key_columns, terms
from gatecast.store.sql import SOURCE, sql
from gatecast.store.step_sql import micros, wall

REGULAR_SHARE, MIN_GAPS = 0.9, 5
"""Share of alike gaps, and how many gaps, that make a series one of a frequency of its own."""
MONTH = YEAR / 12

_SECONDS = f"DIV({micros('t')}, 1000000)"
# Weekdays by arithmetic, because dialects number them differently (7000003 keeps MOD's operand positive).
_WEEKDAY = "MOD(UNIX_DATE(DATE(t)) + 7000003, 7)"
_DAY, _LATER = "EXTRACT(DAY FROM t)", "EXTRACT(DAY FROM DATE_ADD(DATE(t), INTERVAL {} DAY))"
_MARKED = f"SELECT {{keys}}t, {_SECONDS} - LAG({_SECONDS}) OVER ({{of}} ORDER BY t) AS gap FROM times"
# Months are alike though their lengths differ, and so is a weekend between business days.
_COUNTED = f"""
SELECT {{keys}}gap, CASE
    WHEN gap = {3 * DAY} AND {_WEEKDAY} = 0 THEN {DAY}
    WHEN gap >= {28 * DAY} AND ABS(gap - ROUND(gap / {MONTH}) * {MONTH}) <= {3 * DAY}
    THEN CAST(ROUND(gap / {MONTH}) * {MONTH} AS INT64)
    ELSE gap END AS alike,
  COUNT(*) AS gaps, MIN({_SECONDS}) - gap AS earliest, MAX({_SECONDS}) AS latest,
  LOGICAL_AND({_WEEKDAY} < 5) AS weekday, LOGICAL_AND({_DAY} = 1) AS first_day,
  LOGICAL_AND({_WEEKDAY} < 5 AND IF({_WEEKDAY} = 0, {_DAY} <= 3, {_DAY} = 1)) AS first_weekday,
  LOGICAL_AND({_LATER.format(1)} = 1) AS last_day,
  LOGICAL_AND({_WEEKDAY} < 5 AND IF({_WEEKDAY} = 4, {_LATER.format(3)} <= 3, {_LATER.format(1)} = 1)) AS last_weekday
FROM marked WHERE gap > 0 GROUP BY {{keys}}gap, alike
"""
_SHARES = """
SELECT *, SUM(gaps) OVER (PARTITION BY {keys}alike) AS these, SUM(gaps) OVER ({of}) AS whole FROM counted
"""
_OWN = f"""
SELECT *, MAX(IF(these >= {REGULAR_SHARE} * whole AND whole >= {MIN_GAPS}, alike, NULL)) OVER ({{of}}) AS usual
FROM shares
"""


def spacing_query(source: SourceSettings, kind: Kind, timezone: str | None) -> exp.Select:
    """How far apart the timestamps of each series are, and what they have in common.

    Columns: `usual` (seconds between almost all timestamps of a series; NULL where there is no such
    gap), `gap` (seconds on the wall clock), `gaps` (how many), `earliest` and `latest` (the ends of
    their times in seconds since 1970), and whether all rows that end such a gap are on a `weekday`,
    or on a `first_day`, `last_day`, `first_weekday` or `last_weekday` of a month.
    """
    flags = (f"LOGICAL_AND({name}) AS {name}" for name in ("weekday", *LABELS))
    ends = ("MIN(earliest) AS earliest", "MAX(latest) AS latest")
    columns = map(sql, ("usual", "gap", "CAST(SUM(gaps) AS INT64) AS gaps", *ends, *flags))
    return _own(source, kind, timezone, exp.select(*columns).from_("own").group_by("usual", "gap"))


def groups_query(source: SourceSettings, kind: Kind, timezone: str | None) -> exp.Select:
    """For each `usual` gap the number of series (`series`) and the keys of the first few."""
    keys = "".join(f"key_{i}, " for i in range(len(source.series)))
    ranked = f"""
        SELECT *, ROW_NUMBER() OVER (PARTITION BY usual ORDER BY {keys}usual) AS rank,
        COUNT(*) OVER (PARTITION BY usual) AS series FROM (SELECT DISTINCT {keys}usual FROM own)"""
    query = exp.select("*").from_("ranked").where(f"rank <= {SHOWN} AND usual IS NOT NULL")
    return _own(source, kind, timezone, query).with_("ranked", as_=sql(ranked))


def _own(source: SourceSettings, kind: Kind, timezone: str | None, query: exp.Select) -> exp.Select:
    """A query over `own`: for each series and gap between its timestamps what is known of it."""
    grid = daily(timezone)
    names = [f"key_{i}" for i in range(len(source.series))]
    times = exp.select(sql(f"{wall(kind)} AS t", **terms(source, kind, grid)), *key_columns(source))
    query = query.with_("times", as_=times.from_(SOURCE).where(*bounds(source, kind, grid)))
    parts = {"keys": "".join(f"{name}, " for name in names), "of": f"PARTITION BY {', '.join(names)}" if names else ""}
    for name, text in {"marked": _MARKED, "counted": _COUNTED, "shares": _SHARES, "own": _OWN}.items():
        query = query.with_(name, as_=sql(text.format(**parts)))
    return query
