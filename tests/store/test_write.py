"""Writing: rows are replaced by key, and nothing is half written."""

import datetime as dt
import gzip
import os
import resource
import shutil
import stat
import subprocess
import sys
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatecast.errors import DataError, StoreError, UsageError
from gatecast.settings import SourceSettings
from gatecast.store import open_store

KEY = ("shop", "at")


def forecasts(values, shop="north", run="r1"):
    """One forecast a day from 1 May on."""
    return pa.table(
        {
            "shop": pa.array([shop] * len(values), pa.string()),
            "at": pa.array([dt.datetime(2024, 5, 1 + day) for day in range(len(values))], pa.timestamp("us")),
            "value": pa.array(values, pa.float64()),
            "run": pa.array([run] * len(values)),
        }
    )


def write(path, rows, into="out", key=KEY):
    with open_store(str(path), write=True) as store:
        store.write(into, rows, key)


def content(place):
    if str(place).startswith("bigquery:"):
        with open_store(place) as store:
            rows = store.client.query(
                f"SELECT shop, EXTRACT(DAY FROM at), value, run FROM {store.dataset}.out"
            ).result()
            assert [table.table_id for table in store.client.list_tables(store.dataset)] == ["out"]  # no staging table
            return sorted((tuple(row) for row in rows), key=str)
    with duckdb.connect(str(place), read_only=True) as connection:
        return sorted(connection.execute('SELECT shop, day("at"), value, run FROM out').fetchall(), key=str)


@pytest.fixture
def database(tmp_path):
    return tmp_path / "new.duckdb"


@pytest.fixture(params=["duckdb", "bigquery"])
def place(request):
    """A store of each kind in which nothing is yet."""
    return request.getfixturevalue("database" if request.param == "duckdb" else "bigquery")


def test_a_table_is_made_with_the_rows_and_their_types(place):
    write(place, forecasts([1.5, None]))
    assert content(place) == [("north", 1, 1.5, "r1"), ("north", 2, None, "r1")]
    with open_store(str(place)) as store:
        kinds = store.columns(SourceSettings(table="out"))
    assert kinds == {"shop": "text", "at": "local", "value": "number", "run": "text"}


def test_written_twice_there_are_no_doubles(place):
    write(place, forecasts([1.0, 2.0, 3.0]))
    write(place, forecasts([1.0, 2.0, 3.0]))
    assert content(place) == [("north", day, float(day), "r1") for day in (1, 2, 3)]


def test_rows_of_the_same_key_are_replaced_and_others_kept(place):
    write(place, forecasts([1.0, 2.0, 3.0]))
    write(place, forecasts([7.0], shop="south"))
    write(place, forecasts([10.0, 20.0], run="r2"))
    assert content(place) == [
        ("north", 1, 10.0, "r2"),
        ("north", 2, 20.0, "r2"),
        ("north", 3, 3.0, "r1"),
        ("south", 1, 7.0, "r1"),
    ]


def test_a_null_in_the_key_is_a_key(place):
    write(place, forecasts([1.0], shop=None))
    write(place, forecasts([2.0], shop=None))
    write(place, forecasts([3.0]))
    assert content(place) == [("north", 1, 3.0, "r1"), (None, 1, 2.0, "r1")]


def test_columns_may_come_in_another_order(place):
    write(place, forecasts([1.0]))
    write(place, forecasts([2.0]).select(["value", "run", "at", "shop"]))
    assert content(place) == [("north", 1, 2.0, "r1")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows.append_column("more", pa.array([1, 2])), "more"),
        (lambda rows: rows.drop_columns("run"), "run"),
        (lambda rows: rows.rename_columns(["shop", "at", "amount", "run"]), "amount"),
        (lambda rows: rows.set_column(2, "value", pa.array(["1", "2"])), "value"),
        (lambda rows: rows.set_column(1, "at", rows.column("at").cast(pa.date32())), "at"),
    ],
    ids=["more", "fewer", "renamed", "another type", "date for time"],
)
def test_other_columns_are_refused_before_anything_is_written(place, change, told):
    write(place, forecasts([1.0, 2.0]))
    with pytest.raises(DataError, match=f"other columns.*{told} "):
        write(place, change(forecasts([8.0, 9.0])))
    assert content(place) == [("north", 1, 1.0, "r1"), ("north", 2, 2.0, "r1")]


