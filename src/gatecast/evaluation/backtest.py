"""Forecasts from past cutoffs beside the truth and the baselines, and what they tell."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pyarrow as pa

from gatecast.data.arrays import Flags, Indices, Values
from gatecast.data.dates import Steps
from gatecast.data.panel import Panel
from gatecast.data.table import SHOWN_HORIZONS, TIMESTAMP, VALUE, timestamps
from gatecast.errors import UsageError, plural, some_names
from gatecast.evaluation import metrics, statistical
from gatecast.evaluation.bootstrap import CONFIDENCE, Estimate, places, ratio
from gatecast.evaluation.metrics import Array, Groups, known
from gatecast.points import bounds, points
from gatecast.settings import ForecastSettings, Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINT_METRICS: Mapping[str, Callable[[Array, Array, Groups], Array]] = {
    "mae": metrics.mae,
    "rmse": metrics.rmse,
    "bias": metrics.bias,
    "wape": metrics.wape,
    "accuracy": metrics.accuracy,
    "smape": metrics.smape,
}


@dataclass(frozen=True, eq=False)
class Backtest:
    """Forecasts from W past cutoffs beside the truth.

    Attributes:
        baselines: forecasts that the model has to beat, by the names of `data.table.BASELINES`.
        mase_scale: naive error of each window's series on the rows trained on, for MASE.
        rmsse_scale: root mean squared naive error there, for RMSSE.
        season: of the seasonal naive forecast.
        mean_share: how far towards the mean the points for squared errors lie.
        failure: why the statistical baselines failed, if they did.
    """

    panel: Panel
    series: Indices  # (W,)
    cutoffs: Steps  # (W,)
    truth: Values  # (W, H), NaN where not observed
    quantiles: Values  # (W, H, P)
    baselines: Mapping[str, Values]  # (W, H) each, NaN where it gave nothing
    mase_scale: Array  # (W,)
    rmsse_scale: Array  # (W,)
    probabilities: tuple[float, ...]
    settings: ForecastSettings
    season: int
    mean_share: float = 1.0
    failure: str = ""

    def __repr__(self) -> str:
        windows, steps = plural(len(self.series), "window"), plural(self.horizon, "step")
        return f"<Backtest: {windows} of {steps} of {self.panel!r}>"

    @cached_property
    def points(self) -> Array:
        """The point forecasts, (W, H)."""
        return self.points_for(self.settings.metric)

    def points_for(self, metric: Metric) -> Array:
        """The point forecasts that are best for a metric, (W, H)."""
        return points(self.quantiles, self.probabilities, metric, self.mean_share)

    @property
    def horizon(self) -> int:
        """H."""
        return int(self.truth.shape[1])

    def metrics(self) -> dict[str, Any]:
        """All metrics: `overall` for the model, `baselines` with the skill against each, `series` and `steps`."""
        return {
            "windows": len(self.series),
            "horizon": self.horizon,
            "season": self.season,
            "overall": self._of(self.points) | self._of_intervals(),
            "baselines": {name: self._of(found) | self._skill(name) for name, found in self.baselines.items()},
            "series": self.of_series,
            "steps": self.by("step"),
        }

    @cached_property
    def of_series(self) -> list[dict[str, Any]]:
        """`by("series")`, which metrics and examples both need."""
        return self.by("series")

    def by(self, name: Literal["series", "step", "cutoff"]) -> list[dict[str, Any]]:
        """A row of metrics for each series, step ahead or cutoff, with the mean absolute error of each baseline.

        Raises:
            UsageError: it is asked for by something else.
        """
        if name not in (them := ("series", "step", "cutoff")):
            raise UsageError(f"metrics are by {', '.join(them)}, not {name!r}")
        if name == "step":
            labels: list[object] = [*range(1, self.horizon + 1)]
            groups, counts = np.arange(self.horizon), np.full(self.horizon, len(self.series))
        else:
            keys = self.series if name == "series" else self.cutoffs
            found, number, counts = np.unique(keys, return_inverse=True, return_counts=True)
            label = self.panel.names.__getitem__ if name == "series" else self.panel.grid.label
            labels, groups = [label(key) for key in found.tolist()], number[:, None]
        errors = {other: known(metrics.mae(self.truth, part, groups)) for other, part in self.baselines.items()}
        beside = [{other: part[number] for other, part in errors.items()} for number in range(len(labels))]
        columns = {name: labels, "windows": counts.tolist(), **self._of(self.points, groups), "baselines": beside}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _of(self, points: Array, groups: Groups = None) -> dict[str, Any]:
        truth = np.where(np.isnan(points), np.nan, self.truth)  # only what was forecast counts
        found = {name: metric(truth, points, groups) for name, metric in POINT_METRICS.items()} | {
            "mase": metrics.mase(truth, points, self.mase_scale, groups),
            "rmsse": metrics.rmsse(truth, points, self.rmsse_scale, groups),
        }
        return {name: known(value) for name, value in found.items()}

    def _of_intervals(self) -> dict[str, Any]:
        loss = metrics.quantile_loss(self.truth, self.quantiles, np.array(self.probabilities))
        coverage, width, msis = dict[str, float | None](), dict[str, float | None](), dict[str, float | None]()
        for level in self.settings.level:
            low, high = self.bounds(level)
            coverage[f"{level:g}"] = known(metrics.coverage(self.truth, low, high))
            width[f"{level:g}"] = known(metrics.width(self.truth, low, high))
            msis[f"{level:g}"] = known(metrics.msis(self.truth, low, high, level, self.mase_scale))
        return {"quantile_loss": known(loss), "coverage": coverage, "width": width, "msis": msis}

    def _skill(self, name: str) -> dict[str, float | None]:
        skill = self.skills[name]
        value, low, high = (skill.value, skill.low, skill.high) if skill else (None, None, None)
        compared = float(self.compared(name).mean())
        return {"skill": value, "skill_low": low, "skill_high": high, "compared": compared}

    @cached_property
    def skills(self) -> Mapping[str, Estimate | None]:
        """The skill against each baseline, which metrics and verdict both need."""
        return {name: self.skill(name) for name in self.baselines}

    def skill(self, name: str, steps: slice = slice(None), confidence: float = CONFIDENCE) -> Estimate | None:
        """The share of a baseline's absolute error that the model saves, in percent; negative if it is worse.

        Only observed steps that both forecast count.

        Returns:
            None if there are none, or if the baseline makes no error.
        """
        ours, theirs = (np.abs(part - self.truth) for part in (self.points, self.baselines[name]))
        loss = self.ratio(ours, theirs, steps, confidence)
        return loss and Estimate(100 * (1 - loss.value), 100 * (1 - loss.high), 100 * (1 - loss.low))

    def ratio(
        self, top: Array, bottom: Array, steps: slice = slice(None), confidence: float = CONFIDENCE
    ) -> Estimate | None:
        """Σ top / Σ bottom, (W, H) each, over what is known of both; None where nothing is, or `bottom` is zero."""
        seen = (~np.isnan(top) & ~np.isnan(bottom))[:, steps]
        above, below = (part[:, steps][seen].astype(np.float64) for part in (top, bottom))
        if not below.sum():
            return None
        series, blocks = (part[:, steps][seen] for part in self.places)
        return ratio(above, below, series, blocks, confidence=confidence)

    def compared(self, name: str) -> Flags:
        """Where both a baseline's forecast and the truth are known, (W, H)."""
        found: Flags = ~np.isnan(self.truth) & ~np.isnan(self.baselines[name])
        return found

    @cached_property
    def places(self) -> tuple[Indices, Indices]:
        """See `bootstrap.places`."""
        return places(self.series, self.cutoffs, self.horizon)

    def bounds(self, level: float) -> tuple[Values, Values]:
        """Lower and upper bound of a level, (W, H) each."""
        low, high = map(self.probabilities.index, bounds(level))
        return self.quantiles[..., low], self.quantiles[..., high]

    def to_arrow(self) -> pa.Table:
        """A row for each window and step: series columns, cutoff, date, step, truth, forecast, quantiles, baselines.

        The last two columns are the scales of MASE and RMSSE.
        """
        horizon = self.horizon
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
        for name, found in self.baselines.items():
            columns[name] = pa.array(found.ravel(), from_pandas=True)
        for name, scale in (("mase_scale", self.mase_scale), ("rmsse_scale", self.rmsse_scale)):
            columns[name] = pa.array(np.repeat(scale, horizon), from_pandas=True)
        return pa.table(columns)

    def examples(self) -> pa.Table:
        """The rows before and in the newest test window of the best, the median and the worst series.

        Columns: the series columns, `forecast_timestamp`, `actual`.
        """
        ranked = self._ranked()
        return pa.concat_tables(map(self._example, dict.fromkeys(ranked[at] for at in (0, len(ranked) // 2, -1))))

    def _example(self, index: int) -> pa.Table:
        end = int(self.cutoffs[self.series == index].max()) + self.horizon
        start = max(int(self.panel.starts[index]), end - (SHOWN_HORIZONS + 1) * self.horizon + 1)
        steps = np.arange(start, min(end, int(self.panel.lasts[index])) + 1)
        values = self.panel.series(index)[steps - self.panel.starts[index]]
        columns = {name: pa.repeat(self.panel.keys[name][index], len(steps)) for name in self.panel.keys.column_names}
        columns[TIMESTAMP] = timestamps(self.panel.grid, self.panel.kind, steps)
        return pa.table(columns | {"actual": pa.array(values, from_pandas=True)})

    def _ranked(self) -> list[int]:
        """The tested series, the best first: those with a MASE; by mean absolute error only where none has one."""
        tested: list[int] = np.unique(self.series).tolist()
        for name in ("mase", "mae"):
            rated = [(row[name], index) for index, row in zip(tested, self.of_series, strict=True)]
            if found := sorted(pair for pair in rated if pair[0] is not None):
                return [index for _, index in found]
        return tested

    def plot(self, series: str | None = None) -> "Figure":
        """A matplotlib figure of the newest forecast of one series beside the truth; by default the median one.

        Raises:
            UsageError: there is no such series, or more than one, or it was not tested.
        """
        from gatecast.evidence import example_figure  # noqa: PLC0415 - only where a figure is wanted

        ranked, tested = self._ranked(), np.unique(self.series).tolist()
        index = ranked[len(ranked) // 2] if series is None else int(self.panel.find([str(series)])[0])
        if index not in tested:
            names = some_names(self.panel.names[number] for number in tested)
            raise UsageError(f"no series {series!r} was tested; there are {names}")
        return example_figure(self.to_arrow(), self._example(index), self.panel.keys.column_names, self.settings.level)

    def beside_statistical(self, seconds: float) -> Self:
        """A copy compared with the statistical baselines too, if they are installed and wanted."""
        if not seconds or not statistical.available():
            return self
        where = self.panel, self.series, self.cutoffs, self.season, self.horizon
        more, failure = statistical.statistical(*where, seconds)
        return replace(self, baselines={**self.baselines, **more}, failure=failure)

    def left_out(self, seconds: float) -> str:
        """Which statistical baselines are missing and why, as a sentence; empty if none is."""
        return statistical.left_out(self.baselines, seconds, self.failure)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Join backtests of one panel, ordered by series and cutoff."""
        names = ("series", "cutoffs", "truth", "quantiles", "mase_scale", "rmsse_scale")
        arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        order = np.lexsort((arrays["cutoffs"], arrays["series"]))
        baselines = {
            name: np.concatenate([part.baselines[name] for part in parts])[order] for name in parts[0].baselines
        }
        return replace(parts[0], baselines=baselines, **{name: found[order] for name, found in arrays.items()})
