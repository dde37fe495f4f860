"""Figures of a test: functions of the rows of `test.parquet`, returning matplotlib figures."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gatecast.data.table import BASELINES, DRIFT, SEASONAL, TIMESTAMP, VALUE
from gatecast.figures import INK, MODEL, OTHER, QUIET, band, clean, column, counted, dated, equals, line, new, wall
from gatecast.points import bounds

Array = npt.NDArray[np.float64]
WIDE = 7.6
"""Inches, the width of a column of the page."""
LABELS = {VALUE: "model", **BASELINES}
COLORS = dict(zip(LABELS, (MODEL, QUIET, "#94801f", OTHER, "#7a5ea8", "#3d8b5f"), strict=True))
STYLES = {SEASONAL: "--", DRIFT: ":"}
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
DAYS = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"]


def example_figure(tests: pa.Table, history: pa.Table, series: Sequence[str], levels: Sequence[float]) -> Figure:
    """One series: what came before, then truth, forecast, intervals and the seasonal naive of its newest test.

    Args:
        tests: the rows of `test.parquet`; those of other series are left out.
        history: rows of the one series: its columns, `forecast_timestamp`, `actual`.
        series: the series columns.
        levels: of the intervals, in percent.
    """
    for name in series:
        tests = tests.filter(equals(tests[name], history[name][0]))
    last = tests.filter(pc.equal(tests["cutoff"], pc.max(tests["cutoff"])))
    times = wall(last[TIMESTAMP])
    figure, axes = new(WIDE, 2.9)
    line(axes, wall(history[TIMESTAMP]), column(history, "actual"), color=INK, lw=1, label="observed")
    for level, shade in zip(sorted(levels, reverse=True), np.linspace(0.15, 0.3, len(levels)), strict=True):
        low, high = (column(last, f"quantile_{side:g}") for side in bounds(level))
        band(axes, times, low, high, alpha=shade, label=f"{level:g} % interval")
    _draw(axes, SEASONAL, times, column(last, SEASONAL))
    line(axes, times, column(last, VALUE), color=MODEL, lw=1.8, label="forecast")
    axes.axvline(wall(last["cutoff"])[0], color=QUIET, lw=0.8, ls=":")
    dated(axes)
    _legend(axes)
    return figure


def steps_figure(tests: pa.Table) -> Figure:
    """Mean absolute error at each step ahead, of the model and of each baseline."""
    figure, axes = new(WIDE, 2.7)
    steps = column(tests, "step").astype(np.int64)
    for name, error in _errors(tests).items():
        at, mean = _means(steps, error)
        _draw(axes, name, at, mean, lw=2 if name == VALUE else 1.2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("step ahead")
    counted(axes.xaxis)
    clean(axes)
    _legend(axes, drop=0.24)
    return figure


def calibration_figure(tests: pa.Table, levels: Sequence[float]) -> Figure:
    """Left: how often the truth lay below each quantile. Right: coverage of each level by step ahead."""
    figure = Figure(figsize=(WIDE, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2)
    truth, steps = column(tests, "actual"), column(tests, "step").astype(np.int64)
    seen = ~np.isnan(truth)
    named = {float(name.removeprefix("quantile_")): name for name in tests.column_names if name.startswith("quantile_")}
    below = [
        100 * float((truth <= column(tests, name))[seen].mean()) if seen.any() else np.nan for name in named.values()
    ]
    left.plot([0, 100], [0, 100], color=QUIET, lw=1, ls="--")
    left.plot([100 * probability for probability in named], below, color=MODEL, marker="o", ms=4, lw=1.5)
    left.set_title("Truth below each quantile, %", loc="left", color=INK, fontsize=10)
    left.set_xlabel("quantile, %")
    for level, color in zip(levels, (MODEL, OTHER, QUIET, INK) * len(levels), strict=False):
        low, high = (column(tests, f"quantile_{side:g}") for side in bounds(level))
        inside = np.where(seen, (truth >= low) & (truth <= high), np.nan) * 100.0
        right.plot(
            *_means(steps, inside), color=color, lw=1.5, label=f"{level:g} %", marker="." if steps.max() < 3 else None
        )
        right.axhline(level, color=color, lw=1, ls="--")
    right.set_title("Coverage by step, %", loc="left", color=INK, fontsize=10)
    right.set_xlabel("step ahead")
    counted(right.xaxis)
    right.set_ylim(top=101)
    for axes in (left, right):
        clean(axes)
    _legend(right, drop=0.24)
    return figure


def calendar_figure(tests: pa.Table) -> Figure | None:
    """Error by hour, weekday and month of the date, where the dates differ in them; None if in none."""
    times = wall(tests[TIMESTAMP]).astype("datetime64[s]")
    days = times.astype("datetime64[D]")
    parts = {
        "by hour": ((times - days).astype(np.int64) // 3600, [str(hour) for hour in range(24)]),
        "by weekday": ((days.astype(np.int64) + 3) % 7, DAYS),
        "by month": (times.astype("datetime64[M]").astype(np.int64) % 12, MONTHS),
    }
    apart = np.diff(np.unique(days)).astype(np.int64)
    if apart.size and apart.min() > 7:  # months, quarters or years: the weekday they begin on means nothing
        del parts["by weekday"]
    shown = {title: part for title, part in parts.items() if len(np.unique(part[0])) > 1}
    if not shown:
        return None
    errors = _errors(tests)
    figure = Figure(figsize=(WIDE, 2.6), layout="constrained")
    ratios = [max(len(np.unique(place)), 9) for place, _ in shown.values()]
    grid = figure.subplots(1, len(shown), squeeze=False, width_ratios=ratios, sharey=True)[0]
    for axes, (title, (place, labels)) in zip(grid, shown.items(), strict=True):
        at, mean = _means(place, errors[VALUE])
        names = [labels[int(part)] for part in at]
        where = np.arange(len(at))
        axes.bar(where, mean, color=MODEL, width=0.75)
        also, naive = _means(place, errors[SEASONAL])
        axes.plot(np.searchsorted(at, also), naive, color=INK, marker="_", ms=9, lw=0)
        every = -(-len(at) // 12)
        axes.set_xticks(where[::every], names[::every])
        axes.set_title(title, loc="left", color=INK, fontsize=10)
        clean(axes)
    return figure


def dates_figure(tests: pa.Table) -> Figure | None:
    """Mean absolute error of the windows from each cutoff, over time; None if there is only one.

    Cutoffs of fewer than half of the usual number of windows are left out: those of a few series that end on another
    date than the rest would be peaks and dips between those of all.
    """
    times, place, size = np.unique(wall(tests["cutoff"]), return_inverse=True, return_counts=True)
    usual = size >= np.median(size) / 2
    if usual.sum() < 2:
        return None
    figure, axes = new(WIDE, 2.4)
    for name, error in _errors(tests).items():
        if name in (VALUE, SEASONAL):
            at, mean = _means(place, np.where(usual[place], error, np.nan))
            _draw(axes, name, times[at], mean, marker="." if len(at) < 40 else None)
    axes.set_ylim(bottom=0)
    dated(axes)
    _legend(axes)
    return figure


def _errors(tests: pa.Table) -> dict[str, Array]:
    """Absolute errors of the model and of each baseline there is."""
    truth = column(tests, "actual")
    return {name: np.abs(column(tests, name) - truth) for name in LABELS if name in tests.column_names}


def _means(place: npt.NDArray[np.int64], values: Array) -> tuple[npt.NDArray[np.int64], Array]:
    """The places that have values, and the mean of each."""
    seen = ~np.isnan(values)
    size = np.bincount(place[seen])
    at = np.flatnonzero(size)
    return at, np.bincount(place[seen], values[seen])[at] / size[at]


def _draw(axes: Axes, name: str, at: np.ndarray, values: Array, *, lw: float = 1.2, marker: str | None = None) -> None:
    """The line of the model or of a baseline, alike in every figure."""
    style = {"marker": marker} if marker else {}
    line(axes, at, values, color=COLORS[name], ls=STYLES.get(name, "-"), lw=lw, label=LABELS[name], **style)


def _legend(axes: Axes, drop: float = 0.2) -> None:
    axes.legend(frameon=False, ncols=5, loc="upper left", bbox_to_anchor=(0, -drop), fontsize=9, labelcolor=INK)
