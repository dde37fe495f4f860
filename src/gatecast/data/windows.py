"""A window is a series and a cutoff; batches of them are gathered from the panel by index.

The panel lies on the device once, as it is. Nothing is copied but the batch itself, and the
inputs of a forecast are gathered apart from its truth: `inputs` cannot reach past a cutoff.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from gatecast.data.covariates import Column
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Panel
from gatecast.data.scaling import Unit
from gatecast.nn.devices import answers_at_once
from gatecast.nn.masks import EVERY

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
        waiting: see `Panel.waiting`.
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
    waiting: Float[Tensor, "N"] | None = None

    @classmethod
    def of(
        cls,
        panel: Panel,
        encoder: Encoder,
        context: int,
        horizon: int,
        device: torch.device,
        ahead: int | None = None,
        since: int | None = None,
    ) -> Self:
        """Move a panel to a device, once.

        Args:
            encoder: how what is known beside the target becomes features.
            context: C, steps read before a cutoff.
            horizon: H, steps after it.
            ahead: steps after a series' end that cutoffs and horizons may reach (default: H).
            since: the earliest cutoff (default: before all series begin).
        """
        first = (int(panel.starts.min()) - 1 if since is None else since) + 1 - context
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
            waiting=None if panel.waiting is None else _tensor(panel.waiting.astype(np.float32), device),
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
        context, observed = self.past(series, cutoffs)
        return Inputs(context, observed, self.calendar(series, cutoffs, observed=observed), series, static)

    def past(
        self, series: Int[Tensor, "B"], cutoffs: Int[Tensor, "B"]
    ) -> tuple[Float[Tensor, "B C"], Bool[Tensor, "B C"]]:
        """The C values up to each cutoff, and which were observed."""
        first, count = cutoffs + 1 - self.context, self.context
        values, observed = self._gather(self.values, series, first, count)
        if self.waiting is None:
            return values, observed
        known = torch.arange(count, device=self.device) + self._gather(self.waiting, series, first, count)[0] < count
        return values * known, observed & known

    def calendar(
        self,
        series: Int[Tensor, "B"],
        cutoffs: Int[Tensor, "B"],
        read: Int[Tensor, "B"] | None = None,
        observed: Bool[Tensor, "B C"] | None = None,
    ) -> Float[Tensor, "B T F"]:
        """What is known of the C steps up to each cutoff and the H after it: dates, holidays, covariates.

        Covariates are given as differences from their mean over the context, as the target is scaled by
        its own: what is always so is in the target already. What is missing differs by nothing, and so
        does what lies before the first target of the context, which may not have been read.

        Args:
            read: the last step whose past covariates may be read, where that is not the cutoff.
            observed: which steps of the context were, where that is known already.
        """
        first, count = cutoffs + 1 - self.context, self.context + self.horizon
        dates = _runs(self.dates, first + self.rows[series], count)
        if self.covariates is None or self.bounds is None:
            return dates
        steps = first[:, None] + torch.arange(count, device=self.device)
        position = steps + (self.bounds[:-1] - self.starts)[series][:, None]
        observed = self.past(series, cutoffs)[1] if observed is None else observed
        begins = position[:, 0] + observed.int().argmax(1)  # of no target at all the first step
        begins = torch.maximum(begins, self.bounds[series])
        inside = (position >= begins[:, None]) & (position < self.bounds[series + 1][:, None])
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
        return Truth(*self._gather(self.values, series, cutoffs + 1, self.horizon))

    def _gather(
        self, rows: Float[Tensor, "N"], series: Int[Tensor, "B"], firsts: Int[Tensor, "B"], count: int
    ) -> tuple[Float[Tensor, "B K"], Bool[Tensor, "B K"]]:
        """Rows of some steps of each series from the first one on, and which were observed; outside it none is."""
        begin, end = self.offsets[series], self.ends[series]
        place = firsts - self.starts[series] + begin
        before, until = begin - place, end - place  # within the steps asked for
        known = answers_at_once(self.device) and len(series)
        inside = known and before.max() <= 0 and until.min() >= count
        if inside or (known and place.min() >= 0 and place.max() + count <= len(rows)):
            values = _runs(rows, place, count)
            if inside and not values.sum().isnan():
                return values, EVERY.expand(values.shape)
        else:
            steps = place[:, None] + torch.arange(count, device=self.device)
            values = _rows(rows, steps.clamp(0, len(rows) - 1))
        at = torch.arange(count, device=self.device)
        observed = (at >= before[:, None]) & (at < until[:, None]) & ~values.isnan()
        return values.masked_fill(~observed, 0), observed


def _runs(rows: Float[Tensor, "N *d"], firsts: Int[Tensor, "B"], count: int) -> Float[Tensor, "B K *d"]:
    """Rows that follow one another, taken whole; row by row it takes the processor up to a hundred times as long."""
    if not answers_at_once(rows.device):  # MPS would copy out all runs there are, a panel many times over
        return _rows(rows, firsts[:, None] + torch.arange(count, device=rows.device))
    starts = max(len(rows) - count + 1, 0)
    runs = rows.as_strided((starts, count, *rows.shape[1:]), (rows.stride(0), *rows.stride()))
    return runs.index_select(0, firsts)


def _rows(rows: Float[Tensor, "N *d"], numbers: Int[Tensor, "B K"]) -> Float[Tensor, "B K *d"]:
    """Rows by their numbers, in a way that every device has."""
    return rows.index_select(0, numbers.flatten()).view(*numbers.shape, *rows.shape[1:])


def _features(column: Column, values: Float[Tensor, "B T"]) -> Float[Tensor, "B T W"]:
    """A number, or a mark for each category; NaN where missing."""
    if column.categories is None:
        return values[..., None]
    marks = functional.one_hot(values.nan_to_num(0).long(), len(column.categories) + 1)[..., 1:]
    return marks.to(values.dtype).masked_fill(values.isnan()[..., None], torch.nan)


def _tensor(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
