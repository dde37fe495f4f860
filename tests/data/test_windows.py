import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gatecast.data.dates import Frequency, Grid
from gatecast.data.encoding import Encoder
from gatecast.data.features import calendar
from gatecast.data.panel import Panel
from gatecast.data.windows import Span, Windows, split

PROPERTY = settings(deadline=None, max_examples=60)
HOURLY = Grid(Frequency("second", 3_600), "Europe/Berlin")
CYCLES = ("day", "year")
CPU = torch.device("cpu")
NAN = float("nan")


def panel_of(*series):
    """A panel of (first step, values)."""
    values = [np.array(part, np.float32) for _, part in series]
    offsets = np.cumsum([0, *map(len, values)])
    keys = pa.table({"name": [f"s{i}" for i in range(len(series))]})
    return Panel(HOURLY, keys, np.concatenate(values), offsets, np.array([start for start, _ in series]))


def of_lengths(*lengths):
    return panel_of(*[(10 * i, np.arange(length) + 1.0) for i, length in enumerate(lengths)])


def ends_observed(values):
    return [1.5 if i in (0, len(values) - 1) and np.isnan(value) else value for i, value in enumerate(values)]


numbers = st.integers(-9, 9).map(float) | st.just(NAN)
part = st.tuples(st.integers(-15, 15), st.lists(numbers, min_size=1, max_size=30).map(ends_observed))
panels = st.lists(part, min_size=1, max_size=4).map(lambda parts: panel_of(*parts))
sizes = st.integers(1, 12)


def every_window(panel):
    """All series at all cutoffs from a step before the first row of the panel to its last."""
    cutoffs = np.arange(panel.starts.min() - 1, panel.lasts.max() + 1)
    series = np.repeat(np.arange(len(panel)), len(cutoffs))
    return torch.from_numpy(series), torch.from_numpy(np.tile(cutoffs, len(panel)))


def gathered(panel, series, steps):
    """Values and mask at some steps of a series, one at a time."""
    positions = [step - panel.starts[series] for step in steps]
    within = [0 <= position < panel.lengths[series] for position in positions]
    values = [panel.series(series)[at] if inside else NAN for at, inside in zip(positions, within, strict=True)]
    return [0 if np.isnan(value) else value for value in values], [not np.isnan(value) for value in values]


@PROPERTY
@given(panels, sizes, sizes)
def test_windows_agree_with_a_loop(panel, context, horizon):
    windows = Windows.of(panel, Encoder(CYCLES), context, horizon, CPU)
    series, cutoffs = every_window(panel)
    inputs, truth = windows.inputs(series, cutoffs), windows.truth(series, cutoffs)
    assert torch.equal(inputs.series, series)
    for i, (one, cutoff) in enumerate(zip(series.tolist(), cutoffs.tolist(), strict=True)):
        before, after = range(cutoff - context + 1, cutoff + 1), range(cutoff + 1, cutoff + horizon + 1)
        assert (inputs.context[i].tolist(), inputs.observed[i].tolist()) == gathered(panel, one, before)
        assert (truth.values[i].tolist(), truth.observed[i].tolist()) == gathered(panel, one, after)
        assert (inputs.calendar[i].numpy() == calendar(HOURLY, CYCLES, np.array([*before, *after]))).all()


@PROPERTY
@given(panels, sizes, st.integers(-20, 50), st.sampled_from([NAN, 1e9]))
def test_nothing_after_the_cutoff_is_in_the_inputs(panel, context, cutoff, poison):
    cutoff = int(np.clip(cutoff, panel.starts.min(), panel.lasts.max()))
    steps = np.concatenate([np.arange(start, last + 1) for start, last in zip(panel.starts, panel.lasts, strict=True)])
    changed = np.where(steps > cutoff, np.float32(poison), panel.values)
    other = Panel(HOURLY, panel.keys, changed, panel.offsets, panel.starts)
    series = torch.arange(len(panel))
    seen, told = (
        Windows.of(one, Encoder(CYCLES), context, 3, CPU).inputs(series, torch.full_like(series, cutoff))
        for one in (panel, other)
    )
    for name in ("context", "observed", "calendar", "series"):
        assert torch.equal(getattr(seen, name), getattr(told, name))


def test_what_lies_before_a_series_is_masked():
    windows = Windows.of(panel_of((0, [7.0, 8.0]), (5, [1.0, NAN, 3.0])), Encoder(), 4, 2, CPU)
    inputs = windows.inputs(torch.tensor([1, 1]), torch.tensor([5, 7]))
    assert inputs.context.tolist() == [[0, 0, 0, 1], [0, 1, 0, 3]]
    assert inputs.observed.tolist() == [[False, False, False, True], [False, True, False, True]]
    truth = windows.truth(torch.tensor([0, 1]), torch.tensor([0, 6]))
    assert truth.values.tolist() == [[8, 0], [3, 0]]
    assert truth.observed.tolist() == [[True, False], [True, False]]


def test_the_panel_is_not_copied():
    panel = of_lengths(30, 40)
    windows = Windows.of(panel, Encoder(CYCLES), 5, 2, CPU)
    assert np.shares_memory(windows.values.numpy(), panel.values)
    before = panel.values.copy()
    windows.inputs(*every_window(panel)).context.fill_(NAN)
    assert (panel.values == before).all()