def test_columns_are_told_by_where_they_are(place):
    write(place, forecasts([1.0]))
    rows = forecasts([2.0])
    rows = rows.rename_columns(["shop", "at", "amount", "run"]).set_column(1, "at", rows.column("at").cast(pa.date32()))
    there = r"only the table has at (TIMESTAMP|DATETIME), value (DOUBLE|FLOAT)"
    told = rf"write \({there}; only the rows have amount (DOUBLE|FLOAT), at DATE\): write into another table"
    with pytest.raises(DataError, match=told):
        write(place, rows)


def test_a_failure_midway_leaves_the_table_as_it_was(database):
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            'CREATE TABLE out (shop VARCHAR, "at" TIMESTAMP, value DOUBLE CHECK (value < 100), run VARCHAR)'
        )
    write(database, forecasts([1.0, 2.0]))
    with open_store(str(database), write=True) as store:
        with pytest.raises(StoreError, match="CHECK"):  # after the old rows were deleted
            store.write("out", forecasts([5.0, 500.0]), KEY)
        store.write("out", forecasts([3.0], shop="south"), KEY)  # and the store goes on
    assert content(database) == [("north", 1, 1.0, "r1"), ("north", 2, 2.0, "r1"), ("south", 1, 3.0, "r1")]


def test_a_failure_midway_leaves_no_new_table(database):
    with open_store(str(database), write=True) as store:
        with pytest.raises(StoreError, match="no_such"):
            store.write("out", forecasts([1.0]), ["no_such"])
        assert store.connection.execute("SELECT table_name FROM information_schema.tables").fetchall() == []
    assert not database.exists()  # nor a database with nothing in it


def test_a_database_that_was_there_stays_though_nothing_is_in_it(database):
    duckdb.connect(str(database)).close()
    with pytest.raises(UsageError, match="--into"):
        write(database, forecasts([1.0]), into=None)
    assert database.exists()


def test_interrupted_writing_leaves_the_table_as_it_was(database):
    write(database, forecasts([1.0]))
    with open_store(str(database), write=True) as store:
        store.connection = Interrupted(store.connection)
        with pytest.raises(KeyboardInterrupt):
            store.write("out", forecasts([2.0]), KEY)
    assert content(database) == [("north", 1, 1.0, "r1")]


@contextmanager
def no_file_beyond(size):
    """As on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_a_table_as_it_was_and_is_named(database):
    write(database, forecasts([1.0]))
    with no_file_beyond(0), pytest.raises(StoreError, match="File too large"):
        write(database, forecasts([2.0] * 20))
    assert content(database) == [("north", 1, 1.0, "r1")]


class Interrupted:
    """A connection at which the user presses Ctrl-C before the new rows go in."""

    def __init__(self, connection):
        self.connection = connection

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def execute(self, sql):
        if sql.startswith("INSERT"):
            raise KeyboardInterrupt
        return self.connection.execute(sql)


@pytest.mark.parametrize("into", ['a "quoted; one', "select", "🦆 it's -- so", "main.rows of May"])
def test_any_table_and_column_names(database, into):
    rows = forecasts([1.0, 2.0]).rename_columns(['the "shop"', "order", "va;lue", "a.b"])
    for _ in range(2):
        write(database, rows, into, key=['the "shop"', "order"])
    with open_store(str(database)) as store:
        assert list(store.columns(SourceSettings(table=into))) == rows.column_names
        name = into.removeprefix("main.").replace('"', '""')
        assert store.connection.execute(f'SELECT "va;lue" FROM "{name}" ORDER BY 1').fetchall() == [(1.0,), (2.0,)]


def test_without_a_table_a_database_is_not_written(place):
    with pytest.raises(UsageError, match="--into"):
        write(place, forecasts([1.0]), into=None)


def test_a_database_opened_to_read_refuses_to_write(database):
    write(database, forecasts([1.0]))
    with open_store(str(database)) as store, pytest.raises(StoreError, match="read-only"):
        store.write("out", forecasts([2.0]), KEY)
    assert content(database) == [("north", 1, 1.0, "r1")]


FILES = ["out.csv", "out.csv.gz", "out.tsv", "out.parquet", "out.json", "out.jsonl"]


def read_back(path):
    """The rows of a file, by the store's own reader."""
    with open_store(str(path)) as store:
        return sorted(store.connection.execute('SELECT shop, day("at"), value, run FROM data').fetchall(), key=str)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_written_and_replaced_whole(name, tmp_path):
    write(tmp_path / name, forecasts([1.0, None, 3.5]), into=None)
    assert read_back(tmp_path / name) == [("north", 1, 1.0, "r1"), ("north", 2, None, "r1"), ("north", 3, 3.5, "r1")]
    write(tmp_path / name, forecasts([9.0], shop="söuth\t,'\""), into=None)
    assert read_back(tmp_path / name) == [("söuth\t,'\"", 1, 9.0, "r1")]
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_instants_are_written_in_the_zone_of_the_grid(name, zone, tmp_path):
    """In UTC a day of Berlin would be read as the day before."""
    begun = pa.array([dt.datetime(2024, 10, 26, 22), dt.datetime(2024, 10, 27, 1, 30)], pa.timestamp("us", "UTC"))
    rows = pa.table({"opened": begun, "at": begun.cast(pa.timestamp("us", zone)), "value": [1.0, 2.0]})
    write(tmp_path / name, rows, into=None)
    told = {"Europe/Berlin": ("2024-10-27 00:00:00+02", "2024-10-27 02:30:00+01")}
    told |= {"UTC": ("2024-10-26 22:00:00+00", "2024-10-27 01:30:00+00")}
    if name.endswith(".parquet"):
        assert pq.read_table(tmp_path / name).equals(rows)
    else:
        with (gzip.open if name.endswith(".gz") else open)(tmp_path / name, "rt") as file:
            text = file.read()
        assert all(text.count(instant) == 2 for instant in told[zone])
    with open_store(str(tmp_path / name)) as store:
        back = store.connection.execute('SELECT epoch_us("at") FROM data').fetchall()
    assert [instant for (instant,) in back] == begun.cast(pa.int64()).to_pylist()


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "out.tsv").symlink_to(tmp_path / "far" / "out")
    for value in (1.0, 2.0):
        write(tmp_path / "out.tsv", forecasts([value]), into=None)
    assert (tmp_path / "out.tsv").is_symlink()
    assert (tmp_path / "far" / "out").read_text().splitlines()[1].split("\t")[2] == "2.0"
    assert os.listdir(tmp_path / "far") == ["out"]


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_who_may_read_a_file_stays_as_it_was(mode, tmp_path):
    """As of an empty one that mktemp has made."""
    (tmp_path / "out.csv").touch()
    (tmp_path / "out.csv").chmod(mode)
    for value in (1.0, 2.0):
        write(tmp_path / "out.csv", forecasts([value]), into=None)
    assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == mode


