"""Losses over the observed part of a horizon."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def pinball(
    quantiles: Float[Tensor, "B H Q"],
    truth: Float[Tensor, "B H"],
    observed: Bool[Tensor, "B H"],
    probabilities: Float[Tensor, "Q"],
    weights: Float[Tensor, "B 1"] | None = None,
) -> Float[Tensor, ""]:
    """Mean quantile loss (Koenker & Bassett 1978) times two, which at the median is the absolute error.

    Args:
        weights: one per window, by default all 1.
    """
    excess = quantiles - truth[..., None]
    with torch.no_grad():  # the loss is linear on either side of the truth, and its gradient is the slope
        share = observed / observed.sum().clamp(min=1) * (2 / len(probabilities))
        slope = (excess > 0).to(excess.dtype).sub_(probabilities)
        slope.mul_((share if weights is None else weights * share)[..., None])
    return excess.flatten().dot(slope.flatten())


def squared(
    points: Float[Tensor, "B H"], truth: Float[Tensor, "B H"], observed: Bool[Tensor, "B H"]
) -> Float[Tensor, ""]:
    """Mean squared error."""
    return (truth - points).square().masked_fill(~observed, 0).sum() / observed.sum().clamp(min=1)
