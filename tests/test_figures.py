"""Figures show the numbers they were given."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from matplotlib.dates import date2num

from gatecast import figures
from gatecast.data.dates import Frequency, Grid
from gatecast.data.panel import Panel
from gatecast.data.table import ForecastTable

BERLIN = Grid(Frequency.parse("h"), "Europe/Berlin")


def panel_of(grid=BERLIN, kind="instant"):
    """Two series of 40 hours from step 100 on, the second with a hole."""
    values = np.arange(80, dtype=np.float32)
    values[60] = np.nan
    return Panel(grid, pa.table({"shop": ["a", "b"]}), values, np.array([0, 40, 80]), np.array([100, 100]), kind)


def forecasts(panel, zone="Europe/Berlin", levels=(0.5, 0.9)):
    """Three steps of both series at two levels; values tell them apart."""
    shop, step, level = (part.ravel() for part in np.meshgrid([0, 1], [1, 2, 3], levels, indexing="ij"))
    times = panel.grid.instants(139 + step).astype("datetime64[us]")
    times = pa.array(times).cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us", zone)) if zone else pa.array(times)
    point = 100.0 * shop + step
    rows = {"shop": [("a", "b")[i] for i in shop], "forecast_timestamp": times, "forecast_value": point}
    rows |= {"confidence_level": level, "prediction_interval_lower_bound": point - level}
    rows |= {"prediction_interval_upper_bound": point + level, "step": step}
    return ForecastTable(pa.table(rows), ("shop",))


def texts(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def heights(collection):
    return set(collection.get_paths()[0].vertices[:, 1].round(3).tolist())


def test_history_and_forecast_of_one_series():
    panel = panel_of()
    figure = figures.forecast_figure(panel, 1, forecasts(panel))
    (axes,) = figure.axes
    observed, forecast = axes.lines
    assert observed.get_ydata() == pytest.approx(panel.series(1)[-21:], nan_ok=True)  # seven horizons of three
    assert np.isnan(observed.get_ydata()[1])
    assert forecast.get_ydata().tolist() == [101, 102, 103]
    wide, narrow = axes.collections
    assert heights(wide) >= {100.1, 101.9, 102.1, 103.9}
    assert heights(narrow) >= {100.5, 101.5, 102.5, 103.5}
    assert wide.get_alpha() < narrow.get_alpha()
    assert axes.get_title(loc="left") == "b"
    assert texts(figure) == ["observed", "90 % interval", "50 % interval", "forecast"]
    # The wall clock of the zone: the first forecast is an hour after the last value.
    times = [date2num(line.get_xdata()) for line in (observed, forecast)]
    assert (times[1][0] - times[0][-1]) * 24 == pytest.approx(1)
    assert times[1][0] == pytest.approx(date2num(np.datetime64("1970-01-06T20:00")))


def test_what_has_no_neighbour_is_a_dot_or_a_bar():
    """Neither a line nor an area can be seen of it: values with gaps on both sides, a horizon of one step."""
    panel = panel_of()
    panel.series(1)[[-3, -5]] = np.nan  # leaves the last but three between two gaps
    table = forecasts(panel)
    first = ForecastTable(table.rows.filter(pc.equal(table.rows["step"], 1)), table.series)
    (axes,) = figures.forecast_figure(panel, 1, first).axes
    observed, forecast = axes.lines
    assert observed.get_ydata().size == 7
    assert (observed.get_marker(), observed.get_markevery()) == ("o", [3])
    assert (forecast.get_marker(), forecast.get_markevery()) == ("o", [0])
    (wide,), (narrow,) = (bars.get_segments() for bars in axes.collections)
    assert wide[:, 1].tolist() == pytest.approx([100.1, 101.9])
    assert narrow[:, 1].tolist() == pytest.approx([100.5, 101.5])
    whole, _ = figures.forecast_figure(panel_of(), 0, table).axes[0].lines
    assert whole.get_marker() == "None"


def test_a_single_series_needs_no_name():
    panel = panel_of().take(np.array([0]))
    alone = Panel(panel.grid, pa.table({}), panel.values, panel.offsets, panel.starts, "local")
    rows = forecasts(alone, zone=None).rows.slice(0, 6).drop_columns(["shop"])
    figure = figures.forecast_figure(alone, 0, ForecastTable(rows, ()))
    assert figure.axes[0].get_title(loc="left") == "History and forecast"
    assert figure.axes[0].lines[1].get_ydata().tolist() == [1, 2, 3]


def test_a_level_is_not_rounded():
    panel = panel_of()
    told = texts(figures.forecast_figure(panel, 0, forecasts(panel, levels=(0.975, 0.999))))
    assert told[1:3] == ["99.9 % interval", "97.5 % interval"]


def test_dollars_in_a_name_are_no_formula(tmp_path):
    panel, name = panel_of(), "US$ $_{"
    keys = pa.table({"shop": [name, *panel.keys["shop"].to_pylist()[1:]]})
    table = forecasts(panel).rows
    shops = pa.array([name if shop == "a" else shop for shop in table["shop"].to_pylist()])
    renamed = ForecastTable(table.set_column(0, "shop", shops), ("shop",))
    figures.save(figures.forecast_figure(replace(panel, keys=keys), 0, renamed), tmp_path / "figure.svg")
    assert f">{name}</text>" in (tmp_path / "figure.svg").read_text()


@pytest.mark.parametrize(
    ("days", "there", "absent"),
    [
        (("2015-01-28", "2015-02-04"), {"30 Jan", "31 Jan", "01 Feb", "02 Feb"}, set()),
        # Every fourth day, counted anew each month; the last of one would be drawn over by the first of the next.
        (("2024-02-09", "2024-03-02"), {"25 Feb", "01 Mar"}, {"29 Feb"}),
    ],
)
def test_days_of_two_months_say_which(days, there, absent):
    figure, axes = figures.new(9, 3)
    times = np.arange(*days, dtype="datetime64[D]")
    axes.plot(times, np.arange(len(times)))
    figures.dated(axes)
    figure.draw_without_rendering()
    labels = {label.get_text() for label in axes.get_xticklabels()}
    assert there <= labels
    assert not absent & labels
    assert axes.xaxis.get_major_formatter().get_offset() == days[0][:4]


def test_a_letter_without_a_font_raises_no_warning(tmp_path, recwarn):
    figure, axes = figures.new(3, 3)
    figures.named(axes, "日本語")
    figures.save(figure, tmp_path / "figure.svg")
    assert ">日本語</text>" in (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert not recwarn.list


def test_days_of_hourly_data_are_written_as_elsewhere():
    """A day before its month, not `Nov-02`."""
    figure, axes = figures.new(9, 3)
    axes.plot(np.arange("2024-11-02", "2024-11-04T01", dtype="datetime64[h]"), np.arange(49.0))
    figures.dated(axes)
    figure.canvas.draw()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert {"02 Nov", "03 Nov", "12:00"} <= {*labels}
    assert axes.xaxis.get_major_formatter().get_offset() == "04 Nov 2024"


def test_training_curves_mark_the_epoch_kept():
    losses, stages = [3.0, 1.0, 2.0], ["test"] * 3 + ["final"]
    lines = [
        {"stage": stage, "epoch": i + 1, "train_loss": 5 - i, "train_accuracy": 60 + i}
        | {"validation_loss": loss, "validation_accuracy": None if loss is None else 50 + i}
        for i, (stage, loss) in enumerate(zip(stages, [*losses, None], strict=True))
    ]
    loss, accuracy = figures.history_figure(lines, 3).axes  # as where validation is too short to choose by
    assert [list(line.get_ydata()) for line in loss.lines[:2]] == [[5, 4, 3], losses]
    assert [list(line.get_ydata()) for line in accuracy.lines[:2]] == [[60, 61, 62], [50, 51, 52]]
    for axes in (loss, accuracy):
        assert list(axes.lines[2].get_xdata()) == [3, 3]
    assert loss.get_legend().get_texts()[2].get_text() == "epoch 3 kept"


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG\r\n"), ("svg", b"<?xml")])
def test_figures_are_written_by_the_ending_of_the_name(tmp_path, ending, start):
    path = tmp_path / f"figure.{ending}"
    panel = panel_of()
    figures.save(figures.forecast_figure(panel, 0, forecasts(panel)), path)
    assert path.read_bytes().startswith(start)
    if ending == "svg":
        assert ">a</text>" in path.read_text()  # the title; text stays text
