"""One suite for every store: the same rows, read back through the same queries, against pandas."""

import datetime as dt
import io
import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery
from sqlglot import exp

from gatecast.config import Config
from gatecast.data.dates import Frequency, Grid
from gatecast.data.holidays import holidays_of
from gatecast.errors import DataError, StoreError, UsageError
from gatecast.reading import read_rows
from gatecast.settings import SourceSettings
from gatecast.store import Errand, Observer, open_store
from gatecast.store.duckdb import DuckDBStore
from gatecast.store.opening_query import days_query, unreadable_query, years_query
from gatecast.store.query import AGGREGATES, series_query, static_query
from gatecast.store.spacing_query import spacing_query
from gatecast.store.sql import relation
from gatecast.store.step_sql import needs_years

NEW_YORK = "America/New_York"


def in_table(rows, folder):
    with duckdb.connect(folder / "shop.duckdb") as connection:
        connection.register("incoming", rows)
        connection.execute('CREATE TABLE "rows" AS FROM incoming')
    return open_store(f"duckdb:{folder / 'shop.duckdb'}"), "rows"


def in_file(ending, copy):
    def put(rows, folder):
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("incoming", rows)
            connection.execute(f"COPY incoming TO '{folder / f'rows{ending}'}' ({copy})")
        return open_store(str(folder / f"rows{ending}")), None

    return put


def in_two_files(rows, folder):
    half = len(rows) // 2
    for part, piece in enumerate((rows[:half], rows[half:])):
        pq.write_table(piece, folder / f"part-{part}.parquet")
    return open_store(str(folder / "part-*.parquet")), None


def in_frame(rows, folder):
    return DuckDBStore.of_frame(rows), None


def in_bigquery(rows, url):
    # By the official client, and with Arrow's own Parquet, so that nothing of ours is between.
    with open_store(url) as store:
        file = io.BytesIO()
        pq.write_table(rows, file, coerce_timestamps="us", allow_truncated_timestamps=True)
        config = bigquery.LoadJobConfig(source_format="PARQUET")
        store.client.load_table_from_file(file, f"{store.dataset}.rows", rewind=True, job_config=config).result()
    return open_store(url), "rows"


# A store is a function that puts rows into a folder and gives the open store and the name of the table.
STORES = {
    "table": in_table,
    "csv": in_file(".csv", "FORMAT csv, HEADER"),
    "gzipped csv": in_file(".csv.gz", "FORMAT csv, HEADER, COMPRESSION gzip"),
    "parquet": in_file(".parquet", "FORMAT parquet"),
    "json": in_file(".json", "FORMAT json"),
    "glob": in_two_files,
    "frame": in_frame,
    "bigquery": in_bigquery,
}


# By `make test-all` alone: they differ from a file of their kind in how they are opened.
ALIKE = {"gzipped csv", "glob"}


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow if name in ALIKE else ()) for name in STORES])
def put(request, tmp_path):
    """A function that puts rows into a store and gives it open, with the settings to read it by."""
    opened = []

    def put_rows(rows, **settings):
        place = request.getfixturevalue("bigquery") if request.param == "bigquery" else tmp_path
        store, table = STORES[request.param](rows, place)
        opened.append(store)
        return store, SourceSettings(**{"table": table, "time": "at", "target": "y"} | settings)

    yield put_rows
    for store in opened:
        store.close()


def sample(kind, *first_days):
    """Rows in the 25 days from some dates on, in series by shop and item; some times, shops and targets are null."""
    rng, size = np.random.default_rng(0), 150 * len(first_days)
    seconds = np.concatenate([rng.choice(25 * 86_400, 150, replace=False) for _ in first_days])
    times = np.repeat(np.array(first_days, "datetime64[us]"), 150) + seconds.astype("timedelta64[s]")
    at = pa.array(times, mask=rng.random(size) < 0.03)
    if kind == "text":
        at = pa.array([time.isoformat(" ") if time else ("n/a", None)[i % 2] for i, time in enumerate(at.to_pylist())])
    elif kind != "local":
        at = at.cast({"instant": pa.timestamp("us", "UTC"), "date": pa.date32()}[kind], safe=False)
    shop = pa.array(rng.choice(["north", "söuth; '1'", None], size).tolist(), pa.string())
    y = pa.array(rng.normal(20, 9, size), mask=rng.random(size) < 0.15)
    return pa.table({"at": at, "shop": shop, "item": rng.integers(1, 3, size), "y": y})


FLOORS = {
    "30min": lambda t: t.dt.floor("30min"),
    "h": lambda t: t.dt.floor("h"),
    "4h": lambda t: t.dt.floor("4h"),
    "D": lambda t: t.dt.floor("D"),
    "B": lambda t: t.dt.floor("D") - pd.to_timedelta((t.dt.weekday - 4).clip(lower=0), "D"),
    "W-MON": lambda t: t.dt.to_period("W-SUN").dt.start_time,
    "MS": lambda t: t.dt.to_period("M").dt.start_time,
    "QS": lambda t: t.dt.to_period("Q").dt.start_time,
    "BME": lambda t: rolled(t.dt.to_period("M").dt.end_time, []),
    "SME": lambda t: (
        t.where(t.dt.day > 15, t.dt.to_period("M").dt.start_time + pd.Timedelta("14D"))
        .where(t.dt.day <= 15, t.dt.to_period("M").dt.end_time)
        .dt.floor("D")
    ),
    "C": lambda t: rolled(t, US),
    "bh": lambda t: t.map(opened),
}
US = holidays_of("US", 1969, 2025)


