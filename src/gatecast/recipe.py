"""Settings that were left open, chosen from the data's own facts. The rules are explained in docs/recipe.md."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

from gatecast import points
from gatecast.config import Config, ModelSettings, TrainingSettings
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Panel
from gatecast.data.split import Split
from gatecast.errors import UsageError
from gatecast.facts import BATCH, LEAST_STEPS, MANY_VALUES, Facts, facts_of
from gatecast.nn.network import Shape

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
ZEROS = 0.1
"""Share of training values from which on zeros are many."""


class Manner(NamedTuple):
    """How to train: windows a batch, most batches an epoch, share of features dropped."""

    batch: int
    steps: int
    dropout: float


MUCH, LITTLE, FAR_AHEAD = Manner(128, 75, 0.0), Manner(BATCH, 100, 0.2), Manner(64, 50, 0.5)
"""Where there is much to learn from, many series; where there is little; and a long horizon from few series, of
which less can be learned before noise is."""
VERY_MANY, LONGER = 10_000, 200
"""Series of which more can be learned than of others, and batches of an epoch then, if that costs no network."""
AGAIN = 8
"""Times that an epoch may pass over the windows of a small table."""
MEMBERS = 4
"""Most networks that are trained where nobody says how many."""
OVERHEAD, SPEED = 8e-3, 4.5e10
"""Seconds a batch beside the arithmetic, operations a second: of a slow processor."""


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
        UsageError: a batch is to hold more synthetic windows than windows.
    """
    facts = facts_of(config, panel, split)
    manner = FAR_AHEAD if facts.far else MUCH if facts.much else LITTLE
    rules = {
        "scaling": facts.scaling,
        "logs": facts.scaling == "window" and facts.varied and facts.positive,
        "hidden": 128 if facts.classic or facts.values > MANY_VALUES else 64,
        "gated": facts.varied,
        "intermittent": not facts.classic and facts.zeros >= ZEROS,
        "skip": not (facts.many or facts.classic),
        "plain": facts.varied and not facts.much and not facts.classic,
        "dropout": manner.dropout,
        "calendar": not facts.far,
    }
    steps = min(manner.steps, max(-(-facts.windows // BATCH), LEAST_STEPS if facts.small else 1))
    batch = config.training.batch or manner.batch
    synthetic = _synthetic(facts, batch, steps)
    if (given := config.training.synthetic or 0) > batch:
        raise UsageError(f"--synthetic {given} is more than the {batch} windows of a batch: give fewer, or --batch")
    trained = {"batch": batch, "steps": steps, "synthetic": synthetic, "by_series": facts.far}
    resolved = config.having("model", **_open(config.model, rules), **_read(config.model, facts))
    resolved = resolved.having("training", **_open(config.training, trained))
    members = config.model.members or (1 if facts.classic else _members(resolved))
    longer = resolved.having("training", steps=LONGER)
    if config.training.steps is None and facts.much and facts.series >= VERY_MANY and _members(longer) >= members:
        resolved = longer
    return resolved.having("model", members=members), facts.season


def _open(settings: ModelSettings | TrainingSettings, rules: Mapping[str, Any]) -> dict[str, Any]:
    """What the rules say of the settings that nobody gave."""
    return {name: value for name, value in rules.items() if getattr(settings, name) is None}


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
        intermittent=bool(model.intermittent and model.seasons),
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
