"""What a forecast is based on: integrated gradients from a flat context to the one that was read.

Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", ICML 2017: the gradient is
integrated along the straight line from a baseline to the input, so that the attributions of all
inputs add up to the difference of the two forecasts (completeness). The baseline is the context made
flat: the mean of its observed values, with covariates at their means over the window; no shape, no
time of day in particular. The scale of a window is computed again at every point of the line, so the
forecast is attributed as a function of the values themselves: shifting all of them shifts the
forecast, and no single one is credited with what only their mean does.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gatecast.data.windows import Inputs
from gatecast.errors import DataError, in_percent
from gatecast.fitted import Fitted

POINTS = (16, 64, 256, 1024)
"""Points of the integral (Gauss-Legendre); more are taken until it is complete. A few hundred are too few where
logarithms of values of both signs are read: they turn sharply at zero."""
MAX_UNEXPLAINED = 0.01
"""Largest share of the difference between the forecasts that may be left unexplained."""
ROUNDING = 1e-5
"""Difference that rounding makes, as a share of the scale, and of the level above it."""
HARDLY = 0.1
"""Share of the context's spread below which it hardly moved the forecast: what is left of it is rounding."""
FLAT_SHARE = 1e-3
"""What is left of the swings of a flat context: a constant would have no scale."""


@dataclass(frozen=True)
class Attribution:
    """How much each input moved each step of one forecast away from that of a flat context, in the target's unit.

    Attributes:
        context: attribution of each step of the context.
        covariates: attribution of each covariate.
        forecast: the median, before it is clipped to the bounds.
        flat: the median of the baseline.
        spread: mean absolute deviation of the observed context; the scale of the window if it is constant.
        error: |Σ attribution − (forecast − flat)| as a share of the latter (or of a tenth of the spread, if that is
            more), over all steps; below 0.01.
        agreement: rank correlation with the effect of setting segments and covariates to the baseline one at a
            time (occlusion); NaN where there are fewer than three.
    """

    context: Float[Tensor, "H C"]
    covariates: Mapping[str, Float[Tensor, "H"]]
    forecast: Float[Tensor, "H"]
    flat: Float[Tensor, "H"]
    spread: float
    segment: int
    error: float
    agreement: float

    @property
    def segments(self) -> Float[Tensor, "H L"]:
        """Attribution of each segment of the context."""
        return self.context.reshape(len(self.context), -1, self.segment).sum(-1)

    @property
    def shares(self) -> tuple[Float[Tensor, "L"], dict[str, float]]:
        """The share of each segment and covariate in the absolute attributions over the horizon."""
        sizes, others = self.segments.abs().sum(0), {name: part.abs().sum() for name, part in self.covariates.items()}
        total = (sizes.sum() + sum(others.values())).clamp(min=torch.finfo(sizes.dtype).tiny)  # in any unit
        return sizes / total, {name: float(size / total) for name, size in others.items()}

    @property
    def moved(self) -> float:
        """How far the forecast is from that of a flat context, as a share of the context's spread."""
        return float((self.forecast - self.flat).abs().mean()) / self.spread