def rolled(t, holidays):
    """Back to the nearest business day."""
    return pd.Series(np.busday_offset(t.to_numpy("datetime64[D]"), 0, roll="backward", holidays=holidays), t.index)


def opened(time):
    """Back to the start of the nearest business hour."""
    back = pd.offsets.BusinessHour().rollback(time) if time is not pd.NaT else time
    return back.floor("h") if back == time else back - pd.Timedelta("1h")


STANDARD = {None: 0, "UTC": 0, NEW_YORK: -5, "Asia/Kolkata": 5.5}  # hours ahead of UTC
COLUMNS = ["shop", "item", "label"]


def grid_dates(rows, kind, freq, grid):
    """The grid date each row falls on, by pandas: elapsed steps of instants in UTC, all others on the wall clock."""
    at, floor = rows.column("at").to_pandas(), FLOORS[freq]
    if kind != "instant" and not (grid.frequency.elapsed and grid.timezone):
        return floor(pd.to_datetime(at, errors="coerce"))
    if kind != "instant":  # the first of two equal times; as much later as the clock was moved
        once = pd.Series(True, at.index).to_numpy()
        at = at.dt.tz_localize(grid.timezone, ambiguous=once, nonexistent=pd.Timedelta("1h")).dt.tz_convert("UTC")
    if grid.frequency.elapsed:
        standard = pd.Timedelta(hours=STANDARD[grid.timezone])
        return floor(at.dt.tz_localize(None) + standard) - standard
    return floor(at.dt.tz_convert(grid.timezone).dt.tz_localize(None))


def by_pandas(rows, dates, aggregate):
    """What `series_query` should give for rows that fall on these grid dates."""
    groups = rows.to_pandas().assign(label=dates).sort_values("at").groupby(COLUMNS, dropna=False)
    size = groups.size()
    value = size if aggregate == "count" else groups["y"].agg(aggregate).where(groups["y"].count() > 0)
    return pd.DataFrame({"value": value, "row_count": size}).reset_index()


def years_of(store, source, kind, grid):
    """First and last year of the rows, where the query needs them."""
    if not needs_years(kind, grid):
        return None
    (found,) = store.read(source, years_query(source, kind, grid.timezone)).read_all().to_pylist()
    return found["first"], found["last"]


def by_query(store, source, kind, grid, aggregate):
    """What `series_query` gives, with dates for steps."""
    rows = store.read(
        source, series_query(source, kind, grid, aggregate, years_of(store, source, kind, grid))
    ).read_all()
    step = rows.column("step").fill_null(0).to_numpy()
    label = grid.instants(step) if grid.frequency.elapsed else grid.wall(step)
    frame = rows.rename_columns(["shop", "item", "step", "value", "row_count"]).to_pandas()
    return frame.assign(label=np.where(rows.column("step").is_valid(), label, np.datetime64("NaT")))


def assert_same(found, wanted):
    sides = []
    for side in (found, wanted):
        tidy = side.assign(shop=side["shop"].fillna("-"), label=side["label"].astype("datetime64[us]"))
        tidy.loc[tidy["label"].isna(), "value"] = np.nan  # rows without a time are only counted
        sides.append(tidy.sort_values(COLUMNS).reset_index(drop=True)[[*COLUMNS, "value", "row_count"]])
    assert len(sides[1]) > 10
    pd.testing.assert_frame_equal(*sides, check_dtype=False, rtol=1e-9)


@pytest.mark.parametrize("rest", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("kind", "timezone", "freqs"),
    [
        ("local", None, list(FLOORS)),
        ("local", NEW_YORK, ["30min", "h", "4h", "D", "C"]),
        ("instant", NEW_YORK, list(FLOORS)),
        ("instant", "Asia/Kolkata", ["h", "D"]),
        ("date", None, ["D", "B", "C", "W-MON", "SME", "MS", "BME", "QS"]),
        ("text", None, ["30min", "D", "MS"]),
    ],
)
def test_series_are_what_pandas_gives(put, request, kind, timezone, freqs, rest):
    # All in both dialects; files and frames are read in DuckDB's, what differs is how they hold their columns.
    every = {"table": 2, "bigquery": 4}.get(request.node.callspec.params["put"], 5)
    aggregates = AGGREGATES if freqs == list(FLOORS) and every < 5 and not rest else ("last",)
    freqs = [freq for place, freq in enumerate(freqs) if (place % every > 0) == rest]
    rows = sample(kind, "1969-12-20", "2024-02-28", "2024-10-20")  # before 1970, and clocks change in both others
    store, source = put(rows, series=("shop", "item"))
    assert store.columns(source)["at"] == kind
    for freq, aggregate in [*((freq, "sum") for freq in freqs), *(("D", aggregate) for aggregate in aggregates)]:
        if (kind, aggregate) != ("date", "last"):  # see below
            grid = Grid(Frequency.parse(freq), timezone, "US")
            wanted = by_pandas(rows, grid_dates(rows, kind, freq, grid), aggregate)
            assert_same(by_query(store, source, kind, grid, aggregate), wanted)


