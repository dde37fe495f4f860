"""The SQL that is sent: golden texts, nothing ordered, everything quoted, nothing injected."""

import itertools

import pytest
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from gatecast.data.dates import Frequency, Grid
from gatecast.data.table import AI_FORECAST
from gatecast.errors import UsageError
from gatecast.settings import SourceSettings
from gatecast.store.audit_query import audit_query, row_steps
from gatecast.store.latest_query import latest_query
from gatecast.store.opening_query import days_query, types_query, unreadable_query, years_query
from gatecast.store.query import AGGREGATES, series_query, without_older
from gatecast.store.spacing_query import groups_query, spacing_query
from gatecast.store.sql import SOURCE, column, relation, render, translated, unended
from gatecast.store.step_sql import needs_years

NEW_YORK = "America/New_York"
DIALECTS = ["duckdb", "bigquery"]
PLAIN = SourceSettings(table="sales", time="at", target="y")
SHOPS = SourceSettings(
    table="shop.sales", time="at", target="y", series=("shop",), since="2024-01-02", until="2024-02-01 12:00"
)
KINDS = ["instant", "local", "date", "text"]
FREQS = ["30min", "h", "4h", "D", "B", "W-MON", "MS", "QE"]


def grid(freq, timezone=None, holidays=None):
    return Grid(Frequency.parse(freq), timezone, holidays)


