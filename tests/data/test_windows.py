from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gatecast.data.column import Column
from gatecast.data.covariates import Covariates
from gatecast.data.dates import Frequency, Grid
from gatecast.data.encoding import Encoder
from gatecast.data.features import calendar, holiday_calendar
from gatecast.data.panel import Panel
from gatecast.data.scaling import Unit
from gatecast.data.windows import Windows, split_rows
from gatecast.nn.masks import gapless

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
    """All series at all cutoffs from the step before their first row to their last."""
    cutoffs = [np.arange(start - 1, last + 1) for start, last in zip(panel.starts, panel.lasts, strict=True)]
    series = np.repeat(np.arange(len(panel)), panel.lengths + 1)
    return torch.from_numpy(series), torch.from_numpy(np.concatenate(cutoffs))


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
@given(panels, sizes, sizes)
def test_a_window_alone_is_as_among_others(panel, context, horizon):
    """Which it is gathered in another way than, if nothing of it is missing."""
    windows = Windows.of(panel, Encoder(), context, horizon, CPU)
    series, cutoffs = every_window(panel)
    inputs, truth = windows.inputs(series, cutoffs), windows.truth(series, cutoffs)
    for at in range(len(series)):
        own = windows.past(series[at : at + 1], cutoffs[at : at + 1])
        ahead = windows.truth(series[at : at + 1], cutoffs[at : at + 1])
        together = (inputs.context, inputs.observed, truth.values, truth.observed)
        for found, expected in zip((*own, ahead.values, ahead.observed), together, strict=True):
            assert torch.equal(found[0], expected[at])
        assert not gapless(own[1]) or inputs.observed[at].all()


def test_of_windows_without_gaps_the_mask_is_one_value():
    windows = Windows.of(of_lengths(9, 7), Encoder(), 4, 2, CPU)
    series = torch.tensor([0, 1])
    for cutoffs, known in (([5, 15], True), ([2, 15], False), ([8, 16], True)):
        assert gapless(windows.inputs(series, torch.tensor(cutoffs)).observed) == known


