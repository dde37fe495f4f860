"""Tested weights that never saw the test rows, and final weights that saw all."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.testing import assert_close

from gatecast import fitting, recipe, training
from gatecast.config import Config
from gatecast.data.dates import Frequency, Grid
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Panel
from gatecast.data.split import split
from gatecast.data.windows import Windows
from gatecast.fitting import Workshop, build, learn, refit
from gatecast.nn.devices import multiplies_halved
from gatecast.training import VALIDATION, Trained

HORIZON = 6
TINY = {"horizon": HORIZON, "epochs": 3, "steps": 4, "hidden": 8}


def waves(lengths=(240, 200)):
    rng, time = np.random.default_rng(0), np.concatenate([np.arange(length) for length in lengths])
    values = (20 + time / 50 + 3 * np.sin(time * np.pi / 12) + rng.normal(0, 0.3, len(time))).astype(np.float32)
    keys = pa.table({"name": [f"s{i}" for i in range(len(lengths))]})
    return Panel(Grid(Frequency.parse("h")), keys, values, np.cumsum([0, *lengths]), np.zeros(len(lengths), np.int64))


def workshop(panel, **options):
    """As `steps.prepare` sets it up; the epochs are kept in a list."""
    parts = split(panel, HORIZON, 0.15)
    config, season = recipe.resolve(Config.from_options(None, TINY | options), panel, parts)
    windows = Windows.of(panel, Encoder(("day",)), config.model.context, HORIZON, torch.device("cpu"))
    epochs = []
    return Workshop(config, panel, parts, Encoder(("day",)), windows, epochs.append, season), epochs


def held_with_test(shop, tested):
    """What weights forecast of the validation and the test part, and both parts."""
    spans = shop.split.validating(HORIZON), shop.split.testing(HORIZON)
    return fitting._held_back(shop, tested, spans, VALIDATION), *spans


def state(fitted):
    """Every number that a forecast depends on."""
    return {
        **fitted.network.state_dict(),
        "stretch": fitted.stretch,
        "still": fitted.flat_stretch,
        "short": torch.cat([torch.cat([one.stretch.flatten(), torch.tensor([one.share])]) for one in fitted.short]),
        "scale": torch.cat(fitted.scaler.fixed or (torch.zeros(1),)),
        "bounds": torch.tensor(fitted.bounds),
        "below": torch.zeros(0) if fitted.below is None else fitted.below,
        "seen": torch.from_numpy(fitted.seen),
    }


def same(one, other):
    return all(torch.equal(part, state(other)[name]) for name, part in state(one).items())


def changed(panel, part):
    """The panel with every value after the end of a part made something else, some of it missing."""
    owner = np.repeat(np.arange(len(panel)), panel.lengths)
    step = np.arange(len(panel.values)) - panel.offsets[owner]
    values = np.where(step % 5 == 1, np.nan, -1e4 * np.cos(step))
    return replace(panel, values=np.where(step > part[owner], values, panel.values).astype(np.float32))


@pytest.fixture
def panel():
    return waves()


@pytest.mark.parametrize(
    "options",
    [{}, {"recipe": "classic"}, {"scaling": "standard"}, {"scaling": "robust"}],
    ids=["segment", "classic", "standard", "robust"],
)
def test_tested_weights_do_not_depend_on_the_test_rows(panel, options):
    parts = split(panel, HORIZON, 0.15)
    shops = [workshop(one, **options)[0] for one in (panel, changed(panel, parts.validation))]
    assert shops[0].config == shops[1].config
    found = [learn(shop, build(shop)) for shop in shops]
    assert same(found[0][0], found[1][0])
    assert len({(trained.best, trained.epochs[-1].validation_loss) for _, trained, _ in found}) == 1
    final = [refit(shop, tested, held, 1)[0] for shop, (tested, _, held) in zip(shops, found, strict=True)]
    assert not torch.equal(*(one.network.state_dict()["members.0.read.weight"] for one in final))


def test_of_random_walks_the_naive_forecast_says_most_and_of_waves_hardly_anything():
    steps = np.random.default_rng(4).normal(0, 1, 900)
    walks = replace(waves((300, 300, 300)), values=(500 + steps.cumsum()).astype(np.float32))
    options = {"epochs": 4, "steps": 40, "freq": "h"}
    shares = {}
    for name, rows in (("walks", walks), ("waves", waves((300, 300, 300)))):
        shop, _ = workshop(rows, **options)
        tested, _, held = learn(shop, build(shop))
        shares[name] = tested.share
        assert tested.season == shop.season
        final, _ = refit(shop, tested, held, 1)
        assert 0 <= final.share <= 1
    assert shares["walks"] < 0.5 < 0.8 < shares["waves"]


def test_the_textbook_is_left_as_it_is(panel):
    shop, _ = workshop(panel, recipe="classic")
    tested, _, held = learn(shop, build(shop))
    assert tested.share == refit(shop, tested, held, 1)[0].share == 1


def test_the_validation_part_chooses_and_calibrates_but_does_not_train(panel):
    shops = [workshop(one, epochs=1)[0] for one in (panel, changed(panel, split(panel, HORIZON, 0.15).train))]
    (one, *_), (other, *_) = (learn(shop, build(shop)) for shop in shops)
    assert all(torch.equal(part, other.network.state_dict()[name]) for name, part in one.network.state_dict().items())
    assert not torch.equal(one.stretch, other.stretch)


def test_scaling_is_fitted_before_the_cutoff_only(panel):
    shop, _ = workshop(panel, recipe="classic")
    tested, _, held = learn(shop, build(shop))
    final, _ = refit(shop, tested, held, 1)
    for fitted, counts in ((tested, [168, 140]), (final, [240, 200])):  # 15 % of each in test and validation
        rows = [panel.series(i)[:count] for i, count in enumerate(counts)]
        loc, scale = (part[:, 0].tolist() for part in fitted.scaler.fixed)
        assert loc == [part.min() for part in rows]
        assert scale == [part.max() - part.min() for part in rows]


def test_each_says_what_it_has_seen(panel):
    shop, _ = workshop(panel)
    tested, _, held = learn(shop, build(shop))
    assert tested.seen.tolist() == [203, 169]
    assert refit(shop, tested, held, 1)[0].seen.tolist() == [239, 199]


@pytest.mark.parametrize("best", [1, 2, 5])
def test_final_weights_train_as_long_as_they_are_told(panel, best):
    shop, epochs = workshop(panel)
    tested, _, held = learn(shop, build(shop))
    epochs.clear()
    refit(shop, tested, held, best)
    assert [(line.stage, line.epoch, line.epochs) for line in epochs] == [
        ("final", number, best) for number in range(1, best + 1)
    ]
    assert {(line.validation_loss, line.validation_accuracy) for line in epochs} == {(None, None)}


def test_the_epoch_kept_is_the_one_that_validated_best(panel):
    shop, epochs = workshop(panel, epochs=6, rate=0.1)
    _, trained, _ = learn(shop, build(shop))
    losses = [line.validation_loss for line in epochs]
    assert len(losses) == 6
    assert trained.best == 1 + losses.index(min(losses))


def test_final_intervals_are_calibrated_on_the_test_part_too(panel):
    shop, _ = workshop(panel)
    tested, _, held = learn(shop, build(shop))
    noisy = workshop(changed(panel, shop.split.validation))[0]
    calm, wild = (refit(one, tested, held, 1)[0].stretch for one in (shop, noisy))
    assert (wild[:, [0, -1]] > 1.5 * calm[:, [0, -1]]).all()


def test_the_validation_part_is_forecast_once_and_the_test_part_beside_it(panel, monkeypatch):
    shop, _ = workshop(panel)
    tested, _, held = learn(shop, build(shop))
    both, *spans = held_with_test(shop, tested)
    asked, forecast = [], fitting._held_back

    def spied(shop, fitted, spans, most, newest=None):
        asked.append((len(spans), newest))
        return forecast(shop, fitted, spans, most, newest)

    monkeypatch.setattr(fitting, "_held_back", spied)
    monkeypatch.setattr(fitting, "widened", lambda *_: 1.0)
    final, _ = refit(shop, tested, held, 1)
    assert [spans for spans, newest in asked if newest is None] == [1]
    # Some processors multiply other numbers of windows in another order.
    assert_close(final.stretch, fitting._judged(shop, tested, both, *spans).stretch, rtol=1e-4, atol=0)
    assert not torch.equal(final.stretch, tested.stretch)


def test_final_intervals_are_halfway_as_wide_as_those_of_the_weights_that_were_tested(panel, monkeypatch):
    """Weights that saw more rows may be surer of themselves, or less, without being better."""
    shop, _ = workshop(panel, epochs=1)
    tested, _, held = learn(shop, build(shop))
    final, _ = refit(shop, tested, held, 30)
    monkeypatch.setattr(fitting, "widened", lambda *_: 1.0)
    calibrated, _ = refit(shop, tested, held, 30)  # as tested, by factors that were found with the tested weights
    newest = shop.split.newest(HORIZON)
    inputs = shop.windows.inputs(*newest.at(newest.spread(100)))
    with torch.inference_mode():
        raw = [fitted.alone(inputs) for fitted in (tested, final)]
    both = sum(raw)
    unit = (both[..., [-1]] - both[..., [0]]).mean(1, keepdim=True)
    before, after = (((part - part[..., [final.middle]]).abs() / unit).mean(0)[:, [0, -1]] for part in raw)
    assert after.mean() > 1.5 * before.mean()
    assert_close((final.stretch / calibrated.stretch)[:, [0, -1]].square(), before / after)


def test_intervals_of_final_weights_that_had_no_time_are_as_wide_as_those_that_were_tested(panel, monkeypatch):
    shop, _ = workshop(panel, epochs=20, steps=20)
    tested, _, held = learn(shop, build(shop))
    monkeypatch.setattr(fitting, "REFIT_SHARE", 1e-9)  # time for a single step
    final, trained = refit(shop, tested, held, 20)
    assert trained.steps == (1, 400)
    inputs = shop.windows.inputs(*shop.split.newest(HORIZON).at(shop.split.newest(HORIZON).spread(100)))
    factors = fitting._judged(shop, tested, *held_with_test(shop, tested)).stretch
    with torch.inference_mode():
        before, after = tested.alone(inputs), final.alone(inputs)
    unit = ((both := before + after)[..., [-1]] - both[..., [0]]).mean(1, keepdim=True)
    wide = [((part - part[..., [final.middle]]).abs() / unit).mean(0) for part in (before, after)]
    assert wide[1].sum() < 0.8 * wide[0].sum()
    wider = (wide[0] / wide[1]).nan_to_num(1).pow(1 - 1 / 800)
    assert_close(final.stretch, factors * wider, rtol=3e-5, atol=1e-5)  # sums of other lengths round another way


def test_intervals_of_a_series_that_is_new_hold():
    """No held-back window has two rows; an interval that fits ten days of rows is far too narrow for them."""
    shop, _ = workshop(waves((240,) * 20), epochs=8, steps=40)
    tested, _, held = learn(shop, build(shop))
    final, _ = refit(shop, tested, held, 1)
    assert [len(fitted.short) for fitted in (tested, final)] == [7, 7]  # up to 64 of at least 167 values
    span = shop.split.testing(HORIZON)
    window = span.at(span.spread(400))
    truth = shop.windows.truth(*window).values[..., None]
    for newest in (1, 2, 3, 4, 6):
        inputs = shop.windows.inputs(*window, newest=newest)
        with torch.inference_mode():
            both = [fitted.quantiles(inputs) for fitted in (tested, replace(tested, short=()))]
        holds, without = (((truth >= found[..., :1]) & (truth <= found[..., -1:])).double().mean() for found in both)
        assert holds > 0.85
        assert without < 0.2 or newest == 1  # a single value is its own unit, which is wide


def test_the_time_limit_is_shared_by_both_trainings(panel, monkeypatch):
    given = []

    def train(*args, seconds, **kwargs):
        given.append(seconds)
        return Trained(1, "at once", False, (), (1, 1))

    monkeypatch.setattr(fitting, "train", train)
    for keep in (True, False):
        shop, _ = workshop(panel, refit=keep, time_limit="100s")
        tested, _, held = learn(shop, build(shop))
        if keep:
            refit(shop, tested, held, 1)
    assert given == pytest.approx([60, 40, 100])


@pytest.mark.parametrize(
    ("negative", "bounds", "below"),
    [
        ([], (0, math.inf), None),
        ([5], (0, math.inf), [True, False]),
        ([5, 245], (-math.inf, math.inf), None),
        ([239, 439], (0, math.inf), None),  # which only the test part holds
    ],
)
def test_nothing_below_zero_is_forecast_of_series_that_were_never_below(panel, negative, bounds, below):
    panel.values[negative] = -1
    shop, _ = workshop(panel)
    fitted = learn(shop, build(shop))[0]
    assert (fitted.bounds, fitted.bounds_given) == (bounds, False)
    assert (fitted.below if below is None else fitted.below.tolist()) == below


@pytest.mark.parametrize(("sign", "below"), [(1, None), (-1, [True, False, True])])
def test_a_series_that_had_not_begun_has_no_floor_beside_one_that_was_below(sign, below):
    panel = waves((240, 200, 3))
    panel.values[:240] *= sign
    shop, _ = workshop(panel)
    assert shop.split.validation[2] < panel.starts[2]
    found = fitting._bounds(shop)[1]
    assert (found if below is None else found.tolist()) == below


@pytest.mark.parametrize("zeros", [False, True])
def test_synthetic_windows_are_of_demand_that_comes_now_and_then_where_the_rows_are(panel, zeros, monkeypatch):
    whole, found = training.with_synthetic, []

    def spied(*given):
        inputs, truth = whole(*given)
        made = inputs.context[: given[2]]
        found.append(float((made == made.round()).all(1).float().mean()))
        return inputs, truth

    monkeypatch.setattr(training, "with_synthetic", spied)
    rows = replace(panel, values=np.where(np.arange(440) % 3, 0, 5).astype(np.float32)) if zeros else panel
    shop, _ = workshop(rows, synthetic=32)
    learn(shop, build(shop))
    assert bool(np.mean(found) > 0.3) is zeros


@pytest.mark.parametrize(
    ("given", "bounds"), [("-3:20.5", (-3, 20.5)), (":", (-math.inf, math.inf)), (":9", (-math.inf, 9))]
)
def test_bounds_that_are_given_hold(panel, given, bounds):
    shop, _ = workshop(panel, bounds=given)
    fitted = learn(shop, build(shop))[0]
    assert (fitted.bounds, fitted.bounds_given) == (bounds, True)


def test_the_first_weights_come_from_the_seed_alone(panel):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one = build(workshop(panel)[0]).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    assert all(torch.equal(part, one[name]) for name, part in build(workshop(panel)[0]).state_dict().items())
    assert not torch.equal(
        build(workshop(panel, seed=2)[0]).state_dict()["members.0.embed.weight"], one["members.0.embed.weight"]
    )


def test_windows_to_learn_from_have_a_season_before_them_if_there_is_one(panel):
    shop, _ = workshop(panel)
    assert shop.config.model.seasons == (24,)
    assert shop.training().lows.tolist() == [23, 23]
    assert shop.training().counts.tolist() == [168 - 24 - 5, 140 - 24 - 5]
    assert shop.everything().counts.tolist() == [240 - 24 - 5, 200 - 24 - 5]
    short, _ = workshop(waves((25, 25)), seasons=24)  # 13 steps of each are left to train on
    assert short.training().lows.tolist() == [0, 0]
    assert short.training().counts.tolist() == [7, 7]


def test_all_members_are_trained_again(panel):
    shop, _ = workshop(panel, members=3)
    tested, _, held = learn(shop, build(shop))
    final, _ = refit(shop, tested, held, 1)
    shapes = [[member.shape for member in fitted.network.networks] for fitted in (tested, final)]
    assert shapes[0] == shapes[1] == recipe.shapes(shop.config, shop.encoder)
    assert len(shapes[0]) == 3
    for first, member in zip(build(shop).networks, final.network.networks, strict=True):
        assert not torch.equal(first.read.weight, member.read.weight)


@pytest.mark.skipif(not multiplies_halved(torch.device("cpu")), reason="the processor has no bf16")
def test_half_precision_trains_to_nearly_the_same():
    """Other bits in training, the same network for forecasts."""
    losses = []
    for precision in ("float32", "bf16"):
        shop, epochs = workshop(waves(), precision=precision, members=1, epochs=8, steps=20)
        network = build(shop)
        assert network.networks[0].lstm.halved == (precision == "bf16")
        learn(shop, network)
        losses.append([epoch.train_loss for epoch in epochs])
    whole, halved = losses
    assert halved != whole
    assert halved[-1] < 0.7 * halved[0]
    assert halved == pytest.approx(whole, rel=0.1)
