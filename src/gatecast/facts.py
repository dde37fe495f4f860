"""What the rules of the recipe go by: facts of the rows, by the training part alone."""

from dataclasses import dataclass

import numpy as np
import torch

from gatecast.config import Config, Scaling
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Panel
from gatecast.data.scaling import deviation
from gatecast.data.split import Split
from gatecast.data.windows import Windows
from gatecast.errors import DataError, some
from gatecast.nn.starting import seasonal_repeat

LONGEST_SEASON, LONGEST_WEEK, WORTH = 400, 2_016, 0.98
"""Seasons of more steps (a year of days is within) need a long context. One, as a week of five minutes, is worth it
where its repetition has such a share of the error of any other on the training rows."""
MANY_SERIES, MANY_VALUES = 10, 30_000
"""Series from which on what they share can be learned (that seasons are factors, say), and training values from
which on there is much to learn: 128 units beat 64, and of many series nothing need be dropped."""
LONG = 96
"""Steps from which on a horizon is long."""
LEAST_STEPS, BATCH = 40, 64
"""Batches of an epoch at least, and their windows: synthetic ones fill them where the table has too few of its own."""
SAMPLED = 1_024


@dataclass(frozen=True)
class Facts:
    """What the rules go by.

    Attributes:
        longest: steps of the longest series.
        values: to train on, of all series together.
        room: steps before a horizon, of the median series.
        windows: to train on.
        bare: whether nothing is known beside the target.
        positive: whether all training values lie above zero.
        zeros: share of the training values that is zero.
        seasons: those that the history allows.
        season: of the naive forecast, the one whose repetition is best.
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
    zeros: float
    seasons: tuple[int, ...]
    season: int

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
        """Whether the table does not fill the least epoch, and synthetic series do."""
        return self.windows < LEAST_STEPS * BATCH and self.bare and self.scaling == "window" and not self.classic

    @property
    def varied(self) -> bool:
        """Whether windows are of many series, the table's or synthetic ones."""
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
    seasons, season = _seasons(panel, split, horizon, room // 2)
    least, zeros = _sizes(panel, split)
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
        zeros=zeros,
        seasons=seasons,
        season=season,
    )


def _too_little(horizon: int, longest: int, names: list[str]) -> str:
    most = (longest - 1) // 3
    return (
        f"too little history: training, validating and testing {horizon} steps ahead "
        f"needs {3 * horizon + 1:,} steps, and the longest series has {longest:,} (of {some(names)}); "
        + (f"ask for a horizon of {most:,} or less, or " if most else "")
        + "bring more rows"
    )


def _seasons(panel: Panel, split: Split, horizon: int, most: int) -> tuple[tuple[int, ...], int]:
    """Seasons of the frequency that a history of twice `most` steps shows and that are worth the context they need.

    Returns:
        those, and the one of the naive forecast.
    """
    shown = [season for season in panel.grid.frequency.seasons if season <= min(most, LONGEST_WEEK)]
    errors = repeated_errors(panel, split, [1, *shown], horizon)
    best, *others = sorted(errors, key=errors.__getitem__)
    worth = best if others and errors[best] < WORTH * errors[others[0]] else 0
    seasons = tuple(season for season in shown if season <= LONGEST_SEASON or season == worth)
    return seasons, min((1, *seasons), key=errors.__getitem__)


def repeated_errors(panel: Panel, split: Split, seasons: list[int], horizon: int) -> dict[int, float]:
    """The absolute error over scale, summed over training windows that have all seasons, of each repeated."""
    reach = max(seasons)
    whole = split.training(horizon, reach)
    span = whole if len(whole) else split.training(horizon)
    windows = Windows.of(panel, Encoder(), reach, horizon, torch.device("cpu"))
    series, cutoffs = span.at(span.spread(SAMPLED))
    inputs, truth = windows.inputs(series, cutoffs), windows.truth(series, cutoffs)
    _, scale = deviation(inputs.context, inputs.observed)

    def error(season: int) -> float:
        repeated = seasonal_repeat(inputs.context, inputs.observed, season, horizon)
        wrong = ((repeated - truth.values).abs() / scale).masked_fill(~truth.observed, 0)
        return float(wrong.sum())

    return {season: error(season) for season in seasons}


def _sizes(panel: Panel, split: Split) -> tuple[float, float]:
    """The least of the training values, and the share of them that is zero."""
    found = [(np.nanmin(part), np.sum(part == 0), np.isfinite(part).sum()) for part in panel.begun(split.train)]
    least, zeros, values = np.array(found, np.float64).T
    return float(least.min()), float(zeros.sum() / values.sum())