@PROPERTY
@given(panels, sizes, st.integers(-20, 50), st.sampled_from([NAN, 1e9]))
def test_nothing_after_the_cutoff_is_in_the_inputs(panel, context, cutoff, poison):
    cutoffs = np.clip(cutoff, panel.starts - 1, panel.lasts)
    steps = np.concatenate([np.arange(start, last + 1) for start, last in zip(panel.starts, panel.lasts, strict=True)])
    changed = np.where(steps > np.repeat(cutoffs, panel.lengths), np.float32(poison), panel.values)
    other = Panel(HOURLY, panel.keys, changed, panel.offsets, panel.starts)
    series = torch.arange(len(panel))
    seen, told = (
        Windows.of(one, Encoder(CYCLES), context, 3, CPU).inputs(series, torch.from_numpy(cutoffs))
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


def test_dates_between_series_that_are_far_apart_are_not_worked_out():
    starts = [10**9, 0, 20, 50, 10**9 - 5]
    panel = panel_of(*((start, np.arange(30.0)) for start in starts))
    windows = Windows.of(panel, Encoder(CYCLES), 4, 3, CPU)
    series, cutoffs = every_window(panel)
    found = windows.calendar(series, cutoffs).numpy()
    for cutoff, features in zip(cutoffs.tolist(), found, strict=True):
        assert (features == calendar(HOURLY, CYCLES, np.arange(cutoff - 3, cutoff + 4))).all()
    assert len(windows.dates) == (4 + 80 + 3) + (4 + 35 + 3)


def test_what_lies_before_the_earliest_cutoff_is_not_worked_out():
    panel = of_lengths(30, 40)
    series, cutoffs = torch.tensor([0, 1]), torch.tensor([29, 33])
    whole = Windows.of(panel, Encoder(CYCLES), 4, 3, CPU)
    part = Windows.of(panel, Encoder(CYCLES), 4, 3, CPU, since=29)
    assert torch.equal(part.calendar(series, cutoffs), whole.calendar(series, cutoffs))
    assert torch.equal(part.inputs(series, cutoffs).context, whole.inputs(series, cutoffs).context)
    assert (part.dates.numpy() == calendar(HOURLY, CYCLES, np.arange(29 - 3, 49 + 3 + 1))).all()


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
    """Features of the covariates in a window, one step at a time, as differences from the mean of the context.

    They begin with the first target of the context.
    """
    first, after = panel.covariates.offsets[series : series + 2]
    steps = range(cutoff - context + 1, cutoff + horizon + 1)
    _, targets = gathered(panel, series, steps[:context])
    begin = targets.index(True) if any(targets) else 0
    found = []
    for number, step in enumerate(steps):
        at = first + step - panel.starts[series]
        is_read = number >= begin and first <= at < after
        row = panel.covariates.values[at].tolist() if is_read else [NAN] * 3
        found.append(features([NAN if step > read else row[0], *row[1:]]))
    found = np.array(found)
    for column in range(4):
        seen = found[:context, column][~np.isnan(found[:context, column])]
        found[:, column] -= seen.mean() if seen.size else 0
    return np.nan_to_num(found, nan=0)


@PROPERTY
@given(beside(), sizes, sizes, st.integers(0, 5))
def test_covariates_agree_with_a_loop(panel, context, horizon, ahead):
    windows = Windows.of(panel, Encoder(CYCLES, columns=COLUMNS), context, horizon, CPU, ahead=horizon + ahead)
    series, cutoffs = every_window(panel)
    own, moved = windows.inputs(series, cutoffs).calendar, windows.calendar(series, cutoffs, ahead)
    assert own.shape == (len(series), context + horizon, 2 * len(CYCLES) + 4)
    for i, (one, cutoff) in enumerate(zip(series.tolist(), cutoffs.tolist(), strict=True)):
        for found, later in ((own, cutoff), (moved, cutoff + ahead)):
            steps = np.arange(later - context + 1, later + horizon + 1)
            assert (found[i, :, :4].numpy() == calendar(HOURLY, CYCLES, steps)).all()
            expected = told_beside(panel, one, later, cutoff, context, horizon)
            np.testing.assert_allclose(found[i, :, 4:].numpy(), expected, atol=1e-5)


@PROPERTY
@given(beside(), sizes, st.integers(1, 6), st.randoms())
def test_older_values_are_hidden_as_if_a_series_had_begun_later(panel, context, newest, chance):
    series = chance.randrange(len(panel))
    cutoff = chance.randint(int(panel.starts[series]), int(panel.lasts[series]))
    at = panel.offsets[series] + np.arange(panel.lengths[series])
    seen = at[: cutoff + 1 - panel.starts[series]]
    late = replace(panel, values=panel.values.copy())
    late.values[seen[~np.isnan(panel.values[seen])][:-newest]] = np.nan
    window = torch.tensor([series]), torch.tensor([cutoff])
    whole, begun = (Windows.of(one, Encoder(CYCLES, columns=COLUMNS), context, 3, CPU) for one in (panel, late))
    hidden, expected = whole.inputs(*window, newest=newest), begun.inputs(*window)
    for name in ("context", "observed", "calendar", "series"):
        assert torch.equal(getattr(hidden, name), getattr(expected, name))
    assert int(hidden.observed.sum()) <= newest


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


def test_rows_of_records_are_those_of_all_their_tensors():
    windows = Windows.of(of_lengths(40, 50), Encoder(CYCLES), 10, 3, CPU)
    inputs = windows.inputs(torch.tensor([0, 1, 1]), torch.tensor([20, 25, 30]))
    static = torch.tensor([[0], [1], [2]]), torch.ones(3, 1)
    unit = Unit(torch.tensor([[1.0], [2.0], [3.0]]), torch.ones(3, 1))
    _, (some, (same, absent)) = split_rows((replace(inputs, static=static), (unit, None)), [1, 2])
    assert torch.equal(some.context, inputs.context[1:])
    assert gapless(some.observed)
    assert some.static[0].tolist() == [[1], [2]]
    assert same.loc.tolist() == [[2.0], [3.0]]
    assert same.small is None
    assert absent is None
