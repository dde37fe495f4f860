from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gatecast.data.clock import GridClock, laid
from gatecast.data.column import Column
from gatecast.data.covariates import Covariates
from gatecast.data.dates import Frequency, Grid
from gatecast.data.encoding import Encoder
from gatecast.data.features import calendar
from gatecast.data.panel import Panel
from gatecast.data.windows import Windows
from gatecast.evaluation.baselines import seasonal_naive

PROPERTY = settings(deadline=None, max_examples=60)
CPU, NAN = torch.device("cpu"), float("nan")
BY_CLOCK = Encoder(clock=True)
HOURLY = Grid(Frequency.parse("h"), "Europe/Berlin")
FORWARD, BACK = HOURLY.step("2025-03-30 03:00"), HOURLY.step("2024-10-27 02:00") + 1
"""The first steps after two clock changes: no hour of two o'clock, and the second of two."""

grids = st.sampled_from([
    HOURLY,
    Grid(Frequency.parse("15min"), "Europe/Berlin"),
    Grid(Frequency.parse("30min"), "Australia/Lord_Howe"),  # changed by half an hour
    Grid(Frequency.parse("h+900s"), "America/New_York"),
])  # fmt: skip


def panel_of(grid, *series):
    """A panel of (first step, values)."""
    values = [np.array(part, np.float32) for _, part in series]
    keys = pa.table({"name": [f"s{i}" for i in range(len(series))]})
    offsets = np.cumsum([0, *map(len, values)])
    return Panel(grid, keys, np.concatenate(values), offsets, np.array([start for start, _ in series]))


def by_hour(first, count, grid=HOURLY):
    """A series whose value is the hour of the clock."""
    hours = grid.wall(np.arange(first, first + count)).astype("datetime64[h]").astype(int) % 24
    return first, hours


@PROPERTY
@given(grids, st.sampled_from(["2024-03-20", "2024-10-25", "2024-04-04"]), st.integers(0, 800))
def test_the_clock_shows_what_a_grid_without_a_zone_calls_the_time(grid, day, more):
    first = grid.floor(day) + more
    steps = np.arange(first, first + 3_000)
    clock = GridClock.of(grid, first, first + 2_999)
    wall = replace(grid, timezone=None).from_wall(grid.wall(steps))
    if clock is None:
        assert len(set(wall - steps)) == 1
        return
    shown, reached = (part(torch.from_numpy(steps)).numpy() for part in (clock.shown, clock.reached))
    assert (shown == wall).all()
    assert (reached == np.maximum.accumulate(wall)).all()
    every = np.arange(reached[0], reached[-1] + 1)
    earliest = [steps[np.argmax(reached >= time)] for time in every.tolist()]
    assert clock.steps(torch.from_numpy(every)).tolist() == earliest


def test_a_grid_whose_steps_no_change_moves_has_no_clock():
    assert GridClock.of(replace(HOURLY, timezone=None), 0, 500_000) is None
    assert GridClock.of(replace(HOURLY, timezone="UTC"), 0, 500_000) is None
    assert GridClock.of(Grid(Frequency.parse("D"), "Europe/Berlin"), 0, 20_000) is None
    assert GridClock.of(Grid(Frequency.parse("h"), "Australia/Lord_Howe"), 400_000, 500_000) is None  # by half a step
    assert GridClock.of(HOURLY, FORWARD + 24, FORWARD + 1_000) is None  # a day after it no hour is skipped or repeated
    assert GridClock.of(HOURLY, FORWARD + 23, FORWARD + 1_000).changes.tolist() == [FORWARD]


