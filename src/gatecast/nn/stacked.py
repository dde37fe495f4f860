"""Several networks as one, for forecasts of few windows: on so few numbers an operation takes as long for all of them.

Each layer holds the weights of all M networks along a first axis, multiplied in one batch. What a network
lacks is zero: the weights of a layer it does not have, and the state before the first segment that it reads.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from gatecast.nn.lstm import LSTM, State
from gatecast.nn.network import Network, Shape
from gatecast.nn.starting import Simple

STEPS = 16
"""Most recurrent steps that are stacked; from some thirty on, oneDNN's kernel gains more."""


def can_stack(shape: Shape) -> bool:
    """Whether to stack networks of a shape: those that take few steps, and read values and dates alone."""
    return shape.recurrent <= STEPS and not (shape.known or shape.past or shape.embeddings)


def stacked(networks: Sequence[Network]) -> Network:
    """A network that computes the outputs of several, (M, B, H, Q), from inputs with an axis M before B.

    Args:
        networks: alike in all but their reach, their segment, logarithms, and in which of them are plain.
    """
    leading = max(networks, key=lambda network: network.shape.reach)
    with torch.device("meta"):  # the weights are replaced
        one = Stacked(leading.shape)
    one.sizes = [network.shape.segment for network in networks]
    for name in ("embed", "read", "write", "widen", "skip", "mix"):
        layers = [getattr(network, name) for network in networks]
        setattr(one, name, Linears(layers) if any(layers) else None)
    setattr(one, "lstm", LSTMs(networks))  # noqa: B010 - of another class
    del one.place
    one.register_buffer("place", torch.stack([network.place.detach() for network in networks])[:, None])
    return one.eval()


def joined(starts: Sequence[Simple]) -> tuple[Tensor, Tensor, Tensor]:
    """The simple forecasts of all networks along a first axis; adjusted values of fewer steps begin with zeros."""
    points, drifts, adjusted = zip(*starts, strict=True)
    reach = max(part.shape[1] for part in adjusted)
    padded = [functional.pad(part, (reach - part.shape[1], 0)) for part in adjusted]
    return torch.stack(points), torch.stack(drifts), torch.stack(padded)


class Stacked(Network):
    """Networks as one.

    Attributes:
        sizes: p of each.
    """

    sizes: Sequence[int]

    def cut(
        self,
        p: int,
        x: Float[Tensor, "M B C"],
        observed: Bool[Tensor, "M B C"],
        calendar: Float[Tensor, "M B T F"],
        simple: Simple | None,
    ) -> Float[Tensor, "M B L I"]:
        """The segments of each network; fewer of them begin with zeros, and so do shorter ones."""
        parts = {size: super(Stacked, self).cut(size, x, observed, calendar, simple) for size in set(self.sizes)}
        if len(parts) == 1:
            return parts[p]
        length, width = (max(part.shape[axis] for part in parts.values()) for axis in (-2, -1))
        each = (parts[size][place] for place, size in enumerate(self.sizes))
        return torch.stack(
            [functional.pad(part, (width - part.shape[-1], 0, length - part.shape[-2], 0)) for part in each]
        )


class Linears(nn.Module):
    """A linear layer of each network; where they differ in inputs, each reads its newest."""

    def __init__(self, layers: Sequence[nn.Linear | None]) -> None:
        super().__init__()
        there = {place: layer for place, layer in enumerate(layers) if layer is not None}
        inputs, outputs = (
            max(sizes) for sizes in zip(*(layer.weight.T.shape for layer in there.values()), strict=True)
        )
        self.weight, self.bias = torch.zeros(len(layers), inputs, outputs), torch.zeros(len(layers), 1, outputs)
        for place, layer in there.items():
            self.weight[place, -layer.in_features :], self.bias[place] = layer.weight.detach().T, layer.bias.detach()

    def forward(self, x: Float[Tensor, "M *n I"]) -> Float[Tensor, "M *n O"]:
        """The layers' outputs."""
        return torch.baddbmm(self.bias, x.reshape(len(x), -1, x.shape[-1]), self.weight).view(*x.shape[:-1], -1)


class LSTMs(nn.Module):
    """The LSTM of each network by the equations of `nn.lstm`; one that reads fewer steps begins later."""

    def __init__(self, networks: Sequence[Network]) -> None:
        super().__init__()
        self.units = networks[0].shape.hidden
        self.layers = [
            self._weights([network.lstm for network in networks], i) for i in range(networks[0].shape.layers)
        ]
        steps = [network.shape.recurrent for network in networks]
        begins = [max(steps) - count for count in steps]
        self.asleep = {step: torch.tensor(begins)[:, None, None] >= step for step in begins if step}

    def _weights(self, networks: Sequence[LSTM], layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of inputs, of the hidden state, and the bias; the candidate's after those of the gates."""
        i, f, g, o = torch.arange(4 * self.units).chunk(4)
        order = torch.cat([i, f, o, g])
        each = [network.weights(layer) for network in networks]
        x, h, b = (torch.stack([getattr(one, part)[order].detach() for one in each]) for part in "xhb")
        return x.mT.contiguous(), h.mT.contiguous(), b[:, None]

    def forward(self, x: Float[Tensor, "M B L I"]) -> tuple[Float[Tensor, "M B L U"], State]:
        """The last layer's hidden state at every step, and its state after the last one."""
        many, size, length, _ = x.shape
        for of_x, of_h, bias in self.layers:
            driven = torch.baddbmm(bias, x.reshape(many, size * length, -1), of_x).view(many, size, length, -1)
            h = c = x.new_zeros(many, size, self.units)
            hidden = []
            for step, part in enumerate(driven.unbind(2)):
                if step in self.asleep:
                    h, c = (state.masked_fill(self.asleep[step], 0) for state in (h, c))
                gates = torch.baddbmm(part, h, of_h)
                opened, candidate = gates.tensor_split((3 * self.units,), -1)
                i, f, o = opened.sigmoid().chunk(3, -1)
                c = f * c + i * candidate.tanh()
                h = o * c.tanh()
                hidden.append(h)
            x = torch.stack(hidden, 2)
        return x, State(h, c)
