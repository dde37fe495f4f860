"""What only BigQuery has: cost before reading, caps, labels, roles, a past, partitions; and writing by MERGE.

The local server bills nothing and forbids nothing: costs and refusals are put into its answers
at the transport, between the official client and the server.
"""

import datetime as dt
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pytest
import requests
from sqlglot import exp, parse_one

from gatecast import read as read_panel
from gatecast.config import Config
from gatecast.data.dates import Frequency, Grid
from gatecast.errors import DataError, StoreError, UsageError
from gatecast.opening import Needed
from gatecast.reading import audit_rows, read_rows
from gatecast.settings import SourceSettings
from gatecast.store import Errand, Observer, open_store
from gatecast.store.bigquery.columns import storable
from gatecast.store.bigquery.jobs import money
from gatecast.store.query import series_query

HOURS = Grid(Frequency.parse("h"))
SOURCE = SourceSettings(table="rows", time="at", target="y")
KEY = ("shop", "at")


def forecasts(values, shop="north", run="r1"):
    """One forecast a day from 1 May on."""
    at = [dt.datetime(2024, 5, 1 + day) for day in range(len(values))]
    return pa.table(
        {
            "shop": pa.array([shop] * len(values), pa.string()),
            "at": pa.array(at, pa.timestamp("us")),
            "value": pa.array(values, pa.float64()),
            "run": [run] * len(values),
        }
    )


def write(url, rows, into="out", key=KEY):
    with open_store(url, write=True) as store:
        store.write(into, rows, key)


def ask(url, sql):
    with open_store(url) as store:
        return sorted((tuple(row) for row in store.client.query(sql).result()), key=str)


def content(url, table="out"):
    dataset = url.rpartition("/")[2]
    return ask(url, f"SELECT shop, EXTRACT(DAY FROM at), value, run FROM `{dataset}`.`{table}`")


def tables(url):
    with open_store(url) as store:
        return sorted(table.table_id for table in store.client.list_tables(store.dataset))


def test_types_survive_and_nan_is_not_null(bigquery):
    rows = pa.table(
        {
            "at": pa.array([dt.datetime(2024, 5, 1, 12)], pa.timestamp("ms", "America/New_York")),
            "day": pa.array([dt.date(2024, 5, 1)]),
            "n": pa.array([7], pa.int32()),
            "y": pa.array([float("nan")]),
            "yes": pa.array([True]),
            "name": pa.array(["a"]).dictionary_encode(),
        }
    )
    write(bigquery, rows, key=["name", "at"])
    (row,) = ask(bigquery, f"SELECT at, day, n, IS_NAN(y), yes, name FROM {bigquery.rpartition('/')[2]}.out")
    assert row == (dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC), dt.date(2024, 5, 1), 7, True, True, "a")


@pytest.mark.parametrize("opens", [dt.time(8, 30), None])
def test_series_named_by_times_of_day_are_written_and_replaced(bigquery, opens):
    names = {"shop": ["north", "south"], "opens": pa.array([dt.time(22), opens], pa.time64("us"))}
    dates = {"forecast_timestamp": pa.array([dt.date(2024, 5, 1)] * 2)}
    for values in ([1.0, 2.0], [3.0, 4.0]):
        write(bigquery, pa.table({**names, **dates, "value": values}), key=[*names, *dates])
    rows = ask(bigquery, f"SELECT shop, opens, value FROM {bigquery.rpartition('/')[2]}.out")
    assert rows == [("north", dt.time(22), 3.0), ("south", opens, 4.0)]


def test_bytes_stay_bytes():  # the server takes those of a load job to be texts in base64
    rows, (field,) = storable(pa.table({"code": pa.array([b"\x00a", b"\xff"])}))
    assert (field.field_type, rows.column("code").to_pylist()) == ("BYTES", [b"\x00a", b"\xff"])


