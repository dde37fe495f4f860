"""A backtest is the ordinary forecast at past cutoffs, kept beside the truth and the naive forecast."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from gatecast.config import ForecastSettings
from gatecast.data.dates import Steps
from gatecast.data.panel import Indices, Panel, Values
from gatecast.data.table import TIMESTAMP, VALUE, timestamps
from gatecast.data.windows import Windows
from gatecast.evaluation import metrics
from gatecast.evaluation.baselines import naive_error, seasonal_naive
from gatecast.evaluation.metrics import Array
from gatecast.fitted import Fitted
from gatecast.forecasting import predict
from gatecast.points import bounds, points


@dataclass(frozen=True, eq=False)
class Backtest:
    """Forecasts from W past cutoffs beside what came.

    Attributes:
        scale: naive error of each window's series on the rows trained on, for MASE.
        season: of the naive forecast.
    """

    panel: Panel
    series: Indices  # (W,)
    cutoffs: Steps  # (W,)
    truth: Values  # (W, H), NaN where not observed
    quantiles: Values  # (W, H, P)
    naive: Values  # (W, H)
    scale: Array  # (W,)
    probabilities: tuple[float, ...]
    settings: ForecastSettings
    season: int

    @cached_property
    def points(self) -> Array:
        """The point forecasts, (W, H)."""
        return points(self.quantiles, self.probabilities, self.settings.metric)

    def metrics(self) -> dict[str, Any]:
        """All metrics: `overall` for the model and for `seasonal_naive`, and a row for each series."""
        everything = np.arange(len(self.series))
        order = np.argsort(self.series, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(self.series[order])) + 1)
        rows = [
            {"series": self.panel.names[self.series[part[0]]], "windows": len(part), **self._of(self.points, part)}
            | {"seasonal_naive": self._of(self.naive, part)}
            for part in parts
        ]
        return {
            "windows": len(self.series),
            "horizon": self.truth.shape[1],
            "season": self.season,
            "overall": self._of(self.points, everything) | self._of_intervals(),
            "seasonal_naive": self._of(self.naive, everything),
            "series": rows,
        }

    def _of(self, points: Array, part: Indices) -> dict[str, float | None]:
        truth, points = self.truth[part], points[part]
        found = {
            name: getattr(metrics, name)(truth, points) for name in ("mae", "rmse", "bias", "wape", "accuracy", "smape")
        } | {"mase": metrics.mase(truth, points, self.scale[part])}
        return {name: _known(value) for name, value in found.items()}

    def _of_intervals(self) -> dict[str, Any]:
        loss = metrics.quantile_loss(self.truth, self.quantiles, np.array(self.probabilities))
        covered = ((level, metrics.coverage(self.truth, *self.bounds(level))) for level in self.settings.level)
        return {"quantile_loss": _known(loss), "coverage": {f"{level:g}": _known(share) for level, share in covered}}

    def bounds(self, level: float) -> tuple[Values, Values]:
        """Lower and upper bound of a level, (W, H) each."""
        low, high = map(self.probabilities.index, bounds(level))
        return self.quantiles[..., low], self.quantiles[..., high]

    def to_arrow(self) -> pa.Table:
        """A row for each window and step: series columns, cutoff, date, step, truth, forecast, bounds, naive."""
        horizon = self.truth.shape[1]
        steps = np.tile(np.arange(1, horizon + 1), len(self.series))
        cutoffs = np.repeat(self.cutoffs, horizon)
        keys = self.panel.keys
        keys = keys.take(pa.array(np.repeat(self.series, horizon))) if keys.num_columns else keys
        columns: dict[str, Any] = {name: keys.column(name) for name in keys.column_names}
        columns["cutoff"] = timestamps(self.panel.grid, self.panel.kind, cutoffs)
        columns[TIMESTAMP] = timestamps(self.panel.grid, self.panel.kind, cutoffs + steps)
        columns |= {"step": steps, "actual": pa.array(self.truth.ravel(), from_pandas=True), VALUE: self.points.ravel()}
        for index, probability in enumerate(self.probabilities):
            columns[f"quantile_{probability:g}"] = self.quantiles[..., index].ravel()
        columns["seasonal_naive"] = pa.array(self.naive.ravel(), from_pandas=True)
        return pa.table(columns)


def evaluate(
    fitted: Fitted, panel: Panel, series: Indices, cutoffs: Steps, until: Steps, season: int, settings: ForecastSettings
) -> Backtest:
    """Forecast from past cutoffs with weights that have not seen beyond them.

    Args:
        series: index of each window's series.
        cutoffs: the last step each window may use.
        until: the last step of each series that training used, for the scale of MASE.
    """
    shape = fitted.network.shape
    windows = Windows.of(panel, fitted.cycles, shape.context, shape.horizon, fitted.device)
    quantiles = predict(fitted, windows, series, cutoffs, shape.horizon).numpy()
    # The truth is fetched after and apart from the forecasts.
    truth = windows.truth(*(torch.from_numpy(part).to(windows.device) for part in (series, cutoffs)))
    values = truth.values.masked_fill(~truth.observed, torch.nan).cpu().numpy()
    naive = seasonal_naive(panel, series, cutoffs, season, shape.horizon)
    scale = naive_error(panel, until, season)[series]
    return Backtest(panel, series, cutoffs, values, quantiles, naive, scale, fitted.probabilities, settings, season)


def _known(value: float) -> float | None:
    """None for what is undefined, as JSON has it."""
    return None if np.isnan(value) else value
