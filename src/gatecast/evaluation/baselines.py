"""Forecasts any model has to beat."""

import numpy as np
import torch

from gatecast.data.dates import Steps
from gatecast.data.panel import Indices, Panel, Values
from gatecast.data.windows import Windows
from gatecast.evaluation.metrics import Array
from gatecast.nn.network import seasonal_repeat

SEASONS = 4
"""How many seasons back a missing value is looked for."""


def seasonal_naive(panel: Panel, series: Indices, cutoffs: Steps, season: int, horizon: int) -> Values:
    """The last season before each cutoff, repeated; a missing value is taken from the season before.

    Returns:
        (W, H), NaN where nothing had been observed.
    """
    windows = Windows.of(panel, (), SEASONS * season, horizon, torch.device("cpu"), ahead=0)
    context, observed = windows.past(torch.from_numpy(series), torch.from_numpy(cutoffs))
    repeated = seasonal_repeat(context, observed, season, horizon).numpy()
    repeated[~observed.any(1).numpy()] = np.nan
    return repeated


def naive_error(panel: Panel, until: Steps, season: int) -> Array:
    """Mean |y_t - y_(t - season)| of each series up to a step: the denominator of MASE.

    Returns:
        (S,), NaN for a series with no such pair.
    """
    errors = np.full(len(panel), np.nan)
    for index in range(len(panel)):
        values = panel.series(index)[: max(int(until[index] - panel.starts[index]) + 1, 0)].astype(np.float64)
        differences = np.abs(values[season:] - values[:-season])
        seen = differences[~np.isnan(differences)]
        if seen.size:
            errors[index] = seen.mean()
    return errors
