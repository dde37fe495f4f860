"""Streams of rows that break: no row is lost, none comes twice, and without streams rows come page by page."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress

import grpc
import numpy as np
import pyarrow as pa
import pytest
from google.cloud.bigquery_storage_v1 import types

from gatecast.data.dates import Frequency, Grid
from gatecast.errors import StoreError
from gatecast.settings import SourceSettings
from gatecast.store import NO_ERRAND, Errand, Observer, open_store
from gatecast.store.bigquery import streams
from gatecast.store.query import series_query

ROWS, PIECE = 5_000, 100
SOURCE = SourceSettings(table="rows", time="at", target="y", series=("name",))


class Notes(Observer):
    """Keeps what it hears."""

    def __init__(self):
        self.notes, self.progress = [], []

    def note(self, text):
        self.notes.append(text)

    def rows(self, done, total):
        self.progress.append((done, total))


@pytest.fixture
def rows(bigquery):
    """The URL of a data set with a table of rows that differ."""
    at = np.datetime64("2024-01-01T00:00:00", "us") + np.arange(ROWS) * np.timedelta64(1, "h")
    with open_store(bigquery, write=True) as store:
        store.write("rows", pa.table({"at": at, "name": ["a"] * ROWS, "y": np.arange(ROWS, dtype=float)}), ["at"])
    return bigquery


def read(url, errand=NO_ERRAND):
    with open_store(url, errand=errand) as store:
        query = series_query(SOURCE, "local", Grid(Frequency.parse("h")), "sum")
        return store.read(SOURCE, query).read_all()


def assert_whole(found):
    assert sorted(found.column("value").to_pylist()) == list(range(ROWS))
    assert found.column("key_0").unique().to_pylist() == ["a"]


def piece_of(batch):
    whole = pa.record_batch([pa.concat_arrays([column]) for column in batch.columns], schema=batch.schema)
    record = types.ArrowRecordBatch(serialized_record_batch=whole.serialize().to_pybytes())
    return types.ReadRowsResponse.serialize(types.ReadRowsResponse(arrow_record_batch=record, row_count=batch.num_rows))


class Splitting(grpc.GenericRpcHandler):
    """Passes calls on to the real server, its big messages in small pieces, and breaks off now and then.

    The local server sends a stream as one message, so without this no stream is ever cut in the middle.
    """

    def __init__(self, target, every, cuts, code=grpc.StatusCode.UNAVAILABLE):
        self.channel = grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", -1)])
        self.every, self.cuts, self.code = every, cuts, code
        self.offsets, self.lock = [], threading.Lock()

    def service(self, details):
        if details.method.endswith("/ReadRows"):
            return grpc.unary_stream_rpc_method_handler(self.read_rows)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _: self.channel.unary_unary(details.method)(request, timeout=60)
        )

    def read_rows(self, request, context):
        asked = types.ReadRowsRequest.deserialize(request)
        with self.lock:
            self.offsets.append(asked.offset)
        call = self.channel.unary_stream("/google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows")
        sent = 0
        # To its end before anything is passed on: the server notes how far it came after a message has been taken, and
        # refuses to go on from there before.
        for message in [*call(request, timeout=60)]:
            answer = types.ReadRowsResponse.deserialize(message)
            schema = pa.ipc.read_schema(pa.py_buffer(answer.arrow_schema.serialized_schema))
            batch = pa.ipc.read_record_batch(pa.py_buffer(answer.arrow_record_batch.serialized_record_batch), schema)
            for start in range(0, batch.num_rows, PIECE):
                if sent == self.every and self.cut():
                    context.abort(self.code, "the connection was cut")
                yield piece_of(batch.slice(start, PIECE))
                sent += 1

    def cut(self):
        with self.lock:
            self.cuts -= 1
            return self.cuts >= 0


@contextmanager
def proxy(handler):
    server = grpc.server(ThreadPoolExecutor(16), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


class Cutting:
    """A TCP proxy that drops some connections after so many bytes from the server."""

    def __init__(self, target, after, drops):
        self.target, self.after, self.drops = target, after, drops
        self.ends = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            self.serve(client)

    def serve(self, client):
        host, port = self.target.split(":")
        server = socket.create_connection((host, int(port)))
        pumps = [
            threading.Thread(target=self.pump, args=arguments)
            for arguments in ((client, server, None), (server, client, self.after))
        ]
        waiting = threading.Thread(target=self.end, args=(pumps, client, server))
        self.ends.append(waiting)
        for thread in (*pumps, waiting):
            thread.start()

    def pump(self, source, target, after):
        seen = 0
        with suppress(OSError):
            while data := source.recv(4096):
                seen += len(data)
                if after is not None and seen > after and self.drops > 0:
                    self.drops -= 1
                    break
                target.sendall(data)
        for side in (source, target):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def end(self, pumps, *sides):
        for thread in pumps:
            thread.join()
        for side in sides:
            side.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.ends:
            thread.join(10)


def to(monkeypatch, address):
    monkeypatch.setenv("BIGQUERY_EMULATOR_GRPC_HOST", address)


def test_streams_cut_in_the_middle_go_on_where_they_were(rows, bigquery_server, monkeypatch):
    handler = Splitting(f"127.0.0.1:{bigquery_server.grpc_port}", every=7, cuts=5)
    with proxy(handler) as address:
        to(monkeypatch, address)
        notes = Notes()
        assert_whole(read(rows, Errand(observer=notes)))
    assert [offset for offset in handler.offsets if offset] == [700, 1400, 2100, 2800, 3500]
    assert notes.progress[-1] == (ROWS, ROWS)
    assert notes.notes == []


def test_a_connection_that_drops_bytes_costs_no_row(rows, bigquery_server, monkeypatch):
    dropping = Cutting(f"127.0.0.1:{bigquery_server.grpc_port}", after=30_000, drops=3)
    with closing(dropping):
        to(monkeypatch, dropping.address)
        assert_whole(read(rows))
    assert dropping.drops == 0


def test_a_stream_that_never_comes_is_given_up(rows, bigquery_server, monkeypatch):
    monkeypatch.setattr(streams.time, "sleep", lambda _: None)
    handler = Splitting(f"127.0.0.1:{bigquery_server.grpc_port}", every=0, cuts=99)
    with proxy(handler) as address:
        to(monkeypatch, address)
        with pytest.raises(StoreError, match="the connection was cut"):
            read(rows)
    assert handler.offsets == [0] * streams.TRIES


@pytest.mark.parametrize("more", [-1, 1])
def test_rows_that_are_not_as_many_as_promised_are_an_error(rows, more, monkeypatch):
    whole = streams._all_came
    monkeypatch.setattr(streams, "_all_came", lambda count, total: whole(count, total + more))
    with pytest.raises(StoreError, match=r"5,000 rows came of (4,999|5,001)"):
        read(rows)


class Refusing(grpc.GenericRpcHandler):
    """Allows nobody to make a session."""

    def __init__(self, code, text):
        self.code, self.text = code, text

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda _, context: context.abort(self.code, self.text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "request failed: the user does not have 'bigquery.readsessions.create' permission for 'projects/proj'",
            "roles/bigquery.readSessionUser",
        ),
        (
            "BigQuery Storage API has not been used in project 7 before or it is disabled. Enable it by visiting "
            "https://console.developers.google.com/apis/api/bigquerystorage.googleapis.com/overview?project=7",
            "gcloud services enable bigquerystorage.googleapis.com",
        ),
    ],
)
def test_without_the_right_to_streams_rows_come_by_pages_and_that_is_said_once(rows, text, told, monkeypatch):
    with proxy(Refusing(grpc.StatusCode.PERMISSION_DENIED, text)) as address:
        to(monkeypatch, address)
        notes = Notes()
        with open_store(rows, errand=Errand(observer=notes)) as store:
            query = series_query(SOURCE, "local", Grid(Frequency.parse("h")), "sum")
            for _ in range(2):
                assert_whole(store.read(SOURCE, query).read_all())
    assert len(notes.notes) == 1
    assert told in notes.notes[0]
    assert "page by page" in notes.notes[0]


def test_without_a_grpc_side_an_emulator_is_read_by_pages(rows, monkeypatch):
    monkeypatch.delenv("BIGQUERY_EMULATOR_GRPC_HOST")
    assert_whole(read(rows))


def test_readers_stop_when_nobody_takes_their_rows(rows):
    with open_store(rows) as store:
        reader = store.read(SOURCE, series_query(SOURCE, "local", Grid(Frequency.parse("h")), "sum"))
        reader.read_next_batch()
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("gatecast-read")]
        del reader
    assert threads
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
