"""Scaling of values to near the unit range: scaled = (value - loc) / scale, of the value or its logarithm.

A scaling is a function from values and their observed mask to (loc, scale) along the
last axis; the state is returned, never stored. The caller must pass only rows it may see:
those before the cutoff.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gatecast.nn.devices import answers_at_once
from gatecast.nn.masks import counted, only

Scale = tuple[Float[Tensor, "*n 1"], Float[Tensor, "*n 1"]]
Estimator = Callable[[Float[Tensor, "*n T"], Bool[Tensor, "*n T"]], Scale]

SMALL = 0.01
"""Values below this share of a window's mean size are read linearly, those well above it as logarithms."""
FLAT_SCALE, MIN_OBSERVED = 1e-3, 4
"""The unit of a constant window, as a share of its level; and how many observed values make it count as constant."""
TINY = 1e-6
"""A spread below this share of the level is float32 rounding noise: the series counts as constant."""
HUGE = 1e18
"""A larger share of a window's mean size is read as this much: its square would leave the range of float32."""
MAX_GROWTH = 100.0
"""No forecast in logarithms exceeds this many times the largest value of its window. Where the logarithms
themselves vary widely, the bounds of an interval would otherwise be astronomical."""


def minmax(values: Float[Tensor, "*n T"], observed: Bool[Tensor, "*n T"]) -> Scale:
    """The textbook scaling: the observed values fill [0, 1]."""
    low, high = extremes(values, observed)
    return _safe(low, high - low)


def standard(values: Float[Tensor, "*n T"], observed: Bool[Tensor, "*n T"]) -> Scale:
    """Mean 0 and (population) standard deviation 1."""
    mean, apart, count = _centred(values, observed)
    # Relative to the largest, as squares of very large or small values leave the range of float32.
    peak = apart.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
    return _safe(mean, ((apart / peak).square().sum(-1, keepdim=True) / count).sqrt() * peak)


def robust(values: Float[Tensor, "*n T"], observed: Bool[Tensor, "*n T"]) -> Scale:
    """Median 0 and interquartile range 1; outliers do not affect it."""
    seen = only(values, observed, torch.nan)
    low, median, high = (torch.nanquantile(seen, q, -1, keepdim=True) for q in (0.25, 0.5, 0.75))
    return _safe(median, high - low)


def deviation(values: Float[Tensor, "*n T"], observed: Bool[Tensor, "*n T"]) -> Scale:
    """Mean 0 and mean absolute deviation 1; a constant window is measured in thousandths of its level."""
    mean, apart, count = _centred(values, observed)
    loc, scale = _safe(mean, apart.abs().sum(-1, keepdim=True) / count)
    if answers_at_once(loc.device) and not (scale == loc.abs()).any():  # as for a constant
        return loc, scale
    low, high = apart.amin(-1, keepdim=True), apart.amax(-1, keepdim=True)  # faster than both at once
    still = (loc != 0) & ~(high - low > TINY * (loc + low).abs()) & (count >= MIN_OBSERVED)
    return loc, torch.where(still, FLAT_SCALE * loc.abs(), scale)


def flat(values: Float[Tensor, "*n T"], observed: Bool[Tensor, "*n T"]) -> Bool[Tensor, "*n"]:
    """Whether enough values were observed and all are the same."""
    return (~_differ(values, observed) & (counted(observed) >= MIN_OBSERVED))[..., 0]


def moves(values: Float[Tensor, "*n T"], observed: Bool[Tensor, "*n T"]) -> Bool[Tensor, "*n 1"]:
    """Whether enough values were observed and not all are the same."""
    return _differ(values, observed) & (counted(observed) >= MIN_OBSERVED)


def _differ(values: Float[Tensor, "*n T"], observed: Bool[Tensor, "*n T"]) -> Bool[Tensor, "*n 1"]:
    low, high = extremes(values, observed)
    return high - low > TINY * low.abs()


def extremes(values: Float[Tensor, "*n T"], observed: Bool[Tensor, "*n T"]) -> Scale:
    """The lowest and the highest observed value."""
    low, high = only(values, observed, torch.inf), only(values, observed, -torch.inf)
    return low.amin(-1, keepdim=True), high.amax(-1, keepdim=True)


def _centred(values: Float[Tensor, "*n T"], observed: Bool[Tensor, "*n T"]) -> tuple[Tensor, Tensor, Tensor | int]:
    """The mean of the observed values, their distances from it, and their number."""
    count = counted(observed)
    mean = only(values, observed).sum(-1, keepdim=True) / count
    return mean, only(values - mean, observed), count


