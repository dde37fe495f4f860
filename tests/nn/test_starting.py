"""The simple forecasts to start from, against loops and against what they are known to give."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from gatecast.nn.starting import (
    MANY,
    RATES,
    SLOW,
    _each,
    _matrix,
    _times,
    line,
    median,
    seasonal_means,
    seasonal_repeat,
    starting_points,
)


def read(batch=5, context=12, seed=0):
    """Windows a third of which is missing."""
    chance = torch.Generator().manual_seed(seed)
    observed = torch.rand(batch, context, generator=chance) > 0.3
    return torch.randn(batch, context, generator=chance).masked_fill(~observed, 0), observed


def repeat_by_loop(x, observed, season, horizon):
    """`seasonal_repeat` of one window, as a person would do it."""
    seen = [value for value, there in zip(x, observed, strict=True) if there]
    mean = sum(seen) / len(seen) if seen else 0.0
    result = []
    for step in range(horizon):
        place, value = len(x) - season + step % season, mean
        while place >= len(x) % season:  # whole seasons only
            if observed[place]:
                value = x[place]
                break
            place -= season
        result.append(value)
    return result


@given(st.data(), st.integers(1, 14), st.integers(1, 20))
def test_seasonal_repeat_is_the_loop(data, context, horizon):
    season = data.draw(st.integers(1, context))
    x = data.draw(st.lists(st.integers(-99, 99), min_size=context, max_size=context))
    observed = data.draw(st.lists(st.booleans(), min_size=context, max_size=context))
    x = [float(value) if there else 0.0 for value, there in zip(x, observed, strict=True)]
    found = seasonal_repeat(torch.tensor([x]), torch.tensor([observed]), season, horizon)
    assert found[0].tolist() == pytest.approx(repeat_by_loop(x, observed, season, horizon), rel=1e-5, abs=1e-5)


def test_seasonal_repeat_keeps_windows_apart():
    x, observed = read()
    alone = [seasonal_repeat(x[b : b + 1], observed[b : b + 1], 4, 9) for b in range(5)]
    assert torch.equal(seasonal_repeat(x, observed, 4, 9), torch.cat(alone))


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.0, 2.0, 5.0]), st.booleans()), min_size=1, max_size=9))
def test_the_median_is_a_value_that_came(rows):
    x, observed = (torch.tensor([part]) for part in zip(*rows, strict=True))
    came = sorted(value for value, there in rows if there) or [0.0]
    assert median(x, observed, 4)[0, :, 0].tolist() == [came[(len(came) - 1) // 2]] * 4


@pytest.mark.parametrize("seed", range(3))
def test_the_line_is_that_of_least_squares(seed):
    x, observed = read(seed=seed)
    mean, slope, _ = line(x, observed.float(), torch.arange(11.0, -1, -1))
    for b in range(len(x)):
        at = np.flatnonzero(observed[b])
        assert slope[b].item() == pytest.approx(np.polyfit(at, x[b][at], 1)[0], abs=1e-5)
        assert mean[b].item() == pytest.approx(x[b][at].mean().item(), abs=1e-6)


def test_smoothing_is_the_textbook_recursion():
    x, _ = read()
    points, *_ = starting_points(x, torch.ones_like(x, dtype=torch.bool), (1,), 3)
    for place, rate in enumerate(RATES, start=1):  # after the last value
        weights = (1 - rate) ** np.arange(11, -1, -1)
        level = (x.numpy() * weights).sum(1) / weights.sum()  # a level that starts at the mean of the weighted past
        assert points[..., place].numpy() == pytest.approx(np.repeat(level[:, None], 3, 1), rel=1e-4, abs=1e-5)


def test_a_season_on_a_level_is_continued_by_every_method_but_the_last_value():
    pattern = torch.tensor([1.0, -2.0, 4.0, -3.0])
    x = (10 + pattern.repeat(4))[None]
    points, drift, _ = starting_points(x, torch.ones_like(x, dtype=torch.bool), (4,), 6)
    expected = 10 + pattern.repeat(2)[:6]
    slope = np.polyfit(np.arange(16), x[0], 1)[0]  # of the pattern itself
    assert_close(points[0, :, 0], torch.full((6,), 7.0))
    assert_close(points[0, :, 1], expected)
    assert_close(drift[0], torch.arange(1.0, 7) * float(slope))
    for place in range(2, 5):
        assert (points[0, :, place] - expected).abs().max() < 8 * abs(slope)


def test_a_year_of_days_is_smoothed_over_weeks_and_the_week_goes_with_it():
    day = torch.arange(4 * 365 + 30, dtype=torch.float32)
    year, week = 5 * torch.sin(2 * torch.pi * day / 365), torch.tensor([0.0, 0, 0, 0, 0, 2, 2])[day.long() % 7]
    noise = torch.randn(50, len(day), generator=torch.Generator().manual_seed(0))
    x = (year + week + noise)[:, :-30]
    points, *_ = starting_points(x, torch.ones_like(x, dtype=torch.bool), (7, 365), 30)
    wrong = (points - (year + week)[-30:, None]).abs().mean((0, 1))
    assert wrong[-3] < 0.5 < 0.8 < wrong[:6].min()  # at the slowest level; without a year, and the last one repeated


def test_many_windows_of_years_are_forecast_by_a_matrix_to_the_same_values():
    x = torch.randn(MANY, 1_827, generator=torch.Generator().manual_seed(0))
    everything = torch.ones_like(x, dtype=torch.bool)
    _matrix.cache_clear()
    found, apart = (way(x, everything, (7, 365), 9, 70) for way in (starting_points, _each))
    assert _matrix.cache_info().currsize == 1
    for one, other in zip(found, apart, strict=True):
        assert_close(one, other, atol=1e-5, rtol=0)


def test_a_trend_is_the_drift():
    x = torch.arange(12.0)[None] * 0.5
    _, drift, _ = starting_points(x, torch.ones_like(x, dtype=torch.bool), (1,), 4)
    assert_close(drift, torch.tensor([[0.5, 1.0, 1.5, 2.0]]))


@pytest.mark.parametrize("seasons", [(1,), (4,), (4, 6), (12,)])
def test_windows_are_kept_apart_and_nothing_observed_gives_zeros(seasons):
    x, observed = read(seed=4)
    observed[2] = False
    x = x.masked_fill(~observed, 0)
    points, drift, adjusted = starting_points(x, observed, seasons, 9, 5)
    assert points[2].eq(0).all()
    assert drift[2].eq(0).all()
    assert adjusted[2].eq(0).all()
    alone = [starting_points(x[b : b + 1], observed[b : b + 1], seasons, 9, 5) for b in range(5)]
    for part, parts in zip((points, drift, adjusted), zip(*alone, strict=True), strict=True):
        assert_close(part, torch.cat(parts))


@pytest.mark.parametrize(("seasons", "horizon"), [((1,), 3), ((4,), 9), ((4, 12), 14), ((5, 12, 12), 1)])
def test_of_whole_windows_one_matrix_gives_the_same(seasons, horizon):
    x, observed = read(context=30, seed=5)
    whole = torch.ones_like(observed)
    found = starting_points(x, whole, seasons, horizon, 20)
    for part, expected in zip(found, _each(x, whole, seasons, horizon, 20), strict=True):
        assert_close(part, expected)
    holed = starting_points(x.masked_fill(~observed, 0), observed, seasons, horizon)[0]
    assert not torch.allclose(found[0], holed)


@pytest.mark.parametrize(("seasons", "season"), [((1,), 1), ((4,), 4), ((4, 6), 6), ((4, 16), 4)])
def test_adjusted_values_lack_the_mean_of_the_longest_season_that_was_seen_twice(seasons, season):
    x, observed = read(context=30, seed=6)
    x = x.masked_fill(~observed, 0)
    adjusted = starting_points(x, observed, seasons, 3, 10)[2]
    back, seen = torch.arange(29.0, -1, -1), observed.float()
    mean, slope, time = line(x, seen, back)
    pattern = seasonal_means((x - mean - slope * time) * seen, seen, season)
    for window, step in product(range(len(x)), range(20, 30)):
        place = (step - 30) % season
        expected = x[window, step] - pattern[window, place] if observed[window, step] else 0
        assert float(adjusted[window, step - 20]) == pytest.approx(float(expected), abs=1e-5)


def test_a_season_alone_is_gone_from_the_adjusted_values():
    pattern = torch.tensor([1.0, -2.0, 4.0, -3.0])
    x = (10 + pattern.repeat(50))[None]
    *_, adjusted = starting_points(x, torch.ones_like(x, dtype=torch.bool), (4,), 6, 12)
    assert adjusted.shape == (1, 12)
    assert (adjusted - 10).abs().max() < 0.01


def test_no_weight_is_so_small_that_products_with_it_are_slow():
    weights = (_times(480, 24, torch.float32, torch.device("cpu"))[1], _matrix(168, (24, 168), 48, 24, torch.float32))
    for part in weights:
        assert not ((part != 0) & (part.abs() < 1e-35)).any()
    assert_close(weights[0].sum(1), 1 / torch.tensor([RATES, SLOW]), rtol=1e-3, atol=0)
