from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gatecast.data.zones import beyond_standard, not_before, standard_offset, to_utc, to_wall, zone_of
from gatecast.errors import UsageError

PROPERTY = settings(deadline=None, max_examples=60)
ZONES = [
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Africa/Casablanca",
    "America/Sao_Paulo",
    "UTC",
]

# Moments in UTC around which some zone moved its clock.
CHANGES = [
    ("America/New_York", "1883-11-18T17:00"),
    ("America/New_York", "2024-03-10T07:00"),
    ("America/New_York", "2024-11-03T06:00"),
    ("America/New_York", "2300-03-11T07:00"),
    ("Europe/Berlin", "1945-05-24T00:00"),
    ("Europe/Berlin", "2024-03-31T01:00"),
    ("Europe/Berlin", "2024-10-27T01:00"),
    ("Australia/Lord_Howe", "1981-02-28T14:00"),
    ("Australia/Lord_Howe", "2024-04-06T15:00"),
    ("Australia/Lord_Howe", "2024-10-05T15:30"),
    ("Asia/Kolkata", "1942-05-14T18:30"),
    ("Africa/Casablanca", "2024-03-10T02:00"),
    ("Africa/Casablanca", "2024-04-14T02:00"),
    ("America/Sao_Paulo", "2018-11-04T03:00"),
    ("America/Sao_Paulo", "2019-02-17T02:00"),
    ("America/Recife", "2000-10-08T03:00"),
    ("America/Recife", "2000-10-15T02:00"),
    ("Pacific/Apia", "2011-12-30T10:00"),
]

anywhen = st.tuples(
    st.sampled_from(ZONES),
    st.tuples(st.integers(1200, 2399), st.lists(st.integers(0, 365 * 86_400 - 1), min_size=1, max_size=20)).map(
        lambda drawn: [datetime(drawn[0], 1, 1) + timedelta(seconds=second) for second in drawn[1]]
    ),
)
near_changes = st.sampled_from(CHANGES).flatmap(
    lambda change: st.tuples(
        st.just(change[0]),
        st.lists(st.integers(-100_000, 100_000), min_size=1, max_size=20).map(
            lambda seconds: [datetime.fromisoformat(change[1]) + timedelta(seconds=second) for second in seconds]
        ),
    )
)
times = anywhen | near_changes


def array(moments):
    return np.array(moments, "datetime64[s]")


def wall_by_zoneinfo(moment, zone):
    return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def utc_by_zoneinfo(wall, zone):
    return wall.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC).replace(tzinfo=None)


@PROPERTY
@given(times)
def test_to_wall_agrees_with_zoneinfo(drawn):
    zone, moments = drawn
    assert to_wall(array(moments), zone).tolist() == [wall_by_zoneinfo(moment, zone) for moment in moments]


@PROPERTY
@given(times)
def test_to_utc_agrees_with_zoneinfo_at_fold_0(drawn):
    zone, moments = drawn
    assert to_utc(array(moments), zone).tolist() == [utc_by_zoneinfo(moment, zone) for moment in moments]


@PROPERTY
@given(times)
def test_there_and_back_is_the_first_moment_at_which_the_clock_shows_the_time(drawn):
    zone, moments = drawn
    instants = array(moments)
    wall = to_wall(instants, zone)
    first = to_utc(wall, zone)
    assert (first <= instants).all()
    assert (to_wall(first, zone) == wall).all()


@PROPERTY
@given(times)
def test_no_earlier_time_on_the_clock_is_at_an_instant_or_after_it_unless_it_is_skipped(drawn):
    zone, moments = drawn
    instants = array(moments)
    wall = not_before(instants, zone)
    assert (to_utc(wall, zone) >= instants).all()
    before = wall - np.timedelta64(1, "s")
    shown = to_wall(to_utc(before, zone), zone) == before
    assert (to_utc(before, zone) < instants)[shown].all()


def test_what_is_not_before_an_hour_shown_again_is_its_end():
    clocks = {"00:59:59": "02:59:59", "01:00:00": "03:00:00", "01:30:00": "03:00:00", "02:00:00": "03:00:00"}
    instants = array([f"2024-10-27T{utc}" for utc in clocks])
    assert (
        not_before(instants, "Europe/Berlin").tolist()
        == array([f"2024-10-27T{wall}" for wall in clocks.values()]).tolist()
    )


@PROPERTY
@given(st.sampled_from(sorted({zone for zone, _ in CHANGES})), st.integers(1900, 2050))
def test_a_long_stretch_and_its_parts_agree(zone, year):
    hours = np.arange(f"{year}-01-01", f"{year + 3}-01-01", 7_200, "datetime64[s]")
    whole = to_wall(hours, zone)
    assert (np.concatenate([to_wall(part, zone) for part in np.array_split(hours, 9)]) == whole).all()


