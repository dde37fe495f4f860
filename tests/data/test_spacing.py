import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gatecast import read
from gatecast.data.dates import Frequency, Grid
from gatecast.data.spacing import infer
from gatecast.errors import DataError
from gatecast.settings import SourceSettings
from gatecast.store.duckdb import DuckDBStore
from gatecast.store.spacing_query import spacing_query


def gaps_of(*series, zone=None):
    """The gap rows of some series of timestamps; with a zone they are instants in UTC."""
    times = np.concatenate([np.asarray(times, "datetime64[us]") for times in series])
    names = np.repeat([f"s{i}" for i in range(len(series))], [len(times) for times in series])
    frame = pa.table({"t": pa.array(times, pa.timestamp("us", tz="UTC" if zone else None)), "name": names})
    source = SourceSettings(time="t", target="y", series=("name",))
    with DuckDBStore.of_frame(frame) as store:
        query = spacing_query(source, "instant" if zone else "local", zone)
        return store.read(source, query).read_all().to_pylist()


def dates(alias, first="2015-01-01", periods=200, **more):
    return pd.date_range(first, periods=periods, freq=alias, **more).to_numpy("datetime64[us]")


def without(times, share, seed=1):
    """The times with some missing, never the first."""
    kept = np.random.default_rng(seed).random(len(times)) >= share
    kept[0] = True
    return times[kept]


REGULAR = [
    ("s", "s"),
    ("7s", "7s"),
    ("5min", "5min"),
    ("30min", "30min"),
    ("h", "h"),
    ("4h", "4h"),
    ("D", "D"),
    ("B", "B"),
    ("2B", "2B+1D"),
    ("W-SUN", "W-SUN"),
    ("W-MON", "W-MON"),
    ("2W-THU", "2W-THU"),
    ("MS", "MS"),
    ("ME", "ME"),
    ("QS", "QS-JAN"),
    ("QS-FEB", "QS-FEB"),
    ("QE", "QE-DEC"),
    ("QE-JAN", "QE-JAN"),
    ("YS", "YS-JAN"),
    ("YE", "YE-DEC"),
    ("YE-JUN", "YE-JUN"),
    ("BMS", "BMS"),
    ("BME", "BME"),
    ("BQS-FEB", "BQS-FEB"),
    ("BQE", "BQE-DEC"),
    ("BYE-JUN", "BYE-JUN"),
]


@pytest.mark.parametrize(("alias", "found"), REGULAR)
def test_regular_times_are_the_dates_of_what_is_inferred(alias, found):
    times = dates(alias, periods=60).astype("datetime64[s]")
    frequency, share = infer(gaps_of(times))
    assert (str(frequency), share) == (found, 1.0)
    steps = Grid(frequency).from_wall(times)
    assert (np.diff(steps) == 1).all()
    assert (Grid(frequency).wall(steps) == times).all()


@pytest.mark.parametrize(("alias", "found"), REGULAR)
def test_missing_rows_duplicates_and_several_series(alias, found):
    whole = dates(alias, periods=120)
    series = [without(whole, 0.2), np.repeat(without(whole, 0.1, seed=2), 2), whole[40:90]]
    frequency, share = infer(gaps_of(*series))
    assert (str(frequency), share) == (found, 1.0)


@pytest.mark.parametrize(
    ("alias", "first", "found"),
    [
        ("h", "2024-01-01 00:15", "h+900s"),
        ("30min", "2024-01-01 00:10", "30min+600s"),
        ("4h", "2024-01-01 02:00", "4h+7200s"),
        ("D", "2024-01-01 06:00", "D"),  # days are the same wherever in them the rows lie
        ("3D", "2024-01-01", "3D+1D"),
        ("2B", "2015-01-02", "2B"),
        ("2W-MON", "2024-01-01", "2W-MON+7D"),
        ("2MS", "2024-02-01", "2MS+1MS"),
    ],
)
def test_phases(alias, first, found):
    assert str(infer(gaps_of(dates(alias, first)))[0]) == found