def test_a_file_with_brackets_in_its_name_is_replaced(tmp_path):
    for value in (1.0, 2.0):
        write(tmp_path / "out[1].parquet", forecasts([value]), into=None)
    assert read_back(tmp_path / "out[1].parquet") == [("north", 1, 2.0, "r1")]


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_other_columns_is_not_replaced(name, tmp_path):
    write(tmp_path / name, forecasts([1.0, 2.0]), into=None)
    before = (tmp_path / name).read_bytes()
    for rows in (forecasts([3.0]).drop_columns("run"), forecasts([3.0]).rename_columns(["a", "b", "c", "d"])):
        with pytest.raises(DataError, match=r"is there already, with other columns .*; write into another file"):
            write(tmp_path / name, rows, into=None)
    assert (tmp_path / name).read_bytes() == before
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", FILES)
def test_a_file_in_a_folder_that_names_a_column_is_replaced(name, tmp_path):
    """As `night=1`, which DuckDB adds to the columns that it reads: the second time was refused."""
    (tmp_path / "night=1").mkdir()
    for value in (1.0, 2.0):
        write(tmp_path / "night=1" / name, forecasts([value]), into=None)
    assert read_back(tmp_path / "night=1" / name) == [("north", 1, 2.0, "r1")]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("shop", [" shop ", "\ufeffshop", "shop\u00a0"])
def test_a_file_whose_columns_have_blanks_around_their_names_is_replaced(name, shop, tmp_path):
    """DuckDB reads such names from a CSV file without them, so that the second night was refused."""
    for value in (1.0, 2.0):
        write(tmp_path / name, forecasts([value]).rename_columns([shop, "at", "value", "run"]), into=None, key=[shop])
    assert duckdb.sql(f"SELECT value FROM '{tmp_path / name}'").fetchall() == [(2.0,)]


