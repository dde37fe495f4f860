"""Figures of a test show the numbers of its rows."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gatecast import evidence


def held_back():
    """Test rows of two series, two steps each."""
    shop, window, step = (part.ravel() for part in np.meshgrid([0, 1], [0, 1], [1, 2], indexing="ij"))
    times = np.datetime64("2024-01-01T00", "us") + (10 * window + step) * np.timedelta64(1, "h")
    rows = {"shop": [("a", "b")[i] for i in shop], "cutoff": times - step * np.timedelta64(1, "h")}
    rows |= {"forecast_timestamp": times, "step": step, "actual": 10.0 * shop + window}
    rows |= {"forecast_value": rows["actual"] + step, "seasonal_naive": rows["actual"] - 3.0 * step}
    rows |= {"quantile_0.25": rows["actual"] - 1, "quantile_0.75": rows["actual"] + 5}
    return pa.table(rows)


def test_errors_by_step():
    rows = held_back()
    missing = rows.set_column(4, "actual", pa.array([None, *rows["actual"].to_pylist()[1:]]))
    for table in (rows, missing):
        axes = evidence.steps_figure(table).axes[0]
        model, naive = axes.lines
        assert set(axes.get_xticks()) >= {1, 2}
        assert all(tick == round(tick) for tick in axes.get_xticks())
        assert model.get_xdata().tolist() == [1, 2]
        assert model.get_ydata().tolist() == [1, 2]
        assert naive.get_ydata().tolist() == [3, 6]


def test_a_single_step_is_no_fraction():
    rows = held_back()
    axes = evidence.steps_figure(rows.filter(pc.equal(rows["step"], 1))).axes[0]
    assert [tick for tick in axes.get_xticks() if 0 < tick < 2] == [1]
    assert {line.get_marker() for line in axes.lines} == {"o"}


def history(key):
    times = np.datetime64("2024-01-01T00", "us") + np.arange(13) * np.timedelta64(1, "h")
    return pa.table({"shop": [key] * 13, "forecast_timestamp": times, "actual": np.arange(13.0)})


@pytest.mark.parametrize(("key", "level"), [("a", 0), ("b", 10)])
def test_the_newest_test_window_of_one_series_after_its_history(key, level):
    axes = evidence.example_figure(held_back(), history(key), ["shop"], (50.0,)).axes[0]
    observed, naive, model, cutoff = axes.lines
    assert observed.get_ydata().tolist() == list(range(13))
    assert model.get_ydata().tolist() == [level + 2, level + 3]
    assert naive.get_ydata().tolist() == [level - 2, level - 5]
    assert set(axes.collections[0].get_paths()[0].vertices[:, 1].tolist()) == {level, level + 6}
    assert model.get_xdata()[0] == np.datetime64("2024-01-01T11")
    assert cutoff.get_xdata()[0] == np.datetime64("2024-01-01T10")


def test_calibration_counts_what_lay_below_each_quantile():
    rows = held_back()
    low = pa.array([-1.0, 20, -1, -1, 30, 30, 30, 30])  # the truth is at or below five of eight
    left, right = evidence.calibration_figure(rows.set_column(7, "quantile_0.25", low), (50.0,)).axes
    assert left.lines[1].get_xdata().tolist() == [25, 75]
    assert all(tick == round(tick) for tick in right.get_xticks())
    assert left.lines[1].get_ydata().tolist() == [100 * 5 / 8, 100]
    assert right.lines[0].get_ydata().tolist() == [50, 25]  # of four windows each, where the low bound is not above


def test_error_by_hour_is_that_of_the_date_forecast():
    figure = evidence.calendar_figure(held_back())
    (hours,) = figure.axes  # one day only
    assert [bar.get_height() for bar in hours.patches] == [1, 2, 1, 2]
    assert [text.get_text() for text in hours.get_xticklabels()] == ["1", "2", "11", "12"]
    assert hours.lines[0].get_ydata().tolist() == [3, 6, 3, 6]
    assert evidence.calendar_figure(held_back().slice(0, 1)) is None


def test_months_have_no_weekday():
    at = np.array(["2015-01-01", "2015-02-01", "2015-03-01"], "datetime64[us]")
    columns = {
        "forecast_timestamp": at,
        "actual": np.ones(3),
        "forecast_value": np.ones(3),
        "seasonal_naive": np.ones(3),
    }
    (months,) = evidence.calendar_figure(pa.table(columns)).axes
    assert months.get_title(loc="left") == "by month"


def test_error_over_time_is_that_of_each_cutoff():
    model, naive = evidence.dates_figure(held_back()).axes[0].lines
    assert model.get_ydata().tolist() == [1.5, 1.5]
    assert naive.get_ydata().tolist() == [4.5, 4.5]
    assert (np.diff(model.get_xdata()) == np.timedelta64(10, "h")).all()


def test_error_over_time_leaves_out_cutoffs_of_a_few_series_that_end_on_another_date():
    rows = held_back()
    of_all = pa.concat_tables([rows, rows.set_column(0, "shop", pa.array(["c"] * 4 + ["d"] * 4))])
    later = pa.chunked_array([pa.array(rows["cutoff"].to_numpy() + np.timedelta64(5, "h"))])
    of_one = rows.set_column(1, "cutoff", later).slice(0, 4)
    for tests in (of_all, pa.concat_tables([of_all, of_one])):
        model, naive = evidence.dates_figure(tests).axes[0].lines
        assert (len(model.get_xdata()), len(naive.get_xdata())) == (2, 2)
    assert evidence.dates_figure(of_one) is not None
    assert evidence.dates_figure(of_one.slice(0, 2)) is None