@pytest.mark.parametrize("name", ["shop.id", "shop [EU]", "shop (EU)", "a/b", 'a"b'])
def test_a_column_name_that_bigquery_does_not_allow_is_refused_with_what_to_do(bigquery, name):
    rows = forecasts([1.0]).rename_columns([name, "at", "value", "run"])
    with pytest.raises(DataError, match=f"allows no .* got {re.escape(repr(name))} instead: .*--sql"):
        write(bigquery, rows, key=(name, "at"))
    assert tables(bigquery) == []


def test_a_new_table_is_partitioned_by_day_and_clustered_by_series(bigquery):
    write(bigquery, forecasts([1.0]))
    with open_store(bigquery) as store:
        table = store.client.get_table(f"{store.dataset}.out")
    assert (table.time_partitioning.type_, table.time_partitioning.field) == ("DAY", "at")
    assert table.clustering_fields == ["shop"]


def test_a_new_table_is_partitioned_by_the_day_of_its_forecasts_though_series_are_named_by_days(bigquery):
    rows = forecasts([1.0]).append_column("began", pa.array([dt.date(2020, 1, 1)]))
    rows = rows.rename_columns(["shop", "forecast_timestamp", "value", "run", "began"])
    write(bigquery, rows, key=("began", "shop", "forecast_timestamp"))
    with open_store(bigquery) as store:
        table = store.client.get_table(f"{store.dataset}.out")
    assert (table.time_partitioning.field, table.clustering_fields) == ("forecast_timestamp", ["began", "shop"])


class Wire(requests.Session):
    """The wire between the official client and the server, on which answers can be changed."""

    fails = ("nothing",)
    """Beginnings of queries that fail on the server, though their dry run does not."""

    def __init__(self, change):
        super().__init__()
        self.change, self.sent = change, []
        self._auth_request, self.session = self, requests.Session()  # what the client closes

    def request(self, method, url, data=None, **kwargs):
        body = json.loads(data) if data and data[:1] in ("{", b"{") else {}
        self.sent.append((method, url, body))
        if body.get("configuration", {}).get("query", {}).get("query", "").startswith(self.fails) and (
            not body["configuration"].get("dryRun")
        ):
            data = data.replace("MERGE", "MERGE SOMETHING ELSE")  # so that the server itself refuses it
        answer = super().request(method, url, data=data, **kwargs)
        changed = self.change(method, url, body, answer)
        if changed is not None:
            answer.status_code, answer._content = changed[0], json.dumps(changed[1]).encode()
        return answer

    @property
    def jobs(self):
        """The settings of the jobs sent."""
        return [body["configuration"] for _, _, body in self.sent if "configuration" in body]


def on_wire(url, change, **errand):
    """A store on a wire."""
    store = open_store(url, errand=Errand("fit", "run7", **errand))
    store.client._http_internal = Wire(change)
    return store, store.client._http