def test_the_days_that_have_rows(put):
    rows = sample("instant", "1969-12-20", "2024-02-28")
    store, source = put(rows)
    found = store.read(source, days_query(source, "instant", NEW_YORK)).read_all().column("day")
    wall = rows.column("at").to_pandas().dropna().dt.tz_convert(NEW_YORK).dt.tz_localize(None)
    assert sorted(found.drop_null().to_pylist()) == np.unique(wall.to_numpy("datetime64[D]").astype(int)).tolist()


def by_query_of_one(store, source, kind, aggregate):
    """{step: (value, rows)} of a single series of days."""
    rows = store.read(source, series_query(source, kind, Grid(Frequency.parse("D")), aggregate)).read_all()
    return {row["step"]: (row["value"], row["row_count"]) for row in rows.to_pylist()}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_whole_numbers_are_instants(put, unit):
    rows = sample("instant", "1969-12-20", "2024-02-28")
    numbers = rows.column("at").cast(pa.timestamp("ns", "UTC")).cast(pa.timestamp(unit, "UTC")).cast(pa.int64())
    store, source = put(rows.set_column(0, "at", numbers), series=("shop", "item"), time_unit=unit)
    assert store.columns(source)["at"] == "number"
    for freq in ("30min", "D"):
        grid = Grid(Frequency.parse(freq), NEW_YORK)
        wanted = by_pandas(rows, grid_dates(rows, "instant", freq, grid), "last")
        assert_same(by_query(store, source, "instant", grid, "last"), wanted)


