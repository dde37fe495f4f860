"""The seal of a folder: checksums, so that files cut short, exchanged or linked elsewhere are found before use.

`SHA256SUMS` is the last file written. An attacker can write one too, so sizes are checked before files are read.
"""

import hashlib
import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gatecast.errors import GatecastError, RunError
from gatecast.memory import available

SUMS = "SHA256SUMS"
LONGEST_TEXT = 200_000_000
"""Bytes of a file of text, of which those that `fit` writes have a few for each series."""
ROWS = 1_024
"""Of a table taken at once: a file of a kilobyte may unpack to any size."""

DAMAGE = (
    *(LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, AssertionError, OSError, MemoryError),
    *(AttributeError, pa.ArrowException, GatecastError),
)
"""What reading a folder that is not as it was written may raise."""


def damage(error: BaseException) -> str:
    """What was raised, on one line."""
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def seal(folder: Path) -> None:
    """Write the checksum of every file, as `sha256sum` does, and see that all of them are on the disk."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name != SUMS)
    (folder / SUMS).write_text("".join(f"{_sha256(file)}  {file.name}\n" for file in files), encoding="utf-8")
    for path in (*files, folder / SUMS, folder):
        settle(path)


def settle(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk, so that they survive a power failure."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def put(path: Path, content: bytes) -> None:
    """Write a file that holds its old content or all of the new, even if the power fails."""
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(content)
        settle(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    settle(path.parent)


def sealed(folder: Path, *needed: str) -> set[str]:
    """Check the files of a folder against their checksums, and return their names.

    Raises:
        RunError: a file was changed, is no plain file of this folder, is too large, or is needed and missing.
    """
    found, room = set(), available() or float("inf")
    for digest, name in _sums(folder):
        path = folder / name
        own = name == Path(name).name and is_plain(path)
        room -= path.stat().st_size if own else 0
        if not own or room < 0 or _endless(path) or _sha256(path) != digest:
            raise RunError(f"{folder} is damaged ({name!r} is not as it was written): put it back, or make it again")
        found.add(name)
    if missing := [name for name in needed if name not in found]:
        raise RunError(f"{folder} is damaged or not whole: it has no {', '.join(missing)}")
    return found


def _sums(folder: Path) -> list[list[str]]:
    try:
        if not is_plain(folder / SUMS):
            raise ValueError("no plain file")
        lines = [line.split("  ", 1) for line in read_text(folder / SUMS).splitlines()]
        if not all(len(line) == 2 for line in lines):
            raise ValueError("cut short")
        return lines
    except (OSError, ValueError) as error:
        raise RunError(f"{folder} is damaged ({SUMS}: {error}): put it back, or make it again") from None


def is_there(path: str | Path) -> bool:
    """Whether a path exists; a name that is too long, say, does not."""
    with suppress(OSError, ValueError):
        return Path(path).exists()
    return False


def is_plain(path: Path) -> bool:
    """Whether a path is a regular file, not a link, device or pipe."""
    with suppress(OSError, ValueError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def _endless(path: Path) -> bool:
    return path.suffix not in (".parquet", ".safetensors") and path.stat().st_size > LONGEST_TEXT


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: object) -> None:
    """Write JSON with a final newline; NaN and infinity are refused."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(read_text(path))


def read_text(path: Path) -> str:
    """The content of a text file.

    Raises:
        ValueError: it is larger than any that is written.
    """
    if _endless(path):
        raise ValueError(f"{path.name} is larger than any that is written")
    return path.read_text(encoding="utf-8")


def read_table(path: Path) -> pa.Table:
    """The content of a Parquet file.

    Raises:
        ValueError: it unpacks to more than fits into memory.
    """
    room = (available() or float("inf")) / 4
    with pq.ParquetFile(path) as file:
        batches = []
        for batch in file.iter_batches(ROWS):
            batches.append(batch)
            room -= batch.nbytes
            if room < 0:
                raise ValueError(f"{path.name} unpacks to more than there is memory for")
        return pa.Table.from_batches(batches, file.schema_arrow)
