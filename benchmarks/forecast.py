"""Forecasting in process: one series, horizon 48, warm, of ten years and among many too; and 100,000 series × 24 steps.

Hourly series; weights of a few training steps, which take as long to read as good ones. Beside it the bare network
on ready tensors, in batches as large as ours: on one thread, and on all cores, which torch shares out for the bare one.

Run: python benchmarks/forecast.py [--series 100000] [--rounds 5]
"""

import argparse
import json
import os
import time

# It says how threads wait, before torch is loaded.
from gatecast import Model, fit

# isort: split
import numpy as np
import torch
from measure import in_turn, rounded, seasonal_panel

from gatecast.forecasting import BATCH

parser = argparse.ArgumentParser()
parser.add_argument("--series", type=int, default=100_000)
parser.add_argument("--rounds", type=int, default=5)
arguments = parser.parse_args()
torch.set_num_threads(1)


def trained(series: int, horizon: int, members: int | None = None) -> Model:
    """A model of 500 hours of each of some series, trained for a moment."""
    panel = seasonal_panel(np.full(series, 500), "h", 24)
    return fit(panel, horizon=horizon, members=members, epochs=1, steps=2, refit=False, baselines=0, time_limit=3600)


def bare(model: Model, contexts: np.ndarray) -> None:
    """The network alone on scaled tensors."""
    network = model.final.network.networks[0]
    scaled, observed, calendar = (
        torch.zeros(BATCH, network.shape.context),
        torch.ones(BATCH, network.shape.context, dtype=torch.bool),
        torch.zeros(BATCH, network.shape.context + network.shape.horizon, network.shape.dates),
    )
    with torch.inference_mode():
        for at in range(0, len(contexts), BATCH):
            size = min(BATCH, len(contexts) - at)
            network(scaled[:size], observed[:size], calendar[:size])


one, default, many = trained(1, 48, 1), trained(1, 48), trained(200, 24, 1)
ten_years = seasonal_panel(np.full(1, 10 * 365 * 24), "h", 24)
large = seasonal_panel(np.full(arguments.series, many.final.network.shape.context + 24), "h", 24)
ways = {
    "one_member": one.forecast,
    "default": default.forecast,
    "one_member_ten_years": lambda: one.forecast(ten_years),
    "one_member_one_of_many_series_24_steps": lambda: many.forecast(large, series=["s000001"]),
}
latency = {"wall": in_turn(200, time.perf_counter, **ways), "processor": in_turn(200, time.process_time, **ways)}
contexts = np.zeros(arguments.series)
both = {"ours": lambda: many.forecast(large), "bare": lambda: bare(many, contexts)}
found = in_turn(arguments.rounds, time.process_time, **both)
cores = len(os.sched_getaffinity(0))
torch.set_num_threads(cores)
all_cores = in_turn(200, time.perf_counter, one_member=one.forecast, default=default.forecast)
shared = in_turn(arguments.rounds, time.perf_counter, **both)
shape = many.final.network.shape
told = {
    "what": "forecasting in process; one thread unless stated",
    "one_series_48_steps_milliseconds": {clock: rounded(found) for clock, found in latency.items()},
    "one_series_48_steps_milliseconds_on_all_cores": rounded(all_cores),
    "members_of_default": len(default.final.network.networks),
    "bar_milliseconds": 2.0,
    "series": arguments.series,
    "context": shape.context,
    "units": shape.hidden,
    "many_series_milliseconds": rounded(found),
    "series_a_second": round(1e3 * arguments.series / found["ours"]),
    "bar_series_a_second": 10_000,
    "ours_to_bare": round(found["ours"] / found["bare"], 3),
    "cores": cores,
    "many_series_milliseconds_on_all_cores": rounded(shared),
    "series_a_second_on_all_cores": round(1e3 * arguments.series / shared["ours"]),
    "ours_to_bare_on_all_cores": round(shared["ours"] / shared["bare"], 3),
    "bar_ratio": 1.3,
}
print(json.dumps(told))
