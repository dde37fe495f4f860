import datetime as dt
import re
from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gatecast import audit, fit, open_store, pipeline, read
from gatecast.errors import DataError, UsageError

HOUR = dt.timedelta(hours=1)


def frame(times, values=None, **columns):
    values = {} if values is None else {"y": pa.array(values, pa.float64())}
    return pa.table({"at": times, **columns, **values})


def hours(first, count, step=HOUR, **more):
    start = dt.datetime.fromisoformat(first)
    return pa.array([start + i * step for i in range(count)], pa.timestamp("us", **more))


def values(panel, index=0):
    return [None if np.isnan(value) else value for value in panel.series(index).tolist()]


def findings(found):
    return {finding.name: (finding.count, finding.places) for finding in found.findings}


TWO = frame(hours("2024-01-01", 2), [1.0, 2.0], number=[1, 2], odd=[[1], [2]])
LOCAL = {"time": "at", "target": "y", "freq": "h", "timezone": "America/New_York"}
SPRING = ["2024-03-10 01:00", "2024-03-10 02:00", "2024-03-10 03:00", "2024-03-10 04:00"]


@pytest.mark.parametrize(
    ("aggregate", "value"), [("sum", 11.0), ("count", 2.0), ("mean", 5.5), ("min", 4.0), ("max", 7.0), ("last", 4.0)]
)
def test_an_hour_that_clocks_skip_is_brought_together_with_the_one_after_it(aggregate, value):
    times = pa.array([dt.datetime.fromisoformat(text) for text in SPRING], pa.timestamp("us"))
    table = frame(times, [1.0, 7.0, 4.0, 1.0])
    panel = read(table, aggregate=aggregate, **LOCAL)
    assert values(panel) == [1.0, value, 1.0]
    assert panel.grid.label(int(panel.starts[0])) == "2024-03-10 01:00"
    found = findings(audit(table, aggregate=aggregate, **LOCAL))
    assert found["local times that clocks skip"] == (1, ("the series at 2024-03-10 03:00",))


def test_an_hour_that_clocks_show_twice_is_the_first_of_the_two():
    table = frame(hours("2024-11-03", 4), [0.0, 1.0, 2.0, 3.0])
    assert values(read(table, **LOCAL)) == [0.0, 1.0, None, 2.0, 3.0]
    found = findings(audit(table, **LOCAL))
    assert found["local times that clocks show twice"] == (1, ("the series at 2024-11-03 01:00",))
    assert found["missing steps"] == (1, ("the series from 2024-11-03 01:00-0500",))
    assert not {"local times that clocks show twice"} & findings(audit(table, **LOCAL | {"timezone": "UTC"})).keys()


@pytest.mark.parametrize(
    ("zone", "first", "days", "count"),
    [
        ("America/New_York", "2024-03-08", 7, 167),
        ("America/New_York", "2024-11-01", 7, 169),
        ("Europe/Berlin", "2024-03-28", 7, 167),
        ("Australia/Lord_Howe", "2024-04-05", 7, 168.5),
        ("Australia/Lord_Howe", "2024-10-04", 7, 167.5),
        ("Asia/Kolkata", "2024-03-28", 7, 168),
    ],
)
def test_a_week_in_which_clocks_change_has_every_half_hour_once(zone, first, days, count):
    start = pd.Timestamp(first, tz=zone)
    times = pd.date_range(start, periods=int(2 * count), freq="30min")
    assert times[-1] + pd.Timedelta("30min") == pd.Timestamp(first).tz_localize(None).tz_localize(zone) + pd.DateOffset(
        days=days
    )
    table = pa.table({"at": pa.array(times.tz_convert("UTC")), "y": np.arange(len(times), dtype=float)})
    panel = read(table, time="at", target="y", freq="30min", timezone=zone)
    assert values(panel) == list(range(int(2 * count)))
    days_of = read(table, time="at", target="y", freq="D", timezone=zone, aggregate="count")
    labels = [days_of.grid.label(int(days_of.starts[0]) + i) for i in range(days)]
    assert labels == [str(np.datetime64(first) + i) for i in range(days)]
    assert sum(values(days_of)) == 2 * count
    assert sorted(set(values(days_of))) == sorted({48.0, 2 * count - 48 * (days - 1)})


