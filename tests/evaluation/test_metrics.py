"""Metrics against plain loops and against utilsforecast."""

import math

import numpy as np
import pandas as pd
import pytest
from utilsforecast import losses

from gatecast.evaluation import metrics

WINDOWS, HORIZON = 6, 8
PROBABILITIES = np.array([0.1, 0.5, 0.9])


@pytest.fixture
def case():
    """Truth with holes and zeros, a forecast of it, quantiles around the forecast."""
    rng = np.random.default_rng(0)
    truth = rng.normal(5, 4, (WINDOWS, HORIZON)).astype(np.float32)
    truth[rng.random(truth.shape) < 0.2] = np.nan
    truth[2, :3] = 0
    forecast = rng.normal(5, 4, truth.shape).astype(np.float32)
    forecast[2, 0] = 0
    return truth, forecast, forecast[..., None] + np.array([-3, 0, 2], np.float32)


def pairs(truth, forecast):
    """(y, ŷ) of what was observed, one at a time."""
    return [(float(y), float(f)) for y, f in zip(truth.ravel(), forecast.ravel(), strict=True) if not math.isnan(y)]


def mean(numbers):
    numbers = list(numbers)
    return sum(numbers) / len(numbers)


LOOPS = {
    "mae": lambda seen: mean(abs(y - f) for y, f in seen),
    "rmse": lambda seen: math.sqrt(mean((y - f) ** 2 for y, f in seen)),
    "bias": lambda seen: mean(f - y for y, f in seen),
    "wape": lambda seen: sum(abs(y - f) for y, f in seen) / sum(abs(y) for y, _ in seen),
    "accuracy": lambda seen: 100 - 100 * sum(abs(y - f) for y, f in seen) / sum(abs(y) for y, _ in seen),
    "smape": lambda seen: mean(200 * abs(y - f) / (abs(y) + abs(f)) if (y or f) else 0 for y, f in seen),
}


@pytest.mark.parametrize("name", LOOPS)
def test_metric_is_the_loop_over_what_was_observed(name, case):
    truth, forecast, _ = case
    seen = pairs(truth, forecast)
    assert HORIZON < len(seen) < truth.size
    assert getattr(metrics, name)(truth, forecast) == pytest.approx(LOOPS[name](seen), rel=1e-5)


def test_mase_is_the_loop_over_windows_with_a_scale(case):
    truth, forecast, _ = case
    scale = np.array([1.0, 2.0, 0.0, np.nan, 0.5, 4.0])
    scaled = [abs(y - f) / scale[w] for w in (0, 1, 4, 5) for y, f in pairs(truth[w], forecast[w])]
    assert metrics.mase(truth, forecast, scale) == pytest.approx(mean(scaled), rel=1e-5)


def test_quantile_loss_is_the_loop(case):
    truth, _, quantiles = case
    total = 0
    for p, probability in enumerate(PROBABILITIES):
        for y, q in pairs(truth, quantiles[..., p]):
            total += 2 * (probability * (y - q) if y >= q else (1 - probability) * (q - y))
    size = sum(abs(y) for y, _ in pairs(truth, truth))
    assert metrics.quantile_loss(truth, quantiles, PROBABILITIES) == pytest.approx(total / size / 3, rel=1e-5)
    median = metrics.quantile_loss(truth, quantiles[..., 1:2], np.array([0.5]))
    assert median == pytest.approx(metrics.wape(truth, quantiles[..., 1]), rel=1e-5)


def test_coverage_counts_the_bounds_as_inside():
    truth = np.array([[1.0, 2.0, 3.0, np.nan]])
    assert metrics.coverage(truth, np.array([[1.0, 0.0, 3.5, 0.0]]), np.array([[5.0, 2.0, 9.0, 9.0]])) == (
        pytest.approx(200 / 3)
    )


@pytest.fixture
def frame(case):
    """The observed part of the case, as utilsforecast takes it: one series a window."""
    truth, forecast, quantiles = case
    return pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(WINDOWS), HORIZON),
            "ds": np.tile(np.arange(HORIZON), WINDOWS),
            "y": truth.ravel().astype(float),
            "model": forecast.ravel().astype(float),
            "model-lo-80": quantiles[..., 0].ravel().astype(float),
            "model-hi-80": quantiles[..., 2].ravel().astype(float),
        }
    ).dropna()


