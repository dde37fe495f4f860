"""What held-back windows teach about a forecast, and how it differs for windows with little history."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gatecast.nn.devices import answers_at_once, vector
from gatecast.nn.masks import gapless

RARE = 0.05
"""Share of the held-back windows up to which a history counts as shorter than theirs."""
HIDDEN = 256
"""Most held-back windows whose older values are hidden, for each length of history that is left."""


class Corrections(NamedTuple):
    """The weight of the networks against the naive forecast, and the factors of intervals.

    Attributes:
        share: see `calibration.share_of`; of each window where they differ.
        stretch: see `calibration.stretches`.
        flat_stretch: the same for windows whose context is constant.
    """

    share: float | Float[Tensor, "B 1"]
    stretch: Float[Tensor, "*B H P"]
    flat_stretch: Float[Tensor, "*B P"]

    def at(self, observed: Bool[Tensor, "B C"], short: Sequence[Self]) -> "Corrections":
        """These, or in windows with little history those for it; in between for a length in between.

        Args:
            short: corrections for 1, 2, 4, ... observed values; from the next power of two on, these hold.
        """
        if not short or gapless(observed):
            return self
        counts = observed.sum(1)
        if answers_at_once(counts.device) and int(counts.amin()) >= 2 ** len(short):
            return self
        place = counts.clamp(min=1).log2().clamp(max=len(short))
        low = place.long().clamp(max=len(short) - 1)
        shares, *factors = zip(*short, self, strict=True)
        tables = (vector(shares, self.stretch.device)[:, None], *map(torch.stack, factors))
        return Corrections(*(_between(table, low, place - low) for table in tables))

    def on(self, device: torch.device) -> "Corrections":
        """A copy on a device."""
        return self._replace(stretch=self.stretch.to(device), flat_stretch=self.flat_stretch.to(device))


def _between(table: Float[Tensor, "N *d"], low: Int[Tensor, "B"], part: Float[Tensor, "B"]) -> Float[Tensor, "B *d"]:
    """Part of the way from a row to the next one."""
    part = part.view(-1, *[1] * (table.dim() - 1))
    return table[low] * (1 - part) + table[low + 1] * part


def lengths(history: Int[Tensor, "W"]) -> list[int]:
    """1, 2, 4, ... observed values, up to half of what nearly all held-back windows have."""
    least = int(history.sort().values[int(RARE * len(history))])
    return [2**power for power in range(max(least.bit_length() - 1, 0))]