def refused(status, reason, message):
    return status, {"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}


def costing(count, billed=0):
    """Dry runs cost so many bytes, and jobs that have run are billed for some."""

    def change(method, url, body, answer):
        told = answer.json() if billed and answer.ok and answer.content else {}
        if not body.get("configuration", {}).get("dryRun") and "query" in told.get("statistics", {}):
            told["statistics"]["query"]["totalBytesBilled"] = str(billed)
            return 200, told
        if body.get("configuration", {}).get("dryRun"):
            told = answer.json()
            told["statistics"]["totalBytesProcessed"] = str(count)
            told["statistics"]["query"]["totalBytesProcessed"] = str(count)
            return 200, told
        return None

    return change


class Person(Observer):
    """Answers and keeps notes."""

    def __init__(self, answer=True):
        self.answer, self.notes, self.asked = answer, [], []

    def note(self, text):
        self.notes.append(text)

    def agree(self, question):
        self.asked.append(question)
        return self.answer


@pytest.fixture
def rows(bigquery):
    at = pa.array([dt.datetime(2024, 5, 1, hour) for hour in range(24)], pa.timestamp("us"))
    write(bigquery, pa.table({"at": at, "y": [float(hour) for hour in range(24)]}), "rows", ["at"])
    return bigquery


def read(store, source=SOURCE):
    with store:
        return store.read(source, series_query(source, "local", HOURS, "sum")).read_all()


def test_bytes_and_money_are_told_and_asked_for_once_and_capped(rows):
    person = Person()
    store, wire = on_wire(rows, costing(3 * 2**40 // 1000), observer=person)
    for _ in range(2):
        assert store.read(SOURCE, series_query(SOURCE, "local", HOURS, "sum")).read_all().num_rows == 24
    assert person.notes == ["this query will read 3.3 GB (about $0.02 on demand)"] * 2
    assert person.asked == ["read it, and what else this takes, each query up to 10 GB?"]
    store.close()
    queries = [job for job in wire.jobs if not job.get("dryRun")]
    assert [job["query"]["maximumBytesBilled"] for job in queries] == ["10000000000"] * 2


def test_a_query_that_costs_more_than_allowed_is_not_run(rows):
    store, wire = on_wire(rows, costing(20 * 10**9))
    with pytest.raises(StoreError, match=r"would read 20 GB \(about \$0.11 on demand\), more than --max-bytes 10 GB"):
        read(store)
    assert all(job.get("dryRun") for job in wire.jobs)
    store, _ = on_wire(rows, costing(20 * 10**9))
    assert read(store, SOURCE.model_copy(update={"max_bytes": 30 * 10**9})).num_rows == 24


def test_who_says_no_pays_nothing(rows):
    store, wire = on_wire(rows, costing(10**9), observer=Person(answer=False))
    with pytest.raises(StoreError, match="it was not run"):
        read(store)
    assert all(job.get("dryRun") for job in wire.jobs)


def test_jobs_carry_labels(rows):
    store, wire = on_wire(rows, lambda *_: None)
    read(store, SOURCE.model_copy(update={"label": ("team:sales",)}))
    assert all(job["labels"] == {"gatecast-verb": "fit", "gatecast-run": "run7", "team": "sales"} for job in wire.jobs)
    store, _ = on_wire(rows, lambda *_: None)
    with pytest.raises(UsageError, match="name:value"):
        read(store, SOURCE.model_copy(update={"label": ("sales",)}))


HOW = SourceSettings(location="US", label=("team:sales",), max_bytes=5 * 10**9)


def test_writing_is_run_dry_capped_located_labelled_and_counted(bigquery):
    person = Person()
    store, wire = on_wire(bigquery, costing(10**9, billed=2 * 10**9), observer=person, source=HOW)
    with store:
        store.write("out", forecasts([1.0]), KEY)
        store.view("seen", parse_one("SELECT shop FROM out"))
        assert store.bytes_billed == 4 * 10**9
    assert content(bigquery) == [("north", 1, 1.0, "r1")]
    load, *queries = [job for job in wire.jobs if not job.get("dryRun")]
    assert "load" in load
    assert [job["query"]["query"].split()[0] for job in queries] == ["MERGE", "CREATE"]
    dry = [job["query"]["query"] for job in wire.jobs if job.get("dryRun")]
    assert dry == [job["query"]["query"] for job in queries]
    assert {job["query"]["maximumBytesBilled"] for job in queries} == {"5000000000"}
    wanted = {"gatecast-verb": "fit", "gatecast-run": "run7", "team": "sales"}
    assert all(job["labels"] == wanted for job in wire.jobs)
    assert {body["jobReference"]["location"] for _, _, body in wire.sent if "jobReference" in body} == {"US"}
    cost = "this query will read 1 GB (less than $0.01 on demand)"
    assert person.notes == [cost, "writing was billed 2 GB", cost]
    assert len(person.asked) == 1


@pytest.mark.parametrize("there", [True, False], ids=["there", "new"])
@pytest.mark.parametrize("failure", ["too much", "no", "midway"])
def test_writing_that_fails_leaves_everything_as_it_was(bigquery, there, failure):
    if there:
        write(bigquery, forecasts([1.0, 2.0]))

    change = costing(6 * 10**9 if failure == "too much" else 10**9)
    store, wire = on_wire(bigquery, change, observer=Person(answer=failure != "no"), source=HOW)
    wire.fails = ("MERGE",) if failure == "midway" else wire.fails
    told = {"too much": "more than --max-bytes 5 GB", "no": "it was not run", "midway": "Syntax error"}
    with store, pytest.raises(StoreError, match=told[failure]):
        store.write("out", forecasts([8.0]), KEY)
    if there:
        assert content(bigquery) == [("north", 1, 1.0, "r1"), ("north", 2, 2.0, "r1")]
    assert tables(bigquery) == ["out"] * there


def test_answers_that_are_lost_after_the_work_was_done_cost_nothing(bigquery):
    lost = set()

    def lose(method, url, body, answer):
        """The first answer to each kind of request; an upload's is left, which the local server cannot give again."""
        kind = method, url.partition("?")[0].split("/")[-1][:8], bool(body.get("configuration", {}).get("dryRun"))
        if kind in lost or not answer.ok or "upload" in url:
            return None
        lost.add(kind)
        return refused(503, "backendError", "try again")

    store, _ = on_wire(bigquery, lose)
    with store:
        store.write("out", forecasts([1.0]), KEY)
    assert {("POST", "tables", False), ("POST", "jobs", True), ("POST", "jobs", False)} <= lost
    assert content(bigquery) == [("north", 1, 1.0, "r1")]
    assert tables(bigquery) == ["out"]


@pytest.mark.parametrize("after", ["gatecast_staging", "out"])
@pytest.mark.parametrize("fails", [False, True], ids=["both are written", "the first fails"])
def test_a_table_that_two_jobs_find_missing_keeps_the_rows_of_both(bigquery, after, fails):
    others = [forecasts([2.0], "south")]

    def meanwhile(method, url, body, _answer):
        """Another job writes once the first has made its staging table, or the table itself."""
        made = body.get("tableReference", {}).get("tableId", "") if method == "POST" and "/tables" in url else ""
        if others and made.startswith(after):
            write(bigquery, others.pop())

    store, wire = on_wire(bigquery, meanwhile)
    wire.fails = ("MERGE",) if fails else wire.fails
    with store, pytest.raises(StoreError, match="Syntax error") if fails else nullcontext():
        store.write("out", forecasts([1.0]), KEY)
    assert content(bigquery) == [("north", 1, 1.0, "r1")] * (not fails) + [("south", 1, 2.0, "r1")]
    assert tables(bigquery) == ["out"]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Access Denied: Dataset proj:d: Permission denied", "roles/bigquery.dataEditor on the data set written to"),
        ("Access Denied: Project proj: User may not run jobs", "roles/bigquery.jobUser on the project"),
        ("Access Denied: Permission bigquery.tables.create denied on dataset proj:d", "roles/bigquery.dataEditor"),
    ],
)
def test_refused_writing_names_the_role_that_writes(bigquery, message, told):
    store, _ = on_wire(bigquery, lambda method, *_: refused(403, "accessDenied", message) if method == "POST" else None)
    with store, pytest.raises(StoreError, match=f"ask for {told}"):
        store.write("out", forecasts([1.0]), KEY)


def test_the_bytes_saved_by_reading_only_what_is_needed_are_told(rows, monkeypatch):
    def change(method, url, body, answer):
        query = body.get("configuration", {}).get("query", {}).get("query", "")
        return costing(1_200_000 if "2024-05-01 20:00" in query else 9 * 10**6)(method, url, body, answer)

    person = Person()
    monkeypatch.setattr("gatecast.opening.open_store", lambda url, errand: on_wire(url, change, observer=person)[0])
    config = Config.from_options(rows, {"table": "rows", "time": "at", "target": "y", "freq": "h"})
    needed = Needed("2024-05-01 20:00", "2024-05-01 20:00")
    assert read_rows(config, rows, Errand(observer=person), needed).panel.values.tolist() == [20.0, 21.0, 22.0, 23.0]
    assert "only rows since 2024-05-01 20:00 are read: 1.2 MB instead of 9 MB" in person.notes


def test_the_location_is_where_jobs_run(rows):
    store, wire = on_wire(rows, lambda *_: None)
    read(store, SOURCE.model_copy(update={"location": "US"}))
    assert {body["jobReference"]["location"] for _, _, body in wire.sent if "jobReference" in body} == {"US"}


@pytest.mark.parametrize(
    ("status", "reason", "message", "told"),
    [
        (
            403,
            "accessDenied",
            "Access Denied: Project proj: User does not have bigquery.jobs.create permission in project proj.",
            "ask for roles/bigquery.jobUser on the project",
        ),
        (
            403,
            "accessDenied",
            "Access Denied: Table proj:d.t: User does not have permission to query table proj:d.t, or perhaps it "
            "does not exist.",
            "ask for roles/bigquery.dataViewer on the data set",
        ),
        (
            403,
            "accessNotConfigured",
            "BigQuery API has not been used in project 7 before or it is disabled.",
            "run `gcloud services enable bigquery.googleapis.com`",
        ),
        (403, "quotaExceeded", "Quota exceeded: Your project exceeded quota for free query bytes.", "higher quota"),
        (
            400,
            "bytesBilledLimitExceeded",
            "Query exceeded limit for bytes billed: 1. 10485760 or higher required.",
            "allow more with --max-bytes",
        ),
        (401, "authError", "Invalid Credentials", "gcloud auth application-default login"),
    ],
)
def test_refusals_are_one_sentence_that_helps(rows, status, reason, message, told):
    def change(method, url, body, answer):
        return refused(status, reason, message) if "/jobs" in url or "/queries" in url else None

    store, _ = on_wire(rows, change)
    with pytest.raises(StoreError) as caught:
        read(store)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(message[:20]) <= 1


@pytest.mark.parametrize("table", ["events_*", "other-project.shop.events_2024*"])
def test_a_wildcard_for_tables_is_answered_with_the_query_that_reads_them(bigquery, table):
    """BigQuery's own answer is that there is no such table."""
    with open_store(bigquery) as store, pytest.raises(UsageError) as caught:
        store.columns(SourceSettings(table=table))
    query = str(caught.value).partition("--sql '")[2].partition("' instead")[0]
    (asked,) = parse_one(query, dialect="bigquery").find_all(exp.Table)
    assert ".".join(part.name for part in asked.parts) == table


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("nope", "there are: .*rows"),
        ("nods.nope", "proj:nods.*there are: .*rows"),
        ("{}.nope", "there are: .*_2.others$"),
    ],
    ids=["table", "data set", "table of another data set"],
)
def test_what_is_missing_is_named_beside_what_is_there(rows, table, told):
    other = f"{rows.rpartition('/')[2]}_2"
    ask(rows, f"CREATE SCHEMA {other}")
    ask(rows, f"CREATE TABLE {other}.others AS SELECT 1 AS y")
    table = table.format(other)
    with open_store(rows) as store, pytest.raises(StoreError, match=told):
        store.columns(SOURCE.model_copy(update={"table": table}))


