"""The steps from rows to weights, announced as they are taken: one to ten of the eleven, and the final weights."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from gatecast import recipe
from gatecast.calibration import HeldBack
from gatecast.checkpoint import NOWHERE, Checkpoints
from gatecast.config import Config
from gatecast.data.encoding import Encoder, unlearnable
from gatecast.data.panel import Panel
from gatecast.data.split import Split
from gatecast.data.table import SEASONAL
from gatecast.data.windows import Windows
from gatecast.errors import enumerated, in_bytes, in_percent, plural
from gatecast.evaluation.backtest import Backtest
from gatecast.evaluation.evaluate import evaluate
from gatecast.evaluation.held_back import spread
from gatecast.evaluation.readable import number, percent
from gatecast.evaluation.verdict import Verdict, judge
from gatecast.fitted import Fitted
from gatecast.fitting import Workshop, build, learn, refit
from gatecast.listener import Listener
from gatecast.memory import needed, refuse_too_wide
from gatecast.nn.network import Network
from gatecast.reading import Rows
from gatecast.rhythm import unnamed_zone
from gatecast.settings import ModelSettings
from gatecast.store.faults import FAULTS, counted
from gatecast.training import Trained

NEARLY_ALL = 0.985
"""Share of the networks above which that of the naive forecast, a percent or none, is not mentioned."""

MANY_ZEROS = 0.4
"""Share of zeros among the values from which on percentage errors are best where nothing is forecast."""


def prepare(
    rows: Rows, parts: Split, device: torch.device, listener: Listener, checkpoints: Checkpoints = NOWHERE
) -> Workshop:
    """Steps 1 to 6 of the eleven: what training needs; the split comes before the scaling."""
    panel, horizon, found = rows.panel, rows.config.forecast.horizon, rows.audit
    assert found
    size = in_bytes(needed(found.rows, found.steps, len(rows.config.source.varying)))
    text = (
        f"{plural(found.rows, 'row')}, {found.series:,} series, {found.first} to {found.last}; about {size} of memory"
    )
    listener.step(1, "Read", text)
    config, season = recipe.resolve(rows.config, panel, parts)
    _note_sizes(rows.config.model, config.model, listener)
    encoder = Encoder.fit(panel, config, parts.train)
    fits = "" if found.agreement is None else f" (fits {in_percent(found.agreement, 1)} of the gaps)"
    faults = "; ".join(counted(finding.count, finding.name) for finding in found.findings) or "no faults found"
    text = f"grid {panel.grid}, {config.alignment.aggregate} of each step{fits}; {faults}; {_known(encoder)}"
    listener.step(2, "Dates to numbers", text)
    for part in found.findings:
        if part.name == FAULTS["partial"].name:
            listener.note(f"{part.name}: {'; '.join(part.places)}: {part.done}")
    if rows.config.model.clock and not panel.grid.changed:
        listener.note(f"--clock true changes nothing: steps are {panel.grid}, not of an hour or less in a --timezone")
    if zone := unnamed_zone(panel, parts.train):
        listener.note(
            f"what repeats does so by a clock that is changed as that of {zone} is, and times are taken in UTC: "
            "name the --timezone, or forecasts are an hour off for days after a change"
        )
    for line in unlearnable(panel, config.source, parts.train):
        listener.note(line)
    if config.forecast.metric == "mape":
        _note_zeros(panel, listener)
    model, sizes = config.model, recipe.sizes(config)
    windows = Windows.of(panel, encoder, sizes.context, horizon, device)
    shop = Workshop(config, panel, parts, encoder, windows, listener.epoch, season, checkpoints)
    counts = [len(span) for span in (shop.training(), parts.validating(horizon), parts.testing(horizon))]
    shares = ", ".join(f"{name} {count:,}" for name, count in zip(("train", "validation", "test"), counts, strict=True))
    listener.step(3, "Split in time", f"before anything is fitted; windows: {shares}")
    where = "each window by itself" if model.scaling == "window" else "fitted on training rows only"
    listener.step(4, "Scale", f"{model.scaling}, {where}")
    synthetic = f", {config.training.synthetic} of them synthetic" if config.training.synthetic else ""
    rhythm = (
        ", by the clock" if windows.clock else ", by elapsed time" if panel.grid.changed and not model.clock else ""
    )
    text = f"{plural(sizes.context, 'step')} in, {horizon:,} out{rhythm}; the LSTM reads {_segments(config, encoder)}"
    listener.step(5, "Windows", f"{text}; batches of {sizes.batch}{synthetic}")
    listener.step(
        6, "Data to the device", f"{device}, once: {in_bytes(windows.nbytes)}, windows are gathered there by index"
    )
    return shop


def _segments(config: Config, encoder: Encoder) -> str:
    """How the networks of the longest reach read their context."""
    sizes = recipe.sizes(config)
    longest = (shape for shape in recipe.shapes(config, encoder) if shape.reach == sizes.reach)
    ways = dict.fromkeys(f"{one.segment:,} at once: {plural(one.recurrent, 'recurrent step')}" for one in longest)
    reads = "them" if sizes.reach == sizes.context else f"the newest {sizes.reach:,}"
    return f"{reads}, {' or '.join(ways)}"


def _note_sizes(asked: ModelSettings, taken: ModelSettings, listener: Listener) -> None:
    """Say which sizes are not those asked for."""
    for name in ("context", "reach", "segment"):
        given, used = getattr(asked, name), getattr(taken, name)
        if given not in (None, used):
            why = "context and reach hold whole segments (--segment) and a season (--seasons)"
            listener.note(f"--{name} {given:,} becomes {used:,}: {why}")


def _note_zeros(panel: Panel, listener: Listener) -> None:
    """Say that forecasts best for percentage errors will be near zero, where many values are zero."""
    zeros = float(np.sum(panel.values == 0) / np.sum(~np.isnan(panel.values)))
    if zeros >= MANY_ZEROS:
        text = f"{in_percent(zeros)} of the values are zero, of which there are no percentages"
        listener.note(f"{text}: the forecasts best for --metric mape are near zero; --metric rmse forecasts the mean")


def define_and_train(shop: Workshop, listener: Listener) -> tuple[Fitted, Trained, HeldBack]:
    """Steps 7 to 9: network, device, training.

    Raises:
        DataError: there is no memory for such a network.
        TrainingError: training cannot go on.
    """
    device, model, sizes = shop.windows.device, shop.config.model, recipe.sizes(shop.config)
    shapes = recipe.shapes(shop.config, shop.encoder)
    with torch.device("meta"):  # takes no memory
        size = sum(part.numel() for shape in shapes for part in Network(shape).parameters())
    at_once = 1 if any(shape.draws for shape in shapes) else min(len(shapes), torch.get_num_threads())
    states = at_once * model.layers * sizes.hidden * max(shape.recurrent for shape in shapes)
    if device.type == "cpu":
        refuse_too_wide(size, states, sizes.batch)
    starts = (
        f", starting from simple forecasts of season {enumerated([*map(str, model.seasons)])}" if model.seasons else ""
    )
    logs = f"; {'every other network' if model.members != 1 else 'it'} reads logarithms" if model.logs else ""
    layers = plural(model.layers, "layer")
    text = f"{model.recipe}: {model.members} × {layers} of {plural(sizes.hidden, 'unit')}, {size:,} parameters"
    listener.step(7, "Define the LSTM", f"{text}{starts}{logs}")
    threads = torch.get_num_threads()
    listener.step(8, "Model to the device", f"{device}, {plural(threads, 'thread')}")
    tested, trained, held = learn(shop, build(shop))
    short = "; time was short, the schedule followed the clock" if trained.hurried else ""
    text = f"{trained.ended}{short}; weights of epoch {trained.best} of {len(trained.epochs)} kept"
    if tested.share < NEARLY_ALL:
        naive = f"{in_percent(1 - tested.share)} of each forecast"
        text += f"; {naive} is the seasonal naive one's, which does better on validation"
    if shop.config.forecast.metric == "rmse" and tested.mean_share < NEARLY_ALL:
        text += f"; forecast {in_percent(tested.mean_share)} of the way from median to mean, best on validation"
    listener.step(9, "Train", text)
    return tested, trained, held


def test_held_back(
    shop: Workshop, tested: Fitted, trained: Trained, listener: Listener
) -> tuple[Backtest, dict[str, Any]]:
    """Step 10: a test on the held-back end, beside baselines; its metrics, with the verdict."""
    span = shop.split.testing(shop.horizon)
    series, cutoffs = spread(span)
    backtest = evaluate(tested, shop.panel, series, cutoffs, shop.season, shop.config.forecast)
    backtest = backtest.beside_statistical(shop.config.training.baselines)
    verdict = judge(backtest, [asdict(epoch) for epoch in trained.epochs], trained.best)
    metrics = backtest.metrics() | {"verdict": asdict(verdict)}
    left_out = backtest.left_out(shop.config.training.baselines)
    listener.step(10, "Test", " ".join(filter(None, [test_summary(metrics, verdict, len(span)), left_out])))
    return backtest, metrics


def train_final(
    shop: Workshop, tested: Fitted, trained: Trained, held: HeldBack, listener: Listener
) -> tuple[Fitted, Trained]:
    """New weights from all rows; says so if they have learned much less than those that were tested."""
    final, retrained = refit(shop, tested, held, trained.refit_epochs)
    (steps, planned), before = retrained.steps, trained.steps[0]
    if retrained.hurried and 2 * steps < before:
        listener.note(
            f"time was short for the final weights: they took {plural(steps, 'step')} of {planned:,}, the tested ones "
            f"{before:,}; forecasts may be worse than the test says; --time-limit gives more time, --no-refit "
            "forecasts with the tested weights"
        )
    return final, retrained


def test_summary(metrics: dict[str, Any], verdict: Verdict, there: int) -> str:
    """What the tenth step found.

    Args:
        there: the windows of the test part, of which those tested are chosen.
    """
    ours, naive = metrics["overall"], metrics["baselines"][SEASONAL]
    covered = ", ".join(f"{level} % intervals cover {percent(share)}" for level, share in ours["coverage"].items())
    accuracy = [percent(part["accuracy"]) for part in (ours, naive)]
    mae = ["undefined" if part["mae"] is None else number(part["mae"]) for part in (ours, naive)]
    of = f" of {there:,}" if there > metrics["windows"] else ""
    windows = f"{metrics['windows']:,}{of} window{'s' if there > 1 else ''}"
    return (
        f"{windows}: accuracy {accuracy[0]} (seasonal naive {accuracy[1]}), "
        f"MAE {mae[0]} ({mae[1]}); {covered}. {verdict.sentence}"
    )


def _known(encoder: Encoder) -> str:
    """What is known beside the target."""
    place = encoder.place
    if encoder.places:
        place = f"each {encoder.places}" + (f" ({place} where it is empty)" if place else "")
    calendar = f"calendar of {enumerated(encoder.cycles)}" if encoder.cycles else "no calendar"
    parts = [calendar, place and f"holidays of {place}"]
    for role in ("static", "past", "future"):
        names = [column.name for column in encoder.columns if column.role == role]
        parts.append(f"{role} {enumerated(names)}" if names else None)
    return "; ".join(filter(None, parts))
