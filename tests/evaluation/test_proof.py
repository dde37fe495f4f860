"""A proof finds the leak that was planted, and none where there is none."""

from dataclasses import replace
from functools import partialmethod

import numpy as np
import pyarrow as pa
import pytest
import torch

from gatecast import fit, pipeline
from gatecast.data.windows import Windows
from gatecast.errors import DataError
from gatecast.evaluation import evaluate as module
from gatecast.evaluation.proof import prove

TINY = {"time": "at", "target": "y", "series": "name", "horizon": 6, "epochs": 1, "steps": 2, "hidden": 8}


@pytest.fixture(scope="module", params=["segment", "classic"])
def model(request):
    steps, name = np.tile(np.arange(240), 2), np.repeat(["a", "b"], 240)
    values = 10 + 3 * np.sin(steps * np.pi / 12) + np.random.default_rng(0).normal(0, 0.3, 480)
    times = np.datetime64("2024-01-01", "us") + steps * np.timedelta64(1, "h")
    return fit(pa.table({"at": times, "name": name, "y": values}), **TINY, recipe=request.param)


def test_an_honest_model_moves_no_bit(model):
    proof = pipeline.prove(model, model.panel)
    assert proof.moved == {}
    assert proof.windows == 2 * 31  # every window of the held-back end
    assert proof.changed > proof.windows * 6
    assert proof.sentence.startswith("No leak: 62 forecasts made again after ")
    assert proof.sentence.endswith("not one bit moved.")


def test_an_input_that_looks_one_step_ahead_is_caught(model, monkeypatch):
    past = Windows.past
    monkeypatch.setattr(Windows, "past", lambda self, series, cutoffs: past(self, series, cutoffs + 1))
    proof = pipeline.prove(model, model.panel)
    assert proof.moved["forecasts"] == proof.windows
    assert "A leak: " in proof.sentence


def test_a_scale_of_all_rows_is_caught(model, monkeypatch):
    predict = module.predict

    def leaking(fitted, windows, series, cutoffs, steps):
        quantiles, floors = predict(fitted, windows, series, cutoffs, steps)
        return quantiles * windows.values.nan_to_num().std().item(), floors

    monkeypatch.setattr(module, "predict", leaking)
    proof = pipeline.prove(model, model.panel)
    assert set(proof.moved) == {"forecasts", "points"}
    assert proof.moved["forecasts"] == proof.windows


def test_one_bit_is_enough(model, monkeypatch):
    predict, calls = module.predict, []

    def flipping(*given):
        found, floors = predict(*given)
        calls.append(1)
        if len(calls) == 2:  # the second forecast of the first pass
            found[0, 0, 0] = np.nextafter(found[0, 0, 0], np.float32(np.inf))
        return found, floors

    monkeypatch.setattr(module, "predict", flipping)
    assert pipeline.prove(model, model.panel).moved["forecasts"] == 1


def test_what_is_not_a_number_is_the_same_as_itself(make_panel):
    panel = make_panel(np.arange(20.0))

    def evaluate(rows, series, cutoffs):
        nothing = np.full((1, 2), np.nan, np.float32)
        at = (rows, series, cutoffs, nothing, np.ones((1, 2, 1), np.float32), {"seasonal_naive": nothing})
        settings = module.ForecastSettings(horizon=2)
        return module.Backtest(*at, np.full(1, np.nan), np.ones(1), (0.5,), settings, 1)

    assert prove(evaluate, panel, np.array([0]), np.array([10])).moved == {}


def test_nothing_to_prove_on_is_an_error(model):
    panel = model.panel.take(np.array([0]))
    seen = replace(panel, values=panel.values[:204], offsets=np.array([0, 204]))
    with pytest.raises(DataError, match="nothing to test on"):
        pipeline.prove(model, seen)


def test_a_line_to_a_value_after_the_cutoff_is_caught(monkeypatch):
    """Rows are missing at the end, and are filled by a line."""
    steps = np.r_[:206, 222:240]
    values = 10 + 3 * np.sin(steps * np.pi / 12) + np.random.default_rng(0).normal(0, 0.3, len(steps))
    times = np.datetime64("2024-01-01", "us") + steps * np.timedelta64(1, "h")
    rows = pa.table({"at": times, "name": ["a"] * len(steps), "y": values})
    model = fit(rows, **TINY, fill="interpolate")
    assert pipeline.prove(model, model.panel).moved == {}
    monkeypatch.setattr(Windows, "_gather", partialmethod(seen_at_once, Windows._gather))
    proof = pipeline.prove(model, model.panel)
    assert proof.moved["forecasts"] == 16  # cutoffs with the line before them


def seen_at_once(windows, gather, rows, *asked):
    found, observed = gather(windows, rows, *asked)
    return (torch.zeros_like(found) if rows is windows.waiting else found), observed
