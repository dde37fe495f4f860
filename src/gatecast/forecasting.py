"""Trained weights + panel + cutoffs → a table of forecasts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gatecast.cutoffs import Asked
from gatecast.data.arrays import Flags, Indices, Values
from gatecast.data.dates import Steps
from gatecast.data.encoding import Encoder
from gatecast.data.keys import find_keys
from gatecast.data.panel import Panel
from gatecast.data.table import ForecastTable
from gatecast.data.windows import Windows
from gatecast.errors import DataError, by_name, plural, some
from gatecast.fitted import Fitted
from gatecast.forecast_rows import columns_of, kinds_of, table_of
from gatecast.nn.devices import answers_at_once, moved
from gatecast.settings import ForecastSettings
from gatecast.side_by_side import in_batches

BATCH = 256
"""Windows that are forecast at once."""


def predict(
    fitted: Fitted, windows: Windows, series: Indices, cutoffs: Steps, steps: int
) -> tuple[Float[Values, "W K P"], Float[Values, "W"]]:
    """Quantiles of the `steps` steps after each cutoff, and the lower bound of each window; see `_extended`."""
    if fitted.network.training:  # walking through all parts takes as long as some of them
        fitted.network.eval()
    quantiles = np.empty((len(series), steps, len(fitted.probabilities)), np.float32)
    floors = np.empty(len(series), np.float32)

    def fill(at: slice) -> None:
        with torch.inference_mode():
            index, cutoff = (moved(torch.from_numpy(part[at]), windows.device) for part in (series, cutoffs))
            found = _on_grid(fitted, windows, index, cutoff, steps)
            quantiles[at], floors[at] = (part.cpu().numpy() for part in found)

    in_batches(len(series), BATCH, fill, at_once=answers_at_once(windows.device))
    return quantiles, floors


def _on_grid(
    fitted: Fitted, windows: Windows, series: Int[Tensor, "B"], cutoffs: Int[Tensor, "B"], steps: int
) -> tuple[Float[Tensor, "B K P"], Float[Tensor, "B"]]:
    """What `_extended` gives for the next steps of the grid."""
    if windows.clock is None:
        return _extended(fitted, windows, series, cutoffs, steps)
    ahead = windows.ahead(cutoffs, steps)
    quantiles, floors = _extended(fitted, windows, series, cutoffs, int(ahead.max()))
    return quantiles.take_along_dim(ahead[..., None] - 1, 1), floors


def _extended(
    fitted: Fitted, windows: Windows, series: Int[Tensor, "B"], cutoffs: Int[Tensor, "B"], steps: int
) -> tuple[Float[Tensor, "B K P"], Float[Tensor, "B"]]:
    """Quantiles of as many steps as wanted, and the lower bounds.

    Beyond the trained horizon the median is treated as observed, and the next horizon is
    forecast from there; its intervals are widened by the uncertainty of the one before.
    """
    inputs = windows.inputs(series, cutoffs)
    floors = fitted.floors(inputs)
    blocks = [fitted.quantiles(inputs, floors)]
    while len(blocks) * windows.horizon < steps:
        median = blocks[-1][..., fitted.middle]
        context = torch.cat([inputs.context, median], 1)[:, -windows.context :]
        believed = torch.ones_like(median, dtype=torch.bool)
        observed = torch.cat([inputs.observed, believed], 1)[:, -windows.context :]
        known = windows.calendar(series, cutoffs, len(blocks) * windows.horizon)
        inputs = replace(inputs, context=context, observed=observed, calendar=known)
        widened = _widened(fitted.quantiles(inputs, floors), blocks[-1], fitted.middle)
        blocks.append(fitted.bounded(widened, floors))
    return torch.cat(blocks, 1)[:, :steps], floors


def _widened(block: Float[Tensor, "B H P"], before: Float[Tensor, "B H P"], middle: int) -> Float[Tensor, "B H P"]:
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

    Raises:
        DataError: a value of a future column is needed and missing.
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
    quantiles, floors, seen = _with_each(both, newest, windows, series, cutoffs, int(asked.ahead.max()))
    columns = columns_of(quantiles, floors, inverse, asked.ahead.ravel(), final, settings)
    # What training saw was observed, even where it was not read again.
    kinds = kinds_of(asked, observed[:, None], seen[inverse].reshape(asked.ahead.shape), shape.horizon)
    return table_of(panel, asked, kinds, columns, settings.level, run_id)


def _with_each(
    both: Sequence[Fitted], newest: Flags, windows: Windows, series: Indices, cutoffs: Steps, steps: int
) -> tuple[Float[Values, "W K P"], Float[Values, "W"], Steps]:
    """What `predict` gives by the first or the second weights, and the last step that these have seen."""
    places = [np.flatnonzero(newest == second) for second in (False, True)]
    found = [
        (*predict(fitted, windows, series[at], cutoffs[at], steps), fitted.seen[series[at]])
        for fitted, at in zip(both, places, strict=True)
        if len(at)
    ]
    if len(found) == 1:
        return found[0]
    order = np.argsort(np.concatenate(places))
    quantiles, floors, seen = (np.concatenate(parts)[order] for parts in zip(*found, strict=True))
    return quantiles, floors, seen


def _refuse_gaps(panel: Panel, encoder: Encoder, observed: Steps, until: Steps) -> None:
    """Refuse to forecast where known-future values are missing after the last step observed."""
    names = [column.name for column in encoder.columns if column.role == "future"]
    gaps = [(name, *gap) for name in names for gap in zip(*panel.gaps_ahead(name, observed, until), strict=True)]
    if gaps:
        where = some(f"{name} of {panel.names[series]} at {panel.grid.label(step)}" for name, series, step in gaps)
        are = "is" if len(gaps) == 1 else "are"
        others = len(panel) - len({series for _, series, _ in gaps})
        raise DataError(
            f"{plural(len(gaps), 'value')} of --future columns {are} needed and missing: {where}; "
            f"put them into the source, in rows with an empty target, or into the --future-table{by_name(others)}"
        )


def _distinct(series: Indices, cutoffs: Steps) -> tuple[Indices, Steps, Indices]:
    """Each distinct pair of series and cutoff, in order, and the index of each given pair among them."""
    if (cutoffs == cutoffs[:, :1]).all():  # as if the next steps are asked for
        return np.arange(len(cutoffs)), cutoffs[:, 0].copy(), series
    first, span = int(cutoffs.min()), int(np.ptp(cutoffs)) + 1
    found, inverse = np.unique(series * span + (cutoffs.ravel() - first), return_inverse=True)
    return found // span, found % span + first, inverse