def test_a_server_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "127.0.0.1:9")
    monkeypatch.setattr("gatecast.store.bigquery.store.RETRY", None)
    with open_store("bigquery://proj/shop") as store, pytest.raises(StoreError, match="cannot be reached"):
        store.columns(SOURCE)


@pytest.mark.parametrize("missing", ["google", "google.cloud.bigquery", "google.cloud.bigquery_storage_v1", "grpc"])
def test_without_the_libraries_the_command_that_installs_them_is_named(missing):
    """In a process of its own, in which they cannot be imported; a folder google.cloud may be there without them."""
    code = (
        "import sys; from gatecast.errors import UsageError; from gatecast.store import open_store\n"
        f"sys.modules[{missing!r}] = None\n"
        "try: open_store('bigquery://proj/shop')\n"
        "except UsageError as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stdout.strip() == "BigQuery needs libraries that are not here: pip install 'gatecast[bigquery]'"


@pytest.mark.parametrize(("content", "told"), [(None, "was not found"), ('{"type": "x"}', "a valid type")])
def test_without_credentials_the_command_that_gets_them_is_named(monkeypatch, tmp_path, content, told):
    key = tmp_path / "key.json"
    if content:
        key.write_text(content)
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    named = (
        rf"found at {re.escape(str(key))}, which GOOGLE_APPLICATION_CREDENTIALS names \(.*{told}.*\): run `gcloud auth"
    )
    with pytest.raises(StoreError, match=named):
        open_store("bigquery://proj/shop")


def test_a_project_has_to_be_named_somewhere(monkeypatch):
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "127.0.0.1:9")
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    with pytest.raises(UsageError, match="GOOGLE_CLOUD_PROJECT"):
        open_store("bigquery://")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    assert open_store("bigquery:///shop").url == "bigquery://mine/shop"


