"""A table made dirty on purpose, its faults planted and counted, audited in every store."""

import datetime as dt
import math
from zoneinfo import ZoneInfo, available_timezones

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from test_store import put  # noqa: F401 - a fixture

import gatecast
from gatecast.config import Config
from gatecast.reading import audit_rows
from gatecast.store.faults import ODD_MIDNIGHTS

FIRST, HOURS = dt.datetime(2024, 6, 1), 480


def at(hour):
    return (FIRST + dt.timedelta(hours=hour)).isoformat(" ", "minutes")


def wave(hours=HOURS, seed=0):
    noise = np.random.default_rng(seed).uniform(-1, 1, hours)
    return 100 + 10 * np.sin(2 * np.pi * np.arange(hours) / 24) + noise


def planted():
    """Rows of (shop, hour or None, value or None), and what is wrong with them as {finding: (count, places)}."""
    series = {name: list(enumerate(wave(seed=i))) for i, name in enumerate(["clean", "rows", "gaps", "spike", "shift"])}
    rows = series["rows"]
    rows += [(7, 100.0), (7, 101.0), (400, 99.0), (None, 5.0), (None, 6.0)]
    rows[300:304] = [(hour, None) for hour in range(300, 304)]
    rows[350] = (350, None)
    series["gaps"] = [row for row in series["gaps"] if row[0] not in {50, 51, 52, 53, 100, 101, 470}]
    series["spike"][200] = (200, 700.0)
    series["shift"] = [(hour, y + 200 * (hour >= 243)) for hour, y in series["shift"]]
    below = list(enumerate(wave() - 95))
    series |= {
        "below": below,
        "constant": [(hour, 5.0) for hour in range(HOURS)],
        "empty": [(hour, None) for hour in range(5)],
        "flat": [(hour, y if hour < 450 else 97.0) for hour, y in enumerate(wave(seed=8))],
        "short": list(enumerate(wave()))[-50:],
        "stale": list(enumerate(wave()))[:-100],
        "zeros": [(hour, 0.0 if hour % 3 else 3.0) for hour in range(HOURS)],
    }
    negative = [hour for hour, y in below if y < 0]
    found = {
        "rows without a time": (2, ("rows",)),
        "rows on a step that another row has": (3, (f"rows at {at(7)}", f"rows at {at(400)}")),
        "steps without a value": (10, (*(f"empty at {at(h)}" for h in range(5)),)),
        "missing steps": (
            12,
            tuple(
                f"{n} from {at(h)}"
                for n, h in [("gaps", 50), ("gaps", 100), ("gaps", 470), ("rows", 300), ("rows", 350)]
            ),
        ),
        "negative values": (len(negative), tuple(f"below at {at(hour)}" for hour in negative[:5])),
        "outliers": (1, (f"spike at {at(200)}",)),
        "level shifts": (1, (f"shift at {at(243)}",)),
        "series without any value": (1, ("empty",)),
        "constant series": (1, ("constant",)),
        "series that end flat": (1, (f"flat from {at(450)}",)),
        "series that are mostly zero": (1, ("zeros",)),
        "series too short to learn from": (1, ("short",)),
        "series that end before the others": (1, (f"stale ends {at(HOURS - 101)}",)),
    }
    return [(name, *row) for name, rows in series.items() for row in rows], found


def table(rows, seed=0):
    order = np.random.default_rng(seed).permutation(len(rows))
    shop, hour, y = zip(*(rows[i] for i in order), strict=True)
    times = [None if h is None else FIRST + dt.timedelta(hours=int(h)) for h in hour]
    return pa.table({"shop": pa.array(shop), "at": pa.array(times, pa.timestamp("us")), "y": pa.array(y, pa.float64())})


def audited(put, rows, **settings):  # noqa: F811
    """The audit of rows in a store, as a user asks for it."""
    series = tuple(name for name in rows.column_names if name == "shop")
    store, source = put(rows, series=series)
    config = Config(source=source.model_dump(exclude_none=True) | {"url": store.url}, **settings)
    return audit_rows(config, store.url or rows)


