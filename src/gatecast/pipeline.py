"""One function per verb: the whole flow from rows to forecasts, top to bottom."""

import shutil
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow.parquet as pq
import torch

from gatecast import run_folder as files
from gatecast.checkpoint import NOWHERE, Checkpoints
from gatecast.config import Config
from gatecast.data.audit import Audit
from gatecast.data.panel import Panel
from gatecast.data.split import Split, split
from gatecast.errors import DataError, UsageError, plural
from gatecast.evaluation import proof
from gatecast.evaluation.backtest import Backtest
from gatecast.evaluation.evaluate import evaluate
from gatecast.evaluation.held_back import held_back
from gatecast.evaluation.verdict import Verdict, judge
from gatecast.insight import Insight
from gatecast.kept_rows import keep, kept
from gatecast.listener import SILENT, Listener
from gatecast.manifest import Repeat, manifest, repeat
from gatecast.model import Model
from gatecast.newest import newest
from gatecast.nn.devices import multiplies_halved, names, plain_torch
from gatecast.reading import Rows, audit_rows, read_rows
from gatecast.record import write_record
from gatecast.run_folder import new_folder, unfinished
from gatecast.steps import define_and_train, prepare, test_held_back, train_final
from gatecast.store import Errand

VALIDATION_SHARE = 0.15
"""Share of each series before the cutoffs of a backtest that training is validated on."""


def read(source: object, **options: object) -> Panel:
    """Read rows into a panel: many series on one grid.

    Args:
        source: a URL or path, a pandas, polars or Arrow frame, or a `Config`, such as that of a model.
        options: settings by name, such as `time`, `target`, `series`, `freq`, `timezone`.
    """
    return read_rows(Config.from_options(source, options), source).panel


def audit(source: object, *, listener: Listener = SILENT, **options: object) -> Audit:
    """Find what is in the rows, what is wrong with them, and what `fit` would do about it. Arguments as for `read`."""
    return audit_rows(Config.from_options(source, options), source, Errand("audit", observer=listener))


def load(run: str | Path, *, device: str = "cpu") -> Model:
    """Load the model of a run folder; `gatecast.read(model.config)` reads the rows to forecast from.

    Args:
        device: where to forecast, as cpu, cuda, cuda:1 or mps.

    Raises:
        UsageError: there is no such device.
        RunError: there is no run, or it is damaged.
    """
    return Model.load(run, device)


@plain_torch()
def fit(
    source: object = None,
    *,
    run: str | Path | None = None,
    from_: str | Path | None = None,
    resume: str | Path | None = None,
    overwrite: bool = False,
    listener: Listener = SILENT,
    **options: object,
) -> Model:
    """Train, test, and train again on all rows; one at a time in a process, or the seed does not decide the weights.

    Args:
        source: a URL or path, a frame, a `Panel`, or a `Config` that names its source.
        run: folder to write the model and its evidence to; by default they are only returned.
        from_: instead of a source, the folder of a run to repeat with its settings, on exactly its rows.
        resume: instead of everything else, the folder of a run whose training was stopped. It continues with
            the same rows and settings, to the same weights as if it had never stopped.
        overwrite: replace the run if there is one.
        options: settings by name, such as `time`, `target`, `series`, `horizon`.

    Raises:
        GatecastError: of any kind; nothing was written then.
    """
    if resume is not None:
        if any(part is not None for part in (source, run, from_)) or overwrite or options:
            raise UsageError("resume keeps the rows and settings of the stopped training: give nothing else")
        with new_folder(Path(resume), resume=True) as folder:
            return _train_into(folder, Path(resume), listener)
    repeated = None
    if from_ is not None:
        if source is not None:
            raise UsageError("from_ reads again what a run has read: give no source")
        repeated = repeat(from_, options)
        source, options = repeated.config, {}
    config, _ = _trainable(source, options)
    if run is None:
        return _fit(_read(config, source, listener, repeated), listener)[0]
    with new_folder(Path(run), overwrite) as folder:
        if unfinished(Path(run)):
            stopped = f"a stopped training of {run} will be deleted once this one is complete"
            listener.note(f"{stopped}: gatecast fit --resume {quote(str(run))} continues it instead")
        return _train_into(folder, Path(run), listener, _read(config, source, listener, repeated))


