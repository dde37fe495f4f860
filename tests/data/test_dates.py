import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frequencies import FREQUENCIES
from gatecast.data.dates import Grid
from gatecast.data.frequency import DAY, HOUR, Frequency
from gatecast.data.holidays import holidays_of
from gatecast.errors import UsageError

PROPERTY = settings(deadline=None, max_examples=100)
CITIES = ["America/New_York", "Europe/Berlin", "Asia/Kolkata", "Africa/Casablanca"]
ZONES = [None, "UTC", *CITIES, "Australia/Lord_Howe", "America/Sao_Paulo"]
CLOCK_CHANGES = ["1893-04-01", "2018-11-04", "2024-03-10", "2024-03-31", "2024-04-07", "2024-10-27", "2024-11-03"]


every = st.one_of(*FREQUENCIES.values())
ends = FREQUENCIES["months by their end"] | FREQUENCIES["half months by their end"]
STARTS = ("seconds", "days", "business days", "days of a calendar", "half months", "months")
starts = st.one_of(*(FREQUENCIES[name] for name in STARTS))
grids = st.builds(Grid, every, st.sampled_from(ZONES), st.just("US"))
# From year 1200 to 2390, and often within a day of a change of clocks.
changes = st.sampled_from([int(np.datetime64(day, "s").astype(int)) for day in CLOCK_CHANGES])
near = changes.flatmap(lambda change: st.integers(change - DAY, change + 2 * DAY))
seconds = st.integers(-24_299_000_000, 13_254_000_000) | near
times = st.lists(seconds, min_size=1, max_size=20).map(lambda drawn: np.array(drawn).astype("datetime64[s]"))


def grid_of(alias, zone=None):
    return Grid(Frequency.parse(alias), zone)


def hours_between(grid, first, count):
    """Hours from the label of one step to the next."""
    return (np.diff(grid.instants(grid.step(first) + np.arange(count + 1))).astype(int) / HOUR).tolist()


@PROPERTY
@given(grids, times)
def test_steps_and_dates_there_and_back(grid, drawn):
    steps = grid.from_instants(drawn)
    assert (grid.from_instants(grid.instants(steps)) == steps).all()
    steps = grid.from_wall(drawn)
    assert (grid.from_wall(grid.wall(steps)) == steps).all()


@PROPERTY
@given(grids, times)
def test_every_label_is_read_back(grid, drawn):
    steps = grid.from_instants(drawn).tolist()
    assert [grid.step(grid.label(step)) for step in steps] == steps


@PROPERTY
@given(st.builds(Grid, starts, st.none(), st.just("US")), times)
def test_a_step_lasts_from_its_label_to_the_next(grid, drawn):
    steps = grid.from_wall(drawn)
    assert (grid.wall(steps) <= drawn).all()
    assert (drawn < grid.wall(steps + 1)).all()


@PROPERTY
@given(st.builds(Grid, ends), times)
def test_a_step_labelled_by_its_end_lasts_through_that_day(grid, drawn):
    steps, days = grid.from_wall(drawn), drawn.astype("datetime64[D]")
    assert (grid.wall(steps - 1) < days).all()
    assert (days <= grid.wall(steps)).all()


@pytest.mark.parametrize(
    ("alias", "zone", "day", "count"),
    [
        ("h", "America/New_York", "2024-03-10", 23),
        ("h", "America/New_York", "2024-11-03", 25),
        ("30min", "Europe/Berlin", "2024-03-31", 46),
        ("30min", "Europe/Berlin", "2024-10-27", 50),
        ("30min", "Australia/Lord_Howe", "2024-04-07", 49),
        ("30min", "Australia/Lord_Howe", "2024-10-06", 47),
        ("h", "America/Sao_Paulo", "2018-11-04", 23),
        ("h", "Africa/Casablanca", "2024-03-10", 25),
        ("4h", "America/New_York", "2024-11-03", 6),
    ],
)
def test_steps_of_a_day(alias, zone, day, count):
    grid = grid_of(alias, zone)
    around = grid.floor(f"{day}T12:00") + np.arange(-99, 99)
    assert (grid.wall(around).astype("datetime64[D]") == np.datetime64(day)).sum() == count