def test_a_frame_brings_its_zone_and_gets_its_dates_back_in_it():
    times = pd.date_range("2024-03-20", periods=20, freq="D", tz="Europe/Berlin")
    table = pd.DataFrame({"at": times, "y": np.arange(20.0)})
    model = fit(table, time="at", target="y", horizon=2, epochs=1, steps=1, hidden=4)
    assert model.config.grid.timezone == "Europe/Berlin"
    assert (model.panel.grid.timezone, str(model.panel.grid.frequency)) == ("Europe/Berlin", "D")
    rows = model.forecast().rows
    assert rows.schema.field("forecast_timestamp").type == pa.timestamp("us", "Europe/Berlin")
    assert str(rows["forecast_timestamp"][0].as_py()) == "2024-04-09 00:00:00+02:00"


@pytest.mark.parametrize(
    ("zone", "found"),
    [
        ("America/New_York", "America/New_York"),
        (ZoneInfo("America/Argentina/Buenos_Aires"), "America/Argentina/Buenos_Aires"),
        ("Etc/GMT+5", "Etc/GMT+5"),
        ("UTC", None),
        (dt.timezone(HOUR), None),
    ],
    ids=str,
)
def test_a_frame_brings_a_zone_of_any_name_and_a_fixed_offset_is_none(zone, found):
    times = pd.date_range("2024-03-20", periods=48, freq="h", tz=zone)
    panel = read(pd.DataFrame({"at": times, "y": np.arange(48.0)}), time="at", target="y")
    assert (panel.grid.timezone, values(panel)) == (found, list(range(48)))
    assert panel.grid.instants(panel.starts) == times[:1].tz_convert("UTC").tz_localize(None).to_numpy()


PLAIN = pd.DataFrame({"at": pd.date_range("2024-01-01", periods=48, freq="h"), "y": np.arange(48.0)})
ODD = {
    "texts and numbers": ["a", 1] * 24,
    "structs and texts": [{"a": 1}, "x"] * 24,
    "complex numbers": [1j] * 48,
    "objects": [object()] * 48,
    "few of many": pd.arrays.SparseArray([1.0] * 48),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_column_of_a_frame_that_cannot_be_read_is_in_the_way_only_where_it_is_named(kind):
    odd = PLAIN.assign(note=ODD[kind])
    given = {"time": "at", "target": "y"}
    for rows, more in ((odd, {}), (odd.set_index("at"), {}), (odd, {"sql": 'SELECT "at", y FROM frame'})):
        assert values(read(rows, **given, **more)) == list(range(48))
    with pytest.raises(DataError, match=r"^cannot read column 'note' \(.+\): make its values numbers, .* of one kind$"):
        read(odd, **given, past="note")


def test_columns_that_are_not_there_are_told_with_all_that_are():
    with pytest.raises(DataError, match="no column 'z'; there are at, y, more"):
        read(PLAIN.assign(more=1), time="at", target="z")
    with pytest.raises(UsageError, match="--time COLUMN; there are at, y, more"):
        read(PLAIN.assign(more=1), target="y")


def test_two_columns_of_one_name_are_refused_by_it():
    with pytest.raises(DataError, match=r"cannot read rows from DataFrame: .*unique column names.* 'y' 2 times"):
        read(pd.concat([PLAIN, PLAIN[["y"]]], axis=1), time="at", target="y")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("{'id': 1}", "struct<id: int32>"),
        ("[1, 2]", "list<l: int32>"),
        ("MAP([1], [2])", "map<int32, int32>"),
        ("INTERVAL 1 DAY", "month_day_nano_interval"),
    ],
)
def test_series_of_what_no_series_can_be_named_by_are_refused_before_any_row_is_read(value, kind):
    told = re.escape(f"not 'k' ({kind}): cast it in --sql")
    with pytest.raises(DataError, match=f"^a series column holds texts, numbers or times, {told}$"):
        read(PLAIN, time="at", target="y", series="k", sql=f'SELECT "at", y, {value} AS k FROM frame')


