"""Forecasts as a table: the columns of BigQuery's AI.FORECAST, then ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gatecast.data.dates import Grid, Steps, TimeKind
from gatecast.errors import StoreError, UsageError
from gatecast.frames import held
from gatecast.store import FORECAST_TIME, NO_ERRAND, Errand, open_store
from gatecast.store.latest_query import RANK, latest_query

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

VALUE, CONFIDENCE = "forecast_value", "confidence_level"
TIMESTAMP, LOWER, UPPER = FORECAST_TIME, "prediction_interval_lower_bound", "prediction_interval_upper_bound"
FORECAST = (TIMESTAMP, VALUE, CONFIDENCE, LOWER, UPPER, "cutoff", "step", "kind", "run_id")
"""The columns of a forecast, after those of the series."""
AI_FORECAST = (TIMESTAMP, VALUE, CONFIDENCE, LOWER, UPPER, "ai_forecast_status")
"""What AI.FORECAST gives after the series columns."""

OWN = (*AI_FORECAST, *FORECAST, RANK, "actual", "mase_scale", "rmsse_scale")
"""Columns of forecasts, of their view and of their test, whose names no series column may have."""

SHOWN_HORIZONS = 7
"""How many horizons of history are kept and shown before a forecast."""

CHUNK = 65_536
"""Rows of a chunk of a column that repeats itself."""

SEASONAL, DRIFT = "seasonal_naive", "naive_drift"
STATISTICAL = {"auto_theta": "AutoTheta", "auto_ets": "AutoETS", "auto_arima": "AutoARIMA"}
"""Those of the baselines that are classes of statsforecast, by which people call them; the quickest first."""
BASELINES = {SEASONAL: "seasonal naive", DRIFT: "naive with drift", **STATISTICAL}
"""The baselines: their columns in a table of test forecasts, and what people call them."""


@dataclass(frozen=True)
class ForecastTable:
    """Forecasts in the columns of BigQuery's AI.FORECAST and ours; a row for each series, timestamp and level.

    Columns: the series columns, `forecast_timestamp`, `forecast_value`, `confidence_level` (0-1),
    `prediction_interval_lower_bound`, `prediction_interval_upper_bound`, `cutoff`, `step`, `kind`, `run_id`.
    """

    rows: pa.Table
    series: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def __repr__(self) -> str:
        return f"<ForecastTable: {len(self):,} rows of {', '.join(self.rows.column_names)}>"

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return self.rows

    def to_pandas(self) -> "pd.DataFrame":
        """The rows as a pandas frame; needs pandas."""
        return self.rows.to_pandas()

    def to_polars(self) -> "pl.DataFrame":
        """The rows as a polars frame; needs polars."""
        import polars as pl  # noqa: PLC0415 - only where a frame is wanted

        return pl.DataFrame(held(self.rows))

    def write(self, url: str | Path, into: str | None = None, errand: Errand = NO_ERRAND) -> None:
        """Write the rows into a table, replacing rows with the same key, or into a file, replacing all of it.

        Beside a table, the view `TABLE_latest` shows the newest forecast of each series and
        timestamp, in exactly the columns of AI.FORECAST.

        Raises:
            StoreError: nothing could be written, or only the rows and not the view.
            DataError: the table has other columns.
        """
        with open_store(url, write=True, errand=errand) as store:
            store.write(into, self.rows, (*self.series, TIMESTAMP, CONFIDENCE, "cutoff", "step", "run_id"))
            if into is not None:
                instants = store.dialect == "bigquery"
                try:
                    store.view(f"{into}_latest", latest_query(into, self.series, AI_FORECAST, instants=instants))
                except StoreError as error:
                    raise StoreError(
                        f"the rows are in {into}, but its view {into}_latest is not made: {error}"
                    ) from None


def refuse_own(series: Sequence[str]) -> None:
    """Refuse series columns that have the name of a forecast column; case does not count, as in warehouses.

    Raises:
        UsageError: there is one.
    """
    taken = {*OWN, *BASELINES}
    clash = [name for name in series if name.lower() in taken or name.lower().startswith("quantile_")]
    if clash:
        raise UsageError(
            f"forecasts have a column {clash[0]!r} of their own: give the series column another name in the query, "
            f"as in SELECT {clash[0]} AS series_{clash[0]}, ..."
        )


def repeated(block: pa.Array, times: int) -> pa.Array | pa.ChunkedArray:
    """The rows of a block again and again; many in chunks that are the same memory."""
    if times == 1:
        return block
    together = min(max(CHUNK // len(block), 1), times)
    chunk = pa.concat_arrays([block] * together)
    whole, rest = divmod(times, together)
    return pa.chunked_array([*[chunk] * whole, chunk[: rest * len(block)]])


def timestamps(grid: Grid, kind: TimeKind, steps: Steps) -> pa.Array:
    """Grid dates in the type of the source's time column."""
    first, span = (int(steps.min()), int(np.ptp(steps)) + 1) if len(steps) else (0, 0)
    if span < len(steps):  # many of few dates: each is worked out once
        dates = _dates(grid, kind, np.arange(first, first + span))[steps - first]
    else:
        dates = _dates(grid, kind, steps)
    if kind == "instant":
        return pa.array(dates, pa.timestamp("us")).cast(pa.timestamp("us", grid.timezone or "UTC"))
    return pa.array(dates)


def wall_clock(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dates and timestamps as they are on the wall clock of their own zone, if they have one."""
    return pc.local_timestamp(column) if getattr(column.type, "tz", None) else column


def _dates(grid: Grid, kind: TimeKind, steps: Steps) -> npt.NDArray[np.datetime64]:
    """The same for numpy: instants in UTC."""
    if kind == "instant":
        return grid.instants(steps).astype("datetime64[us]")
    is_day = kind == "date" and not grid.frequency.timed
    return grid.wall(steps).astype("datetime64[D]" if is_day else "datetime64[us]")
