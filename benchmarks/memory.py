"""Training on 100 million observations: memory above that of importing torch, and time until the first step.

A panel of 10,000 hourly series of 10,000 values made in memory; the measured process is one of its own.

Run: python benchmarks/memory.py [--series 10000] [--length 10000]
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import torch
from measure import peak_memory

parser = argparse.ArgumentParser()
parser.add_argument("--series", type=int, default=10_000)
parser.add_argument("--length", type=int, default=10_000)
parser.add_argument("--alone", action="store_true")
arguments = parser.parse_args()


def alone() -> None:
    """Train for two steps; prints the figures."""
    torch.nn.LSTM(8, 8)(torch.zeros(1, 2, 8))
    baseline = peak_memory()
    from gatecast import Panel, fit  # noqa: PLC0415 - its imports count as ours
    from gatecast.data.dates import Frequency, Grid  # noqa: PLC0415
    from gatecast.steps import Silent  # noqa: PLC0415

    series, length = arguments.series, arguments.length
    chance = np.random.default_rng(0)
    values = chance.random(series * length, np.float32)
    for row in values.reshape(series, length):
        row += 2 + np.sin(np.arange(length, dtype=np.float32) * np.float32(2 * np.pi / 24))
    panel = Panel(
        Grid(Frequency.parse("h")),
        pa.table({"series": [f"s{number:05d}" for number in range(series)]}),
        values,
        np.arange(series + 1) * length,
        np.zeros(series, np.int64),
    )
    made = peak_memory()
    began, said = time.perf_counter(), dict[str, float]()

    class Stopwatch(Silent):
        """When each step was told, and the peak by then."""

        def step(self, number: int, title: str, found: str) -> None:
            said[f"{number} {title}"] = round(time.perf_counter() - began, 1)
            peaks[f"{number} {title}"] = peak_memory() - baseline

    peaks = dict[str, int]()
    fit(panel, horizon=24, members=1, epochs=1, steps=2, refit=False, baselines=0, listener=Stopwatch())
    observations = series * length
    training = [name for name in said if name.startswith("8")][0]
    told = {
        "what": f"training on {observations:,} observations",
        "bytes_an_observation": {
            "the panel": round((made - baseline) / observations, 2),
            "training": round(next(v for k, v in peaks.items() if k.startswith("9")) / observations, 2),
            "and the test": round((peak_memory() - baseline) / observations, 2),
        },
        "bar_bytes_an_observation": 6,
        "seconds_until_training": said[training],
        "bar_seconds": 60,
        "seconds": said | {"end": round(time.perf_counter() - began, 1)},
        "peaks": {name: round(value / observations, 2) for name, value in peaks.items()},
    }
    print(json.dumps(told))


if arguments.alone:
    alone()
else:
    size = ["--series", str(arguments.series), "--length", str(arguments.length)]
    print(subprocess.check_output([sys.executable, __file__, "--alone", *size], text=True), end="")