def test_series_of_a_rare_kind_that_has_a_name_are_read():
    query = """SELECT "at", y, '00000000-0000-0000-0000-000000000001'::UUID AS k, TIME '10:30' AS t FROM frame"""
    panel = read(PLAIN, time="at", target="y", series=("k", "t"), sql=query)
    assert panel.keys.to_pylist() == [{"k": "00000000-0000-0000-0000-000000000001", "t": dt.time(10, 30)}]


EVENTS = pa.table(
    {
        "at": pa.array([dt.datetime(2024, 1, 1, hour, 10) for hour in (0, 0, 3, 5, 1, 1, 1, 2)], pa.timestamp("us")),
        "shop": ["a", "a", "a", "a", "b", "b", "b", "b"],
        "y": [1.0, 2.0, 4.0, 8.0, 1.0, 2.0, 3.0, 7.0],
    }
)
N = None


@pytest.mark.parametrize(
    ("options", "a", "b"),
    [
        ({}, [2, 0, 0, 1, 0, 1], [3, 1, 0, 0, 0]),
        ({"align": "last"}, [2, 0, 0, 1, 0, 1], [3, 1]),
        ({"fill": "missing"}, [2, N, N, 1, N, 1], [3, 1, N, N, N]),
        ({"target": "y", "aggregate": "sum"}, [3, 0, 0, 4, 0, 8], [6, 7]),
        ({"target": "y"}, [1.5, N, N, 4, N, 8], [2, 7]),
        ({"target": "y", "fill": "forward"}, [1.5, 1.5, 1.5, 4, 4, 8], [2, 7]),
        ({"target": "y", "fill": "interpolate", "align": "common"}, [1.5, 7 / 3, 19 / 6, 4, 6, 8], [2, 7, N, N, N]),
    ],
)
def test_events_become_series(options, a, b):
    panel = read(EVENTS, time="at", series="shop", freq="h", **options)
    for i, wanted in enumerate((a, b)):
        assert values(panel, i) == [None if v is None else pytest.approx(v) for v in wanted]
    assert [panel.grid.label(step) for step in panel.starts.tolist()] == ["2024-01-01 00:00", "2024-01-01 01:00"]


def test_events_are_forecast_from_the_same_series_as_they_were_trained_on(tmp_path):
    rng = np.random.default_rng(0)
    at = np.datetime64("2024-01-01", "us") + rng.integers(0, 20 * 86_400, 900) * np.timedelta64(1, "s")
    shops = np.where(at < np.datetime64("2024-01-08"), rng.choice(["a", "closed"], 900), "a")
    with open_store(str(tmp_path / "log.duckdb"), write=True) as store:
        store.connection.register("rows", pa.table({"at": at, "shop": shops}))
        store.connection.execute("CREATE TABLE log AS FROM rows")
    model = fit(
        str(tmp_path / "log.duckdb"), time="at", series="shop", freq="h", horizon=6, epochs=1, steps=2, hidden=4
    )
    assert model.panel.lasts.tolist() == [int(model.panel.lasts.max())] * 2
    assert values(model.panel, 1)[-24 * 12 :] == [0.0] * 24 * 12
    newest = pipeline.newest(model, "forecast", context=True)
    assert newest.keys.equals(model.panel.keys)
    assert model.forecast(newest).rows.equals(model.forecast().rows)


def test_the_audit_says_what_happens_to_steps_without_events():
    found = {f.name: f for f in audit(EVENTS, time="at", series="shop", freq="h").findings}
    assert found["missing steps"].done.startswith("taken as 0 (2 gaps, the longest 2: a from 2024-01-01 01:00)")
    assert found["rows on a step that another row has"].done == "brought together (count)"
    assert found["series that end before the others"].done == "continued to the newest row of any"
    asked = audit(EVENTS, time="at", series="shop", freq="h", fill="zero", align="common", aggregate="count")
    assert asked.undecided == []
    summed = audit(EVENTS, time="at", series="shop", target="y", freq="h")
    assert summed.undecided == [
        "rows on a step that another row has (--aggregate)",
        "missing steps (--fill)",
        "series that end before the others (--align)",
    ]


