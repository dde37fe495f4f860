"""What else a test shows: known ways in which forecasts look better, or intervals safer, than they are.

Each detection is a function of the backtest that returns a sentence, or None.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gatecast.data.table import SEASONAL
from gatecast.errors import in_percent, some_names
from gatecast.evaluation.backtest import Backtest
from gatecast.evaluation.baselines import seasonal_naive
from gatecast.evaluation.metrics import Array, usable

COPY = 0.15
"""A forecast this near a copy of the past, relative to how far the truth is from the copy, is one."""
FLAT = 0.1
"""A forecast that varies within its windows less than this share of what the truth does is flat."""
BIAS = 0.25
"""Bias from which it is reported, relative to the mean absolute error."""
SLACK = 2.0
"""Points that the coverage of an interval may lie off its level, beyond what luck explains."""
FEW_SERIES = 0.05
"""Share of the series that may carry half of the error."""
GROWTH = 1.5
"""How much larger the error must be after a date than before it."""
SHUFFLES, CHANCE = 500, 0.01
"""Random orders of the errors, and the share of them that may grow as much, for a change that is no chance."""
LONGEST_LAG = 1_000
"""The longest lag that a copy is looked for at."""
STILL_FALLING, RISEN, LAST_PART = 0.01, 0.05, 0.9
"""Loss still gained over the last epochs, loss lost again after the best one, and how late that may come."""


def detect(backtest: Backtest, history: Sequence[Mapping[str, Any]] = (), kept: int = 0) -> dict[str, str]:
    """Everything that was noticed: a name → a sentence. Arguments as for `verdict.judge`."""
    found = {name: sentence for name, look in DETECTIONS.items() if (sentence := look(backtest))}
    return found | training(history, kept)


def lag_copy(backtest: Backtest) -> str | None:
    """Forecasts that repeat what was a lag ago: the last value, a day, a week or a season before."""
    lags = sorted({1, backtest.season, *(s for s in backtest.panel.grid.frequency.seasons if s <= LONGEST_LAG)})
    for lag in lags:
        copy = seasonal_naive(backtest.panel, backtest.series, backtest.cutoffs, lag, backtest.horizon)
        both = ~np.isnan(backtest.truth) & ~np.isnan(copy)
        away = np.abs(backtest.truth - copy)[both].sum()
        if away and np.abs(backtest.points - copy)[both].sum() < COPY * away:
            what = "the last value" if lag == 1 else f"what was {lag:,} steps before"
            return f"The forecasts copy {what}: they tell little that the past did not show already."
    return None


def flat(backtest: Backtest) -> str | None:
    """Forecasts that hardly vary where the truth does."""
    if backtest.horizon < 3:
        return None
    points = np.where(np.isnan(backtest.truth), np.nan, backtest.points)
    whole = (~np.isnan(backtest.truth)).sum(1) > 2
    if not whole.any():
        return None
    ours, theirs = (float(np.median(np.nanstd(part[whole].astype(np.float64), 1))) for part in (points, backtest.truth))
    if ours >= FLAT * theirs:
        return None
    return f"The forecasts are flat: within a window they vary {in_percent(ours / theirs)} as much as the truth."


def bias(backtest: Backtest) -> str | None:
    """Forecasts that are too high, or too low, on average, as medians of skewed values are; the mean may be less so."""
    errors = (forecast - backtest.truth for forecast in (backtest.points, backtest.points_for("rmse")))
    found, mean = (backtest.ratio(error, np.abs(error)) for error in errors)
    if found is None or abs(found.value) < BIAS or found.low <= 0 <= found.high:
        return None
    side = "high" if found.value > 0 else "low"
    text = f"The forecasts are too {side}: the bias is {in_percent(abs(found.value))} of the mean absolute error"
    if mean is not None and abs(mean.value) < min(abs(found.low), abs(found.high)):
        size = in_percent(abs(mean.value))
        text += f", that of the mean {size}: for sums, take the mean (forecast --point mean, or fit --metric rmse)"
    return f"{text}."


def intervals(backtest: Backtest) -> str | None:
    """Intervals that hold the truth less, or more, often than they say."""
    faults = []
    for level in backtest.settings.level:
        low, high = backtest.bounds(level)
        missing = np.isnan(backtest.truth)
        inside = np.where(missing, np.nan, (backtest.truth >= low) & (backtest.truth <= high)) * 100
        found = backtest.ratio(inside, np.where(missing, np.nan, 1))
        slack = min(SLACK, (100 - level) / 2)
        if found is not None and (found.high < level - slack or found.low > level + slack):
            side = "narrow" if found.value < level else "wide"
            faults.append(f"the {level:g} % intervals are too {side} (they cover {found.value:.1f} %)")
    text = " and ".join(faults)
    return f"{text[0].upper()}{text[1:]}." if faults else None


def few_series(backtest: Backtest) -> str | None:
    """A handful of series that carry half of all error."""
    error = np.abs(backtest.points - backtest.truth).astype(np.float64)
    sums = np.bincount(backtest.series, np.nansum(error, 1), len(backtest.panel))
    count = len(np.unique(backtest.series))
    order = np.argsort(-sums)
    half = int(np.searchsorted(np.cumsum(sums[order]), sums.sum() / 2)) + 1
    if half > FEW_SERIES * count:
        return None
    names = some_names(backtest.panel.names[index] for index in order[:half].tolist())
    return f"Half of the error comes from {half} of {count:,} series: {names}."


def drift(backtest: Backtest) -> str | None:
    """An error that is larger after some date than chance explains (a change point, by permutation)."""
    both = (backtest.points, backtest.baselines[SEASONAL])
    errors = [np.abs(part - backtest.truth) / usable(backtest.mase_scale) for part in both]
    seen = ~np.isnan(errors[0]) & ~np.isnan(errors[1])
    blocks, place, size = np.unique(backtest.places[1][seen], return_inverse=True, return_counts=True)
    if len(blocks) < 8:
        return None
    ours, naive = (np.bincount(place, part[seen]) / size for part in errors)
    at, growth = _change_point(ours)
    if growth < GROWTH:
        return None
    rng = np.random.default_rng(1)
    if np.mean([_change_point(rng.permutation(ours))[1] >= growth for _ in range(SHUFFLES)]) > CHANCE:
        return None
    first = int(backtest.cutoffs.min()) + 1 + int(blocks[at]) * backtest.horizon
    before, after = naive[:at].mean(), naive[at:].mean()
    theirs = f"; the seasonal naive's {after / before:.1f} times" if before else ""
    return (
        f"From {backtest.panel.grid.label(first)} on the error is {growth:.1f} times what it was before{theirs}: "
        "look at what changed, or train again."
    )


def _change_point(errors: Array) -> tuple[int, float]:
    """Where the mean after is largest relative to the mean before, with 3 blocks on each side, and that ratio."""
    at = np.arange(3, len(errors) - 2)
    sums = np.cumsum(errors)
    before, after = sums[at - 1] / at, (sums[-1] - sums[at - 1]) / (len(errors) - at)
    growth = np.divide(after, before, out=np.zeros(len(at)), where=before > 0)
    best = int(growth.argmax())
    return int(at[best]), float(growth[best])


def training(history: Sequence[Mapping[str, Any]], kept: int) -> dict[str, str]:
    """Training that ended too early, or too late."""
    lines = [line for line in history if line["stage"] == "test"]
    losses = [line["validation_loss"] for line in lines]
    if len(losses) < 5 or any(loss is None for loss in losses):
        return {}
    best = int(np.argmin(losses)) + 1
    before = losses[max(0, int(len(losses) * LAST_PART) - 1)]
    if best == len(losses) and losses[-1] < (1 - STILL_FALLING) * before:
        text = f"the validation loss still fell by {in_percent(1 - losses[-1] / before, 1)} over the last epochs"
        return {"not_converged": f"Training had not converged: {text}; give it more epochs or time."}
    if 0 < (1 + RISEN) * losses[best - 1] < losses[-1] and lines[-1]["train_loss"] < lines[best - 1]["train_loss"]:
        rise = in_percent(losses[-1] / losses[best - 1] - 1)
        text = f"after epoch {best} of {len(losses)} the validation loss rose by {rise}"
        return {"overfitted": f"Training overfitted: {text}; the weights of epoch {kept} were kept."}
    return {}


DETECTIONS: Mapping[str, Callable[[Backtest], str | None]] = {
    "lag_copy": lag_copy,
    "flat": flat,
    "bias": bias,
    "intervals": intervals,
    "few_series": few_series,
    "drift": drift,
}
