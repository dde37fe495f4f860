"""The seasonal naive forecast and the error that MASE divides by, against loops and statsforecast."""

import numpy as np
import pytest
from statsforecast.models import RandomWalkWithDrift, SeasonalNaive

from gatecast.evaluation.baselines import SEASONS, naive_drift, naive_error, seasonal_naive

NAN = np.nan


@pytest.fixture
def panel(make_panel):
    """Three series of different starts and lengths, the last two with holes."""
    rng = np.random.default_rng(0)
    series = [rng.normal(10, 3, length) for length in (60, 45, 80)]
    for values in series[1:]:
        values[1:-1][rng.random(len(values) - 2) < 0.3] = NAN
    return make_panel(*series, starts=[100, -20, 7])


def naive_by_loop(values, season, horizon):
    """Of values up to the cutoff: back a season at a time until one is there, up to `SEASONS`; else the last one."""
    values = list(values)
    near = values[-SEASONS * season :]
    seen = [value for value in near if not np.isnan(value)]
    result = []
    for step in range(horizon):
        places = [len(values) - season * back + step % season for back in range(1, SEASONS + 1)]
        found = [values[place] for place in places if place >= 0 and not np.isnan(values[place])]
        last = [value for value in values if not np.isnan(value)][-1]
        result.append(found[0] if found else np.mean(seen) if seen else last)
    return result


@pytest.mark.parametrize("season", [1, 3, 7, 24])
@pytest.mark.parametrize("horizon", [2, 10, 30])
def test_seasonal_naive_is_the_loop(panel, season, horizon):
    series = np.array([0, 1, 2, 2, 1, 0])
    cutoffs = panel.lasts[series] - np.array([0, 0, 0, 11, 20, 59])
    found = seasonal_naive(panel, series, cutoffs, season, horizon)
    for row, index, cutoff in zip(found, series, cutoffs, strict=True):
        past = panel.series(index)[: cutoff - panel.starts[index] + 1]
        np.testing.assert_allclose(row, naive_by_loop(past, season, horizon), rtol=1e-5)


@pytest.mark.parametrize("season", [1, 5, 12])
def test_seasonal_naive_is_statsforecasts_on_complete_rows(make_panel, season):
    values = np.random.default_rng(1).normal(size=50).astype(np.float32)
    found = seasonal_naive(make_panel(values, starts=[9]), np.array([0]), np.array([9 + 49]), season, 17)
    theirs = SeasonalNaive(season_length=season).forecast(values, h=17)["mean"]
    np.testing.assert_allclose(found[0], theirs, rtol=1e-6)


def test_seasonal_naive_never_looks_past_its_cutoff(make_panel):
    values = np.arange(30.0)
    changed = np.where(np.arange(30) > 20, -1e6, values)
    at = np.array([0]), np.array([20])
    before, after = (seasonal_naive(make_panel(part), *at, 4, 6) for part in (values, changed))
    assert before.tolist() == after.tolist() == [[17, 18, 19, 20, 17, 18]]


def test_missing_values_come_from_the_season_before(make_panel):
    panel = make_panel([1, 2, 3, 4, NAN, 6, NAN, NAN, 9])
    assert seasonal_naive(panel, np.array([0]), np.array([8]), 3, 4).tolist() == [[4, 2, 9, 4]]


def test_nothing_seen_is_not_a_number(make_panel):
    panel = make_panel([1.0, 2.0, 3.0], starts=[10])
    found = seasonal_naive(panel, np.array([0, 0]), np.array([9, 10]), 1, 2)
    np.testing.assert_equal(found, np.array([[NAN, NAN], [1, 1]], np.float32))


@pytest.mark.parametrize("season", [1, 2])
def test_after_a_long_gap_the_last_value_is_repeated(make_panel, season):
    panel = make_panel([1.0, 2.0, 3.0], [7.0, 4.0, *[NAN] * 9, 5.0], starts=[10, 0])
    found = seasonal_naive(panel, np.array([1, 1]), np.array([10, 2]), season, 2)  # seasons are looked back 4 times
    assert found.tolist() == [[4, 4], [[4, 4], [4, 7]][season - 1]]


def test_naive_error_is_the_loop(panel):
    until = panel.lasts - np.array([0, 10, 25])
    for season in (1, 4, 24):
        found = naive_error(panel, until, season)
        for index in range(3):
            values = panel.series(index)[: until[index] - panel.starts[index] + 1]
            errors = [abs(float(values[t]) - float(values[t - season])) for t in range(season, len(values))]
            assert found[index] == pytest.approx(np.nanmean(errors), rel=1e-6)


def test_naive_error_reads_nothing_after_its_step(make_panel):
    panel = make_panel([1, 3, 2, 1e6, 5], [7, 7, 9, 9, 9], starts=[4, 0])
    assert naive_error(panel, np.array([6, 2]), 1).tolist() == [1.5, 1.0]


def test_naive_error_without_a_pair_is_not_a_number(make_panel):
    panel = make_panel([1.0, 2.0], [1.0, NAN, 2.0], [1.0, 2.0, 4.0], starts=[0, 0, 50])
    np.testing.assert_equal(naive_error(panel, np.array([1, 2, 52]), 2), [NAN, 1.0, 3.0])
    np.testing.assert_equal(naive_error(panel, np.array([-1, 1, 49]), 1), [NAN, NAN, NAN])


def test_drift_is_the_loop(panel):
    series = np.array([0, 1, 2, 2, 1, 0, 1])
    cutoffs = panel.lasts[series] - np.array([0, 0, 0, 11, 20, 59, 45])
    found = naive_drift(panel, series, cutoffs, 5)
    for row, index, cutoff in zip(found[:-1], series, cutoffs, strict=False):
        past = panel.series(index)[: cutoff - panel.starts[index] + 1].astype(float)
        last = max(at for at, value in enumerate(past) if not np.isnan(value))
        slope = (past[last] - past[0]) / last if last else 0
        ahead = len(past) - 1 - last + np.arange(1, 6)
        np.testing.assert_allclose(row, past[last] + slope * ahead, rtol=1e-5)
    assert np.isnan(found[-1]).all()  # before the series began


def test_drift_is_statsforecasts_on_complete_rows(make_panel):
    values = np.random.default_rng(1).normal(size=50).astype(np.float32)
    found = naive_drift(make_panel(values, starts=[9]), np.array([0]), np.array([9 + 49]), 7)
    theirs = RandomWalkWithDrift().forecast(values, h=7)["mean"]
    np.testing.assert_allclose(found[0], theirs, rtol=1e-4)


def test_squared_naive_error_is_the_loop(make_panel):
    panel = make_panel([1, 3, 2, 6, 1e6])
    assert naive_error(panel, np.array([3]), 1, 2) == pytest.approx([np.sqrt((4 + 1 + 16) / 3)])
