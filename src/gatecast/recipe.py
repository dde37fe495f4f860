"""Settings that were left open, chosen from the data's own facts. The rules are explained in docs/recipe.md."""

from itertools import chain

import numpy as np
import torch

from gatecast import points
from gatecast.config import Config, ModelSettings
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Panel
from gatecast.data.scaling import deviation
from gatecast.data.windows import Split, Windows
from gatecast.errors import DataError, some
from gatecast.nn.network import Shape, seasonal_repeat

LONGEST_SEASON = 400
"""Seasons of more steps (a year of days is within) would need too long a context."""
LONGEST_SEGMENT = 48
CLASSIC_MOST = 168
"""Longest context of the classic recipe, which pays a recurrent step for every value."""
SAMPLED = 1_024


def bounds(config: Config) -> tuple[float, ...]:
    """The probabilities of the bounds of every level, and the median."""
    return tuple(sorted({0.5, *chain.from_iterable(map(points.bounds, config.forecast.level))}))


def probabilities(config: Config) -> tuple[float, ...]:
    """What the network is trained to give: the bounds, the quartiles and the median; one point if classic."""
    return () if config.model.recipe == "classic" else tuple(sorted({*bounds(config), 0.25, 0.75}))


def resolve(config: Config, panel: Panel, split: Split) -> tuple[Config, int]:
    """The settings with nothing left open, and the season of the naive forecast to compare with.

    Raises:
        DataError: no series is long enough to train, validate and test on.
    """
    horizon = config.forecast.horizon
    usable = split.usable(horizon)
    if not usable.any():
        longest = int(panel.lengths.max())
        most = (longest - 1) // 3
        raise DataError(
            f"too little history: training, validating and testing {horizon} steps ahead "
            f"needs {3 * horizon + 1:,} steps, and the longest series has {longest:,} (of {some(panel.names)}); "
            + (f"ask for a horizon of {most:,} or less, or " if most else "")
            + "bring more rows"
        )
    trained = (split.train - split.firsts + 1)[usable]
    room = max(1, int(np.median(trained)) - horizon)
    seasons = [season for season in panel.grid.frequency.seasons if season <= min(room // 2, LONGEST_SEASON)]
    given, classic = config.model, config.model.recipe == "classic"
    repeated = given.seasons if given.seasons is not None else (() if classic else tuple(seasons or [1]))
    wanted = given.context or _context(horizon, seasons, room, classic)
    segment = min(given.segment or (1 if classic else _segment(seasons)), wanted)
    context = -(-max(wanted, *repeated, 1) // segment) * segment
    scaling = given.scaling or ("minmax" if classic else "window")
    resolved = config.having("model", context=context, segment=segment, seasons=repeated, scaling=scaling)
    return resolved, best_season(panel, split, [1, *seasons], horizon)


def shape(config: Config, encoder: Encoder) -> Shape:
    """The network of resolved settings."""
    model: ModelSettings = config.model
    assert model.context
    assert model.segment
    assert model.seasons is not None
    return Shape(
        context=model.context,
        horizon=config.forecast.horizon,
        segment=model.segment,
        dates=encoder.dates,
        probabilities=probabilities(config),
        seasons=model.seasons,
        hidden=model.hidden,
        layers=model.layers,
        dropout=model.dropout,
        skip=model.recipe == "segment",
        embeddings=encoder.embeddings,
        known=encoder.known,
        past=encoder.past,
    )


def best_season(panel: Panel, split: Split, seasons: list[int], horizon: int) -> int:
    """The season whose repetition forecasts the training rows best (mean absolute error over scale)."""
    reach = max(seasons)
    span = split.training(horizon)
    windows = Windows.of(panel, Encoder(), reach, horizon, torch.device("cpu"))
    series, cutoffs = span.at(span.spread(SAMPLED))
    inputs, truth = windows.inputs(series, cutoffs), windows.truth(series, cutoffs)
    _, scale = deviation(inputs.context, inputs.observed)

    def error(season: int) -> float:
        repeated = seasonal_repeat(inputs.context, inputs.observed, season, horizon)
        wrong = ((repeated - truth.values).abs() / scale).masked_fill(~truth.observed, 0)
        return float(wrong.sum())

    return min(seasons, key=error)


def _segment(seasons: list[int]) -> int:
    """The shortest season: a day of hours, a week of days, a year of months."""
    return min(seasons[0], LONGEST_SEGMENT) if seasons else 1


def _context(horizon: int, seasons: list[int], room: int, classic: bool) -> int:
    """The longest season, and twice the horizon, as far as the history allows."""
    if classic:
        return min(max(2 * horizon, 24), CLASSIC_MOST, room)
    return min(max(*seasons, 2 * horizon, 16), room)