def found_in(audit):
    return {finding.name: (finding.count, finding.places) for finding in audit.findings}


def test_every_planted_fault_is_found_and_nothing_else(put):  # noqa: F811
    rows, faults = planted()
    audit = audited(put, table(rows), grid={"freq": "h"}, forecast={"horizon": 24})
    assert found_in(audit) == faults
    assert (audit.rows, audit.series, audit.shortest, audit.longest) == (len(rows), 11, 50, HOURS)
    assert (audit.first, audit.last, audit.steps) == (at(0), at(HOURS - 1), 9 * HOURS + 50 + HOURS - 100)


@pytest.mark.parametrize("zone", ["America/New_York", None])
def test_local_times_that_clocks_skip_or_show_twice_are_counted(put, zone):  # noqa: F811
    spring, autumn = dt.datetime(2024, 3, 9), dt.datetime(2024, 11, 2)
    times = [spring + dt.timedelta(minutes=30 * i) for i in range(96)]
    times += [autumn + dt.timedelta(minutes=30 * i) for i in range(96)]
    rows = pa.table({"at": pa.array(times, pa.timestamp("us")), "y": np.arange(192.0) % 7})
    audit = audited(put, rows, grid={"freq": "h", "timezone": zone} if zone else {"freq": "h"})
    found = {name: part for name, part in found_in(audit).items() if name.startswith("local times")}
    assert found == (
        {}
        if zone is None
        else {
            "local times that clocks skip": (2, ("the series at 2024-03-10 03:00",)),
            "local times that clocks show twice": (2, ("the series at 2024-11-03 01:00",)),
        }
    )
    shared, missing = (found_in(audit)[name][0] for name in ("rows on a step that another row has", "missing steps"))
    assert shared == 96 + bool(zone)  # two rows an hour; at 03:00 four
    assert missing == (autumn - spring).days * 24 - 48 + bool(zone)  # in autumn the second of the two


def from_midnight(zone, freq, count):
    """Instants at midnight of a zone, as a table."""
    times = pd.date_range("2024-01-01", periods=count, freq=freq, tz=zone).tz_convert("UTC")
    return pa.table({"at": pa.array(times, pa.timestamp("us", "UTC")), "y": np.arange(count, dtype=float) % 7})


@pytest.mark.parametrize(
    ("zone", "freq", "grid", "first"),
    [
        ("Europe/Berlin", "MS", {}, "2023-12-31"),  # monthly accounts, each in the month before
        ("Europe/London", "D", {}, "2024-01-01"),  # a day early in summer alone
        ("Pacific/Auckland", "D", {}, "2023-12-31"),
        ("Australia/Lord_Howe", "D", {}, "2023-12-31"),  # whose clocks change by half an hour
        ("Europe/Berlin", "D", {"timezone": "Europe/Berlin"}, None),
        ("Europe/Berlin", "D", {"timezone": "UTC"}, None),  # as decided
        ("UTC", "D", {}, None),
        ("America/New_York", "6h", {}, None),  # steps of hours are labelled by them
    ],
)
def test_midnights_of_another_zone_are_told_where_none_is_named(put, request, zone, freq, grid, first):  # noqa: F811
    if request.node.callspec.params["put"] == "json":
        pytest.skip("JSON has no instants")
    rows = from_midnight(zone, freq, 300)
    audit = audited(put, rows, grid=grid)
    name = "series whose times look like midnight in another zone than UTC"
    assert found_in(audit).get(name) == (first and (1, (f"the series from {first}",)))
    assert (f"{name} (--timezone)" in audit.undecided) == bool(first)


@pytest.mark.parametrize(("time", "found"), [("06:00", True), ("18:30", True), ("05:30", False), ("06:20", False)])
def test_one_time_of_day_all_year_may_be_midnight_elsewhere_which_is_no_decision(time, found):
    day = pd.date_range(f"2024-01-01 {time}", periods=400, freq="D", tz="UTC")
    told = gatecast.audit(pd.DataFrame({"at": day, "y": np.arange(400) % 7.0}), time="at", target="y")
    name = "series whose time of day, always the same, may be midnight in another zone than UTC"
    assert found_in(told) == ({name: (1, ("the series from 2024-01-01",))} if found else {})
    assert told.undecided == []


