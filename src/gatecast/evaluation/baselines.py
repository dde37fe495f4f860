"""Forecasts any model has to beat."""

import numpy as np
import torch

from gatecast.data.arrays import Indices, Values
from gatecast.data.dates import Steps
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Panel
from gatecast.data.windows import Windows
from gatecast.evaluation.metrics import Array
from gatecast.nn.starting import seasonal_repeat

SEASONS = 4
"""How many seasons back a missing value is looked for."""


def seasonal_naive(
    panel: Panel, series: Indices, cutoffs: Steps, season: int, horizon: int, *, clock: bool = False
) -> Values:
    """The last season before each cutoff, repeated; a missing value is taken from the season before.

    Where nothing was observed for `SEASONS` seasons, the last value is repeated, however old.

    Args:
        clock: whether it is repeated at the same hour of the clock when the clocks change, see `data.clock`.

    Returns:
        (W, H), NaN where nothing had been observed.
    """
    windows = Windows.of(panel, Encoder(clock=clock), SEASONS * season, horizon, torch.device("cpu"))
    last = torch.from_numpy(cutoffs)
    context, observed = windows.past(torch.from_numpy(series), last)
    ahead = windows.ahead(last, horizon)
    repeated = seasonal_repeat(context, observed, season, int(ahead.max())).take_along_dim(ahead - 1, 1).numpy()
    nothing = ~observed.any(1).numpy()
    if nothing.any():  # hardly ever; to find the last value all values are looked at
        repeated[nothing] = _last(panel, series[nothing], cutoffs[nothing])[1][:, None]
    return repeated


def naive_drift(panel: Panel, series: Indices, cutoffs: Steps, horizon: int) -> Values:
    """The straight line from the first value through the last one before each cutoff, continued.

    Returns:
        (W, H), NaN where nothing had been observed.
    """
    first, (last, newest) = panel.offsets[series], _last(panel, series, cutoffs)
    slope = (newest - panel.values[first]) / np.maximum(last - first, 1)
    ahead = (cutoffs - panel.starts[series] + first - last)[:, None] + np.arange(1, horizon + 1)
    line: Values = (newest[:, None] + slope[:, None] * ahead).astype(np.float32)
    return line


def _last(panel: Panel, series: Indices, cutoffs: Steps) -> tuple[Indices, Values]:
    """Position and value of the last one observed by each cutoff, NaN before the series began."""
    unknown = np.isnan(panel.values) | (0 if panel.waiting is None else panel.waiting > 0)
    newest = np.maximum.accumulate(np.where(unknown, -1, np.arange(len(panel.values))))
    first = panel.offsets[series]
    last = newest[np.clip(first + cutoffs - panel.starts[series], first, panel.offsets[series + 1] - 1)]
    return last, np.where(cutoffs >= panel.starts[series], panel.values[last], np.float32(np.nan))


def naive_error(panel: Panel, until: Steps, season: int, power: int = 1) -> Array:
    """Power mean of |y_t - y_(t - season)| of each series up to a step: the denominator of MASE, or of RMSSE.

    Args:
        until: the last step of each series that counts.
        power: 1 for the mean, 2 for the root of the mean square.

    Returns:
        (S,), NaN for a series with no such pair.
    """
    errors = np.full(len(panel), np.nan)
    for index in range(len(panel)):
        values = panel.known(index, int(until[index])).astype(np.float64)
        differences = np.abs(values[season:] - values[:-season])
        seen = differences[~np.isnan(differences)]
        if seen.size:
            errors[index] = (seen**power).mean() ** (1 / power)
    return errors
