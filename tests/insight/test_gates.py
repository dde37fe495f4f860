"""Gates: the numbers of the cells, checked against the fast path; what a unit follows is what it was made to follow."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gatecast.data.encoding import Encoder
from gatecast.data.scaling import Scaler
from gatecast.data.windows import Inputs, Windows
from gatecast.ensemble import Ensemble
from gatecast.fitted import Fitted
from gatecast.insight.gates import STRONG, Gates, _correlation, follows, read_gates, strongest
from gatecast.nn.lstm import LSTM, Trace
from gatecast.nn.network import Network, Shape

SHAPE = Shape(12, 12, 2, 3, 0, (), (), hidden=5, layers=2, dropout=0.0, skip=False)


def fitted_of(network):
    ensemble, ones = Ensemble([network]).eval(), torch.ones(2, 1)
    return Fitted(ensemble, Scaler("window"), Encoder(), (0.5,), ones, ones[0], np.array([0]))


def inputs_of(values):
    context = torch.tensor(values, dtype=torch.float32)[None]
    observed = ~context.isnan()
    size = context.shape[1]
    return Inputs(context.nan_to_num(0), observed, torch.zeros(1, size + 2, 0), torch.tensor([0]))


def traced(f, i=0.5, o=0.5, segment=4):
    """Gates that are given, (K, L, U) or a number."""
    f = torch.as_tensor(f)[:, None]
    i, o = (torch.full_like(f, value) for value in (i, o))
    apart = torch.arange(f.shape[2]).float()
    return Gates(np.arange(f.shape[2] * segment), segment, Trace(i, f, o, i, i, i), apart)


def test_half_life_is_when_half_is_left():
    f = torch.tensor([[[0.5, 0.9], [0.5, 0.8], [0.5, 0.99]], [[0.25, 1.0], [1.0, 1.0], [0.5, 1.0]]])
    lives = traced(f).half_lives
    assert lives[0, 0] == pytest.approx(4)  # a segment of four steps halves it
    assert lives[1, 0] == pytest.approx(4)
    # After three segments the product of the gates is left; that is half to the power of the time over the half-life.
    assert 0.5 ** (12 / lives[0, 1].item()) == pytest.approx(0.9 * 0.8 * 0.99, rel=1e-5)
    assert 1e6 < lives[1, 1].item() < float("inf")  # never forgets


def test_means_are_over_the_units_of_a_layer():
    means = traced([[[0.1, 0.3], [0.5, 0.7]], [[0.2, 0.4], [1.0, 0.0]]], i=0.25).means()
    assert {name: part.tolist() for name, part in means.items()} == {
        "forget_gate": pytest.approx([0.3, 0.5]),
        "input_gate": [0.25, 0.25],
        "output_gate": [0.5, 0.5],
    }


def test_the_trace_is_of_the_scaled_context_and_its_missing_values():
    fitted = fitted_of(Network(SHAPE))
    values = [1.0, 5, 3] * 3 + [40.0, np.nan, 3]
    inputs = inputs_of(values)
    gates = read_gates(fitted, inputs, np.arange(12))
    unit = fitted.scaler(inputs.context, inputs.observed, inputs.series)
    x, scale, network = unit.scaled(inputs.context), unit.scale, fitted.network.leading
    x = x.masked_fill(~inputs.observed, 0)
    with torch.no_grad():
        read = network.segments(x, inputs.observed, inputs.calendar)
        outputs, (h, c) = network.lstm.fast(read)
    assert gates.trace.h[-1] == pytest.approx(outputs, abs=1e-6)
    assert gates.trace.h[:, :, -1] == pytest.approx(h, abs=1e-6)
    assert gates.trace.c[:, :, -1] == pytest.approx(c, abs=1e-6)
    # The average segment is (10.75, 5, 3); the last is 29.25 and nothing from it, where it was observed.
    assert gates.apart == pytest.approx(torch.tensor([9.75] * 3 + [29.25]) / 3 / scale[0], rel=1e-5)
    assert gates.event == 3


def test_a_context_that_repeats_has_no_event():
    assert read_gates(fitted_of(Network(SHAPE)), inputs_of([1.0, 5, 3] * 4), np.arange(12)).event is None


def test_the_beginning_of_a_series_is_no_event():
    """Its first value, alone in a segment, is as far from those later on as any of a series that grows."""
    gates = read_gates(fitted_of(Network(SHAPE)), inputs_of([np.nan] * 8 + [1.0, 2, 3, 4]), np.arange(12))
    assert gates.event is None
    gates = read_gates(fitted_of(Network(SHAPE)), inputs_of([np.nan] * 6 + [1.0, 5, 3, 2, 5, 3]), np.arange(12))
    assert gates.event is None
    gates = read_gates(fitted_of(Network(SHAPE)), inputs_of([np.nan] * 3 + [1.0, 5, 3] * 2 + [40, 5, 3]), np.arange(12))
    assert gates.event == 3


@pytest.mark.parametrize("part", ["h", "c"])
def test_a_cell_that_differs_from_the_fast_path_is_noticed(monkeypatch, part):
    trace = LSTM.trace
    monkeypatch.setattr(
        LSTM, "trace", lambda lstm, x: replace(trace(lstm, x), **{part: getattr(trace(lstm, x), part) + 0.5})
    )
    with pytest.raises(AssertionError, match=r"differ by 0\.5"):
        read_gates(fitted_of(Network(SHAPE)), inputs_of(range(12)), np.arange(12))


@pytest.fixture
def made_to_follow(make_panel):
    """Weights whose six units hold known things of each window, and hourly windows over 20 days."""

    def segments(x, observed, calendar, about, simple):
        return torch.cat([x, calendar[:, 23]], 1)  # the calendar at the cutoff

    def fast(read):
        x, (day_sin, day_cos, week_sin, week_cos) = read[:, :24], read[:, 24:].T
        noise = torch.rand(len(x), generator=torch.Generator().manual_seed(0))
        slope = x[:, 12:].mean(1) - x[:, :12].mean(1)
        newest = x[:, -4:].mean(1)
        units = [newest, -slope, day_sin + day_cos, week_cos - 2 * week_sin, noise, torch.ones(len(x))]
        return None, (None, torch.stack(units, -1)[None])

    network = SimpleNamespace(
        shape=SimpleNamespace(segment=4, context=24, reach=24, logs=False, adjusted=False, winsorized=False),
        cleaned=lambda x, observed, calendar: (x.masked_fill(~observed, 0), None),
        about=lambda static: None,
        segments=segments,
        lstm=SimpleNamespace(fast=fast),
    )
    rng = np.random.default_rng(0)
    panel = make_panel(1000 + rng.normal(0, 10, 520).cumsum())
    windows = Windows.of(panel, Encoder(("day", "week")), 24, 2, torch.device("cpu"))
    ensemble = SimpleNamespace(shape=network.shape, leading=network)
    return replace(fitted_of(Network(SHAPE)), network=ensemble), windows, panel.grid


def test_a_unit_follows_what_it_was_made_to_follow(made_to_follow):
    fitted, windows, grid = made_to_follow
    cutoffs = np.arange(24, 510)
    found = follows(fitted, windows, np.zeros(486, np.int64), cutoffs, grid)
    assert list(found) == ["level", "trend", "hour", "weekday"]  # 20 days are no two months
    assert found["level"][0, 0] == pytest.approx(1)
    assert found["trend"][0, 1] < -0.9
    assert [found["hour"][0, 2], found["weekday"][0, 3]] == pytest.approx([1, 1], abs=1e-4)
    assert max(abs(part[0, 4]) for part in found.values()) < 0.2
    assert [part[0, 5] for part in found.values()] == [0] * 4  # a constant follows nothing
    only = {name: part for name, part in found.items() if name not in ("level", "trend")}
    assert strongest(only)[2:] == [
        ("hour", pytest.approx(1, abs=1e-4)),
        ("weekday", pytest.approx(1, abs=1e-4)),
        None,
        None,
    ]


def test_a_few_windows_or_a_few_days_name_nothing(made_to_follow):
    fitted, windows, grid = made_to_follow
    assert follows(fitted, windows, np.zeros(29, np.int64), np.arange(24, 53), grid) == {}
    assert list(follows(fitted, windows, np.zeros(47, np.int64), np.arange(24, 71), grid)) == ["level", "trend"]
    assert list(follows(fitted, windows, np.zeros(48, np.int64), np.arange(24, 72), grid))[2:] == ["hour"]
    assert strongest({}) == []


def test_strong_is_half_of_the_variance():
    found = {"level": torch.tensor([[-0.72, 0.70]]), "hour": torch.tensor([[0.71, 0.6]])}
    assert strongest(found) == [("level", pytest.approx(-0.72)), None]
    assert pytest.approx(0.5) == STRONG**2


@given(st.integers(0, 10_000))
def test_correlations_are_those_of_numpy(seed):
    rng = np.random.default_rng(seed)
    values, column, other = rng.normal(size=(2, 40, 3)), rng.normal(size=40), rng.normal(size=40)
    one, both = _correlation(values, [column]), _correlation(values, [column, other])
    design = np.stack([np.ones(40), column, other], -1)
    for k in range(2):
        for u in range(3):
            y = values[k, :, u]
            assert one[k, u] == pytest.approx(np.corrcoef(y, column)[0, 1])
            fit = design @ np.linalg.lstsq(design, y, rcond=None)[0]
            assert both[k, u] == pytest.approx(np.corrcoef(y, fit)[0, 1])
