"""How far a ratio of sums might be off: resampled over series and over stretches of time."""

from dataclasses import dataclass

import numpy as np

from gatecast.data.arrays import Indices
from gatecast.data.dates import Steps
from gatecast.evaluation.metrics import Array

DRAWS = 1_000
"""How many times to resample."""
CONFIDENCE = 95
"""Percent of the resampled ratios that lie within the interval."""
WEIGHTS_AT_ONCE = 1_000_000
"""Weights drawn at once."""


@dataclass(frozen=True)
class Estimate:
    """A ratio and the interval that its data leave open; low and high are equal where nothing can be resampled."""

    value: float
    low: float
    high: float


def ratio(top: Array, bottom: Array, series: Indices, blocks: Indices, confidence: float = CONFIDENCE) -> Estimate:
    """Σ top / Σ bottom with a percentile interval (the pigeonhole bootstrap of Owen 2007: rows and columns).

    Errors of one date are alike in all series and all windows that reach it, and errors of one series
    are alike at all dates. So whole series and whole blocks of dates are drawn, both with replacement,
    and one fewer of each than there are, without which few of them give too short an interval
    (Hesterberg 2015, section 4.3).

    Args:
        top: (N,), finite.
        bottom: (N,), finite.
        series: (N,), which series each belongs to.
        blocks: (N,), which stretch of time each belongs to.
        confidence: percent of the resampled ratios between the bounds.
    """
    rows, columns = (np.unique(part, return_inverse=True)[1] for part in (series, blocks))
    shape = (int(rows.max()) + 1, int(columns.max()) + 1)
    sums = [np.bincount(rows * shape[1] + columns, part, shape[0] * shape[1]).reshape(shape) for part in (top, bottom)]
    value = sums[0].sum() / sums[1].sum()
    rng, found, together = np.random.default_rng(1), np.full(DRAWS, np.nan), max(1, WEIGHTS_AT_ONCE // max(shape))
    for at in range(0, DRAWS, together):
        count = min(together, DRAWS - at)
        weights = [_drawn(rng, size, count) for size in shape]
        above, below = (((weights[0] @ part) * weights[1]).sum(1) for part in sums)
        np.divide(above, below, out=found[at : at + count], where=below != 0)
    tail = (100 - confidence) / 2
    low, high = np.nanpercentile(found, [tail, 100 - tail]) if np.isfinite(found).any() else (value, value)
    return Estimate(float(value), float(low), float(high))


def _drawn(rng: np.random.Generator, size: int, count: int) -> Array:
    """How often each of `size` is among one fewer drawn with replacement, `count` times."""
    drawn = rng.integers(size, size=(count, max(size - 1, 1))) + size * np.arange(count)[:, None]
    return np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size).astype(float)


def places(series: Indices, cutoffs: Steps, horizon: int) -> tuple[Indices, Indices]:
    """The series and the stretch of time of each forecast, (W, H) each; a stretch has as many dates as H."""
    dates = cutoffs[:, None] + np.arange(horizon)
    return np.repeat(series[:, None], horizon, 1), (dates - dates.min()) // horizon
