"""Quantiles of windows → the rows of a forecast table."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float

from gatecast.cutoffs import Asked
from gatecast.data.arrays import Indices, Values
from gatecast.data.dates import Steps
from gatecast.data.panel import Panel
from gatecast.data.table import (
    CONFIDENCE,
    FORECAST,
    LOWER,
    TIMESTAMP,
    UPPER,
    VALUE,
    ForecastTable,
    repeated,
    timestamps,
)
from gatecast.errors import plural
from gatecast.fitted import Fitted
from gatecast.points import bounds, interpolated, points
from gatecast.settings import ForecastSettings
from gatecast.side_by_side import in_batches

Codes = npt.NDArray[np.int8]
Numbers = npt.NDArray[np.float64]
KINDS = ("extrapolated", "future", "test", "in_sample")
"""The kinds of forecast, see README.md."""
FAR = 10
"""Times the trained horizon beyond which forecasts come with a warning: by a hundred times some grow without bounds."""
ROWS = 8_192
"""Rows that are filled at once."""


def kinds_of(asked: Asked, lasts: Steps, seen: Steps, horizon: int) -> Codes:
    """The kind of each forecast, as its index in `KINDS`, (S, D); what was seen counts as observed."""
    known = (asked.dates <= lasts).astype(np.int8) + (asked.dates <= seen)
    return (asked.ahead <= horizon) * (known + np.int8(1))


def far_ahead(table: ForecastTable, horizon: int) -> str:
    """A warning of forecasts far beyond the trained horizon; empty where there are none."""
    ahead = pc.max(table.rows["step"]).as_py() or 0
    if ahead <= FAR * horizon:
        return ""
    how = f"{plural(horizon, 'step')} at a time are forecast from those before them, so errors add up"
    longer = "train with a longer --horizon, or a coarser --freq"
    return f"{ahead:,} steps ahead is {ahead / horizon:,.0f} times the trained horizon: {how}; {longer}"


def columns_of(
    quantiles: Float[Values, "W K P"],
    floors: Float[Values, "W"],
    windows: Indices,
    ahead: Indices,
    fitted: Fitted,
    settings: ForecastSettings,
) -> dict[str, Float[Numbers, "R L"]]:
    """Point and bounds of each row for each level, where a row is a window and a number of steps ahead."""
    (_, steps, many), count = quantiles.shape, len(windows)
    flat = quantiles.reshape(-1, many)
    found = {name: np.empty((count, len(settings.level))) for name in (VALUE, LOWER, UPPER)}
    sides = [side for level in settings.level for side in bounds(level)]

    def fill(at: slice) -> None:
        values = flat.take(windows[at] * steps + ahead[at] - 1, 0)
        found[VALUE][at] = points(values, fitted.probabilities, settings.metric, fitted.mean_share)[:, None]
        # Those of levels that were not trained may lie beyond the bounds.
        limits = interpolated(values, fitted.probabilities, sides).clip(floors[windows[at], None], fitted.bounds[1])
        found[LOWER][at], found[UPPER][at] = limits[:, ::2], limits[:, 1::2]

    in_batches(count, ROWS, fill, at_once=count > ROWS)
    return found


def table_of(
    panel: Panel,
    asked: Asked,
    kinds: Codes,
    columns: Mapping[str, Float[Numbers, "R L"]],
    levels: Sequence[float],
    run_id: str,
) -> ForecastTable:
    """A row for each series, date and level, in the order of the contract."""
    count, (series, dates) = len(levels), asked.ahead.shape
    # What is the same for all series, as nearly always, is worked out once.
    alike = series == 1 or all((part == part[:1]).all() for part in (asked.cutoffs, asked.ahead, kinds))
    once = slice(1 if alike else series)
    cutoffs, ahead = (np.repeat(part[once].ravel(), count) for part in (asked.cutoffs, asked.ahead))
    times = timestamps(panel.grid, panel.kind, np.concatenate([cutoffs + ahead, cutoffs]))  # many in common
    each = {
        TIMESTAMP: times[: len(ahead)],
        "cutoff": times[len(ahead) :],
        "step": pa.array(ahead),
        "kind": _taken(pa.array(KINDS), np.repeat(kinds[once].ravel(), count)),
    }
    owner = np.repeat(np.arange(series, dtype=np.int32), dates * count)
    rows = {name: _taken(panel.keys.column(name), owner) for name in panel.keys.column_names}
    rows |= {name: repeated(column, series if alike else 1) for name, column in each.items()}
    shares = [float(f"{level}e-2") for level in levels]  # 99.9 / 100 is not 0.999
    rows[CONFIDENCE] = repeated(pa.array(np.tile(shares, dates)), series)
    rows["run_id"] = repeated(pa.repeat(run_id, dates * count), series)
    rows |= {name: pa.array(column.ravel()) for name, column in columns.items()}
    order = (*panel.keys.column_names, *FORECAST)
    return ForecastTable(pa.table({name: rows[name] for name in order}), tuple(panel.keys.column_names))


def _taken(values: pa.Array | pa.ChunkedArray, places: npt.NDArray[np.integer]) -> pa.Array | pa.ChunkedArray:
    """The values at some places; a single one is repeated, in a tenth of the time."""
    if (places == places[0]).all():
        return pa.repeat(values[int(places[0])], len(places))
    return values.take(pa.array(places))
