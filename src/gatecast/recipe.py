"""Chooses settings left open from facts about the data. The rules are explained in docs/recipe.md."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple, cast

from gatecast import points
from gatecast.config import Config
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Panel
from gatecast.data.split import Split
from gatecast.errors import UsageError
from gatecast.facts import BATCH, LEAST_STEPS, MANY_VALUES, Facts, facts_of
from gatecast.nn.network import Shape
from gatecast.nn.stacked import STEPS
from gatecast.nn.starting import is_rare
from gatecast.settings import ModelSettings, TrainingSettings

LONGEST_SEGMENT = 48
SHORTEST_LOOKBACK, LONGEST_LOOKBACK, YEARS, DAYS = 128, 512, 5, 7
"""Least (if the series has that many) and most steps that the simple forecasts are estimated from; of a year of days,
so many years instead, and where a day is the longest season so many days."""
CLASSIC_MOST = 168
"""Longest reach of the classic recipe, which takes one recurrent step per value."""
PER_STEP = 100
"""Training values required per step of a reach longer than needed; with fewer, a longer reach overfits."""
READABLE = 16
"""Most recurrent steps of a season that the LSTM reads whole."""
RECURRENT = 64
"""Most recurrent steps of a reach longer than needed."""
FINER, LEAST_SEGMENT = 4, 3
"""Half of the networks read segments so many times finer, if these have LEAST_SEGMENT steps."""
ZEROS = 0.1
"""Share of zeros in the training values from which on the target counts as intermittent."""


class Sizes(NamedTuple):
    """The sizes that resolved settings hold."""

    context: int  # C
    reach: int  # R
    segment: int  # p
    hidden: int  # U
    batch: int  # windows
    steps: int  # batches per epoch


class Manner(NamedTuple):
    """How to train: windows per batch, most batches per epoch, share of features dropped."""

    batch: int
    steps: int
    dropout: float


MUCH, LITTLE, FAR_AHEAD = Manner(128, 75, 0.0), Manner(BATCH, 100, 0.2), Manner(64, 50, 0.5)
"""With much to learn from (many series); with little; and for a long horizon from few series,
which yield less before the network starts to learn noise."""
VERY_MANY, LONGER = 10_000, 200
"""Number of series from which on more can be learned, and batches per epoch then, if that costs no network."""
AGAIN = 8
"""How often an epoch may pass over the windows of a small table."""
MEMBERS = 4
"""Most networks trained if the number is not given."""
OVERHEAD, SPEED = 8e-3, 4.5e10
"""Of a slow processor: seconds per batch besides the arithmetic, and operations per second."""


def level_probabilities(config: Config) -> tuple[float, ...]:
    """The probabilities of the bounds of every level, and the median."""
    return tuple(sorted({0.5, *chain.from_iterable(map(points.bounds, config.forecast.level))}))


def probabilities(config: Config) -> tuple[float, ...]:
    """The probabilities the network is trained for: bounds, quartiles and median; none (one point) if classic."""
    return () if config.model.recipe == "classic" else tuple(sorted({*level_probabilities(config), 0.25, 0.75}))


def sizes(config: Config) -> Sizes:
    """The sizes of resolved settings, none of which is left open."""
    model, training = config.model, config.training
    found = model.context, model.reach, model.segment, model.hidden, training.batch, training.steps
    assert None not in found
    return Sizes(*cast("tuple[int, ...]", found))


def resolve(config: Config, panel: Panel, split: Split) -> tuple[Config, int]:
    """The settings with nothing left open, and the season of the naive forecast to compare against.

    Raises:
        DataError: no series is long enough to train, validate and test on.
        UsageError: a batch would hold more synthetic windows than it has windows.
    """
    facts = facts_of(config, panel, split)
    manner = FAR_AHEAD if facts.far else MUCH if facts.much else LITTLE
    rules = {
        "scaling": facts.scaling,
        "logs": facts.scaling == "window" and facts.positive and (facts.varied or facts.proportional),
        "hidden": 128 if facts.classic or facts.values > MANY_VALUES else 64,
        "gated": facts.varied,
        "intermittent": not facts.classic and facts.zeros >= ZEROS,
        "winsorized": not facts.classic and facts.zeros < ZEROS,
        "skip": not (facts.many or facts.classic),
        "plain": facts.varied and not facts.much and not facts.classic,
        "dropout": manner.dropout,
        "calendar": not facts.far,
        "clock": facts.clock,
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
    """The rules for the settings that were not given."""
    return {name: value for name, value in rules.items() if getattr(settings, name) is None}


def _read(given: ModelSettings, facts: Facts) -> dict[str, Any]:
    """The context, reach and segment of the LSTM, whether it reads adjusted values, seasons of the simple forecasts."""
    seasons = given.seasons
    if seasons is None:
        seasons = () if facts.classic else facts.seasons or (1,)
    segment = given.segment or (1 if facts.classic else _segment(facts.seasons))
    reach = given.reach or given.context or _reach(facts, segment)
    segment = min(segment, reach)
    reach = -(-max(reach, *_readable(seasons, segment)) // segment) * segment
    context = given.context or (0 if facts.classic else min(_lookback(facts), facts.longest))
    context = max(context // segment * segment, reach, -(-max(seasons, default=1) // segment) * segment)
    twice = any(1 < season <= context // 2 for season in seasons)
    return {
        "seasons": seasons,
        "segment": segment,
        "reach": reach,
        "context": context,
        "adjusted": twice if given.adjusted is None else given.adjusted,
    }


def _synthetic(facts: Facts, batch: int, steps: int) -> int:
    """Synthetic windows per batch for a small table: half of the batch, or more if the table has hardly any."""
    once, often = (-(-passes * facts.windows // steps) for passes in (1, AGAIN))
    return batch - min(batch, max(once, min(often, batch // 2))) if facts.small else 0


def shapes(config: Config, encoder: Encoder) -> list[Shape]:
    """The networks of resolved settings: half each may read logarithms, a shorter reach, finer segments.

    The latter may learn only a mixture.
    """
    model, size = config.model, sizes(config)
    assert model.seasons is not None
    assert model.members
    least = max(*_readable(model.seasons, size.segment), size.reach // 2)
    short = -(-least // size.segment) * size.segment
    longest = Shape(
        context=size.context,
        reach=size.reach,
        horizon=config.forecast.horizon,
        segment=size.segment,
        dates=encoder.dates,
        probabilities=probabilities(config),
        seasons=model.seasons,
        hidden=size.hidden,
        layers=model.layers,
        dropout=model.dropout or 0.0,
        skip=bool(model.skip),
        gated=bool(model.gated),
        intermittent=bool(model.intermittent and model.seasons),
        embeddings=encoder.embeddings,
        adjusted=bool(model.adjusted and model.seasons),
        winsorized=bool(model.winsorized),
        embedded=size.segment > 1 or encoder.embeddings > 0,  # for one value the LSTM's input weights suffice
        known=encoder.known,
        past=encoder.past,
        block=size.segment,
        geometric=not model.intermittent,  # of zeros a network may be certain
    )
    return [
        replace(
            longest,
            logs=bool(model.logs) and number % 2 == 0,
            reach=(size.reach, short)[number // 2 % 2],
            segment=_finer(size) if number % 4 in (1, 2) else size.segment,
            plain=bool(model.plain and model.seasons) and number % 4 in (1, 2),
        )
        for number in range(model.members)
    ]


def _segment(seasons: tuple[int, ...]) -> int:
    """The shortest season: a day of hours, a week of days, a year of months."""
    return min(seasons[0], LONGEST_SEGMENT) if seasons else 4


def _finer(size: Sizes) -> int:
    """The segment of half of the networks: averages of what differs are better.

    No finer than all of them can be forecast as one network; more steps would take more time in training, too.
    """
    fine = size.segment // FINER
    worth = size.segment % FINER == 0 and fine >= LEAST_SEGMENT and size.reach <= STEPS * fine
    return fine if worth else size.segment


def _readable(seasons: tuple[int, ...], segment: int) -> tuple[int, ...]:
    """The seasons that the LSTM reads whole, and 1; only the simple forecasts look back a year of days."""
    return 1, *(season for season in seasons if season <= READABLE * segment)


def _lookback(facts: Facts) -> int:
    """Steps to estimate the simple forecasts from: several seasons, long enough for a trend; of a rare one, YEARS."""
    longest, shortest = max(facts.seasons, default=1), min(facts.seasons, default=1)
    if is_rare(longest, shortest):
        return -(-YEARS * longest // shortest) * shortest
    return max(SHORTEST_LOOKBACK, DAYS * longest if facts.daily else min(3 * longest, LONGEST_LOOKBACK))


def _reach(facts: Facts, segment: int) -> int:
    """Steps for the LSTM: the longest season or twice the horizon; more if there is much to learn from.

    At least a week of days if few series are forecast far ahead; never more than the history allows.
    """
    horizon, longest = facts.horizon, max(_readable(facts.seasons, segment))
    if facts.classic:
        return min(max(2 * horizon, 24), CLASSIC_MOST, facts.room)
    least = max(longest, 16, 2 * horizon if longest == 1 else min(2 * horizon, 4 * longest))
    least = max(least, 7 * min(facts.seasons, default=1)) if facts.far else least
    most = min(facts.values // PER_STEP, RECURRENT * segment, (3 if horizon >= longest else 2) * longest)
    return min(max(least, most), facts.room)


def _members(config: Config) -> int:
    """As many as a slow processor trains in time; computed, not timed, so that the result is reproducible.

    It counts the recurrent steps of the coarse segments: with finer ones the clock may end training a little early.
    """
    size, training = sizes(config), config.training
    width, batches = size.hidden * config.model.layers, training.epochs * size.steps * (2 if training.refit else 1)
    read = size.batch * (size.reach // size.segment)
    each = batches * (OVERHEAD + read * width**2 * 48 / SPEED)  # 2 · 8 U² forward, 3 in all
    return int(min(max(training.time_limit / each, 1), MEMBERS))