def test_what_is_static_is_so_within_the_dates_that_are_read():
    table = frame(hours("2024-01-01", 4), [1.0, 2.0, 3.0, 4.0], kind=["old", "big", "big", "new"])
    given = {"time": "at", "target": "y", "freq": "h", "static": "kind"}
    found = read(table, **given, since="2024-01-01 01:00", until="2024-01-01 03:00").covariates
    assert (found.categories, found.statics.tolist()) == ({"kind": ("big",)}, [[0]])
    with pytest.raises(DataError, match="column 'kind' has more than one value in the series"):
        read(table, **given, since="2024-01-01 01:00")


def test_events_without_a_target_can_only_be_counted():
    with pytest.raises(UsageError, match="bring together by sum: --target"):
        read(EVENTS, time="at", series="shop", aggregate="sum")


def mixed(**groups):
    """Series named by their group, at the dates of pandas aliases."""
    times = {f"{alias.lstrip('_')}-{i}": f for alias, (f, n) in groups.items() for i in range(n)}
    dates = {name: pd.date_range("2023-01-02", periods=40, freq=freq) for name, freq in times.items()}
    names = np.repeat(list(dates), [len(part) for part in dates.values()])
    at = np.concatenate([part.to_numpy("datetime64[us]") for part in dates.values()])
    return pa.table({"at": at, "shop": names, "y": np.arange(len(at), dtype=float)})


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ({"hourly": ("h", 2), "daily": ("D", 7)}, r"h: hourly-0, hourly-1; D: daily-0, .*, daily-4 and 2 more"),
        ({"daily": ("D", 3), "monthly": ("MS", 1)}, r"D: daily-0, daily-1, daily-2; MS: monthly-0"),
        ({"business": ("B", 3), "weekly": ("W-MON", 1)}, r"B: business-0, .*; W-MON: weekly-0"),
        ({"quarters": ("QS", 1), "months": ("ME", 1), "years": ("YS", 1)}, r"ME: months-0; QS-JAN: .*; YS-JAN: "),
    ],
)
def test_different_frequencies_are_refused_by_name(groups, told):
    with pytest.raises(DataError, match=f"different frequencies.*{told}.*--sql.*--freq"):
        read(mixed(**groups), time="at", target="y", series="shop")
    assert len(read(mixed(**groups), time="at", target="y", series="shop", freq="D")) == sum(
        n for _, n in groups.values()
    )


def test_the_frequency_may_be_left_to_be_found_in_the_words_of_bigquery():
    table = mixed(daily=("D", 1))
    given = {"time": "at", "target": "y", "series": "shop"}
    for name, found in {
        "AUTO_FREQUENCY": "D",
        "DAILY": "D",
        "WEEKLY": "W-SUN",
        "MONTHLY": "MS",
        "YEARLY": "YS-JAN",
    }.items():
        assert str(read(table, freq=name, **given).grid.frequency) == found


def test_a_series_with_holes_has_no_frequency_of_its_own():
    table = mixed(daily=("D", 3))
    kept = np.ones(len(table), bool)
    kept[80:][np.random.default_rng(1).random(40) < 0.6] = False  # sold every other day or so
    panel = read(table.filter(pa.array(kept)), time="at", target="y", series="shop")
    assert (str(panel.grid.frequency), len(panel)) == ("D", 3)


def test_business_days_of_a_calendar():
    closed = {"2024-12-25", "2024-12-26", "2025-01-01"}
    days = [str(day)[:10] for day in pd.bdate_range("2024-12-02", "2025-01-31") if str(day)[:10] not in closed]
    table = frame(pa.array(days).cast(pa.date32()), np.arange(len(days)))
    given = {"time": "at", "target": "y"}
    weekdays, calendar = read(table, **given), read(table, holidays="DE", **given)
    assert (str(weekdays.grid.frequency), str(calendar.grid.frequency)) == ("B", "C")
    assert np.isnan(weekdays.values).sum() == 3
    assert values(calendar) == list(range(len(days)))


@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_business_days_with_a_row_on_a_holiday_are_all_weekdays(zone):
    days = pd.bdate_range("2023-01-02", periods=400, tz=zone)
    held = days.strftime("%m-%d").isin(["05-29", "07-04", "12-25"])
    panel = read(pd.DataFrame({"at": days, "y": np.where(held, 1.0, 100.0)}), time="at", target="y", holidays="US")
    assert str(panel.grid.frequency) == "B"
    assert panel.values.tolist() == np.where(held, 1, 100).tolist()


