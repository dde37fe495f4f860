"""Context to quantiles of the horizon: an LSTM over segments of the context.

The context is cut into segments of p steps; the LSTM reads a segment at a step, so a long
context takes few recurrent steps (Lin et al., "SegRNN", 2023). Every segment of the horizon is
decoded in parallel from the state after the newest observation, its position and its calendar. The
network learns the difference from a mixture of simple forecasts (see `nn.starting`). It learns the
mixture too, for each window from the final state of the LSTM, starting from their mean.
A plain network learns only the mixture, which cannot go far wrong where there is little to
learn from (Montero-Manso et al., "FFORMA", IJF 36(1), 2020, weight forecasts this way).

Simple forecasts need a long context (a mean season needs many seasons), on which an LSTM overfits, so it
reads only the newest part.

The median is trained nearly as if it were alone: the other quantiles are distances from it, and their
loss does not move it, and moves the features both share by only a tenth. Trained as equals, the median
gets worse; without any of that gradient, the distances do.
"""

from dataclasses import asdict, dataclass
from functools import cache, reduce
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from gatecast.nn.covariates import Effect, means, now_and_then
from gatecast.nn.lstm import LSTM
from gatecast.nn.masks import only
from gatecast.nn.starting import RATES, Simple, median, starting_points

LENT = 0.1
"""Share of the other quantiles' gradient that reaches the features they share with the median."""


@dataclass(frozen=True)
class Shape:
    """Everything needed to build a network."""

    context: int  # C, what the simple forecasts are estimated from
    reach: int  # R, the newest steps of it that the LSTM reads, a multiple of the segment
    horizon: int  # H
    segment: int  # p
    dates: int  # features of the calendar
    probabilities: tuple[float, ...]  # Q increasing ones including 0.5, or () for one point
    seasons: tuple[int, ...]  # of the simple forecasts to start from; none: start from zero
    hidden: int
    layers: int
    dropout: float
    skip: bool = False  # a linear path to the horizon from what the LSTM reads
    plain: bool = False  # whether its output is only a mixture of the simple forecasts
    logs: bool = False  # whether it reads and forecasts logarithms
    gated: bool = True  # whether the mixture of the simple forecasts depends on the window
    intermittent: bool = False  # whether the target is often zero: the median of the context is added
    known: int = 0  # features known over the horizon: holidays and covariates
    past: int = 0  # features known up to the cutoff
    embeddings: int = 0  # rows of the embedding table of static values
    embedded: bool = True  # whether a layer reads each segment first, or the LSTM reads it directly
    adjusted: bool = False  # whether the values without their season are read beside them
    winsorized: bool = False  # whether spikes are cut off before anything else
    block: int = 0  # steps of the horizon decoded at once; 0: as many as a segment has
    geometric: bool = False  # whether distances from the median are averaged geometrically over networks

    @property
    def features(self) -> int:
        """F, all features, in this order."""
        return self.dates + self.known + self.past

    @property
    def recurrent(self) -> int:
        """L, recurrent steps per window."""
        return self.reach // self.segment

    @property
    def draws(self) -> bool:
        """Whether training draws from torch's own random numbers, as the LSTM does between its layers."""
        return self.dropout > 0 and self.layers > 1

    def to_dict(self) -> dict[str, Any]:
        """As JSON-compatible values."""
        return asdict(self)


