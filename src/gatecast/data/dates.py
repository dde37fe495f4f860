"""Frequencies and grids: dates to whole steps and back, exactly.

A step is the number of a grid date counted from 1970, so that two series on one grid
can be compared by integers. Steps of an hour or less are elapsed time: they run through
a clock change without a hole or a double. Longer steps follow the wall clock: a day
may have 23 or 25 hours, and every step starts at the same time of day.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from gatecast.data.zones import Seconds, standard_offset, to_utc, to_wall, zone_of
from gatecast.errors import UsageError

Steps = npt.NDArray[np.int64]
Unit = Literal["second", "day", "business day", "month"]
TimeKind = Literal["instant", "local", "date"]
"""How a time column says when: a moment in UTC, a wall-clock time, or a day."""

HOUR, DAY = 3_600, 86_400
_MONDAY = 4  # 1970-01-05, in days since 1970-01-01
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

# Aliases of pandas (old and new spelling) and BigQuery's data_frequency.
_SECONDS = {"s": 1, "min": 60, "h": HOUR, "S": 1, "T": 60, "H": HOUR, "sec": 1, "PER_MINUTE": 60, "HOURLY": HOUR}
_DAYS = {"D": "D", "DAILY": "D", "B": "B", "W": "W", "WEEKLY": "W"}
_STARTS = {"MS": 1, "MONTHLY": 1, "QS": 3, "QUARTERLY": 3, "YS": 12, "AS": 12, "YEARLY": 12}
_ENDS = {"ME": 1, "M": 1, "QE": 3, "Q": 3, "YE": 12, "Y": 12, "A": 12}
_ALIAS = re.compile(r"(\d*)([A-Za-z_]+?)(?:-([A-Za-z]{3}))?(?:\+(\d+)(s|D|MS))?")


@dataclass(frozen=True)
class Frequency:
    """How far apart grid dates are: `multiple` units, the first of them `phase` units after 1970 began.

    `end` labels a step of months by its last day instead of its first.
    """

    unit: Unit
    multiple: int
    phase: int = 0
    end: bool = False

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
                f"{text!r} is not a frequency: write 15min, h, 4h, D, B, W-MON, MS, ME, QS, YE, HOURLY or MONTHLY"
            )
        if match[4]:
            units = {"s": ("second",), "D": ("day", "business day"), "MS": ("month",)}[match[5]]
            if found.unit not in units:
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
            return cls("day", 7 * count, start % (7 * count) if count else 0)
        if kind in ("D", "B") and not anchor:
            return cls("day" if kind == "D" else "business day", count)
        months = _STARTS.get(alias) or _ENDS.get(alias, 0)
        if not months or (anchor and (months == 1 or anchor not in _MONTHS)):
            return None
        end = alias in _ENDS
        first = _MONTHS.index(anchor) if anchor else (11 if end else 0)
        return cls("month", months * count, (first + end) % months if count else 0, end)

    def __str__(self) -> str:
        """The alias; `parse` gives the frequency back."""
        if self.unit == "second":
            size, name = next((n, a) for a, n in (("h", HOUR), ("min", 60), ("s", 1)) if self.multiple % n == 0)
            return _alias(self.multiple // size, name, "", self.phase, "s")
        if self.unit == "business day":
            return _alias(self.multiple, "B", "", self.phase, "D")
        if self.unit == "day":
            if self.multiple % 7:
                return _alias(self.multiple, "D", "", self.phase, "D")
            start = self.phase % 7
            return _alias(self.multiple // 7, "W", "-" + _WEEKDAYS[(start - _MONDAY) % 7], self.phase - start, "D")
        months = next(n for n in (12, 3, 1) if self.multiple % n == 0)
        start = self.phase % months
        name = {12: "Y", 3: "Q", 1: "M"}[months] + ("E" if self.end else "S")
        anchor = "-" + _MONTHS[(start - self.end) % 12] if months > 1 else ""
        return _alias(self.multiple // months, name, anchor, self.phase - start, "MS")

    @property
    def elapsed(self) -> bool:
        """Whether steps are elapsed time rather than wall-clock time."""
        return self.unit == "second" and self.multiple <= HOUR

    @property
    def seconds(self) -> float:
        """Mean length of a step in seconds."""
        unit = {"second": 1.0, "day": DAY, "business day": DAY * 7 / 5, "month": DAY * 365.2425 / 12}[self.unit]
        return unit * self.multiple

    def spell(self, steps: float) -> str:
        """How long so many steps last, in the largest unit that fits: `1 day`, `1.5 days`, `45 minutes`."""
        seconds, units = steps * self.seconds, {"year": 365.2425 * DAY, "day": DAY, "hour": HOUR, "minute": 60}
        name, size = next(((name, size) for name, size in units.items() if seconds >= size), ("second", 1))
        count = f"{seconds / size:,.3g}"
        return f"{count} {name}" + "s" * (count != "1")

    @property
    def seasons(self) -> tuple[int, ...]:
        """Lengths in steps of the day, week and year, where a step divides them (a year: nearly)."""
        if self.unit == "business day":
            return (5, 261) if self.multiple == 1 else ()
        spans = (DAY, 7 * DAY) if self.unit in ("second", "day") else ()
        lengths = [int(span // self.seconds) for span in spans if span % self.seconds == 0]
        lengths.append(round(365.2425 * DAY / self.seconds))
        return tuple(length for length in lengths if length > 1)


def _alias(count: int, name: str, anchor: str, offset: int, unit: str) -> str:
    return f"{count if count > 1 else ''}{name}{anchor}" + (f"+{offset}{unit}" if offset else "")


@dataclass(frozen=True)
class Grid:
    """The regular timestamps of series: a frequency on the wall clock of a zone.

    Without a zone, times are taken as they are written, with no clock changes.
    """

    frequency: Frequency
    timezone: str | None = None

    def __post_init__(self) -> None:
        if self.timezone:
            zone_of(self.timezone)

    @cached_property
    def lead(self) -> int:
        """Seconds to add to an elapsed step's start in UTC so that it counts from local midnight."""
        return standard_offset(self.timezone) if self.timezone else 0

    def from_wall(self, wall: Seconds) -> Steps:
        """The step each wall-clock time falls in."""
        if self.frequency.elapsed:
            return self.from_instants(to_utc(wall, self.timezone) if self.timezone else wall)
        return (self._units(wall) - self.frequency.phase) // self.frequency.multiple

    def from_instants(self, instants: Seconds) -> Steps:
        """The step each instant (in UTC) falls in."""
        if self.frequency.elapsed:
            seconds = instants.astype(np.int64) + self.lead - self.frequency.phase
            return seconds // self.frequency.multiple
        return self.from_wall(to_wall(instants, self.timezone) if self.timezone else instants)

    def wall(self, steps: Steps) -> Seconds:
        """The label of each step on the wall clock of the zone."""
        if self.frequency.elapsed and self.timezone:
            return to_wall(self.instants(steps), self.timezone)
        units = steps * self.frequency.multiple + self.frequency.phase
        match self.frequency.unit:
            case "second":
                return units.astype("datetime64[s]")
            case "day":
                return units.astype("datetime64[D]").astype("datetime64[s]")
            case "business day":
                days = units // 5 * 7 + units % 5 - 3  # weeks start on Mondays; 1970 began on a Thursday
                return days.astype("datetime64[D]").astype("datetime64[s]")
            case "month":
                months = (units + (self.frequency.multiple if self.frequency.end else 0)).astype("datetime64[M]")
                return (months.astype("datetime64[D]") - int(self.frequency.end)).astype("datetime64[s]")

    def instants(self, steps: Steps) -> Seconds:
        """The label of each step in UTC."""
        if self.frequency.elapsed:
            seconds = steps * self.frequency.multiple + self.frequency.phase - self.lead
            return seconds.astype("datetime64[s]")
        return to_utc(self.wall(steps), self.timezone) if self.timezone else self.wall(steps)

    def step(self, text: str) -> int:
        """The step of a date in ISO 8601, on the wall clock of the grid's zone unless it names an offset.

        Raises:
            UsageError: it is no date, or lies between two grid dates, which are named.
        """
        step, apart = self._locate(text)
        if apart:
            first = step if apart > 0 else step - 1  # months may be labelled by their last day
            before, after = self.label(first), self.label(first + 1)
            raise UsageError(
                f"{text!r} is not on the grid ({self}): the grid dates around it are {before!r} and {after!r}"
            )
        return step

    def floor(self, text: str) -> int:
        """The step a date falls in.

        Raises:
            UsageError: it is no date.
        """
        return self._locate(text)[0]

    def _locate(self, text: str) -> tuple[int, int]:
        """The step a date falls in, and by how many microseconds it is after the label of that step."""
        # A time that clocks skip or show twice is told apart only as an instant.
        instant = self.frequency.elapsed or parse_date(text).tzinfo is not None
        time = np.array([self.moment(text, instant=instant)])
        whole = time.astype("datetime64[s]")
        step = self.from_instants(whole) if instant else self.from_wall(whole)
        label = self.instants(step) if instant else self.wall(step)
        return int(step[0]), int((time - label)[0].astype(np.int64))

    def moment(self, text: str, *, instant: bool) -> np.datetime64:
        """A date in ISO 8601 in UTC (instant) or on the wall clock of the grid's zone, to the microsecond.

        Raises:
            UsageError: it is no date.
        """
        moment = parse_date(text)
        aware = moment.tzinfo is not None
        time = np.array([moment.astimezone(UTC).replace(tzinfo=None) if aware else moment], "datetime64[us]")
        if self.timezone and aware != instant:
            whole = time.astype("datetime64[s]")
            time += (to_utc if instant else to_wall)(whole, self.timezone) - whole
        found: np.datetime64 = time[0]
        return found

    def label(self, step: int) -> str:
        """A step as text; `step` reads it back. The offset is written where the clock shows the time twice."""
        steps = np.array([step], np.int64)
        wall = self.wall(steps)
        moment: datetime = wall[0].item()
        if self.frequency.unit != "second":
            return moment.date().isoformat()
        text = moment.isoformat(" ", "minutes" if moment.second == 0 else "seconds")
        if self.frequency.elapsed and self.timezone and to_utc(wall, self.timezone)[0] != self.instants(steps)[0]:
            aware = self.instants(steps)[0].item().replace(tzinfo=UTC).astimezone(zone_of(self.timezone))
            text += aware.strftime("%z")
        return text

    def _units(self, wall: Seconds) -> Steps:
        """Units of the frequency since 1970, of which `multiple` make a step."""
        if self.frequency.unit == "second":
            return wall.astype(np.int64)
        if self.frequency.unit == "month":
            return wall.astype("datetime64[M]").astype(np.int64)
        days = wall.astype("datetime64[D]").astype(np.int64)
        if self.frequency.unit == "day":
            return days
        # Saturdays and Sundays count to the Friday before them.
        return (days + 3) // 7 * 5 + np.minimum((days + 3) % 7, 4)

    def __str__(self) -> str:
        return f"{self.frequency}, {self.timezone}" if self.timezone else str(self.frequency)


def parse_date(text: str) -> datetime:
    """A date in ISO 8601, aware if it names an offset.

    Raises:
        UsageError: it is not one.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        moment.astimezone(UTC)
        return moment
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is not a date: write 2015-01-31, 2015-01-31 14:30 or 2015-01-31T14:30+01:00"
        ) from None
