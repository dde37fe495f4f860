"""Settings left open, chosen from the data; and the two recipes as one network."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from gatecast import fit, recipe
from gatecast.config import Config
from gatecast.data.dates import Frequency, Grid
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Panel
from gatecast.data.split import split
from gatecast.ensemble import Ensemble
from gatecast.errors import DataError, UsageError
from gatecast.nn.network import Network


def panel_of(freq, *lengths, season=None):
    """Noise, or a pattern of that many steps that comes again and a little noise."""
    rng, time = np.random.default_rng(0), np.concatenate([np.arange(length) for length in lengths])
    pattern = rng.normal(size=season)[time % season] if season else 0
    values = (pattern + rng.normal(0, 0.1 if season else 1, len(time))).astype(np.float32)
    keys = pa.table({"name": [f"s{i}" for i in range(len(lengths))]})
    return Panel(Grid(Frequency.parse(freq)), keys, values, np.cumsum([0, *lengths]), np.zeros(len(lengths), np.int64))


def resolved(panel, horizon, **options):
    config = Config.from_options(None, {"horizon": horizon} | options)
    found, season = recipe.resolve(config, panel, split(panel, horizon, config.training.test))
    return found.model, season


def shapes_of(model, encoder):
    config = Config.from_options(None, {"horizon": 24, "batch": 64, "steps": 1})
    return recipe.shapes(config.model_copy(update={"model": model}), encoder)


@pytest.mark.parametrize(
    ("freq", "length", "horizon", "seasons", "reach", "segment"),
    [
        ("h", 1_000, 24, (24, 168), 168, 24),  # a day at once, over a week
        ("30min", 3_000, 48, (48, 336), 336, 48),
        ("15min", 5_000, 48, (96,), 96, 48),  # a week of quarters is too long; a day is read in two halves
        ("h", 200, 12, (24,), 24, 24),  # too short to learn a week from
        ("D", 2_000, 14, (7, 365), 28, 7),  # a year would be 53 weeks: simple forecasts alone look back to it
        ("D", 300, 14, (7,), 28, 7),
        ("B", 1_000, 10, (5, 261), 20, 5),
        ("W-MON", 300, 8, (52,), 96, 48),
        ("MS", 120, 12, (12,), 24, 12),
        ("QE", 60, 4, (4,), 16, 4),
        ("YS", 60, 6, (1,), 16, 4),
    ],
)
def test_choices_by_frequency(freq, length, horizon, seasons, reach, segment):
    model, _ = resolved(panel_of(freq, length), horizon)
    assert (model.seasons, model.reach, model.segment) == (seasons, reach, segment)
    assert model.scaling == "window"


@pytest.mark.parametrize(
    ("freq", "length", "season", "seasons", "reach"),
    [
        ("15min", 5_000, 672, (96, 672), 672),  # weekdays differ
        ("15min", 5_000, 96, (96,), 96),
        ("15min", 1_000, 672, (96,), 96),  # too short to see a week again
        ("5min", 9_000, 2_016, (288, 2_016), 288),  # simple forecasts alone look back to it
        ("min", 9_000, 1_440, (60, 1_440), 96),
        ("min", 9_000, None, (60,), 96),
    ],
)
def test_a_long_season_is_worth_its_context_where_its_repetition_forecasts_best(freq, length, season, seasons, reach):
    model, naive = resolved(panel_of(freq, length, season=season), 48)
    assert (model.seasons, model.reach) == (seasons, reach)
    assert naive == (seasons[-1] if season else 1)


def test_a_long_horizon_is_read_twice_over_as_far_as_the_history_allows():
    assert resolved(panel_of("h", 5_000), 200)[0].reach == 408  # 2 · 200 in whole days
    model, _ = resolved(panel_of("MS", 60), 19)  # 41 months lie before a horizon: in whole years, four
    assert (model.reach, model.seasons) == (48, (12,))
    assert resolved(panel_of("MS", 36), 11)[0].seasons == (12,)  # two years lie before a horizon, and in 34 do not
    assert resolved(panel_of("MS", 34), 11)[0].seasons == (1,)


def test_what_is_given_is_kept():
    given = {"context": 50, "reach": 30, "segment": 10, "seasons": (8,), "scaling": "robust"}
    model, _ = resolved(panel_of("h", 1_000), 24, **given)
    assert {name: getattr(model, name) for name in given} == given
    assert resolved(panel_of("h", 1_000), 24, context=50)[0].context == 168  # the seasons must be in it
    assert resolved(panel_of("h", 1_000), 24, context=50, segment=7, seasons=())[0].context == 56


@pytest.mark.parametrize(("freq", "season", "found"), [("h", 24, 24), ("h", 168, 168), ("D", 7, 7), ("MS", 12, 12)])
def test_the_naive_forecast_repeats_the_season_that_was_there(freq, season, found):
    assert resolved(panel_of(freq, 1_500, season=season), 12)[1] == found


@pytest.mark.parametrize("zone", ["Europe/Berlin", None])
def test_windows_are_laid_by_the_clock_of_a_zone(zone):
    panel = panel_of("h", 1_000)
    panel = replace(panel, grid=replace(panel.grid, timezone=zone))
    assert resolved(panel, 24)[0].clock is (zone is not None)
    assert resolved(panel, 24, clock=False)[0].clock is False


def test_the_season_is_judged_before_the_held_back_end():
    panel = panel_of("h", 1_000, season=24)
    panel.values[:400] = np.random.default_rng(1).normal(size=400).cumsum()  # wanders, and has no season yet
    assert resolved(panel, 12, test=0.3)[1] == 1
    assert resolved(panel, 12, test=0.1)[1] == 24


def test_too_short_a_history_says_what_would_do():
    panel = panel_of("h", 30, 20)
    text = (
        r"too little history: training, validating and testing 12 steps ahead needs 37 steps, "
        r"and the longest series has 30 \(of s0, s1\); ask for a horizon of 9 or less, or bring more rows"
    )
    with pytest.raises(DataError, match=text):
        resolved(panel, 12)
    assert resolved(panel, 9)[0].context  # what it says does


def test_a_history_that_no_horizon_fits_asks_for_rows_only():
    with pytest.raises(DataError) as caught:
        resolved(panel_of("h", 3), 1)
    assert "needs 4 steps, and the longest series has 3; bring more rows" in str(caught.value)
    assert "horizon of 1 or less" not in str(caught.value)


def test_probabilities_are_the_bounds_of_the_levels_and_the_quartiles():
    config = Config.from_options(None, {"level": [80, 95]})
    assert recipe.level_probabilities(config) == (0.025, 0.1, 0.5, 0.9, 0.975)
    assert recipe.probabilities(config) == (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
    assert recipe.probabilities(config.having("model", recipe="classic")) == ()


def test_classic_is_one_value_a_step_scaled_to_its_range_and_one_point():
    model, _ = resolved(panel_of("h", 1_000), 24, recipe="classic")
    assert (model.segment, model.scaling, model.context, model.seasons) == (1, "minmax", 48, ())
    assert resolved(panel_of("h", 5_000), 200, recipe="classic")[0].reach == 168  # a recurrent step for each value
    assert (model.members, model.logs) == (1, False)
    (shape,) = shapes_of(model, Encoder(("day", "week")))
    assert (shape.probabilities, shape.skip) == ((), False)
    network = Network(shape)
    read = network.segments(torch.zeros(2, 48), torch.ones(2, 48, dtype=torch.bool), torch.zeros(2, 72, 4))
    assert read.shape == (2, 48, 1 + 1 + 4)  # a value, whether it was observed, its calendar: nothing in between


def test_classic_is_the_same_code_with_other_settings():
    tiny = {"horizon": 6, "epochs": 1, "steps": 2, "hidden": 4}
    models = [fit(panel_of("h", 200, season=24), recipe=name, **tiny) for name in ("classic", "segment")]
    classic, segment = (model.final for model in models)
    assert type(classic.network) is type(segment.network) is Ensemble
    assert (len(classic.network.networks), len(segment.network.networks)) == (1, 4)
    one, other = classic.network.networks[0], segment.network.networks[0]
    assert (one.outputs, other.outputs) == (1, 7)
    assert classic.scaler.name == "minmax"
    assert set(other.state_dict()) - set(one.state_dict()) == {
        f"{layer}.{part}" for layer in ("embed", "skip", "mix", "widen") for part in ("weight", "bias")
    }
    assert set(one.state_dict()) <= set(other.state_dict())


@pytest.mark.parametrize(("every", "intermittent"), [(5, True), (9, True), (11, False), (500, False)])
def test_where_zeros_are_many_the_median_is_a_simple_forecast(every, intermittent):
    panel = panel_of("h", 1_000, 900)
    panel.values[::every] = 0
    panel.values[800:1_000] = panel.values[1_700:] = 0  # held back, and not to be known
    model, _ = resolved(panel, 12)
    assert model.intermittent is intermittent
    assert model.winsorized is not intermittent  # what is there now and then is no spike
    assert all(shape.geometric is shape.winsorized is not intermittent for shape in shapes_of(model, Encoder()))
    classic = resolved(panel, 12, recipe="classic")[0]
    assert classic.intermittent is classic.winsorized is False


def test_members_differ_in_reach_in_what_they_learn_and_in_reading_logarithms():
    panel = panel_of("h", *[1_000] * 50, season=24)
    above = replace(panel, values=panel.values - panel.values.min() + 1)
    for rows, logs in ((panel, False), (above, True)):
        model, _ = resolved(rows, 24, members=4)
        found = [(shape.reach, shape.plain, shape.logs) for shape in shapes_of(model, Encoder(("day", "week")))]
        assert model.logs is logs
        assert len(found) == model.members == 4
        assert len(set(found)) == (4 if logs else 2)
        assert {reach for reach, *_ in found} == {model.reach, 168}
        assert not model.plain
        assert all(read is logs for *_, read in found[::2])
        assert not any(read for *_, read in found[1::2])


@pytest.mark.parametrize(
    ("freq", "horizon", "options", "fine"),
    [
        ("ME", 18, {}, 3),
        ("W", 13, {}, 12),
        ("h", 24, {"segment": 48, "reach": 192}, 12),  # 16 recurrent steps
        ("h", 24, {"segment": 48, "reach": 240}, 48),  # 20 would take too long
        ("h", 24, {"segment": 10}, 10),
        ("QE", 8, {}, 4),  # one value at once is too few
        ("YE", 6, {}, 4),
        ("D", 7, {}, 7),
    ],
)
def test_half_of_the_members_read_finer_segments_where_these_are_long_enough_and_few(freq, horizon, options, fine):
    model, _ = resolved(panel_of(freq, *[300] * 50), horizon, members=8, **options)
    found = shapes_of(model, Encoder())
    assert [shape.segment for shape in found] == [model.segment, fine, fine, model.segment] * 2
    assert {Network(shape).block for shape in found} == {min(model.segment, 24)}
    assert not any(shape.reach % shape.segment for shape in found)


@pytest.mark.parametrize(
    ("count", "plain"), [(9, False), (10, True), (40, True), (43, False)]
)  # 700 values to learn from
def test_where_there_is_little_to_learn_from_half_learn_a_mixture_alone(count, plain):
    panel = panel_of("h", *[1_000] * count, season=24)
    model, _ = resolved(panel, 24, members=4)
    shapes = shapes_of(model, Encoder())
    assert [shape.plain for shape in shapes] == [False, plain, plain, False]
    assert resolved(panel, 24, plain=not plain)[0].plain is not plain


def test_logarithms_are_read_only_where_all_training_values_lie_above_zero():
    values = 5 + panel_of("h", 500, season=24).values
    for place, logs in ((100, False), (499, True)):  # the last is in the test part
        panel = panel_of("h", *[500] * 10)
        panel.values[:] = np.tile(values, 10)
        assert resolved(panel.take(np.arange(9)), 24)[0].logs is False  # too few to share factors
        panel.values[place] = 0
        assert resolved(panel, 24)[0].logs is logs
    assert resolved(panel, 24, logs=False)[0].logs is False


@pytest.mark.parametrize(
    ("level", "swing", "logs"),
    [
        ("grows", "share", True),  # each doubling of the level doubles the daily pattern
        ("grows", "same", False),
        ("stays", "share", False),  # hardly any difference, and logarithms lost a little there
    ],
)
def test_few_long_series_are_read_in_logarithms_where_their_pattern_is_a_share_of_their_level(level, swing, logs):
    rng, time = np.random.default_rng(0), np.arange(6_000)
    levels = 100 * 2 ** (time / 2_000) if level == "grows" else np.full(len(time), 100.0)
    pattern = 0.5 * np.sin(2 * np.pi * time / 24) + 0.05 * rng.normal(size=len(time))
    values = levels * (1 + pattern) if swing == "share" else levels + 50 * pattern
    missing = np.where(rng.random(len(time)) < 0.002, np.nan, values).astype(np.float32)
    grid, keys = Grid(Frequency.parse("h")), pa.table({"name": ["a"]})
    panel = Panel(grid, keys, missing, np.array([0, len(time)]), np.zeros(1, np.int64))
    assert resolved(panel, 24)[0].logs is logs
    below = Panel(grid, keys, missing - 300, np.array([0, len(time)]), np.zeros(1, np.int64))
    assert resolved(below, 24)[0].logs is False  # of values below zero there are none


def test_more_time_never_means_fewer_members():
    panel = panel_of("h", *[1_000] * 50, season=24)
    limits = ["1s", "2m", "10m", "1h"]
    found = [resolved(panel, 24, time_limit=limit)[0].members for limit in limits]
    assert found == sorted(found)
    assert (found[0], found[-1]) == (1, recipe.MEMBERS)
    assert found == [resolved(panel, 24, time_limit=limit)[0].members for limit in limits]  # whatever the clock says
    assert resolved(panel, 24, time_limit="1s", members=3)[0].members == 3


@pytest.mark.parametrize(
    ("freq", "lengths", "horizon", "context"),
    [
        ("h", [2_000], 24, 504),  # three weeks
        ("15min", [4_000], 24, 672),  # a week of days, where weeks do not repeat
        ("5min", [9_000], 24, 2_016),
        ("MS", [300], 18, 120),  # long enough for a trend, in whole years
        ("MS", [60, 90], 12, 84),  # as long as the longest series, in whole years
        ("D", [3_000], 14, 1_827),  # five years, in whole weeks
        ("B", [2_000], 10, 1_305),
    ],
)
def test_simple_forecasts_are_estimated_from_more_than_the_lstm_reads(freq, lengths, horizon, context):
    model = resolved(panel_of(freq, *lengths), horizon)[0]
    assert model.context == context
    assert model.reach < context
    assert model.reach % model.segment == model.context % model.segment == 0


def test_the_textbook_pipeline_reads_all_of_its_context():
    model = resolved(panel_of("h", 1_000), 24, recipe="classic")[0]
    assert model.context == model.reach == 48


def test_the_reach_grows_with_what_there_is_to_learn_from():
    few, many = (resolved(panel_of("h", *[1_000] * count), 24)[0].reach for count in (1, 60))
    assert (few, many) == (168, 336)  # a week, two weeks


@pytest.mark.parametrize(
    ("series", "length", "horizon", "batch", "steps", "dropout", "calendar"),
    [
        (1, 9_000, 48, 64, 98, 0.2, True),  # as many windows an epoch as the 6,253 there are
        (9, 9_000, 48, 64, 100, 0.2, True),
        (10, 9_000, 48, 128, 75, 0.0, True),
        (1, 9_000, 96, 64, 50, 0.5, False),
        (10, 9_000, 96, 128, 75, 0.0, True),
        (10, 4_000, 48, 64, 100, 0.2, True),  # 28,000 values to learn from
    ],
)
def test_few_series_are_trained_with_more_dropped_and_less_the_further_ahead(
    series, length, horizon, batch, steps, dropout, calendar
):
    config = Config.from_options(None, {"horizon": horizon})
    panel = panel_of("h", *[length] * series)
    found, _ = recipe.resolve(config, panel, split(panel, horizon, 0.15))
    training = found.training
    assert (training.batch, training.steps) == (batch, steps)
    assert (found.model.dropout, found.model.calendar) == (dropout, calendar)
    given = config.having("model", dropout=0.3, calendar=True).having("training", batch=7, steps=3)
    kept, _ = recipe.resolve(given, panel, split(panel, horizon, 0.15))
    assert (kept.training.batch, kept.training.steps, kept.model.dropout, kept.model.calendar) == (7, 3, 0.3, True)


def trained(panel, horizon=12, **options):
    config = Config.from_options(None, {"horizon": horizon} | options)
    found, _ = recipe.resolve(config, panel, split(panel, horizon, 0.15))
    return found.training


@pytest.mark.parametrize(
    ("series", "length", "steps", "synthetic"),
    [
        (1, 61, 40, 59),  # 25 windows of its own, eight times an epoch: five a batch
        (40, 61, 40, 32),  # 1,000, in half of the batches
        (40, 90, 40, 12),  # 2,080, each once an epoch
        (40, 120, 45, 0),  # 2,880 fill 45 batches
        (40, 260, 100, 0),
    ],
)
def test_synthetic_windows_fill_what_a_small_table_does_not(series, length, steps, synthetic):
    found = trained(panel_of("MS", *[length] * series))
    assert (found.batch, found.steps, found.synthetic) == (64, steps, synthetic)
    assert trained(panel_of("MS", *[length] * series), synthetic=5).synthetic == 5


@pytest.mark.parametrize(("batch", "synthetic"), [(16, 11), (4, 2), (1, 0)])
def test_synthetic_windows_are_of_the_batch_that_is_given(batch, synthetic):
    assert trained(panel_of("MS", 61), batch=batch).synthetic == synthetic


def test_more_synthetic_windows_than_a_batch_has_are_refused():
    panel = panel_of("MS", 61)
    assert trained(panel, synthetic=64).synthetic == 64
    with pytest.raises(UsageError, match="--synthetic 65 is more than the 64 windows of a batch"):
        trained(panel, synthetic=65)
    assert trained(panel, synthetic=65, batch=65).synthetic == 65


@pytest.mark.parametrize("given", [{"recipe": "classic"}, {"scaling": "standard"}, {"future": "promo"}])
def test_synthetic_series_have_no_covariates_and_no_scale_that_others_share(given):
    panel = panel_of("MS", 61)
    assert trained(panel, **given).synthetic == 0
    assert trained(panel).synthetic


def test_a_small_table_is_read_as_many_series_are():
    panel = panel_of("MS", 100, season=12)
    panel.values[:] += 10
    model, _ = resolved(panel, 12)
    assert (model.gated, model.logs, model.plain) == (True, True, True)
    model, _ = resolved(panel_of("h", 9_000), 12)
    assert (model.gated, model.logs, model.plain) == (False, False, False)


def test_far_ahead_a_week_of_days_is_read_at_least():
    assert resolved(panel_of("15min", 9_000), 96)[0].reach == 672
    assert resolved(panel_of("15min", 9_000), 95)[0].reach == 192


@pytest.mark.parametrize(
    ("freq", "length", "series", "options", "steps", "members"),
    [
        ("YS", 20, 10_000, {}, 200, 4),
        ("YS", 20, 9_999, {}, 75, 4),
        ("YS", 20, 10_000, {"steps": 30}, 30, 4),
        ("YS", 20, 10_000, {"time_limit": 300}, 75, 4),  # all networks are worth more
        ("h", 400, 10_000, {}, 75, 4),
    ],
)
def test_very_many_series_are_learned_from_for_longer(freq, length, series, options, steps, members):
    panel = panel_of(freq, *[length] * series)
    config = Config.from_options(None, {"horizon": 6} | options)
    found, _ = recipe.resolve(config, panel, split(panel, 6, config.training.test))
    assert (found.training.steps, found.model.members) == (steps, members)