def test_cutoffs_may_lie_ahead_of_every_series():
    panel = of_lengths(30)
    windows = Windows.of(panel, Encoder(CYCLES), 4, 3, CPU, ahead=50)
    series, cutoffs = torch.tensor([0]), torch.tensor([29 + 47])
    expected = calendar(HOURLY, CYCLES, np.arange(73, 80))
    assert (windows.calendar(series, cutoffs)[0].numpy() == expected).all()
    assert not windows.past(series, cutoffs)[1].any()


spans = st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 60)), min_size=1, max_size=5).map(
    lambda pairs: Span(*(np.array(column) for column in zip(*pairs, strict=True)))
)


def listed(span):
    """All windows of a span, as (series, cutoff)."""
    pairs = enumerate(zip(span.lows.tolist(), span.counts.tolist(), strict=True))
    return [(series, low + i) for series, (low, count) in pairs for i in range(count)]


def windows_at(span, numbers):
    return list(zip(*(column.tolist() for column in span.at(numbers)), strict=True))


def even(numbers):
    """Whether numbers ascend by steps that differ by one at most."""
    steps = np.diff(numbers)
    return len(steps) == 0 or (steps.min() >= 1 and np.ptp(steps) <= 1)


@PROPERTY
@given(spans)
def test_at_gives_every_window_once(span):
    assert len(span) == len(listed(span))
    assert windows_at(span, torch.arange(len(span))) == listed(span)


@PROPERTY
@given(spans, st.integers(1, 70))
def test_each_takes_some_of_every_series_evenly_and_the_last(span, most):
    chosen = windows_at(span, span.each(most))
    for series, (low, count) in enumerate(zip(span.lows.tolist(), span.counts.tolist(), strict=True)):
        cutoffs = [cutoff for one, cutoff in chosen if one == series]
        assert len(cutoffs) == min(most, count)
        assert even(cutoffs)
        assert cutoffs[-1:] == [low + count - 1][: min(count, 1)]
        assert all(low <= cutoff for cutoff in cutoffs)


@pytest.mark.parametrize("count", [1, 7, 49, 98, 103, 107, 161, 187])
def test_each_of_as_many_as_there_are_is_all(count):
    assert Span(np.array([0]), np.array([count])).each(count).tolist() == list(range(count))


@PROPERTY
@given(spans, st.integers(2, 400))
def test_spread_reaches_from_the_first_window_to_the_last(span, most):
    numbers = span.spread(most).tolist()
    assert len(numbers) == min(most, len(span))
    assert even(numbers)
    assert numbers[:1] + numbers[-1:] == [0, len(span) - 1] * (len(span) > 0)


lengths = st.lists(st.integers(1, 80), min_size=1, max_size=5)


def truths(span, series, horizon):
    """The steps that the windows of one series have in their horizon."""
    cutoffs = np.arange(span.counts[series]) + span.lows[series]
    return {step for cutoff in cutoffs.tolist() for step in range(cutoff + 1, cutoff + horizon + 1)}


@PROPERTY
@given(lengths, sizes, st.floats(0.05, 0.45))
def test_the_parts_of_a_split_share_no_truth_and_follow_each_other(series_lengths, horizon, share):
    panel = of_lengths(*series_lengths)
    parts = split(panel, horizon, share)
    for i in range(len(panel)):
        training, validating, testing = (
            truths(span, i, horizon)
            for span in (parts.training(horizon), parts.validating(horizon), parts.testing(horizon))
        )
        everything = truths(parts.everything(horizon), i, horizon)
        assert all(max(training) < step for step in validating if training)
        assert all(max(validating) < step for step in testing if validating)
        assert all(step > max(training) for step in testing if training)
        assert everything == set(range(panel.starts[i] + 1, panel.lasts[i] + 1) if panel.lengths[i] > horizon else ())
        assert training | validating | testing <= everything
        if parts.usable(horizon)[i]:
            assert training | validating | testing == everything
            assert testing == set(range(panel.lasts[i] - len(testing) + 1, panel.lasts[i] + 1))
            assert len(testing) == len(validating) >= horizon


@PROPERTY
@given(lengths, sizes, st.floats(0.05, 0.45))
def test_a_series_is_usable_when_it_is_longer_than_three_horizons(series_lengths, horizon, share):
    usable = split(of_lengths(*series_lengths), horizon, share).usable(horizon)
    assert usable.tolist() == [length > 3 * horizon for length in series_lengths]


def test_a_split_by_hand():
    parts = split(of_lengths(100, 8, 4), 2, 0.15)  # series start at 0, 10 and 20
    assert parts.train.tolist() == [69, 13, 19]
    assert parts.validation.tolist() == [84, 15, 21]
    assert parts.training(2).lows.tolist() == [0, 10, 20]
    assert parts.training(2).counts.tolist() == [68, 2, 0]
    assert parts.training(2, history=24).lows.tolist() == [23, 33, 43]
    assert parts.training(2, history=24).counts.tolist() == [45, 0, 0]
    assert parts.validating(2).lows.tolist() == [69, 13, 20]
    assert parts.validating(2).counts.tolist() == [14, 1, 0]
    assert parts.testing(2).lows.tolist() == [84, 15, 21]
    assert parts.testing(2).counts.tolist() == [14, 1, 1]
    assert parts.usable(2).tolist() == [True, True, False]
