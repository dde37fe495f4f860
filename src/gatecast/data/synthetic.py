"""Synthetic series, from which to learn what a small table cannot show: how levels, slopes and seasons continue.

Each is a sum of the components of a structural time series model (Harvey, "Forecasting, Structural Time
Series Models and the Kalman Filter", 1989): noise, a level and a slope that are random walks, a linear trend
and one that begins at a random time, a cycle, seasons of the table's own lengths. Half are products instead. The
size of each component is drawn over orders of magnitude, so that a network has to infer it from the
window (a prior given by simulation, after Dooley et al., "ForecastPFN", NeurIPS 2023).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from gatecast.data.windows import Inputs, Truth
from gatecast.nn.devices import moved

MIN_OBSERVED = 4
"""Least observed steps of each context."""
HARMONICS = 6
"""Most waves that a smooth season is a sum of."""
LEVEL = 100.0
"""Networks read every window in its own unit, so any level will do."""


@dataclass(frozen=True)
class Draws:
    """Random draws for a number of series."""

    size: int
    chance: torch.Generator

    def normal(self, steps: int = 1) -> Float[Tensor, "B T"]:
        """Standard normal numbers."""
        return torch.randn(self.size, steps, generator=self.chance)

    def uniform(self, steps: int = 1) -> Float[Tensor, "B T"]:
        """Numbers between 0 and 1."""
        return torch.rand(self.size, steps, generator=self.chance)

    def often(self, share: float, steps: int = 1) -> Float[Tensor, "B T"]:
        """1 with probability `share`, else 0."""
        return (self.uniform(steps) < share).float()

    def between(self, low: float, high: float) -> Float[Tensor, "B 1"]:
        """Log-uniform sizes: every order of magnitude is equally likely."""
        return low * (high / low) ** self.uniform()


def synthetic(
    size: int, context: int, horizon: int, seasons: Sequence[int], intermittent: bool, chance: torch.Generator
) -> Float[Tensor, "B T"]:
    """Series of C + H steps, most of them positive.

    Args:
        seasons: lengths in steps; 1 for none.
        intermittent: whether half of them are intermittent demand.
    """
    draws, steps = Draws(size, chance), context + horizon
    time = torch.arange(steps) - float(context)
    total = draws.often(0.8) * draws.normal(steps) * (1 + 3 * draws.often(0.02, steps))
    total += draws.often(0.8) * draws.between(0.03, 2) * draws.normal(steps).cumsum(1)
    total += draws.often(0.5) * draws.between(0.001, 0.3) * draws.normal(steps).cumsum(1).cumsum(1)
    for share, since in ((0.4, time), (0.5, (time + context - steps * draws.uniform()).relu())):
        total += draws.often(share) * draws.between(0.003, 1) * draws.normal().sign() * since
    total += draws.often(0.3) * draws.between(0.2, 5) * _cycle(draws, steps)
    for season in seasons:
        if season > 1:
            total += draws.often(0.7) * draws.between(0.2, 5) * _season(draws, season, steps)
    total = (total - total.mean(1, keepdim=True)) / total.std(1, keepdim=True).clamp(min=1e-6)
    moves = draws.between(0.02, 0.6) * total
    found = LEVEL * torch.where(draws.often(0.5) > 0, moves.exp(), 1 + moves)
    return torch.where(draws.often(0.5) > 0, _demand(draws, found), found) if intermittent else found


def _demand(draws: Draws, expected: Float[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """Whole numbers, many zero: random orders of one or more units, more frequent where more is expected."""
    rate = draws.between(0.05, 5) * expected.relu() / LEVEL * (draws.often(0.5) * draws.normal(expected.shape[1])).exp()
    orders = torch.poisson(rate, draws.chance)
    return orders * (1 + draws.often(0.5) * torch.poisson(draws.between(0.5, 10).expand_as(rate), draws.chance))


def _season(draws: Draws, length: int, steps: int) -> Float[Tensor, "B T"]:
    """A repeating pattern, smooth or not; in some series its size is a random walk."""
    angle = 2 * math.pi * torch.arange(length) / length
    pattern = draws.often(0.5) * draws.normal(length)
    for wave in range(1, min(HARMONICS, length // 2) + 1):
        pattern += 2 / wave * draws.normal() * torch.sin(wave * angle + 2 * math.pi * draws.uniform())
    growth = 1 + 0.3 * draws.often(0.3) * draws.normal(steps).cumsum(1) / math.sqrt(steps)
    return growth * pattern.repeat(1, -(-steps // length))[:, :steps]


def _cycle(draws: Draws, steps: int) -> Float[Tensor, "B T"]:
    """A wave of any length and varying pace, like the business cycle or sunspots."""
    pace = 2 * math.pi / draws.between(4, max(steps / 2, 5))
    return torch.sin(2 * math.pi * draws.uniform() + (pace * (1 + 0.3 * draws.normal(steps))).cumsum(1))


def with_synthetic(
    inputs: Inputs,
    truth: Truth,
    size: int,
    seasons: Sequence[int],
    intermittent: bool,
    chance: torch.Generator,
    batches: int = 1,
) -> tuple[Inputs, Truth]:
    """Batches with the values of their first windows replaced by synthetic ones with histories of any length."""
    context, horizon = inputs.context.shape[1], truth.values.shape[1]
    values = synthetic(batches * size, context, horizon, seasons, intermittent, chance)
    least = min(max((MIN_OBSERVED, *seasons)), context)
    history = least + (torch.rand(len(values), 1, generator=chance) * (context - least + 1)).long()
    seen = torch.arange(context) >= context - history
    device = inputs.context.device

    def put(those: Tensor, new: Tensor) -> Tensor:
        new, those = (part.view(batches, -1, part.shape[1]) for part in (moved(new, device), those))
        return torch.cat([new, those[:, size:]], 1).flatten(0, 1)

    return (
        replace(inputs, context=put(inputs.context, values[:, :context] * seen), observed=put(inputs.observed, seen)),
        replace(
            truth,
            values=put(truth.values, values[:, context:]),
            observed=put(truth.observed, torch.ones(len(values), horizon, dtype=torch.bool)),
        ),
    )
