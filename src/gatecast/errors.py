"""Everything Gatecast raises on purpose, and the exit code each gives the command line.

GatecastError        1   base of all
├── UsageError       2   an option, a setting or a date that makes no sense
├── DataError        1   rows that cannot be used as they are
│   └── NoRowsError  1   there are none
├── StoreError       1   the warehouse or the file system refused
├── RunError         1   a run folder that is missing, taken or damaged
└── TrainingError    1   training that cannot continue
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

SHOWN = 5
"""Most items of a list that a message names, and most places of a fault."""


class GatecastError(Exception):
    """Base of every error a user can cause or meet; its text is the whole message."""

    exit_code = 1


class UsageError(GatecastError):
    """An option, a setting or a date that makes no sense."""

    exit_code = 2


class DataError(GatecastError):
    """Rows that cannot be used as they are."""


class NoRowsError(DataError):
    """No rows where some are needed."""

    def __init__(self, text: str = "the query gave no rows: check the table, the filter and the dates") -> None:
        super().__init__(text)


class StoreError(GatecastError):
    """The warehouse, the database or the file system refused."""


class RunError(GatecastError):
    """A run folder that is missing, already there, or damaged."""


class TrainingError(GatecastError):
    """Training that cannot continue."""


def some(items: Iterable[object]) -> str:
    """The first items as text, and how many more there are."""
    whole = list(items)
    text = ", ".join(str(item) for item in whole[:SHOWN])
    return text if len(whole) <= SHOWN else f"{text} and {len(whole) - SHOWN:,} more"


def some_names(names: Iterable[object]) -> str:
    """The same of names."""
    return some(map(as_name, names))


def as_name(name: object) -> str:
    """A name within a text: one that could be taken for several, or for nothing, is in quotation marks."""
    return str(name) if re.fullmatch(r"[^\s,;]+", str(name)) else repr(name)


def enumerated(parts: Sequence[str]) -> str:
    """Parts as text: 'a, b and c'."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def refuse_not_utf8(name: str) -> None:
    """Refuse the name of a file or folder that is not UTF-8: databases and libraries of files take no other."""
    if any("\ud800" <= part <= "\udfff" for part in name):
        raise UsageError(f"{name!r} is no name in UTF-8: rename it")


def harmless(text: str) -> str:
    """Text without characters that command a terminal, which names of series may hold: they are shown as escapes."""
    return "".join(part if part == "\n" or unicodedata.category(part) != "Cc" else repr(part)[1:-1] for part in text)


def plural(count: float, noun: str) -> str:
    """How many there are of something: `1 step`, `2,000 steps`."""
    return f"{count:,.0f} {noun}{'s' * (round(count) != 1)}"


def by_name(others: int) -> str:
    """The end of a message that some series cannot be forecast: the others can, if there are any."""
    return f", or forecast the {others:,} other series by name (--series)" if others else ""


def in_percent(share: float, digits: int = 0) -> str:
    """A share as text in percent."""
    return f"{100 * share:z.{digits}f} %"


def in_bytes(count: float) -> str:
    """A size in bytes as text, in the decimal units of `--max-bytes`: three digits, as `350 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.4g} TB"


def explained(
    error: "ValidationError", meant: Callable[[str], str] = str, called: Mapping[str, str] = MappingProxyType({})
) -> str:
    """One line a wrong value: where, what must hold, what was found.

    Args:
        meant: for a name that there is not, the one that may be meant, or the same again.
        called: what to call a place instead of its own name; nothing where the message alone says it.
    """
    lines = []
    for problem in error.errors():
        if problem["type"] == "default_factory_not_called":  # as another setting is wrong, which has a line
            continue
        where = ".".join(str(part) for part in problem["loc"] if not isinstance(part, int)) or "settings"
        where = called.get(where, where)
        if problem["type"] == "extra_forbidden":
            near = meant(name := str(problem["loc"][-1]))
            lines.append(f"{where}: no such setting" + (f", did you mean {near}?" if near != name else ""))
        elif problem["type"] == "missing":
            lines.append(f"{where}: is needed")
        else:
            text = problem["msg"].removeprefix("Value error, ")
            found = "" if isinstance(problem["input"], dict) else f", got {problem['input']!r} instead"
            lines.append(f"{where and f'{where}: '}{text[0].lower()}{text[1:]}{found}")
    return "\n".join(lines)
