"""The memory curve: it finds the step that a forecast uses, and nothing where there is nothing."""

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
from gatecast.evaluation.bootstrap import places
from gatecast.fitted import Fitted
from gatecast.insight.memory import Memory, _hidden, _lengths, _shuffled, remember
from networks import shape_of

CONTEXT, HORIZON = 48, 2


def forecaster(function, segment=6):
    """Weights whose median is a function of the context in the target's unit."""

    class Network(torch.nn.Module):
        shape = shape_of(segment, CONTEXT, ())

        def forward(self, x, observed, calendar, static=None, simple=None):
            return function(x.masked_fill(~observed, 0))[..., None]

    fixed = torch.zeros(1, 1), torch.ones(1, 1)
    ensemble, ones = Ensemble([Network()]), torch.ones(HORIZON, 1)
    return Fitted(ensemble, Scaler("standard", fixed), Encoder(), (0.5,), ones, ones[0], np.array([0]))


def remembered(make_panel, values, function, count=300):
    panel = make_panel(values)
    windows = Windows.of(panel, Encoder(), CONTEXT, HORIZON, torch.device("cpu"))
    cutoffs = np.arange(len(values) - HORIZON - count, len(values) - HORIZON)
    return remember(forecaster(function), windows, np.zeros(count, np.int64), cutoffs)


