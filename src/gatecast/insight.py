"""What the LSTM keeps and forgets in one forecast, read off the readable cell with the model's own weights."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from gatecast import figures
from gatecast.data.dates import Steps
from gatecast.data.panel import Panel
from gatecast.data.windows import Windows
from gatecast.errors import UsageError, some
from gatecast.fitted import find
from gatecast.model import Model
from gatecast.nn.lstm import Trace

AGREEMENT = 1e-4
"""Largest difference between the readable cell and the fast path that rounding may make."""


@dataclass(frozen=True)
class Insight:
    """The gates of one forecast.

    Attributes:
        steps: the grid steps of the context.
        segment: steps the LSTM read at once.
        trace: gates and states, for one window.
    """

    panel: Panel
    series: int
    steps: Steps
    segment: int
    trace: Trace

    @property
    def half_lives(self) -> Float[Tensor, "K U"]:
        """Steps after which half of a cell's state is forgotten, by the mean of the log of its forget gates."""
        rate = self.trace.f[:, 0].log().mean(1)  # per segment; ln f < 0
        return float(np.log(0.5)) / rate.clamp(max=-1e-9) * self.segment

    @property
    def sentence(self) -> str:
        """The memory of the model in words."""
        lives, unit = self.half_lives.flatten(), self.panel.grid.frequency
        median, longest = float(lives.median()), float(lives.max())
        span = len(self.steps)
        return (
            f"read {span:,} steps in segments of {self.segment}. Half of the units have forgotten half of what they "
            f"knew after {median:,.0f} steps of {unit}; the one that remembers longest after {longest:,.0f}."
            + (" That is longer than the context it reads." if longest > span else "")
        )

    def to_arrow(self) -> pa.Table:
        """A row for each unit: its memory and how open its gates were, the longest memory first."""
        lives = self.half_lives
        layers, units = lives.shape
        columns = {
            "layer": np.repeat(np.arange(1, layers + 1), units),
            "unit": np.tile(np.arange(units), layers),
            "half_life_steps": lives.flatten().numpy().astype(np.float64),
        } | {
            name: getattr(self.trace, name[0])[:, 0].mean(1).flatten().numpy().astype(np.float64)
            for name in ("input_gate", "forget_gate", "output_gate")
        }
        return pa.table(columns).sort_by([("half_life_steps", "descending")])

    def figure(self) -> Figure:
        """The series above the forget, input and output gates of the last layer, units sorted by memory."""
        order = self.half_lives[-1].argsort(descending=True)
        named = zip(("forget gate: kept", "input gate: written", "output gate: shown"), "fio", strict=True)
        gates = {title: getattr(self.trace, name)[-1, 0][:, order].numpy() for title, name in named}
        return figures.gates_figure(self.panel, self.series, self.steps, gates)


def inspect(model: Model, panel: Panel, series: str | None = None, at: str | None = None) -> Insight:
    """Trace the forecast of one series from its last row, or from a date.

    Raises:
        UsageError: there is no such series, or it had not begun.
    """
    if series is not None and series not in panel.names:
        raise UsageError(f"no series {series!r}; there are {some(panel.names)}")
    index = 0 if series is None else panel.names.index(series)
    cutoff = int(panel.lasts[index]) if at is None else min(panel.grid.floor(at), int(panel.lasts[index]))
    if cutoff < panel.starts[index]:
        raise UsageError(f"{panel.names[index]} begins {panel.grid.label(int(panel.starts[index]))}, after {at}")
    known = find(panel.keys, model.keys, len(panel))
    stage = model.final.known(known)
    if cutoff < stage.seen[index]:
        stage = model.tested.known(known)
    network = stage.network.eval().networks[0]
    shape = network.shape
    windows = Windows.of(panel, stage.cycles, shape.context, shape.horizon, stage.device)
    with torch.inference_mode():
        inputs = windows.inputs(torch.tensor([index]), torch.tensor([cutoff]))
        unit = stage.scaler(inputs.context, inputs.observed, inputs.series, shape.logs)
        x = unit.scaled(inputs.context).masked_fill(~inputs.observed, 0)
        read = network.segments(x, inputs.observed, inputs.calendar)
        trace, (fast, _) = network.lstm.trace(read), network.lstm(read)
    apart = float((trace.h[-1] - fast).abs().max())
    assert apart < AGREEMENT, f"the readable cell and the fast path differ by {apart}"
    return Insight(panel, index, np.arange(cutoff - shape.context + 1, cutoff + 1), shape.segment, trace)
