"""What training minimises: quantile losses, in which each window counts by what the metric makes of its errors."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from gatecast.data.scaling import Unit
from gatecast.data.windows import Inputs, Truth
from gatecast.nn.devices import vector
from gatecast.nn.losses import pinball, squared
from gatecast.nn.network import Shape
from gatecast.settings import Metric

FAR = 100.0
"""Units at which targets are clipped: after a flat stretch a jump may be millions of them."""
SURE = 4
"""Values from which on a window surely shows its unit. Two may differ by next to nothing, and errors then be huge."""


def goal(truth: Truth, unit: Unit) -> Truth:
    """What a network is to give in its own unit."""
    return replace(truth, values=unit.scaled(truth.values).clamp(-FAR, FAR))


@dataclass(frozen=True)
class Objective:
    """The loss of a network.

    Attributes:
        metric: what forecasts will be judged by.
        deviations: what scaled errors of each series are measured in; None for those of each window.
        history: the fewest values that windows have; of fewer than SURE, an error of one unit counts less.
    """

    metric: Metric
    deviations: Float[Tensor, "S 1"] | None = None
    history: int = SURE

    def loss(
        self, shape: Shape, out: Float[Tensor, "B H Q"], unit: Unit, inputs: Inputs, goal: Truth
    ) -> Float[Tensor, ""]:
        """Quantile loss of a network in its own unit, or squared error of one that gives one point."""
        if not shape.probabilities:
            return squared(out[..., 0], goal.values, goal.observed)
        weights = self.importance(unit, inputs)
        return pinball(out, goal.values, goal.observed, vector(shape.probabilities, out.device), weights)

    def importance(self, unit: Unit, inputs: Inputs) -> Float[Tensor, "B 1"] | None:
        """How much an error of one unit counts in each window, 1 in the mean; None if as much in all.

        Percentage errors count by the share of the level that a unit is, errors in the target's own
        unit by its size. The weights depend on what the forecast may see alone, so that quantiles stay quantiles.
        """
        is_scaled = self.metric in ("mase", "quantile")
        by_window = is_scaled and self.deviations is None
        if by_window and self.history >= SURE:
            return None
        count = inputs.observed.sum(1, keepdim=True).clamp(min=1)
        if by_window:
            return _evened((count / SURE).clamp(max=1))
        level = inputs.context.abs().sum(1, keepdim=True) / count
        share = unit.scale if unit.small is not None else unit.scale / level.clamp(min=torch.finfo(level.dtype).tiny)
        weights = share if self.metric in ("mape", "smape") else share * level
        if is_scaled and self.deviations is not None:
            weights = weights / self.deviations[inputs.series]
        return _evened(weights)


def _evened(weights: Float[Tensor, "B 1"]) -> Float[Tensor, "B 1"]:
    """Weights that are 1 in the mean."""
    return weights / weights.mean().clamp(min=torch.finfo(weights.dtype).tiny)