class Network(nn.Module):
    """Scaled context and calendar to scaled quantiles, non-crossing by construction.

    Attributes:
        chance: what training draws random numbers from; None for torch's own.
    """

    chance: torch.Generator | None = None

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        assert shape.reach % shape.segment == 0
        assert 0 < shape.reach <= shape.context
        assert shape.block >= 0
        assert max(shape.seasons, default=0) <= shape.context
        assert shape.seasons or not (shape.plain or shape.adjusted)
        assert shape.embedded or not shape.embeddings
        self.shape = shape
        self.outputs = max(1, len(shape.probabilities))
        self.block = min(shape.block or shape.segment, shape.horizon) if shape.segment > 1 else shape.horizon
        self.blocks = -(-shape.horizon // self.block)
        width = shape.hidden
        self.static = nn.EmbeddingBag(shape.embeddings, width, mode="sum") if shape.embeddings else None
        self.effect = Effect(shape.features) if shape.known + shape.past else None
        inputs = shape.segment * (2 + shape.adjusted + shape.dates) + shape.known + shape.past
        self.embed = nn.Linear(inputs, width) if shape.embedded else None
        self.lstm = LSTM(width if shape.embedded else inputs, width, shape.layers, shape.dropout)
        self.place = nn.Parameter(torch.empty(self.blocks, width))
        if not self.place.is_meta:  # there, drawing would load torch's compiler, which takes a second
            with torch.no_grad():
                nn.init.normal_(self.place).div_(width**0.5)
        self.read = nn.Linear(width + self.block * shape.dates + shape.known, width)
        self.write = None if shape.plain else nn.Linear(width, self.block)
        self.widen = nn.Linear(width, self.block * (self.outputs - 1)) if self.outputs > 1 else None
        self.skip = nn.Linear(shape.reach, shape.horizon) if shape.skip else None
        points = len({1, *shape.seasons}) + len(RATES) * len(shape.seasons) + shape.intermittent
        self.mix = nn.Linear(width, points + 1) if shape.seasons else None  # their logits, and the share of the drift
        if self.static is not None:
            nn.init.zeros_(self.static.weight)  # an unknown value counts as the average
        for layer in (self.write, self.widen, self.skip, self.mix):
            if layer is not None:
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(
        self,
        x: Float[Tensor, "*n C"],
        observed: Bool[Tensor, "*n C"],
        calendar: Float[Tensor, "*n T F"],
        static: tuple[Int[Tensor, "B L"], Float[Tensor, "B L"]] | None = None,
        simple: Simple | None = None,
    ) -> Float[Tensor, "*n H Q"]:
        """Quantiles over the horizon in the scaled unit; Q = 1 for a point forecast.

        The axes n before the last are those of a batch, B; where networks are stacked (`nn.stacked`), M and B.

        Args:
            static: rows of the embedding table of static values, and their weights.
            simple: the result of `simple`, if known already.
        """
        x, effect = self.cleaned(x, observed, calendar)
        about = self.about(static)
        if simple is None and self.shape.seasons:
            simple = self.simple(x, observed)
        _, state = self.lstm(self.segments(x, observed, calendar, about, simple))
        h = state.h if about is None else state.h + about
        read = self.decode(h, calendar[..., self.shape.context :, :])
        parts = [] if effect is None else [effect]
        if self.write is not None:
            parts.append(self.steps(self.write(read))[..., 0])
        if self.skip is not None:
            parts.append(self.skip(x[..., -self.shape.reach :]))
        if self.mix is not None and simple is not None:
            mix = self.mix(h if self.shape.gated else torch.zeros_like(h))
            parts.append(self.start(simple, mix))
        return self.spread(reduce(torch.add, parts), read)

    def cleaned(
        self, x: Float[Tensor, "*n C"], observed: Bool[Tensor, "*n C"], calendar: Float[Tensor, "*n T F"]
    ) -> tuple[Float[Tensor, "*n C"], Float[Tensor, "*n H"] | None]:
        """The context without the effect of covariates, 0 where not observed; and their effect on the horizon."""
        if self.effect is None:
            return only(x, observed), None
        effect = self.effect(calendar)
        past, ahead = effect[:, : self.shape.context], effect[:, self.shape.context :]
        return only(x - past, observed), ahead

    def about(self, static: tuple[Int[Tensor, "B L"], Float[Tensor, "B L"]] | None) -> Float[Tensor, "B U"] | None:
        """The sum of the static embeddings; some dropped in training, so that the network can do without."""
        if self.static is None or static is None:
            return None
        summed: Tensor = self.static(static[0], per_sample_weights=self.dropped(static[1]))
        return summed

    def simple(self, x: Float[Tensor, "B C"], observed: Bool[Tensor, "B C"]) -> Simple:
        """The simple forecasts, which have no learned weights; members that read the same values share them."""
        horizon, reach = self.shape.horizon, self.shape.reach if self.shape.adjusted else 0
        points, drift, adjusted = starting_points(only(x, observed), observed, self.shape.seasons, horizon, reach)
        if self.shape.intermittent:
            points = torch.cat([points, median(x, observed, horizon)], -1)
        return points, drift, adjusted

    def start(self, simple: Simple, mix: Float[Tensor, "*n K+1"]) -> Float[Tensor, "*n H"]:
        """The mixture of the simple forecasts, plus the weighted drift."""
        points, drift, _ = simple
        return (points @ mix[..., :-1, None].softmax(-2))[..., 0] + mix[..., -1:] * drift

    def segments(
        self,
        x: Float[Tensor, "*n C"],
        observed: Bool[Tensor, "*n C"],
        calendar: Float[Tensor, "*n T F"],
        about: Float[Tensor, "B U"] | None = None,
        simple: Simple | None = None,
    ) -> Float[Tensor, "*n L _"]:
        """What the LSTM reads: the L = R / p segments, embedded or not."""
        joined = self.cut(self.shape.segment, x, observed, calendar, simple)
        if self.embed is None:
            return joined
        embedded: Tensor = self.embed(joined)
        if about is not None:
            embedded = embedded + about[:, None]
        return self.dropped(functional.gelu(embedded))

    def cut(
        self,
        p: int,
        x: Float[Tensor, "*n C"],
        observed: Bool[Tensor, "*n C"],
        calendar: Float[Tensor, "*n T F"],
        simple: Simple | None,
    ) -> Float[Tensor, "*n L I"]:
        """Values, mask and calendar of each segment of p steps.

        It may hold the seasonally adjusted values, too, which are hard to tell from a few seasons
        (Smyl, "ES-RNN", IJF 36(1), 2020, reads them alone).
        """
        many, reach = x.shape[:-1], self.shape.reach
        read = (x, observed.to(x.dtype), *((simple[2],) if simple and self.shape.adjusted else ()))
        parts = [part[..., -reach:].reshape(*many, -1, p) for part in read]
        past = calendar[..., self.shape.context - reach : self.shape.context, :]
        parts.append(past[..., : self.shape.dates].reshape(*many, reach // p, -1))
        if self.effect is not None:
            known, measured = means(past[..., self.shape.dates :], p).tensor_split((self.shape.known,), -1)
            parts += [known, now_and_then(measured, self.chance) if self.training else measured]
        return torch.cat(parts, -1)

    def decode(self, h: Float[Tensor, "*n U"], calendar: Float[Tensor, "*n H F"]) -> Float[Tensor, "*n N U"]:
        """Features of each block of the horizon: the state after the newest step, its position and calendar."""
        first, last = self.shape.dates, self.shape.dates + self.shape.known
        dates, known = calendar[..., :first], calendar[..., first:last]
        padded = functional.pad(dates, (0, 0, 0, self.blocks * self.block - self.shape.horizon))
        states = h[..., None, :] + self.place
        parts = [states, padded.reshape(*h.shape[:-1], self.blocks, -1)]
        if self.shape.known:
            parts.append(means(known, self.block))
        return self.dropped(functional.gelu(self.read(torch.cat(parts, -1))))

    def dropped(self, features: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Dropout (Srivastava et al., JMLR 15, 2014), by the network's own random numbers."""
        if not self.training or not self.shape.dropout:
            return features
        kept = 1 - self.shape.dropout
        return features * torch.empty_like(features).bernoulli_(kept, generator=self.chance).div_(kept)

    def steps(self, blocks: Float[Tensor, "*n N W"]) -> Float[Tensor, "*n H K"]:
        """The blocks laid end to end, cut where the horizon ends."""
        return blocks.reshape(*blocks.shape[:-2], self.blocks * self.block, -1)[..., : self.shape.horizon, :]

    def spread(self, point: Float[Tensor, "*n H"], read: Float[Tensor, "*n N U"]) -> Float[Tensor, "*n H Q"]:
        """The median, and positive distances accumulated from it in both directions."""
        if self.widen is None:
            return point[..., None]
        middle = self.shape.probabilities.index(0.5)
        lent = torch.lerp(read.detach(), read, LENT)
        gaps = functional.softplus(self.steps(self.widen(lent)) - 2)  # start narrow: about 0.13 of the scale
        apart = point.detach()[..., None] + gaps @ _cumulated(self.outputs, middle, gaps.device)
        return torch.select_scatter(apart, point, -1, middle)


@cache
def _cumulated(outputs: int, middle: int, device: torch.device) -> Float[Tensor, "G Q"]:
    """The matrix that turns gaps between quantiles into distances from the median."""
    with torch.inference_mode(False):  # kept for training, too
        quantile = torch.arange(outputs, device=device)
        gap = quantile[:-1, None]
        above, below = (middle <= gap) & (gap < quantile), (quantile <= gap) & (gap < middle)
        return above.float() - below.float()
