"""Trained weights + panel + cutoffs → a table of forecasts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from gatecast.config import ForecastSettings
from gatecast.cutoffs import Asked
from gatecast.data.arrays import Indices, Values
from gatecast.data.dates import Steps
from gatecast.data.encoding import Encoder
from gatecast.data.keys import find_keys
from gatecast.data.panel import Panel
from gatecast.data.table import CONFIDENCE, LOWER, TIMESTAMP, UPPER, VALUE, ForecastTable, timestamps
from gatecast.data.windows import Windows
from gatecast.errors import DataError, some
from gatecast.fitted import Fitted
from gatecast.nn.devices import moved
from gatecast.points import bounds, interpolated, points

BATCH = 256
KINDS = ("extrapolated", "future", "test", "in_sample")
"""The kinds of forecast, see README.md."""


def predict(
    fitted: Fitted, windows: Windows, series: Indices, cutoffs: Steps, steps: int
) -> tuple[Float[Tensor, "W K P"], Float[Tensor, "W"]]:
    """Quantiles of the `steps` steps after each cutoff, and the lower bound of each window.

    Beyond the trained horizon the median is treated as observed, and the next horizon is
    forecast from there; its intervals are widened by the uncertainty of the one before.
    """
    if fitted.network.training:  # walking through all parts takes as long as some of them
        fitted.network.eval()
    out, floors = [], []
    with torch.inference_mode():
        for at in range(0, len(series), BATCH):
            parts = (torch.from_numpy(part[at : at + BATCH]) for part in (series, cutoffs))
            index, cutoff = (moved(part, windows.device) for part in parts)
            inputs, begun = windows.inputs(index, cutoff), cutoff
            floors.append(fitted.floors(inputs.context))
            blocks = [fitted.quantiles(inputs, floors[-1])]
            while len(blocks) * windows.horizon < steps:
                median, cutoff = blocks[-1][..., fitted.middle], cutoff + windows.horizon
                context = torch.cat([inputs.context, median], 1)[:, -windows.context :]
                believed = torch.ones_like(median, dtype=torch.bool)
                observed = torch.cat([inputs.observed, believed], 1)[:, -windows.context :]
                known = windows.calendar(index, cutoff, begun)
                inputs = replace(inputs, context=context, observed=observed, calendar=known)
                widened = _widened(fitted.quantiles(inputs, floors[-1]), blocks[-1], fitted.middle)
                blocks.append(fitted.bounded(widened, floors[-1]))
            out.append(torch.cat(blocks, 1)[:, :steps].cpu())
    return torch.cat(out), torch.cat(floors).cpu()


def _widened(block: Tensor, before: Tensor, middle: int) -> Tensor:
    """Add the spread at the end of one block to the next, as independent errors add: in squares."""
    median = block[..., middle : middle + 1]
    spread, carried = block - median, (before - before[..., middle : middle + 1])[:, -1:]
    return median + torch.sign(spread) * torch.hypot(spread, carried)


def forecast(
    tested: Fitted,
    final: Fitted,
    panel: Panel,
    keys: pa.Table,
    asked: Asked,
    settings: ForecastSettings,
    run_id: str,
    observed: Steps,
    as_of: int | None = None,
) -> ForecastTable:
    """Forecast what was asked, each cutoff with weights that have not seen past it, if there are any.

    Args:
        tested: weights that have not seen the held-back end.
        final: weights trained on all rows there were.
        keys: the series both were trained on.
        settings: the levels of the intervals, and the metric the point is for.
        observed: the last step known of each series, which the panel may have been cut before.
        as_of: weights that have seen any series past it are not used, if there are others.
    """
    known = find_keys(panel.keys, keys, len(panel))
    both = [fitted.for_series(known) for fitted in (tested, final)]
    observed = np.maximum(observed, both[1].seen)
    _refuse_gaps(panel, final.encoder, observed, asked.dates.max(1))
    shape = final.network.shape
    reach = max(int((asked.dates.max(1) - panel.lasts).max()), 0) + shape.horizon
    since = int(asked.cutoffs.min())
    windows = Windows.of(panel, final.encoder, shape.context, shape.horizon, final.device, reach, since)

    asking = np.repeat(np.arange(len(panel)), asked.cutoffs.shape[1])
    series, cutoffs, inverse = _distinct(asking, asked.cutoffs)
    newest = (cutoffs >= both[1].seen[series]) & (as_of is None or as_of >= final.seen.max())
    ahead = asked.ahead.ravel()
    quantiles = np.empty((len(series), int(ahead.max()), len(final.probabilities)), np.float32)
    seen, floors = np.empty(len(series), np.int64), np.empty(len(series), np.float32)
    for fitted, part in zip(both, (~newest, newest), strict=True):
        if part.any():
            quantiles[part], floors[part] = predict(fitted, windows, series[part], cutoffs[part], quantiles.shape[1])
            seen[part] = fitted.seen[series[part]]
    values = quantiles.reshape(-1, quantiles.shape[2]).take(inverse * quantiles.shape[1] + ahead - 1, 0)
    # What training saw was observed, even where it was not read again.
    kind = _kinds(asked.dates.ravel(), ahead, observed[asking], seen[inverse], shape.horizon)
    columns = _columns(values, floors[inverse], final, settings) | {"kind": kind}
    return _table(panel, asked, asking, columns, settings.level, run_id)


def _refuse_gaps(panel: Panel, encoder: Encoder, observed: Steps, until: Steps) -> None:
    """Refuse to forecast where known-future values are missing after the last step observed."""
    names = [column.name for column in encoder.columns if column.role == "future"]
    gaps = [(name, *gap) for name in names for gap in zip(*panel.gaps_ahead(name, observed, until), strict=True)]
    if gaps:
        where = some(f"{name} of {panel.names[series]} at {panel.grid.label(step)}" for name, series, step in gaps)
        raise DataError(
            f"{len(gaps):,} values of --future columns are needed and missing: {where}; "
            "put them into the source, in rows with an empty target, or into the --future-table"
        )


def _distinct(series: Indices, cutoffs: Steps) -> tuple[Indices, Steps, Indices]:
    """Each distinct pair of series and cutoff, in order, and the index of each given pair among them."""
    if (cutoffs == cutoffs[:, :1]).all():  # as if the next steps are asked for
        return np.arange(len(cutoffs)), cutoffs[:, 0].copy(), series
    first, span = int(cutoffs.min()), int(np.ptp(cutoffs)) + 1
    found, inverse = np.unique(series * span + (cutoffs.ravel() - first), return_inverse=True)
    return found // span, found % span + first, inverse


def _kinds(dates: Steps, ahead: Indices, lasts: Steps, seen: Steps, horizon: int) -> Indices:
    """The kind of each forecast, as its index in `KINDS`."""
    return np.where(ahead > horizon, 0, np.where(dates > lasts, 1, np.where(dates > seen, 2, 3)))


def _columns(values: Values, floors: Values, fitted: Fitted, settings: ForecastSettings) -> dict[str, Any]:
    """Point and bounds; a bound has a column for each level."""
    sides = interpolated(values, fitted.probabilities, [side for level in settings.level for side in bounds(level)])
    # Those of levels that were not trained may lie beyond the bounds.
    sides = np.clip(sides, floors[:, None], fitted.bounds[1])
    return {VALUE: points(values, fitted.probabilities, settings.metric), LOWER: sides[:, ::2], UPPER: sides[:, 1::2]}


def _table(
    panel: Panel, asked: Asked, series: Indices, columns: dict[str, Any], levels: Sequence[float], run_id: str
) -> ForecastTable:
    """A row for each series, date and level, in the order of the contract."""
    count, dates = len(levels), asked.dates.ravel()
    times = timestamps(panel.grid, panel.kind, np.concatenate([dates, asked.cutoffs.ravel()]), count)  # many in common
    rows = {name: _taken(panel.keys.column(name), series, count) for name in panel.keys.column_names} | {
        TIMESTAMP: times[: len(times) // 2],
        VALUE: np.repeat(columns[VALUE], count).astype(np.float64),
        CONFIDENCE: np.tile(np.array(levels) / 100, len(dates)),
        LOWER: np.ascontiguousarray(columns[LOWER], np.float64).ravel(),
        UPPER: np.ascontiguousarray(columns[UPPER], np.float64).ravel(),
        "cutoff": times[len(times) // 2 :],
        "step": np.repeat(asked.ahead, count),
        "kind": _taken(pa.array(KINDS), columns["kind"], count),
        "run_id": pa.repeat(run_id, count * len(dates)),
    }
    return ForecastTable(pa.table(rows), tuple(panel.keys.column_names))


def _taken(values: pa.Array | pa.ChunkedArray, places: Indices, count: int) -> pa.Array | pa.ChunkedArray:
    """The values at some places, each `count` times; a single one is repeated, in a tenth of the time."""
    if (places == places[0]).all():
        return pa.repeat(values[int(places[0])], count * len(places))
    return values.take(pa.array(np.repeat(places, count)))
