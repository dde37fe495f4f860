"""The facts about the data that the recipe's rules use, taken from the training part alone."""

from dataclasses import dataclass

import numpy as np
import torch

from gatecast.config import Config
from gatecast.data.arrays import Values
from gatecast.data.encoding import Encoder
from gatecast.data.frequency import DAY, LONGEST_SEASON
from gatecast.data.panel import Panel
from gatecast.data.scaling import deviation
from gatecast.data.split import Split
from gatecast.data.windows import Windows
from gatecast.errors import DataError, plural, some
from gatecast.nn.starting import seasonal_repeat
from gatecast.rhythm import LONGEST, SAMPLED, by_clock
from gatecast.settings import Scaling

WORTH = 0.98
"""A season longer than LONGEST_SEASON, such as a week of five minutes, is worth its context if repeating it has at most
WORTH of the error of any other on the training rows."""
MANY_SERIES, MANY_VALUES = 10, 30_000
"""Number of series from which on common patterns can be learned (that seasons are factors, say), and of training values
above which there is much to learn: 128 units beat 64, and many series need no dropout."""
LONG = 96
"""Number of steps from which on a horizon is long."""
LEAST_STEPS, BATCH = 40, 64
"""Least batches per epoch, and windows per batch: synthetic windows fill them if the table has too few of its own."""
LEAST_SEASONS, UNSTEADY, EXPLAINED = 20, 0.25, 0.5
"""Of LEAST_SEASONS or more, the spreads are taken to be shares of the level if they differ by UNSTEADY of their mean or
more, and their ratios to the level by less than EXPLAINED of that."""


@dataclass(frozen=True)
class Facts:
    """The facts that the rules use.

    Attributes:
        longest: steps of the longest series.
        values: number of training values, of all series together.
        room: steps of the median series before a horizon.
        windows: number of training windows.
        bare: whether there are no static, past or future columns.
        positive: whether all training values lie above zero.
        proportional: whether the spread of few series is a share of their level, see `_proportional`.
        zeros: share of the training values that is zero.
        seasons: the seasons of the frequency that the history allows.
        daily: whether the longest of them is a day.
        season: that of the naive forecast, whose repetition is best.
        clock: whether what repeats does so by the clock, see `rhythm.by_clock`.
    """

    classic: bool
    scaling: Scaling
    horizon: int
    series: int
    longest: int
    values: int
    room: int
    windows: int
    bare: bool
    positive: bool
    proportional: bool
    zeros: float
    seasons: tuple[int, ...]
    daily: bool
    season: int
    clock: bool

    @property
    def many(self) -> bool:
        """Whether there are enough series to learn what they share."""
        return self.series >= MANY_SERIES

    @property
    def much(self) -> bool:
        """Whether there is much to learn from."""
        return self.many and self.values > MANY_VALUES and not self.classic

    @property
    def small(self) -> bool:
        """Whether the table cannot fill the shortest epoch, so that synthetic series do."""
        return self.windows < LEAST_STEPS * BATCH and self.bare and self.scaling == "window" and not self.classic

    @property
    def varied(self) -> bool:
        """Whether windows come from many series, the table's own or synthetic ones."""
        return self.many or self.small

    @property
    def far(self) -> bool:
        """Whether few series are forecast far ahead."""
        return not self.many and self.horizon >= LONG and not self.classic