@pytest.mark.parametrize("year", [1936, 1937, 1938, 1939])
def test_two_changes_within_a_week_are_both_seen(year):
    """Freetown's summer time of 1939 lasted four days (in some editions of the zone tables)."""
    noons = np.array([f"{year}-01-01T12:00:00", *np.arange("1939-08-28T12", "1939-09-10T12", 24, "datetime64[h]")])
    instants = noons.astype("datetime64[s]")
    assert to_wall(instants, "Africa/Freetown").tolist() == [
        wall_by_zoneinfo(moment, "Africa/Freetown") for moment in instants.tolist()
    ]


@pytest.mark.parametrize(
    ("zone", "wall", "utc"),
    [
        ("America/New_York", "2024-03-10T02:30", "2024-03-10T07:30"),  # skipped: the clock then shows 03:30
        ("America/New_York", "2024-03-10T01:59:59", "2024-03-10T06:59:59"),
        ("America/New_York", "2024-03-10T03:00", "2024-03-10T07:00"),
        ("America/New_York", "2024-11-03T01:30", "2024-11-03T05:30"),  # twice: the first
        ("America/New_York", "2024-11-03T02:00", "2024-11-03T07:00"),
        ("Europe/Berlin", "2024-03-31T02:30", "2024-03-31T01:30"),
        ("Europe/Berlin", "2024-10-27T02:30", "2024-10-27T00:30"),
        ("Europe/Berlin", "2024-10-27T03:00", "2024-10-27T02:00"),
        ("Australia/Lord_Howe", "2024-10-06T02:15", "2024-10-05T15:45"),  # moved by half an hour
        ("Australia/Lord_Howe", "2024-04-07T01:45", "2024-04-06T14:45"),
        ("Africa/Casablanca", "2024-03-10T02:30", "2024-03-10T01:30"),  # back for Ramadan
        ("Africa/Casablanca", "2024-04-14T02:30", "2024-04-14T02:30"),
        ("America/Sao_Paulo", "2018-11-04T00:00", "2018-11-04T03:00"),  # a day without a midnight
        ("Asia/Kolkata", "2024-06-01T12:00", "2024-06-01T06:30"),
        ("UTC", "2024-06-01T12:00", "2024-06-01T12:00"),
        ("America/New_York", "1200-02-29T00:00", "1200-02-29T04:56:02"),  # local mean time
        ("America/New_York", "2300-07-01T00:00", "2300-07-01T04:00"),  # summer time goes on
        ("America/New_York", "2300-01-01T00:00", "2300-01-01T05:00"),
        ("Australia/Lord_Howe", "2300-01-01T00:00", "2299-12-31T13:00"),
    ],
)
def test_known_wall_times(zone, wall, utc):
    assert to_utc(array([wall]), zone) == array([utc])


@pytest.mark.parametrize(
    ("utc", "wall"), [("2024-03-10T06:59:59", "2024-03-10T01:59:59"), ("2024-03-10T07:00:00", "2024-03-10T03:00:00")]
)
def test_the_clock_jumps_at_the_second(utc, wall):
    assert to_wall(array([utc]), "America/New_York") == array([wall])


def test_no_times():
    none = array([])
    assert to_wall(none, "Europe/Berlin").size == to_utc(none, "Europe/Berlin").size == 0


@example("Asia/Gaza", 2040)
@example("Africa/Casablanca", 2030)
@PROPERTY
@given(st.sampled_from(ZONES), st.integers(2, 2399))
def test_every_fifth_hour_of_a_year(zone, year):
    instants = np.arange(f"{year:04}-01-01T00", f"{year:04}-12-31T00", 5, "datetime64[h]").astype("datetime64[s]")
    assert to_wall(instants, zone).tolist() == [wall_by_zoneinfo(moment, zone) for moment in instants.tolist()]


@pytest.mark.parametrize(
    ("zone", "seconds"),
    [("UTC", 0), ("America/New_York", -18_000), ("Asia/Kolkata", 19_800), ("Australia/Lord_Howe", 37_800)],
)
def test_standard_time_leaves_summer_time_out(zone, seconds):
    assert standard_offset(zone) == seconds


@pytest.mark.parametrize(
    ("zone", "wall", "seconds"),
    [
        ("America/New_York", "2024-01-01", 0),
        ("America/New_York", "2024-07-01", 3_600),
        ("Australia/Lord_Howe", "2024-01-01", 1_800),
        ("America/Caracas", "2012-01-01", -1_800),
    ],
)
def test_how_far_a_clock_is_ahead_of_standard_time(zone, wall, seconds):
    assert beyond_standard(int(np.datetime64(wall, "s").astype(int)), zone) == seconds


@pytest.mark.parametrize(
    "name",
    [
        *("Mars/Olympus", "", "America", "Europe/Berlin/Mitte", "../UTC", "EST+5EDT,M3.2.0", "\0"),
        *("localtime", "posixrules", "posix/Europe/Berlin", "right/UTC", "Factory"),  # files of a system, not zones
    ],
)
def test_a_zone_that_is_none(name):
    with pytest.raises(UsageError, match="is not a time zone"):
        zone_of(name)
