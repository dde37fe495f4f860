"""The rows that a run's source holds now: all, or only those that a forecast reads."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from gatecast.data.panel import Panel
from gatecast.errors import UsageError
from gatecast.forecasting import read_dates
from gatecast.model import Model
from gatecast.reading import Needed, read_rows
from gatecast.steps import SILENT, Listener
from gatecast.store import Errand

OLDER = 100
"""Series that ended long ago and are read further back than the others, each by its name."""


def newest(
    model: Model,
    verb: str = "",
    listener: Listener = SILENT,
    *,
    context: bool = False,
    at: Iterable[object] | None = None,
    as_of: object | None = None,
) -> Panel:
    """The rows that the run's source holds now; `verb` says what for.

    Args:
        context: only those that a forecast reads: of each series the context before the last row
            that training saw, or before the dates below if they are earlier, and what came since.
        at: dates that will be forecast.
        as_of: last date that will be used.
    """
    config, grid = model.config, model.grid
    if not config.source.url:
        raise UsageError("this model was not trained from a URL: give it a panel, as from gatecast.read")
    errand = Errand(verb, model.run_id, listener)
    if context:
        ends = [] if at is None else [step - 1 for step in read_dates(grid, at)]
        ends += [] if as_of is None else [grid.floor(str(as_of))]
        panel = read_rows(config, config.source.url, errand, _needed(model, ends)).panel
        if not any((panel.starts > end).any() for end in ends):
            return panel  # else the last row before such a date lies further back
    return read_rows(config, config.source.url, errand).panel


def _needed(model: Model, ends: Sequence[int]) -> Needed:
    """The rows that forecasts from the last row seen of each series, or from earlier ends, read."""
    context, cutoffs = model.final.network.shape.context, np.minimum(model.final.seen, min(ends, default=2**62))
    # Steps labelled by their last day begin before that label.
    firsts = cutoffs - context + 1 - int(model.grid.frequency.end)
    recent = int(firsts[cutoffs > cutoffs.max() - context].min())
    older = np.flatnonzero(firsts < recent)
    if len(older) > OLDER:
        older, recent = older[:0], int(firsts.min())
    keys = [part.take(pa.array(older)).to_pylist() for part in model.keys.columns]
    since, own = model.grid.label(int(firsts.min())), model.config.source.since
    if own and model.grid.floor(own) >= int(firsts.min()):
        since = own
    return Needed(since, model.grid.label(recent), tuple(zip(*keys, strict=True)))
