"""Series laid by the wall clock: what repeats at an hour of the clock stays in its place when the clocks change.

Steps of an hour or less count elapsed time, so after a clock change yesterday's eight o'clock is 23 or 25 steps
back. Laid by the clock it is always 24: an hour that the clock skips holds what comes next, and of one that it
shows twice the first is kept. A step on the clock is the number that a grid without a zone would give it.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from gatecast.data.arrays import Indices, offsets_of
from gatecast.data.dates import Grid, Steps
from gatecast.data.frequency import DAY
from gatecast.data.panel import Panel

AT_ONCE = 1_000_000
"""Values that are laid by the clock at once."""


@dataclass(frozen=True)
class GridClock:
    """Where steps of elapsed time lie on a clock that is changed now and then.

    Attributes:
        changes: the first step after each change.
        ahead: steps that the clock is ahead of the grid before, between and after the changes.
    """

    changes: Int[Tensor, "X"]
    ahead: Int[Tensor, "X+1"]

    @classmethod
    @lru_cache(maxsize=8)  # the series of a table end together, and are forecast again
    def of(cls, grid: Grid, first: int, last: int) -> Self | None:
        """The clock of a grid between two steps; None if it is not changed by a step or more, then or the day before.

        What it shows at the first step may be shown for the second time, or come after an hour that it skips.
        """
        changes, ahead = grid.clock(first - int(DAY / grid.frequency.seconds), last)
        return cls(torch.from_numpy(changes), torch.from_numpy(ahead)) if len(changes) else None

    def to(self, device: torch.device) -> Self:
        """A copy on a device."""
        return replace(self, changes=self.changes.to(device), ahead=self.ahead.to(device))

    def shown(self, steps: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
        """What the clock shows at each step."""
        return steps + self.ahead[torch.bucketize(steps, self.changes, right=True)]

    @property
    def most(self) -> int:
        """Steps by which it is ahead at times more than at others."""
        return int(self.ahead.max() - self.ahead.min())

    @property
    def until(self) -> Int[Tensor, "X"]:
        """What the clock shows last before each change."""
        return self.changes - 1 + self.ahead[:-1]

    def reached(self, steps: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
        """The latest that the clock has shown by each step."""
        before = torch.bucketize(steps, self.changes, right=True)
        shown, latest = steps + self.ahead[before], self.until[(before - 1).clamp(min=0)]
        return torch.where(before > 0, torch.maximum(shown, latest), shown)

    def steps(self, shown: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
        """The first step at which the clock had reached what it shows."""
        before = torch.bucketize(shown, self.until)
        first = self.changes[(before - 1).clamp(min=0)]
        elapsed = shown - self.ahead[before]
        return torch.where(before > 0, torch.maximum(elapsed, first), elapsed)


def laid(panel: Panel, clock: GridClock, since: int) -> Panel:
    """A panel on the steps of a clock, of which nothing before one of these is needed."""
    beside = panel.covariates
    starts, offsets, places = _places(clock, since, panel.starts, panel.offsets)
    if beside is not None:
        _, ends, rows = _places(clock, since, panel.starts, beside.offsets)
        beside = replace(beside, values=beside.values[rows], offsets=ends)
    return replace(
        panel,
        grid=replace(panel.grid, timezone=None),
        values=panel.values[places],
        starts=starts,
        offsets=offsets,
        filled=None if panel.filled is None else panel.filled[places],
        covariates=beside,
    )


def _places(clock: GridClock, since: int, starts: Steps, offsets: Indices) -> tuple[Steps, Indices, Indices]:
    """The first step of each series on the clock, the offsets there, and which value each of its steps holds."""
    ends = starts + np.diff(offsets) - 1
    before, firsts, lasts = (clock.reached(torch.from_numpy(part)).numpy() for part in (starts - 1, starts, ends))
    firsts = np.minimum(firsts, before + 1)  # an hour that is skipped before a series begins holds its first value
    firsts = np.minimum(np.maximum(firsts, since), lasts)
    there = offsets_of(lasts - firsts + 1)
    places = np.empty(there[-1], np.int64)
    for part in np.array_split(np.arange(len(starts)), min(-(-len(places) // AT_ONCE), len(starts))):
        rows = slice(there[part[0]], there[part[-1] + 1])
        series = np.repeat(part, np.diff(there)[part])
        shown = torch.from_numpy(np.arange(rows.start, rows.stop) + (firsts - there[:-1])[series])
        steps = np.maximum(clock.steps(shown).numpy(), starts[series])  # a series may begin in an hour shown again
        places[rows] = steps - starts[series] + offsets[series]
    return firsts, there, places
