"""M4 hourly with its last 48 hours held back, and what every peer is asked: windows a processor second, and MASE.

The scripts beside this one run in the virtual environment of their own peer, with one thread.
"""

import argparse
import csv
import gzip
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

CONTEXT, HORIZON, SEASON, BATCH = 168, 48, 24, 64
SIZES = {"2 x 128": (2, 128), "1 x 16": (1, 16)}
FEW, MORE = 5, {"2 x 128": 25, "1 x 16": 605}  # what else a fit takes varies by more than a hundred small steps


def hourly(folder: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Histories and the 48 hours after each."""
    with gzip.open(folder / "m4" / "Hourly-train.csv.gz", "rt") as file:
        rows = list(csv.reader(file))[1:]
    whole = [np.array([float(value) for value in row[1:] if value], np.float32) for row in rows]
    return [y[:-HORIZON] for y in whole], [y[-HORIZON:] for y in whole]


def mase(history: list[np.ndarray], truth: list[np.ndarray], forecast: np.ndarray) -> float:
    """Mean over series of the absolute error over the seasonal naive one of the history."""
    scales = [np.abs(y[SEASON:] - y[:-SEASON]).mean() for y in history]
    errors = [np.abs(y - said).mean() for y, said in zip(truth, forecast, strict=True)]
    return float(np.mean([error / scale for error, scale in zip(errors, scales, strict=True) if scale > 0]))


Train = Callable[[list[np.ndarray], int, int, int], object]
"""Trains layers × units for some steps of 64 windows of 168 + 48 hours."""


def speed(train: Train, history: list[np.ndarray], size: str) -> dict[str, float]:
    """What a step takes, from the difference between a few steps and more of them."""
    found = []
    for _ in range(3):
        spent = []
        for steps in (FEW, MORE[size]):
            began = time.process_time()
            train(history, *SIZES[size], steps)
            spent.append(time.process_time() - began)
        found.append((spent[1] - spent[0]) / (MORE[size] - FEW))
    step = float(np.median(found))
    return {"milliseconds_a_step": round(1e3 * step, 1), "windows_a_cpu_second": round(BATCH / step)}


def run(
    peer: str,
    train: Train,
    default: Callable[[list[np.ndarray]], np.ndarray],
    others: Mapping[str, tuple[str, Train]] | None = None,
) -> None:
    """Print one JSON object.

    Args:
        default: fits the peer's defaults on the histories and gives 48 hours for each.
        others: sizes to be trained in another way, by what that is called.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="folder with m4/Hourly-train.csv.gz")
    parser.add_argument("--what", nargs="*", default=["speed", "mase"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    history, truth = hourly(arguments.data)
    told: dict[str, object] = {"peer": peer, "torch": torch.__version__}
    if "speed" in arguments.what:
        told |= {size: speed(train, history, size) for size in SIZES}
        told |= {f"{size}, {name}": speed(other, history, size) for name, (size, other) in (others or {}).items()}
    if "mase" in arguments.what:
        began = time.process_time(), time.perf_counter()
        forecast = default(history)
        told["default"] = {
            "processor_seconds": round(time.process_time() - began[0], 1),
            "seconds": round(time.perf_counter() - began[1], 1),
            "mase": round(mase(history, truth, forecast), 4),
        }
    print(json.dumps(told))