def test_hours_in_a_zone_through_its_clock_changes():
    instants = dates("h", "2024-01-01", periods=24 * 366)
    assert infer(gaps_of(instants, zone="America/New_York")) == (Frequency("second", 3_600), 1.0)
    assert infer(gaps_of(instants, zone="Asia/Kolkata")) == (Frequency("second", 3_600, 1_800), 1.0)


@pytest.mark.parametrize(
    ("zone", "first", "freq", "found"),
    [
        ("America/Caracas", "2012-01-01", "h", "h+1800s"),  # half an hour behind what it is today
        ("America/Caracas", "2020-01-01", "h", "h"),
        ("Australia/Lord_Howe", "2024-01-01", "h", "h+1800s"),  # ahead by half an hour in summer
        ("Australia/Lord_Howe", "2024-07-01", "h", "h"),
        ("Australia/Lord_Howe", "2024-01-01", "20min", "20min+600s"),
        ("Australia/Lord_Howe", "2024-01-01", "4h", "4h"),  # by the wall clock
        ("Europe/Berlin", "2024-07-01 00:15", "h", "h+900s"),
    ],
)
def test_steps_in_a_zone_lie_where_the_rows_do(zone, first, freq, found):
    times = dates(freq, first, tz=zone)
    frequency, share = infer(gaps_of(times, zone=zone), zone)
    assert (str(frequency), share) == (found, 1.0)
    grid, instants = Grid(frequency, zone), times.astype("datetime64[s]")
    assert (grid.instants(grid.from_instants(instants)) == instants).all()


def test_elapsed_hours_of_a_clock_that_moves_by_half_an_hour_are_whole_hours_of_its_newest_rows():
    spring = dates("h", "2024-07-01", periods=24 * 180).astype("datetime64[s]")
    frequency, _ = infer(gaps_of(spring, zone="Australia/Lord_Howe"), "Australia/Lord_Howe")
    grid = Grid(frequency, "Australia/Lord_Howe")
    assert (grid.instants(grid.from_instants(spring)) == spring).all()
    assert grid.label(int(grid.from_instants(spring[-1:])[0])) == "2024-12-28 10:00"


def test_days_in_a_zone_are_days_of_its_wall_clock():
    midnights = pd.date_range("2024-01-01", "2024-12-31", tz="America/New_York").tz_convert("UTC").tz_localize(None)
    assert infer(gaps_of(midnights, zone="America/New_York")) == (Frequency("day", 1), 1.0)


def test_months_counted_on_any_day_of_theirs():
    fifteenths = dates("MS", periods=48) + np.timedelta64(14, "D")
    assert infer(gaps_of(fifteenths)) == (Frequency("month", 1), 1.0)


@pytest.mark.parametrize("weeks", [4, 5, 13, 52])
def test_many_weeks_are_no_months(weeks):
    """Four-week periods of a retail calendar: two of them may begin in one month."""
    assert infer(gaps_of(dates(f"{weeks}W-MON", periods=40)))[0].unit == "day"


@pytest.mark.parametrize("days", [29, 30, 31, 59, 60, 90, 92, 120, 180, 365, 366])
def test_many_days_are_no_months(days):
    times = dates(f"{days}D", periods=40).astype("datetime64[s]")
    frequency, share = infer(gaps_of(times, without(times, 0.2)))
    assert (frequency.unit, frequency.multiple, share) == ("day", days, 1.0)
    assert (np.diff(Grid(frequency).from_wall(times)) == 1).all()


@pytest.mark.parametrize(
    ("times", "found"),
    [
        (["2024-07-01", "2024-08-01", "2024-09-01"], "MS"),
        (["2023-02-01", "2023-03-01"], "MS"),
        (["2024-11-30", "2024-12-31"], "ME"),
        (["2021-01-01", "2022-01-01", "2023-01-01"], "YS-JAN"),
        (["2021-12-31", "2022-12-31", "2023-12-31"], "YE-DEC"),
    ],
)
def test_a_few_months_and_years_of_one_length_are_no_days(times, found):
    assert len(set(np.diff(np.array(times, "datetime64[D]")).tolist())) == 1
    assert str(infer(gaps_of(times))[0]) == found


