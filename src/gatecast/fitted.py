"""What training gives: weights, and all that is needed to use them on any panel."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from gatecast.data.dates import Steps
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Indices
from gatecast.data.scaling import Scaler
from gatecast.data.windows import Inputs
from gatecast.nn.network import Network

NEVER = np.iinfo(np.int64).min
"""The last step seen of a series that was not there."""


@dataclass(frozen=True)
class Fitted:
    """Trained weights for the series of one panel.

    Attributes:
        probabilities: P, those of the quantiles that `quantiles` gives.
        shifts: what calibration adds to each quantile, in the scaled unit.
        least: no forecast lies below it; 0 where there never was a negative value.
        seen: the last step of each series that training, or the choice of its length, looked at.
    """

    network: Network
    scaler: Scaler
    encoder: Encoder
    probabilities: tuple[float, ...]
    shifts: Float[Tensor, "H P"]
    seen: Steps
    least: float = -math.inf

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.shifts.device

    @property
    def middle(self) -> int:
        """Index of the median."""
        return self.probabilities.index(0.5)

    def quantiles(self, inputs: Inputs) -> Float[Tensor, "B H P"]:
        """Calibrated quantiles in the target's unit."""
        loc, scale = self.scaler(inputs.context, inputs.observed, inputs.series)
        scaled = self.scaled(inputs, loc, scale).add(self.shifts).sort(-1).values
        return (scaled * scale[..., None] + loc[..., None]).clamp(min=self.least)

    def scaled(self, inputs: Inputs, loc: Float[Tensor, "B 1"], scale: Float[Tensor, "B 1"]) -> Float[Tensor, "B H P"]:
        """Quantiles in the scaled unit, not calibrated; a point network gives its point for each."""
        out: Tensor = self.network(*inputs.scaled(loc, scale))
        return out.expand(-1, -1, len(self.probabilities))

    def calibrated(self, residuals: Float[Tensor, "W H P"], observed: Tensor) -> Self:
        """Shift each quantile so that it holds on held-back windows (split conformal; Romano et al. 2019).

        The median, the point that was trained, stays where it is.

        Args:
            residuals: truth minus quantile in the scaled unit.
        """
        if not observed.any():
            return self
        residuals = residuals.masked_fill(~observed[..., None], torch.nan)
        count = observed.sum(0)
        if int(count.min()) < FEW:  # too few for each step on its own: all steps together
            residuals = residuals.flatten(0, 1)[None].transpose(0, 1)
            count = count.sum()[None]
        size = float(count.float().mean())
        shifts = torch.zeros_like(self.shifts)
        for index, probability in enumerate(self.probabilities):
            if probability != 0.5 or not self.network.shape.probabilities:
                level = probability + (probability - 0.5) / size  # the finite-sample correction, (n + 1) / n
                shifts[:, index] = residuals[..., index].nanquantile(min(max(level, 0.0), 1.0), 0)
        if not self.network.shape.probabilities:
            shifts[:, self.middle] = 0
        return replace(self, shifts=shifts)

    def on(self, device: torch.device) -> Self:
        """The same on a device."""
        return replace(
            self, network=self.network.to(device), scaler=self.scaler.to(device), shifts=self.shifts.to(device)
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


FEW = 40
"""Windows below which calibration pools the steps of the horizon."""


def find(keys: pa.Table, among: pa.Table, count: int) -> Indices:
    """Index of each key (a row) among others, -1 where it is not; `count` keys where there are no columns."""
    if not keys.num_columns:
        return np.zeros(count, np.int64)
    index: Mapping[tuple[object, ...], int] = {key: i for i, key in enumerate(_rows(among))}
    return np.array([index.get(key, -1) for key in _rows(keys)], np.int64)


def _rows(table: pa.Table) -> list[tuple[object, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
