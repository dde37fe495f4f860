"""Frequencies: how far apart the dates of a grid are, by the aliases of pandas and BigQuery."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

from gatecast.errors import UsageError

Unit = Literal["second", "business hour", "day", "business day", "half month", "month"]
Weekdays = Literal["", "B", "C"]
"""Which days count: all, Mondays to Fridays, or those of them that are no holidays."""

MINUTE, HOUR, DAY = 60, 3_600, 86_400
YEAR = 365.2425 * DAY
"""Seconds of a mean year of the Gregorian calendar."""
LONGEST_SEASON = 400
"""Seasons of more steps (a year of days is within it) need a long context."""
OPENS, OPEN = 9, 8
"""The first business hour, and how many a day has."""
_MONDAY = 4  # 1970-01-05, in days since 1970-01-01
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

# Aliases of pandas (old and new spelling) and BigQuery's data_frequency.
_SECONDS = {"s": 1, "min": 60, "h": HOUR, "S": 1, "T": 60, "H": HOUR, "sec": 1, "PER_MINUTE": 60, "HOURLY": HOUR}
_DAYS = {"D": "D", "DAILY": "D", "W": "W", "WEEKLY": "W"}
_BUSINESS: Mapping[str, tuple[Unit, Weekdays]] = {
    **{"B": ("business day", "B"), "C": ("business day", "C")},
    **{"bh": ("business hour", "B"), "BH": ("business hour", "B"), "cbh": ("business hour", "C")},
}
_STARTS = {"MS": 1, "MONTHLY": 1, "QS": 3, "QUARTERLY": 3, "YS": 12, "AS": 12, "YEARLY": 12}
_ENDS = {"ME": 1, "M": 1, "QE": 3, "Q": 3, "YE": 12, "Y": 12, "A": 12}
_HALVES = {"SMS": False, "SME": True, "SM": True}
# The digits are limited, as numbers of any length would not fit into an array; nine are enough for decades of seconds.
_ALIAS = re.compile(r"(\d{0,9})([A-Za-z_]+?)(?:-([A-Za-z]{3}))?(?:\+(\d{1,15})(s|D|MS))?")
_OFFSETS: Mapping[Unit, str] = {"second": "s", "month": "MS"}


@dataclass(frozen=True)
class Frequency:
    """How far apart grid dates are: `multiple` units, the first of them `phase` units after 1970 began.

    `end` labels a step of months by its last day instead of its first, `days` by the nearest
    day within it that counts.
    """

    unit: Unit
    multiple: int
    phase: int = 0
    end: bool = False
    days: Weekdays = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """A frequency from a pandas alias or BigQuery's name; `h+900s` is hourly at a quarter past.

        Weeks are labelled by their first day: `W-MON` starts on Mondays.

        Raises:
            UsageError: it is neither.
        """
        match = _ALIAS.fullmatch(text.strip())
        found = match and cls._base(int(match[1] or 1), match[2], (match[3] or "").upper())
        if not match or not found or found.multiple < 1:
            raise UsageError(
                f"{text!r} is not a frequency: write 15min, h, 4h, D, B, W-MON, MS, BME, QS, YE-MAR, HOURLY or MONTHLY"
            )
        if match[4]:
            if _OFFSETS.get(found.unit, "D") != match[5]:
                raise UsageError(f"{text!r}: the offset must be in the unit of the frequency")
            found = replace(found, phase=(found.phase + int(match[4])) % found.multiple)
        return found

    @classmethod
    def _base(cls, count: int, alias: str, anchor: str) -> Self | None:
        if alias in _SECONDS and not anchor:
            seconds = count * _SECONDS[alias]
            return cls("second", seconds) if seconds % DAY else cls("day", seconds // DAY)
        kind = _DAYS.get(alias)
        if kind == "W" and (anchor or "SUN") in _WEEKDAYS:
            start = (_MONDAY + _WEEKDAYS.index(anchor or "SUN")) % 7
            return cls("day", 7 * count, start)
        if not anchor and (kind == "D" or alias in _BUSINESS or alias in _HALVES):
            unit, days = _BUSINESS.get(alias, ("day" if kind else "half month", ""))
            return cls(unit, count, 0, _HALVES.get(alias, False), days)
        days, alias = _counted(alias)
        months = _STARTS.get(alias) or _ENDS.get(alias)
        if not months or (anchor and (months == 1 or anchor not in _MONTHS)):
            return None
        end = alias in _ENDS
        first = _MONTHS.index(anchor) if anchor else (11 if end else 0)
        return cls("month", months * count, (first + end) % months, end, days)

    def __str__(self) -> str:
        """The alias; `parse` gives the frequency back."""
        if self.unit == "second":
            size, name = next((n, a) for a, n in (("h", HOUR), ("min", 60), ("s", 1)) if self.multiple % n == 0)
            return _alias(self.multiple // size, name, "", self.phase, "s")
        if self.unit in ("business day", "business hour", "half month"):
            short = {"business day": self.days, "business hour": {"B": "bh", "C": "cbh"}.get(self.days, "")}
            return _alias(self.multiple, short.get(self.unit, "SME" if self.end else "SMS"), "", self.phase, "D")
        if self.unit == "day":
            if self.multiple % 7:
                return _alias(self.multiple, "D", "", self.phase, "D")
            start = self.phase % 7
            return _alias(self.multiple // 7, "W", "-" + _WEEKDAYS[(start - _MONDAY) % 7], self.phase - start, "D")
        months = next(n for n in (12, 3, 1) if self.multiple % n == 0)
        start = self.phase % months
        name = {"": "", "B": "B", "C": "CB"}[self.days] + {12: "Y", 3: "Q", 1: "M"}[months] + ("E" if self.end else "S")
        anchor = "-" + _MONTHS[(start - self.end) % 12] if months > 1 else ""
        return _alias(self.multiple // months, name, anchor, self.phase - start, "MS")

    @property
    def elapsed(self) -> bool:
        """Whether steps are elapsed time rather than wall-clock time."""
        return self.unit == "second" and self.multiple <= HOUR

    @property
    def timed(self) -> bool:
        """Whether steps are labelled by a time of day too rather than by a day alone."""
        return self.unit in ("second", "business hour")

    @property
    def seconds(self) -> float:
        """Mean length of a step in seconds."""
        units: Mapping[Unit, float] = {
            "second": 1,
            "business hour": 7 * DAY / 5 / OPEN,
            "day": DAY,
            "business day": 7 * DAY / 5,
            "half month": YEAR / 24,
            "month": YEAR / 12,
        }
        return units[self.unit] * self.multiple

    @property
    def century(self) -> int:
        """Steps of a century: a gap between two rows of a series that is longer is a date that is wrong."""
        return max(1, int(100 * YEAR / self.seconds))

    def spell(self, steps: float) -> str:
        """How long so many steps last, in the largest unit that fits: `1 day`, `1.5 days`, `45 minutes`."""
        seconds, units = steps * self.seconds, {"year": YEAR, "day": DAY, "hour": HOUR, "minute": MINUTE}
        name, size = next(((name, size) for name, size in units.items() if seconds >= size), ("second", 1))
        count = f"{seconds / size:,.3g}"
        return f"{count} {name}" + "s" * (count != "1")

    @property
    def seasons(self) -> tuple[int, ...]:
        """Lengths in steps of the day, week and year, where a step divides them (a year: nearly).

        Of a day of more than LONGEST_SEASON steps the hour is one too, and of such an hour the minute.
        """
        if self.unit.startswith("business"):
            lengths = [5, 261] if self.unit == "business day" else [OPEN, 5 * OPEN, 261 * OPEN]
            return tuple(lengths) if self.multiple == 1 else ()
        spans = [DAY, 7 * DAY] if self.unit in ("second", "day") else []
        for finer in (HOUR, MINUTE):
            if spans and spans[0] > LONGEST_SEASON * self.seconds:
                spans.insert(0, finer)
        lengths = [int(span // self.seconds) for span in spans if span % self.seconds == 0]
        lengths.append(round(YEAR / self.seconds))
        return tuple(length for length in lengths if length > 1)


def _counted(alias: str) -> tuple[Weekdays, str]:
    """`CBME` as C and `ME`: which days may be the first or last, and of what."""
    known: tuple[tuple[str, Weekdays], ...] = (("CB", "C"), ("B", "B"))
    for prefix, days in known:
        rest = alias.removeprefix(prefix)
        if rest != alias and rest in _STARTS | _ENDS:
            return days, rest
    return "", alias


def _alias(count: int, name: str, anchor: str, offset: int, unit: str) -> str:
    return f"{count if count > 1 else ''}{name}{anchor}" + (f"+{offset}{unit}" if offset else "")
