"""Spans of windows, and the parts of a split: what they hold, and that they share no truth."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gatecast.data.dates import Frequency, Grid
from gatecast.data.panel import Panel
from gatecast.data.split import Span, split

PROPERTY = settings(deadline=None, max_examples=60)
sizes = st.integers(1, 12)


def of_lengths(*lengths):
    """Series of hours, each beginning ten after the one before it."""
    keys = pa.table({"name": [f"s{i}" for i in range(len(lengths))]})
    values = np.concatenate([np.arange(length) + 1.0 for length in lengths]).astype(np.float32)
    grid = Grid(Frequency("second", 3_600))
    return Panel(grid, keys, values, np.cumsum([0, *lengths]), 10 * np.arange(len(lengths)))


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
@given(spans, st.integers(1, 300))
def test_each_takes_as_many_of_every_series_evenly_and_the_last(span, most):
    chosen = windows_at(span, span.each(most))
    share = max(1, most // max(int((span.counts > 0).sum()), 1))
    for series, (low, count) in enumerate(zip(span.lows.tolist(), span.counts.tolist(), strict=True)):
        cutoffs = [cutoff for one, cutoff in chosen if one == series]
        assert len(cutoffs) == min(share, count)
        assert even(cutoffs)
        assert cutoffs[-1:] == [low + count - 1][: min(count, 1)]
        assert all(low <= cutoff for cutoff in cutoffs)


@pytest.mark.parametrize("count", [1, 7, 49, 98, 103, 107, 161, 187])
def test_each_of_as_many_as_there_are_is_all(count):
    assert Span(np.array([0]), np.array([count])).each(count).tolist() == list(range(count))


@PROPERTY
@given(spans, st.integers(1, 300))
def test_spread_is_the_same_but_never_more(span, most):
    each, numbers = span.each(most).tolist(), span.spread(most).tolist()
    assert len(numbers) == min(most, len(each))
    assert set(numbers) <= set(each)
    assert even([each.index(number) for number in numbers])


def test_a_long_series_counts_no_more_than_others():
    span = Span(np.array([0, 100, 0]), np.array([1000, 4, 1]))
    assert span.spread(12).tolist() == [249, 499, 749, 999, 1000, 1001, 1002, 1003, 1004]
    assert span.spread(2).tolist() == [999, 1004]


lengths = st.lists(st.integers(1, 80), min_size=1, max_size=5)


def truths(span, series, horizon):
    """The steps that the windows of one series have in their horizon."""
    cutoffs = np.arange(span.counts[series]) + span.lows[series]
    return {step for cutoff in cutoffs.tolist() for step in range(cutoff + 1, cutoff + horizon + 1)}


def test_windows_apart_have_no_step_of_their_horizons_in_common():
    span = Span(np.array([0, 0, 5]), np.array([0, 1, 13]))
    assert [span.apart(horizon) for horizon in (1, 6, 13, 14)] == [14, 1 + 3, 1 + 1, 1 + 1]


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


def test_a_part_is_a_share_of_the_series_unless_training_would_have_too_little():
    panel = of_lengths(40, 40, 41, 42, 43)
    for share, horizon, held in ((0.25, 4, 10), (0.4, 4, 16), (0.45, 4, 4), (0.05, 3, 3)):
        parts = split(of_lengths(40), horizon, share)
        assert (parts.lasts - parts.validation).tolist() == [held]
        assert (parts.validation - parts.train).tolist() == [held]
    assert (panel.lasts - split(panel, 3, 0.43).validation).tolist() == [17, 17, 17, 18, 18]


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
    assert parts.newest(2).lows.tolist() == [98, 16, 22]
    assert parts.newest(6).counts.tolist() == [6, 6, 4]  # the last series has but four steps
    assert parts.usable(2).tolist() == [True, True, False]


def test_windows_are_drawn_by_the_root_of_what_a_series_has():
    span = Span(np.array([0, 5, 7, 0]), np.array([900, 0, 100, 0]))
    drawn = span.draw(100_000, torch.Generator().manual_seed(0))
    series, cutoffs = span.at(drawn)
    counts = np.bincount(series, minlength=4)
    assert counts[[1, 3]].tolist() == [0, 0]
    assert counts[0] / counts[2] == pytest.approx(3, rel=0.05)
    assert (cutoffs[series == 0].min(), cutoffs[series == 0].max()) == (0, 899)
    assert (cutoffs[series == 2].min(), cutoffs[series == 2].max()) == (7, 106)
    tenths = np.bincount(cutoffs[series == 0] // 90)
    assert tenths == pytest.approx(np.full(10, tenths.mean()), rel=0.05)


def test_a_series_too_short_to_learn_from_is_tested_all_the_same():
    parts = split(of_lengths(7, 6, 2), horizon=2, share=0.15)
    assert parts.usable(2).tolist() == [True, False, False]
    assert parts.training(2).counts.tolist() == [1, 0, 0]
    assert parts.testing(2).counts.tolist() == [1, 1, 0]