@pytest.mark.parametrize("url", ["bigquery:proj", "bigquery://proj/shop/rows"])
def test_other_addresses_are_refused(url, bigquery):
    with pytest.raises(UsageError, match="bigquery://PROJECT/DATASET"):
        open_store(url)


def test_rows_are_read_as_they_were_when_reading_began(rows):
    config = Config.from_options(rows, {"table": "rows", "time": "at", "target": "y", "freq": "h"})
    first = read_rows(config, rows)
    later = pa.table({"at": pa.array([dt.datetime(2024, 5, 9)], pa.timestamp("us")), "y": [1.0]})
    write(rows, later, "rows", ["at"])
    assert read_rows(config, rows).panel.reading.rows == 25
    again = read_rows(config.having("source", snapshot=first.read_at), rows)
    assert again.panel.values.tobytes() == first.panel.values.tobytes()
    assert again.config.source.snapshot is None
    assert re.search(r"FOR SYSTEM_TIME AS OF CAST\('2\d{3}-", first.sql)


@pytest.mark.parametrize("now", ["TIMESTAMP(at) AS at, y", "at, CAST(y AS STRING) AS y", "at AS moment, y"])
def test_a_table_is_read_as_it_was_though_its_columns_are_others_now(rows, now):
    """By today's columns times would be of another kind, and queries refused."""
    config = Config.from_options(rows, {"table": "rows", "time": "at", "target": "y", "freq": "h"})
    first, name = read_rows(config, rows), f"`{rows.rpartition('/')[2]}`.rows"
    ask(rows, f"CREATE OR REPLACE TABLE {name} AS SELECT {now} FROM {name}")
    again = read_rows(config.having("source", snapshot=first.read_at), rows, audited=True)
    assert (again.panel.kind, again.panel.values.tolist()) == ("local", first.panel.values.tolist())