@pytest.mark.parametrize(("name", "factor"), [("mae", 1), ("rmse", 1), ("smape", 200), ("bias", 1)])
def test_window_by_window_as_utilsforecast(name, factor, case, frame):
    truth, forecast, _ = case
    theirs = getattr(losses, name)(frame, ["model"])["model"]
    ours = [getattr(metrics, name)(truth[w], forecast[w]) for w in range(WINDOWS)]
    assert ours == pytest.approx((factor * theirs).tolist(), rel=1e-5)


def test_mase_as_utilsforecast(case, frame):
    truth, forecast, _ = case
    season, rng = 3, np.random.default_rng(1)
    past = rng.normal(0, 2, (WINDOWS, 20))
    ids, ds = np.repeat(np.arange(WINDOWS), 20), np.tile(np.arange(-20, 0), WINDOWS)
    train = pd.DataFrame({"unique_id": ids, "ds": ds, "y": past.ravel()})
    theirs = losses.mase(frame, ["model"], season, train)["model"]
    scale = np.abs(past[:, season:] - past[:, :-season]).mean(1)
    ours = [metrics.mase(truth[w : w + 1], forecast[w : w + 1], scale[w : w + 1]) for w in range(WINDOWS)]
    assert ours == pytest.approx(theirs.tolist(), rel=1e-5)


def test_quantile_loss_as_utilsforecast(case, frame):
    truth, _, quantiles = case
    theirs = losses.quantile_loss(frame, {"model": "model-hi-80"}, q=0.9)["model"]
    size = frame["y"].abs().groupby(frame["unique_id"]).mean()
    ours = [metrics.quantile_loss(truth[w], quantiles[w, :, 2:], np.array([0.9])) for w in range(WINDOWS)]
    assert ours == pytest.approx((2 * theirs / size.to_numpy()).tolist(), rel=1e-5)


def test_coverage_as_utilsforecast(case, frame):
    truth, _, quantiles = case
    theirs = losses.coverage(frame, ["model"], 80)["model"]
    ours = [metrics.coverage(truth[w], quantiles[w, :, 0], quantiles[w, :, 2]) for w in range(WINDOWS)]
    assert ours == pytest.approx((100 * theirs).tolist())


def test_rmsse_is_the_loop_and_utilsforecasts(case, frame):
    truth, forecast, _ = case
    scale = np.array([1.0, 2.0, 0.0, np.nan, 0.5, 4.0])
    scaled = [((y - f) / scale[w]) ** 2 for w in (0, 1, 4, 5) for y, f in pairs(truth[w], forecast[w])]
    assert metrics.rmsse(truth, forecast, scale) == pytest.approx(math.sqrt(mean(scaled)), rel=1e-5)
    season, past = 3, np.random.default_rng(1).normal(0, 2, (WINDOWS, 20))
    ids, ds = np.repeat(np.arange(WINDOWS), 20), np.tile(np.arange(-20, 0), WINDOWS)
    train = pd.DataFrame({"unique_id": ids, "ds": ds, "y": past.ravel()})
    theirs = losses.rmsse(frame, ["model"], season, train)["model"]
    scale = np.sqrt(np.square(past[:, season:] - past[:, :-season]).mean(1))
    ours = [metrics.rmsse(truth[w : w + 1], forecast[w : w + 1], scale[w : w + 1]) for w in range(WINDOWS)]
    assert ours == pytest.approx(theirs.tolist(), rel=1e-5)


def test_width_and_msis_are_the_loops(case):
    truth, _, quantiles = case
    low, high = quantiles[..., 0], quantiles[..., 2]
    assert metrics.width(truth, low, high) == pytest.approx(5)
    wider = np.where(np.isnan(truth), 1e6, high + np.arange(HORIZON))
    expected = mean(5 + step for _, step in np.argwhere(~np.isnan(truth)))
    assert metrics.width(truth, low, wider) == pytest.approx(expected, rel=1e-6)
    scale = np.array([1.0, 2.0, 0.0, np.nan, 0.5, 4.0])
    scores = [
        (b - a + 2 / 0.2 * ((a - y) * (y < a) + (y - b) * (y > b))) / scale[w]
        for w in (0, 1, 4, 5)
        for (y, a), (_, b) in zip(pairs(truth[w], low[w]), pairs(truth[w], high[w]), strict=True)
    ]
    assert metrics.msis(truth, low, high, 80, scale) == pytest.approx(mean(scores), rel=1e-5)


