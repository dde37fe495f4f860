"""Query jobs: what one costs is known before it runs, capped while it runs, and found by its labels after."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from google.api_core.retry import Retry
from google.cloud import bigquery
from google.cloud.bigquery.table import RowIterator

from gatecast.errors import StoreError, UsageError, in_bytes
from gatecast.settings import SourceSettings
from gatecast.store import Errand

PRICE = 6.25
"""US dollars for 2**40 bytes read on demand, in the US multi-region, at the time of writing."""

RETRY: Retry = bigquery.DEFAULT_RETRY.with_timeout(60.0)  # the default goes on for ten minutes


class Jobs:
    """The queries of one errand.

    Args:
        client: Google's client; its project pays.
        dataset: where names of tables without a data set are looked up.
        errand: what the queries are for, and who is notified and asked.
    """

    def __init__(self, client: bigquery.Client, dataset: str | None, errand: Errand) -> None:
        self.client, self.errand, self.dataset = client, errand, dataset
        self.billed = 0
        """Bytes billed so far."""
        self.agreed = False

    def check(self, sql: str, source: SourceSettings) -> bigquery.QueryJob:
        """A dry run: it costs nothing, and tells the bytes, the columns and the server's time."""
        config = self._config(source)
        config.dry_run, config.use_query_cache = True, False
        return self.client.query(sql, job_config=config, location=source.location, retry=RETRY)

    def run(self, sql: str, source: SourceSettings) -> tuple[bigquery.QueryJob, RowIterator]:
        """Run a query, or a statement that writes, that was found to be cheap enough.

        Raises:
            StoreError: it would read more than `max_bytes`, or someone said no.
        """
        self._agree(int(self.check(sql, source).total_bytes_processed or 0), source)
        config = self._config(source)
        config.maximum_bytes_billed = int(source.max_bytes)
        job = self.client.query(sql, job_config=config, location=source.location, retry=RETRY)
        with _cancelling(job):
            rows = job.result(retry=RETRY, page_size=1)  # a first page comes along unasked
        self.billed += int(job.total_bytes_billed or 0)
        return job, rows

    def load(self, file: BinaryIO, table: bigquery.TableReference, config: bigquery.LoadJobConfig) -> None:
        """Run a load job; they are free."""
        source = self.errand.source
        config.labels = self.labels(source)
        load = self.client.load_table_from_file
        job = load(file, table, rewind=True, job_config=config, location=source.location)
        with _cancelling(job):
            job.result(retry=RETRY)

    def labels(self, source: SourceSettings) -> dict[str, str]:
        """Labels of every job, so that spending can be found in INFORMATION_SCHEMA.JOBS and in billing.

        Raises:
            UsageError: one that was asked for is no `name:value`.
        """
        found = {"gatecast-verb": self.errand.verb, "gatecast-run": self.errand.run_id}
        for label in source.label:
            name, colon, value = label.partition(":")
            if not colon:
                raise UsageError(f"write a label as name:value, got {label!r} instead")
            found[name] = value
        return {name: value for name, value in found.items() if value}

    def _config(self, source: SourceSettings) -> bigquery.QueryJobConfig:
        config = bigquery.QueryJobConfig(labels=self.labels(source))
        if self.dataset:
            config.default_dataset = f"{self.client.project}.{self.dataset}"
        return config

    def _agree(self, count: int, source: SourceSettings) -> None:
        """Tell what reading so many bytes costs, refuse more than `max_bytes`, and ask before the first."""
        if not count:
            return
        cost = f"{in_bytes(count)} ({money(count)} on demand)"
        if count > source.max_bytes:
            raise StoreError(
                f"the query would read {cost}, more than --max-bytes {in_bytes(source.max_bytes)}: "
                "narrow it with --since, or allow more with --max-bytes"
            )
        self.errand.observer.note(f"this query will read {cost}")
        if not self.agreed and not self.errand.observer.agree(
            f"read it, and what else this takes, each query up to {in_bytes(source.max_bytes)}?"
        ):
            raise StoreError("it was not run: the cost was not agreed to")
        self.agreed = True


@contextmanager
def _cancelling(job: bigquery.QueryJob | bigquery.LoadJob) -> Iterator[None]:
    """Ctrl-C while a job is waited for cancels it on the server."""
    try:
        yield
    except KeyboardInterrupt:
        job.cancel(retry=None, timeout=10)
        raise


def money(count: int) -> str:
    """What reading so many bytes costs on demand."""
    dollars = count / 2**40 * PRICE
    return f"about ${dollars:,.2f}" if dollars >= 0.01 else "less than $0.01"