SERIES = {
    ("30 minutes of instants", "duckdb"): """
        SELECT "shop" AS key_0,
        CAST(FLOOR((EPOCH_US("at") + -18000000000) / 1800000000) AS BIGINT) AS step,
        CAST(AVG(CASE WHEN ISNAN(CAST("y" AS DOUBLE)) THEN NULL ELSE CAST("y" AS DOUBLE) END) AS DOUBLE)
        AS value, COUNT(*) AS row_count
        FROM gatecast_source
        WHERE "at" >= CAST('2024-01-02 05:00:00.000000+00:00' AS TIMESTAMPTZ)
        AND "at" < CAST('2024-02-01 17:00:00.000000+00:00' AS TIMESTAMPTZ) GROUP BY 1, 2""",
    ("30 minutes of instants", "bigquery"): """
        SELECT `shop` AS key_0,
        CAST(FLOOR((UNIX_MICROS(`at`) + -18000000000) / 1800000000) AS INT64) AS step,
        CAST(AVG(IF(IS_NAN(CAST(`y` AS FLOAT64)), NULL, CAST(`y` AS FLOAT64))) AS FLOAT64) AS value,
        COUNT(*) AS row_count FROM gatecast_source
        WHERE `at` >= CAST('2024-01-02 05:00:00.000000+00:00' AS TIMESTAMP)
        AND `at` < CAST('2024-02-01 17:00:00.000000+00:00' AS TIMESTAMP) GROUP BY 1, 2""",
    ("days in a zone", "duckdb"): """
        SELECT CAST(FLOOR((DATE_DIFF('DAY', CAST('1970-01-01' AS DATE), CAST(CAST("at" AS TIMESTAMP) AS DATE)) - 0)
        / 1) AS BIGINT) AS step, CAST(ARG_MAX(CASE WHEN ISNAN(CAST("y" AS DOUBLE))
        THEN NULL ELSE CAST("y" AS DOUBLE) END, {'newest': "at", 'greatest': CASE WHEN ISNAN(CAST("y" AS DOUBLE))
        THEN NULL ELSE CAST("y" AS DOUBLE) END}) AS DOUBLE) AS value, COUNT(*) AS row_count
        FROM gatecast_source GROUP BY 1""",
    ("days in a zone", "bigquery"): """
        SELECT CAST(FLOOR((UNIX_DATE(DATE(CAST(`at` AS DATETIME))) - 0) / 1) AS INT64) AS step,
        CAST(ARRAY_AGG(IF(IS_NAN(CAST(`y` AS FLOAT64)), NULL, CAST(`y` AS FLOAT64))
        ORDER BY IF(IS_NAN(CAST(`y` AS FLOAT64)), NULL, CAST(`y` AS FLOAT64)) IS NULL, `at` DESC,
        IF(IS_NAN(CAST(`y` AS FLOAT64)), NULL, CAST(`y` AS FLOAT64)) DESC LIMIT 1)[SAFE_OFFSET(0)] AS FLOAT64) AS value,
        COUNT(*) AS row_count FROM gatecast_source GROUP BY 1""",
    ("months of days", "duckdb"): """
        SELECT CAST(FLOOR(((EXTRACT(YEAR FROM CAST("at" AS TIMESTAMP)) - 1970) * 12
        + EXTRACT(MONTH FROM CAST("at" AS TIMESTAMP)) - 1 - 0) / 1) AS BIGINT) AS step,
        CAST(SUM(CASE WHEN ISNAN(CAST("y" AS DOUBLE)) THEN NULL
        ELSE CAST("y" AS DOUBLE) END) AS DOUBLE) AS value, COUNT(*) AS row_count FROM gatecast_source GROUP BY 1""",
    ("months of days", "bigquery"): """
        SELECT CAST(FLOOR(((EXTRACT(YEAR FROM CAST(`at` AS DATETIME)) - 1970) * 12
        + EXTRACT(MONTH FROM CAST(`at` AS DATETIME)) - 1 - 0) / 1) AS INT64) AS step,
        CAST(SUM(IF(IS_NAN(CAST(`y` AS FLOAT64)), NULL,
        CAST(`y` AS FLOAT64))) AS FLOAT64) AS value, COUNT(*) AS row_count FROM gatecast_source GROUP BY 1""",
    ("business days", "bigquery"): """
        SELECT CAST(FLOOR((((CAST(FLOOR((UNIX_DATE(DATE(CAST(`at` AS DATETIME))) + 3) / 7) AS INT64)) * 5
        + LEAST(UNIX_DATE(DATE(CAST(`at` AS DATETIME))) + 3
        - 7 * (CAST(FLOOR((UNIX_DATE(DATE(CAST(`at` AS DATETIME))) + 3) / 7) AS INT64)), 4)) - 0) / 1)
        AS INT64) AS step,
        CAST(COUNT(*) AS FLOAT64) AS value, COUNT(*) AS row_count FROM gatecast_source GROUP BY 1""",
}
QUERIES = {
    "30 minutes of instants": series_query(SHOPS, "instant", grid("30min", NEW_YORK), "mean"),
    "days in a zone": series_query(PLAIN, "local", grid("D", NEW_YORK), "last"),
    "months of days": series_query(PLAIN, "date", grid("MS"), "sum"),
    "business days": series_query(PLAIN, "local", grid("B"), "count"),
    "spacing": spacing_query(SHOPS, "instant", NEW_YORK),
    "unreadable": unreadable_query(SHOPS, 5),
    "local hours through a clock change": series_query(
        PLAIN, "local", grid("h", "America/Havana"), "count", (2025, 2024)
    ),
    "business days of a calendar": series_query(PLAIN, "date", grid("C", None, "XNYS"), "count", (2024, 2024)),
}
OTHERS = {
    ("spacing", "duckdb"): """
        WITH times AS (SELECT CAST(CAST("at" AS TIMESTAMPTZ) AT TIME ZONE 'America/New_York' AS
        TIMESTAMP) AS t, "shop" AS key_0 FROM gatecast_source WHERE "at" >= CAST('2024-01-02
        05:00:00.000000+00:00' AS TIMESTAMPTZ) AND "at" < CAST('2024-02-01 17:00:00.000000+00:00' AS
        TIMESTAMPTZ)), marked AS (SELECT key_0, t, DATE_DIFF('MICROSECOND', CAST('1970-01-01' AS
        TIMESTAMP), t) // 1000000 - LAG(DATE_DIFF('MICROSECOND', CAST('1970-01-01' AS TIMESTAMP), t) //
        1000000) OVER (PARTITION BY key_0 ORDER BY t NULLS FIRST) AS gap FROM times), counted AS (SELECT
        key_0, gap, CASE WHEN gap = 259200 AND (DATE_DIFF('DAY', CAST('1970-01-01' AS DATE), CAST(t AS
        DATE)) + 7000003) % 7 = 0 THEN 86400 WHEN gap >= 2419200 AND ABS(gap - ROUND(gap / 2629746.0) *
        2629746.0) <= 259200 THEN CAST(ROUND(gap / 2629746.0) * 2629746.0 AS BIGINT) ELSE gap END AS
        alike, COUNT(*) AS gaps, MIN(DATE_DIFF('MICROSECOND', CAST('1970-01-01' AS TIMESTAMP), t) //
        1000000) - gap AS earliest, MAX(DATE_DIFF('MICROSECOND', CAST('1970-01-01' AS TIMESTAMP), t) //
        1000000) AS latest, BOOL_AND(CAST((DATE_DIFF('DAY', CAST('1970-01-01' AS DATE), CAST(t AS DATE))
        + 7000003) % 7 < 5 AS BOOLEAN)) AS weekday, BOOL_AND(CAST(EXTRACT(DAY FROM t) = 1 AS BOOLEAN))
        AS first_day, BOOL_AND(CAST((DATE_DIFF('DAY', CAST('1970-01-01' AS DATE), CAST(t AS DATE)) +
        7000003) % 7 < 5 AND CASE WHEN (DATE_DIFF('DAY', CAST('1970-01-01' AS DATE), CAST(t AS DATE)) +
        7000003) % 7 = 0 THEN EXTRACT(DAY FROM t) <= 3 ELSE EXTRACT(DAY FROM t) = 1 END AS BOOLEAN)) AS
        first_weekday, BOOL_AND(CAST(EXTRACT(DAY FROM CAST(t AS DATE) + INTERVAL '1' DAY) = 1 AS
        BOOLEAN)) AS last_day, BOOL_AND(CAST((DATE_DIFF('DAY', CAST('1970-01-01' AS DATE), CAST(t AS
        DATE)) + 7000003) % 7 < 5 AND CASE WHEN (DATE_DIFF('DAY', CAST('1970-01-01' AS DATE), CAST(t AS
        DATE)) + 7000003) % 7 = 4 THEN EXTRACT(DAY FROM CAST(t AS DATE) + INTERVAL '3' DAY) <= 3 ELSE
        EXTRACT(DAY FROM CAST(t AS DATE) + INTERVAL '1' DAY) = 1 END AS BOOLEAN)) AS last_weekday FROM
        marked WHERE gap > 0 GROUP BY key_0, gap, alike), shares AS (SELECT *, SUM(gaps) OVER (PARTITION
        BY key_0, alike) AS these, SUM(gaps) OVER (PARTITION BY key_0) AS whole FROM counted), own AS
        (SELECT *, MAX(CASE WHEN these >= 0.9 * whole AND whole >= 5 THEN alike ELSE NULL END) OVER
        (PARTITION BY key_0) AS usual FROM shares) SELECT usual, gap, CAST(SUM(gaps) AS BIGINT) AS gaps,
        MIN(earliest) AS earliest, MAX(latest) AS latest, BOOL_AND(CAST(weekday AS BOOLEAN)) AS weekday,
        BOOL_AND(CAST(first_day AS BOOLEAN)) AS first_day, BOOL_AND(CAST(last_day AS BOOLEAN)) AS
        last_day, BOOL_AND(CAST(first_weekday AS BOOLEAN)) AS first_weekday, BOOL_AND(CAST(last_weekday
        AS BOOLEAN)) AS last_weekday FROM own GROUP BY usual, gap""",
    ("spacing", "bigquery"): """
        WITH times AS (SELECT DATETIME(`at`, 'America/New_York') AS t, `shop` AS key_0 FROM
        gatecast_source WHERE `at` >= CAST('2024-01-02 05:00:00.000000+00:00' AS TIMESTAMP) AND `at` <
        CAST('2024-02-01 17:00:00.000000+00:00' AS TIMESTAMP)), marked AS (SELECT key_0, t,
        DIV(DATETIME_DIFF(t, CAST('1970-01-01' AS DATETIME), MICROSECOND), 1000000) -
        LAG(DIV(DATETIME_DIFF(t, CAST('1970-01-01' AS DATETIME), MICROSECOND), 1000000)) OVER (PARTITION
        BY key_0 ORDER BY t) AS gap FROM times), counted AS (SELECT key_0, gap, CASE WHEN gap = 259200
        AND MOD(UNIX_DATE(DATE(t)) + 7000003, 7) = 0 THEN 86400 WHEN gap >= 2419200 AND ABS(gap -
        ROUND(gap / 2629746.0) * 2629746.0) <= 259200 THEN CAST(ROUND(gap / 2629746.0) * 2629746.0 AS
        INT64) ELSE gap END AS alike, COUNT(*) AS gaps, MIN(DIV(DATETIME_DIFF(t, CAST('1970-01-01' AS
        DATETIME), MICROSECOND), 1000000)) - gap AS earliest, MAX(DIV(DATETIME_DIFF(t, CAST('1970-01-01'
        AS DATETIME), MICROSECOND), 1000000)) AS latest, LOGICAL_AND(MOD(UNIX_DATE(DATE(t)) + 7000003,
        7) < 5) AS weekday, LOGICAL_AND(EXTRACT(DAY FROM t) = 1) AS first_day,
        LOGICAL_AND(MOD(UNIX_DATE(DATE(t)) + 7000003, 7) < 5 AND IF(MOD(UNIX_DATE(DATE(t)) + 7000003, 7)
        = 0, EXTRACT(DAY FROM t) <= 3, EXTRACT(DAY FROM t) = 1)) AS first_weekday,
        LOGICAL_AND(EXTRACT(DAY FROM DATE_ADD(DATE(t), INTERVAL '1' DAY)) = 1) AS last_day,
        LOGICAL_AND(MOD(UNIX_DATE(DATE(t)) + 7000003, 7) < 5 AND IF(MOD(UNIX_DATE(DATE(t)) + 7000003, 7)
        = 4, EXTRACT(DAY FROM DATE_ADD(DATE(t), INTERVAL '3' DAY)) <= 3, EXTRACT(DAY FROM
        DATE_ADD(DATE(t), INTERVAL '1' DAY)) = 1)) AS last_weekday FROM marked WHERE gap > 0 GROUP BY
        key_0, gap, alike), shares AS (SELECT *, SUM(gaps) OVER (PARTITION BY key_0, alike) AS these,
        SUM(gaps) OVER (PARTITION BY key_0) AS whole FROM counted), own AS (SELECT *, MAX(IF(these >=
        0.9 * whole AND whole >= 5, alike, NULL)) OVER (PARTITION BY key_0) AS usual FROM shares) SELECT
        usual, gap, CAST(SUM(gaps) AS INT64) AS gaps, MIN(earliest) AS earliest, MAX(latest) AS latest,
        LOGICAL_AND(weekday) AS weekday, LOGICAL_AND(first_day) AS first_day, LOGICAL_AND(last_day) AS
        last_day, LOGICAL_AND(first_weekday) AS first_weekday, LOGICAL_AND(last_weekday) AS last_weekday
        FROM own GROUP BY usual, gap""",
    ("local hours through a clock change", "duckdb"): """
        SELECT CAST(FLOOR((DATE_DIFF('MICROSECOND', CAST('1970-01-01' AS TIMESTAMP), CAST("at" AS TIMESTAMP)) -
        CASE WHEN DATE_DIFF('MICROSECOND', CAST('1970-01-01' AS TIMESTAMP), CAST("at" AS TIMESTAMP)) <
        1741482000000000 THEN CASE WHEN DATE_DIFF('MICROSECOND', CAST('1970-01-01' AS TIMESTAMP), CAST("at" AS
        TIMESTAMP)) < 1730595600000000 THEN CASE WHEN DATE_DIFF('MICROSECOND', CAST('1970-01-01' AS TIMESTAMP),
        CAST("at" AS TIMESTAMP)) < 1710032400000000 THEN -18000000000 ELSE -14400000000 END ELSE -18000000000
        END ELSE CASE WHEN DATE_DIFF('MICROSECOND', CAST('1970-01-01' AS TIMESTAMP), CAST("at" AS TIMESTAMP)) <
        1762045200000000 THEN -14400000000 ELSE -18000000000 END END + -18000000000) / 3600000000) AS BIGINT) AS
        step, CAST(COUNT(*) AS DOUBLE) AS value, COUNT(*) AS row_count FROM gatecast_source GROUP BY 1""",
    ("business days of a calendar", "bigquery"): """
        SELECT CAST(FLOOR(((((CAST(FLOOR((UNIX_DATE(DATE(CAST(`at` AS DATETIME))) + 3) / 7) AS INT64)) * 5 +
        LEAST(UNIX_DATE(DATE(CAST(`at` AS DATETIME))) + 3 - 7 * (CAST(FLOOR((UNIX_DATE(DATE(CAST(`at` AS
        DATETIME))) + 3) / 7) AS INT64)), 4)) - IF(UNIX_DATE(DATE(CAST(`at` AS DATETIME))) < 19893,
        IF(UNIX_DATE(DATE(CAST(`at` AS DATETIME))) < 19772, IF(UNIX_DATE(DATE(CAST(`at` AS DATETIME))) < 19737,
        IF(UNIX_DATE(DATE(CAST(`at` AS DATETIME))) < 19723, 469, 470), 471), IF(UNIX_DATE(DATE(CAST(`at` AS
        DATETIME))) < 19870, IF(UNIX_DATE(DATE(CAST(`at` AS DATETIME))) < 19811, 472, 473), 474)),
        IF(UNIX_DATE(DATE(CAST(`at` AS DATETIME))) < 20055, IF(UNIX_DATE(DATE(CAST(`at` AS DATETIME))) < 19968,
        IF(UNIX_DATE(DATE(CAST(`at` AS DATETIME))) < 19908, 475, 476), 477), IF(UNIX_DATE(DATE(CAST(`at` AS
        DATETIME))) < 20082, 478, 479)))) - 0) / 1) AS INT64) AS step, CAST(COUNT(*) AS FLOAT64) AS value,
        COUNT(*) AS row_count FROM gatecast_source GROUP BY 1""",
    ("unreadable", "duckdb"): """
        SELECT DISTINCT CAST("at" AS TEXT) AS found FROM gatecast_source
        WHERE NOT "at" IS NULL AND (TRY_CAST("at" AS TIMESTAMP) IS NULL OR NOT REGEXP_MATCHES(CAST("at" AS TEXT),
        '^ *[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}([ T]+[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}([.][0-9]+)?)?Z?)? *$'))
        LIMIT 5""",
    ("unreadable", "bigquery"): """
        SELECT DISTINCT CAST(`at` AS STRING) AS found FROM gatecast_source
        WHERE NOT `at` IS NULL AND (SAFE_CAST(`at` AS DATETIME) IS NULL OR NOT REGEXP_CONTAINS(CAST(`at` AS STRING),
        '^ *[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}([ T]+[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}([.][0-9]+)?)?Z?)? *$'))
        LIMIT 5""",
}


