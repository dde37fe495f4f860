"""The rows that a run's source holds now: all of them, or only those that a forecast reads."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from shlex import quote

import numpy as np
import pyarrow as pa
import torch

from gatecast.config import Config
from gatecast.cutoffs import read_dates
from gatecast.data.clock import GridClock
from gatecast.data.column import unknown
from gatecast.data.dates import Date, Steps
from gatecast.data.keys import find_keys
from gatecast.data.panel import Panel
from gatecast.data.rows import name_of
from gatecast.errors import NoRowsError, UsageError, plural, some, some_names
from gatecast.fitted import NEVER
from gatecast.listener import SILENT, Listener
from gatecast.model import Model
from gatecast.opening import Needed
from gatecast.reading import Rows, read_rows
from gatecast.settings import SourceSettings
from gatecast.store import Errand
from gatecast.store.faults import FAULTS, counted

OLDER = 100
"""Most series that ended long ago and are read further back than the others, each by its key."""


def newest(
    model: Model,
    verb: str = "",
    listener: Listener = SILENT,
    *,
    context: bool = False,
    at: Date | Iterable[Date] | None = None,
    as_of: Date | None = None,
) -> Panel:
    """Read the rows that the run's source holds now; `verb` says what for.

    Args:
        context: read only what a forecast needs: of each series the context before the last row
            that training saw, or before the dates below if they are earlier, and all later rows.
        at: dates that will be forecast.
        as_of: last date that will be used; later rows are not read.

    Raises:
        UsageError: the model names no source, or a date is none.
        GatecastError: as for `reading.read_rows`.
    """
    config, grid = model.config, model.grid
    if not config.source.url:
        raise UsageError("this model was not trained from a URL: give it a panel, as from gatecast.read")
    cut = None if as_of is None else grid.floor(str(as_of))
    dates = [] if at is None else read_dates(grid, at)
    if cut is not None:
        config = config.having("source", until=grid.begins(cut + 1))
    elif until := config.source.until:
        other = "; --as-of DATE reads up to another date" if verb in ("forecast", "test") else ""
        listener.note(f"rows from {until} on are not read, as the run was trained with --until {until}{other}")
    errand = Errand(verb, model.run_id, listener)
    rows = _context_rows(model, config, errand, dates, cut) if context else None
    if rows is None:
        rows = read_rows(config, config.source.url, errand)
    model.rows(rows.panel)  # refuses keys of another type, by which all series would be told to be absent
    if verb in ("forecast", "test"):
        _note_absent(rows.panel, model, "" if cut is None else f" by {grid.label(cut)}", listener)
        _note_partial(rows.panel, listener)
    if verb == "forecast":
        _note_ended(rows, listener)
        if cut is None:
            _note_lost(rows.panel, model, listener)
    if rows.panel.covariates is not None:
        for line in unknown(model.final.encoder.columns, rows.panel.covariates):
            listener.note(f"{line}: forecast as the average of all")
        _note_stopped(rows.panel, config.source, config.forecast.horizon, listener)
    return rows.panel


def _context_rows(model: Model, config: Config, errand: Errand, dates: Sequence[int], cut: int | None) -> Rows | None:
    """Only the rows that a forecast of some dates, or from a cutoff, needs; None if all may be needed."""
    # What is filled, and where a series ends, hangs on rows before the context.
    if (config.alignment.fill, config.alignment.align) != ("missing", "last"):
        return None
    ends = [step - 1 for step in dates] + ([] if cut is None else [cut])
    # By a date some series have had no value for some steps: their contexts begin earlier.
    least = min([int(model.final.seen.max()), *ends]) - (0 if cut is None else config.forecast.horizon)
    with suppress(NoRowsError):
        rows = read_rows(config, config.source.url, errand, _needed(model, least))
        if not ends or not _cut_short(rows.panel, model, least, ends):
            return rows
    return None


def begun(panel: Panel, step: int, listener: Listener) -> Panel:
    """The series that have history before a step, if any have; the others are named and left out."""
    late = panel.starts >= step
    if late.all() or not late.any():
        return panel
    names = some_names(panel.names[place] for place in np.flatnonzero(late).tolist())
    have, are = ("has", "is") if late.sum() == 1 else ("have", "are")
    listener.note(
        f"{late.sum():,} series {have} no history before {panel.grid.label(step)} and {are} left out: {names}"
    )
    return panel.take(np.flatnonzero(~late))


def _note_absent(panel: Panel, model: Model, by: str, listener: Listener) -> None:
    """Name the series that were trained on and of which there are no rows: under another key they count as new."""
    if absent := np.flatnonzero(_lasts(panel, model) == NEVER).tolist():
        names = some_names(_names(model, absent))
        were, have = ("was", "has") if len(absent) == 1 else ("were", "have")
        listener.note(f"{len(absent):,} series that {were} trained on {have} no rows{by}: {names}")


def _note_ended(rows: Rows, listener: Listener) -> None:
    """Name the series of which there are no rows as new as those of others."""
    if rows.stale:
        end = "ends" if len(rows.stale) == 1 else "end"
        listener.note(f"{len(rows.stale):,} series {end} before the others: {some(rows.stale)}")


def _note_lost(panel: Panel, model: Model, listener: Listener) -> None:
    """Name the series whose newest rows, which training saw, are gone: forecasts begin before them."""
    lasts = _lasts(panel, model)
    if lost := np.flatnonzero((lasts != NEVER) & (lasts < model.final.seen)).tolist():
        named = zip(_names(model, lost), lost, strict=True)
        ends = (f"{name} ends {panel.grid.label(int(lasts[at]))}" for name, at in named)
        lack = "lacks" if len(lost) == 1 else "lack"
        listener.note(f"{len(lost):,} series {lack} the newest rows that training saw: {some(ends)}")


def _note_stopped(panel: Panel, source: SourceSettings, late: int, listener: Listener) -> None:
    """Name the covariates without any value, or with none in the newest steps, more than `late`."""
    found = panel.covariates
    assert found is not None
    for name in (*source.static, *source.past, *source.future):
        if np.isnan(found.column(name)).all():
            listener.note(f"column {name!r} has no value: forecast without it")
        elif name in found.varying and (last := panel.last_of(name)) < panel.lasts.max() - late:
            after = panel.grid.label(last)
            listener.note(f"column {name!r} has no value after {after}: its mean in the context is taken")


def _note_partial(panel: Panel, listener: Listener) -> None:
    """Name the series whose newest step may not be over, as the audit does, and the date before it."""
    grid, last, partial = panel.grid, int(panel.lasts.max()), panel.reading.partial
    if partial.size:
        places = some(
            f"{panel.names[series]} at {grid.label(last)} ({few:,} of {plural(usual, 'row')})"
            for series, few, usual in partial.T.tolist()
        )
        name = counted(partial.shape[1], FAULTS["partial"].name)
        listener.note(f"{name}: {places}; if not over yet, leave out with --as-of {quote(grid.label(last - 1))}")


def _names(model: Model, places: list[int]) -> list[str]:
    """The names of some of the series that were trained on."""
    keys = model.keys.take(pa.array(places)).to_pylist()
    return [name_of(list(key.values())) for key in keys] or [name_of(())]  # without columns there is one series


def _lasts(panel: Panel, model: Model) -> Steps:
    """The last step in a panel of each series that was trained on, `NEVER` where it has none."""
    known = find_keys(model.keys, panel.keys, len(model.final.seen))
    return np.where(known >= 0, panel.lasts[known], NEVER)


def _cut_short(panel: Panel, model: Model, least: int, ends: Sequence[int]) -> bool:
    """Whether rows before an end may be missing: the last one of a series, or a part of its context."""
    short = (_lasts(panel, model) < np.minimum(model.final.seen, least)).any()
    return bool(short or any((panel.starts > end).any() for end in ends))


def _needed(model: Model, end: int) -> Needed:
    """The rows that forecasts from the last row seen of each series, or from an earlier end, read."""
    ends = np.minimum(model.final.seen, end)
    firsts = ends - model.final.network.shape.context + 1
    if model.final.encoder.clock and (clock := GridClock.of(model.grid, int(firsts.min()), int(ends.max()))):
        # Of an hour that the clock shows twice one is not read.
        firsts = clock.steps(clock.reached(torch.from_numpy(ends)) + 1 - model.final.network.shape.context).numpy()
    recent = int(firsts[firsts > firsts.max() - model.final.network.shape.context].min())
    older = np.flatnonzero(firsts < recent)
    # No query finds NaN, which stands as no key at all, or infinity by its value.
    floats = any(pa.types.is_floating(part.type) or pa.types.is_null(part.type) for part in model.keys.columns)
    if floats or len(older) > OLDER:
        older, recent = older[:0], int(firsts.min())
    keys = [part.take(pa.array(older)).to_pylist() for part in model.keys.columns]
    since, own = model.grid.begins(int(firsts.min())), model.config.source.since
    if own and model.grid.floor(own) >= int(firsts.min()):
        since = own
    return Needed(since, model.grid.begins(recent), tuple(zip(*keys, strict=True)))
