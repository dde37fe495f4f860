"""The windows of train, validation and test: cutoffs of each series, counted but never listed."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from gatecast.data.arrays import Flags, Indices
from gatecast.data.dates import Steps
from gatecast.data.panel import Panel


def evenly(count: int, most: int) -> Indices:
    """At most `most` of the numbers below `count`, evenly spread, the first and the last among them."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


@dataclass(frozen=True)
class Span:
    """All windows whose cutoff lies within some steps of each series, counted but never listed."""

    lows: Steps  # first cutoff of each series (a step)
    counts: Indices  # cutoffs of each series, 0 or more

    def __len__(self) -> int:
        return int(self.ends[-1])

    @cached_property
    def ends(self) -> Indices:
        """For each series, the number after that of its last window."""
        return np.cumsum(self.counts)

    def at(self, numbers: Int[Tensor, "B"]) -> tuple[Int[Tensor, "B"], Int[Tensor, "B"]]:
        """Series and cutoff of the windows with these numbers (0 up to the length)."""
        series = np.searchsorted(self.ends, numbers.numpy(), side="right")
        cutoffs = self.lows[series] + numbers.numpy() - (self.ends[series] - self.counts[series])
        return torch.from_numpy(series), torch.from_numpy(cutoffs)

    @cached_property
    def _chances(self) -> npt.NDArray[np.float64]:
        """Running sum of how often each series is drawn: by the square root of its windows."""
        return np.cumsum(np.sqrt(self.counts))

    def draw(self, size: int, chance: torch.Generator) -> Int[Tensor, "B"]:
        """Numbers of windows at random: a series, and any of its windows.

        Were all windows as likely, a series ten times as long would be learned from ten times as often, and each
        is forecast once; were all series, the short ones would be learned by heart. Between the two lies the root.
        """
        at, place = torch.rand(2, size, generator=chance, dtype=torch.float64).numpy()
        total = self._chances[-1]
        below = np.minimum(at * total, np.nextafter(total, 0))  # should rounding reach the very end
        series = np.searchsorted(self._chances, below, side="right")
        return torch.from_numpy(self.ends[series] - 1 - (place * self.counts[series]).astype(np.int64))

    def apart(self, horizon: int) -> int:
        """Largest number of windows of which no two of a series have overlapping horizons."""
        return int((-(-self.counts // horizon)).sum())

    def each(self, most: int) -> Int[Tensor, "B"]:
        """Numbers of windows, `most` in all but at least one of each series, and as many of each that has them.

        Each series is forecast once, so none counts more for being longer. The windows of a series are evenly
        spread in time, the last one among them.
        """
        share = max(1, most // max(int((self.counts > 0).sum()), 1))
        numbers = self.ends[:, None] - 1 - np.arange(share) * self.counts[:, None] // share
        return torch.from_numpy(np.unique(numbers[self.counts > 0]))

    def spread(self, most: int) -> Int[Tensor, "B"]:
        """The same, but no more than `most`, even if some series have none."""
        numbers = self.each(most)
        return numbers[evenly(len(numbers), most)]


@dataclass(frozen=True)
class Split:
    """Train, validation and test in time: for each series, the last step of each part.

    A training window's truth ends by `train`, a validation window's lies after `train` and
    ends by `validation`, a test window's lies after `validation`. A context may reach back
    into an earlier part, as it does when forecasting.
    """

    firsts: Steps
    train: Steps
    validation: Steps
    lasts: Steps

    def training(self, horizon: int, history: int = 1) -> Span:
        """Cutoffs with `history` steps before them whose horizon ends within the training part."""
        return _span(self.firsts + history - 1, self.train - horizon)

    def validating(self, horizon: int) -> Span:
        """Cutoffs whose horizon is within the validation part."""
        return _span(np.maximum(self.train, self.firsts), self.validation - horizon)

    def testing(self, horizon: int) -> Span:
        """Cutoffs whose horizon is within the test part."""
        return _span(np.maximum(self.validation, self.firsts), self.lasts - horizon)

    def newest(self, horizon: int) -> Span:
        """Cutoffs whose horizon goes beyond the last step: no weights have been trained on them."""
        return _span(np.maximum(self.lasts - horizon + 1, self.firsts), self.lasts)

    def everything(self, horizon: int, history: int = 1) -> Span:
        """All cutoffs, for the final weights."""
        return _span(self.firsts + history - 1, self.lasts - horizon)

    def usable(self, horizon: int) -> Flags:
        """Which series have at least one window in every part."""
        parts = (self.training(horizon), self.validating(horizon), self.testing(horizon))
        usable: Flags = np.logical_and.reduce([part.counts > 0 for part in parts])
        return usable


def split(panel: Panel, horizon: int, share: float) -> Split:
    """Hold back the end of every series for the test, and as much before it for validation.

    Args:
        horizon: H; each part holds at least this many steps.
        share: share of a series' steps in each of the two parts; one that cannot spare as much
            gives a horizon to each.
    """
    held = np.maximum(horizon, (panel.lengths * share).astype(np.int64))
    held = np.where(panel.lengths - 2 * held >= 2 * horizon, held, horizon)
    validation = panel.lasts - held
    return Split(panel.starts, validation - held, validation, panel.lasts)


def _span(low: Steps, high: Steps) -> Span:
    return Span(low, np.maximum(high - low + 1, 0))
