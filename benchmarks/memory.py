"""Training on 100 million observations: memory above that of importing torch, and time until the first step.

A panel of 10,000 hourly series of 10,000 values made in memory, as a query leaves it (whose audit runs in the
warehouse); the measured process is one of its own.

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
    """Train for a hundred steps; prints the figures."""
    torch.nn.LSTM(8, 8)(torch.zeros(1, 2, 8))
    baseline = peak_memory()
    # Imported here, for what they take counts as ours.
    from gatecast import Config, Panel, recipe
    from gatecast.data.dates import Grid
    from gatecast.data.encoding import Encoder
    from gatecast.data.frequency import Frequency
    from gatecast.data.split import split
    from gatecast.data.windows import Windows
    from gatecast.fitting import Workshop, build, learn

    series, length = arguments.series, arguments.length
    values = np.random.default_rng(0).random(series * length, np.float32)
    for row in values.reshape(series, length):
        np.add(row, 2 + np.sin(np.arange(length, dtype=np.float32) * np.float32(2 * np.pi / 24)), out=row)
    keys = pa.table({"series": [f"s{number:05d}" for number in range(series)]})
    offsets, starts = np.arange(series + 1) * length, np.zeros(series, np.int64)
    panel = Panel(Grid(Frequency.parse("h")), keys, values, offsets, starts)
    made, began = peak_memory(), time.perf_counter()
    config = Config.from_options(panel, {"horizon": 24, "members": 1, "epochs": 1, "steps": 100, "refit": False})
    parts = split(panel, 24, config.training.test)
    config, season = recipe.resolve(config, panel, parts)
    encoder = Encoder.fit(panel, config, parts.train)
    assert config.model.context
    windows = Windows.of(panel, encoder, config.model.context, 24, torch.device("cpu"))
    shop = Workshop(config, panel, parts, encoder, windows, lambda epoch: None, season)
    prepared = time.perf_counter() - began
    learn(shop, build(shop))
    observations = series * length
    told = {
        "what": f"training 100 steps on {observations:,} observations",
        "bytes_an_observation_of_the_panel": round((made - baseline) / observations, 2),
        "bytes_an_observation_of_training": round((peak_memory() - baseline) / observations, 2),
        "bar_bytes_an_observation": 6,
        "seconds_until_training": round(prepared, 1),
        "bar_seconds": 60,
        "seconds_of_training": round(time.perf_counter() - began - prepared, 1),
    }
    print(json.dumps(told))


if arguments.alone:
    alone()
else:
    size = ["--series", str(arguments.series), "--length", str(arguments.length)]
    print(subprocess.check_output([sys.executable, __file__, "--alone", *size], text=True), end="")
