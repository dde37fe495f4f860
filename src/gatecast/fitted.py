"""The result of training: weights, and all that is needed to use them on any panel."""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gatecast.calibration import HeldBack, mean_share_of, share_of, stretches
from gatecast.corrections import Corrections
from gatecast.data.arrays import Indices
from gatecast.data.dates import Steps
from gatecast.data.encoding import Encoder
from gatecast.data.scaling import Scaler, flat
from gatecast.data.windows import Inputs
from gatecast.ensemble import Ensemble, calmed
from gatecast.nn.devices import answers_at_once, vector
from gatecast.nn.starting import seasonal_repeat

NEVER = np.iinfo(np.int64).min
"""Stands for the last step seen of a series that training never saw."""


@dataclass(frozen=True)
class Fitted:
    """Trained weights for the series of one panel.

    Attributes:
        probabilities: the P probabilities of the quantiles.
        stretch: calibration's factor for each quantile's distance from the median.
        flat_stretch: the same for windows whose context is constant.
        seen: the last step of each series that training, or the choice of its length, used.
        bounds: the lowest and the highest forecast allowed.
        season: of the seasonal naive forecast.
        share: weight of the networks against the seasonal naive forecast, 0 to 1.
        bounds_given: whether the bounds are the user's; those inferred from training rows do not hold for a window
            whose context is beyond them.
        below: series that such a lower bound does not hold for, as they have been below it; None if it holds for all.
        mean_share: how far from the median towards the mean the point for squared errors lies, 0 to 1.
        short: what replaces share and factors for windows with little history, see `Corrections.at`.
    """

    network: Ensemble
    scaler: Scaler
    encoder: Encoder
    probabilities: tuple[float, ...]
    stretch: Float[Tensor, "H P"]
    flat_stretch: Float[Tensor, "P"]
    seen: Steps
    bounds: tuple[float, float] = (-math.inf, math.inf)
    season: int = 1
    share: float = 1.0
    mean_share: float = 1.0
    bounds_given: bool = True
    below: Bool[Tensor, "S"] | None = None
    short: tuple[Corrections, ...] = ()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.stretch.device

    @property
    def corrections(self) -> Corrections:
        """Those of windows with history enough."""
        return Corrections(self.share, self.stretch, self.flat_stretch)

    @property
    def middle(self) -> int:
        """Index of the median."""
        return self.probabilities.index(0.5)

    def quantiles(self, inputs: Inputs, floors: Float[Tensor, "B"] | None = None) -> Float[Tensor, "B H P"]:
        """Calibrated quantiles in the target's unit.

        Args:
            floors: lower bounds, if they are known already.
        """
        share, stretch, flat_stretch = self.corrections.at(inputs.observed, self.short)
        raw, is_flat = self._leant(inputs, share), flat(inputs.context, inputs.observed)
        floors = self.floors(inputs) if floors is None else floors
        return self.bounded(self._stretched(raw, is_flat, stretch, flat_stretch), floors)

    def _stretched(
        self,
        raw: Float[Tensor, "B H P"],
        is_flat: Bool[Tensor, "B"],
        stretch: Float[Tensor, "*B H P"],
        flat_stretch: Float[Tensor, "*B P"],
    ) -> Float[Tensor, "B H P"]:
        """Quantiles at distances from the median that are multiplied by the factors."""
        if not answers_at_once(is_flat.device) or is_flat.any():
            stretch = torch.where(is_flat[:, None, None], flat_stretch[..., None, :], stretch)
        median = raw[..., self.middle : self.middle + 1]
        return (median + stretch * (raw - median)).sort(-1).values

    def floors(self, inputs: Inputs) -> Float[Tensor, "B"]:
        """The lower bound of each window: one that nobody gave gives way where series or context have been below it."""
        context, low = inputs.context, self.bounds[0]
        floors = context.new_full((len(context),), low)
        if self.below is not None:
            floors = floors.masked_fill(self.below[inputs.series], -math.inf)
        if self.bounds_given or (answers_at_once(context.device) and context.amin() >= low):  # as nearly always
            return floors
        return floors.masked_fill((context < low).any(1), -math.inf)

    def bounded(self, quantiles: Float[Tensor, "B H P"], floors: Float[Tensor, "B"]) -> Float[Tensor, "B H P"]:
        """Within the bounds."""
        return torch.maximum(quantiles, floors[:, None, None]).clamp(max=self.bounds[1])

    def raw(self, inputs: Inputs) -> Float[Tensor, "B H P"]:
        """Quantiles before calibration."""
        return self._leant(inputs, self.corrections.at(inputs.observed, self.short).share)

    def naive(self, inputs: Inputs) -> Float[Tensor, "B H"]:
        """The seasonal naive forecast; the last value, where the context is shorter than the season."""
        shape, context = self.network.shape, calmed(self.network.shape, inputs).context
        season = self.season if self.season <= shape.context else 1
        return seasonal_repeat(context, inputs.observed, season, shape.horizon)

    def _leant(self, inputs: Inputs, share: float | Float[Tensor, "B 1"]) -> Float[Tensor, "B H P"]:
        """The networks' quantiles, moved towards the naive forecast."""
        alone = self.alone(inputs)
        return alone if isinstance(share, float) and share == 1 else self._moved(alone, self.naive(inputs), share)

    def _moved(
        self, alone: Float[Tensor, "B H P"], naive: Float[Tensor, "B H"], share: float | Float[Tensor, "B 1"]
    ) -> Float[Tensor, "B H P"]:
        """All quantiles moved from the networks' median towards the naive forecast."""
        return alone + ((1 - share) * (naive - alone[..., self.middle]))[..., None]

    def alone(self, inputs: Inputs) -> Float[Tensor, "B H P"]:
        """The networks' quantiles; those of a point forecast lie one scale away from it."""
        out: Tensor = self.network(inputs, self.scaler)
        if self.network.shape.probabilities:
            return out
        scale = self.scaler(inputs.context, inputs.observed, inputs.series).scale[..., None]
        return out + scale * torch.sign(vector(self.probabilities, out.device) - 0.5)

    def weighed(self, held: HeldBack) -> Self:
        """A copy with the share of the networks that suits held-back windows, see `calibration.share_of`."""
        return replace(self, share=share_of(held, self.middle))

    def calibrated(self, held: HeldBack) -> Self:
        """A copy with quantiles stretched to hold on held-back windows, see `calibration.stretches`."""
        raw = self._moved(held.raw, held.naive, self.share)
        stretch, flat_stretch = stretches(replace(held, raw=raw), self.probabilities)
        return replace(self, stretch=stretch, flat_stretch=flat_stretch)

    def centred(self, held: HeldBack) -> Self:
        """A copy with the share of the mean that suits held-back windows, see `calibration.mean_share_of`."""
        raw = self._moved(held.raw, held.naive, self.share)
        low, high = self.bounds
        found = self._stretched(raw, held.flat, self.stretch, self.flat_stretch)
        found = found.clamp(low if self.below is None else -math.inf, high)  # of which series they are is forgotten
        return replace(self, mean_share=mean_share_of(found, self.probabilities, held))

    def on(self, device: torch.device) -> Self:
        """A copy on a device."""
        return replace(
            self,
            network=self.network.to(device),
            scaler=self.scaler.to(device),
            below=None if self.below is None else self.below.to(device),
            stretch=self.stretch.to(device),
            flat_stretch=self.flat_stretch.to(device),
            short=tuple(one.on(device) for one in self.short),
        )

    def for_series(self, known: Indices) -> Self:
        """A copy for the series of another panel.

        Args:
            known: index of each of its series among those trained on, -1 for a new one, which is
                scaled by each context.
        """
        seen = np.where(known >= 0, self.seen[known], NEVER)
        if self.scaler.fixed is None and self.below is None:
            return replace(self, seen=seen)
        index, new = (torch.from_numpy(part).to(self.device) for part in (known, known < 0))
        below, scaler = None if self.below is None else self.below[index] | new, self.scaler
        if scaler.fixed is not None:
            loc, scale = (part[index].masked_fill(new[:, None], torch.nan) for part in scaler.fixed)
            scaler = replace(scaler, fixed=(loc, scale))
        return replace(self, seen=seen, below=below, scaler=scaler)
