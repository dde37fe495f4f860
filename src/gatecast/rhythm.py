"""By which clock a series lives: whether its weeks around clock changes repeat by the clock or by elapsed time."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gatecast.data.dates import Steps
from gatecast.data.frequency import DAY
from gatecast.data.panel import Panel
from gatecast.data.split import evenly

Array = npt.NDArray[np.float64]

LONGEST = 2_016
"""Steps of the longest season that is looked at: a week of five minutes."""
SAMPLED = 1_024
"""Windows in which errors are compared."""
ZONES = ("Europe/Berlin", "America/Chicago", "Australia/Sydney")
"""Zones with whose clocks, give or take some hours, most are changed that are."""
SURELY = 0.8
"""Share of the error by elapsed time below which a clock that nobody named is surely followed."""


def by_clock(panel: Panel, until: Steps) -> bool:
    """Whether what repeats does so by the clock of the grid's zone; if not, by elapsed time, like the sun.

    Without a clock change in the rows, a series is taken to follow the clock, as people do.

    Args:
        until: the last step of each series that may be looked at.
    """
    clock, elapsed = _around_changes(panel, until)
    return panel.grid.changed and clock <= elapsed


def unnamed_zone(panel: Panel, until: Steps) -> str | None:
    """A zone whose clock what repeats surely follows although the grid counts in UTC; None if there is none."""
    if panel.kind != "instant" or not panel.grid.frequency.elapsed or panel.grid.timezone not in (None, "UTC"):
        return None
    for zone in ZONES:
        grid = replace(panel.grid, timezone=zone)
        moved = grid.from_instants(panel.grid.instants(np.zeros(1, np.int64)))[0]  # steps count from local midnight
        clock, elapsed = _around_changes(replace(panel, grid=grid, starts=panel.starts + moved), until + moved)
        if clock < SURELY * elapsed:
            return zone
    return None


def _around_changes(panel: Panel, until: Steps) -> tuple[float, float]:
    """Error of the week before each clock change as a forecast of the one after, by the clock and by elapsed time.

    Each is measured in the mean deviation of the week before, and all are added up; 0 where there is no change.
    """
    seconds = panel.grid.frequency.seconds
    season = next((int(span / seconds) for span in (7 * DAY, DAY) if span <= LONGEST * seconds), 0)
    changes, ahead = panel.grid.clock(int(panel.starts.min()), int(until.max()))
    series, change = (part.ravel() for part in np.indices((len(panel), len(changes))))
    first = changes[change]
    whole = np.flatnonzero((first - season >= panel.starts[series]) & (first + season <= until[series] + 1))
    chosen = whole[evenly(len(whole), SAMPLED)]
    if not season or not len(chosen):
        return 0.0, 0.0
    place = (panel.offsets[series] + first - panel.starts[series])[chosen, None] + np.arange(-season, season)
    before, after = np.split(panel.values[place].astype(np.float64), 2, axis=1)
    forward = np.arange(season) + np.diff(ahead)[change[chosen], None]
    same_hour = np.take_along_axis(before, forward.clip(0, season - 1), 1)
    both = (forward >= 0) & (forward < season) & ~np.isnan(same_hour + before)  # what both ways forecast
    usual = _mean(np.abs(before - _mean(before)))
    clock, elapsed = (
        np.divide(np.abs(after - part), usual, out=np.zeros_like(after), where=both & (usual > 0))
        for part in (same_hour, before)
    )
    return float(np.nansum(clock)), float(np.nansum(elapsed))


def _mean(values: Array) -> Array:
    """The mean of the observed values of each row; 0 without any."""
    mean: Array = np.nansum(values, 1, keepdims=True) / np.maximum((~np.isnan(values)).sum(1, keepdims=True), 1)
    return mean
