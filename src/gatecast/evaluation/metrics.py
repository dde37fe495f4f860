"""How far forecasts are from the truth. Pure functions of arrays; what was not observed (NaN) does not count.

Those of points are of all values together, or of each group of them: `groups`, broadcast to the values, says
which of 0, 1, ..., G - 1 each belongs to, and there are G results.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from gatecast.data.arrays import Flags, Indices

Array = npt.NDArray[np.floating]
Groups = Indices | None


def mae(truth: Array, forecast: Array, groups: Groups = None) -> Array:
    """Mean absolute error, in the target's unit."""
    return _mean(np.abs(truth - forecast), groups)


def rmse(truth: Array, forecast: Array, groups: Groups = None) -> Array:
    """Root mean squared error, in the target's unit."""
    return np.sqrt(_mean(np.square(truth - forecast, dtype=np.float64), groups))


def bias(truth: Array, forecast: Array, groups: Groups = None) -> Array:
    """Mean error; above zero when forecasts are too high."""
    return _mean(forecast - truth, groups)


def wape(truth: Array, forecast: Array, groups: Groups = None) -> Array:
    """Weighted absolute percentage error, Σ|y - ŷ| / Σ|y|; NaN where all truth is zero."""
    return _ratio(_sum(np.abs(truth - forecast), groups), _sum(np.abs(truth), groups))


def accuracy(truth: Array, forecast: Array, groups: Groups = None) -> Array:
    """1 - WAPE, in percent."""
    return 100 * (1 - wape(truth, forecast, groups))


def smape(truth: Array, forecast: Array, groups: Groups = None) -> Array:
    """Symmetric percentage error in percent, 200 |y - ŷ| / (|y| + |ŷ|); 0 where both are zero (M3, M4)."""
    size = np.abs(truth) + np.abs(forecast)
    return 200 * _mean(np.abs(truth - forecast) / np.where(size == 0, 1, size), groups)


def mase(truth: Array, forecast: Array, scale: Array, groups: Groups = None) -> Array:
    """Absolute error relative to the naive one-season-back error on the training rows (Hyndman & Koehler 2006).

    Args:
        truth: (W, H).
        forecast: (W, H).
        scale: (W,), see `baselines.naive_error`; windows without a positive one do not count.
        groups: broadcast to (W, H).
    """
    return _mean(np.abs(truth - forecast) / usable(scale), groups)


def rmsse(truth: Array, forecast: Array, scale: Array, groups: Groups = None) -> Array:
    """Root mean squared error relative to that of the naive forecast one season back (M5).

    Args:
        truth: (W, H).
        forecast: (W, H).
        scale: (W,), see `baselines.naive_error` with power 2; windows without a positive one do not count.
        groups: broadcast to (W, H).
    """
    return np.sqrt(_mean(np.square((truth - forecast).astype(np.float64) / usable(scale)), groups))


def quantile_loss(truth: Array, quantiles: Array, probabilities: Array) -> float:
    """Weighted quantile loss: 2 Σ pinball / Σ|y|, the mean over the probabilities (GluonTS's and M5's scale).

    Args:
        truth: (...).
        quantiles: (..., P).
        probabilities: (P,).
    """
    error = truth[..., None] - quantiles
    loss = np.maximum(probabilities * error, (probabilities - 1) * error)
    size = np.nansum(np.abs(truth), dtype=np.float64) * len(probabilities)
    return float(2 * np.nansum(loss, dtype=np.float64) / size) if size else float("nan")


def coverage(truth: Array, lower: Array, upper: Array) -> float:
    """Share of the truth that lies within its interval, in percent."""
    inside = ((truth >= lower) & (truth <= upper)).astype(np.float64)
    return float(100 * _mean(np.where(np.isnan(truth), np.nan, inside)))


def width(truth: Array, lower: Array, upper: Array) -> float:
    """Mean width of the intervals of what was observed, in the target's unit."""
    return float(_mean(np.where(np.isnan(truth), np.nan, upper - lower)))


def msis(truth: Array, lower: Array, upper: Array, level: float, scale: Array) -> float:
    """Mean scaled interval score (M4): width, and 2 / α for each unit that the truth lies outside.

    Args:
        truth: (W, H).
        lower: (W, H).
        upper: (W, H).
        level: of the interval in percent; α = 1 - level / 100.
        scale: (W,), see `mase`.
    """
    outside = np.maximum(lower - truth, 0, dtype=np.float64) + np.maximum(truth - upper, 0)
    score = upper - lower + 2 / (1 - level / 100) * outside
    return float(_mean(score / usable(scale)))


def usable(scale: Array) -> Array:
    """Scales (W,) as a column (W, 1), NaN for one that is not positive, by which nothing can be divided."""
    return np.where(scale > 0, scale, np.nan)[:, None]


def known(values: Array | float) -> Any:
    """Metrics as Python's numbers, None for one that is undefined, as JSON has it."""
    found = np.asarray(values).astype(object)
    found[~np.isfinite(values)] = None
    return found.tolist()


def _mean(values: Array, groups: Groups = None) -> Array:
    """Mean of what was observed, NaN if nothing was."""
    return _ratio(_sum(values, groups), _sum(~np.isnan(values), groups))


def _sum(values: Array | Flags, groups: Groups) -> Array:
    """Sum of what was observed, in double precision."""
    if groups is None:
        return np.asarray(np.nansum(values, dtype=np.float64))
    weights = np.where(np.isnan(values), 0, values)
    return np.bincount(np.broadcast_to(groups, weights.shape).ravel(), weights.ravel()).astype(np.float64)


def _ratio(above: Array, below: Array) -> Array:
    """A quotient, NaN where the divisor is zero."""
    found: Array = np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0)
    return found