def test_times_of_day_that_are_midnight_in_some_zone():
    moments = [dt.datetime(2024, month, 15, tzinfo=dt.UTC) for month in (1, 7)]
    zones = [ZoneInfo(name) for name in available_timezones()]
    ahead = {moment.astimezone(zone).utcoffset() for zone in zones for moment in moments}
    midnights = {-offset % dt.timedelta(days=1) for offset in ahead}
    hours = {dt.timedelta(hours=hour) for hour in range(24)}
    assert midnights >= hours
    assert sorted(midnights - hours) == [number * dt.timedelta(minutes=15) for number in ODD_MIDNIGHTS]


@pytest.mark.parametrize(("days", "grid", "hinted"), [(1, {}, True), (6, {}, False), (1, {"holidays": "DE"}, False)])
def test_gaps_of_business_days_may_be_holidays(days, grid, hinted):
    dates = pd.bdate_range("2024-01-01", periods=100)
    dates = dates.delete(range(22, 22 + days))  # 31 January: no holiday of Germany, which 1 January is
    rows = pd.DataFrame({"at": dates, "y": np.arange(len(dates)) % 7.0})
    found = gatecast.audit(rows, time="at", target="y", **grid)
    (gap,) = (part for part in found.findings if part.name == "missing steps")
    assert (found.frequency, gap.count) == ("B", days)
    hint = "; if these are holidays, leave them out by naming their place, as --holidays DE or XNYS"
    assert gap.done.endswith(hint) == hinted


def test_rows_of_many_hours_or_of_a_few_moments_are_at_no_midnight():
    day = pd.date_range("2024-01-01", periods=60, freq="D", tz="UTC")
    hours = {"all": range(24), "shifts": (6, 18), "late": (22.2,)}
    for name, each in hours.items():
        times = day.repeat(len(each)) + pd.to_timedelta(np.tile([*each], len(day)), unit="h")
        rows = pd.DataFrame({"at": times, "y": np.arange(len(times)) % 5.0})
        found = found_in(gatecast.audit(rows, time="at", target="y", freq="D"))
        assert not [part for part in found if "midnight" in part], name


def test_values_that_are_no_numbers(put, request):  # noqa: F811
    values = [float(i % 5) for i in range(60)]
    values[10], values[20], values[30] = math.nan, math.nan, math.inf
    rows = pa.table(
        {"at": [FIRST + dt.timedelta(hours=i) for i in range(60)], "y": pa.array(values, from_pandas=False)}
    )
    if request.node.callspec.params["put"] == "json":
        pytest.skip("JSON has no such numbers")
    audit = audited(put, rows, grid={"freq": "h"})
    assert found_in(audit) == {
        "values that are not a number": (2, (f"the series at {at(10)}", f"the series at {at(20)}")),
        "infinite values": (1, (f"the series at {at(30)}",)),
        "missing steps": (3, tuple(f"the series from {at(hour)}" for hour in (10, 20, 30))),
    }
    assert audit.undecided == ["infinite values (--sql)", "missing steps (--fill)"]


@pytest.mark.parametrize(("level", "found"), [(1e9, True), (-1e9, True), (2e5, True), (1e5, False), (0.0, False)])
def test_variation_that_the_level_hides_is_named(put, level, found):  # noqa: F811
    """A wave of 1 up and down; a constant of three rows a day, whose means differ by the rounding, is none."""
    days = np.arange(60)
    wavy = [("wavy", day, level + np.sin(day / 3)) for day in days]
    same = [("same", day, y) for day in days for y in ([0.1] * 3 if day % 2 else [0.1])]
    shop, day, y = zip(*wavy, *same, strict=True)
    rows = pa.table({"shop": shop, "at": [FIRST + dt.timedelta(days=int(d)) for d in day], "y": y})
    findings = audited(put, rows, grid={"freq": "D", "aggregate": "mean"}).findings
    places = {f.name: (f.places, f.decide) for f in findings if f.name.startswith("series that vary")}
    name = "series that vary by less than a hundred-thousandth of their level"
    assert places == ({name: (("wavy",), "--sql")} if found else {})