@pytest.mark.parametrize(("name", "dialect"), [*SERIES, *OTHERS])
def test_golden(name, dialect):
    golden = " ".join((SERIES | OTHERS)[name, dialect].split())
    assert translated(QUERIES[name], dialect) == golden


def test_golden_of_whole_numbers_and_of_rows_further_back():
    source = SHOPS.model_copy(update={"time_unit": "ms", "since": "1960-01-01"})
    query = series_query(source, "instant", grid("h"), "sum")
    few = without_older(query, source, "instant", grid("h"), "2024-01-31", [("it's",), (None,)])
    where = few.find(exp.Where).sql("bigquery")
    assert where == (
        "WHERE (`at` >= -315619200000 AND `at` < 1706788800000) AND (`at` >= 1706659200000 "
        "OR `shop` IS NOT DISTINCT FROM 'it\\'s' OR `shop` IS NOT DISTINCT FROM NULL)"
    )
    step = query.sql("bigquery").partition(" AS step")[0]
    assert step.endswith(
        "FLOOR((UNIX_MICROS(TIMESTAMP_MICROS(CAST(`at` AS INT64) * 1000)) + 0) / 3600000000) AS INT64)"
    )


LATEST = """
    SELECT `shop`, `forecast_timestamp`, `forecast_value`, `confidence_level`, `prediction_interval_lower_bound`,
    `prediction_interval_upper_bound`, '' AS ai_forecast_status FROM (SELECT *, RANK() OVER (PARTITION BY `shop`,
    `forecast_timestamp`, `confidence_level` ORDER BY cutoff DESC, run_id DESC) AS gatecast_rank
    FROM `sales`.`forecasts`) AS ranked WHERE gatecast_rank = 1"""


