"""The number of the grid step a row falls in, as GoogleSQL over whole numbers: what `Grid` does, in the warehouse."""

from collections.abc import Sequence

import numpy as np

from gatecast.data.dates import Grid
from gatecast.data.frequency import HOUR, OPEN, OPENS
from gatecast.data.zones import clock_of
from gatecast.store import Kind

Years = tuple[int, int]
"""First and last year of the rows."""


def needs_years(kind: Kind, grid: Grid) -> bool:
    """Whether the step of a row hangs on tables, of clock changes or holidays, that go into the query.

    Warehouses disagree about wall-clock times that are skipped or shown twice, so the rule of
    `data.zones` is written out for them.
    """
    return grid.frequency.days == "C" or (grid.timezone is not None and kind in ("local", "text"))


def step_of(kind: Kind, grid: Grid, years: Years | None) -> str:
    """The number of the grid step that `t` falls in, as GoogleSQL over whole numbers."""
    frequency = grid.frequency
    if frequency.unit == "second":
        number, ahead = "UNIX_MICROS(t)", grid.lead if frequency.elapsed else 0
        if kind != "instant" or not frequency.elapsed:
            number = micros(wall(kind))
            if frequency.elapsed and grid.timezone:
                assert years  # see `needs_years`
                clock = clock_of(grid.timezone, years[0] - 1, years[1] + 2)
                until, offsets = ([1_000_000 * second for second in part] for part in (clock.until, clock.offsets))
                number = f"{number} - {_table(number, until, offsets)}"
        shifted = f"{number} + {(ahead - frequency.phase) * 1_000_000}"
        return floor(shifted, frequency.multiple * 1_000_000)
    return floor(f"{_units(grid, wall(kind), years)} - {frequency.phase}", frequency.multiple)


def _units(grid: Grid, wall: str, years: Years | None) -> str:
    unit, days = grid.frequency.unit, f"UNIX_DATE(DATE({wall}))"
    months = f"(EXTRACT(YEAR FROM {wall}) - 1970) * 12 + EXTRACT(MONTH FROM {wall}) - 1"
    match unit:
        case "month":
            return months
        case "half month":
            return f"2 * ({months}) + IF(EXTRACT(DAY FROM {wall}) > {14 + grid.frequency.end}, 1, 0)"
        case "day":
            return days
        case "business day":
            return _open(grid, days, years)
    hours = floor(f"{micros(wall)} - {OPENS * HOUR * 1_000_000}", HOUR * 1_000_000)
    day, last = floor(hours, 24), str(OPEN - 1)
    opened = f"{_open(grid, day, years)} != {_open(grid, f'{day} - 1', years)}"
    return f"{_open(grid, day, years)} * {OPEN} + IF({opened}, LEAST({hours} - 24 * {day}, {last}), {last})"


def _open(grid: Grid, days: str, years: Years | None) -> str:
    """The number of a day among those that count; see `Grid._open`."""
    weekday = f"(({floor(f'{days} + 3', 7)}) * 5 + LEAST({days} + 3 - 7 * ({floor(f'{days} + 3', 7)}), 4))"
    if grid.frequency.days != "C":
        return weekday
    assert years  # see `needs_years`
    ends = np.array([f"{years[0]}-01-01", f"{years[1] + 1}-01-01"], "datetime64[D]")
    first, last = np.searchsorted(grid.closed, ends).tolist()
    counts = range(first - grid.closed_before_1970, last - grid.closed_before_1970 + 1)
    return f"({weekday} - {_table(days, grid.closed[first:last].astype(int).tolist(), counts)})"


def _table(number: str, ends: Sequence[int], values: Sequence[int]) -> str:
    """The first value below the first end, the second below the second, ...: by halving, since there may be many."""
    if not ends:
        return str(values[0])
    middle = len(ends) // 2
    low, high = (
        _table(number, ends[:middle], values[: middle + 1]),
        _table(number, ends[middle + 1 :], values[middle + 1 :]),
    )
    return f"IF({number} < {ends[middle]}, {low}, {high})"


def floor(number: str, divisor: int) -> str:
    """Whole quotient, rounded down (DIV and integer casts round towards zero)."""
    return f"CAST(FLOOR(({number}) / {divisor}) AS INT64)"


def wall(kind: Kind) -> str:
    """The wall-clock time of `t` in `zone`, as GoogleSQL."""
    return "DATETIME(t, zone)" if kind == "instant" else "CAST(t AS DATETIME)"


def micros(wall: str) -> str:
    """Microseconds since 1970 on the wall clock; no zone takes part in it."""
    return f"DATETIME_DIFF({wall}, DATETIME '1970-01-01', MICROSECOND)"