@pytest.mark.parametrize(("days", "places"), [(134, ("a at 2024-05-13 (2 of 7 rows)",)), (132, ())])
def test_a_last_step_that_is_not_over_is_named(put, days, places):  # noqa: F811
    """Daily rows by the week: the last of shop a has two days or all; the first, and one in between, has a single one.

    Shop b sells every second day, so that its weeks, the last too, have three or four rows.
    """
    steps = [("a", day) for day in range(5, days) if not 21 <= day <= 26] + [("b", day) for day in range(5, 139, 2)]
    times = [dt.datetime(2024, 1, 2) + dt.timedelta(days=day) for _, day in steps]
    rows = pa.table({"at": times, "shop": [shop for shop, _ in steps], "y": [float(day % 7) for _, day in steps]})
    findings = audited(put, rows, grid={"freq": "W-MON", "aggregate": "sum"}).findings
    found = [part for part in findings if part.name == "last steps with fewer rows than usual"]
    assert tuple(place for part in found for place in part.places) == places
    assert all("--until 2024-05-13," in part.done for part in found)


@pytest.mark.parametrize(
    ("until", "horizon", "lacking"), [(None, 6, "abce"), ("2024-06-21", 6, "abce"), (None, 5, "abe"), (None, 1, "ae")]
)
def test_future_covariates_that_are_missing_anywhere_in_the_horizon(put, until, horizon, lacking):  # noqa: F811
    """Of six days to come: shop a lacks the first value, b the row of the third day, c the last, d none and e all."""
    rows = [(shop, day, day % 5.0, day % 2.0) for shop in "abcde" for day in range(20)]
    rows += [(shop, 20 + ahead, None, ahead % 2.0) for shop in "abcd" for ahead in range(6)]
    instead = {("a", 20): [("a", 20, None, None)], ("b", 22): [], ("c", 25): []}
    rows = [part for row in rows for part in instead.get(row[:2], [row])]
    shop, day, y, promo = zip(*rows, strict=True)
    columns = {"shop": shop, "at": [FIRST + dt.timedelta(days=n) for n in day], "y": y, "promo": promo}
    store, source = put(pa.table(columns), series=("shop",), future=("promo",), until=until)
    config = Config(source=source.model_dump(exclude_none=True) | {"url": store.url}, forecast={"horizon": horizon})
    found = found_in(audit_rows(config, store.url or pa.table(columns)))
    dates = {"a": "2024-06-21", "b": "2024-06-23", "c": "2024-06-26", "e": "2024-06-21"}
    told = tuple(f"{name} from {dates[name]}" for name in lacking)
    name = "series whose future covariates are missing within the horizon"
    assert found.get(name) == ((len(told), told) if told else None)


def test_keys_of_any_type(put):  # noqa: F811
    days = [dt.datetime(2024, 1, day) for day in (1, 2, 4, 5)]
    rows = pa.table({"at": days * 2, "n": [7] * 4 + [None] * 4, "since": [dt.date(2020, 1, 1)] * 8, "y": range(8)})
    store, source = put(rows, series=("n", "since"))
    config = Config(source=source.model_dump(exclude_none=True) | {"url": store.url}, grid={"freq": "D"})
    found = found_in(audit_rows(config, store.url or rows))
    assert found == {
        "missing steps": (2, ("None/2020-01-01 from 2024-01-03", "7/2020-01-01 from 2024-01-03")),
    }


@pytest.mark.parametrize("name", ["steps", "marks", "own", "totals", "found"])
def test_a_table_may_be_called_like_a_part_of_the_query(name, tmp_path):
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.register("incoming", table([("a", hour, y) for hour, y in enumerate(wave())]))
        connection.execute(f'CREATE TABLE "{name}" AS FROM incoming')
    found = gatecast.audit(str(tmp_path / "shop.duckdb"), table=name, time="at", target="y", series=["shop"])
    assert (found.findings, found.rows, found.frequency, found.agreement) == ((), HOURS, "h", 1.0)