@pytest.mark.parametrize(("unit", "per"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_the_unit_of_whole_numbers_is_seen_by_their_size_and_bounds_are_whole_numbers_too(put, unit, per):
    began = 1_709_251_200  # 1 March 2024
    rows = pa.table({"at": [(began + 3600 * hour) * per for hour in range(48)], "y": [float(i) for i in range(48)]})
    store, source = put(rows, since="2024-03-01 00:00:00.5", until="2024-03-02T01:00+01:00")
    settings = source.model_dump(exclude={"url"}, exclude_none=True) | {"freq": "h"}
    notes = []
    observer = Observer()
    observer.note = notes.append
    place = "" if not store.url else store.url.removeprefix("duckdb:")
    read = read_rows(Config.from_options(place, settings), place or rows, Errand(observer=observer))
    assert f"'at' holds whole numbers: taken as {unit} since 1970 (--time-unit)" in notes
    assert read.config.source.time_unit == unit
    assert f">= {began * per + (1 if per == 1 else per // 2)}" in read.sql
    assert read.panel.values.tolist() == [float(i) for i in range(1, 24)]
    assert read.panel.kind == "instant"
    assert read.panel.grid.label(int(read.panel.starts[0])) == "2024-03-01 01:00"


def test_the_last_of_texts_is_the_latest_not_the_greatest_text(put):
    rows = pa.table({"at": ["2024-01-01T08:00", "2024-01-01 20:00", "-"], "y": [1.0, 2.0, 3.0]})
    store, source = put(rows)
    assert by_query_of_one(store, source, "text", "last")[19_723] == (2.0, 2)


@pytest.mark.parametrize("step", [1, -1])
def test_of_several_last_rows_the_greatest_counts_in_whatever_order_they_come(put, step):
    days = [dt.date(2024, 1, 1)] * 4 + [dt.date(2024, 1, 2)] * 3
    rows = pa.table({"at": days, "y": [2.0, 7.0, 5.0, None, None, -1.0, float("nan")]})
    store, source = put(rows.take(pa.array(range(7)[::step])))
    assert by_query_of_one(store, source, "date", "last") == {19_723: (7.0, 4), 19_724: (-1.0, 3)}


@pytest.mark.parametrize(("timezone", "odd"), [(None, []), ("UTC", []), ("Asia/Tokyo", ["2024-01-03T10:00:00Z"])])
def test_unreadable_times_are_shown(put, timezone, odd):
    """Among them are those that DuckDB reads but for their end."""
    good = ["2024-01-01", "2024-1-2 10:00", "2024/01/02 10:00:00.5"]
    wrong = ["n/a", "n/a", "soon", "2024-01-02 10:00 PM", "2024-01-02T10:00:00+02:00", "24-01-02", "infinity"]
    texts = [*good, None, *wrong, "2024-01-03T10:00:00Z"]
    store, source = put(pa.table({"at": texts, "y": [1.0] * len(texts)}))
    found = store.read(source, unreadable_query(source, 9, timezone)).read_all()
    assert sorted(found.column("found").to_pylist()) == sorted({*wrong, *odd})


@pytest.mark.parametrize("unit", ["s", "ns"])
@pytest.mark.parametrize(("kind", "timezone"), [("local", None), ("instant", "UTC")])
def test_times_of_any_precision(put, kind, timezone, unit):
    at = pa.array([0, 86_400, 86_401], pa.timestamp("s")).cast(pa.timestamp(unit, timezone))
    store, source = put(pa.table({"at": at, "y": [1.0, 2.0, 3.0]}), until="1970-02-01")
    if store.columns(source)["at"] != "text":  # JSON and CSV may not tell nanoseconds from text
        assert store.columns(source)["at"] == kind
    assert by_query_of_one(store, source, store.columns(source)["at"], "last") == {0: (1.0, 1), 1: (3.0, 2)}


def test_columns_tell_what_they_hold(put):
    noon = dt.datetime(2024, 3, 10, 12)
    columns = {
        "at": ("local", pa.array([noon, None], pa.timestamp("us"))),
        "when": ("instant", pa.array([noon, noon], pa.timestamp("us", "UTC"))),
        "day": ("date", pa.array([noon.date(), None])),
        "text": ("text", pa.array(["2024-03-10", "n/a"])),
        "whole": ("number", pa.array([1, -2])),
        "y": ("number", pa.array([0.5, None])),
        "yes": ("boolean", pa.array([True, False])),
        "clock": ("other", pa.array([noon.time(), noon.time()])),
    }
    store, source = put(pa.table({name: values for name, (_, values) in columns.items()}))
    assert store.columns(source) == {name: kind for name, (kind, _) in columns.items()}
    assert list(store.columns(source)) == list(columns)


@pytest.mark.parametrize(
    ("kind", "timezone", "since", "until", "first", "end"),
    [
        ("local", None, "2024-03-05", "2024-03-07 12:30", "2024-03-05", "2024-03-07 12:30"),
        ("local", NEW_YORK, "2024-03-05T00:00-05:00", None, "2024-03-05", "2030-01-01"),
        ("instant", NEW_YORK, "2024-03-10", "2024-03-11", "2024-03-10 05:00", "2024-03-11 04:00"),
        ("instant", None, None, "2024-03-07T12:00+02:00", "1900-01-01", "2024-03-07 10:00"),
        ("date", None, "2024-03-05", "2024-03-08", "2024-03-05", "2024-03-08"),
        ("text", None, "2024-03-05", "2024-03-08", "2024-03-05", "2024-03-08"),
    ],
)
def test_since_and_until(put, kind, timezone, since, until, first, end):
    hours = np.datetime64("2024-03-01T00:00:00", "us") + np.arange(12 * 24) * np.timedelta64(1, "h")
    times = {
        "local": pa.array(hours),
        "instant": pa.array(hours).cast(pa.timestamp("us", "UTC")),
        "date": pa.array(hours).cast(pa.date32(), safe=False),
        "text": pa.array([*(str(hour).replace("T", " ") for hour in hours[:-1]), "n/a"]),
    }[kind]
    store, source = put(pa.table({"at": times, "y": np.arange(len(hours))}), since=since, until=until)
    grid = Grid(Frequency.parse("h"), timezone)
    rows = store.read(source, series_query(source, kind, grid, "min", years_of(store, source, kind, grid))).read_all()
    inside = (hours >= np.datetime64(first)) & (hours < np.datetime64(end))
    assert 10 < inside.sum() < len(hours)
    assert sum(rows.column("row_count").to_pylist()) == inside.sum()
    assert min(rows.column("value").to_pylist()) == np.flatnonzero(inside)[0]


@pytest.mark.parametrize(
    ("time", "target", "series"),
    [
        ("select", "order by 1; --", "semi;colon"),
        ('a "quoted" one', "it's", "dot.ted.name"),
        ("🦆 at", "back\\slash", "`tick` %s {0}"),
        ("y", "t", "key_0"),
        ("row_count", "step", "value"),
        ("gap", "Großer Wert", "gatecast_source"),
    ],
)
def test_any_column_names(put, request, time, target, series):
    if request.node.callspec.params["put"] == "bigquery":
        series = series.replace(".", " ")  # BigQuery has no dots in names: they are paths
    at = pa.array([dt.datetime(1970, 1, 1, hour, 30) for hour in (1, 2, 2, 4)])
    rows = pa.table([at, [1.0, 2.0, 4.0, 8.0], ["a", "a", "a", "b"]], names=[time, target, series])
    store, source = put(rows, time=time, target=target, series=series)
    assert list(store.columns(source)) == [time, target, series]
    found = store.read(source, series_query(source, "local", Grid(Frequency.parse("h")), "sum")).read_all()
    values = {(row["key_0"], row["step"]): (row["value"], row["row_count"]) for row in found.to_pylist()}
    assert values == {("a", 1): (1.0, 1), ("a", 2): (6.0, 2), ("b", 4): (8.0, 1)}
    (gap,) = store.read(source, spacing_query(source, "local", None)).read_all().to_pylist()
    assert (gap["gap"], gap["gaps"], gap["first_day"]) == (3600, 1, True)


@pytest.mark.parametrize("ending", ["", ";", " ;; ", "\n-- a comment", "; -- after the end", " /* ; */"])
def test_the_users_query_is_read_instead_of_a_table(put, ending):
    rows = sample("local", "2024-03-01")
    store, source = put(rows)
    table = relation(source.table or store.default.name).sql(store.dialect)
    sql = f"WITH few AS (SELECT *, 2 * y AS double FROM {table} WHERE shop = 'north') SELECT * FROM few{ending}"
    source = source.model_copy(update={"table": None, "sql": sql, "target": "double"})
    assert list(store.columns(source)) == ["at", "shop", "item", "y", "double"]
    found = by_query_of_one(store, source, "local", "count")
    assert sum(count for _, count in found.values()) == rows.column("shop").to_pylist().count("north") > 0


@pytest.mark.parametrize(
    "sql", ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE rows", "DROP TABLE rows", "SET threads = 1", "", "-- nothing"]
)
def test_only_one_select_is_taken_from_the_user(put, sql):
    store, source = put(sample("local", "2024-03-01"))
    with pytest.raises(UsageError, match="one SELECT"):
        store.columns(source.model_copy(update={"table": None, "sql": sql}))


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM rows) SELECT (1", "SELECT FROM", "SELECT no_such FROM nowhere", "SELECT 'a FROM rows"]
)
def test_a_wrong_query_is_the_stores_own_error(put, sql):
    store, source = put(sample("local", "2024-03-01"))
    with pytest.raises(StoreError):
        store.columns(source.model_copy(update={"table": None, "sql": sql}))


def test_an_error_while_reading_is_the_stores_own(put):
    store, source = put(pa.table({"at": [dt.datetime(2024, 1, 1)], "y": ["x"]}))
    with pytest.raises(StoreError, match=r"(?i)convert"):
        store.read(source, series_query(source, "local", Grid(Frequency.parse("D")), "sum")).read_all()


def test_ctrl_c_while_duckdb_works_is_ctrl_c(monkeypatch):
    """DuckDB makes a RuntimeError of it; any other one is passed on as it is."""
    source, text = SourceSettings(sql="SELECT 1 AS y"), iter(["Query interrupted", "another"])

    def interrupted(*_):
        raise RuntimeError(next(text))

    with DuckDBStore.of_frame(pa.table({"y": [1]})) as store:
        monkeypatch.setattr(store, "text", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.read(source, exp.select("*").from_("t"))
        with pytest.raises(RuntimeError, match="another"):
            store.read(source, exp.select("*").from_("t"))


def test_a_table_that_is_not_there_is_an_error_that_lists_those_that_are(put):
    store, source = put(sample("local", "2024-03-01"))
    with pytest.raises(StoreError, match=f"there are: .*{source.table or store.default.name}"):
        store.columns(source.model_copy(update={"table": "sales"}))


@pytest.mark.parametrize("sql", ["SELECT no_such(1)", "SELECT * FROM no_such(1)", "SELECT 1::no_such"])
def test_no_tables_are_listed_where_a_function_or_type_is_missing(sql, tmp_path):
    store, _ = in_table(sample("local", "2024-03-01"), tmp_path)
    with store, pytest.raises(StoreError, match="with name no_such does not exist!") as error:
        store.columns(SourceSettings(sql=sql))
    assert "there are" not in str(error.value)


def test_schemas_of_any_name(tmp_path):
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute('CREATE SCHEMA "my shop"; CREATE TABLE "my shop"."the rows" AS SELECT 1 AS y')
    with open_store(str(tmp_path / "shop.duckdb")) as store:
        for name in ("my shop.the rows", "shop.my shop.the rows"):
            assert store.columns(SourceSettings(table=name)) == {"y": "number"}


@pytest.mark.parametrize("schema", ["main", "my shop"])
def test_the_only_table_of_a_database_needs_no_name(schema, tmp_path):
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"; CREATE TABLE "{schema}"."a.b" AS SELECT 1 AS y')
    with open_store(str(tmp_path / "shop.duckdb")) as store:
        for source in (SourceSettings(), named := store.named(SourceSettings())):
            assert store.columns(source) == {"y": "number"}
        with pytest.raises(StoreError, match=f"there are: {named.table}$"):
            store.columns(SourceSettings(table="a"))


@pytest.mark.parametrize("name", ["rows of May", 'it\'s "best"; 1', "select", "data", ".hidden", "gatecast_source"])
def test_a_file_is_a_table_called_like_it_and_data(name, tmp_path):
    pq.write_table(pa.table({"y": [1.0]}), tmp_path / f"{name}.parquet")
    with open_store(str(tmp_path / f"{name}.parquet")) as store:
        for table in (None, "data", name.partition(".")[0] or None):
            assert store.columns(SourceSettings(table=table)) == {"y": "number"}


@pytest.mark.parametrize(
    ("name", "url"),
    [("year=2024/month=1/0.parquet", "**/*.parquet"), ("0.parquet", "**/*.parquet"), ("s[1].parquet", "s[1].parquet")],
)
def test_files_are_found_in_folders_of_folders_and_under_names_with_brackets(name, url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"y": [1.0]}), name)
    with open_store(url) as store:
        for table in {None, "data", "s[1]" if url == "s[1].parquet" else None}:
            assert store.columns(SourceSettings(table=table))["y"] == "number"