def facts_of(config: Config, panel: Panel, split: Split) -> Facts:
    """The facts of a panel and its training part.

    Raises:
        DataError: no series is long enough to train, validate and test on.
    """
    horizon = config.forecast.horizon
    usable, longest = split.usable(horizon), int(panel.lengths.max())
    if not usable.any():
        raise DataError(_too_little(horizon, longest, panel.names))
    room = max(1, int(np.median(panel.lengths)) - horizon)
    clock = by_clock(panel, split.train) if config.model.clock is None else config.model.clock
    seasons, season = _seasons(panel, split, horizon, room // 2, clock)
    least, zeros = _least_and_zeros(panel, split)
    classic = config.model.recipe == "classic"
    return Facts(
        classic=classic,
        scaling=config.model.scaling or ("minmax" if classic else "window"),
        horizon=horizon,
        series=len(panel),
        longest=longest,
        values=int((split.train - split.firsts + 1)[usable].sum()),
        room=room,
        windows=len(split.training(horizon)),
        bare=not (config.source.static or config.source.past or config.source.future),
        positive=least > 0,
        proportional=least > 0 and len(panel) < MANY_SERIES and _proportional(panel, split, min(seasons, default=1)),
        zeros=zeros,
        seasons=seasons,
        daily=bool(seasons) and seasons[-1] == DAY / panel.grid.frequency.seconds <= LONGEST_SEASON,
        season=season,
        clock=clock,
    )


def _too_little(horizon: int, longest: int, names: list[str]) -> str:
    most, which = (longest - 1) // 3, f" (of {some(names)})" if len(names) > 1 else ""
    return (
        f"too little history: training, validating and testing {plural(horizon, 'step')} ahead "
        f"needs {3 * horizon + 1:,} steps, and the longest series has {longest:,}{which}; "
        + (f"ask for a horizon of {most:,} or less, or " if most else "")
        + "bring more rows"
    )


def _seasons(panel: Panel, split: Split, horizon: int, most: int, clock: bool) -> tuple[tuple[int, ...], int]:
    """The frequency's seasons of at most `most` steps that are worth the context they need.

    Returns:
        these seasons, and that of the naive forecast.
    """
    shown = [season for season in panel.grid.frequency.seasons if season <= min(most, LONGEST)]
    errors = _repeated_errors(panel, split, [1, *shown], horizon, clock)
    best, *others = sorted(errors, key=errors.__getitem__)
    worth = best if others and errors[best] < WORTH * errors[others[0]] else 0
    seasons = tuple(season for season in shown if season <= LONGEST_SEASON or season == worth)
    return seasons, min((1, *seasons), key=errors.__getitem__)


def _proportional(panel: Panel, split: Split, season: int) -> bool:
    """Whether the spread within seasons is a share of their level, so that logarithms make it even (Guerrero 1993)."""
    found = [_variation(values, season) for values in panel.begun(split.train)]
    spreads, shares = np.mean([both for both in found if both] or [(0, 0)], 0)
    return bool(spreads >= UNSTEADY and shares < EXPLAINED * spreads)


def _variation(values: Values, season: int) -> tuple[float, float] | None:
    """How much the standard deviation within a season, and its ratio to the mean, differ between seasons without gaps.

    Returns:
        Their standard deviations as shares of their means; None if there is too little to tell from.
    """
    seasons = values[len(values) % season :].reshape(-1, season).astype(np.float64)
    seasons = seasons[~np.isnan(seasons).any(1)]
    spread = seasons.std(1)
    if len(seasons) < LEAST_SEASONS or not spread.any():
        return None
    share = spread / seasons.mean(1)
    return spread.std() / spread.mean(), share.std() / share.mean()


def _repeated_errors(panel: Panel, split: Split, seasons: list[int], horizon: int, clock: bool) -> dict[int, float]:
    """Scaled absolute error of repeating each season, summed over training windows that have all seasons."""
    reach = max(seasons)
    span = split.training(horizon, reach) or split.training(horizon)
    windows = Windows.of(panel, Encoder(clock=clock), reach, horizon, torch.device("cpu"))
    series, cutoffs = span.at(span.spread(SAMPLED))
    inputs, truth = windows.inputs(series, cutoffs), windows.truth(series, cutoffs)
    _, scale = deviation(inputs.context, inputs.observed)

    def error(season: int) -> float:
        repeated = seasonal_repeat(inputs.context, inputs.observed, season, horizon)
        wrong = ((repeated - truth.values).abs() / scale).masked_fill(~truth.observed, 0)
        return float(wrong.sum())

    return {season: error(season) for season in seasons}


def _least_and_zeros(panel: Panel, split: Split) -> tuple[float, float]:
    """The smallest training value, and the share of training values that are zero."""
    found = [(np.nanmin(part), np.sum(part == 0), np.isfinite(part).sum()) for part in panel.begun(split.train)]
    least, zeros, values = np.array(found, np.float64).T
    return float(least.min()), float(zeros.sum() / values.sum())
