"""The verdict on backtests whose outcome is known."""

from dataclasses import replace

import numpy as np
import pytest

from gatecast.evaluation.backtest import Backtest
from gatecast.evaluation.verdict import MIN_WINDOWS, MORE, judge
from gatecast.settings import ForecastSettings

HORIZON = 4


@pytest.fixture
def make_backtest(make_panel):
    """A function that makes a backtest from the errors (W, H) of the model and of the naive forecast."""
    panel = make_panel([1.0, 2.0], [3.0, 4.0])

    def make(ours, naive, cutoffs=None, series=None, missing=None):
        size = len(ours)
        truth = np.full((size, HORIZON), 50.0, np.float32)
        forecasts = [(truth + errors).astype(np.float32) for errors in (ours, naive)]
        if missing is not None:
            truth[missing] = np.nan
        return Backtest(
            panel=panel,
            series=np.zeros(size, np.int64) if series is None else series,
            cutoffs=np.arange(size) * HORIZON if cutoffs is None else cutoffs,
            truth=truth,
            quantiles=forecasts[0][..., None] + np.array([-1, 0, 1], np.float32),
            baselines={"seasonal_naive": forecasts[1]},
            mase_scale=np.ones(size),
            rmsse_scale=np.ones(size),
            probabilities=(0.1, 0.5, 0.9),
            settings=ForecastSettings(horizon=HORIZON, level=(80.0,), metric="mae"),
            season=1,
        )

    return make


def errors(size, spread, seed):
    return np.random.default_rng(seed).normal(0, spread, (size, HORIZON))


def test_a_clear_win(make_backtest):
    ours, naive = errors(40, 1, 1), errors(40, 2, 2)
    verdict = judge(make_backtest(ours, naive))
    gain, base = np.abs(naive).sum(1) - np.abs(ours).sum(1), np.abs(naive).sum()
    assert verdict.use
    assert verdict.steps == HORIZON
    assert verdict.skill == pytest.approx(100 * gain.sum() / base, rel=1e-4)
    assert verdict.sentence == (
        f"Use it: its error is {verdict.skill:.1f} % (95 % interval {verdict.low:.1f} to {verdict.high:.1f}) "
        "below that of the naive forecast (the last value repeated)."
    )


def test_a_clear_loss(make_backtest):
    verdict = judge(make_backtest(errors(40, 2, 1), errors(40, 1, 2)))
    assert not verdict.use
    assert verdict.low < verdict.skill < verdict.high < 0
    assert verdict.sentence.startswith("Use the seasonal naive forecast instead")
    assert f"{-verdict.skill:.1f} % (95 % interval {-verdict.high:.1f} to {-verdict.low:.1f}) above" in verdict.sentence


def test_no_difference(make_backtest):
    verdict = judge(make_backtest(errors(40, 1, 1), errors(40, 1, 2)))
    assert not verdict.use
    assert verdict.low < 0 < verdict.high
    assert verdict.sentence.startswith("Use the seasonal naive forecast: the model is no better")


@pytest.mark.parametrize("times", [70, pytest.param(400, marks=pytest.mark.slow)])
def test_luck_is_seldom_taken_for_skill(make_backtest, times):
    used = [judge(make_backtest(errors(20, 1, seed), errors(20, 1, 1000 + seed))).use for seed in range(times)]
    assert 0 < np.mean(used) < 0.06  # one side of a 95 % interval: 2.5 %, some more with few windows


def test_the_same_forecast_is_no_better(make_backtest):
    same = errors(40, 1, 1)
    verdict = judge(make_backtest(same, same))
    assert (verdict.use, verdict.skill, verdict.low, verdict.high) == (False, 0.0, 0.0, 0.0)
    assert "its error is 0.0 % (95 % interval 0.0 to 0.0) above that" in verdict.sentence  # no minus before a zero


@pytest.mark.parametrize("size", [1, MIN_WINDOWS - 1])
def test_too_few_windows(make_backtest, size):
    verdict = judge(make_backtest(errors(size, 1, 1), errors(size, 9, 2)))
    assert not verdict.use
    few = f"windows without overlap: {size}, at least {MIN_WINDOWS} are needed ({MORE})"
    assert verdict.sentence == f"Not enough evidence: {few}."


def test_windows_that_overlap_are_too_few(make_backtest):
    ours, naive = errors(16, 1, 1), errors(16, 9, 2)
    verdict = judge(make_backtest(ours, naive, cutoffs=np.arange(16)))
    assert verdict.sentence == (
        "Not enough evidence: windows without overlap: 4, at least 5 are needed "
        "(more rows, a larger --test or a shorter --horizon give more)."
    )
    assert judge(make_backtest(ours, naive, cutoffs=np.arange(16) * HORIZON)).use


