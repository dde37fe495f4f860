from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gatecast.data.covariates import Column, Covariates
from gatecast.data.dates import Frequency, Grid
from gatecast.data.encoding import Encoder
from gatecast.data.features import calendar, holiday_calendar
from gatecast.data.panel import Panel
from gatecast.data.scaling import Unit
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


COLUMNS = (
    Column("visits", "past", loc=2.0, scale=4.0),
    Column("heat", "future"),
    Column("event", "future", categories=("x", "y")),
    Column("size", "static", loc=1.0, scale=2.0),
    Column("kind", "static", categories=("small", "big")),
)
TEXTS = {"event": ("y", "x", "new"), "kind": ("big", "odd", "small")}


@st.composite
def beside(draw):
    """A panel with covariates: of each series from its start to up to nine steps after its end."""
    panel = draw(panels)
    lengths = [int(length) + draw(st.integers(0, 9)) for length in panel.lengths]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = rng.integers(-5, 6, (sum(lengths), 3)).astype(np.float32)
    values[:, 2] = rng.integers(0, 3, len(values))
    values[rng.random(values.shape) < 0.3] = np.nan
    statics = np.array([[3.0, i % 3] for i in range(len(panel))], np.float32)
    statics[1:2] = np.nan
    offsets = np.cumsum([0, *lengths])
    found = Covariates(("visits", "heat", "event"), ("visits",), values, offsets, ("size", "kind"), statics, TEXTS)
    return replace(panel, covariates=found)


def features(row):
    """A row of the covariates as numbers: visits standardised, heat as it is, a mark each for x and y."""
    visits, heat, event = row
    marks = [NAN, NAN] if np.isnan(event) else [[0, 1], [1, 0], [0, 0]][int(event)]
    return [(visits - 2) / 4, heat, *marks]


def told_beside(panel, series, cutoff, read, context, horizon):
    """Features of the covariates in a window, one step at a time, as differences from the mean of the context."""
    first, after = panel.covariates.offsets[series : series + 2]
    found = []
    for step in range(cutoff - context + 1, cutoff + horizon + 1):
        at = first + step - panel.starts[series]
        row = panel.covariates.values[at].tolist() if first <= at < after else [NAN] * 3
        found.append(features([NAN if step > read else row[0], *row[1:]]))
    found = np.array(found)
    for column in range(4):
        seen = found[:context, column][~np.isnan(found[:context, column])]
        found[:, column] -= seen.mean() if seen.size else 0
    return np.nan_to_num(found, nan=0)


@PROPERTY
@given(beside(), sizes, sizes, st.integers(-3, 5))
def test_covariates_agree_with_a_loop(panel, context, horizon, later):
    windows = Windows.of(panel, Encoder(CYCLES, columns=COLUMNS), context, horizon, CPU)
    series, cutoffs = every_window(panel)
    own, moved = windows.inputs(series, cutoffs).calendar, windows.calendar(series, cutoffs, cutoffs + later)
    assert own.shape == (len(series), context + horizon, 2 * len(CYCLES) + 4)
    for i, (one, cutoff) in enumerate(zip(series.tolist(), cutoffs.tolist(), strict=True)):
        steps = np.arange(cutoff - context + 1, cutoff + horizon + 1)
        for found, read in ((own, cutoff), (moved, cutoff + later)):
            assert (found[i, :, :4].numpy() == calendar(HOURLY, CYCLES, steps)).all()
            expected = told_beside(panel, one, cutoff, read, context, horizon)
            np.testing.assert_allclose(found[i, :, 4:].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("event", "told"), [(1, [0, 0]), (0, [-1, 1]), (2, [-1, 0]), (NAN, [0, 0])])
