"""The trained thing, as users hold it, and its run folder: safetensors, Parquet, JSON and TOML, never a pickle."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from gatecast import run_folder as files
from gatecast.config import Config, merged
from gatecast.cutoffs import at_dates, next_steps, read_dates
from gatecast.data.covariates import refuse_without
from gatecast.data.dates import Date, Grid, TimeKind
from gatecast.data.frequency import Frequency
from gatecast.data.panel import Panel
from gatecast.data.table import ForecastTable
from gatecast.errors import DataError, RunError, UsageError, by_name, some
from gatecast.fitted import Fitted
from gatecast.forecasting import forecast
from gatecast.nn.devices import names, plain_torch
from gatecast.record import read_record
from gatecast.run_folder import new_folder, refuse_absent, steadily
from gatecast.seal import DAMAGE, damage, read_json, read_table, sealed, write_json
from gatecast.settings import ForecastSettings, Metric
from gatecast.weights import facts, packed, unpacked
from gatecast.written import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gatecast.insight import Insight

FORMAT = 4
"""Version of the run folder's format; others are refused."""

POINTS: Mapping[str, str] = {"mean": "rmse", "median": "mae"} | {metric: metric for metric in get_args(Metric)}
"""The kinds of point forecast, and the metric that each is best for."""
_SEEN = "gatecast_{}_seen"


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model with two sets of weights: `tested` never saw the held-back end, `final` saw all rows.

    A forecast from before the last row seen by `final` is made with `tested`.

    Attributes:
        kind: what the time column of the source holds.
        keys: the series trained on, a row each.
        evidence: the manifest, the metrics and the history of training, as in the run folder.
    """

    run_id: str
    config: Config
    grid: Grid
    kind: TimeKind
    keys: pa.Table
    tested: Fitted
    final: Fitted
    evidence: Mapping[str, Any] = field(default_factory=dict)
    panel: Panel | None = None

    def __repr__(self) -> str:
        series, horizon = len(self.final.seen), self.config.forecast.horizon
        about = f"{series:,} series, {self.grid.frequency}, horizon {horizon}, recipe {self.config.model.recipe}"
        return f"<Model {self.run_id}: {about}>"

    @plain_torch()
    def forecast(
        self,
        panel: Panel | None = None,
        *,
        horizon: int | None = None,
        at: Date | Iterable[Date] | None = None,
        as_of: Date | None = None,
        series: object | Iterable[object] | None = None,
        point: str | None = None,
        level: float | Iterable[float] = (),
    ) -> ForecastTable:
        """Forecast the next steps, or any dates.

        Args:
            panel: newest rows; by default those the model holds.
            horizon: steps after the last row of each series; by default the trained horizon.
            at: one or more dates to forecast instead, in any order, past ones too (see `cutoffs.at_dates`).
            as_of: last date whose row may be used.
            series: one or more names of series (key parts joined by a slash); by default all.
            point: mean, median, or the metric to give the best point for; by default the metric trained for.
            level: interval levels in percent; by default those trained for. Others are interpolated.

        Raises:
            UsageError: a date is off the grid or has no history before it, or there is no such series.
        """
        trained, settings = self.config.forecast, self.settings_for(horizon=horizon, at=at, point=point, level=level)
        panel = self.rows(panel)
        names = () if series is None else listed(series)
        asked_for = tuple(dict.fromkeys(map(str, names)))  # one named twice would be written twice
        whole, panel = panel, _chosen(panel, asked_for)
        observed, cut = panel.lasts, None if as_of is None else self.grid.floor(str(as_of))
        if cut is not None:
            panel = _chosen(_known_by(cut, panel, whole), asked_for)
        if at is None:
            asked = next_steps(panel, settings.horizon, trained.horizon)
        else:
            asked = at_dates(panel, read_dates(self.grid, at), trained.horizon, cut)
        return forecast(self.tested, self.final, panel, self.keys, asked, settings, self.run_id, observed, cut)

    def settings_for(
        self,
        *,
        horizon: int | None = None,
        at: Date | Iterable[Date] | None = None,
        point: str | None = None,
        level: float | Iterable[float] = (),
    ) -> ForecastSettings:
        """The settings of such a forecast, which needs no rows to be refused; arguments as for `forecast`.

        Raises:
            UsageError: an argument makes no sense.
        """
        if horizon is not None and at is not None:
            raise UsageError("ask for a horizon or for dates, not both")
        if point is not None and point not in POINTS:
            raise UsageError(f"--point is {', '.join(POINTS)}, not {point!r}")
        trained, levels = self.config.forecast, level if np.size(level) else None  # type: ignore[arg-type]
        given = {"horizon": horizon, "metric": POINTS[point] if point else None, "level": levels}
        if all(part is None for part in given.values()):
            return trained
        return Config(**merged({"forecast": trained.model_dump()}, given)).forecast

    def plot(self, series: str | None = None, **asked: Any) -> "Figure":
        """A matplotlib figure of the history and the forecast of one series.

        Args:
            series: its name; by default the first.
            asked: as for `forecast`.
        """
        from gatecast.figures import forecast_figure  # noqa: PLC0415 - only where a figure is wanted

        table = self.forecast(series=() if series is None else (series,), **asked)
        panel = self.rows(asked.get("panel"))
        return forecast_figure(panel, 0 if series is None else panel.places[str(series)], table)

    @plain_torch()
    def inspect(self, panel: Panel | None = None, *, series: str | None = None, at: Date | None = None) -> "Insight":
        """Find what the LSTM keeps and forgets, what a forecast is based on, and whether the memory is used.

        Args:
            panel: rows to look at, the held-back ones among them; by default those the model holds.
            series: name of the series whose forecast to look into; by default the first.
            at: cutoff of that forecast; by default the last row.

        Raises:
            UsageError: there is no such series, or it had not begun.
            DataError: the tested weights have seen all rows.
        """
        from gatecast.insight import inspect  # noqa: PLC0415 - only where it is wanted

        panel = self.rows(panel)
        return inspect(self.tested, self.final, panel, self.keys, series, None if at is None else str(at))

    def rows(self, given: Panel | None) -> Panel:
        """The rows given, or those at hand.

        Raises:
            UsageError: there are none, or their grid, series columns or covariates are not those trained on.
            DataError: keys are texts that were numbers in training, or numbers that were texts.
        """
        if given is not None and not isinstance(given, Panel):
            raise UsageError(
                f"give rows as a panel, which gatecast.read makes of a frame or URL, not {type(given).__name__}"
            )
        panel = given if given is not None else self.panel
        if panel is None:
            how = "(model.config) reads those of its source" if self.config.source.url else " reads those of a frame"
            raise UsageError(f"this model has no rows at hand: give it a panel; gatecast.read{how}")
        if panel.grid != self.grid:
            raise UsageError(f"the panel's grid is {panel.grid}, the model was trained on {self.grid}")
        if panel.keys.column_names != self.keys.column_names:
            here, there = (some(keys.column_names) or "none" for keys in (panel.keys, self.keys))
            raise UsageError(f"the panel's series columns are {here}, the model was trained with {there}")
        for now, then in zip(panel.keys.schema, self.keys.schema, strict=True):
            kinds = now.type, then.type
            if not any(map(pa.types.is_null, kinds)) and len(set(map(pa.types.is_string, kinds))) > 1:
                raise DataError(  # or every series would count as a new one
                    f"series column {now.name!r} holds {now.type}, and held {then.type} when the model was trained: "
                    "cast it where it is read, or train again"
                )
        refuse_without(panel.covariates, *self.final.encoder.beside)
        return panel

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the model into a folder that `load` reads, wholly or not at all; only `fit` writes the evidence too.

        Raises:
            RunError: something is at the path already, or it cannot be written.
        """
        with new_folder(Path(path), overwrite) as folder:
            self.write(folder)

    def write(self, folder: Path) -> None:
        """Write the model's own files into a folder."""
        stages = {"tested": self.tested} | ({} if self.final is self.tested else {"final": self.final})
        table = self.keys if self.keys.num_columns else pa.table({"gatecast_series": list(range(len(self.final.seen)))})
        for stage, fitted in stages.items():
            table = table.append_column(_SEEN.format(stage), pa.array(fitted.seen))
        (folder / files.WEIGHTS).write_bytes(save(packed(stages)))  # `save_file` would let nobody else read it
        pq.write_table(table, folder / files.SERIES)
        about = {
            "format": FORMAT,
            "run_id": self.run_id,
            "frequency": str(self.grid.frequency),
            "timezone": self.grid.timezone,
            "holidays": self.grid.holidays,
            "time_kind": self.kind,
            "series_columns": self.keys.column_names,
            **facts(stages),
        }
        write_json(folder / files.MODEL, about)
        (folder / files.CONFIG).write_text(self.config.to_toml(), encoding="utf-8")

    @classmethod
    @plain_torch()
    def load(cls, path: str | Path, device: str = "cpu") -> Self:
        """Load the model of a run folder.

        Raises:
            UsageError: there is no such device.
            RunError: there is no run, it is damaged, or another version of the format.
        """
        if str(device) != "cpu" and str(device) not in (there := names()):  # to ask for cards takes a while
            raise UsageError(f"there is no device '{device}' here; there are {some(there)}")
        return steadily(Path(path), cls._read).on(torch.device(device))

    def on(self, device: torch.device) -> Self:
        """The same on a device."""
        tested = self.tested.on(device)
        return replace(self, tested=tested, final=tested if self.final is self.tested else self.final.on(device))

    @classmethod
    def _read(cls, folder: Path) -> Self:
        refuse_absent(folder)
        try:
            about = read_json(folder / files.MODEL)
            if about["format"] != FORMAT:
                age, hint = ("a newer", "") if about["format"] > FORMAT else ("an older", "; train it again")
                raise RunError(
                    f"{folder} was written by {age} Gatecast (format {about['format']}, this reads {FORMAT}){hint}"
                )
            there = sealed(folder, files.MODEL, files.WEIGHTS, files.SERIES, files.CONFIG)
            weights, table = load_file(folder / files.WEIGHTS), read_table(folder / files.SERIES)
            seen = {stage: table.column(_SEEN.format(stage)).to_numpy() for stage in about["stages"]}
            stages = {stage: unpacked(stage, about, weights, steps) for stage, steps in seen.items()}
            grid = Grid(Frequency.parse(about["frequency"]), about["timezone"], about.get("holidays"))
            keys = table.select(about["series_columns"])
            config = Config.from_toml(folder / files.CONFIG)
            tested = stages["tested"]
            final, evidence = stages.get("final", tested), read_record(folder, there)
            return cls(str(about["run_id"]), config, grid, about["time_kind"], keys, tested, final, evidence)
        except RunError:
            raise
        except PermissionError as error:
            raise RunError(f"{folder} cannot be read: {error}") from None
        except (*DAMAGE, SafetensorError) as error:
            raise RunError(f"{folder} is damaged ({damage(error)}): train it again") from None


def _chosen(panel: Panel, names: tuple[str, ...]) -> Panel:
    return panel.take(panel.find(names)) if names else panel


def _known_by(step: int, panel: Panel, whole: Panel) -> Panel:
    """What was known of a panel by a step; where series end together, the others of the whole have a say."""
    if late := np.flatnonzero(panel.starts > step).tolist():
        names = some(panel.names[i] for i in late)
        raise UsageError(f"no history by {panel.grid.label(step)} in {names}{by_name(len(panel) - len(late))}")
    return (whole.take(np.flatnonzero(whole.starts <= step)) if whole.rule[0] else panel).until(step)
