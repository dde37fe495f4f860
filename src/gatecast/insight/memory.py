"""Does the model use its memory? Its accuracy when only the newest steps of each context are left as they were."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gatecast.data.arrays import Indices
from gatecast.data.dates import Steps
from gatecast.data.windows import Inputs, Windows
from gatecast.evaluation.bootstrap import Estimate, places, ratio
from gatecast.evaluation.metrics import Array, accuracy
from gatecast.evaluation.verdict import MIN_WINDOWS
from gatecast.fitted import Fitted

SAME = 0.01
"""Share by which the error may rise and still count as the same."""
ALIKE = 0.05
"""Share by which the upper end of the error's interval may rise if some steps do as well as all."""
SURE = 99
"""Confidence of an interval in percent, high because many lengths are compared."""
MUCH = 0.25
"""Share of the context's whole gain from which on a stretch of it is named."""


@dataclass(frozen=True)
class Memory:
    """Errors of W windows by how many of the newest steps are kept.

    The older ones are either shuffled within the window, which keeps their level and spread but not
    what came when, or hidden: marked as not observed, as in a series that had just begun.

    Attributes:
        kept: increasing, from 0 to C.
        places: series and stretch of time of each forecast, (W, H) each, as in `Backtest.places`.
        shuffled: a forecast for each of `kept`.
        hidden: the same; NaN where nothing is kept.
    """

    kept: npt.NDArray[np.int64]  # (K,)
    truth: Array  # (W, H), NaN where not observed
    places: tuple[Indices, Indices]
    shuffled: Array  # (K, W, H)
    hidden: Array  # (K, W, H)
    least: int = 1  # the longest season of the simple forecasts, below which no context may be

    @cached_property
    def accuracy(self) -> dict[str, list[float]]:
        """1 - WAPE in percent for each of `kept`."""
        both = {"shuffled": self.shuffled, "hidden": self.hidden}
        found = {name: [float(accuracy(self.truth, part)) for part in forecasts] for name, forecasts in both.items()}
        return found | {"hidden": [float("nan"), *found["hidden"][1:]]}

    @cached_property
    def few(self) -> bool:
        """Whether the errors cover too few stretches of time, over all series, to show anything."""
        seen = ~np.isnan(self.truth)
        return len(set(zip(*(part[seen].tolist() for part in self.places), strict=True))) < MIN_WINDOWS

    @cached_property
    def ratios(self) -> list[Estimate]:
        """The error when older steps are shuffled, over that with all as they were, for each of `kept`."""
        return self._ratios(self.shuffled)

    def _ratios(self, forecasts: Array) -> list[Estimate]:
        seen = ~np.isnan(self.truth)
        errors = np.abs(forecasts - self.truth)[:, seen].astype(np.float64)
        if not errors[-1].sum():
            return [Estimate(1.0, 1.0, 1.0)] * len(errors)
        series, blocks = (part[seen] for part in self.places)
        return [ratio(error, errors[-1], series, blocks, confidence=SURE) for error in errors]

    @cached_property
    def enough(self) -> int:
        """The newest steps that measurably help: with fewer, the error rises significantly and by more than 1 %."""
        worse = [found.value > 1 + SAME and found.low > 1 for found in self.ratios]
        return int(self.kept[max((i + 1 for i, bad in enumerate(worse) if bad), default=0)])

    @property
    def rise(self) -> Estimate:
        """The error with no more than `enough` left as they were, over that with all."""
        return self.ratios[int(np.searchsorted(self.kept, self.enough))]

    @property
    def alike(self) -> bool:
        """Whether `enough` steps surely do as well as all; that no difference was measured does not say so."""
        return self.rise.high <= 1 + ALIKE

    @cached_property
    def shorter(self) -> int:
        """The shortest context there may be that surely does as well as all, older steps hidden, not shuffled."""
        worse = [found.high > 1 + ALIKE for found in self._ratios(self.hidden)]
        enough = max((i + 1 for i, bad in enumerate(worse) if bad), default=1)
        return int(self.kept[max(enough, int(np.searchsorted(self.kept, self.least)))])

    @property
    def stretches(self) -> list[tuple[int, int, float]]:
        """First and last step back of each stretch of `enough` that helps much, and its share of the whole gain."""
        best = np.minimum.accumulate([found.value for found in self.ratios])
        gains = -np.diff(best) / max(best[0] - best[-1], 1e-9)
        found = zip((self.kept[:-1] + 1).tolist(), self.kept[1:].tolist(), gains.tolist(), strict=True)
        return [part for part in found if part[1] <= self.enough and part[2] >= MUCH]


def remember(fitted: Fitted, windows: Windows, series: Indices, cutoffs: Steps) -> Memory:
    """Forecast windows again with ever fewer steps of their context.

    Args:
        fitted: weights that saw none of the windows.
        series: index of each window's series.
    """
    shape = fitted.network.shape
    kept = _lengths(windows.context, max(shape.segment, shape.block))  # a --context holds whole ones of all members
    chance = torch.Generator().manual_seed(0)
    chosen = [torch.from_numpy(part).to(windows.device) for part in (series, cutoffs)]
    inputs, truth = windows.inputs(*chosen), windows.truth(*chosen)
    order = torch.rand(inputs.context.shape, generator=chance).to(windows.device)

    def forecasts(changed: Iterable[Inputs]) -> Array:
        return torch.stack([fitted.quantiles(part)[..., fitted.middle] for part in changed]).cpu().numpy()

    fitted.network.eval()
    with torch.inference_mode():
        shuffled = forecasts(_shuffled(inputs, size, order) for size in kept.tolist())
        hidden = forecasts(_hidden(inputs, size) for size in kept.tolist())
    least = max(shape.seasons, default=1)
    return Memory(kept, truth.to_numpy(), places(series, cutoffs, windows.horizon), shuffled, hidden, least)


def _lengths(context: int, segment: int) -> npt.NDArray[np.int64]:
    """Whole segments, at most some twenty lengths: evenly, and closer together where they are few."""
    count = context // segment
    chosen = np.concatenate([[0], np.geomspace(1, count, 8), np.linspace(0, count, 13)])
    return np.asarray(np.unique(chosen.round().astype(np.int64)) * segment)


def _shuffled(inputs: Inputs, kept: int, order: Float[Tensor, "B C"]) -> Inputs:
    """All but the newest steps in the order of random numbers, each with its mark of being observed."""
    old = inputs.context.shape[1] - kept
    place: Int[Tensor, "B C"] = torch.arange(old + kept, device=order.device).repeat(len(order), 1)
    place[:, :old] = order[:, :old].argsort(1)
    return replace(inputs, context=inputs.context.gather(1, place), observed=inputs.observed.gather(1, place))


def _hidden(inputs: Inputs, kept: int) -> Inputs:
    """All but the newest steps as if they had not been observed."""
    new = torch.arange(inputs.context.shape[1], device=inputs.context.device) >= inputs.context.shape[1] - kept
    return replace(inputs, context=inputs.context * new, observed=inputs.observed & new)
