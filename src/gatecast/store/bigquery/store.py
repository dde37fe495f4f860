"""A BigQuery project, or one data set of it, as a store."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pyarrow as pa
import sqlglot
from google.api_core.exceptions import NotFound
from google.cloud import bigquery
from sqlglot import exp
from sqlglot.errors import SqlglotError

from gatecast.errors import StoreError, UsageError, in_bytes, some
from gatecast.settings import SourceSettings
from gatecast.store import NO_ERRAND, Dialect, Errand, Kind, Store, no_select, wanted_table
from gatecast.store.bigquery import merge
from gatecast.store.bigquery.columns import by_way_of_integers, kinds
from gatecast.store.bigquery.connect import connect
from gatecast.store.bigquery.errors import reason, sentence, translated
from gatecast.store.bigquery.jobs import RETRY, Jobs
from gatecast.store.bigquery.streams import NoStreams, by_pages, by_streams
from gatecast.store.latest_query import refuse_foreign
from gatecast.store.sql import dotted, pinned, relation, render, unended


class BigQueryStore(Store):
    """A project that pays, and the data set that names without one belong to.

    Args:
        path: what follows `bigquery:` in a URL, as `//PROJECT/DATASET`; both may be left out.
        write: the same client reads and writes; nothing differs.
        errand: what it is opened for.

    Raises:
        UsageError: the URL is none, or names no project.
        StoreError: there are no credentials.
    """

    dialect: Dialect = "bigquery"

    def __init__(self, path: str, *, write: bool = False, errand: Errand = NO_ERRAND) -> None:
        project, dataset = _named(path)
        with translated(f"bigquery:{path}"):
            self.client, self.reader = connect(project or None)
        self.dataset = dataset or None
        self.url = "/".join(filter(None, [f"bigquery://{self.client.project}", dataset]))
        self.errand = errand
        self.jobs = Jobs(self.client, self.dataset, errand)
        self._tables: dict[str, bigquery.Table] = {}
        self._found: dict[tuple[str | None, str | None], Sequence[bigquery.SchemaField]] = {}
        self._unstreamed = ""

    @property
    def bytes_billed(self) -> int | None:
        """See `Store.bytes_billed`."""
        return self.jobs.billed

    def columns(self, source: SourceSettings) -> dict[str, Kind]:
        """See `Store.columns`."""
        return kinds(self._schema(source))

    def _schema(self, source: SourceSettings) -> Sequence[bigquery.SchemaField]:
        if source.table and not source.snapshot:
            return list(self._table(source.table).schema)
        asked = source.table, source.sql  # a table as it was may have had other columns than it has now
        if asked not in self._found:
            self._found[asked] = self._check(f"SELECT * FROM (\n{self._rows(source)}\n)", source).schema or ()
        return self._found[asked]

    def read(self, source: SourceSettings, query: exp.Select) -> pa.RecordBatchReader:
        """See `Store.read`."""
        with self._translated():
            job, rows = self.jobs.run(self.text(source, query), source)
            progress = self.errand.observer.rows
            if self.reader is not None and not self._unstreamed:
                try:
                    return by_streams(self.reader, job, rows, progress)
                except NoStreams as why:
                    self._unstreamed = str(why)
                    self.errand.observer.note(f"rows come page by page, which is slower: {why}")
            return by_pages(job, progress)

    def text(self, source: SourceSettings, query: exp.Select) -> str:
        """See `Store.text`."""
        schema = self._schema(source)
        flags = {name for name, kind in kinds(schema).items() if kind == "boolean"}
        placed = query.transform(by_way_of_integers, flags).transform(_as_path, {field.name for field in schema})
        assert isinstance(placed, exp.Select)
        return render(placed, self._rows(source), "bigquery")

    def estimate(self, source: SourceSettings, query: exp.Select) -> int | None:
        """See `Store.estimate`."""
        return int(self._check(self.text(source, query), source).total_bytes_processed or 0)

    @classmethod
    def refuse_target(cls, path: str, table: str | None) -> None:
        """See `Store.refuse_target`."""
        _, dataset = _named(path)
        relation(table := wanted_table(f"bigquery:{path}", table))
        _refuse_loose(f"bigquery:{path}", dataset, table)

    def write(self, table: str | None, rows: pa.Table, key: Sequence[str]) -> None:
        """See `Store.write`."""
        into = wanted_table(self.url, table)
        with self._translated(writing=True):
            merge.write(self.jobs, self._full(into), rows, key)
        if self.jobs.billed:
            self.errand.observer.note(f"writing was billed {in_bytes(self.jobs.billed)}")

    def view(self, name: str, query: exp.Select) -> None:
        """See `Store.view`."""
        statement = exp.Create(this=self._full(name), kind="VIEW", replace=True, expression=query)
        with self._translated(writing=True):
            for table in statement.expression.find_all(exp.Table):
                table.replace(self._full(dotted(table)))
            with suppress(NotFound):
                there = self.client.get_table(dotted(self._full(name)), retry=RETRY)
                if there.table_type == "VIEW":  # BigQuery itself replaces no table
                    refuse_foreign(name, there.view_query)
            self.jobs.run(statement.sql("bigquery"), self.errand.source)

    def close(self) -> None:
        """See `Store.close`."""
        self.client.close()  # type: ignore[no-untyped-call]
        if self.reader is not None:
            self.reader.transport.close()  # type: ignore[no-untyped-call]

    def _rows(self, source: SourceSettings) -> str:
        """The user's query, or all rows of the user's table as they were at the snapshot."""
        if source.sql is not None:
            _refuse_statements(source.sql)
            return unended(source.sql, "bigquery")
        if not source.table:
            raise UsageError(f"say which table of {self.url} with --table: {some(self._names())}")
        table = self._full(source.table)
        if self._table(source.table).table_type == "TABLE":  # views and external tables have no past
            if self.snapshot is None:
                self.snapshot = self._moment(source)
            table = pinned(table, self.snapshot)
        return exp.select("*").from_(table).sql("bigquery")

    def _moment(self, source: SourceSettings) -> datetime:
        """The snapshot asked for, or now by the server's clock."""
        if source.snapshot:
            try:
                asked = datetime.fromisoformat(source.snapshot)
                return (asked if asked.tzinfo else asked.replace(tzinfo=UTC)).astimezone(UTC)
            except (ValueError, OverflowError):
                raise UsageError(f"a snapshot is a date and time, not {source.snapshot!r}") from None
        return self._check("SELECT 1", source).created or datetime.now(UTC)

    def _check(self, sql: str, source: SourceSettings) -> bigquery.QueryJob:
        with self._translated():
            return self.jobs.check(sql, source)

    def _table(self, name: str) -> bigquery.Table:
        """What BigQuery knows of a table; asked once. Of a wildcard it knows nothing, only queries may use one."""
        if "*" in name:
            query = f'SELECT * FROM `{name}` WHERE _TABLE_SUFFIX >= "SUFFIX"'  # in apostrophes, for the shell
            raise UsageError(f"{name!r} stands for many tables, which only a query reads: give --sql '{query}' instead")
        if name not in self._tables:
            with self._translated():
                self._tables[name] = self.client.get_table(dotted(self._full(name)), retry=RETRY)
        return self._tables[name]

    def _full(self, name: str) -> exp.Table:
        """A table with its project and data set."""
        parts = name.split(".")
        _refuse_loose(self.url, self.dataset, name)
        known = [self.client.project, self.dataset or ""][: max(0, 3 - len(parts))]
        return relation(".".join([*known, *parts]))

    def _names(self, dataset: str | None = None) -> list[str]:
        """The tables of a data set, of the project's own if none is named; or the data sets."""
        with translated(self.url):
            dataset = dataset or self.dataset
            if dataset is None:
                return [f"{found.dataset_id}.*" for found in self.client.list_datasets(retry=RETRY)]
            return [f"{dataset}.{table.table_id}" for table in self.client.list_tables(dataset, retry=RETRY)]

    @contextmanager
    def _translated(self, *, writing: bool = False) -> Iterator[None]:
        """Google's errors as StoreError; where a table or data set is missing, those that are there are listed."""
        with translated(self.url, writing=writing):
            try:
                yield
            except NotFound as error:
                if reason(error) != "notFound":
                    raise
                said, known = sentence(error), ""
                table = re.search(r"Table ([\w-]+)[:.](\w+)\.", said)
                for dataset in (None, f"{table[1]}.{table[2]}" if table else None):
                    with suppress(StoreError):  # that would only say again what is missing
                        known = f"; there are: {some(self._names(dataset))}"
                raise StoreError(f"{self.url}: {said}{known}") from None


