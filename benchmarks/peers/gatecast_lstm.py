"""Gatecast by the same measure; one value a recurrent step where sizes are to be equal, segments by default.

Run: python benchmarks/peers/gatecast_lstm.py --data DIR
"""

from functools import partial

import numpy as np
import pyarrow as pa
from m4 import BATCH, CONTEXT, HORIZON, run

from gatecast import Panel, fit
from gatecast.data.dates import Frequency, Grid


def panel(history: list[np.ndarray]) -> Panel:
    """Hourly series."""
    keys = pa.table({"series": [f"{i:04d}" for i in range(len(history))]})
    offsets = np.append(0, np.cumsum([len(y) for y in history]))
    starts = np.zeros(len(history), np.int64)
    return Panel(Grid(Frequency.parse("h")), keys, np.concatenate(history), offsets, starts)


def train(history: list[np.ndarray], layers: int, units: int, steps: int, **how: str) -> None:
    """Steps of equal size, with all that the recipe does beside the LSTM."""
    size = {"context": CONTEXT, "segment": 1, "layers": layers, "hidden": units, "members": 1, "dropout": 0.0}
    once = {"epochs": 1, "steps": steps, "refit": False, "baselines": 0}
    fit(panel(history), horizon=HORIZON, **size, **once, batch=BATCH, **how)


def default(history: list[np.ndarray]) -> np.ndarray:
    """As it comes."""
    table = fit(panel(history), horizon=HORIZON, baselines=0).forecast(level=80).to_arrow()
    return table["forecast_value"].to_numpy().reshape(-1, HORIZON)


if __name__ == "__main__":
    others = {
        "bf16": ("2 x 128", partial(train, precision="bf16")),
        "one point": ("1 x 16", partial(train, recipe="classic")),
    }
    run("Gatecast", train, default, others)
