"""Several networks that read the same windows; what they say is averaged in the target's unit."""

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatecast.data.scaling import Scaler, Unit
from gatecast.data.windows import Inputs
from gatecast.nn.network import Network, Shape


class Ensemble(nn.Module):
    """Members that differ in context, in reading logarithms or not, and in their first weights."""

    def __init__(self, networks: Iterable[Network]) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks)

    @property
    def networks(self) -> tuple[Network, ...]:
        """The members."""
        return tuple(cast(Network, member) for member in self.members)

    @property
    def leading(self) -> Network:
        """The first of those that read the longest context."""
        return max(self.networks, key=lambda network: network.shape.context)

    @property
    def shape(self) -> Shape:
        """Of the leading member; all have one horizon and one set of probabilities."""
        return self.leading.shape

    def each(self, inputs: Inputs, scaler: Scaler) -> Iterator[tuple[Float[Tensor, "B H Q"], Unit]]:
        """What each member says, and the unit it says it in."""
        for member in self.networks:
            own = inputs.newest(member.shape.context)
            unit = scaler(own.context, own.observed, own.series, member.shape.logs)
            yield member(*own.scaled(unit)), unit

    def forward(self, inputs: Inputs, scaler: Scaler) -> Float[Tensor, "B H Q"]:
        """The members' quantiles averaged, in the target's unit."""
        return together([unit.values(out) for out, unit in self.each(inputs, scaler)])


def together(quantiles: Sequence[Float[Tensor, "B H Q"]]) -> Float[Tensor, "B H Q"]:
    """Mean of each quantile over members (Vincent 1912), the lowest and the highest left out where there are four."""
    stacked = torch.stack(list(quantiles))
    return stacked.mean(0) if len(stacked) < 4 else stacked.sort(0).values[1:-1].mean(0)
