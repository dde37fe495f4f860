"""A window is a series and a cutoff; batches of them are gathered from the panel by index.

The panel lies on the device once, as it is. Nothing is copied but the batch itself, and the
inputs of a forecast are gathered apart from its truth: `inputs` cannot reach past a cutoff.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from gatecast.data.covariates import Column
from gatecast.data.dates import Steps
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Indices, Panel
from gatecast.data.scaling import Unit

Flags = npt.NDArray[np.bool_]
Static = tuple[Int[Tensor, "B L"], Float[Tensor, "B L"]]
"""Rows of the table of what is static, and their weights; see `Encoder.statics`."""
Read = tuple[Float[Tensor, "B C"], Bool[Tensor, "B C"], Float[Tensor, "B T F"], Static | None]
"""What a network takes: scaled values, which were observed, what is known of all steps, what is static."""


@dataclass(frozen=True)
class Inputs:
    """What a forecast may see: C steps up to the cutoff, and what is known of C + H steps beforehand."""

    context: Float[Tensor, "B C"]  # in the target's unit, 0 where not observed
    observed: Bool[Tensor, "B C"]
    calendar: Float[Tensor, "B T F"]  # T = C + H: dates and covariates
    series: Int[Tensor, "B"]  # index into the panel
    static: Static | None = None

    def scaled(self, unit: Unit) -> Read:
        """What the network takes, its values brought to the scaled unit."""
        return unit.scaled(self.context), self.observed, self.calendar, self.static


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
        dates: calendar and holidays of each step, for each place one after the other.
        rows: what to add to a step of a series for its row of `dates`.
        columns: the covariates with a value for each step.
        covariates: their values, see `Column.read`, for all series one after the other.
        bounds: where those of each series begin, and where the last ones end.
        static: of each series, if anything is.
    """

    values: Float[Tensor, "N"]
    offsets: Int[Tensor, "S"]
    ends: Int[Tensor, "S"]
    starts: Int[Tensor, "S"]
    dates: Float[Tensor, "R D"]
    rows: Int[Tensor, "S"]
    columns: tuple[Column, ...]
    covariates: Float[Tensor, "M K"] | None
    bounds: Int[Tensor, "S+1"] | None
    static: Static | None
    context: int
    horizon: int

    @classmethod
    def of(
        cls,
        panel: Panel,
        encoder: Encoder,
        context: int,
        horizon: int,
        device: torch.device,
        ahead: int | None = None,
    ) -> Self:
        """Move a panel to a device, once.

        Args:
            encoder: how what is known beside the target becomes features.
            context: C, steps read before a cutoff.
            horizon: H, steps after it.
            ahead: steps after a series' end that cutoffs and horizons may reach (default: H).
        """
        first = int(panel.starts.min()) - context
        steps = np.arange(first, int(panel.lasts.max()) + (horizon if ahead is None else ahead) + 1)
        dates, group = encoder.calendars(panel, steps)
        found = panel.covariates if encoder.varying else None
        static = None
        if encoder.static:
            codes, weights = encoder.statics(panel)
            static = _tensor(codes, device), _tensor(weights, device)
        return cls(
            values=_tensor(panel.values, device),
            offsets=_tensor(panel.offsets[:-1], device),
            ends=_tensor(panel.offsets[1:], device),
            starts=_tensor(panel.starts, device),
            dates=_tensor(np.concatenate(dates), device),
            rows=_tensor(group * len(steps) - first, device),
            columns=encoder.varying,
            covariates=None if found is None else _tensor(encoder.varied(found), device),
            bounds=None if found is None else _tensor(found.offsets, device),
            static=static,
            context=context,
            horizon=horizon,
        )

    @property
    def nbytes(self) -> int:
        """What the panel and all beside it take on the device."""
        parts = (self.values, self.dates, self.covariates)
        return sum(part.nbytes for part in parts if part is not None)

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
        static = self.static and (self.static[0][series], self.static[1][series])
        return Inputs(*self.past(series, cutoffs), self.calendar(series, cutoffs), series, static)

    def past(
        self, series: Int[Tensor, "B"], cutoffs: Int[Tensor, "B"]
    ) -> tuple[Float[Tensor, "B C"], Bool[Tensor, "B C"]]:
        """The C values up to each cutoff, and which were observed."""
        return self._gather(series, cutoffs[:, None] + torch.arange(1 - self.context, 1, device=self.device))

    def calendar(
        self, series: Int[Tensor, "B"], cutoffs: Int[Tensor, "B"], read: Int[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B T F"]:
        """What is known of the C steps up to each cutoff and the H after it: dates, holidays, covariates.

        Covariates are told as differences from their mean over the context, as the target is scaled by
        its own: what is always so is in the target already. What is missing differs by nothing.

        Args:
            read: the last step whose past covariates may be read, where that is not the cutoff.
        """
        steps = cutoffs[:, None] + torch.arange(1 - self.context, self.horizon + 1, device=self.device)
        rows = steps + self.rows[series][:, None]
        # Twice as fast as by the rows themselves.
        dates: Tensor = self.dates.index_select(0, rows.flatten()).view(*rows.shape, self.dates.shape[1])
        if self.covariates is None or self.bounds is None:
            return dates
        position = steps + (self.bounds[:-1] - self.starts)[series][:, None]
        inside = (position >= self.bounds[series][:, None]) & (position < self.bounds[series + 1][:, None])
        values = self.covariates[position.clamp(0, len(self.covariates) - 1)]
        read_by = inside & (steps <= (cutoffs if read is None else read)[:, None])
        parts = [dates]
        for index, column in enumerate(self.columns):
            seen = read_by if column.role == "past" else inside
            features = _features(column, values[..., index].masked_fill(~seen, torch.nan))
            mean = features[:, : self.context].nanmean(1, keepdim=True).nan_to_num(0)
            parts.append((features - mean).nan_to_num(0))
        return torch.cat(parts, -1)

    def truth(self, series: Int[Tensor, "B"], cutoffs: Int[Tensor, "B"]) -> Truth:
        """What came after the cutoffs, for the loss and the test."""
        return Truth(*self._gather(series, cutoffs[:, None] + torch.arange(1, self.horizon + 1, device=self.device)))

    def _gather(
        self, series: Int[Tensor, "B"], steps: Int[Tensor, "B K"]
    ) -> tuple[Float[Tensor, "B K"], Bool[Tensor, "B K"]]:
        """Values at some steps of each series, and which were observed; outside the series none is."""
        position = steps + (self.offsets - self.starts)[series][:, None]
        inside = (position >= self.offsets[series][:, None]) & (position < self.ends[series][:, None])
        values = self.values.take(position.clamp(0, len(self.values) - 1))
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
        """Most windows whose horizons have nothing in common but the time."""
        return int((-(-self.counts // horizon)).sum())

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


def _features(column: Column, values: Float[Tensor, "B T"]) -> Float[Tensor, "B T W"]:
    """A number, or a mark for each category; NaN where missing."""
    if column.categories is None:
        return values[..., None]
    marks = functional.one_hot(values.nan_to_num(0).long(), len(column.categories) + 1)[..., 1:]
    return marks.to(values.dtype).masked_fill(values.isnan()[..., None], torch.nan)


def _tensor(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
