"""Dates to forecast → the cutoff that each is forecast from, and the steps ahead of it.

Dates after a series' last value are forecast from it, earlier ones from a cutoff before them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gatecast.data.arrays import Indices
from gatecast.data.dates import Date, Grid, Steps
from gatecast.data.panel import Panel
from gatecast.errors import UsageError, by_name, some
from gatecast.written import listed

FARTHEST = 1_000
"""Horizons ahead beyond which a date must be a mistake: each horizon is forecast from the one before."""
NO_DATE = np.datetime64("10000-01-01", "s")
"""The first date that neither Python nor BigQuery can represent."""


@dataclass(frozen=True)
class Asked:
    """What to forecast from where: for each series and date, the cutoff and the steps ahead of it."""

    cutoffs: Steps  # (S, D)
    ahead: Indices  # (S, D), 1 or more

    @cached_property
    def dates(self) -> Steps:
        """The step of each date, (S, D)."""
        return self.cutoffs + self.ahead


def next_steps(panel: Panel, steps: int, horizon: int) -> Asked:
    """The steps after the last value of each series.

    Raises:
        UsageError: these are far too many; no room is made for them.
    """
    lasts = panel.lasts[:, None]
    _refuse_far(panel, Asked(lasts, np.full_like(lasts, steps)), horizon)
    return Asked(*np.broadcast_arrays(lasts, np.arange(1, steps + 1)))


def at_dates(panel: Panel, steps: Sequence[int], horizon: int, as_of: int | None = None) -> Asked:
    """Some dates, in any order, for every series.

    A date after a series' last value is forecast from that value. Earlier dates are forecast from
    the step before the first of them; those beyond a horizon from there form the next group, which
    is forecast from the step before its first date, and so on.

    Raises:
        UsageError: a date is not after `as_of`, lies before the series began, or far too late.
    """
    dates = np.unique(np.array(steps, np.int64))
    if as_of is not None and dates[0] <= as_of:
        early = [panel.grid.label(int(date)) for date in dates if date <= as_of]
        raise UsageError(f"--as-of {panel.grid.label(as_of)} is not before {some(early)}: forecast dates come after it")
    groups: list[int] = []  # for each date the step before the first of its group
    for date in dates.tolist():
        groups.append(groups[-1] if groups and date <= groups[-1] + horizon else date - 1)
    lasts = panel.lasts[:, None]
    cutoffs = np.where(dates > lasts, lasts, groups)
    if late := np.flatnonzero(panel.starts >= dates[0]).tolist():
        names = (f"{panel.names[i]} (from {panel.grid.label(int(panel.starts[i]))})" for i in late)
        day = panel.grid.label(int(dates[0]))
        raise UsageError(f"{day} has no history before it in {some(names)}{by_name(len(panel) - len(late))}")
    asked = Asked(cutoffs, dates - cutoffs)
    _refuse_far(panel, asked, horizon)
    return asked


def read_dates(grid: Grid, dates: Date | Iterable[Date]) -> list[int]:
    """The steps of one or more dates.

    Raises:
        UsageError: there are none, or one is no date or off the grid.
    """
    steps = [grid.step(str(date)) for date in listed(dates)]
    if not steps:
        raise UsageError("no date was given: name at least one, as in 2015-01-31 14:30")
    return steps


def _refuse_far(panel: Panel, asked: Asked, horizon: int) -> None:
    """Refuse dates so far ahead that they must be mistakes."""
    if panel.grid.wall(asked.dates.max(keepdims=True)[0]) >= NO_DATE:
        raise UsageError(
            f"{int(asked.ahead.max()):,} steps ahead lie beyond the year 9999: is the date or horizon right?"
        )
    farthest = FARTHEST * horizon
    if asked.ahead.max() > farthest:
        series, at = np.unravel_index(asked.ahead.argmax(), asked.ahead.shape)
        date, ahead = panel.grid.label(int(asked.dates[series, at])), int(asked.ahead[series, at])
        others = int((asked.ahead <= farthest).all(1).sum())  # than those that ended long ago
        raise UsageError(
            f"{date} lies {ahead:,} steps after the last row of {panel.names[series]}; "
            f"no more than {FARTHEST:,} times the {horizon:,} trained are forecast: check the date{by_name(others)}"
        )
