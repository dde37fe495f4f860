"""What is wrong with the rows, and what is done about it: said before anything is trained."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gatecast.data.panel import Panel
from gatecast.errors import SHOWN


@dataclass(frozen=True)
class Finding:
    """One kind of fault: how many, the first places, and what `fit` does about it."""

    name: str
    count: int
    places: tuple[str, ...]
    done: str


@dataclass(frozen=True)
class Audit:
    """The facts of a panel and the faults found in its rows.

    Attributes:
        agreement: share of gaps between timestamps that fit the frequency; None if it was given.
    """

    rows: int
    series: int
    steps: int
    first: str
    last: str
    frequency: str
    timezone: str | None
    agreement: float | None
    shortest: int
    longest: int
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def audit(panel: Panel, agreement: float | None = None, horizon: int = 0) -> Audit:
    """Look a panel over.

    Args:
        agreement: what `spacing.infer` said of the frequency.
        horizon: if known, series too short to be tested at it are found too.
    """
    grid, lengths = panel.grid, panel.lengths
    return Audit(
        rows=panel.reading.rows,
        series=len(panel),
        steps=len(panel.values),
        first=grid.label(int(panel.starts.min())),
        last=grid.label(int(panel.lasts.max())),
        frequency=str(grid.frequency),
        timezone=grid.timezone,
        agreement=agreement,
        shortest=int(lengths.min()),
        longest=int(lengths.max()),
        findings=tuple(finding for finding in _findings(panel, horizon) if finding.count),
    )


def _findings(panel: Panel, horizon: int) -> Iterable[Finding]:
    reading, names = panel.reading, panel.names
    yield Finding("rows without a time", reading.without_time, (), "left out")
    yield Finding("rows on a step that another row has", reading.surplus, (), "aggregated with it")
    yield Finding("steps without a value", reading.without_value, (), "treated as missing")
    yield Finding("series without any value", len(reading.all_missing), reading.all_missing[:SHOWN], "left out")
    missing = np.flatnonzero(np.isnan(panel.values))
    owners = np.searchsorted(panel.offsets, missing, side="right") - 1
    starts = np.diff(missing, prepend=-2) != 1
    places = tuple(
        f"{names[i]} from {panel.grid.label(int(position - panel.offsets[i] + panel.starts[i]))}"
        for i, position in zip(owners[starts][:SHOWN].tolist(), missing[starts][:SHOWN].tolist(), strict=True)
    )
    gaps = f"{int(starts.sum()):,} gap{'s' if starts.sum() > 1 else ''}"
    yield Finding("missing steps", len(missing), places, f"masked, never filled in ({gaps})")
    with np.errstate(invalid="ignore"):
        low, high = (reduce.reduceat(panel.values, panel.offsets[:-1]) for reduce in (np.fmin, np.fmax))
    constant = np.flatnonzero((low == high) & (panel.lengths > 1))
    yield Finding("constant series", len(constant), _named(names, constant), "kept")
    negative = np.flatnonzero(low < 0)
    yield Finding("series with negative values", len(negative), _named(names, negative), "kept")
    if horizon:
        short = np.flatnonzero(panel.lengths <= 3 * horizon)
        done = f"forecast, but not tested: {3 * horizon + 1:,} steps are needed for a test"
        yield Finding("series too short to test", len(short), _named(names, short), done)
    stale = np.flatnonzero(panel.lasts < panel.lasts.max() - max(horizon, 1))
    places = tuple(f"{names[i]} ends {panel.grid.label(int(panel.lasts[i]))}" for i in stale[:SHOWN].tolist())
    yield Finding("series that end before the others", len(stale), places, "forecast from their own last row")


def _named(names: list[str], indices: np.ndarray[Any, Any]) -> tuple[str, ...]:
    return tuple(names[i] for i in indices[:SHOWN].tolist())
