"""One suite for every store: the same rows, read back through the same queries, against pandas."""

import datetime as dt

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatecast.config import SourceSettings
from gatecast.data.dates import Frequency, Grid
from gatecast.errors import StoreError, UsageError
from gatecast.store import open_store
from gatecast.store.duckdb import DuckDBStore
from gatecast.store.query import AGGREGATES, series_query, spacing_query, steps_are_local, unreadable_query

NEW_YORK = "America/New_York"


def in_table(rows, folder, name="rows"):
    with duckdb.connect(folder / "shop.duckdb") as connection:
        connection.register("incoming", rows)
        connection.execute(f'CREATE TABLE "{name}" AS FROM incoming')
    return open_store(f"duckdb:{folder / 'shop.duckdb'}"), name


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


# A store is a function that puts rows into a folder and gives the open store and the name of the table.
STORES = {
    "table": in_table,
    "csv": in_file(".csv", "FORMAT csv, HEADER"),
    "gzipped csv": in_file(".csv.gz", "FORMAT csv, HEADER, COMPRESSION gzip"),
    "parquet": in_file(".parquet", "FORMAT parquet"),
    "json": in_file(".json", "FORMAT json"),
    "glob": in_two_files,
    "frame": in_frame,
}


@pytest.fixture(params=STORES)
def put(request, tmp_path):
    """A function that puts rows into a store and gives it open, with the settings to read it by."""
    opened = []

    def put_rows(rows, **settings):
        store, table = STORES[request.param](rows, tmp_path)
        opened.append(store)
        return store, SourceSettings(**{"table": table, "time": "at", "target": "y"} | settings)

    yield put_rows
    for store in opened:
        store.close()


def sample(times):
    """Rows at some times, one series a pair of shop and item; some shops and targets are null."""
    rng = np.random.default_rng(0)
    target = rng.normal(20, 9, len(times))
    return pa.table(
        {
            "at": times,
            "shop": pa.array(rng.choice(["north", "söuth; '1'", None], len(times)).tolist(), pa.string()),
            "item": rng.integers(1, 3, len(times)),
            "y": pa.array(target, mask=rng.random(len(times)) < 0.15),
        }
    )


def moments(kind, *first_days):
    """Times of a kind over 25 days from some dates on, no two the same, some null."""
    rng = np.random.default_rng(1)
    seconds = np.concatenate([rng.choice(25 * 86_400, 150, replace=False) for _ in first_days])
    days = np.repeat(np.array(first_days, "datetime64[us]"), 150)
    times = pa.array(days + seconds.astype("timedelta64[s]"), mask=rng.random(len(days)) < 0.03)
    return times.cast(pa.timestamp("us", "UTC")) if kind == "instant" else times


FLOORS = {
    "30min": lambda t: t.dt.floor("30min"),
    "h": lambda t: t.dt.floor("h"),
    "4h": lambda t: t.dt.floor("4h"),
    "D": lambda t: t.dt.floor("D"),
    "B": lambda t: t.dt.floor("D") - pd.to_timedelta((t.dt.weekday - 4).clip(lower=0), "D"),
    "W-MON": lambda t: t.dt.to_period("W-SUN").dt.start_time,
    "MS": lambda t: t.dt.to_period("M").dt.start_time,
    "QS": lambda t: t.dt.to_period("Q").dt.start_time,
}
LONGER = [freq for freq in FLOORS if freq not in ("30min", "h")]


COLUMNS = ["shop", "item", "label"]


def by_pandas(rows, times, aggregate):
    """What `series_query` should give for rows whose grid dates are `times`."""
    groups = rows.to_pandas().assign(label=times).sort_values("at").groupby(COLUMNS, dropna=False)
    match aggregate:
        case "sum":
            value = groups["y"].sum(min_count=1)
        case "count":
            value = groups.size()
        case _:
            value = groups["y"].agg(aggregate)
    return pd.DataFrame({"value": value, "row_count": groups.size()}).reset_index()


def by_query(store, source, kind, grid, aggregate):
    """What `series_query` gives, with dates for steps."""
    rows = store.read(source, series_query(source, kind, grid, aggregate)).read_all()
    step = rows.column("step").fill_null(0).to_numpy()
    if steps_are_local(kind, grid):
        label = (step * grid.frequency.multiple).astype("datetime64[s]")
    else:
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


