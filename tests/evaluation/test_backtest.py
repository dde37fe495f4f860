"""What forecasts beside the truth tell, against loops."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from gatecast.errors import UsageError
from gatecast.evaluation.backtest import Backtest
from gatecast.settings import ForecastSettings

PROBABILITIES = (0.1, 0.25, 0.5, 0.75, 0.9)
SETTINGS = ForecastSettings(horizon=2, level=(80, 50))
NAN = np.nan


@pytest.fixture
def found(make_panel):
    """Four windows of two series, in no order; one truth was not observed, one series has no error scale."""
    quantiles = np.array([[10, 20], [11, 19], [5, 6], [12, 30]], np.float32)[..., None] + np.array([-4, -1, 0, 2, 3])
    return Backtest(
        panel=make_panel(np.arange(30.0), np.arange(40.0), starts=[100, 100]),
        series=np.array([1, 0, 1, 0]),
        cutoffs=np.array([110, 111, 112, 113]),
        truth=np.array([[12, NAN], [11, 17], [-2, 6], [9, 9]], np.float32),
        quantiles=quantiles.astype(np.float32),
        baselines={"seasonal_naive": np.array([[8, 8], [10, 10], [4, 4], [NAN, 9]], np.float32)},
        mase_scale=np.array([NAN, 2.0, NAN, 2.0]),
        rmsse_scale=np.array([NAN, 4.0, NAN, 4.0]),
        probabilities=PROBABILITIES,
        settings=SETTINGS,
        season=1,
    )


def test_points_for_squared_errors_lie_as_near_the_mean_as_held_back_windows_say(found):
    mean = found.points_for("rmse")
    assert (mean > found.points).all()  # of quantiles 4 below and 3 above
    half = replace(found, mean_share=0.5, settings=ForecastSettings(horizon=2, level=(80, 50), metric="rmse"))
    assert half.points == pytest.approx((found.points + mean) / 2)


def test_metrics_over_all_and_for_each_series(found):
    metrics = found.metrics()
    assert (metrics["windows"], metrics["horizon"], metrics["season"]) == (4, 2, 1)
    errors = np.array([-2, 0, 2, 7, 0, 3, 21])  # forecast - truth, without the one not observed
    size = np.array([12, 11, 17, 2, 6, 9, 9])
    overall = metrics["overall"]
    assert overall["mae"] == pytest.approx(np.abs(errors).mean())
    assert overall["rmse"] == pytest.approx(np.sqrt((errors**2).mean()))
    assert overall["bias"] == pytest.approx(errors.mean())
    assert overall["wape"] == pytest.approx(np.abs(errors).sum() / size.sum())
    assert overall["accuracy"] == pytest.approx(100 - 100 * np.abs(errors).sum() / size.sum())
    assert overall["mase"] == pytest.approx((0 + 2 + 3 + 21) / 2 / 4)  # of series s0 only
    assert overall["coverage"] == {"50": pytest.approx(100 * 3 / 7), "80": pytest.approx(100 * 5 / 7)}
    naive = metrics["baselines"]["seasonal_naive"]
    assert naive["mae"] == pytest.approx(np.abs([-4, -1, -7, 6, -2, 0]).mean())
    assert naive["wape"] == pytest.approx(20 / (12 + 11 + 17 + 2 + 6 + 9))  # where it gave nothing, truth counts not
    both = np.abs([-2, 0, 2, 7, 0, 21]).sum()
    assert naive["skill"] == pytest.approx(100 * (1 - both / 20))
    assert naive["compared"] == 6 / 8
    assert overall["rmsse"] == pytest.approx(np.sqrt((0 + 4 + 9 + 441) / 16 / 4))
    assert overall["width"] == {"50": pytest.approx(3), "80": pytest.approx(7)}
    assert [row["mae"] for row in metrics["steps"]] == pytest.approx([(2 + 0 + 7 + 3) / 4, (2 + 0 + 21) / 3])
    assert metrics["steps"][1]["baselines"]["seasonal_naive"] == pytest.approx((7 + 2 + 0) / 3)
    cutoffs = found.by("cutoff")
    assert [row["cutoff"] for row in cutoffs] == [f"1970-01-05 {hour}:00" for hour in (14, 15, 16, 17)]
    assert [row["mae"] for row in cutoffs] == pytest.approx([2, 1, 3.5, 12])
    with pytest.raises(UsageError, match=r"^metrics are by series, step, cutoff, not 'date'$"):
        found.by("date")
    rows = {row["series"]: row for row in metrics["series"]}
    assert list(rows) == ["s0", "s1"]
    assert {name: row["windows"] for name, row in rows.items()} == {"s0": 2, "s1": 2}
    assert rows["s0"]["mae"] == pytest.approx((0 + 2 + 3 + 21) / 4)
    assert rows["s1"]["mae"] == pytest.approx((2 + 7 + 0) / 3)
    assert rows["s1"]["mase"] is None
    assert rows["s1"]["baselines"]["seasonal_naive"] == pytest.approx((4 + 6 + 2) / 3)


def test_quantile_loss_is_the_loop(found):
    total, size = 0.0, 0.0
    for truth, quantiles in zip(found.truth.ravel(), found.quantiles.reshape(8, 5), strict=True):
        if not np.isnan(truth):
            size += abs(truth)
            for probability, quantile in zip(PROBABILITIES, quantiles, strict=True):
                total += 2 * max(probability * (truth - quantile), (probability - 1) * (truth - quantile))
    assert found.metrics()["overall"]["quantile_loss"] == pytest.approx(total / 5 / size)


def test_a_backtest_is_told_in_a_line(found):
    panel = "<Panel: 2 series on h, 70 steps, 1970-01-05 04:00 to 1970-01-06 19:00>"
    assert repr(found) == f"<Backtest: 4 windows of 2 steps of {panel}>"
    one = {name: getattr(found, name)[:1] for name in ("series", "cutoffs", "mase_scale", "rmsse_scale")}
    assert repr(replace(found, truth=found.truth[:1, :1], **one)) == f"<Backtest: 1 window of 1 step of {panel}>"


def test_points_and_bounds(found):
    assert found.points.tolist() == [[10, 20], [11, 19], [5, 6], [12, 30]]
    low, high = found.bounds(50)
    assert (low[0].tolist(), high[3].tolist()) == ([9, 19], [14, 32])
    low, high = found.bounds(80)
    assert (low[2].tolist(), high[0].tolist()) == ([1, 2], [13, 23])


def test_rows_hold_everything_beside_each_other(found):
    rows = found.to_arrow()
    bounds = [f"quantile_{probability:g}" for probability in PROBABILITIES]
    names = ["name", "cutoff", "forecast_timestamp", "step", "actual", "forecast_value", *bounds, "seasonal_naive"]
    names += ["mase_scale", "rmsse_scale"]
    assert rows.column_names == names
    assert rows["name"].to_pylist() == ["s1"] * 2 + ["s0"] * 2 + ["s1"] * 2 + ["s0"] * 2
    assert rows["cutoff"].to_pylist()[::2] == [datetime(1970, 1, 5, hour) for hour in (14, 15, 16, 17)]
    assert rows["forecast_timestamp"].to_pylist()[:3] == [datetime(1970, 1, 5, hour) for hour in (15, 16, 16)]
    assert rows["step"].to_pylist() == [1, 2] * 4
    assert rows["actual"].to_pylist() == [12, None, 11, 17, -2, 6, 9, 9]
    assert rows["forecast_value"].to_pylist() == [10, 20, 11, 19, 5, 6, 12, 30]
    assert rows["quantile_0.9"].to_pylist() == [13, 23, 14, 22, 8, 9, 15, 33]
    assert rows["seasonal_naive"].to_pylist() == [8, 8, 10, 10, 4, 4, None, 9]


def test_series_without_a_mase_are_not_ranked_among_those_with_one(found):
    assert set(found.examples()["name"].to_pylist()) == {"s0"}  # s1 was constant in training
    unscaled = replace(found, mase_scale=np.zeros(4))
    assert list(dict.fromkeys(unscaled.examples()["name"].to_pylist())) == ["s1", "s0"]  # errors of 3 and 6.5


def test_nothing_observed_has_no_metrics(make_panel):
    nothing, ones = np.full((1, 2), NAN, np.float32), np.ones((1, 2, 5), np.float32)
    at = np.array([0]), np.array([5])
    scales, naive = [np.ones(1)] * 2, {"seasonal_naive": nothing}
    backtest = Backtest(make_panel([1.0]), *at, nothing, ones, naive, *scales, PROBABILITIES, SETTINGS, 1)
    overall = backtest.metrics()["overall"]
    assert overall["mae"] is overall["wape"] is overall["mase"] is overall["quantile_loss"] is None
    assert all(share is None for share in overall["coverage"].values())
