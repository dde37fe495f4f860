"""What the LSTM keeps and forgets, what a forecast is based on, and whether the memory is used."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from gatecast.data.dates import Steps
from gatecast.data.keys import find_keys
from gatecast.data.panel import Panel
from gatecast.data.split import evenly
from gatecast.data.windows import Windows
from gatecast.errors import UsageError
from gatecast.evaluation.held_back import held_back
from gatecast.evaluation.metrics import known
from gatecast.fitted import Fitted
from gatecast.insight import words
from gatecast.insight.attribution import Attribution, attribute
from gatecast.insight.gates import Gates, follows, read_gates, strongest
from gatecast.insight.memory import Memory, remember
from gatecast.run_folder import INSPECTION
from gatecast.seal import write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_WINDOWS = 512
"""Most test windows by which memory and units are judged, evenly over series and time."""
CAPTIONS = {
    "memory": "Accuracy on windows that training never saw, when only the newest steps of each are left as they were. "
    "Where the line is flat, older steps do not help.",
    "attribution": "A forecast of a flat context knows the level only; the rest is put down to what was read.",
    "gates": "Time runs to the right under the series; each line is a unit. A gate is a valve between closed and open.",
    "half_lives": "The product of a unit's forget gates says how much of what it knew is left; after this time, half.",
}
"""What each figure shows, in the order they are read."""


@dataclass(frozen=True, eq=False)
class Insight:
    """One forecast from the inside, and what the model does over many.

    Attributes:
        series: index into the panel.
        window: the grid steps of the context and the horizon.
        gates: of the forecast.
        following: what each unit of each layer follows, and the correlation; None where there is nothing strong.
        attribution: of the forecast.
        memory: of the tested weights, over windows they never saw.
        members: networks that are averaged; gates and units are those of the leading one, all else is of all.
    """

    panel: Panel
    series: int
    window: Steps
    gates: Gates
    following: Sequence[tuple[str, float] | None]
    attribution: Attribution
    memory: Memory
    members: int

    def __repr__(self) -> str:
        cutoff = self.panel.grid.label(int(self.gates.steps[-1]))
        return f"<Insight: the forecast of {self.panel.names[self.series]} from {cutoff}>"

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """What was found, in words, also where nothing was."""
        grid = self.panel.grid
        return (
            words.uses(self.memory, grid.frequency),
            words.leaned(self.attribution, [*map(grid.label, self.starts)], self.memory),
            words.remembers(self.gates, grid.frequency, self.members),
            words.follow(self.following, len(self.memory.truth)),
            words.happened(self.gates, grid),
        )

    @property
    def steps(self) -> Steps:
        """The grid steps of the context."""
        return self.window[: self.attribution.context.shape[1]]

    @property
    def starts(self) -> list[int]:
        """The grid step at which each segment of the context begins."""
        return [*map(int, self.steps[:: self.gates.segment])]

    def to_arrow(self) -> pa.Table:
        """A row for each unit, the longest memory first: half-life, mean gates, and what it follows if strongly."""
        lives, best = self.gates.half_lives, self.following
        layers, units = lives.shape
        columns: dict[str, Any] = {
            "layer": np.repeat(np.arange(1, layers + 1), units),
            "unit": np.tile(np.arange(units), layers),
            "half_life_steps": _column(lives),
            "half_life": [self.panel.grid.frequency.spell(steps) for steps in lives.flatten().tolist()],
        }
        for name in ("input_gate", "forget_gate", "output_gate"):
            columns[name] = _column(getattr(self.gates.trace, name[0])[:, 0].mean(1))
        columns["follows"] = pa.array([unit and unit[0] for unit in best], pa.string())
        columns["correlation"] = pa.array([unit and unit[1] for unit in best], pa.float64())
        return pa.table(columns).sort_by([("half_life_steps", "descending")])

    def to_dict(self) -> dict[str, Any]:
        """All of it but the traces, as JSON."""
        grid, (shares, others), memory = self.panel.grid, self.attribution.shares, self.memory
        starts = self.starts
        read = {"apart": self.gates.apart, **self.gates.means()}
        unread = [None] * (len(starts) - len(self.gates.apart))  # by the LSTM; older than what it reads
        parts = {name: unread + part.tolist() for name, part in read.items()} | {"share": shares.tolist()}
        curve = {f"accuracy_{name}": [*map(known, part)] for name, part in memory.accuracy.items()}
        ratios = {"error_ratio": "value", "low": "low", "high": "high"}
        curve |= {name: [known(getattr(found, part)) for found in memory.ratios] for name, part in ratios.items()}
        return {
            "series": self.panel.names[self.series],
            "cutoff": grid.label(int(self.gates.steps[-1])),
            "sentences": list(self.sentences),
            "units": self.to_arrow().to_pylist(),
            "segments": _records({"from": map(grid.label, starts), **parts}),
            "covariates": others,
            "completeness_error": self.attribution.error,
            "rank_agreement": known(self.attribution.agreement),
            "memory": _records({"kept": memory.kept.tolist(), **curve}),
            "enough": None if memory.few else memory.enough,
            "shorter": None if memory.few else memory.shorter,
            "figures": CAPTIONS,
        }

    def figures(self) -> dict[str, "Figure"]:
        """A matplotlib figure for each of `CAPTIONS`."""
        from gatecast.insight import pictures  # noqa: PLC0415 - only where a figure is wanted

        frequency = self.panel.grid.frequency
        return {
            "memory": pictures.memory_figure(self.memory, frequency),
            "attribution": pictures.attribution_figure(self.panel, self.series, self.window, self.attribution),
            "gates": pictures.gates_figure(self.panel, self.series, self.gates),
            "half_lives": pictures.half_lives_figure(self.gates, self.following, frequency),
        }

    def write(self, folder: Path) -> None:
        """Write every figure into a folder, as PNG and as SVG, and what `to_dict` gives."""
        from gatecast import figures  # noqa: PLC0415 - as above

        for name, figure in self.figures().items():
            for ending in ("png", "svg"):
                figures.save(figure, folder / f"{name}.{ending}")
        write_json(folder / INSPECTION, self.to_dict())


def inspect(
    tested: Fitted, final: Fitted, panel: Panel, keys: pa.Table, series: str | None = None, at: str | None = None
) -> Insight:
    """Look into the forecast of one series from its last row, or from a date, and into many forecasts of the test.

    Args:
        tested: weights that have not seen the held-back end.
        final: weights trained on all rows there were.
        keys: the series both were trained on.
        series: name of one; by default the first.

    Raises:
        UsageError: there is no such series, or more than one, or it had not begun.
        DataError: the tested weights have seen all rows.
    """
    index = 0 if series is None else int(panel.find([str(series)])[0])
    cutoff = int(panel.lasts[index]) if at is None else min(panel.grid.floor(at), int(panel.lasts[index]))
    if cutoff < panel.starts[index]:
        raise UsageError(f"{panel.names[index]} begins {panel.grid.label(int(panel.starts[index]))}, after {at}")
    trained = find_keys(panel.keys, keys, len(panel))
    stage = final.for_series(trained)
    if cutoff < stage.seen[index]:
        stage = tested.for_series(trained)
    shape = stage.network.eval().shape
    windows = Windows.of(panel, stage.encoder, shape.context, shape.horizon, stage.device)
    unseen, owners, cutoffs = held_back(tested, panel, keys)
    chosen = evenly(len(cutoffs), MAX_WINDOWS)
    looked = owners[chosen], cutoffs[chosen]
    inputs = windows.inputs(*(torch.tensor([part], device=windows.device) for part in (index, cutoff)))
    window = windows.steps(cutoff)
    return Insight(
        panel,
        index,
        window,
        read_gates(stage, inputs, window[shape.context - shape.reach : shape.context]),
        strongest(follows(stage, windows, *looked, panel.grid)) or [None] * shape.layers * shape.hidden,
        attribute(stage, inputs),
        remember(unseen, windows, *looked),
        len(stage.network.networks),
    )


def _column(part: Tensor) -> np.ndarray[Any, Any]:
    return part.flatten().numpy().astype(np.float64)


def _records(columns: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
