"""Forecasts from past cutoffs, with weights whose forecasts are known."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from gatecast.data.dates import Frequency, Grid
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Panel
from gatecast.data.scaling import Scaler
from gatecast.ensemble import Ensemble
from gatecast.evaluation.evaluate import evaluate
from gatecast.fitted import Fitted
from gatecast.nn.network import Network, Shape
from gatecast.settings import ForecastSettings

PROBABILITIES = (0.1, 0.25, 0.5, 0.75, 0.9)
SETTINGS = ForecastSettings(horizon=2, level=(80, 50))


def repeating(*seen, season=1, context=4, horizon=2, clock=False):
    """Weights that repeat the last value or season and know no uncertainty but their own smallest."""
    shape = Shape(context, context, horizon, 2, 0, PROBABILITIES, (season,), 4, 1, 0.0, False)
    network, stretch = Network(shape), torch.ones(horizon, len(PROBABILITIES))
    network.mix.bias.data[int(season > 1)] = 99  # of the simple forecasts the last value, or season
    ensemble, encoder = Ensemble([network]).eval(), Encoder(clock=clock)
    return Fitted(ensemble, Scaler("window"), encoder, PROBABILITIES, stretch, stretch[0], np.array(seen))


def test_each_window_is_forecast_from_its_own_cutoff(make_panel):
    values = np.cumsum(np.random.default_rng(0).normal(0, 3, 30)) + 20
    panel = make_panel(values, values[::-1], starts=[0, 50])
    series, cutoffs = np.array([0, 1, 0, 1]), np.array([10, 60, 27, 79])
    found = evaluate(repeating(9, 59), panel, series, cutoffs, 1, SETTINGS)
    last = [values[10], values[::-1][10], values[27], values[0]]
    assert found.points == pytest.approx(np.array([last, last]).T, rel=1e-4)
    assert found.baselines["seasonal_naive"] == pytest.approx(np.array([last, last]).T, rel=1e-6)
    truth = [values[11:13], values[::-1][11:13], values[28:30], [np.nan] * 2]
    assert found.truth == pytest.approx(np.array(truth), rel=1e-6, nan_ok=True)
    scales = [np.abs(np.diff(part[:10].astype(np.float32))).mean() for part in (values, values[::-1])]
    assert found.mase_scale == pytest.approx([scales[0], scales[1]] * 2, rel=1e-5)


def test_a_panel_without_series_columns(make_panel):
    panel = make_panel(np.arange(20.0))
    alone = type(panel)(panel.grid, pa.table({}), panel.values, panel.offsets, panel.starts)
    found = evaluate(repeating(15), alone, np.array([0]), np.array([15]), 1, SETTINGS)
    assert found.to_arrow().column_names[0] == "cutoff"
    assert found.metrics()["series"][0]["series"] == "the series"
    assert found.to_arrow()["actual"].to_pylist() == [16, 17]


@pytest.mark.parametrize(
    ("zone", "change"), [("Europe/Berlin", "2025-03-30 03:00"), ("America/New_York", "2024-11-03 03:00")]
)
def test_by_the_clock_an_hour_comes_back_at_its_hour(zone, change):
    """Also beyond the horizon of the weights, where the clocks skip an hour within it."""
    grid = Grid(Frequency.parse("h"), zone)
    middle = grid.step(change)
    steps = np.arange(middle - 100, middle + 200)
    hours = (grid.wall(steps).astype("datetime64[h]").astype(int) % 24).astype(np.float32)
    panel = Panel(grid, pa.table({"name": ["s"]}), hours, np.array([0, 300]), steps[:1])
    cutoffs = np.arange(middle - 52, middle + 100)
    series, settings = np.zeros(len(cutoffs), np.int64), ForecastSettings(horizon=48, level=(80, 50))
    weights = {"season": 24, "context": 48, "horizon": 48}
    found = evaluate(repeating(middle - 60, **weights, clock=True), panel, series, cutoffs, 24, settings)
    assert (found.truth == hours[cutoffs[:, None] - steps[0] + np.arange(1, 49)]).all()
    told = found.truth != (1 if zone == "America/New_York" else 2)  # shown twice, or never the day before
    assert found.points[told] == pytest.approx(found.truth[told], abs=1e-3)
    assert (found.baselines["seasonal_naive"] == found.truth)[told].all()
    by_sun = evaluate(repeating(middle - 60, **weights), panel, series, cutoffs, 24, settings)
    assert (np.abs(by_sun.points - by_sun.truth) > 0.5).mean() > 0.2