def test_msis_as_utilsforecasts_scaled_winkler_score(case, frame):
    truth, _, quantiles = case
    theirs = losses.winkler_score(frame, ["model"], 80)["model"]
    ours = [
        metrics.msis(truth[w : w + 1], quantiles[w : w + 1, :, 0], quantiles[w : w + 1, :, 2], 80, np.array([2.0]))
        for w in range(WINDOWS)
    ]
    assert ours == pytest.approx((theirs / 2).tolist(), rel=1e-5)


def test_perfect_forecasts():
    truth = np.array([[1.0, -2.0, 0.0]])
    for name in ("mae", "rmse", "bias", "wape", "smape"):
        assert getattr(metrics, name)(truth, truth) == 0
    assert metrics.accuracy(truth, truth) == 100


def test_zero_truth_has_no_percentage_but_an_error():
    truth, forecast = np.zeros((1, 4)), np.full((1, 4), 2.0)
    assert math.isnan(metrics.wape(truth, forecast))
    assert math.isnan(metrics.accuracy(truth, forecast))
    assert math.isnan(metrics.quantile_loss(truth, forecast[..., None], np.array([0.5])))
    assert metrics.mae(truth, forecast) == metrics.rmse(truth, forecast) == 2
    assert metrics.smape(truth, forecast) == 200


def test_nothing_observed_is_not_a_number():
    truth, forecast = np.full((2, 4), np.nan), np.ones((2, 4))
    for name in LOOPS:
        assert math.isnan(getattr(metrics, name)(truth, forecast)), name
    assert math.isnan(metrics.mase(truth, forecast, np.ones(2)))
    assert math.isnan(metrics.mase(forecast, forecast, np.zeros(2)))
    assert math.isnan(metrics.coverage(truth, forecast, forecast))


def test_large_float32_values_lose_nothing():
    truth = np.full((1, 100_000), 1e6, np.float32)
    assert metrics.rmse(truth, truth + np.float32(1)) == 1
    assert metrics.wape(truth, truth * np.float32(1.5)) == 0.5
    few = np.array([[2.0**24, 1, 1]], np.float32)  # float32 has no 2²⁴ + 1
    none, quantiles = np.zeros_like(few), np.zeros((1, 3, 1), np.float32)
    assert metrics.mae(few, none) == metrics.width(few, none, few) == (2**24 + 2) / 3
    assert metrics.wape(few, none) == 1
    assert metrics.quantile_loss(few, quantiles, np.array([0.5])) == 1
    assert metrics.quantile_loss(few, few[..., None] * 2, np.array([0.5])) == 1
    one = np.ones(1)
    assert metrics.msis(-few, none, none, 80, one) == pytest.approx(10 * (2**24 + 2) / 3, rel=1e-9)
    huge = np.full((1, 3), 1e30, np.float32)
    assert metrics.rmse(huge, np.zeros_like(huge)) == pytest.approx(1e30, rel=1e-6)


@pytest.mark.parametrize("name", [*LOOPS, "mase", "rmsse"])
@pytest.mark.parametrize(
    "groups", [np.array([2, 0, 2, 1, 0, 3])[:, None], np.arange(HORIZON)], ids=["windows", "steps"]
)
def test_a_metric_of_groups_is_that_of_each_group(name, groups, case):
    truth, forecast, _ = case
    truth[3] = np.nan  # nothing was observed in group 1 of the windows
    scale = (np.array([1.0, 2.0, 0.0, 3.0, 0.5, np.nan]),) if name in ("mase", "rmsse") else ()
    metric, at = getattr(metrics, name), np.broadcast_to(groups, truth.shape)
    expected = [metric(np.where(at == group, truth, np.nan), forecast, *scale) for group in range(at.max() + 1)]
    assert metric(truth, forecast, *scale, groups) == pytest.approx(np.array(expected), rel=1e-12, nan_ok=True)
    assert np.isnan(expected).any() == (at.max() == 3)