def test_years_back_to_1200_and_on_to_2400():
    days = [dt.date(year, 12, 31) for year in range(1200, 2401)]
    table = frame(pa.array(days), np.sin(np.arange(1201)))
    model = fit(table, time="at", target="y", horizon=2, epochs=1, steps=1, hidden=4)
    assert (str(model.panel.grid.frequency), model.panel.lengths.tolist()) == ("YE-DEC", [1201])
    assert not np.isnan(model.panel.values).any()
    stamps = model.forecast(at=["1400-12-31", "2401-12-31", "2402-12-31"]).rows["forecast_timestamp"].to_pylist()
    assert stamps[::2] == [dt.date(1400, 12, 31), dt.date(2401, 12, 31), dt.date(2402, 12, 31)]


@pytest.mark.parametrize(
    ("source", "options", "error", "told"),
    [
        ("", {}, UsageError, "say what to read: a path or URL as the first argument"),
        (object(), {}, UsageError, "cannot read rows from object: give a URL, a path"),
        (TWO, {"holidays_column": "number"}, DataError, "'number' holds no places such as DE or US-NY"),
        (TWO, {"time": "odd"}, DataError, r"column 'odd' holds no timestamps \(other\): convert it in --sql"),
        (TWO, {"time_unit": "s"}, UsageError, "--time-unit is for whole numbers; column 'at' holds local"),
    ],
)
def test_what_cannot_be_read_is_named(source, options, error, told):
    with pytest.raises(error, match=told):
        read(source, **{"time": "at", "target": "y"} | options)


@pytest.mark.parametrize(
    "kind", [pa.timestamp("us"), pa.date32(), pa.string(), pa.int64(), pa.float64(), pa.null()], ids=str
)
def test_times_that_are_all_empty_show_no_frequency_but_that_they_are_empty(kind):
    rows = frame(pa.nulls(3, kind), [1.0, 2.0, 3.0])
    with pytest.raises(DataError, match=r"^column 'at' is empty: none of the rows has a value in it$"):
        read(rows, time="at", target="y")


@pytest.mark.parametrize(
    "name", ["kind", "Step", "forecast_value", "run_id", "actual", "quantile_0.5", "auto_ets", "gatecast_rank"]
)
def test_a_series_column_named_as_one_of_forecasts_is_refused(name):
    rows = pa.table({"at": np.datetime64("2024-01-01", "us") + np.arange(9) * np.timedelta64(1, "h"), "y": range(9)})
    rows = rows.append_column(name, pa.array(["a"] * 9))
    with pytest.raises(UsageError, match=rf"have a column '{name}' of their own: .* SELECT {name} AS series_{name}"):
        read(rows, time="at", target="y", series=name)
    panel = read(rows, time="at", target="y")
    with pytest.raises(UsageError, match="of their own"):
        fit(replace(panel, keys=pa.table({name: ["a"]})), horizon=1)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"freq": "D"}, "freq h, not D"),
        ({"timezone": "UTC"}, "timezone None, not UTC"),
        ({"series": "q"}, "series None, not q"),
        ({"fill": "zero"}, "fill missing, not zero"),
        ({"align": "common"}, "align last, not common"),
    ],
)
def test_a_panel_is_not_read_again_on_another_grid(other, told):
    options = {"time": "at", "target": "y"}
    panel = read(frame(hours("2024-01-01", 60), range(60)), **options)
    assert read(panel, freq="60min", fill="missing", align="last", **options) is panel
    for verb in (read, audit):
        with pytest.raises(UsageError, match=rf"^the panel was read with {told}: read it again with gatecast.read$"):
            verb(panel, **options, **other)


@pytest.mark.parametrize(
    "vain",
    [
        {"since": "2024-01-02"},
        {"until": "2024-01-02"},
        {"aggregate": "sum"},
        {"table": "sales"},
        {"sql": "SELECT 1"},
        {"max_bytes": "1GB"},
    ],
    ids=str,
)
def test_settings_of_reading_are_refused_for_a_panel_already_read(vain):
    panel = read(frame(hours("2024-01-01", 60), range(60)), time="at", target="y")
    with pytest.raises(UsageError, match=f"^the panel is read already, so {next(iter(vain))} would change nothing: "):
        fit(panel, horizon=2, **vain)