def test_a_file_that_is_there_is_read_though_its_name_is_a_pattern_of_another(tmp_path):
    for name in ("s[1].parquet", "s1.parquet"):
        pq.write_table(pa.table({name: [1.0]}), tmp_path / name)
        with open_store(str(tmp_path / "s[1].parquet")) as store:
            assert store.columns(SourceSettings()) == {"s[1].parquet": "number"}


def test_a_database_with_brackets_in_its_name_is_read(tmp_path):
    with duckdb.connect(str(tmp_path / "s[1].duckdb")) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1.5 AS y")
    with open_store(str(tmp_path / "s[1].duckdb")) as store:
        assert store.columns(SourceSettings()) == {"y": "number"}


def test_a_database_without_tables_says_so(tmp_path):
    duckdb.connect(str(tmp_path / "new.duckdb")).close()
    with (
        open_store(str(tmp_path / "new.duckdb")) as store,
        pytest.raises(UsageError, match=r"new.duckdb has no tables$"),
    ):
        store.columns(SourceSettings())


def test_what_an_enum_of_duckdb_holds_is_text(tmp_path):
    with duckdb.connect(str(tmp_path / "new.duckdb")) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'a'::ENUM ('a', 'b') AS kind")
    with open_store(str(tmp_path / "new.duckdb")) as store:
        assert store.columns(SourceSettings()) == {"kind": "text"}