@pytest.mark.parametrize("name", ["out.csv.gz", "out.parquet", "out.json", "out.duckdb"])
def test_a_broken_file_stays_and_the_message_says_what_to_do(name, tmp_path):
    into = "forecasts" if name == "out.duckdb" else None
    write(tmp_path / name, forecasts([1.0, 2.0]), into=into)
    whole = (tmp_path / name).read_bytes()
    cut = whole[: len(whole) // 3]
    (tmp_path / name).write_bytes(cut)
    with pytest.raises(StoreError, match=r" \(write into another file, or remove this one if it is broken\)$"):
        write(tmp_path / name, forecasts([3.0]), into=into)
    assert (tmp_path / name).read_bytes() == cut


HOLD = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def test_nobody_is_told_to_remove_a_database_that_another_process_holds(tmp_path):
    path = tmp_path / "out.duckdb"
    write(path, forecasts([1.0]), into="forecasts")
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(StoreError, match="Could not set lock") as error:
            write(path, forecasts([2.0]), into="forecasts")
        other.stdin.close()
    assert "broken" not in str(error.value)


@pytest.mark.parametrize("write", [False, True])
def test_of_a_database_that_this_process_holds_otherwise_the_message_says_what_to_close(database, write):
    """As in a notebook, where `duckdb.connect` stays open."""
    duckdb.connect(str(database)).close()
    with duckdb.connect(str(database), read_only=write), pytest.raises(StoreError) as error:
        open_store(database, write=write)
    assert str(error.value).endswith("than existing connections: close those that this process has")
    open_store(database, write=write).close()


@pytest.mark.parametrize("name", FILES)
def test_a_full_disk_leaves_a_file_as_it_was_and_is_named_in_plain_words(name, tmp_path):
    write(tmp_path / name, forecasts([1.0]), into=None)
    with no_file_beyond(0), pytest.raises(StoreError, match=r"^[^{]*File too large$"):
        write(tmp_path / name, forecasts([2.0]), into=None)
    assert read_back(tmp_path / name) == [("north", 1, 1.0, "r1")]
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", FILES)
def test_an_empty_file_is_replaced(name, tmp_path):
    (tmp_path / name).touch()
    write(tmp_path / name, forecasts([9.0]), into=None)
    assert read_back(tmp_path / name) == [("north", 1, 9.0, "r1")]


def test_files_are_what_their_ending_says(tmp_path):
    for name in FILES:
        write(tmp_path / name, forecasts([1.0]), into=None)
    text = {name: (tmp_path / name).read_bytes() for name in FILES}
    assert text["out.csv"].decode().splitlines() == ["shop,at,value,run", "north,2024-05-01 00:00:00,1.0,r1"]
    assert text["out.tsv"].decode().splitlines()[0] == "shop\tat\tvalue\trun"
    assert text["out.csv.gz"].startswith(b"\x1f\x8b")
    assert text["out.parquet"].startswith(b"PAR1")
    assert text["out.json"] == text["out.jsonl"]


@pytest.mark.parametrize("name", FILES)
def test_a_reader_sees_the_old_file_or_the_new_one(name, tmp_path, monkeypatch):
    seen, replace = [], os.replace

    def look_then_replace(beside, final):
        shutil.copy(beside, whole := tmp_path / f"whole.{name}")
        seen.extend([read_back(whole), read_back(final)])
        replace(beside, final)

    write(tmp_path / name, forecasts([1.0]), into=None)
    monkeypatch.setattr(os, "replace", look_then_replace)
    write(tmp_path / name, forecasts([2.0]), into=None)
    assert seen == [[("north", 1, 2.0, "r1")], [("north", 1, 1.0, "r1")]]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_replaced_stays(name, tmp_path, monkeypatch):
    def refuse(beside, final):
        raise PermissionError(13, "Permission denied", str(final))

    write(tmp_path / name, forecasts([1.0]), into=None)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StoreError, match="Permission denied"):
        write(tmp_path / name, forecasts([2.0]), into=None)
    assert read_back(tmp_path / name) == [("north", 1, 1.0, "r1")]
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", [*FILES, "out.duckdb"])
def test_a_folder_that_is_not_there_is_an_error(name, tmp_path):
    with pytest.raises(StoreError, match=f"^nothing can be written to '.*{name}': there is no folder '.*nowhere'$"):
        write(tmp_path / "nowhere" / name, forecasts([1.0]), "t" if name.endswith(".duckdb") else None)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_no_half_of_a_new_database(tmp_path):
    rows, path = pa.table({"k": [1], "v": [2.0]}), tmp_path / "new.duckdb"
    with no_file_beyond(8192), pytest.raises(StoreError, match="File too large"):
        open_store(path, write=True)
    assert list(tmp_path.iterdir()) == []
    with open_store(path, write=True) as store:
        store.write("t", rows, ["k"])
    assert [file.name for file in tmp_path.iterdir()] == ["new.duckdb"]
