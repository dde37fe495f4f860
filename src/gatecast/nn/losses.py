"""Losses over the observed part of a horizon."""

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
    loss = 2 / len(probabilities) * (excess.relu().sum(-1) - excess @ probabilities)
    return _mean(loss if weights is None else weights * loss, observed)


def squared(
    points: Float[Tensor, "B H"], truth: Float[Tensor, "B H"], observed: Bool[Tensor, "B H"]
) -> Float[Tensor, ""]:
    """Mean squared error."""
    return _mean((truth - points).square(), observed)


def _mean(loss: Float[Tensor, "B H"], observed: Bool[Tensor, "B H"]) -> Float[Tensor, ""]:
    return loss.masked_fill(~observed, 0).sum() / observed.sum().clamp(min=1)
