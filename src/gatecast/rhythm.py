"""By which clock a series lives: whether its weeks around clock changes repeat by the clock or by elapsed time."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from gatecast.data.clock import GridClock
from gatecast.data.dates import Steps
from gatecast.data.encoding import Encoder
from gatecast.data.frequency import DAY
from gatecast.data.panel import Panel
from gatecast.data.scaling import deviation
from gatecast.data.split import evenly
from gatecast.data.windows import Windows
from gatecast.nn.starting import seasonal_repeat

LONGEST = 2_016
"""Steps of the longest season that is looked at: a week of five minutes."""
SAMPLED = 1_024
"""Windows in which errors are compared."""
ZONES = ("Europe/Berlin", "America/Chicago", "Australia/Sydney")
"""Zones whose clocks most that are changed are changed with, give or take some hours."""
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
    """Errors of repeating the week before each clock change after it, by the clock and by elapsed time; none: 0."""
    seconds = panel.grid.frequency.seconds
    season = next((int(span / seconds) for span in (7 * DAY, DAY) if span <= LONGEST * seconds), 0)
    clock = GridClock.of(panel.grid, int(panel.starts.min()), int(until.max()))
    if clock is None or not season:
        return 0.0, 0.0
    series, cutoffs = np.repeat(np.arange(len(panel)), len(clock.changes)), np.tile(clock.changes - 1, len(panel))
    whole = np.flatnonzero((cutoffs - season >= panel.starts[series] - 1) & (cutoffs + season <= until[series]))
    chosen = whole[evenly(len(whole), SAMPLED)]
    if not len(chosen):
        return 0.0, 0.0
    around = torch.from_numpy(series[chosen]), torch.from_numpy(cutoffs[chosen])

    def error(follows: bool) -> float:
        windows = Windows.of(panel, Encoder(clock=follows), season, season, torch.device("cpu"))
        return repeated_errors(windows, *around, [season])[season]

    return error(True), error(False)


def repeated_errors(
    windows: Windows, series: Int[Tensor, "B"], cutoffs: Int[Tensor, "B"], seasons: Sequence[int]
) -> dict[int, float]:
    """Scaled absolute error of repeating each season, summed over windows."""
    inputs, truth = windows.inputs(series, cutoffs), windows.truth(series, cutoffs)
    _, scale = deviation(inputs.context, inputs.observed)

    def error(season: int) -> float:
        repeated = seasonal_repeat(inputs.context, inputs.observed, season, windows.horizon)
        wrong = ((repeated - truth.values).abs() / scale).masked_fill(~truth.observed, 0)
        return float(wrong.sum())

    return {season: error(season) for season in seasons}