def test_views_have_no_past_and_are_read_all_the_same(rows):
    dataset = rows.rpartition("/")[2]
    ask(rows, f"CREATE VIEW {dataset}.seen AS SELECT * FROM {dataset}.rows")
    store = open_store(rows)
    source = SOURCE.model_copy(update={"table": "seen"})
    assert "SYSTEM_TIME" not in store.text(source, series_query(source, "local", HOURS, "sum"))
    assert read(store, source).num_rows == 24
    config = Config.from_options(rows, {"table": "seen", "time": "at", "target": "y", "freq": "h"})
    with pytest.raises(UsageError, match=r"^--snapshot is for a BigQuery table: this source is read as it is now, so "):
        read_rows(config.having("source", snapshot="2024-05-01"), rows)


def test_series_in_nested_columns_are_named_by_their_path(bigquery):
    dataset = bigquery.rpartition("/")[2]
    ask(
        bigquery,
        f"CREATE TABLE {dataset}.rows AS SELECT TIMESTAMP '2024-05-01 10:00:00+00' AS at, 2 AS y, "
        "STRUCT('north' AS id, STRUCT('Oslo' AS city) AS place) AS shop",
    )
    source = SOURCE.model_copy(update={"series": ("shop.id", "shop.place.city")})
    with open_store(bigquery) as store:
        assert store.columns(source)["shop.place.city"] == "text"
        (row,) = store.read(source, series_query(source, "instant", HOURS, "sum")).read_all().to_pylist()
    assert (row["key_0"], row["key_1"], row["value"]) == ("north", "Oslo", 2.0)


