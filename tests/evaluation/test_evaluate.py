"""Forecasts from past cutoffs, with weights whose forecasts are known."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from gatecast.data.encoding import Encoder
from gatecast.data.scaling import Scaler
from gatecast.ensemble import Ensemble
from gatecast.evaluation.evaluate import evaluate
from gatecast.fitted import Fitted
from gatecast.nn.network import Network, Shape
from gatecast.settings import ForecastSettings

PROBABILITIES = (0.1, 0.25, 0.5, 0.75, 0.9)
SETTINGS = ForecastSettings(horizon=2, level=(80, 50))


def repeating(*seen):
    """Weights that repeat the last value and know no uncertainty but their own smallest."""
    shape = Shape(4, 4, 2, 2, 0, PROBABILITIES, (1,), 4, 1, 0.0, False)
    network, stretch = Network(shape), torch.ones(2, len(PROBABILITIES))
    network.mix.bias.data[0] = 99  # of the simple forecasts the last value
    ensemble = Ensemble([network]).eval()
    return Fitted(ensemble, Scaler("window"), Encoder(), PROBABILITIES, stretch, stretch[0], np.array(seen))


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
