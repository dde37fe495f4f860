"""Grids: dates to whole steps and back, exactly.

A step is the number of a grid date counted from 1970, so that two series on one grid
can be compared by integers. Steps of an hour or less are elapsed time: they run through
a clock change without a hole or a double. Longer steps follow the wall clock: a day
may have 23 or 25 hours, and every step starts at the same time of day.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from gatecast.data.frequency import HOUR, OPEN, OPENS, Frequency
from gatecast.data.holidays import Days, holidays_of
from gatecast.data.zones import Seconds, changes, not_before, standard_offset, to_utc, to_wall, zone_of
from gatecast.errors import UsageError

Steps = npt.NDArray[np.int64]
Date = str | date | np.datetime64
"""A date or time as people give it; text in ISO 8601."""
TimeKind = Literal["instant", "local", "date"]
"""How a time column says when: a moment in UTC, a wall-clock time, or a day."""

CALENDAR = (1950, 2100)
"""Years whose holidays are known; a step is numbered by them, so they never change."""


@dataclass(frozen=True)
class Grid:
    """The regular timestamps of series: a frequency on the wall clock of a zone.

    Without a zone, times are taken as they are written, with no clock changes. `holidays` names the
    calendar of frequencies that leave out holidays.
    """

    frequency: Frequency
    timezone: str | None = None
    holidays: str | None = None

    def __post_init__(self) -> None:
        if self.timezone:
            zone_of(self.timezone)
        if self.holidays:
            holidays_of(self.holidays, 2024, 2024)
        if self.frequency.days == "C" and not self.holidays:
            raise UsageError(f"{self.frequency} needs a calendar of holidays: --holidays DE, US-NY or XNYS")

    @cached_property
    def lead(self) -> int:
        """Seconds to add to an elapsed step's start in UTC so that it counts from local midnight."""
        return standard_offset(self.timezone) if self.timezone else 0

    @property
    def changed(self) -> bool:
        """Whether its steps, of elapsed time, may come earlier or later by a clock that is changed."""
        return bool(self.timezone) and self.frequency.elapsed

    @cached_property
    def closed(self) -> Days:
        """Holidays that the grid leaves out."""
        if self.frequency.days != "C" or not self.holidays:
            return np.empty(0, "datetime64[D]")
        days = holidays_of(self.holidays, *CALENDAR).astype("datetime64[D]")
        return days[np.is_busday(days)]

    @cached_property
    def closures(self) -> Steps:
        """Those holidays as numbers of weekdays, see `_weekdays`."""
        return _weekdays(self.closed)

    @cached_property
    def closed_before_1970(self) -> int:
        """How many of those holidays are before 1970."""
        return int(np.searchsorted(self.closures, 0))

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
                return self._open_days(units).astype("datetime64[s]")
            case "business hour":
                return self._open_days(units // OPEN) + (units % OPEN + OPENS) * np.timedelta64(HOUR, "s")
            case "month" | "half month":
                end = self.frequency.end
                days = self.first_days(steps + end) - int(end)
                if self.frequency.days:
                    roll: Literal["preceding", "following"] = "preceding" if end else "following"
                    days = np.busday_offset(days, 0, roll=roll, holidays=self.closed)
                return days.astype("datetime64[s]")

    def instants(self, steps: Steps) -> Seconds:
        """The label of each step in UTC."""
        if self.frequency.elapsed:
            seconds = steps * self.frequency.multiple + self.frequency.phase - self.lead
            return seconds.astype("datetime64[s]")
        return to_utc(self.wall(steps), self.timezone) if self.timezone else self.wall(steps)

    def clock(self, first: int, last: int) -> tuple[Steps, Steps]:
        """The steps after one and up to another at which the clock has been changed, by a step or more.

        Returns:
            these steps, none unless the grid is `changed`; and how many steps the clock is ahead of a grid without a
            zone, before, between and after them.
        """
        if not self.timezone or not self.changed:
            return np.empty(0, np.int64), np.zeros(1, np.int64)
        ends: Seconds = self.instants(np.array([first, last]))
        moments, offsets = changes(self.timezone, *ends)
        ahead = (offsets - self.lead) // self.frequency.multiple
        is_new = np.diff(ahead) != 0
        # The first step that begins at a change or after it.
        return self.from_instants(moments - np.timedelta64(1, "s"))[is_new] + 1, ahead[np.append(True, is_new)]

    def begins(self, step: int) -> str:
        """The first moment of a step as text; its label unless that is the end of some months, or a weekday in them."""
        return str(self.first_days(np.array([step]))[0]) if "month" in self.frequency.unit else self.label(step)

    def first_days(self, steps: Steps) -> Days:
        """The day on which each step begins, which is that of its label except for some months, see `begins`."""
        if "month" not in self.frequency.unit:
            return self.wall(steps).astype("datetime64[D]")
        units = steps * self.frequency.multiple + self.frequency.phase
        halves = 1 if self.frequency.unit == "month" else 2
        months: Days = (units // halves).astype("datetime64[M]").astype("datetime64[D]")
        months += (units % halves * (14 + self.frequency.end)).astype("timedelta64[D]")  # after the 15th, or on it
        return months

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

        Wall-clock times before it are at instants before it.

        Raises:
            UsageError: it is no date.
        """
        moment = parse_date(text)
        aware = moment.tzinfo is not None
        time = np.array([moment.astimezone(UTC).replace(tzinfo=None) if aware else moment], "datetime64[us]")
        if self.timezone and aware != instant:
            whole = time.astype("datetime64[s]")
            time += (to_utc if instant else not_before)(whole, self.timezone) - whole
        found: np.datetime64 = time[0]
        return found

    def label(self, step: int) -> str:
        """A step as text; `step` reads it back. The offset is written where the clock shows the time twice."""
        steps = np.array([step], np.int64)
        wall = self.wall(steps)
        moment = wall[0].item()
        if not isinstance(moment, datetime):  # a year that Python's dates do not have
            return str(wall[0])
        if not self.frequency.timed:
            return moment.date().isoformat()
        text = moment.isoformat(" ", "minutes" if moment.second == 0 else "seconds")
        if self.frequency.elapsed and self.timezone and to_utc(wall, self.timezone)[0] != self.instants(steps)[0]:
            aware = self.instants(steps)[0].item().replace(tzinfo=UTC).astimezone(zone_of(self.timezone))
            text += aware.strftime("%z")
        return text

    def _units(self, wall: Seconds) -> Steps:
        """Units of the frequency since 1970, of which `multiple` make a step."""
        match self.frequency.unit:
            case "second":
                return wall.astype(np.int64)
            case "day":
                return wall.astype("datetime64[D]").astype(np.int64)
            case "business day":
                return self._open(wall.astype("datetime64[D]"))
            case "business hour":
                opened = wall - np.timedelta64(OPENS * HOUR, "s")
                days = opened.astype("datetime64[D]")
                hours = np.minimum((opened - days).astype(np.int64) // HOUR, OPEN - 1)
                is_open = np.is_busday(days, holidays=self.closed)
                return self._open(days) * OPEN + np.where(is_open, hours, OPEN - 1)
            case "month":
                return wall.astype("datetime64[M]").astype(np.int64)
            case "half month":
                months = wall.astype("datetime64[M]")
                late = (wall.astype("datetime64[D]") - months).astype(np.int64) >= 14 + self.frequency.end
                return np.asarray(2 * months.astype(np.int64) + late)

    def _open(self, days: Days) -> Steps:
        """Numbers of days that count; one that does not is the one before it."""
        weekdays = _weekdays(days)
        numbers: Steps = weekdays - np.searchsorted(self.closures, weekdays, side="right") + self.closed_before_1970
        return numbers

    def _open_days(self, numbers: Steps) -> Days:
        """The days of such numbers."""
        first = self.closures - np.arange(len(self.closures)) + self.closed_before_1970
        weekdays = numbers + np.searchsorted(first, numbers, side="right") - self.closed_before_1970
        # Weeks start on Mondays; 1970 began on a Thursday.
        return (weekdays // 5 * 7 + weekdays % 5 - 3).astype("datetime64[D]")

    def __str__(self) -> str:
        return f"{self.frequency}, {self.timezone}" if self.timezone else str(self.frequency)


def _weekdays(days: Days) -> Steps:
    """Mondays to Fridays, numbered; Saturdays and Sundays count to the Friday before them."""
    since_monday = days.astype(np.int64) + 3
    return since_monday // 7 * 5 + np.minimum(since_monday % 7, 4)


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