@pytest.mark.parametrize(("value", "kind"), [("STRUCT(1 AS id)", "struct<id: int64>"), ("[1, 2]", "list<")])
def test_nested_columns_and_arrays_are_no_series(bigquery, value, kind):
    query = f"SELECT TIMESTAMP '2024-05-01 10:00:00+00' AS at, 2 AS y, {value} AS shop"
    with pytest.raises(DataError, match=f"a series column holds texts, .*, not 'shop' .{kind}"):
        read_panel(bigquery, sql=query, time="at", target="y", series="shop")


@pytest.mark.parametrize("type_", ["INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL"])
def test_targets_of_every_number(bigquery, type_):
    dataset = bigquery.rpartition("/")[2]
    ask(
        bigquery, f"CREATE TABLE {dataset}.rows AS SELECT DATETIME '2024-05-01 10:00:00' AS at, CAST(1 AS {type_}) AS y"
    )
    with open_store(bigquery) as store:
        kind = store.columns(SOURCE)["y"]
        (row,) = store.read(SOURCE, series_query(SOURCE, "local", HOURS, "sum")).read_all().to_pylist()
    assert kind == ("boolean" if type_ == "BOOL" else "number")
    assert row["value"] == 1.0


def test_money_for_people():
    assert [money(count) for count in (10**6, 2**40, 2**50)] == ["less than $0.01", "about $6.25", "about $6,400.00"]


@contextmanager
def endless(server):
    """A proxy before the server on which queries never end; gives its address and the requests it has seen."""
    seen = []

    class Passing(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.command, self.path.partition("?")[0]))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            address = f"http://127.0.0.1:{server.port}{self.path}"
            answer = requests.request(self.command, address, data=body, headers=dict(self.headers), timeout=60)
            told = answer.content
            sent = json.loads(body) if body[:1] == b"{" else {}
            if "/queries/" in self.path:
                told = json.dumps({"jobReference": answer.json()["jobReference"], "jobComplete": False}).encode()
                time.sleep(0.2)
            elif "/jobs" in self.path and not sent.get("configuration", {}).get("dryRun") and "cancel" not in self.path:
                told = json.dumps(answer.json() | {"status": {"state": "RUNNING"}}).encode()
            seen.append((answer.status_code, self.path.partition("?")[0]))
            self.send_response(answer.status_code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Passing) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{proxy.server_port}", seen
        proxy.shutdown()
        thread.join()


def test_a_real_ctrl_c_cancels_the_query_that_runs(rows, bigquery_server):
    command = [sys.executable, "-m", "gatecast", "audit", rows, "--table", "rows", "--time", "at", "--target", "y"]
    with endless(bigquery_server) as (address, seen):
        environment = os.environ | {"BIGQUERY_EMULATOR_HOST": address}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 60
        while not any("/queries/" in path for _, path in seen) and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (1, "gatecast: stopped; no run or table was left half-written\n")
    (cancelled,) = {path for what, path in seen if what == 200 and path.endswith("/cancel")}
    job = cancelled.split("/")[-2]
    assert any(path.endswith(f"/queries/{job}") for _, path in seen)


