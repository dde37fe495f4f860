"""Four figures of an insight, for people who have never seen a gate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import NullLocator, StrMethodFormatter

from gatecast.data.dates import Steps
from gatecast.data.features import CALENDAR
from gatecast.data.frequency import DAY, HOUR, MINUTE, YEAR, Frequency
from gatecast.data.panel import Panel
from gatecast.errors import plural
from gatecast.figures import INK, MODEL, OTHER, QUIET, clean, counted, dated, line, named, new
from gatecast.insight.attribution import Attribution
from gatecast.insight.gates import Gates
from gatecast.insight.memory import Memory

Array = np.ndarray[Any, Any]
WIDE = 9.0
ROWS = {
    "f": ("Forget gate: how much of its memory each unit kept", "cividis"),
    "i": ("Input gate: how much of the new it let in", "cividis"),
    "o": ("Output gate: how much of its memory it showed", "cividis"),
    "g": ("Candidate: what there was to write", "RdBu_r"),
    "c": ("Cell state: what it remembered afterwards", "RdBu_r"),
}
"""Title and colours of each part of a trace: gates from closed to open, states from minus to plus."""
FOLLOWED = {
    "level": MODEL,
    "trend": OTHER,
    "hour": "#3d8b5f",
    "weekday": "#94801f",
    "day of the month": "#a8456b",
    "season": "#7a5ea8",
}
"""Colours of what a unit may follow."""
DURATION_TICKS = [MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY, YEAR, 10 * YEAR]
"""Seconds that stand on an axis of durations."""
MAX_CONTEXTS = 10
"""Half-lives are drawn up to so many contexts; what remembers longer forgets nothing that matters."""
LEAST_RANGE = 1.0
"""Points of accuracy that an axis spans at least: of smaller differences it would make mountains."""
READS, FASTER = "what the LSTM reads", "half of the units forget faster"


def gates_figure(panel: Panel, index: int, gates: Gates) -> Figure:
    """A series above everything the last layer did while it read it, on one time axis; the longest memory on top."""
    heights = [1.3] + [1] * len(ROWS)
    figure = Figure(figsize=(WIDE, 9.2), layout="constrained")
    axes: list[Axes] = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights))
    edges = _edges(panel, gates.steps, gates.segment)
    count, read = len(edges) - 1, "" if gates.segment == 1 else f", {gates.segment} steps in each"
    _observed(axes[0], panel, index, gates.steps)
    named(axes[0], panel.names[index], f": read in {plural(count, 'recurrent step')}{read}")
    order = gates.half_lives[-1].argsort(descending=True)
    for part, (name, (title, colors)) in zip(axes[1:], ROWS.items(), strict=True):
        shown = getattr(gates.trace, name)[-1, 0][:, order].numpy().T
        size = 1.0 if name in "fiog" else float(np.quantile(np.abs(shown), 0.98)) or 1.0
        low = 0.0 if name in "fio" else -size
        image = _heat(part, shown, (edges[0], edges[-1], 0, len(shown)), colors, low, size)
        part.set_ylabel(plural(len(shown), "unit"), fontsize=9, color=INK)
        part.set_yticks([])
        part.set_title(title, loc="left", fontsize=10, color=INK)
        bar = figure.colorbar(image, ax=part, ticks=[low, size], pad=0.01)
        bar.ax.set_yticklabels(["closed", "open"] if low == 0 else [f"−{size:.3g}", f"+{size:.3g}"], fontsize=8)
    if gates.event is not None:
        for part in axes:
            part.axvspan(edges[gates.event], edges[gates.event + 1], fill=False, ec=OTHER, lw=1.4)
        late, across = int(gates.event >= count / 2), axes[0].get_xaxis_transform()  # the words stay within the axes
        where, side = (edges[gates.event + late], 0.98), ("left", "right")[late]
        axes[0].text(*where, " least like the others ", transform=across, ha=side, va="top", color=OTHER, fontsize=8)
    dated(axes[-1])
    axes[-1].grid(visible=False)
    return figure


def half_lives_figure(gates: Gates, following: Sequence[tuple[str, float] | None], frequency: Frequency) -> Figure:
    """How long each unit of each layer remembers, the longest first, coloured by what it follows."""
    lives = gates.half_lives.flatten().numpy()
    names = np.array([unit[0] if unit else "" for unit in following])
    order, span = np.argsort(-lives), len(gates.steps)
    longest = MAX_CONTEXTS * span
    shown, names = np.minimum(lives[order], longest), names[order]
    figure, axes = new(WIDE, 3.6)
    rank = np.arange(1, len(shown) + 1)
    for name in sorted(dict.fromkeys(names), key=bool):
        part, label = names == name, f"follows the {name}" if name else "follows none of these"
        axes.scatter(rank[part], shown[part], s=16, color=FOLLOWED.get(name, QUIET), label=label, lw=0)
    median = float(gates.half_lives.median())
    marks = [(steps, text) for steps, text in ((span, READS), (median, FASTER)) if steps <= longest]
    for steps, text in marks:
        axes.axhline(steps, color=INK, lw=0.9, ls=":")
        # The dots fall: at the right, of which the words take a third, they are below all but short lives.
        end, align = (len(rank), "right") if shown[2 * len(rank) // 3] <= steps else (1, "left")
        side = "top" if steps < max(marks)[0] < 1.5 * steps else "bottom"  # away from the other, if that is near
        axes.annotate(f"{frequency.spell(steps)}: {text}", (end, steps), ha=align, va=side, fontsize=9, color=INK)
    axes.margins(y=0.12)  # room for words above what is uppermost
    if lives.max() > longest:
        words = "this long, or longer"
        axes.annotate(words, (1, longest), (-3, 4), textcoords="offset points", va="bottom", fontsize=9, color=INK)
    axes.set_yscale("log")
    clean(axes)
    low, high = axes.get_ylim()
    ticks = [size / frequency.seconds for size in DURATION_TICKS if low <= size / frequency.seconds <= high]
    if len(ticks) < 2:  # all lives are about as long
        ticks = np.geomspace(low, high, 5)[1:-1].tolist()
    axes.set_yticks(ticks, [frequency.spell(size) for size in ticks])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title("Time after which half of a unit's memory is gone", loc="left", color=INK)
    axes.set_xlabel("units, the longest memory first", color=INK)
    counted(axes.xaxis)
    if names.any():
        axes.legend(frameon=False, fontsize=9, labelcolor=INK, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.2))
    return figure


def attribution_figure(panel: Panel, index: int, window: Steps, found: Attribution) -> Figure:
    """Series and forecast above what each segment of the context gave to it, in all and step by step.

    Args:
        window: the grid steps of the context and the horizon.
    """
    figure = Figure(figsize=(WIDE, 6.6), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=[8, 1.2], height_ratios=[1.2, 1, 1.3])
    whole, share, each = axes = [figure.add_subplot(grid[row, 0]) for row in range(3)]
    horizon = len(found.forecast)
    steps, edges = window[:-horizon], _edges(panel, window[:-horizon], found.segment)
    times = panel.grid.wall(window[-horizon:])
    _observed(whole, panel, index, steps)
    for values, label, color, style in (
        (found.forecast, "forecast", MODEL, "-"),
        (found.flat, "forecast of a flat context", OTHER, "--"),
    ):
        line(whole, times, values.numpy(), color=color, ls=style, lw=1.6, label=label)
    named(whole, panel.names[index], ": what was read, and the forecast")
    whole.margins(y=0.2)
    whole.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper left", ncols=2)
    shares, others = found.shares
    share.bar(edges[:-1], 100 * shares.numpy(), np.diff(edges) * 0.92, align="edge", color=MODEL)
    share.set_title("Share of what makes the difference between the two, %", loc="left", fontsize=10, color=INK)
    given = found.segments.numpy()
    size = float(np.abs(given).max()) or 1.0
    image = _heat(each, given, (edges[0], edges[-1], horizon + 0.5, 0.5), "RdBu_r", -size, size)
    title = "What each part added to (red) or took from (blue) each step ahead"
    each.set_title(title, loc="left", fontsize=10, color=INK)
    each.set_ylabel("step ahead", fontsize=9, color=INK)
    counted(each.yaxis)
    bar = figure.colorbar(image, cax=figure.add_subplot(grid[2, 1]), format=StrMethodFormatter("{x:+,.10g}"))
    bar.ax.set(box_aspect=8, anchor="W")
    for part in axes:
        dated(part)
        part.set_xlim(edges[0], _dates(times)[-1])
    each.grid(visible=False)
    if others:
        small = figure.add_subplot(grid[1, 1], sharey=share)
        places = range(len(others))
        small.bar(places, [100 * part for part in others.values()], color=OTHER, width=0.6)
        small.set_xticks(places, [*others], parse_math=False)
        what = "calendar" if set(others) <= set(CALENDAR) else "other inputs"
        small.set_title(what, loc="left", fontsize=10, color=INK)
        clean(small)
        small.tick_params(axis="x", rotation=90 * (len(others) > 2))
    return figure


def memory_figure(memory: Memory, frequency: Frequency) -> Figure:
    """Accuracy against how many of the newest steps are left as they were."""
    figure, axes = new(WIDE, 3.8)
    for name, color, style in (("shuffled", MODEL, "-"), ("hidden", QUIET, "--")):
        label = f"older steps {name}"
        axes.plot(memory.kept, memory.accuracy[name], color=color, ls=style, lw=1.6, marker="o", ms=4, label=label)
    how = "does as well" if memory.alike else "is not measurably worse"
    some = f"with {memory.enough:,} ({frequency.spell(memory.enough)}) it {how}"
    label = {0: "none helps measurably", int(memory.kept[-1]): "all are used"}.get(memory.enough, some)
    if not memory.few:
        axes.axvline(memory.enough, color=OTHER, lw=1.2, ls=":", label=label)
    axes.set_title("Accuracy = 1 − WAPE on the test windows, in %", loc="left", color=INK)
    low, high = axes.get_ylim()
    if (room := LEAST_RANGE - (high - low)) > 0:
        axes.set_ylim(low - room / 2, high + room / 2)
    ticks, last = [0], int(memory.kept[-1])
    for size in memory.kept[1:-1].tolist():  # closer together at the start than labels may stand
        if min(size - ticks[-1], last - size) >= last / 9:
            ticks.append(size)
    ticks.append(last)
    axes.set_xticks(ticks, [f"{tick:,.0f}\n{frequency.spell(tick)}" if tick else "none" for tick in ticks])
    axes.set_xlabel("newest steps of the context that are left as they were", color=INK)
    clean(axes)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, ncols=3, loc="upper left", bbox_to_anchor=(0, -0.3))
    return figure


def _edges(panel: Panel, steps: Steps, segment: int) -> Array:
    """Where the segments begin and the last one ends, as dates of matplotlib."""
    return _dates(panel.grid.wall(np.append(steps[::segment], steps[-1] + 1)))


def _dates(times: Array) -> Array:
    return np.asarray(date2num(times))  # type: ignore[no-untyped-call]


def _observed(axes: Axes, panel: Panel, index: int, steps: Steps) -> None:
    """The values of a series at some steps; before its start there is nothing."""
    inside = steps - panel.starts[index]
    values = np.where(inside >= 0, panel.series(index)[np.maximum(inside, 0)], np.nan)
    line(axes, panel.grid.wall(steps), values, color=INK, lw=1)
    clean(axes)


def _heat(
    axes: Axes, values: Array, extent: tuple[float, float, float, float], colors: str, low: float, high: float
) -> AxesImage:
    """A heat map of (rows, segments); the first row is on top."""
    axes.spines[:].set_visible(False)
    return axes.imshow(values, colors, aspect="auto", interpolation="nearest", vmin=low, vmax=high, extent=extent)
