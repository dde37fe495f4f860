"""The windows of a test: those with cutoffs after the last row that the weights have seen."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from gatecast.data.arrays import Indices
from gatecast.data.dates import Steps
from gatecast.data.keys import find_keys
from gatecast.data.panel import Panel
from gatecast.data.split import Span, Split
from gatecast.errors import DataError, plural
from gatecast.fitted import Fitted

MAX_WINDOWS = 2_000
"""Most windows of a test, but at least one per series."""


def held_back(fitted: Fitted, panel: Panel, keys: pa.Table) -> tuple[Fitted, Indices, Steps]:
    """Weights for the series of a panel, and series and cutoffs of windows of it that they have not seen.

    Args:
        keys: the series they were trained on.

    Raises:
        DataError: no series has a whole horizon after the rows they saw.
    """
    known = find_keys(panel.keys, keys, len(panel))
    fitted = fitted.for_series(known)
    # A series that training never saw is tested on its last half.
    seen = np.where(known >= 0, fitted.seen, panel.starts + panel.lengths // 2)
    horizon = fitted.network.shape.horizon
    span = Split(panel.starts, seen, seen, panel.lasts).testing(horizon)
    if not len(span):
        steps = plural(horizon, "step")
        raise DataError(f"nothing to test on: no series has {steps} after those the weights have seen")
    return replace(fitted, seen=seen), *spread(span)


def spread(span: Span) -> tuple[Indices, Steps]:
    """Series and cutoffs of the windows of a span that are tested."""
    series, cutoffs = (part.numpy() for part in span.at(span.each(MAX_WINDOWS)))
    return series, cutoffs