def _read(config: Config, source: object, listener: Listener, repeated: Repeat | None) -> Rows:
    # Greater for later runs: of two that forecast from one cutoff the later one's forecasts hold. The letter is after
    # all digits that names began with when they were drawn; of those that begin at once four digits are.
    began, run_id = time.monotonic(), f"r{time.time_ns() >> 18:011x}{uuid4().hex[:4]}"
    rows = read_rows(config, source, Errand("fit", run_id, listener), audited=True)
    if repeated:
        repeated.refuse_others(rows)
    return replace(rows, run_id=run_id, seconds=time.monotonic() - began)


def _train_into(folder: Path, run: Path, listener: Listener, rows: Rows | None = None) -> Model:
    """Train on rows, or resume with those kept in the folder, and write the model and its evidence."""
    checkpoints, resumed = Checkpoints(folder / files.CHECKPOINT, listener.note), rows is None
    if rows is None:
        rows = kept(checkpoints)
    else:
        keep(rows, checkpoints)
    try:
        model, backtest = _fit(rows, listener, checkpoints)
    except KeyboardInterrupt:
        if resumed or checkpoints.files("test"):
            listener.note(f"what was trained is kept: gatecast fit --resume {quote(str(run))} goes on from there")
        else:
            shutil.rmtree(folder / files.CHECKPOINT, ignore_errors=True)  # rows alone are soon read again
        raise
    model.write(folder)
    write_record(folder, model.evidence)
    pq.write_table(backtest.to_arrow(), folder / files.TEST)
    pq.write_table(backtest.examples(), folder / files.EXAMPLES)
    return model


def _fit(rows: Rows, listener: Listener, checkpoints: Checkpoints = NOWHERE) -> tuple[Model, Backtest]:
    """The eleven steps but the last, forecasting, which the model does."""
    panel, settings, device, times = rows.panel, rows.config.training, _device(rows.config), [time.monotonic()]
    parts = split(panel, rows.config.forecast.horizon, settings.test)
    shop = prepare(rows, parts, device, listener, checkpoints)
    tested, trained, held = define_and_train(shop, listener)
    times.append(time.monotonic())
    backtest, metrics = test_held_back(shop, tested, trained, listener)
    times.append(time.monotonic())
    final, stages = tested, [trained]
    if settings.refit:
        final, retrained = train_final(shop, tested, trained, held, listener)
        stages.append(retrained)
    times.append(time.monotonic())
    seconds = [round(rows.seconds, 3), *np.diff(times).round(3).tolist()]
    durations = dict(zip(("read", "train", "test", "refit"), seconds, strict=True))
    evidence = {
        "manifest": manifest(rows, device, durations, stages),
        "metrics": metrics,
        "history": [asdict(epoch) for stage in stages for epoch in stage.epochs],
    }
    model = Model(rows.run_id, shop.config, panel.grid, panel.kind, panel.keys, tested, final, evidence, panel)
    return model, backtest


@plain_torch()
def test(model: Model, panel: Panel | None = None) -> tuple[Backtest, Verdict]:
    """Test the weights that never saw the held-back end, on all rows since then, new ones included.

    Raises:
        UsageError: the rows are unlike those trained on.
        DataError: no series has a whole horizon of rows that the weights have not seen.
    """
    panel = model.rows(panel or newest(model))
    fitted, series, cutoffs = held_back(model.tested, panel, model.keys)
    found = evaluate(fitted, panel, series, cutoffs, fitted.season, model.config.forecast)
    backtest = found.beside_statistical(model.config.training.baselines)
    history, training = model.evidence.get("history", ()), model.evidence.get("manifest", {}).get("training", {})
    return backtest, judge(backtest, history, training.get("best", 0))


@plain_torch()
def inspect(
    run: str | Path,
    *,
    series: str | None = None,
    at: str | None = None,
    to: str | Path | None = None,
    listener: Listener = SILENT,
) -> Insight:
    """Look into a forecast of a run and its memory, and write what was found, also for `report`.

    Args:
        series: name of one; by default the first.
        at: cutoff of the forecast; by default the last row.
        to: folder for figures and numbers; by default within the run.

    Raises:
        RunError: there is no run, or the folder holds something else.
    """
    model = load(run)
    asked = None if at is None else model.grid.floor(at)
    with new_folder(Path(to or Path(run) / files.INSPECTED), overwrite=True, mark=files.INSPECTION) as folder:
        found = model.inspect(newest(model, "inspect", listener), series=series, at=at)
        if asked is not None and asked > found.steps[-1]:
            cutoff = model.grid.label(int(found.steps[-1]))
            listener.note(f"{at} lies beyond the rows: the cutoff is the last of them, {cutoff}")
        found.write(folder)
    return found