def assert_reads(put, rows, kind, timezone, floors, floor):
    """Sums of some frequencies and all aggregates of a day are what pandas says; `floor` says where times fall."""
    store, source = put(rows, series=("shop", "item"))
    assert store.columns(source)["at"] == kind
    for freq, aggregate in [*((freq, "sum") for freq in floors), *(("D", aggregate) for aggregate in AGGREGATES)]:
        found = by_query(store, source, kind, Grid(Frequency.parse(freq), timezone), aggregate)
        assert_same(found, by_pandas(rows, floor(freq), aggregate))


@pytest.mark.parametrize("timezone", [None, NEW_YORK])
def test_wall_clock_times(put, timezone):
    rows = sample(moments("local", "1969-12-20", "2024-03-01"))
    at = rows.column("at").to_pandas()
    assert_reads(put, rows, "local", timezone, FLOORS, lambda freq: FLOORS[freq](at))


def test_instants_in_a_zone_through_clock_changes(put):
    rows = sample(moments("instant", "1969-12-20", "2024-03-01", "2024-10-20"))
    at = rows.column("at").to_pandas()
    wall = at.dt.tz_convert(NEW_YORK).dt.tz_localize(None)
    assert_reads(
        put, rows, "instant", NEW_YORK, FLOORS,
        lambda freq: FLOORS[freq](wall if freq in LONGER else at.dt.tz_localize(None)),
    )  # fmt: skip


def test_instants_in_a_zone_half_an_hour_off_utc(put):
    rows = sample(moments("instant", "2024-03-01"))
    wall = rows.column("at").to_pandas().dt.tz_convert("Asia/Kolkata").dt.tz_localize(None)
    hours = (FLOORS["h"](wall)).dt.tz_localize("Asia/Kolkata").dt.tz_convert("UTC").dt.tz_localize(None)
    assert_reads(put, rows, "instant", "Asia/Kolkata", ["h", "D"], lambda f: hours if f == "h" else FLOORS[f](wall))


def test_days(put):
    rows = sample(moments("local", "1969-12-20", "2024-02-20"))
    day = rows.column("at").cast(pa.date32())
    rows = rows.set_column(0, "at", day).filter(pa.array(~rows.column("at").to_pandas().dt.date.duplicated()))
    at = pd.to_datetime(rows.column("at").to_pandas())
    assert_reads(put, rows, "date", None, LONGER[1:], lambda freq: FLOORS[freq](at))


def test_text_that_is_a_time_and_text_that_is_none(put):
    rows = sample(moments("local", "1969-12-20", "2024-03-01"))
    at = rows.column("at").to_pandas()
    text = [value.isoformat(" ") if pd.notna(value) else "n/a" if i % 2 else None for i, value in enumerate(at)]
    rows = rows.set_column(0, "at", pa.array(text))
    assert_reads(put, rows, "text", None, ["30min", "D", "MS"], lambda freq: FLOORS[freq](at))


def test_the_last_of_texts_is_the_latest_not_the_greatest_text(put):
    rows = pa.table({"at": ["2024-01-01T08:00", "2024-01-01 20:00", "-"], "y": [1.0, 2.0, 3.0]})
    store, source = put(rows)
    query = series_query(source, "text", Grid(Frequency.parse("D")), "last")
    found = {row["step"]: row["value"] for row in store.read(source, query).read_all().to_pylist()}
    assert found[19723] == 2.0


def test_unreadable_times_are_shown(put):
    store, source = put(pa.table({"at": ["2024-01-01", "n/a", None, "soon", "2024-01-02 10:00"], "y": [1.0] * 5}))
    found = store.read(source, unreadable_query(source, 5)).read_all()
    assert sorted(found.column("found").to_pylist()) == ["n/a", "soon"]


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
@pytest.mark.parametrize("kind", ["local", "instant"])
def test_frames_of_any_precision(kind, unit):
    rows = sample(moments("local", "2024-03-01"))
    at = (
        rows.column("at")
        .cast(pa.timestamp("s"), safe=False)
        .cast(pa.timestamp(unit, "UTC" if kind == "instant" else None))
    )
    rows = rows.set_column(0, "at", at)
    wanted = FLOORS["D"](at.to_pandas().dt.tz_localize(None))
    assert_reads(lambda rows, **more: (DuckDBStore.of_frame(rows), SourceSettings(time="at", target="y", **more)),
                 rows, kind, "UTC", ["D"], lambda freq: wanted)  # fmt: skip


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
    rows = store.read(source, series_query(source, kind, grid, "min")).read_all()
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
def test_any_column_names(put, time, target, series):
    at = pa.array([dt.datetime(1970, 1, 1, hour, 30) for hour in (1, 2, 2, 4)])
    rows = pa.table([at, [1.0, 2.0, 4.0, 8.0], ["a", "a", "a", "b"]], names=[time, target, series])
    store, source = put(rows, time=time, target=target, series=series)
    assert list(store.columns(source)) == [time, target, series]
    for aggregate, second in {"sum": 6.0, "max": 4.0, "count": 2.0}.items():
        found = store.read(source, series_query(source, "local", Grid(Frequency.parse("h")), aggregate)).read_all()
        values = {(row["key_0"], row["step"]): (row["value"], row["row_count"]) for row in found.to_pylist()}
        assert values == {("a", 1): (1.0, 1), ("a", 2): (second, 2), ("b", 4): (values["b", 4][0], 1)}
    (gap,) = store.read(source, spacing_query(source, "local", None)).read_all().to_pylist()
    assert (gap["gap"], gap["gaps"], gap["midnight"]) == (3600, 1, False)