def test_windows_that_overlap_do_not_make_it_surer(make_backtest):
    by_date = [np.random.default_rng(seed).normal(size=160) for seed in (1, 2)]
    apart, near = np.arange(40) * HORIZON, np.arange(157)
    found = [
        judge(make_backtest(*(errors[cutoffs[:, None] + np.arange(HORIZON)] for errors in by_date), cutoffs=cutoffs))
        for cutoffs in (apart, near)
    ]
    widths = [verdict.high - verdict.low for verdict in found]
    assert widths[1] == pytest.approx(widths[0], rel=0.15)  # as independent ones they would give half the width


def test_windows_of_different_series_are_counted_apart(make_backtest):
    series = np.repeat([0, 1], 3)
    cutoffs = np.tile(np.arange(3) * HORIZON, 2)
    assert judge(make_backtest(errors(6, 1, 1), errors(6, 9, 2), cutoffs, series)).use
    one = judge(make_backtest(errors(6, 1, 1), errors(6, 9, 2), cutoffs, np.zeros(6, np.int64)))
    assert not one.use


def test_a_perfect_naive_forecast_cannot_be_beaten(make_backtest):
    verdict = judge(make_backtest(errors(40, 1, 1), np.zeros((40, HORIZON))))
    assert not verdict.use
    assert verdict.sentence == "Not enough evidence: the seasonal naive makes no error."


def test_what_was_not_observed_does_not_count(make_backtest):
    ours, naive = errors(40, 1, 1), errors(40, 2, 2)
    missing = np.random.default_rng(3).random((40, HORIZON)) < 0.3
    missing[0] = True
    found = judge(make_backtest(np.where(missing, 1e6, ours), naive, missing=missing))
    gain = np.where(missing, 0, np.abs(naive) - np.abs(ours)).sum()
    assert found.skill == pytest.approx(100 * gain / np.where(missing, 0, np.abs(naive)).sum(), rel=1e-4)
    assert found.use


@pytest.mark.parametrize("seen", [1, 2, MIN_WINDOWS - 1])
def test_windows_without_truth_are_no_evidence(make_backtest, seen):
    missing = np.ones((20, HORIZON), bool)
    missing[:: 20 // seen][:seen] = False
    verdict = judge(make_backtest(errors(20, 1, 1), errors(20, 9, 2), missing=missing))
    assert not verdict.use
    assert verdict.sentence.startswith("Not enough evidence")
    assert not np.isnan(verdict.low)


def test_nothing_observed_is_not_called_a_perfect_naive_forecast(make_backtest):
    verdict = judge(make_backtest(errors(20, 1, 1), errors(20, 9, 2), missing=np.ones((20, HORIZON), bool)))
    assert not verdict.use
    assert verdict.sentence.startswith("Not enough evidence")
    assert "no error" not in verdict.sentence


def test_only_the_first_steps_are_better(make_backtest):
    ours, naive = errors(60, 1, 1), errors(60, 1, 2)
    ours[:, :2] *= 0.2
    ours[:, 2:] *= 2.5
    verdict = judge(make_backtest(ours, naive))
    assert (verdict.use, verdict.steps) == (True, 2)
    assert verdict.sentence.startswith("Use it for steps 1-2 of 4 only: there its error is ")
    ours[:, 2:] /= 2.5
    ours[:, 3] *= 2  # better over all steps together, but clearly not on the last
    assert judge(make_backtest(ours, naive)).steps == 3


def test_a_gain_that_is_told_as_nothing_is_none(make_backtest):
    naive = errors(60, 2, 2)
    for gain, use in ((2e-4, False), (2e-3, True)):  # 0.0 and 0.2 % of every error
        verdict = judge(make_backtest(naive * (1 - gain), naive))
        assert (verdict.use, verdict.steps > 0) == (use, use)
    assert verdict.low == pytest.approx(0.2, rel=1e-3)


def test_a_better_baseline_is_named(make_backtest):
    ours, naive, best = errors(60, 1, 1), errors(60, 2, 2), errors(60, 0.3, 3)
    backtest = make_backtest(ours, naive)
    verdict = judge(replace(backtest, baselines=dict(backtest.baselines) | {"auto_theta": backtest.truth + best}))
    assert verdict.use
    assert verdict.reasons["beaten_by_auto_theta"].startswith("AutoTheta is better: the model's error is ")
