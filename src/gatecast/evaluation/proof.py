"""Proof that no forecast looks past its cutoff: change everything after it, forecast again, compare every bit."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gatecast.data.arrays import Indices, Values
from gatecast.data.dates import Steps
from gatecast.data.panel import Panel
from gatecast.data.split import evenly
from gatecast.evaluation.backtest import Backtest

MAX_CUTOFFS = 50
"""Cutoffs of each series that are proved, evenly spread."""

Evaluate = Callable[[Panel, Indices, Steps], Backtest]


@dataclass(frozen=True)
class Proof:
    """What was compared, and what moved.

    Attributes:
        windows: forecasts made twice.
        changed: values after their cutoffs that were changed.
        moved: what was not the same bit for bit, with how many windows of it.
    """

    windows: int
    changed: int
    moved: dict[str, int]

    @property
    def sentence(self) -> str:
        """What the proof says."""
        text = f"{self.windows:,} forecasts made again after {self.changed:,} values after their cutoffs were changed"
        if not self.moved:
            return f"No leak: {text}; not one bit moved."
        found = ", ".join(f"{name} of {count:,}" for name, count in self.moved.items())
        return f"A leak: {text}, and these moved: {found}."


def prove(evaluate: Evaluate, panel: Panel, series: Indices, cutoffs: Steps) -> Proof:
    """Forecast each window from the panel and from one whose values after its cutoff are others, or gone.

    Each pass takes one cutoff of every series, so that both forecasts of it go through the network in
    the same batch: arithmetic in another order may round another way, and would hide or feign a leak.

    Args:
        evaluate: makes the backtest of some windows of a panel: scaling, forecasts, baselines and scales.
        series: index of each window's series.
        cutoffs: the last step each window may use.
    """
    changed, moved, windows = 0, dict[str, int](), 0
    for part in _passes(series, cutoffs):
        other = _altered(panel, series[part], cutoffs[part])
        changed += int((~_same(panel.values, other.values)).sum())
        before, after = (evaluate(rows, series[part], cutoffs[part]) for rows in (panel, other))
        windows += len(part)
        for name, one, two in _pairs(before, after):
            count = int((~_same(one, two)).reshape(len(part), -1).any(1).sum())
            if count:
                moved[name] = moved.get(name, 0) + count
    return Proof(windows, changed, moved)


def _passes(series: Indices, cutoffs: Steps) -> list[Indices]:
    """Windows in groups with one of each series, its k-th; at most `MAX_CUTOFFS` groups, the last among them."""
    order = np.lexsort((cutoffs, series))
    first = np.searchsorted(series[order], series[order])
    rank = np.arange(len(order)) - first
    return [order[rank == number] for number in evenly(int(rank.max()) + 1, MAX_CUTOFFS)]


def _altered(panel: Panel, series: Indices, cutoffs: Steps) -> Panel:
    """The panel with all that is known only after some series' cutoffs changed: targets and past covariates."""
    values, beside = panel.values.copy(), panel.covariates
    columns = [(values, panel.offsets, 0)]
    waiting = np.zeros(len(values), np.int64) if panel.waiting is None else panel.waiting
    if beside is not None:
        beside = replace(beside, values=beside.values.copy())
        columns += [
            (beside.values[:, beside.varying.index(name)], beside.offsets, len(beside.categories.get(name, ())))
            for name in beside.past
        ]
    rng = np.random.default_rng(1)
    for index, cutoff in zip(series.tolist(), cutoffs.tolist(), strict=True):
        count, begin = cutoff - int(panel.starts[index]) + 1, panel.offsets[index]
        for column, offsets, categories in columns:
            _change(column[offsets[index] + count : offsets[index + 1]], categories, rng)
        late = np.flatnonzero(np.arange(count) + waiting[begin : begin + count] >= count)
        values[begin + late] = 2 * values[begin + late] + 1
    return replace(panel, values=values, covariates=beside)


def _change(rest: Values, categories: int, rng: np.random.Generator) -> None:
    """Make every value another one (of a category the next), and every third one missing, in place."""
    known = np.nan_to_num(rest)
    noise = rng.normal(size=len(rest)).astype(np.float32)
    rest[:] = (known + 1) % categories if categories else -3 * known + (1 + np.abs(known)) * (10 + noise)
    rest[::3] = np.nan


def _pairs(before: Backtest, after: Backtest) -> list[tuple[str, np.ndarray, np.ndarray]]:
    named = [("forecasts", before.quantiles, after.quantiles), ("points", before.points, after.points)]
    named += [(name, found, after.baselines[name]) for name, found in before.baselines.items()]
    return [
        *named,
        ("scales", before.mase_scale, after.mase_scale),
        ("squared scales", before.rmsse_scale, after.rmsse_scale),
    ]


def _same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where two arrays hold the same bits."""
    kind = f"u{one.dtype.itemsize}"
    same: np.ndarray = np.ascontiguousarray(one).view(kind) == np.ascontiguousarray(other).view(kind)
    return same
