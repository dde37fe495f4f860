"""Several networks that read the same windows; their forecasts are averaged in the target's unit."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gatecast.data.scaling import Scaler, Unit, moves
from gatecast.data.windows import Inputs, Read, Truth
from gatecast.nn.devices import answers_at_once
from gatecast.nn.network import Network, Shape
from gatecast.nn.stacked import can_stack, joined, stacked
from gatecast.nn.starting import Simple
from gatecast.nn.winsorizing import winsorized
from gatecast.side_by_side import Found, side_by_side

Pick = Callable[[Tensor, Tensor], Tensor]
Parts = Mapping[int, tuple[Float[Tensor, "B _"], Bool[Tensor, "B _"]]]

LARGE = 512
"""Units from which on an operation is large enough to be shared out among threads."""
FEW = 4
"""Most windows that the members forecast as one network."""


@dataclass(frozen=True)
class Reading:
    """Windows as members read them: their unit, the inputs in it, the simple forecasts; in learning, the truth."""

    unit: Unit
    read: Read
    simple: Simple | None
    goal: Truth | None = None


Do = Callable[[Network, Tensor, Reading], Found]


class Ensemble(nn.Module):
    """Members that differ in reach, segment, in what they learn, in reading logarithms or not, and in first weights."""

    def __init__(self, networks: Iterable[Network]) -> None:
        super().__init__()
        self.networks = tuple(networks)
        self.members = nn.ModuleList(self.networks)  # the same ones, under the name that their weights are saved by

    @cached_property
    def leading(self) -> Network:
        """The member whose LSTM reads the most steps, in the shortest segments: there is most to see in it."""
        return max(self.networks, key=lambda network: (network.shape.reach, -network.shape.segment))

    @cached_property
    def alike(self) -> tuple[tuple[int, ...], ...]:
        """Groups of members that read windows in the same unit, by their places."""
        found: dict[tuple[object, ...], tuple[int, ...]] = {}
        for place, shape in enumerate(member.shape for member in self.networks):
            key = shape.reach, shape.logs, shape.seasons
            found[key] = *found.get(key, ()), place
        return tuple(found.values())

    @property
    def shape(self) -> Shape:
        """Of the leading member; all have one horizon and one set of probabilities."""
        return self.leading.shape

    def read(self, inputs: Inputs, scaler: Scaler, *, at_once: bool = False) -> tuple[Reading, ...]:
        """What the members read, for each group of `alike`; it takes no weights.

        Args:
            at_once: whether the groups are worked out side by side.
        """
        inputs = calmed(self.shape, inputs)
        parts = {reach: measured(inputs, reach) for reach in {member.shape.reach for member in self.networks}}
        tasks = [partial(_read, self.networks[places[0]], inputs, scaler, parts) for places in self.alike]
        return tuple(side_by_side(tasks) if at_once else [task() for task in tasks])

    def each(self, readings: Iterable[Reading], do: Do[Found], *, at_once: bool = False) -> list[Found]:
        """Call `do` with each member, its output and what it read; side by side, if at once."""

        def work(member: Network, reading: Reading) -> Found:
            return do(member, member(*reading.read, reading.simple), reading)

        tasks = [partial(work, *pair) for pair in zip(self.networks, self.of_each(readings), strict=True)]
        return side_by_side(tasks, large=self.shape.hidden >= LARGE) if at_once else [task() for task in tasks]

    def of_each(self, readings: Iterable[Reading]) -> list[Reading]:
        """What each member reads, as its group of `alike` does."""
        found = {place: one for places, one in zip(self.alike, readings, strict=True) for place in places}
        return [found[place] for place in range(len(found))]

    def forward(self, inputs: Inputs, scaler: Scaler) -> Float[Tensor, "B H Q"]:
        """The members' quantiles averaged, in the target's unit."""
        learning = self.training or torch.is_grad_enabled()
        if len(inputs.context) <= FEW and not learning and answers_at_once(inputs.context.device) and self.stacked:
            found = self._as_one(self.stacked, inputs, scaler)
        else:
            found = self.each(self.read(inputs, scaler), lambda _, out, reading: reading.unit.values(out))
        return together(found, self.shape.geometric)

    @cached_property
    def stacked(self) -> Network | None:
        """All members as one network, if that is quicker."""
        alone = len(self.networks) == 1 or not all(can_stack(member.shape) for member in self.networks)
        return None if alone else stacked(self.networks)

    def train(self, mode: bool = True) -> Self:
        """As ever; weights that are learned are to be stacked anew."""
        if mode:
            self.__dict__.pop("stacked", None)
        return super().train(mode)

    def _as_one(self, one: Network, inputs: Inputs, scaler: Scaler) -> list[Float[Tensor, "B H Q"]]:
        """What `each` gives for the quantiles in the target's unit."""
        readings = self.of_each(self.read(inputs, scaler))
        reads, starts = [one.read for one in readings], [one.simple for one in readings if one.simple]
        x = torch.stack([read[0] for read in reads])
        simple = joined(starts) if starts else None
        out = one(x, inputs.observed.expand_as(x), inputs.calendar.expand(len(x), -1, -1, -1), None, simple)
        return [reading.unit.values(part) for reading, part in zip(readings, out, strict=True)]


