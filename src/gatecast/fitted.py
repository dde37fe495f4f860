"""What training gives: weights, and all that is needed to use them on any panel."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gatecast.data.dates import Steps
from gatecast.data.encoding import Encoder
from gatecast.data.rows import Indices
from gatecast.data.scaling import Scaler, flat
from gatecast.data.windows import Inputs
from gatecast.ensemble import Ensemble
from gatecast.nn.starting import seasonal_repeat

NEVER = np.iinfo(np.int64).min
"""The last step seen of a series that was not there."""


@dataclass(frozen=True)
class HeldBack:
    """What networks say of windows that they were not trained on, and what came.

    Attributes:
        raw: quantiles of the networks alone, before calibration.
        naive: the seasonal naive forecast.
        still: windows whose context is flat.
        apart: how many of the windows have nothing in common; of few, little is believed.
    """

    raw: Float[Tensor, "W H P"]
    naive: Float[Tensor, "W H"]
    truth: Float[Tensor, "W H"]
    observed: Bool[Tensor, "W H"]
    still: Bool[Tensor, "W"]
    apart: int

    def believed(self, sharpness: int = 1) -> float:
        """How far to go from what was trained to what was seen here, 0 to 1; half of the way at `DOUBT` windows apart.

        Args:
            sharpness: 1 as means of noisy windows are weighed against what was known before; 2 where fewer of them
                should count for hardly anything, more for nearly all.
        """
        seen, doubted = math.pow(self.apart, sharpness), math.pow(DOUBT, sharpness)
        return seen / (seen + doubted)


@dataclass(frozen=True)
class Fitted:
    """Trained weights for the series of one panel.

    Attributes:
        probabilities: P, those of the quantiles that `quantiles` gives.
        stretch: what calibration multiplies each quantile's distance from the median by.
        still: the same where the context never moved.
        bounds: no forecast lies below the one or above the other.
        seen: the last step of each series that training, or the choice of its length, looked at.
        season: of the naive forecast.
        share: what the networks' word counts beside the naive forecast, 0 to 1.
    """

    network: Ensemble
    scaler: Scaler
    encoder: Encoder
    probabilities: tuple[float, ...]
    stretch: Float[Tensor, "H P"]
    still: Float[Tensor, "P"]
    seen: Steps
    bounds: tuple[float, float] = (-math.inf, math.inf)
    season: int = 1
    share: float = 1.0

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.stretch.device

    @property
    def middle(self) -> int:
        """Index of the median."""
        return self.probabilities.index(0.5)

    def quantiles(self, inputs: Inputs) -> Float[Tensor, "B H P"]:
        """Calibrated quantiles in the target's unit."""
        raw = self.raw(inputs)
        median = raw[..., self.middle : self.middle + 1]
        still = flat(inputs.context, inputs.observed)[:, None, None]
        stretch = torch.where(still, self.still, self.stretch)
        return (median + stretch * (raw - median)).sort(-1).values.clamp(*self.bounds)

    def raw(self, inputs: Inputs) -> Float[Tensor, "B H P"]:
        """Quantiles before calibration."""
        alone = self.alone(inputs)
        return alone if self.share == 1 else self._leant(alone, self.naive(inputs))

    def naive(self, inputs: Inputs) -> Float[Tensor, "B H"]:
        """The seasonal naive forecast; the last value, where the context is shorter than the season."""
        season = self.season if self.season <= self.network.shape.context else 1
        return seasonal_repeat(inputs.context, inputs.observed, season, self.network.shape.horizon)

    def _leant(self, alone: Float[Tensor, "B H P"], naive: Float[Tensor, "B H"]) -> Float[Tensor, "B H P"]:
        """All quantiles moved from the networks' median towards the naive forecast."""
        return alone + (1 - self.share) * (naive - alone[..., self.middle])[..., None]

    def alone(self, inputs: Inputs) -> Float[Tensor, "B H P"]:
        """What the networks say; one that gives a point has the other quantiles one scale away from it."""
        out: Tensor = self.network(inputs, self.scaler)
        if self.network.shape.probabilities:
            return out
        scale = self.scaler(inputs.context, inputs.observed, inputs.series).scale[..., None]
        return out + scale * torch.sign(out.new_tensor(self.probabilities) - 0.5)

    def weighed(self, held: HeldBack) -> Self:
        """With the share of the networks that forecasts held-back windows best (Bates & Granger, OR 20(4), 1969).

        Where there is nothing to learn, as in a random walk, what they believe to have learned does harm.
        Where they are clearly better than the naive forecast they are left alone: windows held back have
        less history before them than those to be forecast, and would have it believed too often. Errors of
        a window are told as shares of both forecasts' errors: in any unit few windows would decide.
        """
        median = held.raw[..., self.middle]

        def error(said: Tensor) -> Float[Tensor, "W"]:
            return (said - held.truth).abs().masked_fill(~held.observed, 0).sum(1)

        both = (error(median) + error(held.naive)).clamp(min=torch.finfo(median.dtype).tiny)
        shares = [1 - number / (SHARES - 1) for number in range(SHARES)]  # of equal ones the largest
        errors = [float((error(torch.lerp(held.naive, median, share)) / both).sum()) for share in shares]
        better = errors[0] < (1 - CLEARLY) * errors[-1]
        best = 1.0 if better else shares[errors.index(min(errors))]
        return replace(self, share=1 - (1 - best) * held.believed(2))

    def calibrated(self, held: HeldBack) -> Self:
        """Stretch the distance of each quantile from the median so that it holds on held-back windows.

        Split conformal prediction (Romano et al. 2019), by factors instead of summands: a window
        whose interval is wide by itself keeps its share. The median, which was trained as the
        point, stays where it is. Windows that never moved in their context are taken apart.
        """
        raw = self._leant(held.raw, held.naive)
        median = raw[..., self.middle, None]
        distance = (raw - median).abs()
        away = (held.truth[..., None] - median) * self._sides() / distance
        away = away.masked_fill(~(held.observed[..., None] & away.isfinite()), torch.nan)
        moving, still = away[~held.still], away[held.still].flatten(0, 1)[:, None]
        few = int(moving.isfinite().any(-1).sum(0).min()) < FEW
        if few:  # too few for each step and side on its own: all taken together
            moving = moving.flatten(0, 1)[:, None]
        believed, trained = held.believed(), self._least(distance[~held.still])
        seen = self._factors(moving, self.stretch, mirrored=few).clamp(min=NARROWEST)
        return replace(
            self,
            stretch=trained ** (1 - believed) * seen**believed,
            still=self._factors(still, self.still).clamp(min=0),
        )

    def _sides(self) -> Float[Tensor, "P"]:
        """1 for quantiles above the median, -1 for those below, 0 for itself."""
        return torch.sign(self.stretch.new_tensor(self.probabilities) - 0.5)

    def _factors(self, away: Float[Tensor, "W H P"], instead: Tensor, *, mirrored: bool = False) -> Tensor:
        """For each quantile the factor that makes it hold; another where there is nothing to go by.

        Args:
            away: how many of its distances from the median the truth lies on each quantile's side.
            mirrored: whether both sides of the median take the same factor.
        """
        size, factors = float(away.isfinite().any(-1).sum(0).float().mean()), instead.clone()
        away = torch.maximum(away, away.flip(-1)) if mirrored else away
        for index, probability in enumerate(self.probabilities):
            if probability != 0.5 and size:
                beyond = abs(probability - 0.5)  # of the median; the finite-sample correction is (n + 1) / n
                level = 2 * beyond * (1 + 1 / size) if mirrored else 0.5 + beyond * (1 + 1 / size)
                factors[..., index] = away[..., index].nanquantile(min(level, 1.0), 0).nan_to_num(1.0)
        return factors

    def _least(self, distance: Float[Tensor, "W H P"]) -> Float[Tensor, "P"]:
        """Factors that bring quantiles as far from the median as a normal distribution has them, the outermost held.

        Few windows cannot show how peaked errors are; networks that learned from others believe them too peaked.
        """
        scores = distance.new_tensor([abs(NormalDist().inv_cdf(share)) for share in self.probabilities])
        outer = torch.where(self._sides() < 0, 0, len(self.probabilities) - 1)
        share = (distance / distance[..., outer]).nan_to_num(1.0).flatten(0, 1).mean(0)
        return (scores / scores[outer] / share).nan_to_num(1.0).clamp(min=1)

    def on(self, device: torch.device) -> Self:
        """The same on a device."""
        return replace(
            self,
            network=self.network.to(device),
            scaler=self.scaler.to(device),
            stretch=self.stretch.to(device),
            still=self.still.to(device),
        )

    def known(self, known: Indices) -> Self:
        """The same for the series of another panel.

        Args:
            known: index of each of its series among those trained on, -1 for a new one, whose scale
                is then read off each context.
        """
        seen = np.where(known >= 0, self.seen[known], NEVER)
        if self.scaler.fixed is None:
            return replace(self, seen=seen)
        index, new = (torch.from_numpy(part).to(self.device) for part in (known, known < 0))
        loc, scale = (part[index].masked_fill(new[:, None], torch.nan) for part in self.scaler.fixed)
        return replace(self, seen=seen, scaler=replace(self.scaler, fixed=(loc, scale)))


DOUBT = 10
"""Windows apart at which half of what they say is believed (of calibration in logarithms)."""
CLEARLY = 0.05
"""Share of its error by which a forecast is clearly better than another."""
SHARES = 21
"""How many shares of the networks are tried, from none to all."""
FEW = 40
"""Windows below which calibration pools the steps of the horizon, and both sides of the median."""
NARROWEST = 0.1
"""Least factor, so that errors of one sign in a few windows do not close the other side."""


def find(keys: pa.Table, among: pa.Table, count: int) -> Indices:
    """Index of each key (a row) among others, -1 where it is not; `count` keys where there are no columns."""
    if not keys.num_columns:
        return np.zeros(count, np.int64)
    index: Mapping[tuple[object, ...], int] = {key: i for i, key in enumerate(_rows(among))}
    return np.array([index.get(key, -1) for key in _rows(keys)], np.int64)


def _rows(table: pa.Table) -> list[tuple[object, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