def _named(path: str) -> tuple[str, str]:
    """The project and the data set of a URL; each may be empty."""
    project, _, dataset = path.removeprefix("//").rstrip("/").partition("/")
    if not path.startswith("//") or "/" in dataset:
        raise UsageError(f"write bigquery://PROJECT or bigquery://PROJECT/DATASET, got 'bigquery:{path}' instead")
    return project, dataset


def _refuse_loose(url: str, dataset: str | None, table: str) -> None:
    """Refuse the name of a table alone where no data set is named."""
    if not dataset and "." not in table:
        raise UsageError(f"say which data set {table!r} is in: {url.rstrip('/')}/DATASET, or DATASET.{table}")


def _refuse_statements(sql: str) -> None:
    """Refuse what is not one SELECT; what the parser does not know is left to BigQuery itself."""
    try:
        statements = sqlglot.parse(sql, dialect="bigquery")
        statements = [tree for tree in statements if tree is not None and not isinstance(tree, exp.Semicolon)]
    except SqlglotError:
        return
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise no_select(len(statements), sql)


def _as_path(node: exp.Expression, columns: set[str]) -> exp.Expression:
    """A column named by its path, as `shop.id`, as the field of the nested column."""
    if isinstance(node, exp.Column) and "." in node.name and node.name not in columns:
        first, *rest = (exp.to_identifier(part, quoted=True) for part in node.name.split("."))
        return exp.Dot.build([exp.Column(this=first), *rest])
    return node
