"""What is known beside the target, on its way into the network.

A regression with an LSTM for its errors (after the regression with ARIMA errors of Hyndman &
Athanasopoulos, "Forecasting: Principles and Practice", chapter 10): the effect of each step's
covariates is taken out of the context before the network reads it, and those known of the horizon
are put back on the forecast. What the effect does not explain the LSTM may still read, a mean a segment.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

WIDTH = 16
REACH = 10.0
"""An effect may be several times the spread of a window; Adam moves a weight by the learning rate a step."""
KEPT = 0.5
"""Share of training windows whose past covariates the LSTM reads: it must not come to lean on them."""


class Effect(nn.Module):
    """What the calendar and the covariates of a step add to its value, in the scaled unit; nothing at first."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.read = nn.Linear(features, WIDTH)
        self.write = nn.Linear(WIDTH, 1, bias=False)
        nn.init.zeros_(self.write.weight)

    def forward(self, features: Float[Tensor, "B T F"]) -> Float[Tensor, "B T"]:
        """The effect of every step by itself."""
        effect: Tensor = REACH * self.write(nn.functional.gelu(self.read(features)))[..., 0]
        return effect


def means(features: Float[Tensor, "B T F"], size: int) -> Float[Tensor, "B L F"]:
    """The mean of each stretch of `size` steps, the last of which may be shorter."""
    full = features.shape[1] // size * size
    parts = [features[:, :full].reshape(len(features), full // size, size, -1).mean(2)]
    if full < features.shape[1]:
        parts.append(features[:, full:].mean(1, keepdim=True))
    return torch.cat(parts, 1)


def now_and_then(features: Float[Tensor, "B L F"]) -> Float[Tensor, "B L F"]:
    """Features of some windows, of the others none; the mean stays."""
    return features * (torch.rand_like(features[:, :1, :1]) < KEPT) / KEPT
