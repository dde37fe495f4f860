"""The files that DuckDB reads and writes as tables."""

import gzip
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from glob import escape
from pathlib import Path
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from gatecast.errors import DataError, some
from gatecast.store import Fits, Kind
from gatecast.store.duckdb_errors import BROKEN, translated

READERS = {
    ".parquet": "read_parquet",
    ".csv": "read_csv",
    ".csv.gz": "read_csv",
    ".tsv": "read_csv",
    ".json": "read_json",
    ".jsonl": "read_json",
}
"""DuckDB's reader of the files with each ending."""

_NUMBERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
)
_KINDS: dict[str, Kind] = {
    "DATE": "date",
    "BOOLEAN": "boolean",
    "VARCHAR": "text",
    **dict.fromkeys(_NUMBERS, "number"),
}


def kind_of(type_: str) -> Kind:
    """What a column of a type of DuckDB holds."""
    name = type_.partition("(")[0]
    if name.startswith("TIMESTAMP"):
        return "instant" if "TZ" in name or "WITH TIME ZONE" in name else "local"
    return "text" if name == "ENUM" else _KINDS.get(name, "other")


def is_empty(path: Path) -> bool:
    """Whether there is nothing in a file; of a damaged one DuckDB will say that it is."""
    if not path.is_file():
        return False
    with suppress(OSError, EOFError), (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rb") as file:
        return not file.read(1)
    return False


def read_files(connection: duckdb.DuckDBPyConnection, reader: str, path: str, there: bool) -> duckdb.DuckDBPyRelation:
    """The rows of a file that is there, or of those that match a pattern.

    Left alone, DuckDB takes the types of columns from the first rows, and their places from the first
    file: of later values it drops, in silence, what the type has no room for, as decimals or hours.
    """
    read: Callable[..., duckdb.DuckDBPyRelation] = getattr(connection, reader)
    files = [path] if there else _matching(connection, path)
    path, options = (escape(path), {}) if there else (path, {"union_by_name": True})
    options["hive_partitioning"] = False
    if named := _named_by_folders(files):
        options["hive_partitioning"] = not named & {name.lower() for name in read(path, **options).columns}
    if reader == "read_parquet":
        return read(path, **options)
    try:
        rows = read(path, sample_size=-1, **options)
    except duckdb.InvalidInputException as error:
        if "sniffing" not in str(error):
            raise
        return read(path, **options)  # which tells the line that does not fit when it comes to it
    wall = [name for name, type_ in zip(rows.columns, rows.types, strict=True) if type_ == "TIMESTAMP"]
    if reader != "read_csv" or not wall:
        return rows
    with suppress(duckdb.Error):  # by its first rows alone a file may look otherwise
        rows = _in_utc(rows, read(path, dtype=dict.fromkeys(wall, "VARCHAR"), **options), wall)
    return rows


def _matching(connection: duckdb.DuckDBPyConnection, pattern: str) -> list[str]:
    """The files that match a pattern."""
    return [file for (file,) in connection.execute("SELECT file FROM glob(?) ORDER BY file", [pattern]).fetchall()]


def _named_by_folders(files: Sequence[str]) -> frozenset[str]:
    """The columns that the folders of all files give a value, as `day=2024-01-31` does; in the files they may be, too.

    Of these the files' own hold more, as the hours of a day, but DuckDB would put those of the folders in their place.
    """
    each = {
        frozenset(part.partition("=")[0].lower() for part in Path(file).parts[:-1] if "=" in part) for file in files
    }
    return each.pop() if len(each) == 1 else frozenset()


def files_unlike(
    connection: duckdb.DuckDBPyConnection, reader: str, pattern: str, fits: Fits
) -> dict[str, dict[str, Kind]]:
    """Of the files that match a pattern those that have rows, in columns that do not fit; and these columns.

    As one table they have the columns of all, filled with NULL where a file lacks one, in types that hold all values.
    """
    found: dict[str, dict[str, Kind]] = {}
    for file in _matching(connection, pattern):
        first = connection.execute(f"FROM {reader}(?) LIMIT 0", [escape(file)])
        columns = {name: kind_of(str(type_)) for name, type_, *_ in first.description}
        first.fetchall()  # nothing, but the next query waits for it
        if not fits(columns):
            rows = read_files(connection, reader, file, there=True)  # a key of JSON may come late
            columns = {name: kind_of(str(type_)) for name, type_ in zip(rows.columns, rows.types, strict=True)}
            if not fits(columns) and rows.limit(1).project("true").fetchall():
                found[file] = columns
    return found


def _in_utc(rows: duckdb.DuckDBPyRelation, texts: duckdb.DuckDBPyRelation, wall: list[str]) -> duckdb.DuckDBPyRelation:
    """Times whose first text ends in UTC, as BigQuery exports them, as instants: DuckDB drops that word in silence."""
    for name in (exp.to_identifier(name, quoted=True).sql("duckdb") for name in wall):
        if texts.filter(f"{name} IS NOT NULL").limit(1).filter(f"{name} LIKE '% UTC'").fetchall():
            rows = rows.project(f"* REPLACE ({name} AT TIME ZONE 'UTC' AS {name})")
    return rows


def _bare(names: Sequence[str]) -> list[str]:
    """Names of columns as DuckDB reads them from a CSV file: without blanks around them, or the mark of Windows."""
    return [name.removeprefix("\ufeff").strip() for name in names]


def write_file(connection: duckdb.DuckDBPyConnection, reader: str, path: str, rows: pa.Table) -> None:
    """Write beside the file, then rename: a reader sees the old file or the new one.

    Only what holds the same columns is replaced, as no table is: it may be the source.

    Raises:
        DataError: what is there holds others.
    """
    final = Path(os.path.realpath(path))  # what a link leads to is replaced, not the link
    if final.exists() and not is_empty(final):  # which holds nothing to lose
        with translated(path, hint=BROKEN):
            have = _bare(getattr(connection, reader)(escape(path), hive_partitioning=False).columns)
        if have != (want := _bare(rows.column_names)):
            odd = sorted({*have} ^ {*want}) or have
            raise DataError(
                f"{path} is there already, with other columns than the rows to write: {some(odd)}; "
                "write into another file"
            )
    beside = final.with_name(f".{uuid4().hex}.{final.name}")
    new, zones = connection.from_arrow(rows), [getattr(type_, "tz", None) for type_ in rows.schema.types]
    zone = next((zone for zone in zones if zone not in (None, "UTC")), "UTC")  # that of the grid
    connection.execute(f"SET TimeZone = {exp.Literal.string(zone)}")  # of instants as texts
    try:
        if reader == "read_parquet":
            pq.write_table(rows, beside)  # with the zone
        elif reader == "read_csv":
            new.write_csv(str(beside), sep="\t" if path.lower().endswith(".tsv") else ",")
        else:
            connection.execute(f"COPY (SELECT * FROM new) TO {exp.Literal.string(str(beside))} (FORMAT json)")
        if final.exists():
            shutil.copymode(final, beside)  # who may read it is not for us to change
        os.replace(beside, final)
    finally:
        connection.execute("SET TimeZone = 'UTC'")
        beside.unlink(missing_ok=True)