def planted(seed=0, size=600):
    """Each value is the one thirty steps back with a little noise."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=size)
    for step in range(30, size):
        values[step] = 0.95 * values[step - 30] + 0.3 * values[step]
    return values


def test_it_finds_the_step_that_decides(make_panel):
    found = remembered(make_panel, planted(), lambda x: 0.95 * x[:, -30:-28])
    assert found.kept.tolist() == list(range(0, 49, 6))
    assert found.enough == 30
    ((first, last, share),) = found.stretches
    assert (first, last, share) == (25, 30, pytest.approx(1, abs=0.1))
    assert found.ratios[0].low > 2
    for curve in found.accuracy.values():
        assert min(curve[5:]) == max(curve[5:]) > max(part for part in curve[:5] if not np.isnan(part)) + 10


def test_it_finds_nothing_in_noise(make_panel):
    values = np.random.default_rng(0).normal(10, 1, 600)
    found = remembered(make_panel, values, lambda x: x[:, -2:])
    assert (found.enough, found.stretches) == (0, [])
    assert found.ratios[0].low < 1 < found.ratios[0].high


def test_what_is_as_good_without_counts_for_nothing(make_panel):
    found = remembered(make_panel, planted(), lambda x: 0 * x[:, -2:] + 0.1)
    assert found.enough == 0
    assert [part.value for part in found.ratios] == [1] * 9


def test_no_error_at_all(make_panel):
    found = remembered(make_panel, np.full(400, 3.0), lambda x: 0 * x[:, -2:] + 3)
    assert (found.enough, found.stretches) == (0, [])
    assert found.accuracy["shuffled"] == [100] * 9


def test_the_curve_ends_at_the_plain_forecast(make_panel):
    values = planted(size=400)
    values[350] = np.nan
    found = remembered(make_panel, values, lambda x: 0.5 * x[:, -30:-28], count=50)
    truth = np.stack([values[349:399], values[350:400]], 1)
    plain = 0.5 * np.stack([values[319:369], values[320:370]], 1)
    assert found.truth == pytest.approx(truth, nan_ok=True)
    plain[np.isnan(plain)] = 0
    assert found.shuffled[-1] == pytest.approx(plain, abs=1e-6)
    assert found.hidden[-1] == pytest.approx(plain, abs=1e-6)
    assert found.hidden[0] == pytest.approx(np.zeros((50, 2)))
    expected = 100 * (1 - np.nansum(np.abs(truth - plain)) / np.nansum(np.abs(truth)))
    assert found.accuracy["shuffled"][-1] == pytest.approx(expected, rel=1e-5)
    assert np.isnan(found.accuracy["hidden"][0])


def test_a_rise_must_be_measurable_and_of_a_hundredth():
    """Errors of 1 with all; with fewer steps they are larger by a little, or in some windows only."""
    truth = np.zeros((200, 1))
    errors = np.ones((4, 200, 1))
    errors[2] = 1.005  # surely larger, by too little
    errors[1, :3] = 20.0  # by much on average, in one stretch of time
    errors[0] = 1.5
    where = places(np.zeros(200, np.int64), np.arange(200), 10)
    memory = Memory(np.array([0, 4, 8, 12]), truth, tuple(part[:, :1] for part in where), errors, errors)
    assert memory.enough == 4
    assert memory.rise == memory.ratios[1]
    assert not memory.alike  # 1.285 times, from which the test cannot tell 1
    assert replace(memory, shuffled=np.stack([errors[0], *[errors[3]] * 3])).alike
    assert [part.value for part in memory.ratios] == pytest.approx([1.5, 1 + 57 / 200, 1.005, 1])


def test_a_shorter_context_is_one_whose_older_steps_may_be_hidden():
    truth = np.zeros((200, 1))
    shuffled, hidden = np.ones((2, 4, 200, 1))
    shuffled[:3], hidden[0], hidden[1], hidden[2] = 1.5, 2, 1.06, 1.04
    where = tuple(part[:, :1] for part in places(np.zeros(200, np.int64), np.arange(200), 10))
    memory = Memory(np.array([0, 4, 8, 12]), truth, where, shuffled, hidden)
    assert (memory.enough, memory.shorter) == (12, 8)
    assert replace(memory, hidden=np.ones((4, 200, 1))).shorter == 4  # without any there is no context
    assert replace(memory, hidden=shuffled).shorter == 12


@given(st.integers(1, 500), st.integers(1, 50))
def test_lengths_are_whole_segments_from_none_to_all(count, segment):
    lengths = _lengths(count * segment, segment)
    assert (lengths[0], lengths[-1]) == (0, count * segment)
    assert (lengths % segment == 0).all()
    assert (np.diff(lengths) > 0).all()
    assert len(lengths) <= 22
    assert count > 12 or len(lengths) == count + 1


@given(st.integers(0, 12), st.integers(0, 1000))
def test_shuffling_and_hiding_leave_the_newest_alone(kept, seed):
    chance = torch.Generator().manual_seed(seed)
    observed = torch.rand(3, 12, generator=chance) > 0.3
    context = torch.rand(3, 12, generator=chance).masked_fill(~observed, 0)
    inputs = Inputs(context, observed, torch.zeros(3, 14, 0), torch.arange(3))
    shuffled, hidden = _shuffled(inputs, kept, torch.rand(3, 12, generator=chance)), _hidden(inputs, kept)
    for part in (shuffled, hidden):
        assert torch.equal(part.context[:, 12 - kept :], context[:, 12 - kept :])
        assert torch.equal(part.observed[:, 12 - kept :], observed[:, 12 - kept :])
    assert torch.equal(shuffled.context.sort(1).values, context.sort(1).values)  # nothing is lost or made up
    assert torch.equal(shuffled.context != 0, shuffled.observed)  # a value keeps its mark
    assert not hidden.observed[:, : 12 - kept].any()
    assert not hidden.context[:, : 12 - kept].any()


@pytest.mark.parametrize(("series", "windows", "few"), [(1, 1, True), (1, 32, True), (1, 33, False), (5, 1, False)])
def test_what_lies_in_few_stretches_of_time_is_few(series, windows, few):
    """Ten dates a stretch: 32 windows of ten steps reach the first of a fifth, whose truth is not there."""
    index, cutoffs = np.repeat(np.arange(series), windows), np.tile(np.arange(windows), series)
    truth, where = np.zeros((len(index), 10)), places(index, cutoffs, 10)
    truth[-1, -1] = np.nan
    errors = np.ones((2, len(index), 10))
    assert Memory(np.array([0, 4]), truth, where, errors, errors).few is few


def test_a_stretch_beyond_what_measurably_helps_is_not_named():
    """The errors fall there too, but not by more than chance."""
    ratios = [SimpleNamespace(value=value) for value in (1.16, 1.13, 1.1, 1.0)]
    named = {
        enough: Memory.stretches.fget(SimpleNamespace(kept=np.array([0, 1, 2, 4]), ratios=ratios, enough=enough))
        for enough in (0, 1, 4)
    }
    assert named == {0: [], 1: [], 4: [(3, 4, pytest.approx(0.1 / 0.16))]}


@pytest.mark.parametrize(("least", "shorter"), [(1, 4), (4, 4), (5, 8), (24, 24)])
def test_no_context_is_advised_that_cannot_be(least, shorter):
    """`fit` takes none shorter than the longest season of the simple forecasts."""
    kept, same = np.array([0, 4, 8, 16, 24]), np.ones((5, 60, 4))
    where = places(np.zeros(60, np.int64), np.arange(60), 4)
    assert Memory(kept, np.zeros((60, 4)), where, same, same, least).shorter == shorter