def test_a_skipped_hour_holds_what_comes_next_and_of_one_shown_twice_the_first_is_kept():
    panel = panel_of(HOURLY, (FORWARD - 2, [1, 2, 3, 4]), (FORWARD, [5, 6]))
    found = laid(panel, GridClock.of(HOURLY, FORWARD - 2, FORWARD + 10), 0)
    assert found.values.tolist() == [1, 2, 3, 3, 4, 5, 5, 6]
    assert found.offsets.tolist() == [0, 5, 8]
    assert found.grid.timezone is None
    assert [found.grid.label(int(start)) for start in found.starts] == ["2025-03-30 00:00", "2025-03-30 02:00"]
    panel = panel_of(HOURLY, (BACK - 2, [1, 2, 3, 4]), (BACK, [7, 8]))
    found = laid(panel, GridClock.of(HOURLY, BACK - 2, BACK + 10), 0)
    assert found.values.tolist() == [1, 2, 4, 7, 8]  # of the second series all there is
    assert [found.grid.label(int(start)) for start in found.starts] == ["2024-10-27 01:00", "2024-10-27 02:00"]


def test_covariates_are_laid_beside_the_values_and_rows_before_what_is_needed_are_left_out():
    beside = Covariates(
        ("x",), (), np.arange(7.0, dtype=np.float32)[:, None], np.array([0, 7]), (), np.empty((1, 0)), {}
    )
    panel = replace(panel_of(HOURLY, (FORWARD - 3, [1, 2, 3, 4])), covariates=beside)
    clock = GridClock.of(HOURLY, FORWARD - 3, FORWARD + 10)
    found = laid(panel, clock, FORWARD - 1)
    assert found.values.tolist() == [3, 4, 4]
    assert found.covariates.column("x").tolist() == [2, 3, 3, 4, 5, 6]
    assert laid(panel, clock, FORWARD + 99).values.tolist() == [4]  # a series that ended before


@PROPERTY
@given(grids, st.integers(-30, 30), st.integers(1, 150), st.integers(1, 60), st.integers(1, 40))
def test_windows_by_the_clock_agree_with_a_loop(grid, start, length, context, horizon):
    day = grid.floor("2024-10-27" if start % 2 else "2025-03-30")
    panel = panel_of(grid, (day + start, 1.0 + np.arange(length)), (day, [5.0]))
    windows = Windows.of(panel, Encoder(("day",), clock=True), context, horizon, CPU)
    naive = replace(grid, timezone=None)
    every = np.arange(day - 400, day + 400)
    reached = np.maximum.accumulate(naive.from_wall(grid.wall(every)))
    cutoffs = np.arange(panel.starts[0] - 1, panel.lasts[0] + 1)
    series, last = torch.zeros(len(cutoffs), dtype=torch.int64), torch.from_numpy(cutoffs)
    inputs, truth = windows.inputs(series, last), windows.truth(series, last)

    def value(time, until):
        step = every[np.argmax(reached >= time)]
        there = panel.starts[0] <= step <= min(until, panel.lasts[0])
        return float(panel.values[step - panel.starts[0]]) if there else 0.0

    changed = windows.clock is not None
    for row, cutoff in enumerate(cutoffs.tolist()):
        now = int(reached[every == cutoff][0])
        before, after = range(now - context + 1, now + 1), range(now + 1, now + horizon + 1)
        if panel.starts[0] in every[np.append(False, reached[1:] == reached[:-1])]:
            continue  # it begins in an hour shown for the second time
        assert inputs.context[row].tolist() == [value(time, cutoff) for time in before]
        assert truth.values[row][truth.observed[row]].tolist() == [
            found for time in after if (found := value(time, cutoff + horizon))
        ]
        if changed:
            wanted = calendar(naive, ("day",), np.array([*before, *after]))
            assert inputs.calendar[row].numpy() == pytest.approx(wanted, abs=1e-6)


