"""Where rows come from and forecasts go: one protocol, one module for each kind of warehouse."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, Protocol, Self

import pyarrow as pa
from sqlglot import exp

from gatecast.config import SourceSettings
from gatecast.errors import UsageError

Kind = Literal["instant", "local", "date", "number", "boolean", "text", "other"]
"""What a column holds: a moment in UTC, a wall-clock time, a day, ..."""


class Store(Protocol):
    """A place with tables. Every method raises StoreError with the store's own reason."""

    url: str

    def columns(self, source: SourceSettings) -> dict[str, Kind]:
        """The columns of a table or query, in order."""

    def read(self, source: SourceSettings, query: exp.Select) -> pa.RecordBatchReader:
        """The rows of a query over `query.SOURCE`, as batches in any order."""

    def text(self, source: SourceSettings, query: exp.Select) -> str:
        """The SQL that `read` runs, for people and for the manifest."""

    def write(self, table: str | None, rows: pa.Table, key: Sequence[str]) -> None:
        """Put rows into a table, replacing those with the same key; all of them or none.

        A file has no tables (`table` is None) and is replaced whole.
        """

    def close(self) -> None:
        """Let go of the store."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


STORES: Mapping[str, tuple[str, str]] = {
    "duckdb": ("gatecast.store.duckdb", "DuckDBStore"),
}


def open_store(url: str, *, write: bool = False) -> Store:
    """The store behind a URL; a bare path is a DuckDB database or a file DuckDB reads.

    Args:
        url: `duckdb:PATH`, or a path or glob of .duckdb .parquet .csv .csv.gz .json files.
        write: open it for writing, creating it where there is none.

    Raises:
        UsageError: no store answers to such a URL.
        StoreError: it cannot be opened.
    """
    scheme, separator, rest = url.partition(":")
    if not separator or len(scheme) == 1:  # C:\data.csv is a path
        scheme, rest = "duckdb", url
    if scheme not in STORES:
        raise UsageError(
            f"no store for {url!r}: write {', '.join(f'{name}:...' for name in STORES)} or a path to a file"
        )
    module, name = STORES[scheme]
    store: Any = getattr(import_module(module), name)
    opened: Store = store(rest, write=write)
    return opened
