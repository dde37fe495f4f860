"""Rows of a finished job as Arrow batches: by several streams at once, or page by page."""

import ctypes
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager

import pyarrow as pa
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery.table import RowIterator
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types
from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient as PlainReadClient

from gatecast.errors import StoreError, plural
from gatecast.store.bigquery.columns import declared
from gatecast.store.bigquery.errors import sentence, translated
from gatecast.store.bigquery.jobs import RETRY

STREAMS = 100
"""Streams asked for: more than are read at once, so that a batch is a small part of all rows."""

STREAMS_AT_ONCE = 3
"""Streams read at once, each a batch ahead at most, so that memory stays bounded."""

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Names of `mallopt`."""

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
"""What a cut connection is reported as."""


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
    """Batches of all streams as they come; a stream goes on when its last batch has been taken."""
    stopped, count = threading.Event(), 0
    waiting = iter([_stream(client, name, arrived, stopped) for name in names])
    pool = ThreadPoolExecutor(STREAMS_AT_ONCE, "gatecast-read")
    coming = {pool.submit(next, stream, None): stream for stream in itertools.islice(waiting, STREAMS_AT_ONCE)}
    try:
        with _frugal(), translated("reading rows"):
            while coming:
                done = next(iter(wait(coming, return_when=FIRST_COMPLETED).done))
                stream, batch = coming.pop(done), done.result()
                del done
                after = next(waiting, None) if batch is None else stream
                if batch is not None:
                    count += batch.num_rows
                    progress(count, total)
                    yield batch.cast(schema)
                    del batch  # before the next one is made
                if after is not None:
                    coming[pool.submit(next, after, None)] = after
    finally:
        stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)
    _all_came(count, total)


@contextmanager
def _frugal() -> Iterator[None]:
    """While this lasts, big buffers go back to the system when they are freed.

    A message is held several times over while gRPC and protobuf take it apart, on threads of
    which glibc would keep each one's share. After it they are what glibc itself comes to.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        yield
        return
    mallopt(MMAP_THRESHOLD, 1 << 20)
    mallopt(TRIM_THRESHOLD, 1 << 17)
    try:
        yield
    finally:
        mallopt(MMAP_THRESHOLD, 32 << 20)
        mallopt(TRIM_THRESHOLD, 64 << 20)


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
                serialized = answer.arrow_record_batch.serialized_record_batch
                del answer  # a copy of the same bytes
                batch = pa.ipc.read_record_batch(pa.py_buffer(serialized), schema)
                offset, cuts = offset + batch.num_rows, 0
                del serialized
                yield batch
                del batch
                if stopped.is_set():
                    return
            return
        except CUT:
            cuts += 1
            if cuts == TRIES or stopped.is_set():
                raise
            time.sleep(0.1 * 2**cuts)


def _all_came(count: int, total: int) -> None:
    if count != total:
        raise StoreError(f"{plural(count, 'row')} came of {total:,}: nothing was made of them; run it again")
