"""A window is a series and a cutoff; batches of them are gathered from the panel by index.

The panel is on the device once, unchanged. Only the batch itself is copied, and the
inputs of a forecast are gathered separately from the truth: `inputs` cannot reach past a cutoff.
"""

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from gatecast.data.arrays import Values
from gatecast.data.clock import GridClock, laid
from gatecast.data.column import Column
from gatecast.data.dates import Steps
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Panel
from gatecast.data.scaling import Unit
from gatecast.nn.devices import answers_at_once
from gatecast.nn.masks import EVERY

Found = TypeVar("Found")
Static = tuple[Int[Tensor, "B L"], Float[Tensor, "B L"]]
"""Rows of the embedding table of static values, and their weights; see `Encoder.statics`."""
Read = tuple[Float[Tensor, "B C"], Bool[Tensor, "B C"], Float[Tensor, "B T F"], Static | None]
"""The inputs of a network: scaled values, observed mask, features of all steps, static values."""


@dataclass(frozen=True)
class Inputs:
    """What a forecast may see: C steps up to the cutoff, and what is known in advance of all C + H steps."""

    context: Float[Tensor, "B C"]  # in the target's unit, 0 where not observed
    observed: Bool[Tensor, "B C"]
    calendar: Float[Tensor, "B T F"]  # T = C + H: dates and covariates
    series: Int[Tensor, "B"]  # index into the panel
    static: Static | None = None

    def scaled(self, unit: Unit) -> Read:
        """The inputs of the network, with values in the scaled unit."""
        return unit.scaled(self.context), self.observed, self.calendar, self.static


@dataclass(frozen=True)
class Truth:
    """The values after the cutoff, 0 where not observed."""

    values: Float[Tensor, "B H"]
    observed: Bool[Tensor, "B H"]

    def to_numpy(self) -> Float[Values, "B H"]:
        """The values, NaN where not observed."""
        return self.values.masked_fill(~self.observed, torch.nan).cpu().numpy()


