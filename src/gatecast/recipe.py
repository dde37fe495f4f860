"""Settings that were left open, chosen from the data's own facts. The rules are explained in docs/recipe.md."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch

from gatecast import points
from gatecast.config import Config, ModelSettings, Scaling, TrainingSettings
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Panel
from gatecast.data.scaling import deviation
from gatecast.data.split import Split
from gatecast.data.windows import Windows
from gatecast.errors import DataError, some
from gatecast.nn.network import Shape
from gatecast.nn.starting import seasonal_repeat

LONGEST_SEASON, LONGEST_WEEK, WORTH = 400, 2_016, 0.98
"""Seasons of more steps (a year of days is within) need a long context. One, as a week of five minutes, is worth it
where its repetition has such a share of the error of any other on the training rows."""
LONGEST_SEGMENT = 48
TREND, LONGEST_CONTEXT = 128, 512
"""Steps that simple forecasts are estimated from at least, if there are as many; and at most."""
CLASSIC_MOST = 168
"""Longest reach of the classic recipe, which pays a recurrent step for every value."""
PER_STEP = 100
"""Training values that a step of a reach beyond the needed needs: fewer, and longer ones overfit."""
READABLE = 16
"""Recurrent steps that a season may take to be read whole."""
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
VERY_MANY, LONGER = 10_000, 200
"""Series of which more can be learned than of others, and batches of an epoch then, if that costs no network."""
LEAST_STEPS = 40
"""Batches of an epoch at least: synthetic windows fill them where the table has too few of its own."""
AGAIN = 8
"""Times that an epoch may pass over the windows of a small table."""
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


@dataclass(frozen=True)
class Facts:
    """What the rules go by."""

    classic: bool
    scaling: Scaling
    horizon: int
    series: int
    longest: int  # steps of the longest series
    values: int  # to train on, of all series together
    room: int  # steps before a horizon, of the median series
    windows: int  # to train on
    bare: bool  # nothing is known beside the target
    seasons: tuple[int, ...]  # that the history allows

    @property
    def many(self) -> bool:
        """Whether there are enough series to learn what they share."""
        return self.series >= SOME

    @property
    def much(self) -> bool:
        """Whether there is much to learn from."""
        return self.many and self.values > MANY and not self.classic

    @property
    def small(self) -> bool:
        """Whether the table does not fill the least of batches, and synthetic series do."""
        return self.windows < LEAST_STEPS * LITTLE.batch and self.bare and self.scaling == "window" and not self.classic

    @property
    def far(self) -> bool:
        """Whether few series are forecast far ahead."""
        return not self.many and self.horizon >= LONG and not self.classic


def resolve(config: Config, panel: Panel, split: Split) -> tuple[Config, int]:
    """The settings with nothing left open, and the season of the naive forecast to compare with.

    Raises:
        DataError: no series is long enough to train, validate and test on.
    """
    facts = _facts(config, panel, split)
    manner = FAR_AHEAD if facts.far else MUCH if facts.much else LITTLE
    rules = {
        "scaling": facts.scaling,
        "logs": facts.scaling == "window" and (facts.many or facts.small) and _positive(panel, split),
        "hidden": 128 if facts.classic or facts.values > MANY else 64,
        "gated": facts.many or facts.small,
        "skip": not (facts.many or facts.classic),
        "plain": (facts.many or facts.small) and not facts.much and not facts.classic,
        "dropout": manner.dropout,
        "calendar": not facts.far,
    }
    steps = min(manner.steps, max(-(-facts.windows // LITTLE.batch), LEAST_STEPS if facts.small else 1))
    synthetic = _synthetic(facts, manner.batch, steps)
    trained = {"batch": manner.batch, "steps": steps, "synthetic": synthetic, "by_series": facts.far}
    resolved = config.having("model", **_open(config.model, rules), **_read(config.model, facts))
    resolved = resolved.having("training", **_open(config.training, trained))
    members = config.model.members or (1 if facts.classic else _members(resolved))
    longer = resolved.having("training", steps=LONGER)
    if config.training.steps is None and facts.much and facts.series >= VERY_MANY and _members(longer) >= members:
        resolved = longer
    errors = repeated_errors(panel, split, [1, *facts.seasons], facts.horizon)
    season = min(errors, key=errors.__getitem__)
    return resolved.having("model", members=members), season


def _open(settings: ModelSettings | TrainingSettings, rules: Mapping[str, Any]) -> dict[str, Any]:
    """What the rules say of the settings that nobody gave."""
    return {name: value for name, value in rules.items() if getattr(settings, name) is None}


def _facts(config: Config, panel: Panel, split: Split) -> Facts:
    horizon = config.forecast.horizon
    usable, longest = split.usable(horizon), int(panel.lengths.max())
    if not usable.any():
        most = (longest - 1) // 3
        raise DataError(
            f"too little history: training, validating and testing {horizon} steps ahead "
            f"needs {3 * horizon + 1:,} steps, and the longest series has {longest:,} (of {some(panel.names)}); "
            + (f"ask for a horizon of {most:,} or less, or " if most else "")
            + "bring more rows"
        )
    trained = (split.train - split.firsts + 1)[usable]
    room = max(1, int(np.median(panel.lengths)) - horizon)
    seasons = _seasons(panel, split, horizon, room // 2)
    classic = config.model.recipe == "classic"
    return Facts(
        classic=classic,
        scaling=config.model.scaling or ("minmax" if classic else "window"),
        horizon=horizon,
        series=len(panel),
        longest=longest,
        values=int(trained.sum()),
        room=room,
        windows=len(split.training(horizon)),
        bare=not (config.source.static or config.source.past or config.source.future),
        seasons=seasons,
    )


def _seasons(panel: Panel, split: Split, horizon: int, most: int) -> tuple[int, ...]:
    """Those of the frequency that a history of twice `most` steps shows, and that are worth the context they need."""
    shown = [season for season in panel.grid.frequency.seasons if season <= min(most, LONGEST_WEEK)]
    seasons = tuple(season for season in shown if season <= LONGEST_SEASON)
    if len(shown) > len(seasons):
        errors = repeated_errors(panel, split, [1, *shown], horizon)
        best, second = sorted(errors, key=errors.__getitem__)[:2]
        seasons += (best,) if best > LONGEST_SEASON and errors[best] < WORTH * errors[second] else ()
    return seasons


def _read(given: ModelSettings, facts: Facts) -> dict[str, Any]:
    """What a forecast is made from, what the LSTM reads of it, how, and the seasons of the simple forecasts."""
    seasons = given.seasons
    if seasons is None:
        seasons = () if facts.classic else facts.seasons or (1,)
    segment = given.segment or (1 if facts.classic else _segment(facts.seasons))
    reach = given.reach or given.context or _reach(facts, segment)
    segment = min(segment, reach)
    reach = -(-max(reach, *_readable(seasons, segment)) // segment) * segment
    context = given.context or (0 if facts.classic else min(_lookback(facts.seasons), facts.longest))
    return {
        "seasons": seasons,
        "segment": segment,
        "reach": reach,
        "context": max(context // segment * segment, reach, -(-max(seasons, default=1) // segment) * segment),
    }


def _synthetic(facts: Facts, batch: int, steps: int) -> int:
    """Windows of a batch that a small table leaves to synthetic ones: half of them, or more if it hardly has any."""
    once, often = (-(-passes * facts.windows // steps) for passes in (1, AGAIN))
    return batch - min(batch, max(once, min(often, batch // 2))) if facts.small else 0


def shapes(config: Config, encoder: Encoder) -> list[Shape]:
    """The networks of resolved settings: half of them read logarithms, half fewer steps, half learn a mixture alone."""
    model: ModelSettings = config.model
    assert model.context
    assert model.reach
    assert model.segment
    assert model.seasons is not None
    assert model.members
    assert model.hidden
    least = max(*_readable(model.seasons, model.segment), model.reach // 2)
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
        skip=bool(model.skip),
        gated=bool(model.gated),
        embeddings=encoder.embeddings,
        embedded=model.segment > 1 or encoder.embeddings > 0,  # of one value the LSTM's own weights are a layer
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


def _positive(panel: Panel, split: Split) -> bool:
    """Whether all values of the training rows lie above zero."""
    return all(least > 0 for least in panel.least(split.train))


def _segment(seasons: tuple[int, ...]) -> int:
    """The shortest season: a day of hours, a week of days, a year of months."""
    return min(seasons[0], LONGEST_SEGMENT) if seasons else 4


def _readable(seasons: tuple[int, ...], segment: int) -> tuple[int, ...]:
    """Those that the LSTM reads whole, 1 among them; a year of days, the simple forecasts alone look back to."""
    return 1, *(season for season in seasons if season <= READABLE * segment)


def _lookback(seasons: tuple[int, ...]) -> int:
    """Steps to estimate simple forecasts from: some seasons, long enough for a trend."""
    return max(TREND, min(3 * max(seasons, default=1), LONGEST_CONTEXT))


def _reach(facts: Facts, segment: int) -> int:
    """Steps for the LSTM: the longest season, or twice the horizon; more where there is much to learn from.

    A week of days at least where few series are forecast far ahead, and as far as the history allows.
    """
    horizon, longest = facts.horizon, max(_readable(facts.seasons, segment))
    if facts.classic:
        return min(max(2 * horizon, 24), CLASSIC_MOST, facts.room)
    least = max(longest, 16, 2 * horizon if longest == 1 else min(2 * horizon, 4 * longest))
    least = max(least, 7 * min(facts.seasons, default=1)) if facts.far else least
    most = min(facts.values // PER_STEP, RECURRENT * segment, (3 if horizon >= longest else 2) * longest)
    return min(max(least, most), facts.room)


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