@pytest.mark.parametrize(
    ("url", "error", "told"),
    [
        ("rows.xlsx", UsageError, "must end in .*duckdb"),
        ("rows", UsageError, "must end in"),
        ("mysql://host/shop", UsageError, "no store for .*duckdb:"),
        ("missing.parquet", StoreError, "nothing to read"),
        ("missing-*.csv", StoreError, "nothing to read"),
        ("duckdb:missing.duckdb", StoreError, "nothing to read"),
        ("broken.parquet", StoreError, "broken.parquet"),
        ("broken.duckdb", StoreError, "broken.duckdb"),
    ],
)
def test_what_cannot_be_opened_says_so(url, error, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for ending in ("parquet", "duckdb"):
        (tmp_path / f"broken.{ending}").write_text("no table, just some words\n" * 99)
    with pytest.raises(error, match=told):
        open_store(url)
    assert not list(tmp_path.glob("missing*"))


def test_rows_to_come_bring_what_is_known_beforehand_and_nothing_else(put):
    days = np.arange("2024-03-01", "2024-03-07", dtype="datetime64[D]")
    rows = pa.table(
        {
            "at": pa.array(days),
            "y": pa.array([1.0, 2.0, 3.0, 4.0, None, None]),
            "promo": [True, False, False, True, False, True],
            "heat": pa.array([20.0, None, 22.0, 23.0, 24.0, None]),
            "event": pa.array(["fair", None, "fair", "match", None, "match"]),
        }
    )
    store, source = put(rows, past=("heat",), future=("promo", "event"), until="2024-03-04")
    query = series_query(source, "date", Grid(Frequency.parse("D")), "mean", kinds=store.columns(source))
    found = sorted(store.read(source, query).read_all().to_pylist(), key=lambda row: row["step"])
    assert [row["value"] for row in found] == [1, 2, 3, None, None, None]
    assert [row["covariate_0"] for row in found] == [20, None, 22, None, None, None]
    assert [row["covariate_1"] for row in found] == [1, 0, 0, 1, 0, 1]
    assert [row["covariate_2"] for row in found] == ["fair", None, "fair", "match", None, "match"]


def test_what_is_static_is_one_value_a_series(put):
    rows = pa.table(
        {
            "at": pa.array(np.repeat(np.datetime64("2024-03-01"), 5)),
            "shop": ["a", "a", "b", "b", "c"],
            "y": [1.0] * 5,
            "kind": pa.array(["big", "big", None, "small", None]),
            "size": pa.array([3.0, 4.0, 5.0, 5.0, None]),
        }
    )
    store, source = put(rows, series=("shop",), static=("kind", "size"))
    query = static_query(source, "date", Grid(Frequency.parse("D")), ("kind", "size"), store.columns(source))
    found = store.read(source, query).read_all().to_pylist()
    assert sorted(tuple(row.values()) for row in found) == [
        ("a", "big", 4.0, 1, 2),
        ("b", "small", 5.0, 1, 1),
        ("c", None, None, 0, 0),
    ]


def test_what_is_static_is_so_between_the_dates_that_are_read(put):
    days = pa.array(np.arange("2024-03-01", "2024-03-05", dtype="datetime64[D]"))
    rows = pa.table({"at": days, "shop": ["a"] * 4, "y": [1.0] * 4, "kind": ["old", "big", "big", "new"]})
    store, source = put(rows, series=("shop",), static=("kind",), since="2024-03-02", until="2024-03-04")
    query = static_query(source, "date", Grid(Frequency.parse("D")), ("kind",), store.columns(source))
    assert store.read(source, query).read_all().to_pylist() == [{"key_0": "a", "static_0": "big", "distinct_0": 1}]


def test_columns_of_several_files_are_told_apart_by_name(tmp_path):
    (tmp_path / "1.csv").write_text("t,y,z\n2024-01-01,1,9\n2024-01-02,1,9\n")
    (tmp_path / "2.csv").write_text("t;z;y;more\n2024-01-03;9;1;x\n2024-01-04;9;1;x\n")
    panel = read_rows(Config.from_options("", {"time": "t", "target": "y"}), str(tmp_path / "*.csv")).panel
    assert panel.values.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("lacking", ["at", "y", "shop"])
@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_file_of_several_that_lacks_a_column_is_refused_by_name(lacking, ending, tmp_path):
    """Its rows had no time, no value or no series, and were left out or joined with others."""
    write = {"csv": pa_csv.write_csv, "parquet": pq.write_table, "jsonl": write_jsonl}[ending]
    rows = pa.table({"at": ["2024-01-01", "2024-01-02"], "y": [1.5, 2.5], "shop": ["a", "b"]})
    write(rows, tmp_path / f"1.{ending}")
    write(rows.rename_columns({lacking: "other"}), tmp_path / f"2.{ending}")
    options = {"time": "at", "target": "y", "series": "shop", "freq": "D"}
    with pytest.raises(DataError, match=rf"2\.{ending} has no column '{lacking}' .*there are .*other") as refusal:
        read_rows(Config.from_options("", options), str(tmp_path / f"*.{ending}"))
    advised = refusal.value.args[0].partition("--sql '")[2].rstrip("'").replace("OTHER", "other")
    panel = read_rows(Config.from_options("", options | {"sql": advised}), str(tmp_path / f"*.{ending}")).panel
    assert (panel.names, panel.values.tolist()) == (["a", "b"], [1.5, 2.5])


WRITE = {"csv": "HEADER", "parquet": "FORMAT parquet", "json": "FORMAT json"}


@pytest.mark.parametrize("ending", WRITE)
def test_folders_name_a_column_that_the_files_lack(ending, tmp_path):
    """As `shop=a/part.parquet`: of Parquet files alone DuckDB's Python does not read it."""
    for shop, value in (("a", 1.5), ("b", 2.5)):
        (tmp_path / f"shop={shop}").mkdir()
        path = tmp_path / f"shop={shop}" / f"part.{ending}"
        duckdb.sql(f"COPY (SELECT DATE '2024-06-01' AS at, {value} AS y) TO '{path}' ({WRITE[ending]})")
    config = Config.from_options("", {"time": "at", "target": "y", "series": "shop", "freq": "D"})
    for pattern, names, values in (("*", ["a", "b"], [1.5, 2.5]), ("shop=b", ["b"], [2.5])):
        panel = read_rows(config, str(tmp_path / pattern / f"*.{ending}")).panel
        assert (panel.names, panel.values.tolist()) == (names, values)
    panel = read_rows(config, str(tmp_path / "shop=a" / f"part.{ending}")).panel
    assert (panel.names, panel.values.tolist()) == (["a"], [1.5])


@pytest.mark.parametrize("ending", WRITE)
def test_a_column_of_files_is_not_replaced_by_what_their_folders_name(ending, tmp_path):
    """DuckDB puts the day of the folder in the place of the times: all hours of a day were one."""
    for day in ("2024-06-01", "2024-06-02"):
        (tmp_path / f"AT={day}").mkdir()
        rows = f"SELECT TIMESTAMP '{day}' + to_hours(12 * i::INT) AS at, i + 0.5 AS y FROM range(2) rows(i)"
        duckdb.sql(f"COPY ({rows}) TO '{tmp_path / f'AT={day}' / f'part.{ending}'}' ({WRITE[ending]})")
    config = Config.from_options("", {"time": "at", "target": "y", "freq": "12h"})
    for pattern, values in (("*/*", [0.5, 1.5] * 2), ("AT=2024-06-01/*", [0.5, 1.5])):
        assert read_rows(config, str(tmp_path / f"{pattern}.{ending}")).panel.values.tolist() == values


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("wall", [pa.timestamp("us"), pa.timestamp("ns"), pa.date32()])
def test_several_files_whose_times_have_a_zone_in_some_only_are_refused(ending, wall, tmp_path):
    """DuckDB takes the others for UTC, or, of nanoseconds, all for local: those of Berlin were two hours off."""
    write = {"csv": pa_csv.write_csv, "parquet": pq.write_table}[ending]
    at = pa.array([dt.datetime(2024, 6, 1), dt.datetime(2024, 6, 2)], pa.timestamp("us"))
    unit = "ns" if wall == pa.timestamp("ns") else "us"
    write(pa.table({"at": at.cast(pa.timestamp(unit, "UTC")), "y": [1.5, 2.5]}), tmp_path / f"1.{ending}")
    write(pa.table({"at": at.cast(wall), "y": [1.5, 2.5]}), tmp_path / f"2.{ending}")
    write(pa.table({"at": at[:0], "y": [1.5][:0]}), tmp_path / f"3.{ending}")
    config = Config.from_options("", {"time": "at", "target": "y", "freq": "D", "timezone": "Europe/Berlin"})
    with pytest.raises(
        DataError, match=rf"column 'at' names (a|no) zone or offset in .*[12]\.{ending}, unlike in other"
    ):
        read_rows(config, str(tmp_path / f"*.{ending}"))
    (tmp_path / f"2.{ending}").unlink()
    assert read_rows(config, str(tmp_path / f"*.{ending}")).panel.values.tolist() == [1.5, 2.5]


def write_jsonl(rows, path):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()))


