"""Timestamps become numbers: where a step lies in its day, week, month and year.

Each position is an angle, given as sine and cosine, so that 23:30 is next to 00:00.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gatecast.data.dates import Grid, Steps
from gatecast.data.frequency import DAY, OPEN, YEAR
from gatecast.data.holidays import holidays_of
from gatecast.data.zones import Seconds

Fraction = npt.NDArray[np.float64]
HOLIDAY_FEATURES = 3


def _since(wall: Seconds, unit: str) -> Fraction:
    """Seconds since the start of the calendar unit that each time lies in."""
    passed = wall - wall.astype(f"datetime64[{unit}]").astype("datetime64[s]")
    return np.asarray(passed, np.float64)


def _share(wall: Seconds, unit: str) -> Fraction:
    """Share of its calendar unit (which may vary in length) that has passed."""
    start = wall.astype(f"datetime64[{unit}]")
    length = (start + 1).astype("datetime64[s]") - start.astype("datetime64[s]")
    return _since(wall, unit) / np.asarray(length, np.float64)


def _of_week(wall: Seconds) -> Fraction:
    monday_first = (wall.astype("datetime64[D]").astype(np.int64) + 3) % 7
    return (monday_first + _since(wall, "D") / DAY) / 7


@dataclass(frozen=True)
class Cycle:
    """A stretch of the calendar that comes again.

    Attributes:
        length: in seconds.
        repeats: how often a history must hold it for a network to learn from it rather than from
            the dates themselves; the year is worth learning from the second time on.
        passed: the share of it that has passed at a wall-clock time.
    """

    length: float
    repeats: int
    passed: Callable[[Seconds], Fraction]


CYCLES: Mapping[str, Cycle] = {
    "day": Cycle(DAY, 10, lambda wall: _since(wall, "D") / DAY),
    "week": Cycle(7 * DAY, 10, _of_week),
    "month": Cycle(30.44 * DAY, 10, lambda wall: _share(wall, "M")),
    "year": Cycle(YEAR, 2, lambda wall: _share(wall, "Y")),
}
HOLIDAYS = "holidays"
CALENDAR = (*CYCLES, HOLIDAYS)
"""What features of dates alone are called; a column of one of these names is called otherwise."""


def meaningful(grid: Grid, span: int, cutoffs: int) -> tuple[str, ...]:
    """The cycles that a grid resolves (two steps or more), and that the history repeats and shows from everywhere.

    A network that has forecast from a few places of a cycle alone, as from one December of each series,
    gives nonsense from the others.

    Args:
        span: steps of the history.
        cutoffs: how many of them a network learns to forecast from.
    """
    step = grid.frequency.seconds
    return tuple(
        name
        for name, cycle in CYCLES.items()
        if 2 * step <= cycle.length and cycle.repeats * cycle.length <= span * step and cycle.length <= cutoffs * step
    )


def calendar(grid: Grid, cycles: tuple[str, ...], steps: Steps) -> npt.NDArray[np.float32]:
    """Sine and cosine of each step's place in each cycle.

    Returns:
        (steps, 2 · cycles), within [-1, 1].
    """
    wall = grid.wall(steps)
    angles = [2 * np.pi * CYCLES[name].passed(wall) for name in cycles]
    pairs = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.stack(pairs, -1).astype(np.float32) if pairs else np.zeros((len(steps), 0), np.float32)


def holiday_calendar(grid: Grid, place: str | None, steps: Steps) -> npt.NDArray[np.float32]:
    """How many days of each step are the day before a holiday, a holiday, and the day after one.

    A step shorter than a day counts as its day.

    Args:
        place: see `holidays.holidays_of`; None has no holidays.

    Returns:
        (steps, 3).
    """
    if place is None or not len(steps):
        return np.zeros((len(steps), HOLIDAY_FEATURES), np.float32)
    starts = grid.first_days(steps)
    stops = starts + 1
    if not (grid.frequency.unit == "business hour" and grid.frequency.multiple < OPEN):  # the next may be on Monday
        stops = np.maximum(grid.first_days(steps + 1), stops)
    first, last = starts.min() - 2, stops.max() + 2
    on = np.zeros((last - first).astype(int), bool)
    found = holidays_of(place, *(int(str(day)[:-6]) for day in (first, last)))
    on[(found[(found >= first) & (found < last)] - first).astype(int)] = True
    before, after = np.append(on[1:], False) & ~on, np.append(False, on[:-1]) & ~on
    counts = np.cumsum(np.stack([before, on, after], 1), 0, dtype=np.float32)
    low, high = ((part - first).astype(int) - 1 for part in (starts, stops))
    within: npt.NDArray[np.float32] = counts[high] - counts[low]
    return within