@pytest.mark.parametrize("alias", ["h", "30min"])
@pytest.mark.parametrize("zone", ZONES)
def test_elapsed_steps_have_neither_hole_nor_double_all_year(alias, zone):
    grid = grid_of(alias, zone)
    steps = np.arange(grid.floor("2024-01-01"), grid.floor("2025-01-01"))
    assert (np.diff(grid.instants(steps)).astype(int) == grid.frequency.multiple).all()
    shown, times = np.unique(grid.wall(steps), return_counts=True)
    twice = steps[np.isin(grid.wall(steps), shown[times > 1])].tolist()  # all others have labels of their own
    assert len({grid.label(step) for step in twice}) == len(twice)


def test_the_hour_shown_twice_and_the_hour_never_shown():
    grid = grid_of("h", "America/New_York")
    twice, never = grid.step("2024-11-03 01:00"), grid.step("2024-03-10 02:00")
    around = [grid.label(twice + more) for more in range(-1, 3)]
    assert around == ["2024-11-03 00:00", "2024-11-03 01:00", "2024-11-03 01:00-0500", "2024-11-03 02:00"]
    assert grid.step("2024-11-03T01:00-05:00") == grid.step("2024-11-03 06:00Z") == twice + 1
    assert [grid.label(never + more) for more in (-1, 0)] == ["2024-03-10 01:00", "2024-03-10 03:00"]


def test_longer_steps_follow_the_wall_clock():
    days, four_hours = grid_of("D", "America/New_York"), grid_of("4h", "America/New_York")
    assert hours_between(days, "2024-03-09", 3) == [24, 23, 24]
    assert hours_between(days, "2024-11-02", 3) == [24, 25, 24]
    assert hours_between(four_hours, "2024-03-09 20:00", 3) == [4, 3, 4]
    assert hours_between(four_hours, "2024-11-02 20:00", 3) == [4, 5, 4]
    assert four_hours.label(four_hours.step("2024-11-03") + 1) == "2024-11-03 04:00"


@pytest.mark.parametrize(
    ("alias", "date", "label"),
    [
        ("ME", "2024-02-10", "2024-02-29"),
        ("ME", "2023-02-28 23:59:59", "2023-02-28"),
        ("QE", "2024-01-01", "2024-03-31"),
        ("QE-JAN", "2024-02-01", "2024-04-30"),
        ("QS-FEB", "2024-01-31", "2023-11-01"),
        ("YE-JUN", "2024-07-01", "2025-06-30"),
        ("YS-APR", "2024-03-31", "2023-04-01"),
        ("W-MON", "2024-03-10", "2024-03-04"),
        ("W", "2024-03-10", "2024-03-10"),
        ("B", "2024-03-09", "2024-03-08"),  # a Saturday counts to the Friday
        ("B", "2024-03-10 23:00", "2024-03-08"),
        ("B", "2024-03-11", "2024-03-11"),
        ("B", "1969-12-28", "1969-12-26"),
        ("h+900s", "2024-03-10 12:10", "2024-03-10 11:15"),
        ("D", "1200-02-29", "1200-02-29"),
        ("ME", "1200-02-01", "1200-02-29"),
        ("YE", "2300-02-28", "2300-12-31"),
    ],
)
def test_the_step_a_date_falls_in(alias, date, label):
    grid = grid_of(alias)
    assert grid.label(grid.floor(date)) == label


PANDAS = (
    "s 30s min 15min 90min h 4h D 3D B W W-SAT 2W-MON MS 2MS QS QS-FEB 2QS YS YS-APR 2YS ME QE QE-JAN YE YE-JUN "
    "bh SMS SME BMS BME BQS BQS-FEB BQE BQE-JAN BYS BYE BYE-MAR YS-MAR YE-MAR"
)


@pytest.mark.parametrize("alias", PANDAS.split())
def test_labels_agree_with_pandas(alias):
    """From 1970 on, where pandas starts counting multiples too."""
    last = "1970-01-01 03:00" if alias in ("s", "30s", "min") else "1990-01-01" if "Y" in alias else "1976-03-01"
    expected = pd.date_range("1970-01-01", last, freq=alias).to_numpy("datetime64[s]")
    grid = grid_of(alias)
    steps = grid.from_wall(expected)
    assert (np.diff(steps) == 1).all()
    assert (grid.wall(steps) == expected).all()


