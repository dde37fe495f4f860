"""How good Gatecast is after how few seconds: one epoch of a few batches, tested and trained again on all rows.

Run: python benchmarks/peers/gatecast_quick.py --data DIR
"""

import argparse
import json
import time
from pathlib import Path

import torch
from gatecast_lstm import panel
from m4 import HORIZON, hourly, mase

from gatecast import fit

parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path, required=True, help="folder with m4/Hourly-train.csv.gz")
parser.add_argument("--batches", type=int, nargs="*", default=[1, 5, 20, 60])
arguments = parser.parse_args()
torch.set_num_threads(1)
history, truth = hourly(arguments.data)
told = []
for steps in arguments.batches:
    began = time.process_time()
    table = fit(panel(history), horizon=HORIZON, baselines=0, epochs=1, steps=steps).forecast(level=80).to_arrow()
    found = mase(history, truth, table["forecast_value"].to_numpy().reshape(-1, HORIZON))
    told.append({"batches": steps, "processor_seconds": round(time.process_time() - began, 1), "mase": round(found, 4)})
print(json.dumps({"what": "Gatecast on M4 hourly, one thread", "found": told}))
