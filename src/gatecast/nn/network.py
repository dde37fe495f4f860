"""Context to quantiles of the horizon: an LSTM over segments of the context.

The context is cut into segments of p steps; the LSTM reads a segment at a step, so a long
context costs few recurrent steps (Lin et al., "SegRNN", 2023). Every segment of the horizon is
decoded in parallel from the state after the newest observation, its place and its calendar. The
network learns the difference from a mixture of simple forecasts (see `nn.starting`); the mixture
it learns too, for each window by the state that the LSTM reached, and starts out at their mean.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from gatecast.nn.lstm import LSTM
from gatecast.nn.starting import RATES, starting_points


@dataclass(frozen=True)
class Shape:
    """All that is needed to build a network."""

    context: int  # C, a multiple of the segment
    horizon: int  # H
    segment: int  # p
    features: int  # F
    probabilities: tuple[float, ...]  # Q increasing ones with 0.5 among them, or () for one point
    seasons: tuple[int, ...]  # of the simple forecasts to start from; none: start from zero
    hidden: int
    layers: int
    dropout: float
    skip: bool  # a linear path from context to horizon
    logs: bool = False  # whether it reads, and says, logarithms

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


class Network(nn.Module):
    """Scaled context and calendar to scaled quantiles, non-crossing by construction."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        assert shape.context % shape.segment == 0
        assert max(shape.seasons, default=0) <= shape.context
        self.shape = shape
        self.outputs = max(1, len(shape.probabilities))
        self.block = min(shape.segment, shape.horizon) if shape.segment > 1 else shape.horizon
        self.blocks = -(-shape.horizon // self.block)
        width = shape.hidden
        self.embed = nn.Linear(shape.segment * (2 + shape.features), width)
        self.lstm = LSTM(width, width, shape.layers, shape.dropout)
        self.place = nn.Parameter(torch.randn(self.blocks, width) / width**0.5)
        self.read = nn.Linear(width + self.block * shape.features, width)
        self.write = nn.Linear(width, self.block * self.outputs)
        self.skip = nn.Linear(shape.context, shape.horizon) if shape.skip else None
        points = len({1, *shape.seasons}) + len(RATES) * len(shape.seasons) if shape.seasons else 0
        self.mix = nn.Linear(width, points + 1) if points else None  # their logits, and the share of the drift
        self.dropout = nn.Dropout(shape.dropout)
        for layer in (self.write, self.skip, self.mix):
            if layer is not None:
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(
        self, x: Float[Tensor, "B C"], observed: Bool[Tensor, "B C"], calendar: Float[Tensor, "B T F"]
    ) -> Float[Tensor, "B H Q"]:
        """Quantiles of the horizon in the scaled unit; Q = 1 for a point forecast."""
        x = x.masked_fill(~observed, 0)
        _, state = self.lstm(self.segments(x, observed, calendar))
        decoded = self.decode(state.h, calendar[:, self.shape.context :])
        if self.skip is not None:
            decoded = decoded + self.skip(x)[..., None]
        if self.mix is not None:
            decoded = decoded + self.start(x, observed, self.mix(state.h))[..., None]
        return decoded

    def start(
        self, x: Float[Tensor, "B C"], observed: Bool[Tensor, "B C"], mix: Float[Tensor, "B K"]
    ) -> Float[Tensor, "B H"]:
        """The simple forecasts, mixed, and the drift."""
        points, drift = starting_points(x, observed, self.shape.seasons, self.shape.horizon)
        return (points * mix[:, None, :-1].softmax(-1)).sum(-1) + mix[:, -1:] * drift

    def segments(
        self, x: Float[Tensor, "B C"], observed: Bool[Tensor, "B C"], calendar: Float[Tensor, "B T F"]
    ) -> Float[Tensor, "B L U"]:
        """What the LSTM reads: values, mask and calendar of each of the L = C / p segments, embedded."""
        size, p = len(x), self.shape.segment
        parts = [x.reshape(size, -1, p), observed.to(x.dtype).reshape(size, -1, p)]
        parts.append(calendar[:, : self.shape.context].reshape(size, self.shape.context // p, -1))
        embedded: Tensor = self.dropout(functional.gelu(self.embed(torch.cat(parts, -1))))
        return embedded

    def decode(self, h: Float[Tensor, "B U"], calendar: Float[Tensor, "B H F"]) -> Float[Tensor, "B H Q"]:
        """Every block of the horizon from the state after the newest step, its place and its calendar."""
        size = len(h)
        padded = functional.pad(calendar, (0, 0, 0, self.blocks * self.block - self.shape.horizon))
        states = h[:, None] + self.place
        read = functional.gelu(self.read(torch.cat([states, padded.reshape(size, self.blocks, -1)], -1)))
        out = self.write(self.dropout(read)).reshape(size, -1, self.outputs)[:, : self.shape.horizon]
        return self._spread(out)

    def _spread(self, out: Float[Tensor, "B H Q"]) -> Float[Tensor, "B H Q"]:
        """The median, and positive distances from it cumulated both ways."""
        if not self.shape.probabilities:
            return out
        middle = self.shape.probabilities.index(0.5)
        median = out[..., middle : middle + 1]
        gaps = functional.softplus(out - 2)  # starts narrow: about 0.13 of the scale each
        up = median + gaps[..., middle + 1 :].cumsum(-1)
        down = median - gaps[..., :middle].flip(-1).cumsum(-1).flip(-1)
        return torch.cat([down, median, up], -1)