class _Path:
    """The median of one window as a function of what varies, all in the window's own scaled unit."""

    def __init__(self, fitted: Fitted, inputs: Inputs) -> None:
        self.fitted, self.inputs = fitted, inputs
        unit = fitted.scaler(inputs.context, inputs.observed, inputs.series)
        self.loc, self.scale = unit.loc, unit.scale
        context = ((inputs.context - self.loc) / self.scale).masked_fill(~inputs.observed, 0)
        count = inputs.observed.sum(1, keepdim=True).clamp(min=1)
        mean = context.sum(1, keepdim=True) / count
        spread = (context - mean).masked_fill(~inputs.observed, 0).abs().sum(1, keepdim=True) / count
        self.spread = torch.where(spread > ROUNDING, spread, 1)[0, 0]  # a fixed scale may be far from this window's
        self.end = {"context": context, "calendar": inputs.calendar}
        self.start = {
            "context": torch.where(inputs.observed, mean.lerp(context, FLAT_SHARE), 0),
            "calendar": inputs.calendar.mean(1, keepdim=True).expand_as(inputs.calendar),
        }

    def __call__(self, varied: Mapping[str, Tensor]) -> Float[Tensor, "N H"]:
        """The forecasts of N inputs."""
        size = len(varied["context"])
        observed, series = self.inputs.observed.expand(size, -1), self.inputs.series.expand(size)
        rows = self.inputs.static
        static = None if rows is None else (rows[0].expand(size, -1), rows[1].expand(size, -1))
        context = (varied["context"] * self.scale + self.loc).masked_fill(~observed, 0)
        inputs = Inputs(context, observed, varied["calendar"], series, static)
        return (self.fitted.raw(inputs)[..., self.fitted.middle] - self.loc) / self.scale

    def gradients(self, points: int) -> dict[str, Tensor]:
        """Attribution of each input to each step: the gradient integrated along the path times its length, (H, ...)."""
        nodes, weights = (torch.from_numpy(part).float() / 2 for part in np.polynomial.legendre.leggauss(points))
        at = (nodes + 0.5).to(self.loc.device)
        varied = {
            name: torch.lerp(start, self.end[name], at.view(-1, *[1] * (start.ndim - 1))).requires_grad_()
            for name, start in self.start.items()
        }
        total = weights.to(at.device) @ self(varied)
        parts = [*varied.values()]
        steps = [torch.autograd.grad(step, parts, retain_graph=True, materialize_grads=True) for step in total]
        return {
            name: torch.stack([part.sum(0) for part in given]) * (self.end[name] - self.start[name])
            for name, *given in zip(varied, *steps, strict=True)
        }

    def without(self, segment: int, groups: Mapping[str, list[int]]) -> Float[Tensor, "G H"]:
        """How the forecast changes when each segment, then each covariate, is set to the baseline (occlusion)."""
        size = self.end["context"].shape[1] // segment
        varied = {name: part.repeat(size + len(groups), *[1] * (part.ndim - 1)) for name, part in self.end.items()}
        for row in range(size):
            place = slice(row * segment, (row + 1) * segment)
            varied["context"][row, place] = self.start["context"][0, place]
        for row, columns in enumerate(groups.values(), size):
            varied["calendar"][row][:, columns] = self.start["calendar"][0][:, columns]
        with torch.no_grad():
            return self(self.end) - self(varied)


def attribute(fitted: Fitted, inputs: Inputs) -> Attribution:
    """Attribute the forecast of one window, and check that the attribution is complete.

    Args:
        inputs: of one window.

    Raises:
        DataError: it is not, even with the most points.
    """
    path, segment = _Path(fitted, inputs), fitted.network.shape.segment
    names = fitted.encoder.names
    groups = {name: [i for i, other in enumerate(names) if other == name] for name in dict.fromkeys(names)}
    with torch.backends.cudnn.flags(enabled=False):  # whose LSTM has no gradient outside training
        with torch.no_grad():
            forecast, flat = path(path.end)[0], path(path.start)[0]
        level = 1 + (path.loc.abs() / path.scale)[0, 0]
        moved = len(forecast) * ((forecast - flat).abs().mean().clamp(min=HARDLY * path.spread) + ROUNDING * level)
        for points in POINTS:
            given = path.gradients(points)
            missed = given["context"].sum(1) + given["calendar"].sum((1, 2)) - (forecast - flat)
            error = float(missed.abs().sum() / moved)
            if error < MAX_UNEXPLAINED:
                break
        else:
            why = f"{in_percent(error, 1)} of it would be left unexplained; look at another one, by --at or --series"
            if math.isnan(error):  # a gradient is infinite where the scale is as small as 1e-39
                why = "32 bits do not hold how it changes with values as small; multiply the target in --sql"
            raise DataError(f"what this forecast relied on cannot be told: {why}")
        effects = path.without(segment, groups)
    loc, scale = path.loc.cpu()[0], path.scale.cpu()[0]  # from here on in the target's unit
    calendar = given["calendar"].sum(1).cpu() * scale
    covariates = {name: calendar[:, columns].sum(1) for name, columns in groups.items()}
    forecast, flat = (part.cpu() * scale + loc for part in (forecast, flat))
    context = given["context"].cpu() * scale
    spread = float(path.spread.cpu() * scale)
    found = Attribution(context, covariates, forecast, flat, spread, segment, error, np.nan)
    by_path, covered = found.shares
    sizes = torch.tensor([*by_path.tolist(), *covered.values()])
    return replace(found, agreement=_rank_correlation(sizes, effects.abs().sum(1).cpu()))


def _rank_correlation(one: Float[Tensor, "G"], other: Float[Tensor, "G"]) -> float:
    """Spearman's, where no two are equal; NaN for fewer than three."""
    if len(one) < 3:
        return float("nan")
    ranks = torch.stack([part.argsort().argsort().float() for part in (one, other)])
    return float(torch.corrcoef(ranks)[0, 1])
