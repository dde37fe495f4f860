"""AdamW (Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019) over all members at once.

Gradients and moments lie end to end, so that clearing, clipping and keeping them are an operation each. The
arithmetic is torch's own function; its class would load torch's compiler at the first step, which takes a second.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.adamw import adamw

from gatecast.nn.devices import answers_at_once

WEIGHT_DECAY = 0.01
BETAS = 0.9, 0.999
EPSILON = 1e-8
CLIP = 1.0
"""Longest gradient of a member."""


class AdamW:
    """Moves the weights of some modules against their gradients, that of each module shortened where it is too long."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        sizes = [sum(weight.numel() for weight in module.parameters()) for module in modules]
        self.weights: list[Tensor] = [weight for module in modules for weight in module.parameters()]
        device = self.weights[0].device
        self.gradient, self.mean, self.square = (torch.zeros(sum(sizes), device=device) for _ in range(3))
        self.taken = torch.zeros(len(self.weights), device=device)  # a count of its own for each weight, as torch asks
        self.members = torch.split(self.gradient, sizes)
        self.parts = tuple(map(self._views, (self.gradient, self.mean, self.square)))
        self.counts = list(self.taken.unbind())
        for weight, gradient in zip(self.weights, self.parts[0], strict=True):
            weight.grad = gradient

    def clear(self) -> None:
        """Set all gradients to zero."""
        self.gradient.zero_()

    def clip(self) -> Float[Tensor, ""]:
        """Shorten the gradient of each module that is longer than 1, which is rare.

        Returns:
            the length of the longest, not finite if any is no number.
        """
        lengths = torch.stack([gradient.dot(gradient) for gradient in self.members]).sqrt()
        longest = lengths.max()
        if not answers_at_once(longest.device) or float(longest) > CLIP:
            for gradient, share in zip(self.members, (CLIP / lengths).clamp(max=1), strict=True):
                gradient.mul_(share)
        return longest

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move the weights."""
        gradients, means, squares = self.parts
        adamw(
            self.weights,
            gradients,
            means,
            squares,
            [],
            self.counts,
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=rate,
            weight_decay=WEIGHT_DECAY,
            eps=EPSILON,
        )

    @torch.no_grad()
    def clear_unmoved(self) -> None:
        """Set weights that never had a gradient to zero, as those of a covariate that never changed.

        Chance drew them; they would decide what follows when it does change.
        """
        for weight, square in zip(self.weights, self.parts[2], strict=True):
            weight.masked_fill_(square == 0, 0)

    def moments(self) -> dict[str, Tensor]:
        """What a step goes by beside the gradients."""
        return {"mean": self.mean, "square": self.square, "taken": self.taken}

    def load(self, moments: Mapping[str, Tensor]) -> None:
        """Take moments over."""
        for name, own in self.moments().items():
            own.copy_(moments[name])

    def _views(self, vector: Float[Tensor, "P"]) -> list[Tensor]:
        """The part of a vector that belongs to each weight, in its shape."""
        parts = torch.split(vector, [weight.numel() for weight in self.weights])
        return [part.view_as(weight) for part, weight in zip(parts, self.weights, strict=True)]