def _read(member: Network, inputs: Inputs, scaler: Scaler, parts: Parts) -> Reading:
    """What a member reads; the simple forecasts, if they depend on that alone."""
    unit = scaler(*parts[member.shape.reach], inputs.series, member.shape.logs)
    read = inputs.scaled(unit)
    simple = member.simple(*read[:2]) if member.shape.seasons and member.effect is None else None
    return Reading(unit, read, simple)


def calmed(shape: Shape, inputs: Inputs) -> Inputs:
    """Windows as members read them, without spikes unless they are to be read as they are."""
    if not shape.winsorized:
        return inputs
    return replace(inputs, context=winsorized(inputs.context, inputs.observed, shape.seasons))


def unit_of(shape: Shape, inputs: Inputs, scaler: Scaler) -> Unit:
    """The unit that a member reads windows in."""
    return scaler(*measured(inputs, shape.reach), inputs.series, shape.logs)


def measured(inputs: Inputs, reach: int) -> tuple[Float[Tensor, "B _"], Bool[Tensor, "B _"]]:
    """The steps that the unit of each window is estimated from: those the LSTM reads, or all if these are constant."""
    context, observed = inputs.context, inputs.observed
    newest, recent = context[:, -reach:], observed[:, -reach:]
    if reach == context.shape[1]:
        return context, observed
    awake = moves(newest, recent)
    if answers_at_once(recent.device) and awake.all():
        return newest, recent
    new = torch.arange(context.shape[1], device=context.device) >= context.shape[1] - reach
    return context, observed & (~awake | new)


def together(quantiles: Sequence[Float[Tensor, "B H Q"]], geometric: bool = True) -> Float[Tensor, "B H Q"]:
    """The members' quantiles averaged, the lowest and the highest left out where there are four or more.

    The median is the mean of the medians; the distance of each other quantile from it is the geometric mean of those
    of the members, so that one whose errors it takes to be many times as large does not decide alone.

    Args:
        geometric: if not, each quantile is the mean of the members' (Vincent 1912).
    """
    outputs = quantiles[0].shape[-1]
    if not geometric or outputs == 1 or len(quantiles) == 1:
        return torch.stack(_inner(quantiles)).mean(0)
    middle = outputs // 2  # probabilities lie symmetrically about that of the median
    every = torch.stack([*quantiles])
    medians, tiny = every[..., middle, None], torch.finfo(every.dtype).tiny
    away = torch.stack(_inner((every - medians).abs().unbind()))
    roots = away.clamp(min=tiny).pow(1 / len(away)).masked_fill(away == 0, 0)  # the root of 0 itself has no slope
    sides = torch.sign(torch.arange(outputs, device=every.device) - middle)
    return torch.stack(_inner(medians.unbind())).mean(0) + sides * roots.prod(0)


def _inner(parts: Sequence[Tensor]) -> list[Tensor]:
    """Elementwise all but the lowest and the highest, if there are four or more; all of fewer."""
    if len(parts) < 4:
        return [*parts]
    return _without(_without(parts, torch.minimum, torch.maximum), torch.maximum, torch.minimum)


def _without(parts: Sequence[Tensor], first: Pick, last: Pick) -> list[Tensor]:
    """All but the last in order, elementwise; sorting them all would take torch ten times as long."""
    left, out = [], parts[0]
    for part in parts[1:]:
        left.append(first(out, part))
        out = last(out, part)
    return left