@PROPERTY
@given(grids, st.integers(-30, 30), st.integers(2, 150), st.integers(1, 60), st.sampled_from([NAN, 1e9]), st.data())
def test_nothing_after_the_cutoff_is_in_the_inputs(grid, start, length, context, poison, data):
    """Neither a value, nor one that is interpolated towards a value after it."""
    first = grid.floor("2024-10-27" if start % 2 else "2025-03-30") + start
    gaps = data.draw(st.sets(st.integers(1, length - 1)), label="gaps") - {length - 1}
    values = np.arange(1.0, length + 1)
    values[[*gaps]] = NAN
    cutoff = data.draw(st.integers(first, first + length - 1), label="cutoff")
    changed = np.where(np.arange(length) + first > cutoff, np.float32(poison), values)
    changed[-1] = 3.0  # series end with a value
    where = torch.tensor([0]), torch.tensor([cutoff])
    found = []
    for part in (values, changed if cutoff < first + length - 1 else values):
        panel = panel_of(grid, (first, part)).continued(False, "interpolate")
        found.append(Windows.of(panel, BY_CLOCK, context, 3, CPU).inputs(*where))
    assert torch.equal(found[0].observed, found[1].observed)
    assert torch.equal(found[0].context, found[1].context)


def test_the_truth_reaches_no_further_than_the_horizon():
    """By the clock one that holds an hour shown twice would end an hour later."""
    windows = Windows.of(panel_of(HOURLY, (BACK - 20, np.arange(40.0))), BY_CLOCK, 4, 6, CPU)
    before, across = (windows.truth(torch.tensor([0]), torch.tensor([cutoff])) for cutoff in (BACK - 8, BACK - 3))
    assert before.values.tolist() == [[13, 14, 15, 16, 17, 18]]
    assert across.values.tolist() == [[18, 19, 21, 22, 23, 0]]
    assert across.observed.tolist() == [[True] * 5 + [False]]


@pytest.mark.parametrize("change", [FORWARD, BACK])
def test_the_naive_forecast_repeats_the_hour_of_the_clock(change):
    panel = panel_of(HOURLY, by_hour(change - 100, 210))
    cutoffs = np.arange(change - 60, change + 60)
    series, ahead = np.zeros(len(cutoffs), np.int64), np.arange(1, 49)
    steps = cutoffs[:, None] + ahead
    truth = panel.values[steps - panel.starts[0]]
    by_clock = seasonal_naive(panel, series, cutoffs, 24, 48, clock=True)
    assert (by_clock == truth)[truth != 2].all()  # there was no two o'clock, or the second could only be guessed
    elapsed = seasonal_naive(panel, series, cutoffs, 24, 48)
    assert (elapsed != truth).mean() > 0.25


def test_a_window_names_the_steps_it_holds():
    windows = Windows.of(panel_of(HOURLY, (FORWARD - 50, np.arange(100.0))), BY_CLOCK, 4, 3, CPU)
    assert (windows.steps(FORWARD + 1) - FORWARD).tolist() == [-1, 0, 0, 1, 2, 3, 4]
    assert (windows.steps(FORWARD - 2) - FORWARD).tolist() == [-5, -4, -3, -2, -1, 0, 0]
    windows = Windows.of(panel_of(HOURLY, (BACK - 50, np.arange(100.0))), BY_CLOCK, 4, 3, CPU)
    assert (windows.steps(BACK + 1) - BACK).tolist() == [-3, -2, -1, 1, 2, 3, 4]
    assert (windows.steps(BACK) - BACK).tolist() == [-4, -3, -2, 0, 1, 2, 3]  # the cutoff is the second of two
    plain = Windows.of(panel_of(HOURLY, (0, [1.0])), Encoder(), 2, 2, CPU)
    assert plain.steps(0).tolist() == [-1, 0, 1, 2]


