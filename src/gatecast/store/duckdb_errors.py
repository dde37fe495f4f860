"""DuckDB's errors as StoreError: its own reason, and what to do about it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import duckdb
from sqlglot import exp

from gatecast.errors import StoreError, some
from gatecast.store.sql import dotted

BROKEN = " (write into another file, or remove this one if it is broken)"
"""The hint where a file that is there cannot be read to be replaced."""
NOT_BROKEN = ("Could not set lock", "Permission denied", "existing connections")
"""Parts of errors that have another cause than a broken file, so that the hint would mislead."""
ADVICE = {
    "not utf-8 encoded.": " Save it as UTF-8, as with iconv -f latin1 -t utf-8",
    "Error when converting column": ": cast it in --sql; FROM read_csv('FILE', all_varchar = true) reads it as text",
    "than existing connections": ": close those that this process has",
    "to DECIMAL(38,0)": ": whole numbers in a series column have 38 digits at most: cast it to text in --sql",
}
"""What to do about errors that say so."""


@contextmanager
def translated(path: str, tables: Callable[[], list[exp.Table]] | None = None, hint: str = "") -> Iterator[None]:
    """DuckDB's errors, and the file system's, as StoreError.

    Args:
        path: what was read or written, for people.
        tables: gives those there are, to be listed where one is missing.
        hint: what to do about it, at the end of the message.
    """
    try:
        yield
    except duckdb.CatalogException as error:
        reason = _reason(error)  # a function or type may be missing too
        known = f"; there are: {some(map(dotted, tables()))}" if tables and "Table with name" in reason else ""
        raise StoreError(f"{path}: {reason}{known}") from None
    except RuntimeError as error:
        if str(error) != "Query interrupted":
            raise
        raise KeyboardInterrupt from None  # which is what DuckDB makes this of
    except (duckdb.Error, OSError) as error:
        reason = _reason(error)
        raise StoreError(f"{path}: {reason}{'' if any(part in reason for part in NOT_BROKEN) else hint}") from None


def _reason(error: Exception) -> str:
    said, _, where = (part.strip() for part in str(error).partition("\n\n"))
    said = said.replace("\n", " ")
    if isinstance(error, duckdb.ParserException) and where:  # of the user's own query, the line that is wrong
        said = f"{said} in {where.splitlines()[0]}"
    with suppress(ValueError, LookupError):  # what fails in a thread that writes a file is told within JSON
        said = json.loads(said[said.index("{") :])["exception_message"]
    return said + next((advice for part, advice in ADVICE.items() if part in said), "")
