"""50 cutoffs of 500 hourly series: one batched backtest against one forecast a window.

Only the forecasts are timed; the panel is read and laid out once for all of them.

Run: python benchmarks/backtest_batching.py
"""

import time

import numpy as np
import pyarrow as pa
import torch

from gatecast import fit
from gatecast.data.dates import Grid
from gatecast.data.frequency import Frequency
from gatecast.data.panel import Panel
from gatecast.data.windows import Windows
from gatecast.forecasting import predict

SERIES, HOURS, CUTOFFS, HORIZON, ALONE = 500, 2_000, 50, 24, 250

steps = np.arange(HOURS)
noise = np.random.default_rng(0).normal(0, 1, (SERIES, HOURS))
values = (50 + 10 * np.sin(2 * np.pi * steps / 24) + noise).astype(np.float32)
keys = pa.table({"name": [f"s{i}" for i in range(SERIES)]})
panel = Panel(
    Grid(Frequency.parse("h")), keys, values.ravel(), np.arange(SERIES + 1) * HOURS, np.zeros(SERIES, np.int64)
)
model = fit(panel, horizon=HORIZON, epochs=1, steps=5, refit=False, baselines=0)
series = np.repeat(np.arange(SERIES), CUTOFFS)
cutoffs = (panel.lasts[:, None] - HORIZON - np.arange(CUTOFFS) * 5).ravel()
shape = model.tested.network.shape
windows = Windows.of(panel, model.tested.encoder, shape.context, HORIZON, torch.device("cpu"))


def seconds(parts: list[np.ndarray]) -> float:
    """Time of the backtest of some windows, in parts."""
    began = time.perf_counter()
    for part in parts:
        predict(model.tested, windows, series[part], cutoffs[part], HORIZON)
    return time.perf_counter() - began


everything = np.arange(len(series))
seconds([everything[:1024]])  # warm
batched = seconds([everything])
sample = np.random.default_rng(1).choice(everything, ALONE, replace=False)
alone = seconds([sample[i : i + 1] for i in range(ALONE)]) * len(series) / ALONE
by_cutoff = seconds([everything[i::CUTOFFS] for i in range(CUTOFFS)])
print(f"{len(series):,} windows, {torch.get_num_threads()} threads: batched {batched:.2f} s")
print(f"a pass for each cutoff: {by_cutoff:.2f} s, {by_cutoff / batched:.1f} times as long")
print(f"a pass for each window: {alone:.0f} s (from {ALONE} of them), {alone / batched:.0f} times as long")