def test_one_row_on_a_weekend_makes_business_days_into_days():
    saturday = np.array(["2015-03-07"], "datetime64[us]")
    times = np.sort(np.concatenate([dates("B"), saturday]))
    assert str(infer(gaps_of(times))[0]) == "D"


def test_mondays_wednesdays_and_fridays_are_no_second_business_days():
    """With holidays among them, so that four days lie between some: they are not taken for what they are not."""
    days = dates("D", "2023-01-02", periods=500).astype("datetime64[D]")
    closed = np.array(["2023-04-07", "2023-05-03", "2023-12-25"], "datetime64[D]")
    times = days[np.isin((days.astype(int) + 3) % 7, [0, 2, 4]) & ~np.isin(days, closed)]
    with pytest.raises(DataError, match="follow no frequency"):
        infer(gaps_of(times))


def test_weekdays_of_a_single_week_are_days():
    assert str(infer(gaps_of(dates("D", "2015-01-05", periods=5)))[0]) == "D"


@pytest.mark.parametrize("alias", ["ME", "BME", "BMS"])
def test_months_are_labelled_by_such_days_only_if_every_row_is_one(alias):
    times = dates(alias, periods=36)
    times[12] -= np.timedelta64(1, "D")
    assert str(infer(gaps_of(times))[0]) == "MS"


def hours_with_odd_rows(count):
    """A hundred hours, and some rows at twenty past."""
    hours = dates("h", periods=100)
    return np.sort(np.concatenate([hours, hours[10 : 10 + count] + np.timedelta64(20, "m")]))


def test_odd_rows_lower_the_share_down_to_nine_in_ten():
    assert infer(gaps_of(hours_with_odd_rows(2))) == (Frequency("second", 3_600), 97 / 101)
    with pytest.raises(DataError, match="follow no frequency"):
        infer(gaps_of(hours_with_odd_rows(6)))  # 93 of 105


@pytest.mark.parametrize("months", [1, 3])
def test_months_that_were_read_as_days_are_refused(months, tmp_path):
    """As in a CSV file whose 12/01/2024 may be January or December, and is not in any line beyond the twelfth."""
    months_on = range(0, 60, months)
    lines = "".join(f"{i % 12 + 1:02}/01/{2015 + i // 12},{i}\n" for i in months_on)
    (tmp_path / "us.csv").write_text("day,y\n" + lines)
    columns = {"time": "day", "target": "y"}
    with pytest.raises(DataError, match=r"as if months were read as days: .*dateformat = '%m/%d/%Y'\)"):
        read(tmp_path / "us.csv", **columns)
    told = f"FROM read_csv('{tmp_path / 'us.csv'}', dateformat = '%m/%d/%Y')"
    panel = read(tmp_path / "us.csv", sql=told, **columns)
    assert panel.values.tolist() == [*months_on]
    assert panel.grid.frequency == Frequency("month", months)
    assert read(tmp_path / "us.csv", freq="D", **columns).grid.frequency == Frequency("day", 1)
    days = dates("D", periods=60)  # of which a gap as long as that says nothing
    assert infer(gaps_of(np.concatenate([days, days + np.timedelta64(59 + 354, "D")])))[0] == Frequency("day", 1)


def test_irregular_times_are_refused_with_the_gaps_seen():
    minutes = np.random.default_rng(1).integers(1, 10_000, 300).cumsum()
    with pytest.raises(DataError, match=r"follow no frequency.* s \(\d+ %\).*--freq"):
        infer(gaps_of(np.datetime64("2024-01-01", "m") + minutes))


@pytest.mark.parametrize("series", [(["2024-01-01"],), (["2024-01-01"], ["2024-01-02"]), (["2024-01-01"] * 3,)])
def test_a_single_time_a_series_shows_no_frequency(series):
    with pytest.raises(DataError, match="no series has two different timestamps"):
        infer(gaps_of(*series))
