"""Faults planted in a test's forecasts are named, and nothing is named where there is none."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from gatecast.evaluation.backtest import Backtest
from gatecast.evaluation.baselines import naive_drift, naive_error, seasonal_naive
from gatecast.evaluation.detections import _change_point, detect, drift, training
from gatecast.evaluation.verdict import judge
from gatecast.settings import ForecastSettings

HORIZON, SEASON, SERIES = 12, 24, 30
PROBABILITIES = (0.1, 0.5, 0.9)
SPREAD = np.array([-1.2816, 0, 1.2816], np.float32)  # normal quantiles, standard deviation 1


def wave(rng, length=600):
    return 50 + 10 * np.sin(2 * np.pi * np.arange(length) / SEASON) + rng.normal(0, 1, length)


@pytest.fixture
def make_backtest(make_panel):
    """A function that makes a backtest of windows that do not overlap: from series and points (W, H) of a function."""

    def make(series, points, season=SEASON, windows=12, starts=None):
        panel = make_panel(*series, starts=starts)
        index = np.repeat(np.arange(len(panel)), windows)
        cutoffs = panel.lasts[index] - HORIZON * (1 + np.tile(np.arange(windows), len(panel)))
        first = cutoffs - panel.starts[index] + 1
        truth = np.stack([panel.series(i)[at : at + HORIZON] for i, at in zip(index, first, strict=True)])
        naive = seasonal_naive(panel, index, cutoffs, season, HORIZON)
        found = np.asarray(points(panel, index, cutoffs, truth), np.float32)
        until = panel.lasts - HORIZON * (windows + 1)
        return Backtest(
            panel=panel,
            series=index,
            cutoffs=cutoffs,
            truth=truth,
            quantiles=found[..., None] + SPREAD,
            baselines={"seasonal_naive": naive, "naive_drift": naive_drift(panel, index, cutoffs, HORIZON)},
            mase_scale=naive_error(panel, until, season)[index],
            rmsse_scale=naive_error(panel, until, season, 2)[index],
            probabilities=PROBABILITIES,
            settings=ForecastSettings(horizon=HORIZON, level=(80.0,)),
            season=season,
        )

    return make


@pytest.fixture
def waves():
    rng = np.random.default_rng(0)
    return [wave(rng) for _ in range(SERIES)]


def known(panel, series, cutoffs, truth):
    """The wave itself: what the best model would say."""
    return 50 + 10 * np.sin(2 * np.pi * (cutoffs[:, None] + 1 + np.arange(HORIZON)) / SEASON)


def test_a_noisy_sine_is_for_use_and_has_no_fault(make_backtest, waves):
    backtest = make_backtest(waves, known)
    assert detect(backtest) == {}
    verdict = judge(backtest)
    assert verdict.use
    assert verdict.sentence.startswith("Use it: ")
    assert verdict.skill == pytest.approx(100 * (1 - 1 / np.sqrt(2)), abs=2)  # the naive has the noise twice


def test_a_random_walk_is_for_the_naive(make_backtest):
    walk = np.cumsum(np.random.default_rng(0).normal(size=(20, 600)), 1)
    backtest = make_backtest(walk, lambda p, s, c, t: np.repeat(seasonal_naive(p, s, c, 1, 1), HORIZON, 1), season=1)
    verdict = judge(backtest)
    assert not verdict.use
    noisy = replace(backtest, quantiles=backtest.quantiles + np.random.default_rng(1).normal(0, 0.5, (240, 1, 1)))
    for found in (verdict, judge(noisy)):
        assert not found.use
        assert found.sentence.startswith("Use the seasonal naive forecast")
    assert "copy the last value" in verdict.reasons["lag_copy"]


def test_a_model_that_copies_yesterday_is_named(make_backtest, waves):
    rng = np.random.default_rng(2)

    def copy(panel, series, cutoffs, truth):
        return seasonal_naive(panel, series, cutoffs, 24, HORIZON) + rng.normal(0, 0.05, truth.shape)

    assert "copy what was 24 steps before" in detect(make_backtest(waves, copy))["lag_copy"]


@pytest.mark.parametrize("size", [1, 1e30])
def test_a_flat_forecast_is_named(make_backtest, waves, size):
    found = detect(make_backtest([size * wave for wave in waves], lambda p, s, c, t: np.full(t.shape, 50 * size)))
    assert "are flat: within a window they vary 0 % as much" in found["flat"]


@pytest.mark.parametrize(("shift", "side"), [(1.0, "high"), (-1.0, "low")])
def test_a_bias_is_named(make_backtest, waves, shift, side):
    found = detect(make_backtest(waves, lambda *given: known(*given) + shift))
    assert f"too {side}" in found["bias"]


MEAN = ", that of the mean 1 %: for sums, take the mean (forecast --point mean, or fit --metric rmse)"


@pytest.mark.parametrize(("metric", "below", "mean"), [("mase", 0, MEAN), ("mase", 5, ""), ("rmse", 0, None)])
def test_the_mean_is_named_where_it_has_less_bias_than_the_median(make_backtest, metric, below, mean):
    """A quarter of the values are 30, the others 10: the median of the true quantiles, or of some below, is too low."""
    values = np.where(np.arange(600 * SERIES).reshape(SERIES, 600) * 7 // 3 % 4, 10.0, 30.0)
    backtest = make_backtest(values, known)
    shares = np.arange(1, 100) / 100
    quantiles = np.broadcast_to(np.where(shares > 0.75, 30.0, 10.0) - below, (*backtest.truth.shape, 99))
    settings = backtest.settings.model_copy(update={"metric": metric})
    backtest = replace(backtest, quantiles=quantiles, probabilities=tuple(shares.tolist()), settings=settings)
    told = f"The forecasts are too low: the bias is 100 % of the mean absolute error{mean}."
    assert detect(backtest).get("bias") == (None if mean is None else told)


@pytest.mark.parametrize(("factor", "side"), [(0.4, "narrow"), (3.0, "wide")])
def test_wrong_intervals_are_named(make_backtest, waves, factor, side):
    backtest = make_backtest(waves, known)
    points = backtest.quantiles[..., 1:2]
    found = detect(replace(backtest, quantiles=points + factor * (backtest.quantiles - points)))
    assert f"The 80 % intervals are too {side}" in found["intervals"]


def test_few_series_that_carry_the_error_are_named(make_backtest, waves):
    waves[7] = wave(np.random.default_rng(3)) + np.random.default_rng(4).normal(0, 60, 600)
    assert detect(make_backtest(waves, known))["few_series"] == "Half of the error comes from 1 of 30 series: s7."


def test_an_error_that_grows_after_a_date_is_named(make_backtest, waves):
    noise = np.random.default_rng(5).normal(0, 3, (SERIES, 48))
    for values, more in zip(waves, noise, strict=True):
        values[-48:] += more
    backtest = make_backtest(waves, known)
    first = backtest.panel.grid.label(600 - 48)
    assert f"From {first} on the error is 3." in detect(backtest)["drift"]


def test_series_of_other_times_cost_no_room_for_the_time_between(make_backtest, waves):
    backtest = make_backtest(waves, known, starts=[0] * 15 + [24 * 10**5] * 15)
    tracemalloc.start()
    assert drift(backtest) is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("count", [8, 50])
def test_the_change_point_is_the_loop(count):
    errors = np.random.default_rng(count).gamma(2.0, size=count)
    ratios = {at: errors[at:].mean() / errors[:at].mean() for at in range(3, count - 2)}
    best = max(ratios, key=ratios.__getitem__)
    assert _change_point(errors) == (best, pytest.approx(ratios[best]))


def test_errors_that_begin_at_zero_have_no_ratio():
    assert _change_point(np.array([0.0, 0, 0, 0, 1, 2, 3, 4])) == (5, pytest.approx(3 / 0.2))


def lines(train, validation):
    epochs = zip(train, validation, strict=True)
    return [{"stage": "test", "train_loss": one, "validation_loss": other} for one, other in epochs]


def test_training_that_was_not_done_or_overdone_is_named():
    down = np.linspace(5, 1, 20)
    assert list(training(lines(down, down), 20)) == ["not_converged"]
    flat = np.concatenate([np.linspace(5, 1, 10), np.ones(10)])
    assert training(lines(flat, flat), 10) == {}
    up = np.concatenate([np.linspace(5, 1, 10), np.linspace(1.1, 2, 10)])
    told = training(lines(down, up), 20)
    assert list(told) == ["overfitted"]
    assert "after epoch 10 of 20 the validation loss rose by 100 %" in told["overfitted"]
    assert told["overfitted"].endswith("the weights of epoch 20 were kept.")  # validation was too short to choose by
    assert training(lines(down, [0] * 10 + [1] * 10), 1) == {}  # of a loss of nothing there is no share
    assert training([], 0) == training(lines([1, 2], [2, 1]), 2) == {}