def test_a_category_has_its_mark_whatever_else_is_in_the_windows(event, told):
    values = np.array([[1.0], [NAN], [event]], np.float32)
    events = Covariates(("event",), (), values, np.array([0, 3]), (), np.empty((1, 0), np.float32), TEXTS)
    panel = replace(panel_of((0, [1.0, 1.0, 1.0])), covariates=events)
    windows = Windows.of(panel, Encoder(columns=COLUMNS[2:3]), 2, 1, CPU)
    assert windows.calendar(torch.tensor([0]), torch.tensor([1])).tolist() == [[[0, 0], [0, 0], told]]


@PROPERTY
@given(beside())
def test_what_is_static_is_that_of_the_series(panel):
    windows = Windows.of(panel, Encoder(columns=COLUMNS), 2, 1, CPU)
    order, cutoffs = torch.arange(len(panel)).flip(0), torch.from_numpy(panel.lasts).flip(0)
    rows, weights = windows.inputs(order, cutoffs).static
    # Rows of the table: size, small, big. The size 3 counts (3 - 1) / 2; odd is no category, series 1 has nothing.
    expected = {0: ([0, 2], [1, 1]), 1: ([0, 1], [0, 0]), 2: ([0, 1], [1, 1]), 3: ([0, 2], [1, 1])}
    assert [(rows[i].tolist(), weights[i].tolist()) for i in range(len(panel))] == [expected[i] for i in order.tolist()]
    assert Windows.of(panel, Encoder(CYCLES), 2, 1, CPU).inputs(order, cutoffs).static is None


def test_each_series_reads_the_holidays_of_its_own_place():
    none = np.empty((3, 0), np.float32)
    land = Covariates((), (), none, np.array([0, 1, 2, 3]), ("land",), np.array([[1.0], [0.0], [NAN]]), {})
    land = replace(land, categories={"land": ("DE", "US")})
    july = HOURLY.step("2024-07-03 12:00")
    panel = replace(panel_of(*[(july, [1.0])] * 3), covariates=land)
    windows = Windows.of(panel, Encoder(CYCLES, places="land"), 3, 30, CPU)
    for series, place in enumerate(["US", "DE", None]):
        found = windows.calendar(torch.tensor([series]), torch.tensor([july]))[0, :, 4:].numpy()
        assert (found == holiday_calendar(HOURLY, place, np.arange(july - 2, july + 31))).all()
        assert found[-1, 1] == (place == "US")


def test_all_of_it_is_moved_to_the_device_and_counted():
    panel = of_lengths(30, 20)
    values = np.zeros((60, 3), np.float32)
    found = Covariates(("visits", "heat", "event"), ("visits",), values, np.array([0, 30, 60]), (), values[:2], TEXTS)
    panel = replace(panel, covariates=replace(found, fixed=("size", "kind"), statics=values[:2, :2]))
    meta = torch.device("meta")
    windows = Windows.of(panel, Encoder(CYCLES, columns=COLUMNS), 5, 2, meta)
    parts = [part for part in vars(windows).values() if isinstance(part, torch.Tensor)] + [*windows.static]
    assert len(parts) == 10
    assert {part.device for part in [windows, *parts]} == {meta}
    dates = 5 + 30 + 2  # from a context before the first step to a horizon after the last
    assert windows.dates.shape == (dates, 4)
    assert windows.nbytes == 4 * (50 + 4 * dates + 3 * 60)
    bare = Windows.of(panel, Encoder(CYCLES), 5, 2, meta)
    assert (bare.nbytes, bare.covariates, bare.bounds, bare.static) == (4 * (50 + 4 * dates), None, None, None)


def test_the_network_takes_the_context_scaled_and_the_rest_as_it_is():
    windows = Windows.of(panel_of((0, [7.0, NAN, 8.0])), Encoder(CYCLES), 3, 1, CPU)
    inputs = windows.inputs(torch.tensor([0]), torch.tensor([2]))
    values, observed, calendar_, static = inputs.scaled(Unit(torch.tensor([[6.0]]), torch.tensor([[2.0]])))
    assert values.tolist() == [[0.5, -3, 1]]
    assert (observed is inputs.observed, calendar_ is inputs.calendar, static) == (True, True, None)


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
