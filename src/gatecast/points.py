"""Point forecasts: the best single number of a predictive distribution depends on the metric."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from gatecast.settings import Metric

Array = npt.NDArray[np.floating]
GRID, ROWS = 99, 8_192
"""Evenly spaced quantiles that represent a distribution, and how many distributions are looked at together."""
TINY = 1e-9
"""Share of its largest value below which a distribution counts as zero."""
LEAST = 0.3
"""Share of the median that a truth is divided by at least. Percentages of zeros are not counted when judged, and how
close to zero the lowest quantiles come, which would decide alone, is what is known worst."""
_NORMAL = NormalDist()


def bounds(level: float) -> tuple[float, float]:
    """The probabilities of the lower and upper bound of an interval of a level in percent."""
    return round(0.5 - level / 200, 6), round(0.5 + level / 200, 6)


def points(quantiles: Array, probabilities: Sequence[float], metric: Metric, mean_share: float = 1.0) -> Array:
    """The best point forecast for a metric (Gneiting, "Making and evaluating point forecasts", JASA 2011).

    The median for absolute errors, the mean for squared ones; for errors in percent of the truth, which weigh small
    truths most, a value below the median, and for those in percent of truth and forecast together one near it.

    Args:
        quantiles: (..., P), increasing.
        probabilities: (P,), with 0.5 among them.
        mean_share: how far towards the mean the point for squared errors lies, see `calibration.mean_share_of`.

    Returns:
        (...).
    """
    median = quantiles[..., probabilities.index(0.5)]
    if metric == "rmse":
        mean = quantiles @ np.array(mean_weights(tuple(probabilities)), quantiles.dtype)
        return median + mean_share * (mean - median)
    if metric not in _BY_SIZE:
        return median
    flat = quantiles.reshape(-1, len(probabilities))
    parts = [_best(flat[at : at + ROWS], probabilities, metric) for at in range(0, max(len(flat), 1), ROWS)]
    return np.concatenate(parts).astype(quantiles.dtype).reshape(quantiles.shape[:-1])


@cache
def mean_weights(probabilities: tuple[float, ...]) -> tuple[float, ...]:
    """What quantiles of these probabilities are multiplied by so that the sum is the mean of the distribution."""
    return tuple(interpolated(np.eye(len(probabilities)), probabilities, _even(probabilities)).mean(1).tolist())


def _even(probabilities: Sequence[float]) -> Array:
    """Evenly spaced probabilities, none beyond the outermost: untrained tails would dominate means and percentages."""
    return np.clip((np.arange(GRID) + 0.5) / GRID, probabilities[0], probabilities[-1])


def _best(quantiles: Array, probabilities: Sequence[float], metric: Metric) -> Array:
    """The best points of some rows."""
    values = interpolated(quantiles, probabilities, _even(probabilities))
    # The expected loss is not convex; the best of the quantiles themselves is found by trying them all.
    loss = _BY_SIZE[metric]
    expected = np.stack([loss(values[:, i : i + 1], values).mean(-1) for i in range(GRID)], -1)
    best: Array = np.take_along_axis(values, expected.argmin(-1)[:, None], -1)[:, 0]
    return best


_BY_SIZE: Mapping[Metric, Callable[[Array, Array], Array]] = {
    "mape": lambda point, truth: np.abs(point - truth) / _above_zero(_at_least(np.abs(truth))),
    "smape": lambda point, truth: np.abs(point - truth) / _above_zero(np.abs(point) + np.abs(truth)),
}


def _at_least(sizes: Array) -> Array:
    """Sizes, those of the lowest quantiles raised to a share of the middle one."""
    found: Array = np.maximum(sizes, LEAST * sizes[..., GRID // 2, None])
    return found


def _above_zero(sizes: Array) -> Array:
    """Sizes to divide by."""
    found: Array = np.maximum(sizes, np.maximum(TINY * sizes.max(-1, keepdims=True), np.finfo(sizes.dtype).tiny))
    return found


def interpolated(quantiles: Array, probabilities: Sequence[float], wanted: Iterable[float]) -> Array:
    """Quantiles at other probabilities: straight lines between the given ones, over normal scores.

    A normal distribution is read exactly, beyond the outermost quantiles too.

    Args:
        quantiles: (..., P), increasing.
        probabilities: (P,), increasing.
        wanted: (V,), between 0 and 1.

    Returns:
        (..., V).
    """
    wanted = tuple(wanted)
    if set(wanted) <= set(probabilities):
        return quantiles[..., [probabilities.index(share) for share in wanted]]
    known, scores = (np.array([*map(_NORMAL.inv_cdf, shares)]) for shares in (probabilities, wanted))
    right = np.clip(np.searchsorted(known, scores), 1, len(known) - 1)
    weight = (scores - known[right - 1]) / (known[right] - known[right - 1])
    found: Array = quantiles[..., right - 1] * (1 - weight) + quantiles[..., right] * weight
    return found.astype(quantiles.dtype)
