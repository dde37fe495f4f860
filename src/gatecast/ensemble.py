"""Several networks that read the same windows; what they say is averaged in the target's unit."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gatecast.data.scaling import Scaler, Unit, moves
from gatecast.data.windows import Inputs, Read
from gatecast.nn.devices import answers_at_once
from gatecast.nn.network import Network, Shape
from gatecast.nn.starting import Simple

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
        """The first of those whose LSTM reads the most steps."""
        return max(self.networks, key=lambda network: network.shape.reach)

    @property
    def shape(self) -> Shape:
        """Of the leading member; all have one horizon and one set of probabilities."""
        return self.leading.shape

    def each(self, inputs: Inputs, scaler: Scaler) -> Iterator[tuple[Float[Tensor, "B H Q"], Unit]]:
        """What each member says, and the unit it says it in; what members of one unit have in common is made once."""
        parts = {reach: measured(inputs, reach) for reach in {member.shape.reach for member in self.networks}}
        made: dict[tuple[object, ...], tuple[Unit, Read, Simple | None]] = {}
        for member in self.networks:
            shape = member.shape
            key = shape.reach, shape.logs, shape.seasons
            if key not in made:
                unit = scaler(*parts[shape.reach], inputs.series, shape.logs)
                read = inputs.scaled(unit)
                made[key] = unit, read, member.simple(*read[:2]) if shape.seasons and member.effect is None else None
            unit, read, simple = made[key]
            yield member(*read, simple), unit

    def forward(self, inputs: Inputs, scaler: Scaler) -> Float[Tensor, "B H Q"]:
        """The members' quantiles averaged, in the target's unit."""
        return together([unit.values(out) for out, unit in self.each(inputs, scaler)])


def unit_of(shape: Shape, inputs: Inputs, scaler: Scaler) -> Unit:
    """The unit that a member reads windows in."""
    return scaler(*measured(inputs, shape.reach), inputs.series, shape.logs)


def measured(inputs: Inputs, reach: int) -> tuple[Float[Tensor, "B _"], Bool[Tensor, "B _"]]:
    """What the unit of each window is read off: the steps that an LSTM reads; all, where those do not move."""
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
    """All but what comes last, at each place by itself; torch sorts several parts ten times as slowly."""
    left, out = [], parts[0]
    for part in parts[1:]:
        left.append(first(out, part))
        out = last(out, part)
    return left
