"""How good Gatecast is after how few seconds: one epoch of a few batches, tested.

By default it is trained again on all rows; with one set of weights, and one network, as peers train.

Run: python benchmarks/peers/gatecast_quick.py --data DIR
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from gatecast_lstm import panel
from m4 import HORIZON, hourly, mase

from gatecast import fit

WAYS: dict[str, dict[str, Any]] = {
    "four networks, two sets of weights": {},
    "four networks, one set of weights": {"refit": False},
    "one network, one set of weights": {"refit": False, "members": 1},
}
parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path, required=True, help="folder with m4/Hourly-train.csv.gz")
parser.add_argument("--batches", type=int, nargs="*", default=[1, 5, 20, 60])
arguments = parser.parse_args()
torch.set_num_threads(1)
history, truth = hourly(arguments.data)
told: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
for way, options in WAYS.items():
    for steps in arguments.batches:
        began = time.process_time()
        model = fit(panel(history), horizon=HORIZON, baselines=0, epochs=1, steps=steps, **options)
        table = model.forecast(level=80).to_arrow()
        found = mase(history, truth, table["forecast_value"].to_numpy().reshape(-1, HORIZON))
        seconds = time.process_time() - began
        told[way].append({"batches": steps, "processor_seconds": round(seconds, 1), "mase": round(found, 4)})
print(json.dumps({"what": "Gatecast on M4 hourly, one thread", **told}))
