import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatecast.data.dates import Grid
from gatecast.data.features import CYCLES, calendar, meaningful
from gatecast.data.frequency import DAY, Frequency

PROPERTY = settings(deadline=None, max_examples=60)
ALL = tuple(CYCLES)


def features_at(alias, cycle, text, zone=None):
    grid = Grid(Frequency.parse(alias), zone)
    return calendar(grid, (cycle,), np.array([grid.step(text)]))[0].tolist()


def turned(share):
    """Sine and cosine after this share of a turn."""
    return pytest.approx([np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)], abs=1e-6)


@pytest.mark.parametrize(
    ("alias", "cycle", "text", "share"),
    [
        ("h", "day", "2024-01-01 00:00", 0),
        ("h", "day", "2024-01-01 06:00", 1 / 4),
        ("30min", "day", "2024-01-01 23:30", 47 / 48),
        ("h", "week", "2024-01-01 00:00", 0),  # a Monday
        ("h", "week", "2024-01-04 12:00", 1 / 2),
        ("D", "week", "2024-01-07", 6 / 7),
        ("D", "week", "1969-12-28", 6 / 7),
        ("D", "month", "2024-03-01", 0),
        ("D", "month", "2023-02-15", 14 / 28),
        ("D", "month", "2024-02-15", 14 / 29),
        ("D", "year", "2024-01-01", 0),
        ("D", "year", "2024-07-02", 1 / 2),  # of 366 days
        ("h", "year", "2023-04-02 06:00", 1 / 4),  # of 365 days
        ("MS", "year", "1200-02-01", 31 / 366),
        ("ME", "year", "2300-12-31", 364 / 365),
    ],
)
def test_known_places_in_a_cycle(alias, cycle, text, share):
    assert features_at(alias, cycle, text) == turned(share)


@pytest.mark.parametrize("day", ["2024-01-15", "2024-03-10", "2024-07-15"])
def test_the_day_is_that_of_the_wall_clock(day):
    assert features_at("h", "day", f"{day} 18:00", "America/New_York") == turned(3 / 4)


@pytest.mark.parametrize(
    ("alias", "cycle", "fewest", "most"),
    [("h", "day", 24, 24), ("D", "week", 7, 7), ("D", "month", 28, 31), ("D", "year", 365, 366)],
)
def test_a_step_is_a_part_of_a_turn_even_where_a_cycle_starts_anew(alias, cycle, fewest, most):
    grid = Grid(Frequency.parse(alias))
    steps = grid.step("2022-12-01") + np.arange(900)
    moved = np.linalg.norm(np.diff(calendar(grid, (cycle,), steps).astype(float), axis=0), axis=1)
    assert moved.max() == pytest.approx(2 * np.sin(np.pi / fewest), abs=1e-5)
    assert moved.min() == pytest.approx(2 * np.sin(np.pi / most), abs=1e-5)


def test_cycles_stand_side_by_side_in_the_order_asked():
    grid = Grid(Frequency.parse("h"))
    steps = grid.step("2024-01-01") + np.arange(500)
    apart = [calendar(grid, (cycle,), steps) for cycle in ("week", "day")]
    assert (calendar(grid, ("week", "day"), steps) == np.concatenate(apart, axis=1)).all()
    assert calendar(grid, (), steps).shape == (500, 0)


@PROPERTY
@given(
    st.sampled_from(["s", "7min", "h", "5h", "D", "B", "W", "MS", "QE", "YE"]),
    st.sampled_from([None, "America/New_York", "Australia/Lord_Howe"]),
    st.lists(st.floats(-280_000, 150_000), min_size=1, max_size=20),
)
def test_features_lie_on_the_unit_circle(alias, zone, days):
    grid = Grid(Frequency.parse(alias), zone)
    steps = (np.array(days) * DAY / grid.frequency.seconds).astype(np.int64)
    features = calendar(grid, ALL, steps)
    assert features.dtype == np.float32
    assert (np.abs(features) <= 1).all()
    assert (features.reshape(len(days), len(ALL), 2).astype(float) ** 2).sum(-1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("alias", "span", "cycles"),
    [
        ("h", 239, ()),
        ("h", 240, ("day",)),  # ten days
        ("h", 1_680, ("day", "week")),
        ("h", 7_306, ("day", "week", "month")),
        ("h", 17_531, ("day", "week", "month")),
        ("h", 17_532, ("day", "week", "month", "year")),  # two years
        ("12h", 20, ("day",)),
        ("13h", 100_000, ("week", "month", "year")),
        ("D", 69, ()),
        ("D", 70, ("week",)),
        ("D", 731, ("week", "month", "year")),
        ("B", 50, ("week",)),
        ("W", 44, ("month",)),
        ("MS", 23, ()),
        ("MS", 24, ("year",)),
        ("QE", 8, ("year",)),
        ("YS", 1_000, ()),
    ],
)
def test_only_cycles_that_the_grid_resolves_and_the_history_repeats(alias, span, cycles):
    assert meaningful(Grid(Frequency.parse(alias)), span, span) == cycles


def test_a_cycle_is_learned_only_from_cutoffs_at_all_of_its_places():
    months = Grid(Frequency.parse("MS"))
    assert [meaningful(months, 60, cutoffs) for cutoffs in (-3, 1, 11, 12, 37)] == [(), (), (), ("year",), ("year",)]