def test_several_files_may_differ_in_other_columns_and_be_empty(tmp_path):
    """Rows to come have no target, and a night without sales leaves a file without rows, or without anything."""
    (tmp_path / "1.csv").write_text("t,y,promo\n2024-01-01,1,0\n2024-01-02,2,1\n")
    (tmp_path / "2.csv").write_text("T,promo,weather\n2024-01-03,1,wet\n")
    (tmp_path / "3.csv").write_text("y\n")
    (tmp_path / "4.csv").write_text("")
    options = {"time": "t", "target": "y", "future": "promo"}
    panel = read_rows(Config.from_options("", options), str(tmp_path / "*.csv")).panel
    assert panel.values.tolist() == [1, 2]


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_decimal_after_many_whole_numbers_is_read_as_it_is(ending, tmp_path):
    """DuckDB would take a column's type from its first rows, and round the later ones to it."""
    lines = [(f"2024-01-01 00:00:{i % 60:02}", "0.4" if i == 25_000 else "7") for i in range(25_001)]
    if ending == ".csv":
        text = "at,y\n" + "".join(f"{at},{y}\n" for at, y in lines)
    else:
        text = "".join(f'{{"at": "{at}", "y": {y}}}\n' for at, y in lines)
    (tmp_path / f"rows{ending}").write_text(text)
    options = {"time": "at", "target": "y", "freq": "s", "aggregate": "min"}
    panel = read_rows(Config.from_options("", options), str(tmp_path / f"rows{ending}")).panel
    assert panel.values.tolist() == [7] * 40 + [np.float32(0.4)] + [7] * 19