def test_the_users_query_is_read_instead_of_a_table(put):
    store, source = put(sample(moments("local", "2024-03-01")), series="shop")
    table = source.table or store.default
    for ending in ("", ";", " ;; ", "\n-- a comment", "; -- after the end", " /* ; */"):
        sql = f"WITH few AS (SELECT *, 2 * y AS double FROM \"{table}\" WHERE shop = 'north') SELECT * FROM few{ending}"
        query = source.model_copy(update={"table": None, "sql": sql, "target": "double"})
        assert [*store.columns(query)] == ["at", "shop", "item", "y", "double"], ending
        found = store.read(query, series_query(query, "local", Grid(Frequency.parse("QS")), "sum")).read_all()
        assert set(found.column("key_0").to_pylist()) == {"north"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM rows; SELECT 1",
        "SELECT * FROM rows; DROP TABLE rows",
        "DROP TABLE rows",
        "CREATE TABLE more AS SELECT 1",
        "SET threads = 1",
        "",
        "-- nothing",
    ],
)
def test_only_one_select_is_taken_from_the_user(put, sql):
    store, source = put(sample(moments("local", "2024-03-01")))
    with pytest.raises(UsageError, match="one SELECT"):
        store.columns(source.model_copy(update={"table": None, "sql": sql}))


@pytest.mark.parametrize("sql", ["SELECT * FROM rows) SELECT (1", "SELECT FROM", "SELECT no_such FROM nowhere"])
def test_a_wrong_query_is_the_stores_own_error(put, sql):
    store, source = put(sample(moments("local", "2024-03-01")))
    with pytest.raises(StoreError):
        store.columns(source.model_copy(update={"table": None, "sql": sql}))


def test_an_error_while_reading_is_the_stores_own(put):
    store, source = put(pa.table({"at": [dt.datetime(2024, 1, 1)], "y": ["x"]}))
    with pytest.raises(StoreError, match="(?i)convert"):
        store.read(source, series_query(source, "local", Grid(Frequency.parse("D")), "sum")).read_all()


def test_a_table_that_is_not_there_is_an_error_that_lists_those_that_are(put):
    store, source = put(sample(moments("local", "2024-03-01")))
    with pytest.raises(StoreError, match=f"there are: .*{source.table or store.default}"):
        store.columns(source.model_copy(update={"table": "sales"}))


def test_tables_and_schemas_of_any_name(tmp_path):
    rows = pa.table({"at": [dt.datetime(2024, 1, 1)], "y": [1.0]})
    for name in ('a "quoted; one', "select", "🦆 it's -- so", "`tick`"):
        store, table = in_table(rows, tmp_path, name.replace('"', '""'))
        with store:
            assert store.columns(SourceSettings(table=table.replace('""', '"'))) == {"at": "local", "y": "number"}
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute('CREATE SCHEMA "my shop"; CREATE TABLE "my shop"."the rows" (at DATE)')
    with open_store(str(tmp_path / "shop.duckdb")) as store:
        for name in ("my shop.the rows", "shop.my shop.the rows"):
            assert store.columns(SourceSettings(table=name)) == {"at": "date"}
        with pytest.raises(UsageError, match="--table"):
            store.columns(SourceSettings())


def test_a_file_is_a_table_called_like_it_and_data(tmp_path):
    pq.write_table(pa.table({"y": [1.0]}), tmp_path / 'May\'s "best"; 1.parquet')
    with open_store(str(tmp_path / 'May\'s "best"; 1.parquet')) as store:
        for table in (None, "data", 'May\'s "best"; 1'):
            assert store.columns(SourceSettings(table=table)) == {"y": "number"}


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