@pytest.mark.parametrize(
    ("alias", "offset"),
    [
        ("C", pd.offsets.CustomBusinessDay),
        ("CBMS", pd.offsets.CustomBusinessMonthBegin),
        ("CBME", pd.offsets.CustomBusinessMonthEnd),
        ("cbh", pd.offsets.CustomBusinessHour),
    ],
)
@pytest.mark.parametrize("place", ["US", "DE-BY", "XNYS"])
def test_calendars_of_holidays_agree_with_pandas(alias, offset, place):
    holidays, grid = holidays_of(place, 1960, 2030), Grid(Frequency.parse(alias), None, place)
    for first, last in (("1968-06-01", "1972-01-01"), ("2020-06-01", "2026-12-31")):
        expected = pd.date_range(first, last, freq=offset(holidays=holidays)).to_numpy("datetime64[s]")
        steps = grid.from_wall(expected)
        assert (np.diff(steps) == 1).all()
        assert (grid.wall(steps) == expected).all()
        assert np.isin(holidays, expected.astype("datetime64[D]")).sum() == 0


def test_a_calendar_must_be_named():
    with pytest.raises(UsageError, match="CBMS needs a calendar of holidays: --holidays DE"):
        grid_of("CBMS")


@pytest.mark.parametrize(
    ("alias", "date", "label"),
    [
        ("C", "2024-12-26 15:00", "2024-12-26"),
        ("C", "2024-12-25", "2024-12-24"),  # a holiday counts to the business day before it
        ("C", "2022-01-01", "2021-12-30"),  # the 31st stood in for New Year
        ("bh", "2024-03-08 17:30", "2024-03-08 16:00"),
        ("bh", "2024-03-10 12:00", "2024-03-08 16:00"),  # a Sunday
        ("bh", "2024-03-11 08:59", "2024-03-08 16:00"),
        ("cbh", "2024-12-25 12:00", "2024-12-24 16:00"),
        ("SME", "2024-02-16", "2024-02-29"),
        ("SMS", "2024-02-14 23:00", "2024-02-01"),
        ("BMS", "2024-06-01", "2024-06-03"),  # a Saturday, of the month whose first weekday is the 3rd
        ("BME", "2024-06-30", "2024-06-28"),
    ],
)
def test_the_business_step_a_date_falls_in(alias, date, label):
    grid = Grid(Frequency.parse(alias), None, "US")
    assert grid.label(grid.floor(date)) == label


@pytest.mark.parametrize(
    ("alias", "date", "begin"),
    [
        ("ME", "2024-02-10", "2024-02-01"),
        ("BMS", "2024-06-03", "2024-06-01"),
        ("YE-MAR", "2024-05-05", "2024-04-01"),
        ("SME", "2024-02-20", "2024-02-16"),
        ("SMS", "2024-02-20", "2024-02-15"),
        ("W-MON", "2024-03-10", "2024-03-04"),
        ("h", "2024-11-03T01:30-05:00", "2024-11-03 01:00-0500"),
    ],
)
def test_the_first_moment_of_a_step(alias, date, begin):
    grid = grid_of(alias, "America/New_York")
    assert grid.begins(grid.floor(date)) == begin


@PROPERTY
@given(grids, times)
def test_a_step_begins_with_itself(grid, drawn):
    if grid.frequency.unit != "business hour":  # what is between two days falls in the last of its hours
        steps = grid.from_instants(drawn)
        begins = [grid.begins(step) for step in steps.tolist()]
        assert [grid.floor(begin) for begin in begins] == steps.tolist()
        if not grid.frequency.elapsed:
            moments = np.array(begins, "datetime64[s]")
            assert (grid.from_wall(moments - 1) == steps - 1).all()


@pytest.mark.parametrize("alias", ["30min", "h", "D", "B", "W-SUN", "MS", "ME"])
@pytest.mark.parametrize("zone", CITIES)
def test_instants_agree_with_pandas(alias, zone):
    expected = pd.date_range("2023-12-31", "2025-01-01", freq=alias, tz=zone)
    instants = expected.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[s]")
    grid = grid_of(alias, zone)
    steps = grid.from_instants(instants)
    assert (np.diff(steps) == 1).all()
    assert (grid.instants(steps) == instants).all()


def test_centuries_away():
    days, hours = grid_of("D", "America/New_York"), grid_of("h", "America/New_York")
    assert days.step("2300-03-01") - days.step("2300-02-28") == 1
    assert days.step("1200-03-01") - days.step("1200-02-28") == 2
    assert days.instants(np.array([days.step("1200-07-01")])) == np.datetime64("1200-07-01T04:56:02")
    assert hours.label(hours.step("2300-07-01 05:00Z")) == "2300-07-01 01:00"