@pytest.mark.parametrize(("freq", "label"), [("W", "9999-12-26"), ("MS", "9999-12-01"), ("YS", "9999-01-01")])
def test_a_date_that_stands_for_none_is_refused_on_every_grid(freq, label):
    times = [*(dt.datetime(2024, month, 1) for month in range(1, 13)), dt.datetime(9999, 12, 31)]
    rows = frame(pa.array(times, pa.timestamp("us")), range(13), shop=["a"] * 13)
    options = {"time": "at", "target": "y", "series": "shop", "freq": freq}
    with pytest.raises(DataError, match=f"^a has the date {label}, which stands for none: leave .* with --until$"):
        read(rows, **options)
    assert read(rows, until="9999-01-01", **options).lasts[0] == read(rows.slice(0, 12), **options).lasts[0]


@pytest.mark.parametrize(
    ("wrong", "freq", "gap"),
    [
        ("2924-01-01", "W-THU", "between 2022-12-15 and 2923-12-30"),
        ("2924-01-01", "MS", "between 2022-12-01 and 2924-01-01"),
        ("0022-05-02", "YS", "between 0022-01-01 and 2022-01-01"),
        ("1900-01-01", "D", "between 1900-01-01 and 2022-01-01"),
    ],
)
def test_a_date_more_than_a_century_from_the_others_is_refused_and_audited(wrong, freq, gap):
    days = [dt.date(2022, 1, 1) + dt.timedelta(7 * week) for week in range(51)]
    rows = frame(pa.array([*days, dt.date.fromisoformat(wrong)]), range(52), shop=["a"] * 52)
    options = {"time": "at", "target": "y", "series": "shop", "freq": freq}
    with pytest.raises(DataError, match=f"^a has no value {gap}, for more than a century: one of these dates is wrong"):
        read(rows, **options)
    later = gap.rpartition(" ")[2]
    found = [part for part in audit(rows, **options).findings if "century" in part.name]
    assert [(part.count, part.places, part.decide) for part in found] == [(1, (f"a at {later}",), "--until")]
    near = frame(pa.array([*days, dt.date(2122, 1, 1)]), range(52), shop=["a"] * 52)
    assert read(near, **options).values[-1] == 51  # a century and no more
    assert not [part for part in audit(near, **options).findings if "century" in part.name]


@pytest.mark.parametrize("files", ["export.csv", "export*.csv"])
def test_times_of_a_csv_file_that_end_in_utc_are_instants(files, tmp_path):
    """As BigQuery exports them; beside them the wall-clock times of another column stay what they are."""
    hours = [f"2024-07-01 {hour:02}:00:00" for hour in range(6)]
    rows = [",," + "0", *(f"{hour} UTC,{hour},{i}" for i, hour in enumerate(hours))]
    (tmp_path / "export.csv").write_text("\n".join(["at,wall clock,y", *rows]))
    url = str(tmp_path / files)
    there = read(url, time="at", target="y", timezone="Europe/Berlin")
    assert (there.kind, there.grid.label(int(there.starts[0]))) == ("instant", "2024-07-01 02:00")
    assert there.values.tolist() == [0, 1, 2, 3, 4, 5]
    wall = read(url, time="wall clock", target="y", timezone="Europe/Berlin")
    assert (wall.kind, wall.grid.label(int(wall.starts[0]))) == ("local", "2024-07-01 00:00")


@pytest.mark.parametrize(
    ("end", "hint"), [(" PM", r"STRPTIME\(day, '%Y-%m-%d %I:%M:%S %p'\)"), ("+02:00", r"CAST\(day AS TIMESTAMPTZ\)")]
)
def test_texts_whose_end_would_be_left_out_are_refused(end, hint):
    rows = pa.table(
        {"day": [f"2024-01-{1 + i // 12:02} {1 + i % 12:02}:00:00{end}" for i in range(48)], "y": range(48)}
    )
    told = (
        rf"holds text that is no timestamp, as '2024-01-01 01:00:00{re.escape(end)}', .*: convert it in --sql, as with"
    )
    with pytest.raises(DataError, match=f"{told} {hint}, or leave such rows out$"):
        read(rows, time="day", target="y")