def test_golden_of_the_latest_forecasts():
    query = latest_query("sales.forecasts", ["shop"], AI_FORECAST)
    assert query.sql("bigquery") == " ".join(LATEST.split())
    as_there = latest_query("sales.forecasts", ["shop"], AI_FORECAST, instants=True).sql("bigquery")
    instant = "SELECT `shop`, CAST(`forecast_timestamp` AS TIMESTAMP) AS `forecast_timestamp`, `forecast_value`"
    assert as_there == query.sql("bigquery").replace(
        "SELECT `shop`, `forecast_timestamp`, `forecast_value`", instant, 1
    )


def test_days_are_bounded_by_days_so_that_partitions_are_pruned():
    source = PLAIN.model_copy(update={"since": "2024-01-02 12:00", "until": "2024-02-01"})
    where = series_query(source, "date", grid("D"), "sum").find(exp.Where).sql("bigquery")
    assert where == "WHERE `at` >= CAST('2024-01-03' AS DATE) AND `at` < CAST('2024-02-01' AS DATE)"


def every_query(source=SHOPS):
    """Each kind, frequency, zone and aggregate, and the queries beside."""
    for kind, timezone in itertools.product(KINDS, [None, NEW_YORK]):
        for freq, aggregate in zip(FREQS, itertools.cycle(AGGREGATES), strict=False):
            yield series_query(source, kind, grid(freq, timezone), aggregate, (2024, 2024))
        yield spacing_query(source, kind, timezone)
        yield groups_query(source, kind, timezone)
        yield years_query(source, kind, timezone)
        yield days_query(source, kind, timezone)
        steps = row_steps(source, kind, grid("h", timezone), "mean", (2024, 2024))
        yield audit_query(steps, len(source.series), 24, 876_582, 24, False)
    yield unreadable_query(source, 5)
    yield types_query(["at", "shop"])


