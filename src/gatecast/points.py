"""The one number to give of a predictive distribution: it depends on how the forecast will be judged."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gatecast.config import Metric

Array = npt.NDArray[np.floating]
GRID = 99
"""Quantiles that stand for a distribution, evenly spaced."""


def bounds(level: float) -> tuple[float, float]:
    """The probabilities of the lower and upper bound of an interval of a level in percent."""
    return round(0.5 - level / 200, 6), round(0.5 + level / 200, 6)


def points(quantiles: Array, probabilities: Sequence[float], metric: Metric) -> Array:
    """The best point for a metric (Gneiting, "Making and evaluating point forecasts", JASA 2011).

    The median for absolute errors, the mean for squared ones, and for percentage errors the
    median of the distribution weighted by one over the size they divide by.

    Args:
        quantiles: (..., P), increasing.
        probabilities: (P,), with 0.5 among them.

    Returns:
        (...).
    """
    median = quantiles[..., probabilities.index(0.5)]
    weigh = _WEIGHTS.get(metric)
    if weigh is None:
        return median
    values = _even(quantiles, np.array(probabilities))
    if metric == "rmse":
        mean: Array = values.mean(-1).astype(median.dtype)
        return mean
    share = weigh(np.abs(values), np.abs(median)[..., None]).cumsum(-1)
    half = (share < share[..., -1:] / 2).sum(-1)
    found: Array = np.take_along_axis(values, half[..., None], -1)[..., 0]
    return found.astype(median.dtype)


_WEIGHTS: Mapping[Metric, Callable[[Array, Array], Array]] = {
    "rmse": lambda size, middle: np.ones_like(size),
    "mape": lambda size, middle: 1 / np.maximum(size, 1e-6 * np.maximum(middle, 1e-6)),
    "smape": lambda size, middle: 1 / np.maximum(size + middle, 1e-12),
}


def _even(quantiles: Array, probabilities: Array) -> Array:
    """Quantiles at evenly spaced probabilities, straight between the given ones and flat beyond them."""
    wanted = np.clip((np.arange(GRID) + 0.5) / GRID, probabilities[0], probabilities[-1])
    right = np.clip(np.searchsorted(probabilities, wanted), 1, len(probabilities) - 1)
    weight = (wanted - probabilities[right - 1]) / (probabilities[right] - probabilities[right - 1])
    even: Array = quantiles[..., right - 1] * (1 - weight) + quantiles[..., right] * weight
    return even