@plain_torch()
def prove(model: Model, panel: Panel | None = None) -> proof.Proof:
    """Forecast the held-back end again after changing everything behind each cutoff; see `evaluation.proof`.

    Raises:
        UsageError, DataError: as for `test`.
    """
    panel = model.rows(panel or newest(model))
    fitted, series, cutoffs = held_back(model.tested, panel, model.keys)
    assert (cutoffs >= fitted.seen[series]).all()
    forecast = partial(evaluate, fitted, season=fitted.season, settings=model.config.forecast)
    return proof.prove(forecast, panel, series, cutoffs)


@plain_torch()
def backtest(
    source: object,
    *,
    windows: int = 10,
    stride: int | None = None,
    retrain: bool = False,
    listener: Listener = SILENT,
    **options: object,
) -> Backtest:
    """Forecast from past cutoffs, with a model trained on the rows before the earliest of them.

    Args:
        source: as for `fit`.
        windows: number of cutoffs per series, the last of them a horizon before its end.
        stride: steps between cutoffs; by default the horizon, so that forecasts do not overlap.
        retrain: train again for each cutoff, on all rows before it.
        options: as for `fit`.

    Raises:
        DataError: the history is too short for so many cutoffs.
    """
    config, device = _trainable(source, options)
    horizon = config.forecast.horizon
    stride = horizon if stride is None else stride
    asked: list[Any] = [windows, stride]
    if not all(isinstance(number, int | np.integer) and number >= 1 for number in asked):
        raise UsageError(f"windows and stride must be whole numbers of 1 or more, got {windows!r} and {stride!r}")
    rows = read_rows(config, source, Errand("backtest", observer=listener), audited=True)
    panel, held = rows.panel, horizon + (windows - 1) * stride
    if int(panel.lengths.max()) < held + 2 * horizon + 1:
        raise DataError(
            f"forecasting from {plural(windows, 'cutoff')}, {plural(stride, 'step')} apart, holds back "
            f"{plural(held, 'step')}, and training needs {2 * horizon + 1:,} more; "
            f"the longest series has {int(panel.lengths.max()):,}: ask for fewer windows"
        )
    ends = [panel.lasts - held + number * stride for number in range(windows)]
    found, season = [], 0
    for group in [[end] for end in ends] if retrain else [ends]:
        end, count = group[0], len(group)
        validation = np.maximum(horizon, ((end - panel.starts) * VALIDATION_SHARE).astype(int))
        parts = Split(panel.starts, end - validation, end, panel.lasts)
        shop = prepare(rows, parts, device, listener)
        season = season or shop.season
        tested, *_ = define_and_train(shop, listener)
        series, cutoffs = np.repeat(np.arange(len(panel)), count), np.stack(group, 1).ravel()
        begun = cutoffs >= panel.starts[series]
        found.append(evaluate(tested, panel, series[begun], cutoffs[begun], season, config.forecast))
    return Backtest.joined(found).beside_statistical(config.training.baselines)


def _trainable(source: object, options: dict[str, Any]) -> tuple[Config, torch.device]:
    """The settings to train with, and their device: both are looked at before anything is read."""
    config = Config.from_options(source, options)
    if not config.forecast.horizon:
        raise UsageError("say how many steps to forecast: --horizon H")
    return config, _device(config)


def _device(config: Config) -> torch.device:
    """The device of the settings; `auto` is the fastest there is."""
    there = names()
    wanted = there[0] if config.training.device == "auto" else config.training.device
    if wanted not in there:
        raise UsageError(f"there is no {wanted} device here: use --device auto")
    device = torch.device(wanted)
    if config.training.precision == "bf16" and not multiplies_halved(device):
        raise UsageError(f"the {wanted} device here has no bf16 for an LSTM: leave out --precision bf16")
    return device
