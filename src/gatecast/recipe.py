"""Settings that were left open, chosen from the data's own facts. The rules are explained in docs/recipe.md."""

from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch

from gatecast import points
from gatecast.config import Config, ModelSettings
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Panel
from gatecast.data.scaling import deviation
from gatecast.data.windows import Split, Windows
from gatecast.errors import DataError, some
from gatecast.nn.network import Shape
from gatecast.nn.starting import seasonal_repeat

LONGEST_SEASON = 400
"""Seasons of more steps (a year of days is within) would need too long a context."""
LONGEST_SEGMENT = 48
TREND, LONGEST_CONTEXT = 128, 512
"""Steps that simple forecasts are estimated from at least, if there are as many; and at most."""
CLASSIC_MOST = 168
"""Longest reach of the classic recipe, which pays a recurrent step for every value."""
PER_STEP = 100
"""Training values that a step of a reach beyond the needed needs: fewer, and longer ones overfit."""
RECURRENT = 64
"""Most recurrent steps of a reach beyond the needed."""
MANY = 30_000
"""Training values from which on 128 units beat 64, and of many series nothing need be dropped."""
SOME = 10
"""Series from which on logarithms are read, factors being what series of different level share, and
mixtures depend on the window."""
LONG = 96
"""Steps from which on a horizon is long."""


class Manner(NamedTuple):
    """How to train: windows a batch, most batches an epoch, share of features dropped."""

    batch: int
    steps: int
    dropout: float


MUCH, LITTLE, FAR_AHEAD = Manner(128, 75, 0.0), Manner(64, 100, 0.2), Manner(64, 50, 0.5)
"""Where there is much to learn from, many series; where there is little; and a long horizon from few series, of
which less can be learned before noise is."""
MEMBERS = 4
"""Most networks that are trained where nobody says how many."""
OVERHEAD, SPEED = 8e-3, 4.5e10
"""Seconds a batch beside the arithmetic, operations a second: of a slow processor."""
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
    segment = given.segment or (1 if classic else _segment(seasons))
    far = len(panel) < SOME and not classic and horizon >= LONG
    much = len(panel) >= SOME and not classic and trained.sum() > MANY
    manner = FAR_AHEAD if far else MUCH if much else LITTLE
    reach = given.reach or given.context or _reach(horizon, seasons, segment, room, int(trained.sum()), classic, far)
    segment = min(segment, reach)
    reach = -(-max(reach, *repeated, 1) // segment) * segment
    context = given.context or (0 if classic else min(_lookback(seasons), int(panel.lengths.max())))
    scaling = given.scaling or ("minmax" if classic else "window")
    hidden = given.hidden or (128 if classic or trained.sum() > MANY else 64)
    resolved = config.having(
        "model",
        context=max(context // segment * segment, reach),
        reach=reach,
        segment=segment,
        seasons=repeated,
        scaling=scaling,
        logs=given.logs if given.logs is not None else scaling == "window" and _positive(panel, split),
        hidden=hidden,
        gated=given.gated if given.gated is not None else len(panel) >= SOME,
        plain=given.plain if given.plain is not None else len(panel) >= SOME and not much and not classic,
        dropout=given.dropout if given.dropout is not None else manner.dropout,
        calendar=given.calendar if given.calendar is not None else not far,
    ).having(
        "training",
        batch=config.training.batch or manner.batch,
        steps=config.training.steps or min(manner.steps, -(-len(split.training(horizon)) // LITTLE.batch)),
    )
    members = given.members or (1 if classic else _members(resolved))
    resolved = resolved.having("model", members=members)
    return resolved, best_season(panel, split, [1, *seasons], horizon)


def shapes(config: Config, encoder: Encoder) -> list[Shape]:
    """The networks of resolved settings: half of them read logarithms, half fewer steps, half learn a mixture alone."""
    model: ModelSettings = config.model
    assert model.context
    assert model.reach
    assert model.segment
    assert model.seasons is not None
    assert model.members
    assert model.hidden
    least = max(*model.seasons, model.reach // 2, 1)
    short = -(-least // model.segment) * model.segment
    longest = Shape(
        context=model.context,
        reach=model.reach,
        horizon=config.forecast.horizon,
        segment=model.segment,
        dates=encoder.dates,
        probabilities=probabilities(config),
        seasons=model.seasons,
        hidden=model.hidden,
        layers=model.layers,
        dropout=model.dropout or 0.0,
        skip=model.recipe == "segment" and not model.gated,
        gated=bool(model.gated),
        embeddings=encoder.embeddings,
        known=encoder.known,
        past=encoder.past,
    )
    return [
        replace(
            longest,
            logs=bool(model.logs) and number % 2 == 0,
            reach=(model.reach, short)[number // 2 % 2],
            plain=bool(model.plain and model.seasons) and number % 4 in (1, 2),
        )
        for number in range(model.members)
    ]


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


def _positive(panel: Panel, split: Split) -> bool:
    """Whether there are some series, and all values of their training rows lie above zero."""
    counts = np.clip(split.train - panel.starts + 1, 0, panel.lengths)
    return len(panel) >= SOME and all(
        np.nanmin(panel.series(i)[: counts[i]]) > 0 for i in np.flatnonzero(counts).tolist()
    )


def _segment(seasons: list[int]) -> int:
    """The shortest season: a day of hours, a week of days, a year of months."""
    return min(seasons[0], LONGEST_SEGMENT) if seasons else 4


def _lookback(seasons: list[int]) -> int:
    """Steps to estimate simple forecasts from: some seasons, long enough for a trend."""
    return max(TREND, min(3 * max(seasons, default=1), LONGEST_CONTEXT))


def _reach(horizon: int, seasons: list[int], segment: int, room: int, values: int, classic: bool, far: bool) -> int:
    """Steps for the LSTM: the longest season, or twice the horizon; more where there is much to learn from.

    Args:
        values: to train on, of all series together.
        far: whether few series are forecast far ahead, which takes a week of days, if not more.
    """
    if classic:
        return min(max(2 * horizon, 24), CLASSIC_MOST, room)
    longest = max(seasons, default=1)
    least = max(longest, 16, 2 * horizon if longest == 1 else min(2 * horizon, 4 * longest))
    least = max(least, 7 * min(seasons, default=1)) if far else least
    most = min(values // PER_STEP, RECURRENT * segment, (3 if horizon >= longest else 2) * longest)
    return min(max(least, most), room)


def _members(config: Config) -> int:
    """As many as a slow processor trains in time; the clock has no say, so that the same comes out again."""
    assert config.model.reach
    assert config.model.segment
    assert config.model.hidden
    steps, width = config.model.reach // config.model.segment, config.model.hidden * config.model.layers
    assert config.training.batch
    assert config.training.steps
    batches = config.training.epochs * config.training.steps * (2 if config.training.refit else 1)
    each = batches * (OVERHEAD + steps * config.training.batch * width**2 * 48 / SPEED)  # 2 · 8 U² forward, 3 in all
    return int(min(max(config.training.time_limit / each, 1), MEMBERS))