def test_hours_after_many_days_of_a_file_are_not_lost(tmp_path):
    (tmp_path / "rows.csv").write_text("at,y\n" + "2024-01-01,1\n" * 25_000 + "2024-01-01 05:00:00,1\n")
    with open_store(tmp_path / "rows.csv") as store:
        assert store.columns(SourceSettings()) == {"at": "local", "y": "number"}


def test_a_line_that_does_not_fit_is_named_however_late_it_comes(tmp_path):
    (tmp_path / "rows.csv").write_text("at,y\n" + "2024-01-01,1\n" * 25_000 + "2024-01-01,1,2\n")
    with pytest.raises(StoreError, match="CSV Error on Line: 25002 Original Line: 2024-01-01,1,2 "):
        read_rows(Config.from_options("", {"time": "at", "target": "y"}), str(tmp_path / "rows.csv"))


@pytest.mark.parametrize("kind", ["parquet", "csv", "json"])
def test_columns_of_several_files_have_the_type_that_holds_all_their_values(kind, tmp_path):
    files = 40  # of JSON DuckDB would look at 32
    for i in range(files):
        rows = pa.table({"at": [dt.date(2024, 1, 1) + dt.timedelta(i)], "y": [0.4 if i == files - 1 else 7]})
        with open_store(tmp_path / f"{i:02}.{kind}", write=True) as store:
            store.write(None, rows, ["at"])
    panel = read_rows(Config.from_options("", {"time": "at", "target": "y"}), str(tmp_path / f"*.{kind}")).panel
    assert panel.values.tolist() == [7] * (files - 1) + [np.float32(0.4)]


@pytest.mark.parametrize("form", ["%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S"])
def test_numbers_that_spell_dates_are_no_counts_since_1970(form):
    times = [dt.datetime(2024, 1, 1) + dt.timedelta(hours=hour) for hour in range(9)]
    rows = pa.table({"at": [int(time.strftime(form)) for time in times], "y": [1.0] * 9})
    options = {"time": "at", "target": "y"}
    told = f"^column 'at' holds numbers that read as dates, as {times[-1].strftime(form)}: convert it in --sql"
    with pytest.raises(DataError, match=told):
        read_rows(Config.from_options("", options), rows)
    assert read_rows(Config.from_options("", options | {"time_unit": "ms", "freq": "s"}), rows).panel.kind == "instant"


def test_keys_of_38_digits_are_read_as_they_are(tmp_path):
    key = 10**38 - 1
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute(f"CREATE TABLE t AS SELECT DATE '2024-01-01' AS at, 2.5 AS y, '{key}'::UHUGEINT AS \"A b\"")
    source = SourceSettings(table="t", time="at", target="y", series=("a B",))
    with open_store(tmp_path / "shop.duckdb") as store:
        (row,) = (
            store.read(source, series_query(source, "date", Grid(Frequency.parse("D")), "sum")).read_all().to_pylist()
        )
    assert (row["key_0"], row["value"]) == (key, 2.5)


def test_a_path_opens_a_store(tmp_path):
    with pytest.raises(StoreError, match="nothing to read at"):
        open_store(tmp_path / "none.csv")


@pytest.mark.parametrize("infinity", ["infinity", "-infinity"])
@pytest.mark.parametrize("grid", [{"freq": "h"}, {"timezone": "Europe/Berlin"}, {"freq": "C", "holidays": "DE"}])
def test_infinite_times_of_duckdb_are_no_times(grid, infinity, tmp_path):
    times = f"CASE i WHEN 2 THEN '{infinity}' ELSE TIMESTAMP '2024-07-03' + to_hours(i::INTEGER) END AS at"
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute(f"CREATE TABLE t AS SELECT {times}, i AS y FROM range(9) r(i)")
    config = Config.from_options(tmp_path / "shop.duckdb", {"time": "at", "target": "y"} | grid)
    panel = read_rows(config, config).panel
    assert panel.reading.rows == 9
    assert panel.grid.label(int(panel.starts[0])) in ("2024-07-03", "2024-07-03 00:00")
    wanted = [0, 1, np.nan, 3, 4, 5, 6, 7, 8] if grid.get("freq") != "C" else [34 / 8]
    np.testing.assert_allclose(panel.values, wanted)
