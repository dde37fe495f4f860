"""Which steps of a window were observed; if all were, the mask is a view of one value and need not be applied."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

EVERY = torch.ones((), dtype=torch.bool)
"""The value that masks of windows without gaps are views of."""


def gapless(observed: Bool[Tensor, "*n T"]) -> bool:
    """Whether it is known, without looking at each step, that nothing is missing."""
    return observed.data_ptr() == EVERY.data_ptr()


def only(values: Float[Tensor, "*n T"], observed: Bool[Tensor, "*n T"], filler: float = 0.0) -> Float[Tensor, "*n T"]:
    """Values where observed, else the filler."""
    return values if gapless(observed) else values.masked_fill(~observed, filler)


def counted(observed: Bool[Tensor, "*n T"]) -> Int[Tensor, "*n 1"] | int:
    """How many steps were observed, 1 where none was."""
    return observed.shape[-1] if gapless(observed) else observed.sum(-1, keepdim=True).clamp(min=1)
