"""Rows of a finished job as Arrow batches: by several streams at once, or page by page."""

import queue
import threading
import time
from collections.abc import Callable, Iterator

import pyarrow as pa
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery.table import RowIterator
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types
from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient as PlainReadClient

from gatecast.errors import StoreError
from gatecast.store.bigquery.columns import declared
from gatecast.store.bigquery.errors import sentence, translated
from gatecast.store.bigquery.jobs import RETRY

STREAMS = 100
"""Streams asked for: more than are read at once, so that a batch is a small part of all rows."""

READERS = 3
WAITING = 2
"""Batches that wait to be taken; beyond them the readers wait, and memory stays bounded."""

TRIES = 6
"""Cut connections without a row between them before a stream is given up."""

PAGE_ROWS = 50_000

CUT = (
    exceptions.ServiceUnavailable,
    exceptions.InternalServerError,
    exceptions.Aborted,
    exceptions.Cancelled,
    exceptions.DeadlineExceeded,
    exceptions.Unknown,
)


class NoStreams(Exception):  # noqa: N818 - not an error: rows come page by page then
    """The Storage Read API, or the right to it, is missing; the text says how to get it."""


def by_streams(
    client: BigQueryReadClient, job: bigquery.QueryJob, rows: RowIterator, progress: Callable[[int, int], None]
) -> pa.RecordBatchReader:
    """The rows of a job's result, in any order, with every row once.

    Raises:
        NoStreams: read them page by page instead.
    """
    table = job.destination
    wanted = types.ReadSession(
        table=f"projects/{table.project}/datasets/{table.dataset_id}/tables/{table.table_id}",
        data_format=types.DataFormat.ARROW,
    )
    try:
        session = client.create_read_session(
            parent=f"projects/{job.project}", read_session=wanted, max_stream_count=STREAMS
        )
    except (exceptions.PermissionDenied, exceptions.MethodNotImplemented) as error:
        raise NoStreams(sentence(error)) from None
    arrived = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    schema = declared(rows.schema, arrived)
    names = [stream.name for stream in session.streams]
    return pa.RecordBatchReader.from_batches(schema, _gather(client, names, arrived, schema, rows.total_rows, progress))


def by_pages(job: bigquery.QueryJob, progress: Callable[[int, int], None]) -> pa.RecordBatchReader:
    """The rows of a job's result over REST: slow, and without a right of its own."""
    rows = job.result(page_size=PAGE_ROWS, retry=RETRY)
    batches = rows.to_arrow_iterable()
    total = int(rows.total_rows or 0)
    first = next(batches, None)
    arrived = first.schema if first is not None else rows.to_arrow().schema
    schema = declared(rows.schema, arrived)

    def each() -> Iterator[pa.RecordBatch]:
        with translated("reading rows"):
            count, batch = 0, first
            while batch is not None:
                count += batch.num_rows
                progress(count, total)
                yield batch.cast(schema)
                batch = next(batches, None)
        _all_came(count, total)

    return pa.RecordBatchReader.from_batches(schema, each())


def _gather(
    client: BigQueryReadClient,
    names: list[str],
    arrived: pa.Schema,
    schema: pa.Schema,
    total: int,
    progress: Callable[[int, int], None],
) -> Iterator[pa.RecordBatch]:
    """Batches of all streams as they come; what goes wrong in a reader is raised here."""
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in names:
        todo.put(name)
    done: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(WAITING)
    stopped = threading.Event()

    def put(item: pa.RecordBatch | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                done.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            while not stopped.is_set():
                for batch in _stream(client, todo.get_nowait(), arrived, stopped):
                    put(batch)
        except queue.Empty:
            put(None)
        except BaseException as error:  # told to the thread that waits
            put(error)

    readers = min(READERS, len(names))
    for _ in range(readers):
        threading.Thread(target=work, name="gatecast-read", daemon=True).start()
    count = 0
    try:
        while readers:
            item = done.get()
            if item is None:
                readers -= 1
            elif isinstance(item, BaseException):
                with translated("reading rows"):
                    raise item
            else:
                count += item.num_rows
                progress(count, total)
                yield item.cast(schema)
    finally:
        stopped.set()
    _all_came(count, total)


def _stream(
    client: BigQueryReadClient, name: str, schema: pa.Schema, stopped: threading.Event
) -> Iterator[pa.RecordBatch]:
    """The batches of one stream; after a cut it goes on at the row it had come to."""
    offset = cuts = 0
    while True:
        request = types.ReadRowsRequest(read_stream=name, offset=offset)
        try:
            # The client's own wrapper of this call resumes too, but only after some of these errors.
            for answer in PlainReadClient.read_rows(client, request=request, retry=None):
                batch = pa.ipc.read_record_batch(
                    pa.py_buffer(answer.arrow_record_batch.serialized_record_batch), schema
                )
                offset, cuts = offset + batch.num_rows, 0
                yield batch
                if stopped.is_set():
                    return
            return
        except CUT:
            cuts += 1
            if cuts == TRIES:
                raise
            time.sleep(0.1 * 2**cuts)


def _all_came(count: int, total: int) -> None:
    if count != total:
        raise StoreError(f"{count:,} rows came of {total:,}: nothing was made of them; run it again")
