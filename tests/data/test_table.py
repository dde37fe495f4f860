"""Forecasts written: the table keeps all, the view beside it shows the newest, in the columns of AI.FORECAST."""

import datetime as dt

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from sqlglot import exp

from gatecast.data.dates import Frequency, Grid
from gatecast.data.table import AI_FORECAST, ForecastTable, timestamps
from gatecast.errors import StoreError
from gatecast.settings import SourceSettings
from gatecast.store import open_store
from gatecast.store.sql import SOURCE


def forecasts(cutoff, value, shop="north"):
    """Two days of forecasts from a cutoff in May on."""
    days = [dt.datetime(2024, 5, cutoff + ahead) for ahead in (1, 2)]
    columns = {
        "shop": pa.array([shop] * 2, pa.string()),
        "forecast_timestamp": days,
        "forecast_value": [value] * 2,
        "confidence_level": [0.8] * 2,
        "prediction_interval_lower_bound": [value - 1] * 2,
        "prediction_interval_upper_bound": [value + 1] * 2,
        "cutoff": [dt.datetime(2024, 5, cutoff)] * 2,
        "step": [1, 2],
        "kind": ["future"] * 2,
        "run_id": ["r1"] * 2,
    }
    return ForecastTable(pa.table(columns), ("shop",))


def test_the_view_shows_the_newest_cutoff_of_each_series_and_timestamp(tmp_path):
    path = tmp_path / "shop.duckdb"
    for table in (forecasts(2, 20.0), forecasts(1, 10.0), forecasts(1, 7.0, shop=None)):
        table.write(str(path), "out")
    with duckdb.connect(str(path)) as connection:
        view = connection.execute("FROM out_latest")
        assert [column[0] for column in view.description] == ["shop", *AI_FORECAST]
        found = sorted(((row[0], row[1].day, row[2]) for row in view.fetchall()), key=str)
        assert connection.execute("SELECT COUNT(*) FROM out").fetchall() == [(6,)]
    assert found == [("north", 2, 10.0), ("north", 3, 20.0), ("north", 4, 20.0), (None, 2, 7.0), (None, 3, 7.0)]


@pytest.mark.parametrize("ids", [("r1", "r2"), ("r2", "r1")])
def test_the_view_shows_the_run_trained_last_of_those_with_one_cutoff(tmp_path, ids):
    path = tmp_path / "shop.duckdb"
    for run in ids:
        rows = forecasts(1, float(run[1])).rows
        rows = rows.set_column(rows.column_names.index("run_id"), "run_id", pa.array([run] * 2))
        ForecastTable(rows, ("shop",)).write(str(path), "out")
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SELECT DISTINCT forecast_value FROM out_latest").fetchall() == [(2.0,)]


@pytest.mark.parametrize("kind", ["duckdb", "bigquery"])
def test_an_hour_that_clocks_show_twice_has_both_its_forecasts_in_table_and_view(kind, tmp_path, request):
    url = request.getfixturevalue(kind) if kind == "bigquery" else str(tmp_path / "shop.duckdb")
    rows = forecasts(2, 20.0).rows
    same = rows.set_column(1, "forecast_timestamp", pa.array([dt.datetime(2024, 10, 27, 2)] * 2))
    both = ForecastTable(same.set_column(2, "forecast_value", pa.array([20.0, 21.0])), ("shop",))
    for _ in range(2):
        both.write(url, "out")
    with open_store(url) as store:
        for table in ("out", "out_latest"):
            found = store.read(SourceSettings(table=table), exp.select("forecast_value").from_(SOURCE)).read_all()
            assert sorted(found.column("forecast_value").to_pylist()) == [20, 21]


def test_a_view_that_cannot_be_made_is_told_with_the_rows_that_are_there(tmp_path):
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE out_latest AS SELECT 1 AS mine")
    with pytest.raises(StoreError, match=r"the rows are in out, but its view out_latest is not made: .*of type Table"):
        forecasts(1, 10.0).write(str(path), "out")
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM out").fetchall() == [(2,)]
        assert connection.execute("FROM out_latest").fetchall() == [(1,)]


@pytest.mark.parametrize("kind", ["duckdb", "bigquery"])
def test_a_view_of_the_users_own_is_not_replaced(kind, tmp_path, request):
    url = request.getfixturevalue(kind) if kind == "bigquery" else str(tmp_path / "shop.duckdb")
    for value in (10.0, 11.0):  # the view that was made here is replaced
        forecasts(1, value).write(url, "out")
    with open_store(url, write=True) as store:
        store.view("mine_latest", exp.select("shop").from_(exp.table_("out_latest")))
    with pytest.raises(
        StoreError, match=r"rows are in mine, .* a view mine_latest is there that Gatecast did not make"
    ):
        forecasts(1, 12.0).write(url, "mine")
    with open_store(url) as store:
        assert store.columns(SourceSettings(table="mine_latest")) == {"shop": "text"}
        found = store.read(SourceSettings(table="out_latest"), exp.select("forecast_value").from_(SOURCE)).read_all()
        assert found.column("forecast_value").to_pylist() == [11.0, 11.0]


def test_a_file_has_no_view(tmp_path):
    forecasts(1, 10.0).write(str(tmp_path / "out.parquet"))
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


@pytest.mark.parametrize(
    ("freq", "first", "second"),
    [
        ("D", dt.date(2024, 5, 2), dt.date(2024, 5, 3)),
        ("h", dt.datetime(2024, 5, 2, 15), dt.datetime(2024, 5, 2, 16)),
        ("bh", dt.datetime(2024, 5, 2, 15), dt.datetime(2024, 5, 2, 16)),
    ],
)
def test_hours_of_a_column_of_days_are_times(freq, first, second):
    grid = Grid(Frequency.parse(freq))
    steps = grid.floor("2024-05-02 15:00") + np.arange(2)
    assert timestamps(grid, "date", steps).to_pylist() == [first, second]


def test_rows_become_frames_of_three_libraries():
    table = forecasts(1, 10.0)
    rows = table.to_arrow().to_pydict()
    assert rows["forecast_value"] == [10, 10]
    assert table.to_polars().to_dict(as_series=False) == table.to_pandas().to_dict("list") == rows
