"""Two or more ways compared within one process: in turn, many times, by medians. Ratios hold on a busy machine too."""

import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from gatecast.data.dates import Grid
from gatecast.data.frequency import Frequency
from gatecast.data.panel import Panel


def in_turn(
    rounds: int, clock: Callable[[], float] = time.process_time, **ways: Callable[[], object]
) -> dict[str, float]:
    """Median milliseconds of each way by a clock (processor time by default), after one warm call of each."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(rounds + 1):
        for name, way in ways.items():
            began = clock()
            way()
            if round_:
                taken[name].append(1e3 * (clock() - began))
    return {name: statistics.median(found) for name, found in taken.items()}


def rounded(found: dict[str, float]) -> dict[str, float]:
    """To four digits, as they are printed."""
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def seasonal_panel(lengths: np.ndarray, frequency: str, season: int) -> Panel:
    """Positive series of these lengths: a level each, a season, noise."""
    chance, offsets = np.random.default_rng(0), np.append(0, np.cumsum(lengths))
    at = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    level = np.repeat(np.exp(chance.normal(7, 1, len(lengths))), lengths)
    shape = 1 + 0.3 * np.sin(2 * np.pi * at / season) + 0.1 * chance.standard_normal(len(at), np.float32)
    keys = pa.table({"series": [f"s{number:06d}" for number in range(len(lengths))]})
    values = (level * np.abs(shape)).astype(np.float32) + 1
    return Panel(Grid(Frequency.parse(frequency)), keys, values, offsets, np.zeros(len(lengths), np.int64))


def peak_memory() -> int:
    """Bytes of the largest resident size of this process so far (Linux; `getrusage` tells of the parent's too)."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024  # type: ignore[index]
