"""Where rows come from and forecasts go: one protocol, one module for each kind of warehouse."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol, Self

import pyarrow as pa
from sqlglot import exp

from gatecast.errors import DataError, UsageError, some
from gatecast.settings import SourceSettings

Kind = Literal["instant", "local", "date", "number", "boolean", "text", "other"]
"""What a column holds: a moment in UTC, a wall-clock time, a day, ..."""

Fits = Callable[[Mapping[str, Kind]], bool]
"""Whether columns are such as are needed."""

Dialect = Literal["duckdb", "bigquery"]
"""SQL dialects."""

FORECAST_TIME = "forecast_timestamp"
"""The dates in a table of forecasts; its partitions, where it has some, are their days."""


class Observer:
    """Is notified of what reading costs and how far it has come; this one agrees to everything and ignores the rest."""

    def note(self, text: str) -> None:
        """A message worth a line."""

    def agree(self, question: str) -> bool:
        """Whether to spend money; asked once, before the first query that costs any."""
        return True

    def rows(self, done: int, total: int) -> None:
        """So many rows have arrived, of so many."""


@dataclass(frozen=True)
class Errand:
    """What a store is opened for; BigQuery's jobs carry it in their labels."""

    verb: str = ""
    run_id: str = ""
    observer: Observer = field(default_factory=Observer)
    source: SourceSettings = field(default_factory=SourceSettings)
    """Its location, labels and cost limit apply to jobs that write."""


NO_ERRAND = Errand()


class Store(Protocol):
    """A place with tables. Every method raises StoreError with the store's own reason."""

    url: str
    dialect: Dialect
    snapshot: datetime | None = None
    """The moment the rows are read at, in stores that keep their past."""

    def __init__(self, path: str, *, write: bool = False, errand: Errand = NO_ERRAND) -> None: ...

    @property
    def bytes_billed(self) -> int | None:
        """Bytes that queries were billed for so far; None where reading costs nothing."""
        return None

    def columns(self, source: SourceSettings) -> dict[str, Kind]:
        """The columns of a table or query, in order."""

    def files_unlike(self, source: SourceSettings, fits: Fits) -> Mapping[str, Mapping[str, Kind]]:
        """Of several files that make one table those that have rows, in columns that do not fit; and these columns."""
        return {}

    def named(self, source: SourceSettings) -> SourceSettings:
        """The source with its table named, so that it stays the same when tables are added."""
        return source

    def read(self, source: SourceSettings, query: exp.Select) -> pa.RecordBatchReader:
        """The rows of a query over `sql.SOURCE`, as batches in any order."""

    def text(self, source: SourceSettings, query: exp.Select) -> str:
        """The SQL that `read` runs, for people and for the manifest."""

    def estimate(self, source: SourceSettings, query: exp.Select) -> int | None:
        """Bytes that `read` would be billed for; None where reading costs nothing."""
        return None

    @classmethod
    def refuse_target(cls, path: str, table: str | None) -> None:
        """Refuse, without opening anything, what `write` could not write to: `path` is what the store is made of."""

    def write(self, table: str | None, rows: pa.Table, key: Sequence[str]) -> None:
        """Put rows into a table, replacing those with the same key; all of them or none.

        A file has no tables (`table` is None) and is replaced whole.
        """

    def view(self, name: str, query: exp.Select) -> None:
        """Create a view of one of the store's tables, or replace one that was made here before."""

    def close(self) -> None:
        """Release the connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


STORES: Mapping[str, tuple[str, str]] = {
    "duckdb": ("gatecast.store.duckdb", "DuckDBStore"),
    "bigquery": ("gatecast.store.bigquery.store", "BigQueryStore"),
}


def other_columns(table: str, have: Set[tuple[str, str]], want: Set[tuple[str, str]]) -> DataError:
    """The error for a table whose columns are not those of the rows to write: the names and types only one has."""
    both = {"only the table has": have - want, "only the rows have": want - have}
    differences = "; ".join(f"{who} {some(' '.join(one) for one in sorted(odd))}" for who, odd in both.items() if odd)
    return DataError(
        f"table {table} has other columns than the rows to write ({differences}): write into another table"
    )


def no_select(statements: int, text: str) -> UsageError:
    """What is wrong with a query that is anything but one SELECT."""
    got = "another statement" if statements == 1 else f"{statements} statements"
    return UsageError(f"the query must be one SELECT, got {got}: {text!r}")


def wanted_table(where: str, table: str | None) -> str:
    """The table to write to in a store of tables, where one must be named."""
    if not table:
        raise UsageError(f"say which table of {where} to write: --into NAME")
    return table


def open_store(url: str | Path, *, write: bool = False, errand: Errand = NO_ERRAND) -> Store:
    """Open the store behind a URL; a bare path is a DuckDB database or a file DuckDB reads.

    Args:
        url: `bigquery://PROJECT[/DATASET]`, `duckdb:PATH`, or a path or glob of .duckdb .parquet
            .csv .csv.gz .json files.
        write: open it for writing; a database or file is created if there is none.
        errand: what it is opened for, and who is notified.

    Raises:
        UsageError: there is no store for such a URL, or its libraries are not installed.
        StoreError: it cannot be opened.
    """
    kind, path = _kind_of(str(url))
    return kind(path, write=write, errand=errand)


def refuse_target(url: str, table: str | None) -> None:
    """Refuse, before anything is read, what rows could not be written to; what is there already is not looked at.

    Raises:
        UsageError: as for `open_store`, or a table is named in vain, or none where one is needed.
        StoreError: the folder is not there, or not to be written to.
    """
    kind, path = _kind_of(url)
    kind.refuse_target(path, table)


def _kind_of(url: str) -> tuple[type[Store], str]:
    """The store for a URL, and what it is made of."""
    scheme, separator, rest = url.partition(":")
    if not separator or len(scheme) == 1:  # C:\data.csv is a path
        scheme, rest = "duckdb", url
    if scheme not in STORES:
        raise UsageError(
            f"no store for {url!r}: write {', '.join(f'{name}:...' for name in STORES)} or a path to a file"
        )
    module, name = STORES[scheme]
    try:
        kind: type[Store] = getattr(import_module(module), name)
    except ImportError as error:  # of a part of google.cloud, where others are installed, no ModuleNotFoundError
        if (error.name or "").partition(".")[0] not in ("google", "grpc"):
            raise
        raise UsageError(f"BigQuery needs libraries that are not here: pip install 'gatecast[{scheme}]'") from None
    return kind, rest
