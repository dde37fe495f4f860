"""`gatecast forecast` of one series and `gatecast --help` as whole processes, and what importing torch takes of them.

Run: python benchmarks/process.py [--rounds 5]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
from measure import in_turn, rounded

from gatecast import fit

parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int, default=5)
arguments = parser.parse_args()


def of_children() -> float:
    """Processor seconds of the processes that ended."""
    times = os.times()
    return times.children_user + times.children_system


with tempfile.TemporaryDirectory() as folder:
    rows, run = Path(folder) / "rows.duckdb", Path(folder) / "run"
    with duckdb.connect(str(rows)) as connection:
        connection.execute(
            "CREATE TABLE rows AS SELECT TIMESTAMP '2020-01-01' + INTERVAL 1 HOUR * i AS at, "
            "10 + sin(i * pi() / 12) + random() AS value FROM range(1000) t(i)"
        )
    fit(rows, run=run, time="at", target="value", freq="h", horizon=48, epochs=1, steps=2, baselines=0)

    def process(*command: str) -> Callable[[], object]:
        """A way to run Python with some arguments."""
        return lambda: subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)

    ways = {
        "forecast": process("-m", "gatecast", "forecast", str(run), "--format", "json"),
        "help": process("-m", "gatecast", "--help"),
        "import_torch": process("-c", "import torch"),
        "python": process("-c", "pass"),
    }
    found = {
        "processor": in_turn(arguments.rounds, of_children, **ways),
        "wall": in_turn(arguments.rounds, time.perf_counter, **ways),
    }
told = {
    "what": "whole processes on a warm disk, milliseconds",
    **{clock: rounded(times) for clock, times in found.items()},
    "bar_forecast": 2_000,
    "bar_help": 300,
}
print(json.dumps(told))
