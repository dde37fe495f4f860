"""Several networks that read the same windows; their forecasts are averaged in the target's unit."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gatecast.data.scaling import Scaler, Unit, moves
from gatecast.data.windows import Inputs
from gatecast.nn.devices import answers_at_once
from gatecast.nn.network import Network, Shape
from gatecast.side_by_side import Found, side_by_side

Do = Callable[[Network, Tensor, Unit], Found]
Pick = Callable[[Tensor, Tensor], Tensor]


class Ensemble(nn.Module):
    """Members that differ in reach, in what they learn, in reading logarithms or not, and in their first weights."""

    def __init__(self, networks: Iterable[Network]) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks)

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """The members."""
        return tuple(cast(Network, member) for member in self.members)

    @cached_property
    def leading(self) -> Network:
        """The first member of those whose LSTM reads the most steps."""
        return max(self.networks, key=lambda network: network.shape.reach)

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

    def each(self, inputs: Inputs, scaler: Scaler, do: Do[Found], *, at_once: bool = False) -> list[Found]:
        """Call `do` with each member, its output and the unit of that; what members share is computed once.

        Args:
            at_once: whether members of different units run side by side.
        """
        parts = {reach: measured(inputs, reach) for reach in {member.shape.reach for member in self.networks}}

        def work(places: Sequence[int]) -> list[tuple[int, Found]]:
            first = self.networks[places[0]]
            unit = scaler(*parts[first.shape.reach], inputs.series, first.shape.logs)
            read = inputs.scaled(unit)
            simple = first.simple(*read[:2]) if first.shape.seasons and first.effect is None else None
            members = [(place, self.networks[place]) for place in places]
            return [(place, do(member, member(*read, simple), unit)) for place, member in members]

        tasks = [partial(work, places) for places in self.alike]
        found = dict(chain.from_iterable(side_by_side(tasks) if at_once else [task() for task in tasks]))
        return [found[place] for place in range(len(found))]

    def forward(self, inputs: Inputs, scaler: Scaler) -> Float[Tensor, "B H Q"]:
        """The members' quantiles averaged, in the target's unit."""
        return together(self.each(inputs, scaler, lambda _, out, unit: unit.values(out)))


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


def together(quantiles: Sequence[Float[Tensor, "B H Q"]]) -> Float[Tensor, "B H Q"]:
    """Mean of each quantile over members (Vincent 1912), the lowest and the highest left out where there are four."""
    if len(quantiles) >= 4:
        quantiles = _without(_without(quantiles, torch.minimum, torch.maximum), torch.maximum, torch.minimum)
    return torch.stack(list(quantiles)).mean(0)


def _without(parts: Sequence[Tensor], first: Pick, last: Pick) -> list[Tensor]:
    """All but the last in order, elementwise; sorting them all would take torch ten times as long."""
    left, out = [], parts[0]
    for part in parts[1:]:
        left.append(first(out, part))
        out = last(out, part)
    return left
