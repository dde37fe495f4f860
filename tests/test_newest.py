"""Only the rows that a forecast needs are read, and it is the forecast from all rows."""

from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from gatecast import fit, load, read
from gatecast.errors import DataError, UsageError
from gatecast.listener import Listener
from gatecast.newest import begun, newest
from test_pipeline import TINY, database, waves

QUICK = TINY | {"context": 168, "epochs": 1, "steps": 1, "members": 1}


def stale_and_fresh():
    """Two series to the end, one that ended long ago, and one with a null for a name that did too."""
    rows = waves(960, series=4).to_pandas()
    hour = rows.groupby("name").cumcount()
    rows = rows[(rows.name < "s2") | ((rows.name == "s2") & (hour < 300)) | ((rows.name == "s3") & (hour < 240))]
    return pa.Table.from_pandas(rows.replace({"name": {"s3": None}}), preserve_index=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("newest")
    fit(database(folder / "x.duckdb", stale_and_fresh()), run=folder / "run", table="t", **QUICK)
    return folder / "run"


@pytest.mark.parametrize(
    ("asked", "rows"),  # of both series to the end, from hour so and so on
    [
        ({}, 960 - 168),
        ({"at": ["2024-02-10"]}, 960 - 168),
        ({"as_of": "2024-02-04 06:00"}, 34 * 24 + 6 - 167 - 6),  # as a series may have no value for a horizon
        ({"at": ["2024-01-11 00:00", "2024-02-04"]}, 240 - 168),
    ],
    ids=["next", "later", "as of", "at"],
)
def test_only_the_rows_that_a_forecast_needs_are_read_and_it_is_the_same(asked, rows, run):
    model = load(run)
    assert model.config.model.context == 168
    few, all_ = newest(model, context=True, **asked), newest(model)
    assert all_.reading.rows == 2 * 960 + 300 + 240
    end = 34 * 24 + 7 if "as_of" in asked else 960
    assert few.reading.rows == 2 * (end - rows) + (300 - (240 - 168)) + 168
    assert model.forecast(few, **asked).rows.equals(model.forecast(all_, **asked).rows)


def test_a_loaded_model_says_how_its_rows_are_read_and_they_are_those_of_its_source(run):
    model = load(run)
    with pytest.raises(UsageError, match=r"no rows at hand: give it a panel; gatecast.read\(model.config\) reads"):
        model.forecast()
    assert model.forecast(read(model.config)).rows.equals(model.forecast(newest(model)).rows)


@pytest.mark.parametrize(
    ("as_of", "last"),
    [("02:00", "02:00"), ("02:30", "02:30"), ("02:00+01:00", "02:30"), ("02:30+01:00", "02:30"), ("03:00", "03:00")],
)
def test_in_an_hour_shown_twice_the_rows_by_a_date_are_read(as_of, last, autumn):
    """Rows of it on a wall clock are of the first of the two, and so before all of the second."""
    rows = newest(autumn, context=True, as_of=f"2024-10-27 {as_of}")
    assert rows.grid.label(int(rows.lasts[0])) == f"2024-10-27 {last}"
    asked = {"as_of": f"2024-10-27 {as_of}"}
    assert autumn.forecast(rows, **asked).rows.equals(autumn.forecast(newest(autumn), **asked).rows)


@pytest.mark.parametrize(
    ("last", "needed"),
    [("2024-10-29 03:00", 169), ("2024-04-06 23:00", 167)],
    ids=["holds an hour shown twice", "begins in one that is skipped"],
)
def test_of_hours_shown_twice_or_skipped_what_a_context_by_the_clock_holds_is_read(last, needed, tmp_path):
    rows = waves(960, series=1)
    at = np.datetime64(last, "us") - np.arange(960)[::-1] * np.timedelta64(1, "h")
    rows = rows.set_column(rows.column_names.index("at"), "at", pa.array(at, pa.timestamp("us", "UTC")))
    fit(database(tmp_path / "x.duckdb", rows), run=tmp_path / "run", table="t", timezone="Europe/Berlin", **QUICK)
    model = load(tmp_path / "run")
    few = newest(model, context=True)
    assert few.reading.rows == needed
    assert model.forecast(few).rows.equals(model.forecast(newest(model)).rows)


@pytest.fixture(scope="module")
def autumn(tmp_path_factory):
    """A run of half-hours on a clock that goes back: no rows for the second hour between two and three."""
    rows = waves(1000, series=1)
    at = np.datetime64("2024-10-10", "us") + np.arange(1000) * np.timedelta64(30, "m")
    folder = tmp_path_factory.mktemp("autumn")
    url = database(folder / "x.duckdb", rows.set_column(rows.column_names.index("at"), "at", pa.array(at)))
    fit(url, run=folder / "run", table="t", timezone="Europe/Berlin", **QUICK)
    return load(folder / "run")


def test_a_gap_before_a_date_longer_than_the_context_makes_it_read_on(tmp_path):
    rows = waves(800, series=1).to_pandas()
    rows = pa.Table.from_pandas(rows[(rows.index < 200) | (rows.index >= 500)], preserve_index=False)
    fit(database(tmp_path / "x.duckdb", rows), run=tmp_path / "run", table="t", **QUICK)
    model, asked = load(tmp_path / "run"), {"as_of": "2024-01-19 18:00"}  # hour 450
    few = newest(model, context=True, **asked)
    assert few.reading.rows == 200
    assert model.forecast(few, **asked).rows.equals(model.forecast(newest(model), **asked).rows)


@pytest.mark.parametrize(
    ("gap", "everything"), [(6, False), (7, True), (300, True)], ids=["of a horizon", "longer", "than the context, too"]
)
def test_a_gap_of_one_series_before_a_date_makes_it_read_on(gap, everything, tmp_path):
    """Its context begins earlier than that of the others, or it has no row where theirs are."""
    rows = waves(800, series=2).to_pandas()
    rows.loc[(rows.index < 800) & (rows.index > 450 - gap) & (rows.index <= 450), "y"] = None
    rows = pa.Table.from_pandas(rows, preserve_index=False)
    fit(database(tmp_path / "x.duckdb", rows), run=tmp_path / "run", table="t", **QUICK)
    model, asked = load(tmp_path / "run"), {"as_of": "2024-01-19 18:00"}  # hour 450
    few, all_ = newest(model, context=True, **asked), newest(model)
    assert (few.reading.rows == 2 * 451) is everything
    assert model.forecast(few, **asked).rows.equals(model.forecast(all_, **asked).rows)


def test_what_is_static_may_stand_in_rows_that_a_forecast_does_not_need(tmp_path):
    rows = waves(400, series=2).to_pandas()
    rows["kind"] = rows.name.where(rows.groupby("name").cumcount() == 0)
    rows = pa.Table.from_pandas(rows, preserve_index=False)
    url = database(tmp_path / "x.duckdb", rows)
    model = fit(url, run=tmp_path / "run", table="t", static="kind", **QUICK)
    few = newest(model, context=True)
    assert few.reading.rows == 2 * 168
    assert few.covariates.statics.tolist() == [[few.covariates.categories["kind"].index(name)] for name in ("s0", "s1")]


@pytest.mark.parametrize("key", [float("nan"), float("inf"), -float("inf")])
def test_a_series_that_ended_long_ago_is_read_whatever_number_it_is_named(key, tmp_path):
    rows = waves(400).slice(0, 600).set_column(1, "name", pa.array([1.5] * 400 + [key] * 200))
    fit(database(tmp_path / "x.duckdb", rows), run=tmp_path / "run", table="t", **QUICK)
    model = load(tmp_path / "run")
    few = newest(model, context=True)
    assert few.reading.rows == (400 - 200 + 168) + 168
    assert few.keys.equals(model.keys)
    assert model.forecast(few).rows.equals(model.forecast(newest(model)).rows)


def test_a_gap_where_the_context_begins_hides_what_is_beside_it(tmp_path):
    rows = waves(400, series=1).to_pandas()
    rows["heat"] = rows.index / 50 + rows.y
    rows.loc[400 - 168 - 5 : 400 - 168 + 60, "y"] = None
    rows = pa.Table.from_pandas(rows, preserve_index=False)
    url = database(tmp_path / "x.duckdb", rows)
    model = fit(url, run=tmp_path / "run", table="t", past="heat", **QUICK)
    few = newest(model, context=True)
    assert (few.reading.rows, len(few.covariates.values)) == (168, 168 - 61)
    for asked in ({}, {"horizon": 150}, {"horizon": 300}):
        assert model.forecast(few, **asked).rows.equals(model.forecast(newest(model), **asked).rows)


def test_series_without_rows_are_told(tmp_path):
    """They had not begun by the date, or are gone from the source."""
    rows = waves(800, series=3).to_pandas()
    rows = rows[(rows.name != "s1") | (rows.groupby("name").cumcount() >= 400)]  # from hour 400
    url = database(tmp_path / "x.duckdb", pa.Table.from_pandas(rows, preserve_index=False))
    fit(url, run=tmp_path / "run", table="t", **QUICK)
    model, notes = load(tmp_path / "run"), []
    listener = Listener()
    listener.note = notes.append
    panel = newest(model, "forecast", listener, context=True, as_of="2024-01-15 00:00")
    assert panel.names == ["s0", "s2"]
    with duckdb.connect(str(tmp_path / "x.duckdb")) as connection:
        connection.execute("DELETE FROM t WHERE name <> 's1'")
    newest(model, "forecast", listener, context=True)
    newest(model, "test", listener)  # its verdict is of others than those trained on
    told = [note for note in notes if "trained on" in note]
    assert told == [
        "1 series that was trained on has no rows by 2024-01-15 00:00: s1",
        *["2 series that were trained on have no rows: s0, s2"] * 2,
    ]


def test_series_whose_keys_have_another_type_are_not_told_to_be_absent(tmp_path):
    rows = waves(400, series=2)
    url, names = database(tmp_path / "x.duckdb", rows), rows["name"].to_pylist()
    fit(url, run=tmp_path / "run", table="t", **QUICK)
    numbers = pa.array([int(name[1:]) for name in names])
    (tmp_path / "x.duckdb").unlink()
    database(tmp_path / "x.duckdb", rows.set_column(rows.column_names.index("name"), "name", numbers))
    listener, notes = Listener(), []
    listener.note = notes.append
    with pytest.raises(DataError, match="'name' holds int64, and held string when the model was trained"):
        newest(load(tmp_path / "run"), "forecast", listener)
    assert notes == []


def test_series_without_history_before_a_step_are_left_out_unless_all_are(make_panel):
    panel, notes = make_panel([1.0, 2, 3], [4.0, 5], [6.0], starts=[0, 1, 2]), []
    listener = Listener()
    listener.note = notes.append
    found = [begun(panel, step, listener) for step in (3, 2, 1, 0)]
    assert [part.names for part in found] == [["s0", "s1", "s2"], ["s0", "s1"], ["s0"], ["s0", "s1", "s2"]]
    assert found[1].values.tolist() == [1, 2, 3, 4, 5]
    assert notes == [
        "1 series has no history before 1970-01-01 02:00 and is left out: s2",
        "2 series have no history before 1970-01-01 01:00 and are left out: s1, s2",
    ]
    notes.clear()
    begun(replace(panel, keys=pa.table({"name": ["Bonn", "Berlin, Mitte", "Ulm"]})), 1, listener)
    assert notes == ["2 series have no history before 1970-01-01 01:00 and are left out: 'Berlin, Mitte', Ulm"]


@pytest.mark.parametrize("series", [1, 3])
def test_series_whose_newest_rows_are_gone_are_told(tmp_path, series):
    url = database(tmp_path / "x.duckdb", waves(800, series=series))
    named = {} if series > 1 else {"series": ()}
    fit(url, run=tmp_path / "run", table="t", **QUICK | named)
    model, notes = load(tmp_path / "run"), []
    listener = Listener()
    listener.note = notes.append
    newest(model, "forecast", listener, context=True)
    assert notes == []
    with duckdb.connect(str(tmp_path / "x.duckdb")) as connection:
        connection.execute("DELETE FROM t WHERE name = 's0' AND \"at\" > '2024-02-01'")
    for as_of in (None, "2024-02-01 00:00"):
        newest(model, "forecast", listener, context=True, as_of=as_of)
    name = "s0" if series > 1 else "the series"
    assert [note for note in notes if "lacks" in note] == [
        f"1 series lacks the newest rows that training saw: {name} ends 2024-02-01 00:00"
    ]


def test_a_run_that_was_trained_until_a_date_says_that_it_reads_no_later_rows(tmp_path):
    until = "2024-01-31"
    fit(database(tmp_path / "x.duckdb", waves(960, series=1)), run=tmp_path / "run", table="t", until=until, **QUICK)
    model, notes = load(tmp_path / "run"), []
    listener = Listener()
    listener.note = notes.append
    ends = [newest(model, verb, listener).lasts[0] for verb in ("forecast", "test")]
    assert [model.grid.label(end) for end in ends] == ["2024-01-30 23:00"] * 2
    told = "rows from 2024-01-31 on are not read, as the run was trained with --until 2024-01-31"
    assert notes == [f"{told}; --as-of DATE reads up to another date"] * 2
    later = newest(model, "test", listener, as_of="2024-02-03 04:00")
    assert (model.grid.label(later.lasts[0]), notes[2:]) == ("2024-02-03 04:00", [])


def test_a_last_day_that_is_not_over_is_told(tmp_path):
    """Of s0 alone: s1 has no row on that day, and s2 as many as ever."""
    rows = waves(800, series=3).to_pandas()  # eight hours of the last day
    day = rows["at"].dt.normalize()
    rows = rows[(day < day.max()) | (rows.name == "s0") | ((rows.name == "s2") & (rows["at"].dt.hour < 2))]
    rows = rows[(rows.name != "s2") | (rows["at"].dt.hour < 2)]
    url = database(tmp_path / "x.duckdb", pa.Table.from_pandas(rows, preserve_index=False))
    settings = QUICK | {"context": 8, "horizon": 3, "freq": "D", "aggregate": "sum"}
    fit(url, run=tmp_path / "run", table="t", **settings)
    model, notes = load(tmp_path / "run"), []
    listener = Listener()
    listener.note = notes.append
    for verb, context in (("forecast", True), ("test", False), ("inspect", False)):
        newest(model, verb, listener, context=context)
    told = "1 last step with fewer rows than usual: s0 at 2024-02-03 (8 of 24 rows)"
    assert notes == [f"{told}; if not over yet, leave out with --as-of 2024-02-02"] * 2
    newest(model, "forecast", listener, context=True, as_of="2024-02-02")
    assert len(notes) == 2


def test_covariates_without_newest_values_are_told(tmp_path):
    """Else a feed that has died makes the forecasts of every night worse, and nobody knows."""
    rows = waves(800, series=2).to_pandas()
    rows = rows.assign(visits=1.0 * rows.index, sky="dry", size=1.0 * (rows.name == "s0"))
    url = database(tmp_path / "x.duckdb", pa.Table.from_pandas(rows, preserve_index=False))
    fit(url, run=tmp_path / "run", table="t", past=["visits", "sky"], static="size", **QUICK)
    model, last = load(tmp_path / "run"), "2024-02-03 07:00"
    assert (model.grid.label(int(model.final.seen.max())), model.config.forecast.horizon) == (last, 6)

    def told(change):
        with duckdb.connect(str(tmp_path / "x.duckdb")) as connection:
            connection.execute(f"UPDATE t SET {change}")
        notes, listener = [], Listener()
        listener.note = notes.append
        newest(model, "forecast", listener, context=True)
        return notes

    assert told("visits = NULL WHERE \"at\" > '2024-02-03 01:00'") == []  # no later than a series may be untold
    assert told("visits = NULL WHERE \"at\" > '2024-02-03 00:00' AND name = 's0'") == []  # of s1 there is one
    assert told("visits = NULL WHERE \"at\" > '2024-02-03 00:00'") == [
        "column 'visits' has no value after 2024-02-03 00:00: its mean in the context is taken"
    ]
    assert told("visits = NULL, sky = NULL, size = NULL") == [
        f"column {name!r} has no value: forecast without it" for name in ("size", "visits", "sky")
    ]
