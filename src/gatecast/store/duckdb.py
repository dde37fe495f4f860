"""DuckDB databases, and the files DuckDB reads: the embedded default."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from glob import glob
from pathlib import Path
from typing import Self
from uuid import uuid4

import duckdb
import pyarrow as pa
from sqlglot import exp

from gatecast.errors import StoreError, UsageError, refuse_not_utf8, some
from gatecast.frames import held
from gatecast.settings import SourceSettings
from gatecast.store import NO_ERRAND, Dialect, Errand, Fits, Kind, Store, no_select, other_columns, wanted_table
from gatecast.store.duckdb_errors import BROKEN, translated
from gatecast.store.duckdb_files import READERS, files_unlike, is_empty, kind_of, read_files, write_file
from gatecast.store.latest_query import refuse_foreign
from gatecast.store.sql import SOURCE, column, dotted, relation, render, unended

BATCH_ROWS = 500_000
# Types that few functions take, or Arrow holds none of, and those that they are read as.
NANOSECOND_TYPES = dict.fromkeys(("TIMESTAMPTZ_NS", "TIMESTAMP_NS WITH TIME ZONE"), "TIMESTAMPTZ")
HUGE_TYPES = dict.fromkeys(("HUGEINT", "UHUGEINT"), "DECIMAL(38,0)")
DATABASES = (".duckdb", ".db", ".ddb")
FRAME, DATA = "frame", "data"
"""What a frame, and a file, are called as tables."""
VIEW = "SELECT sql FROM duckdb_views() WHERE lower(view_name) = lower(?) AND lower(schema_name) = lower(?)"


class DuckDBStore(Store):
    """A DuckDB database, or files seen as a table named like the file (and `data`).

    Args:
        path: the database or a path or glob of files.
        write: open for writing; a database that is not there is made.
        errand: of no use here.

    Raises:
        UsageError: the ending of the path is not known.
        StoreError: there is nothing to read, or it cannot be opened.
    """

    dialect: Dialect = "duckdb"

    def __init__(self, path: str, *, write: bool = False, errand: Errand = NO_ERRAND) -> None:
        self.reader = _reader_of(path)
        self.url = f"duckdb:{os.path.abspath(path)}"
        self.path = path
        self.default: exp.Table | None = None
        if write:
            _refuse_folder(path)
        there = os.path.exists(path)  # then it is no pattern, though its name may have brackets
        self.made = not (there or self.reader)
        if not (write or there or (self.reader and glob(path, recursive=True))):
            raise StoreError(f"nothing to read at {path!r}: no such file")
        if there and not write and is_empty(Path(path)):
            raise StoreError(f"nothing to read at {path!r}: the file is empty")
        with translated(path, hint=BROKEN if write and there else ""):
            if not (there or self.reader):
                _make(path)
            self.connection = _connected() if self.reader else _connected(path, read_only=not write)
            if self.reader and not write:
                name = Path(path).name.partition(".")[0] if there else ""
                rows = read_files(self.connection, self.reader, path, there)
                for view in {name or DATA, DATA}:
                    rows.create_view(view)
                self.default = _table(DATA)
            elif len(tables := self._tables()) == 1:
                self.default = tables[0]

    @classmethod
    def of_frame(cls, frame: pa.Table) -> Self:
        """A frame in memory as a table named `frame`."""
        store = cls.__new__(cls)
        store.url, store.path, store.default, store.reader, store.made = "", "the frame", _table(FRAME), None, False
        store.connection = _connected()
        with translated(store.path):
            store.connection.register(FRAME, held(frame))
        return store

    def columns(self, source: SourceSettings) -> dict[str, Kind]:
        """See `Store.columns`."""
        with translated(self.path, self._tables):
            types = self._types(self.text(source, exp.select("*").from_(SOURCE)))
            return {name: kind_of(type_) for name, type_ in types.items()}

    def files_unlike(self, source: SourceSettings, fits: Fits) -> Mapping[str, Mapping[str, Kind]]:
        """See `Store.files_unlike`. What a query makes of the files is its own affair."""
        if self.reader is None or source.sql is not None or os.path.exists(self.path):
            return {}
        with translated(self.path):
            return files_unlike(self.connection, self.reader, self.path, fits)

    def named(self, source: SourceSettings) -> SourceSettings:
        """See `Store.named`. A file or frame is its own table."""
        if source.table or source.sql is not None or self.reader or not self.url or self.default is None:
            return source
        return source.model_copy(update={"table": dotted(self.default)})

    def read(self, source: SourceSettings, query: exp.Select) -> pa.RecordBatchReader:
        """See `Store.read`."""
        with translated(self.path, self._tables):
            reader: pa.RecordBatchReader = self.connection.sql(self.text(source, query)).to_arrow_reader(BATCH_ROWS)
            return pa.RecordBatchReader.from_batches(reader.schema, self._batches(reader))

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        with translated(self.path):
            yield from reader

    def text(self, source: SourceSettings, query: exp.Select) -> str:
        """See `Store.text`."""
        rows = self._rows(source)
        keys = [name.lower() for name in source.series]
        narrow = [
            f"CAST({(quoted := column(name).sql('duckdb'))} AS {taken}) AS {quoted}"
            for name, type_ in self._types(rows).items()
            if (taken := NANOSECOND_TYPES.get(type_) or (name.lower() in keys and HUGE_TYPES.get(type_)))
        ]
        if narrow:
            rows = f"SELECT * REPLACE ({', '.join(narrow)}) FROM (\n{rows}\n)"
        return render(query, rows, "duckdb")

    def _rows(self, source: SourceSettings) -> str:
        """The user's query, or all rows of the user's table."""
        if source.sql is not None:
            with translated("the query"):
                statements = duckdb.extract_statements(source.sql)
            if len(statements) != 1 or statements[0].type.name != "SELECT":
                raise no_select(len(statements), source.sql)
            return unended(source.sql, "duckdb")
        table = self._table_of(source.table) if source.table else self.default
        if table is None:
            there = some(map(dotted, self._tables()))
            raise UsageError(
                f"say which table of {self.path} with --table: {there}" if there else f"{self.path} has no tables"
            )
        return exp.select("*").from_(table).sql("duckdb")

    def _table_of(self, name: str) -> exp.Table:
        """The table that is listed under a name, as dots may be part of its own; any other name is a path."""
        return next((table for table in self._tables() if dotted(table) == name), None) or relation(name)

    def _types(self, sql: str) -> dict[str, str]:
        rows = self.connection.sql(f"SELECT * FROM (\n{sql}\n) LIMIT 0")
        return dict(zip(rows.columns, map(str, rows.types), strict=True))

    @classmethod
    def refuse_target(cls, path: str, table: str | None) -> None:
        """See `Store.refuse_target`."""
        reader = _reader_of(path)
        if reader and table is not None:
            raise UsageError(f"{path} is a file and has no tables: leave out --into")
        if not reader:
            relation(wanted_table(path, table))
        _refuse_folder(path)

    def write(self, table: str | None, rows: pa.Table, key: Sequence[str]) -> None:
        """See `Store.write`."""
        self.refuse_target(self.path, table)
        rows = held(rows)
        with translated(self.path):
            if self.reader:
                write_file(self.connection, self.reader, self.path, rows)
            else:
                self._merge(relation(wanted_table(self.path, table)).sql("duckdb"), rows, key)

    def _merge(self, table: str, rows: pa.Table, key: Sequence[str]) -> None:
        """Replace rows by key in one transaction, making the table if there is none."""
        connection = self.connection
        connection.register("gatecast_rows", rows)
        connection.execute("BEGIN")
        try:
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} AS SELECT * FROM gatecast_rows LIMIT 0")
            have, want = (self._types(f"FROM {name}") for name in (table, "gatecast_rows"))
            if have != want:
                raise other_columns(table, have.items(), want.items())
            names = [column(name).sql("duckdb") for name in key]
            same = " AND ".join(f"old.{name} IS NOT DISTINCT FROM new.{name}" for name in names)
            connection.execute(f"DELETE FROM {table} AS old USING gatecast_rows AS new WHERE {same}")
            connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM gatecast_rows")
            connection.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # a COMMIT that failed has ended the transaction, and its error is the reason
                connection.execute("ROLLBACK")
            raise
        finally:
            connection.unregister("gatecast_rows")

    def view(self, name: str, query: exp.Select) -> None:
        """See `Store.view`. Files have no views."""
        if self.reader:
            return
        view = relation(name)
        with translated(self.path):
            there = self.connection.execute(VIEW, [view.name, view.db or "main"]).fetchall()
            for (made_by,) in there:
                refuse_foreign(name, made_by)
            self.connection.execute(f"CREATE OR REPLACE VIEW {view.sql('duckdb')} AS {query.sql('duckdb')}")

    def _tables(self) -> list[exp.Table]:
        query = "SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL"
        return [_table(name, schema) for schema, name in self.connection.execute(query).fetchall()]

    def close(self) -> None:
        """See `Store.close`; a database that was made to write to goes again if nothing was written."""
        with suppress(OSError, duckdb.Error):
            if self.made and not self._tables():
                os.remove(self.path)  # before it is closed: until then no other process has it open
        self.connection.close()


def _reader_of(path: str) -> str | None:
    """DuckDB's reader of the files at a path; None for a database."""
    refuse_not_utf8(os.path.abspath(path))
    if os.path.isdir(path):
        raise UsageError(f"{path!r} is a folder: name a file, or several by a glob, as {Path(path) / '*.parquet'}")
    reader = next((READERS[ending] for ending in READERS if path.lower().endswith(ending)), None)
    if reader is None and not path.lower().endswith(DATABASES):
        raise UsageError(f"cannot tell what {path!r} holds: its name must end in {', '.join([*DATABASES, *READERS])}")
    return reader


def _refuse_folder(path: str) -> None:
    """Refuse a path in a folder that is not there, or that this user may not write to."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise StoreError(f"nothing can be written to {path!r}: there is no folder {folder!r}")
    if not os.access(folder, os.W_OK):
        raise StoreError(f"nothing can be written to {path!r}: you may not write to the folder {folder!r}")


def _connected(path: str = ":memory:", *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(path, read_only=read_only)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _make(path: str) -> None:
    """A database that is whole before it takes its name: half of one, left by a full disk, is never opened again."""
    beside = Path(path).with_name(f".{uuid4().hex}.{Path(path).name}")
    try:
        duckdb.connect(str(beside)).close()
        with suppress(OSError):  # another process was first, or there are no links here: it is made in its place
            os.link(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _table(name: str, schema: str = "main") -> exp.Table:
    return exp.table_(name, db=None if schema == "main" else schema, quoted=True)