def test_nothing_is_ordered_outside_of_windows():
    orders = [order for query in every_query() for order in query.find_all(exp.Order)]
    assert orders
    assert all(order.find_ancestor(exp.Window) for order in orders)


def test_only_what_the_user_named_is_quoted_and_all_of_it():
    for query in every_query():
        quoted = {name.name for name in query.find_all(exp.Identifier) if name.quoted}
        plain = {name.name for name in query.find_all(exp.Identifier) if not name.quoted}
        assert quoted <= {"at", "y", "shop"}
        assert "at" in quoted
        assert not plain & {"at", "y", "shop"}


HOSTILE = ['a"b', "a`b", "a'b", "a; DROP TABLE sales --", "a\\", 'a\\" FROM secret --', "a\\` FROM secret --", "a\nb"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", HOSTILE)
def test_names_stay_names(dialect, name):
    source = SourceSettings(table=f"{name}.{name}", time=name, target=name + "1", series=(name + "2",))
    few = [series_query(source, kind, grid("h"), "last") for kind in ("instant", "text")]
    for query in [*few, spacing_query(source, "local", None), unreadable_query(source, 5)]:
        rows = exp.select("*").from_(relation(source.table)).sql(dialect)
        (tree,) = sqlglot.parse(render(query, rows, dialect), dialect=dialect)
        own = {cte.alias for cte in tree.find_all(exp.CTE)} - {SOURCE}
        assert {table.name for table in tree.find_all(exp.Table)} - own == {SOURCE, name}
        assert {table.db for table in tree.find_all(exp.Table)} == {"", name}
        columns = {each.name for each in tree.find_all(exp.Column) if each.this.quoted}
        assert name in columns <= {name, name + "1", name + "2"}
    assert column(name).sql("duckdb") == '"' + name.replace('"', '""') + '"'


def test_a_table_may_name_its_schema_and_database():
    assert relation("a").sql("duckdb") == '"a"'
    assert relation("a b.c").sql("duckdb") == '"a b"."c"'
    assert relation("my-project.shop.sales").sql("bigquery") == "`my-project`.`shop`.`sales`"
    with pytest.raises(
        UsageError, match=r"^'a\.b\.c\.d' has 4 parts: write TABLE, SCHEMA\.TABLE or DATABASE\.SCHEMA\.TABLE$"
    ):
        relation("a.b.c.d")


def test_the_users_query_is_taken_as_it_is():
    own = SourceSettings(sql="SELECT  *\nFROM t -- all of it", time="at", target="y")
    text = render(unreadable_query(own, 3), unended(own.sql, "bigquery"), "bigquery")
    assert text.startswith("WITH gatecast_source AS (\nSELECT  *\nFROM t -- all of it\n)\nSELECT DISTINCT\n")
    assert render(QUERIES["spacing"], 'SELECT * FROM "sales"', "duckdb").startswith(
        'WITH gatecast_source AS (\nSELECT * FROM "sales"\n),\ntimes AS (\n'
    )


@pytest.mark.parametrize("text", ["2024-01-01' OR 1=1 --", "now()", "2024-01-01; DROP TABLE sales", ""])
def test_only_dates_bound_the_rows(text):
    source = PLAIN.model_copy(update={"since": text})
    if text:
        with pytest.raises(UsageError, match="not a date"):
            series_query(source, "local", grid("D"), "sum")
    else:
        assert series_query(source, "local", grid("D"), "sum").find(exp.Where) is None


@pytest.mark.parametrize(
    "zone", ["UTC') - (SELECT MAX(x) FROM secret) + DATETIME(t, 'UTC", "UTC' --", "../UTC", "UTC\\"]
)
def test_only_zones_name_a_zone(zone):
    with pytest.raises(UsageError, match="not a time zone"):
        grid("D", zone)
    try:
        query = spacing_query(PLAIN, "instant", zone)
    except (UsageError, SqlglotError):
        return  # refused, if not nicely: `grid` comes first
    assert zone in {literal.this for literal in query.find_all(exp.Literal)}
    own = {cte.alias for cte in query.find_all(exp.CTE)}
    assert {table.name for table in query.find_all(exp.Table)} - own == {SOURCE}


def test_only_local_times_of_a_zone_and_calendars_need_the_years_of_the_rows():
    assert {kind for kind in KINDS if needs_years(kind, grid("h", NEW_YORK))} == {"local", "text"}
    assert not any(needs_years(kind, grid("h")) for kind in KINDS)
    assert all(needs_years(kind, grid("C", None, "DE")) for kind in KINDS)
