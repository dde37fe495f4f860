"""A window is a series and a cutoff; batches of them are gathered from the panel by index.

The panel lies on the device once, as it is. Nothing is copied but the batch itself, and the
inputs of a forecast are gathered apart from its truth: `inputs` cannot reach past a cutoff.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gatecast.data.dates import Steps
from gatecast.data.features import calendar
from gatecast.data.panel import Indices, Panel

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Inputs:
    """What a forecast may see: C steps up to the cutoff, and the calendar of C + H steps."""

    context: Float[Tensor, "B C"]  # in the target's unit, 0 where not observed
    observed: Bool[Tensor, "B C"]
    calendar: Float[Tensor, "B T F"]  # T = C + H
    series: Int[Tensor, "B"]  # index into the panel

    def newest(self, context: int) -> Self:
        """The same of a shorter context."""
        dropped = self.context.shape[1] - context
        return replace(
            self,
            context=self.context[:, dropped:],
            observed=self.observed[:, dropped:],
            calendar=self.calendar[:, dropped:],
        )


@dataclass(frozen=True)
class Truth:
    """What came after the cutoff, 0 where not observed."""

    values: Float[Tensor, "B H"]
    observed: Bool[Tensor, "B H"]


@dataclass(frozen=True)
class Windows:
    """A panel on a device, ready to be cut at any cutoff.

    Attributes:
        ends: position after the last value that may be read, for each series.
        first: the step that row 0 of `features` describes.
    """

    values: Float[Tensor, "N"]
    offsets: Int[Tensor, "S"]
    ends: Int[Tensor, "S"]
    starts: Int[Tensor, "S"]
    features: Float[Tensor, "T F"]
    first: int
    context: int
    horizon: int

    @classmethod
    def of(
        cls,
        panel: Panel,
        cycles: tuple[str, ...],
        context: int,
        horizon: int,
        device: torch.device,
        ahead: int | None = None,
    ) -> Self:
        """Move a panel to a device, once.

        Args:
            cycles: calendar cycles, see `features.calendar`.
            context: C, steps read before a cutoff.
            horizon: H, steps after it.
            ahead: steps after a series' end that cutoffs and horizons may reach (default: H).
        """
        first = int(panel.starts.min()) - context
        steps = np.arange(first, int(panel.lasts.max()) + (horizon if ahead is None else ahead) + 1)
        return cls(
            values=_tensor(panel.values, device),
            offsets=_tensor(panel.offsets[:-1], device),
            ends=_tensor(panel.offsets[1:], device),
            starts=_tensor(panel.starts, device),
            features=_tensor(calendar(panel.grid, cycles, steps), device),
            first=first,
            context=context,
            horizon=horizon,
        )

    @property
    def device(self) -> torch.device:
        """Where the panel lies."""
        return self.values.device

    def inputs(self, series: Int[Tensor, "B"], cutoffs: Int[Tensor, "B"]) -> Inputs:
        """The windows' inputs: positions up to the cutoff, and none beyond.

        Args:
            series: index of each window's series.
            cutoffs: step of the last observation each may use.
        """
        return Inputs(*self.past(series, cutoffs), self.calendar(cutoffs), series)

    def past(
        self, series: Int[Tensor, "B"], cutoffs: Int[Tensor, "B"]
    ) -> tuple[Float[Tensor, "B C"], Bool[Tensor, "B C"]]:
        """The C values up to each cutoff, and which were observed."""
        return self._gather(series, cutoffs[:, None] + torch.arange(1 - self.context, 1, device=self.device))

    def calendar(self, cutoffs: Int[Tensor, "B"]) -> Float[Tensor, "B T F"]:
        """The calendar of the C steps up to each cutoff and the H after it."""
        span = torch.arange(1 - self.context, self.horizon + 1, device=self.device)
        return self.features[cutoffs[:, None] + span - self.first]

    def truth(self, series: Int[Tensor, "B"], cutoffs: Int[Tensor, "B"]) -> Truth:
        """What came after the cutoffs, for the loss and the test."""
        return Truth(*self._gather(series, cutoffs[:, None] + torch.arange(1, self.horizon + 1, device=self.device)))

    def _gather(
        self, series: Int[Tensor, "B"], steps: Int[Tensor, "B K"]
    ) -> tuple[Float[Tensor, "B K"], Bool[Tensor, "B K"]]:
        """Values at some steps of each series, and which were observed; outside the series none is."""
        position = steps + (self.offsets - self.starts)[series][:, None]
        inside = (position >= self.offsets[series][:, None]) & (position < self.ends[series][:, None])
        values = self.values[position.clamp(0, len(self.values) - 1)]
        observed = inside & ~values.isnan()
        return values.masked_fill(~observed, 0), observed


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

    def each(self, most: int) -> Int[Tensor, "B"]:
        """Numbers of at most that many windows of each series, evenly in time, its last one among them."""
        numbers = self.ends[:, None] - 1 - np.arange(most) * self.counts[:, None] // most
        return torch.from_numpy(np.unique(numbers[self.counts > 0]))

    def spread(self, most: int) -> Int[Tensor, "B"]:
        """Numbers of at most that many windows, evenly over series and time."""
        size = len(self)
        return torch.from_numpy(np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64)))


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


def _tensor(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
