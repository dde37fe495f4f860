"""Figures: history and forecast, training curves. The functions take plain records and return matplotlib figures."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from gatecast.data.panel import Panel
from gatecast.data.table import CONFIDENCE, LOWER, SHOWN_HORIZONS, TIMESTAMP, UPPER, VALUE, ForecastTable, wall_clock

Array = np.ndarray[Any, Any]
INK, MODEL, OTHER, QUIET, LINE = "#22303c", "#0b6e8f", "#d1603d", "#8a97a3", "#e6eaed"
LONGEST_NAME, LONGEST_TITLE = 60, 90
"""Letters of a name in a title, and of all of it; a longer name is cut."""


def forecast_figure(panel: Panel, index: int, table: ForecastTable) -> Figure:
    """The end of one series, its forecast and its intervals.

    Args:
        index: which series of the panel.
        table: its forecasts (rows of other series are ignored).
    """
    rows = table.rows
    for name in table.series:
        rows = rows.filter(equals(rows[name], panel.keys[name][index]))
    levels = sorted(set(rows[CONFIDENCE].to_pylist()), reverse=True)
    ahead = max(rows["step"].to_pylist(), default=1)
    shown = min(SHOWN_HORIZONS * ahead, int(panel.lengths[index]))
    steps = np.arange(panel.lasts[index] - shown + 1, panel.lasts[index] + 1)

    figure, axes = new(9, 3.8)
    line(axes, panel.grid.wall(steps), panel.series(index)[-shown:], color=INK, lw=1.1, label="observed")
    for shade, level in zip(np.linspace(0.15, 0.35, len(levels)), levels, strict=True):
        part = rows.filter(pc.equal(rows[CONFIDENCE], level))
        low, high = (part[name].to_numpy() for name in (LOWER, UPPER))
        band(axes, wall(part[TIMESTAMP]), low, high, alpha=shade, label=f"{100 * level:g} % interval")
    part = rows.filter(pc.equal(rows[CONFIDENCE], levels[0]))
    line(axes, wall(part[TIMESTAMP]), part[VALUE].to_numpy(), color=MODEL, lw=1.6, label="forecast")
    named(axes, panel.names[index] if table.series else "History and forecast")
    dated(axes)
    axes.legend(frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.1))
    return figure


def history_figure(history: Sequence[Mapping[str, Any]], kept: int) -> Figure:
    """Loss and accuracy by epoch, for train and validation on one scale, with the epoch of the kept weights marked."""
    lines = [line for line in history if line["stage"] == "test"]
    epochs = [line["epoch"] for line in lines]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, 2))
    for axes, name, title in zip(panels, ("loss", "accuracy"), ("Loss", "Accuracy = 1 − WAPE, in %"), strict=True):
        axes.plot(epochs, [line[f"train_{name}"] for line in lines], color=QUIET, lw=1.5, label="train")
        axes.plot(epochs, [line[f"validation_{name}"] for line in lines], color=MODEL, lw=1.8, label="validation")
        axes.axvline(kept, color=OTHER, lw=1, ls=":", label=f"epoch {kept} kept")
        axes.set_title(title, loc="left", color=INK)
        axes.set_xlabel("epoch")
        counted(axes.xaxis)
        clean(axes)
    panels[0].legend(frameon=False)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG or SVG, depending on the file extension; the text of an SVG stays text."""
    with drawing():
        figure.savefig(path, dpi=130, facecolor="white", metadata={"Date": None} if path.suffix == ".svg" else None)


@contextmanager
def drawing() -> Iterator[None]:
    """Settings for saving: the same bytes from the same figure, and text as text.

    A letter that no font here has is a box in a PNG; a browser finds another font for an SVG.
    """
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "gatecast", "font.family": "sans-serif"}
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


def new(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of the given size in inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def line(axes: Axes, at: Array, values: Array, **style: Any) -> None:
    """A line, with a dot where a value has no neighbour that it could be drawn to."""
    seen = np.pad(~np.isnan(values), 1)
    alone = np.flatnonzero(seen[1:-1] & ~seen[:-2] & ~seen[2:]).tolist()
    dots: dict[str, Any] = {"marker": "o", "ms": 3, "markevery": alone} if alone else {}
    axes.plot(at, values, **dots | style)


def band(axes: Axes, at: Array, low: Array, high: Array, **style: Any) -> None:
    """The interval of a forecast; that of a single step, whose area would be none, is a bar."""
    if len(at) > 1:
        axes.fill_between(at, low, high, color=MODEL, lw=0, **style)
    else:
        axes.vlines(at, low, high, color=MODEL, lw=6, **style)


def wall(column: pa.ChunkedArray) -> Array:
    """Where dates and timestamps stand on an axis: on the wall clock of their own zone."""
    return np.asarray(wall_clock(column).to_numpy())


def named(axes: Axes, name: str, more: str = "") -> None:
    """A title that begins with a name: one too long is cut, and its dollar signs do not delimit a formula."""
    longest = min(LONGEST_NAME, LONGEST_TITLE - len(more))
    title = name if len(name) <= longest else name[: longest - 1] + "…"
    axes.set_title(title + more, loc="left", color=INK, parse_math=False)


class _Dates(AutoDateLocator):
    """Without the last day of a month that its first, where the days are counted anew, would be drawn over."""

    def __call__(self) -> Any:
        ticks = np.asarray(super().__call__())  # type: ignore[no-untyped-call]  # matplotlib has no types here
        apart = np.diff(ticks)
        return ticks[np.append(apart >= np.median(apart) / 2, True)] if len(ticks) > 2 else ticks


def dated(axes: Axes) -> None:
    """Dates along the bottom axis, few and short."""
    locator = _Dates(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]  # matplotlib has no types here
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]  # the same
    # Days with their month: the single label below the axis names only the last month, even if there are two.
    formatter.formats[2] = formatter.zero_formats[2] = formatter.zero_formats[3] = "%d %b"
    formatter.offset_formats[2:] = "%Y", "%d %b %Y", "%d %b %Y", "%d %b %Y %H:%M"
    axes.xaxis.set_major_formatter(formatter)
    clean(axes)


def counted(axis: Axis) -> None:
    """Whole numbers along an axis, as there is no step one and a half."""
    axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))


def clean(axes: Axes) -> None:
    """No more ink than needed."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(colors=INK, labelsize=9)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    axes.grid(axis="y", color=LINE, lw=0.6)
    axes.set_axisbelow(True)


def equals(column: pa.ChunkedArray, value: pa.Scalar) -> pa.ChunkedArray:
    """Where a column equals a value; null equals null."""
    return pc.equal(column, value) if value.is_valid else pc.is_null(column)


def column(table: pa.Table, name: str) -> Array:
    """A column of numbers, NaN where it is null."""
    return np.asarray(table[name].to_numpy(), np.float64)