@pytest.mark.parametrize(
    ("alias", "text", "same"),
    [
        ("h", "2024-07-01T20:00+02:00", "2024-07-01 14:00"),
        ("h", "20240701T14", " 2024-07-01T14:00:00 "),
        ("h", "2024-07-01", "2024-07-01 00:00"),
        ("D", "2024-07-01T04:00Z", "2024-07-01"),
        ("ME", "2024-07-31T04:00Z", "2024-07-31"),
        ("4h", "2024-12-01T09:00Z", "2024-12-01 04:00"),
    ],
)
def test_texts_of_the_same_step(alias, text, same):
    grid = grid_of(alias, "America/New_York")
    assert grid.step(text) == grid.step(same)


@pytest.mark.parametrize(
    ("alias", "text", "before", "after"),
    [
        ("h", "2024-07-01 14:30", "2024-07-01 14:00", "2024-07-01 15:00"),
        ("h", "2024-07-01 14:00:00.5", "2024-07-01 14:00", "2024-07-01 15:00"),
        ("h", "1969-12-31 23:59:59.5", "1969-12-31 23:00", "1970-01-01 00:00"),
        ("h", "2024-11-03T01:30-05:00", "2024-11-03 01:00-0500", "2024-11-03 02:00"),
        ("h", "2024-11-03 01:30", "2024-11-03 01:00", "2024-11-03 01:00-0500"),
        ("h", "2024-07-01 14:00:00.000001", "2024-07-01 14:00", "2024-07-01 15:00"),
        ("2h+3600s", "2024-11-03T01:00-05:00", "2024-11-03 01:00", "2024-11-03 03:00"),  # shown twice, and the second
        ("D", "2024-07-01T00:00Z", "2024-06-30", "2024-07-01"),
        ("B", "2024-03-09", "2024-03-08", "2024-03-11"),
        ("W-MON", "2024-03-06", "2024-03-04", "2024-03-11"),
        ("MS", "2024-02-10", "2024-02-01", "2024-03-01"),
        ("ME", "2024-02-10", "2024-01-31", "2024-02-29"),
        ("ME", "2024-02-29 12:00", "2024-02-29", "2024-03-31"),
        ("QE", "2024-05-01", "2024-03-31", "2024-06-30"),
    ],
)
def test_a_date_off_the_grid_is_answered_with_its_neighbours(alias, text, before, after):
    with pytest.raises(UsageError, match=f"not on the grid .* are '{before}' and '{after}'$"):
        grid_of(alias, "America/New_York").step(text)


def test_a_date_before_a_year_that_no_date_can_have_is_off_the_grid_as_others_are():
    with pytest.raises(UsageError, match=r"not on the grid .* are '9999-01-01' and '10000-01-01T00:00:00'$"):
        Grid(Frequency.parse("YS")).step("9999-12-31")


@pytest.mark.parametrize("local", ["UTC", "Asia/Tokyo"])
def test_the_zone_of_the_machine_plays_no_part(local, monkeypatch):
    monkeypatch.setenv("TZ", local)
    time.tzset()
    try:
        grid = grid_of("h", "America/New_York")
        expected = {("2024-07-01 12:00", False): 12, ("2024-07-01 12:00", True): 16}
        expected |= {("2024-07-01T12:00Z", False): 8, ("2024-07-01T12:00Z", True): 12}
        for (text, instant), hour in expected.items():
            assert grid.moment(text, instant=instant) == np.datetime64(f"2024-07-01T{hour:02}:00", "us")
        assert grid.label(grid.step("2024-11-03T06:00Z")) == "2024-11-03 01:00-0500"
        assert grid_of("h").moment("2024-07-01 12:00", instant=True) == np.datetime64("2024-07-01T12:00")
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "tomorrow", "2024-02-30", "2024-01-01 25:00", "01/02/2024"])
def test_no_date(text):
    with pytest.raises(UsageError, match="is not a date"):
        grid_of("D").step(text)


def test_a_grid_refuses_a_zone_that_is_none_and_names_itself():
    with pytest.raises(UsageError, match="is not a time zone"):
        grid_of("h", "Europe/Atlantis")
    assert str(grid_of("15T", "Asia/Kolkata")) == "15min, Asia/Kolkata"
