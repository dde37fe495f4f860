"""Values of settings as people write them: durations, sizes, dates, ranges, and one where several may be."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Annotated

from pydantic import BeforeValidator

_SIZES = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_DURATIONS = {"": 1, "s": 1, "m": 60, "h": 3600}


def _measured(value: object, units: Mapping[str, float], suffix: str, hint: str) -> object:
    """Text such as 1.5h as a number; anything but text is left as it is."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(rf"(\d+(?:\.\d+)?)\s*([{''.join(units)}]?){suffix}", value.strip())
    if match is None:
        raise ValueError(hint)
    return float(match[1]) * units[match[2]]


def _seconds(value: object) -> object:
    """'90', '90s', '10m' and '1.5h' to seconds."""
    return _measured(value, _DURATIONS, "", "write a duration as 90s, 10m or 1.5h")


def _bytes(value: object) -> object:
    """'500MB', '10GB' and '1TB' to bytes."""
    size = _measured(value, _SIZES, "B?", "write a size as 500MB, 10GB or 1TB")
    return int(size) if isinstance(value, str) and isinstance(size, float) else size


def listed(value: object) -> Iterable[object]:
    """One value is a list of one."""
    return value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)


def _dated(value: object) -> object:
    """A date of Python, which TOML has too, as text."""
    return str(value) if isinstance(value, date) else value


def _ranged(value: object) -> object:
    """'0:100', '0:' and ':' as they are."""
    if isinstance(value, str):
        match = re.fullmatch(r"(-?\d+(?:\.\d+)?)?:(-?\d+(?:\.\d+)?)?", value)
        if match is None:
            raise ValueError("write a range as 0:100, 0: or :100")
        if match[1] and match[2] and float(match[1]) >= float(match[2]):
            raise ValueError("the first bound must be the lower one, as in 0:100")
    return value


Date = Annotated[str | None, BeforeValidator(_dated)]
Range = Annotated[str | None, BeforeValidator(_ranged)]
Names = Annotated[tuple[str, ...], BeforeValidator(listed)]
Levels = Annotated[tuple[float, ...], BeforeValidator(listed)]
Bytes = Annotated[int, BeforeValidator(_bytes)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