def test_truth_values_become_numbers_by_way_of_integers(bigquery):
    rows = pa.table(
        {
            "at": [dt.datetime(2024, 1, 1, hour) for hour in range(4)],
            "y": [True, False, None, True],
            "promo": [False, True, True, False],
            "wet": [1.5, 2.5, 3.5, 4.5],
        }
    )
    write(bigquery, rows, "rows", ("at",))
    options = {"time": "at", "target": "y", "freq": "h", "past": ["promo", "wet"]}
    for place in ({"table": "rows"}, {"sql": "SELECT * FROM rows"}):
        read = read_rows(Config.from_options(bigquery, options | place), bigquery)
        assert "CAST(CAST(`y` AS INT64) AS FLOAT64)" in read.sql
        assert not {"CAST(`y` AS FLOAT64)", "CAST(`promo` AS FLOAT64)"} & set(
            re.findall(r"CAST\(`\w+` AS \w+\)", read.sql)
        )
        assert "AVG(CAST(CAST(`promo` AS INT64) AS FLOAT64)) AS covariate_0" in read.sql
        assert "AVG(CAST(`wet` AS FLOAT64)) AS covariate_1" in read.sql
        assert read.panel.values.tolist() == pytest.approx([1, 0, math.nan, 1], nan_ok=True)
        assert read.panel.covariates.column("promo").tolist() == [0, 1, 1, 0]
    options |= {"past": "promo", "future": "wet", "until": "2024-01-01 03:00"}  # which hides the columns that follow
    read = read_rows(Config.from_options(bigquery, options | {"table": "rows"}), bigquery)
    dense = "".join(read.sql.split())
    for name in ("y", "promo"):
        assert f"`{name}`,NULL)ASINT64)ASFLOAT64)" in dense
        assert f"`{name}`,NULL)ASFLOAT64)" not in dense
    assert read.panel.values.tolist() == [1, 0]
    assert read.panel.covariates.column("promo").tolist()[:3] == [0, 1, 1]


@pytest.mark.parametrize(
    "more",
    [pytest.param({"until": "2024-01-03"}, marks=pytest.mark.slow), {"future_table": "plan"}],
    ids=["until", "table"],
)
def test_the_audit_counts_future_values_that_only_a_forecast_reads(bigquery, more):
    """The target is known for two days, the promotion for four."""
    days = [dt.datetime(2024, 1, day) for day in (1, 2, 3, 4)]
    rows = pa.table({"at": days, "shop": ["s"] * 4, "y": [1.0, 2.0, 3.0, 4.0], "promo": [False, True, True, False]})
    write(bigquery, rows[:2] if "future_table" in more else rows, "rows", ("at",))
    write(bigquery, rows[2:].select(["at", "shop", "promo"]), "plan", ("at",))
    options = {"table": "rows", "time": "at", "target": "y", "series": "shop", "freq": "D", "future": "promo"}
    for horizon, places in ((2, []), (3, ["s from 2024-01-05"])):
        config = Config.from_options(bigquery, options | more | {"horizon": horizon})
        for found in (audit_rows(config, bigquery), read_rows(config, bigquery, audited=True).audit):
            assert [place for part in found.findings if "future" in part.name for place in part.places] == places


def test_a_snapshot_without_a_zone_is_in_utc_wherever_the_machine_is(bigquery, monkeypatch):
    write(bigquery, forecasts([1.0]))
    now = f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%S.%f}"  # when the table was there, as its columns are asked for
    source = SourceSettings(table="out", time="at", target="value", snapshot=now)
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        with open_store(bigquery) as store:
            assert f"CAST('{now}+00:00' AS TIMESTAMP)" in store.text(source, exp.select("*").from_("rows"))
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_a_snapshot_that_is_no_time_is_refused(bigquery):
    write(bigquery, forecasts([1.0]))
    config = Config.from_options(
        bigquery, {"table": "out", "time": "at", "target": "value", "snapshot": "last monday", "freq": "D"}
    )
    with pytest.raises(UsageError, match="a snapshot is a date and time, not 'last monday'"):
        read_rows(config, bigquery)
