"""How covariates enter the network.

A regression with LSTM errors (after the regression with ARIMA errors of Hyndman &
Athanasopoulos, "Forecasting: Principles and Practice", chapter 10): the effect of each step's
covariates is subtracted from the context before the network reads it, and the effect of those known over
the horizon is added to the forecast. The LSTM also reads the covariates, as one mean per segment.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

WIDTH = 16
REACH = 10.0
"""An effect may be several times the spread of a window, but Adam moves a weight by the learning rate per step."""
KEPT = 0.5
"""Share of training windows whose past covariates the LSTM reads, so that it does not come to depend on them."""


class Effect(nn.Module):
    """What the calendar and the covariates of a step add to its value, in the scaled unit; initially nothing."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.read = nn.Linear(features, WIDTH)
        self.write = nn.Linear(WIDTH, 1, bias=False)
        nn.init.zeros_(self.write.weight)

    def forward(self, features: Float[Tensor, "B T F"]) -> Float[Tensor, "B T"]:
        """The effect of every step, each computed separately."""
        effect: Tensor = REACH * self.write(nn.functional.gelu(self.read(features)))[..., 0]
        return effect


def means(features: Float[Tensor, "B T F"], size: int) -> Float[Tensor, "B L F"]:
    """The mean of each stretch of `size` steps, the last of which may be shorter."""
    full = features.shape[1] // size * size
    parts = [features[:, :full].reshape(len(features), full // size, size, -1).mean(2)]
    if full < features.shape[1]:
        parts.append(features[:, full:].mean(1, keepdim=True))
    return torch.cat(parts, 1)


def now_and_then(features: Float[Tensor, "B L F"], chance: torch.Generator | None = None) -> Float[Tensor, "B L F"]:
    """Features of a random half of the windows, zero for the others; scaled so that the mean stays the same."""
    return features * torch.empty_like(features[:, :1, :1]).bernoulli_(KEPT, generator=chance) / KEPT