SCALINGS: Mapping[str, Estimator] = {"minmax": minmax, "standard": standard, "robust": robust, "window": deviation}


def _safe(loc: Tensor, scale: Tensor) -> Scale:
    """(0, 1) where nothing was observed; the scale of a constant is its level."""
    loc, scale = (part.nan_to_num(0, 0, 0) for part in (loc, scale))
    level = loc.abs()
    return loc, torch.where(scale > TINY * level, scale, level.masked_fill(level == 0, 1))


def log(values: Float[Tensor, "*n T"]) -> Float[Tensor, "*n T"]:
    """asinh; torch's own computes one number after the other and takes several times as long."""
    if values.requires_grad:  # the rest works in place
        return torch.asinh(values)
    size = values.abs().clamp_(max=HUGE)
    return size.square().add_(1).sqrt_().add_(size).log_().copysign_(values)


@dataclass(frozen=True)
class Unit:
    """The unit in which the values of each window are measured.

    Attributes:
        small: if logarithms are read, the size at which they begin. The logarithm is defined for
            zero and negative values too: asinh(value / small), which sinh inverts.
        most: the logarithm of the largest size that a returned value may have.
    """

    loc: Float[Tensor, "B 1"]
    scale: Float[Tensor, "B 1"]
    small: Float[Tensor, "B 1"] | None = None
    most: Float[Tensor, "B 1"] | None = None

    def scaled(self, values: Float[Tensor, "B T"]) -> Float[Tensor, "B T"]:
        """The values, scaled to near the unit range."""
        return ((values if self.small is None else log(values / self.small)) - self.loc) / self.scale

    def values(self, scaled: Float[Tensor, "B H Q"]) -> Float[Tensor, "B H Q"]:
        """The inverse: scaled values in the target's unit."""
        read = scaled * self.scale[..., None] + self.loc[..., None]
        if self.small is None or self.most is None:
            return read
        most = self.most[..., None]
        return self.small[..., None] * torch.sinh(read.clamp(-most, most))


@dataclass(frozen=True)
class Scaler:
    """One of the scalings, either estimated from each window or fixed for each series beforehand."""

    name: str
    fixed: tuple[Float[Tensor, "S 1"], Float[Tensor, "S 1"]] | None = None

    @classmethod
    def fit(cls, name: str, values: Sequence[Float[Tensor, "T"]]) -> Self:
        """Fit a scaling to the values of each series before the cutoff.

        `window` needs no fitting: it is estimated from each context. A series without rows counts as unobserved.
        """
        if name == "window":
            return cls(name)
        values = [part if len(part) else torch.tensor([torch.nan]) for part in values]
        scales = [SCALINGS[name](part[None], ~part.isnan()[None]) for part in values]
        return cls(name, (torch.cat([loc for loc, _ in scales]), torch.cat([scale for _, scale in scales])))

    def __call__(
        self,
        context: Float[Tensor, "B C"],
        observed: Bool[Tensor, "B C"],
        series: Int[Tensor, "B"],
        logs: bool = False,
    ) -> Unit:
        """The unit of each window; estimated from the window also if the scale of its series is not fixed (NaN)."""
        if logs:
            size = only(context.abs(), observed)
            small = SMALL * size.sum(-1, keepdim=True) / counted(observed)
            small = small.masked_fill(small == 0, 1)
            largest = torch.maximum(size.amax(-1, keepdim=True), small)
            most = torch.asinh(MAX_GROWTH * (largest / small))
            loc, scale = SCALINGS[self.name](log(context / small), observed)
            # As a logarithm, the level of a constant says nothing; to move by 1 is to move by about the level.
            return Unit(loc, torch.where(scale == loc.abs(), 1, scale), small, most)
        if self.fixed is None:
            return Unit(*SCALINGS[self.name](context, observed))
        loc, scale = (part[series] for part in self.fixed)
        new = loc.isnan()
        if answers_at_once(new.device) and not new.any():
            return Unit(loc, scale)
        own_loc, own_scale = SCALINGS[self.name](context, observed)
        return Unit(torch.where(new, own_loc, loc), torch.where(new, own_scale, scale))

    def to(self, device: torch.device) -> Self:
        """The same scaler, on a device."""
        return replace(self, fixed=self.fixed and (self.fixed[0].to(device), self.fixed[1].to(device)))
