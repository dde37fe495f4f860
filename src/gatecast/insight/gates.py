"""What the cells did in one forecast, traced by the readable cell with the model's weights, and what they follow."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from gatecast.data.arrays import Indices
from gatecast.data.dates import Grid, Steps
from gatecast.data.features import CYCLES
from gatecast.data.windows import Inputs, Windows
from gatecast.ensemble import calmed, unit_of
from gatecast.fitted import Fitted
from gatecast.nn.lstm import Trace

Array = npt.NDArray[np.float64]

TOLERANCE = 1e-4
"""Largest difference that rounding may make between the readable cell and the fast path."""
STRONG = 0.5**0.5
"""Correlation from which on a unit is said to follow something: it explains half of the unit's variance."""
MIN_WINDOWS = 30
"""Fewest windows for saying that a unit follows something."""
MIN_TURNS = 2
"""How often the windows must go through a cycle of the calendar for saying that a unit follows it."""
EVENT = 1.5
"""An event is a segment this many times as far from the average segment as the median one is."""
PLACES = {"day": "hour", "week": "weekday", "month": "day of the month", "year": "season"}


@dataclass(frozen=True)
class Gates:
    """The gates and states of one forecast.

    Attributes:
        steps: the R grid steps that the LSTM read.
        segment: p, steps it read at once.
        trace: gates and states, for one window; L = R / p.
        apart: distance of each segment from the average of all, in the scaled unit; missing values have none.
    """

    steps: Steps
    segment: int
    trace: Trace
    apart: Float[Tensor, "L"]

    @property
    def half_lives(self) -> Float[Tensor, "K U"]:
        """Steps after which half of a cell's state is forgotten, by the mean of the log of its forget gates."""
        rate = self.trace.f[:, 0].log().mean(1)  # per segment; ln f < 0
        return float(np.log(0.5)) / rate.clamp(max=-1e-9) * self.segment

    @property
    def event(self) -> int | None:
        """The segment least like the others, if it stands out; those without a value are like none."""
        at = int(self.apart.argmax())
        return at if self.apart[at] > EVENT * self.apart[self.apart > 0].median() else None

    def means(self) -> dict[str, Float[Tensor, "L"]]:
        """How open the gates of the last layer were at each segment, on average over its units."""
        names = ("forget", "input", "output")
        return {f"{name}_gate": getattr(self.trace, name[0])[-1, 0].mean(1) for name in names}


def read_gates(fitted: Fitted, inputs: Inputs, steps: Steps) -> Gates:
    """Trace one window, and check the readable cell against the fast path.

    Args:
        inputs: of one window.
        steps: the grid steps that the LSTM reads.
    """
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=False):  # which may round to fewer digits
        x, read = _read(fitted, inputs)
        lstm = fitted.network.leading.lstm
        trace, (fast, state) = lstm.trace(read), lstm(read)
    apart = max(float((trace.h[-1] - fast).abs().max()), float((trace.c[-1, :, -1] - state.c).abs().max()))
    assert apart < TOLERANCE, f"the readable cell and the fast path differ by {apart}"
    segment = fitted.network.shape.segment
    x, seen = (part[0, -len(steps) :].reshape(-1, segment) for part in (x, inputs.observed))
    usual = x.sum(0) / seen.sum(0).clamp(min=1)
    far = ((x - usual).abs() * seen).mean(1)  # what is missing is as usual, or a first value would stand out
    return Gates(steps, segment, Trace(*(getattr(trace, name).cpu() for name in "ifogch")), far.cpu())


def follows(
    fitted: Fitted, windows: Windows, series: Indices, cutoffs: Steps, grid: Grid
) -> dict[str, Float[Tensor, "K U"]]:
    """How closely the cell state after the newest step correlates with what may explain it, over many windows.

    Correlations with the `level` of the newest segment and the `trend` of what the LSTM reads (both in the
    scaled unit, which is what the network sees), and multiple correlations with the places of the
    cutoff in the cycles of the calendar, as sine and cosine. Empty where there are too few windows.
    """
    if len(series) < MIN_WINDOWS:
        return {}
    with torch.inference_mode():
        inputs = windows.inputs(*(torch.from_numpy(part).to(windows.device) for part in (series, cutoffs)))
        x, read = _read(fitted, inputs)
        newest, time = x[:, -fitted.network.shape.segment :], torch.linspace(-1, 1, x.shape[1], device=x.device)
        parts = (fitted.network.leading.lstm.fast(read)[1][1], newest.mean(1), x @ time)
    cell, level, trend = (part.cpu().double().numpy() for part in parts)
    explaining, step = {"level": [level], "trend": [trend]}, grid.frequency.seconds
    length = (int(np.ptp(cutoffs)) + 1) * step
    for name, cycle in CYCLES.items():
        if 2 * step <= cycle.length and MIN_TURNS * cycle.length <= length:
            angle = 2 * np.pi * cycle.passed(grid.wall(cutoffs))
            explaining[PLACES[name]] = [np.sin(angle), np.cos(angle)]
    return {name: torch.from_numpy(_correlation(cell, columns)) for name, columns in explaining.items()}


def strongest(found: Mapping[str, Float[Tensor, "K U"]]) -> list[tuple[str, float] | None]:
    """What each unit of each layer follows, and the correlation; None where there is nothing strong."""
    units = zip(*([(name, value) for value in part.flatten().tolist()] for name, part in found.items()), strict=True)
    best = [max(unit, key=lambda part: abs(part[1])) for unit in units]
    return [unit if abs(unit[1]) >= STRONG else None for unit in best]


def _read(fitted: Fitted, inputs: Inputs) -> tuple[Float[Tensor, "B R"], Float[Tensor, "B L U"]]:
    """What the leading member's LSTM reads: scaled values, 0 where not observed, and how it reads them.

    The effect of covariates is taken out.
    """
    network = fitted.network.leading
    inputs = calmed(network.shape, inputs)
    unit = unit_of(network.shape, inputs, fitted.scaler)
    x, observed, calendar, static = inputs.scaled(unit)
    x, _ = network.cleaned(x, observed, calendar)
    simple = network.simple(x, observed) if network.shape.adjusted else None
    return x[:, -network.shape.reach :], network.segments(x, observed, calendar, network.about(static), simple)


def _correlation(values: Array, columns: list[Array]) -> Array:
    """Correlation of (K, W, U) values with one column of W, or multiple correlation with several; 0 of a constant."""
    centred = values - values.mean(1, keepdims=True)
    design = np.stack(columns, -1) - np.mean(columns, -1)
    basis, sizes, _ = np.linalg.svd(design, full_matrices=False)
    basis = basis[:, sizes > 1e-9 * np.sqrt(len(design))]
    along = np.einsum("wm,kwu->kmu", basis, centred)
    size = np.sqrt(np.square(centred).sum(1))
    share = np.divide(np.sqrt(np.square(along).sum(1)), size, out=np.zeros_like(size), where=size > 1e-9)
    sign = np.sign(np.einsum("w,kwu->ku", design[:, 0], centred)) if len(columns) == 1 else 1
    return np.asarray(share * sign)
