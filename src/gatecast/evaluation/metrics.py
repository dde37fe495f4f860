"""How far forecasts are from the truth. Pure functions of arrays; what was not observed (NaN) does not count."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]


def mae(truth: Array, forecast: Array) -> float:
    """Mean absolute error, in the target's unit."""
    return _mean(np.abs(truth - forecast))


def rmse(truth: Array, forecast: Array) -> float:
    """Root mean squared error, in the target's unit."""
    return float(np.sqrt(_mean(np.square(truth - forecast, dtype=np.float64))))


def bias(truth: Array, forecast: Array) -> float:
    """Mean error; above zero when forecasts are too high."""
    return _mean(forecast - truth)


def wape(truth: Array, forecast: Array) -> float:
    """Weighted absolute percentage error, Σ|y - ŷ| / Σ|y|; NaN where all truth is zero."""
    size = np.nansum(np.abs(truth), dtype=np.float64)
    return float(np.nansum(np.abs(truth - forecast), dtype=np.float64) / size) if size else float("nan")


def accuracy(truth: Array, forecast: Array) -> float:
    """1 - WAPE, in percent."""
    return 100 * (1 - wape(truth, forecast))


def smape(truth: Array, forecast: Array) -> float:
    """Symmetric percentage error in percent, 200 |y - ŷ| / (|y| + |ŷ|); 0 where both are zero (M3, M4)."""
    size = np.abs(truth) + np.abs(forecast)
    return 200 * _mean(np.abs(truth - forecast) / np.where(size == 0, 1, size))


def mase(truth: Array, forecast: Array, scale: Array) -> float:
    """Absolute error relative to the naive one-season-back error on the training rows (Hyndman & Koehler 2006).

    Args:
        truth: (W, H).
        forecast: (W, H).
        scale: (W,), see `baselines.naive_error`; windows without a positive one do not count.
    """
    usable = scale > 0
    return _mean((np.abs(truth - forecast) / np.where(usable, scale, 1)[:, None])[usable])


def rmsse(truth: Array, forecast: Array, scale: Array) -> float:
    """Root mean squared error relative to that of the naive forecast one season back (M5).

    Args:
        truth: (W, H).
        forecast: (W, H).
        scale: (W,), see `baselines.naive_error` with power 2; windows without a positive one do not count.
    """
    usable = scale > 0
    scaled = (truth - forecast)[usable].astype(np.float64) / scale[usable][:, None]
    return float(np.sqrt(_mean(np.square(scaled))))


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
    return 100 * _mean(np.where(np.isnan(truth), np.nan, inside))


def width(truth: Array, lower: Array, upper: Array) -> float:
    """Mean width of the intervals of what was observed, in the target's unit."""
    return _mean(np.where(np.isnan(truth), np.nan, upper - lower))


def msis(truth: Array, lower: Array, upper: Array, level: float, scale: Array) -> float:
    """Mean scaled interval score (M4): width, and 2 / α for each unit that the truth lies outside.

    Args:
        truth: (W, H).
        lower: (W, H).
        upper: (W, H).
        level: of the interval in percent; α = 1 - level / 100.
        scale: (W,), see `mase`.
    """
    usable = scale > 0
    outside = np.maximum(lower - truth, 0, dtype=np.float64) + np.maximum(truth - upper, 0)
    score = upper - lower + 2 / (1 - level / 100) * outside
    return _mean(score[usable] / scale[usable][:, None])


def known(value: float) -> float | None:
    """None for a metric that is undefined, as JSON has it."""
    return value if np.isfinite(value) else None


def _mean(values: Array) -> float:
    """Mean of what was observed, NaN if nothing was."""
    seen = values[~np.isnan(values)]
    return float(seen.mean(dtype=np.float64)) if seen.size else float("nan")