def test_past_covariates_are_read_up_to_the_cutoff_however_far_ahead_the_forecast_goes():
    values = np.arange(60.0, dtype=np.float32)
    beside = Covariates(("x",), ("x",), values[:, None], np.array([0, 60]), (), np.empty((1, 0)), {})
    panel = replace(panel_of(HOURLY, (FORWARD - 30, values)), covariates=beside)
    windows = Windows.of(panel, Encoder(columns=(Column("x", "past"),), clock=True), 6, 4, CPU, ahead=20)
    where = torch.tensor([0]), torch.tensor([FORWARD + 1])
    read = windows.calendar(*where)[0, :, 0].tolist()
    context = np.array([27, 28, 29, 30, 30, 31], np.float32)
    assert read == pytest.approx([*(context - context.mean()), 0, 0, 0, 0], abs=1e-5)
    later = windows.calendar(*where, ahead=4)[0, :, 0].tolist()
    assert later == pytest.approx([*(context[4:] - context[4:].mean()), *[0] * 8], abs=1e-5)


@PROPERTY
@given(grids, st.booleans(), st.integers(0, 40), st.integers(1, 150), st.integers(1, 60))
def test_windows_from_a_cutoff_on_are_those_of_the_whole_panel(grid, back, more, length, context):
    last = grid.floor("2024-10-27" if back else "2025-03-30") + more
    panel = panel_of(grid, (last + 1 - length, 1.0 + np.arange(length)))
    where = torch.tensor([0]), torch.tensor([last])
    encoder = Encoder(("day",), clock=True)
    found, whole = (Windows.of(panel, encoder, context, 3, CPU, since=since).inputs(*where) for since in (last, None))
    assert torch.equal(found.context, whole.context)
    assert torch.equal(found.observed, whole.observed)
    assert found.calendar.numpy() == pytest.approx(whole.calendar.numpy(), abs=1e-6)


def test_from_a_cutoff_on_windows_hold_their_whole_context():
    """Of an hour that is shown twice one is not read, so the context begins an hour earlier."""
    values = np.arange(60.0, dtype=np.float32)
    beside = Covariates(("x",), ("x",), values[:, None], np.array([0, 60]), (), np.empty((1, 0)), {})
    panel = replace(panel_of(HOURLY, (BACK - 30, values)), covariates=beside)
    encoder = Encoder(("day",), columns=(Column("x", "past"),), clock=True)
    where = torch.tensor([0]), torch.tensor([BACK + 5])
    found = Windows.of(panel, encoder, 10, 3, CPU, since=BACK + 5).inputs(*where)
    assert found.context.tolist() == [[25, 26, 27, 28, 29, 31, 32, 33, 34, 35]]
    assert torch.equal(found.calendar, Windows.of(panel, encoder, 10, 3, CPU).inputs(*where).calendar)


@pytest.mark.parametrize(
    ("change", "context"),
    [(FORWARD, [30, 30, 31, 32, 33, 34, 35, 36, 37, 38]), (BACK, [29, 31, 32, 33, 34, 35, 36, 37, 38, 39])],
)
def test_from_a_cutoff_on_a_context_may_begin_in_an_hour_that_is_skipped_or_repeated(change, context):
    panel = panel_of(HOURLY, (change - 30, np.arange(60.0)))
    cutoff = change - 30 + context[-1]
    windows = Windows.of(panel, BY_CLOCK, 10, 3, CPU, since=cutoff)
    assert windows.inputs(torch.tensor([0]), torch.tensor([cutoff])).context.tolist() == [context]


def test_the_calendar_reaches_beyond_several_changes_in_one_direction():
    """Samoa went forward by an hour in September 2011, and by a day in December."""
    grid = Grid(Frequency.parse("15min"), "Pacific/Apia")
    last = grid.step("2011-09-20 00:00")
    ahead = grid.step("2012-01-10 00:00") - last
    windows = Windows.of(panel_of(grid, (last - 9, np.arange(10.0))), Encoder(("day",), clock=True), 4, 1, CPU, ahead)
    cutoff = torch.tensor([last])
    farthest = int(windows.ahead(cutoff, ahead).max())
    assert farthest == ahead + 100
    read = windows.calendar(torch.tensor([0]), cutoff, ahead=farthest - 1)
    wanted = calendar(grid, ("day",), np.array([last + ahead]))
    assert read[0, -1:].numpy() == pytest.approx(wanted, abs=1e-6)