@dataclass(frozen=True)
class Windows:
    """A panel on a device, from which windows at any cutoff can be gathered.

    Attributes:
        ends: for each series, the position after the last value that may be read.
        dates: calendar and holidays of each step that a series covers, concatenated over places.
        rows: for each series, the offset from a step to its row of `dates`.
        columns: the covariates with a value for each step.
        covariates: their values, see `Column.read`, concatenated over series.
        bounds: where the covariates of each series begin, and where the last end.
        static: static values of each series, if any.
        waiting: see `Panel.waiting`.
        clock: if the panel was laid by it; `inputs`, `past`, `calendar` and `truth` are asked for in steps of the grid,
            and everything they give is by the clock.
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
    clock: GridClock | None = None

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
            encoder: turns calendar and covariates into features, and says whether series are laid by the clock.
            context: C, steps read before a cutoff.
            horizon: H, steps after it.
            ahead: steps after a series' end that cutoffs and horizons may reach (default: H).
            since: the earliest cutoff (default: before a series begins).
        """
        begun = int(panel.starts.min()) if since is None else since + 1
        ahead, clock = horizon if ahead is None else ahead, None
        if encoder.clock:
            clock = GridClock.of(panel.grid, begun - context, int(panel.lasts.max()) + ahead)
        if clock is not None:
            begun = int(clock.reached(torch.tensor(begun - 1))) + 1
            panel, ahead = laid(panel, clock, begun - context), ahead + clock.most
        stretches, rows = _stretches(np.maximum(panel.starts, begun) - context, panel.lasts + ahead)
        calendars = [encoder.calendars(panel, steps) for steps in stretches]
        dates, group = np.concatenate([found for found, _ in calendars], 1), calendars[0][1]
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
            rows=_tensor(group * dates.shape[1] + rows, device),
            columns=encoder.varying,
            covariates=None if found is None else _tensor(encoder.varied(found), device),
            bounds=None if found is None else _tensor(found.offsets, device),
            static=static,
            context=context,
            horizon=horizon,
            waiting=None if panel.waiting is None else _tensor(panel.waiting.astype(np.float32), device),
            clock=clock and clock.to(device),
        )

    @property
    def nbytes(self) -> int:
        """Bytes that the panel and its features take on the device."""
        parts = (self.values, self.dates, self.covariates)
        return sum(part.nbytes for part in parts if part is not None)

    @property
    def device(self) -> torch.device:
        """The device that holds the panel."""
        return self.values.device

    def inputs(self, series: Int[Tensor, "B"], cutoffs: Int[Tensor, "B"], *, newest: int | None = None) -> Inputs:
        """The windows' inputs: values up to the cutoff, and none beyond.

        Args:
            series: index of each window's series.
            cutoffs: step of the last observation that each window may use.
            newest: how many observed values each window may have at most, as if its series had begun with them.
        """
        static = self.static and (self.static[0][series], self.static[1][series])
        context, observed = self.past(series, cutoffs)
        if newest is not None:
            observed = observed & (observed.flip(1).cumsum(1).flip(1) <= newest)
            context = context * observed
        return Inputs(context, observed, self.calendar(series, cutoffs, observed=observed), series, static)

    def past(
        self, series: Int[Tensor, "B"], cutoffs: Int[Tensor, "B"]
    ) -> tuple[Float[Tensor, "B C"], Bool[Tensor, "B C"]]:
        """The C values up to each cutoff, and which were observed."""
        return self._past(series, self._on_clock(cutoffs))

    def _past(
        self, series: Int[Tensor, "B"], last: Int[Tensor, "B"]
    ) -> tuple[Float[Tensor, "B C"], Bool[Tensor, "B C"]]:
        first, count = last + 1 - self.context, self.context
        values, observed = self._gather(self.values, series, first, count)
        if self.waiting is None:
            return values, observed
        known = torch.arange(count, device=self.device) + self._gather(self.waiting, series, first, count)[0] < count
        return values * known, observed & known

    def calendar(
        self,
        series: Int[Tensor, "B"],
        cutoffs: Int[Tensor, "B"],
        ahead: int = 0,
        observed: Bool[Tensor, "B C"] | None = None,
    ) -> Float[Tensor, "B T F"]:
        """Features of the C steps up to each cutoff and the H after it: dates, holidays, covariates.

        Covariates are given as differences from their mean over the context, as the target is scaled by
        its own: anything constant is in the target already. A missing value counts as no difference, and so
        does anything before the first target of the context, which may not have been read.

        Args:
            ahead: of so many steps later; past covariates are read up to the cutoff all the same.
            observed: which steps of that context were observed, if known already.
        """
        read = self._on_clock(cutoffs)
        first, count = read + ahead + 1 - self.context, self.context + self.horizon
        dates = _runs(self.dates, first + self.rows.index_select(0, series), count)
        if self.covariates is None or self.bounds is None:
            return dates
        steps = first[:, None] + torch.arange(count, device=self.device)
        position = steps + (self.bounds[:-1] - self.starts)[series][:, None]
        observed = self._past(series, read + ahead)[1] if observed is None else observed
        begins = position[:, 0] + observed.int().argmax(1)  # without any target, the first step
        begins = torch.maximum(begins, self.bounds[series])
        inside = (position >= begins[:, None]) & (position < self.bounds[series + 1][:, None])
        values = self.covariates[position.clamp(0, len(self.covariates) - 1)]
        read_by = inside & (steps <= read[:, None])
        parts = [dates]
        for index, column in enumerate(self.columns):
            seen = read_by if column.role == "past" else inside
            features = _features(column, values[..., index].masked_fill(~seen, torch.nan))
            mean = features[:, : self.context].nanmean(1, keepdim=True).nan_to_num(0)
            parts.append((features - mean).nan_to_num(0))
        return torch.cat(parts, -1)

    def truth(self, series: Int[Tensor, "B"], cutoffs: Int[Tensor, "B"]) -> Truth:
        """The values after the cutoffs, for the loss and the test."""
        values, observed = self._gather(self.values, series, self._on_clock(cutoffs) + 1, self.horizon)
        if self.clock is not None:  # by the clock it would be one more where an hour is shown twice
            most = self._on_clock(cutoffs + self.horizon) - self._on_clock(cutoffs)
            inside = torch.arange(1, self.horizon + 1, device=self.device) <= most[:, None]
            values, observed = values * inside, observed & inside
        return Truth(values, observed)

    def ahead(self, cutoffs: Int[Tensor, "B"], steps: int) -> Int[Tensor, "B K"]:
        """How many steps ahead the next steps of the grid are found in a forecast.

        By the clock it is an hour more where the clocks go forward, and one less, but never none, where they go back.
        """
        after = torch.arange(1, steps + 1, device=self.device)
        if self.clock is None:
            return after.expand(len(cutoffs), -1)
        return (self.clock.shown(cutoffs[:, None] + after) - self._on_clock(cutoffs)[:, None]).clamp(min=1)

    def steps(self, cutoff: int) -> Steps:
        """The steps of the grid that a window's context and horizon hold; by the clock the first to show as much."""
        last = torch.tensor([cutoff], device=self.device)
        around = self._on_clock(last) + torch.arange(1 - self.context, self.horizon + 1, device=self.device)
        found: Steps = (around if self.clock is None else self.clock.steps(around)).cpu().numpy()
        found[self.context - 1] = cutoff  # whose hour may be shown for the second time
        return found

    def _on_clock(self, cutoffs: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        return cutoffs if self.clock is None else self.clock.reached(cutoffs)

    def _gather(
        self, rows: Float[Tensor, "N"], series: Int[Tensor, "B"], firsts: Int[Tensor, "B"], count: int
    ) -> tuple[Float[Tensor, "B K"], Bool[Tensor, "B K"]]:
        """`count` steps of each series from the given one on, and which were observed; outside the series none is."""
        begin, end, start = (part.index_select(0, series) for part in (self.offsets, self.ends, self.starts))
        place = firsts - start + begin
        before, until = begin - place, end - place  # relative to the steps requested
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


def _stretches(firsts: Steps, lasts: Steps) -> tuple[list[Steps], Steps]:
    """The steps that some series covers, in stretches without gaps; for each series, the offset from a step to its row.

    Series may be decades apart, and of seconds there are a billion between.

    Args:
        firsts: the first step of each series.
        lasts: the last.
    """
    order = np.argsort(firsts)
    begins, ends = firsts[order], np.maximum.accumulate(lasts[order])
    is_new = np.append(True, begins[1:] > ends[:-1] + 1)
    begins, ends = begins[is_new], ends[np.append(is_new[1:], True)]
    offsets = np.cumsum(ends - begins + 1) - ends - 1
    rows = np.empty_like(firsts)
    rows[order] = offsets[np.cumsum(is_new) - 1]
    return [np.arange(*span) for span in zip(begins, ends + 1, strict=True)], rows


def split_rows(found: Found, sizes: list[int]) -> list[Found]:
    """So many rows after so many, of tensors, and of records and tuples of tensors, that have one for each window."""
    part: Any = found
    if isinstance(part, Tensor):
        return cast(list[Found], torch.split(part, sizes))
    if isinstance(part, tuple):
        return cast(list[Found], [*zip(*(split_rows(one, sizes) for one in part), strict=True)])
    if is_dataclass(part) and not isinstance(part, type):
        each = zip(*(split_rows(getattr(part, field.name), sizes) for field in fields(part)), strict=True)
        return [cast(Found, type(part)(*one)) for one in each]
    return [part] * len(sizes)


def _runs(rows: Float[Tensor, "N *d"], firsts: Int[Tensor, "B"], count: int) -> Float[Tensor, "B K *d"]:
    """Consecutive rows, taken whole; row by row it takes a CPU up to a hundred times as long."""
    if not answers_at_once(rows.device):  # MPS would copy all possible runs, many times the panel
        return _rows(rows, firsts[:, None] + torch.arange(count, device=rows.device))
    starts = max(len(rows) - count + 1, 0)
    runs = rows.as_strided((starts, count, *rows.shape[1:]), (rows.stride(0), *rows.stride()))
    if len(firsts) > 1 and (firsts == firsts[0]).all():  # as the calendar of series that end together
        return runs[firsts[:1]].expand(len(firsts), *runs.shape[1:])
    return runs.index_select(0, firsts)


def _rows(rows: Float[Tensor, "N *d"], numbers: Int[Tensor, "B K"]) -> Float[Tensor, "B K *d"]:
    """Rows by their numbers, in a way that every device supports."""
    return rows.index_select(0, numbers.flatten()).view(*numbers.shape, *rows.shape[1:])


def _features(column: Column, values: Float[Tensor, "B T"]) -> Float[Tensor, "B T W"]:
    """A number, or a one-hot vector for a category; NaN where missing."""
    if column.categories is None:
        return values[..., None]
    marks = functional.one_hot(values.nan_to_num(0).long(), len(column.categories) + 1)[..., 1:]
    return marks.to(values.dtype).masked_fill(values.isnan()[..., None], torch.nan)


def _tensor(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
