"""A training step while another process keeps every core busy, relative to idle: our wait policy and torch's own.

Each figure is of a process of its own (the policy is read when OpenMP loads), taken in turn. "Idle" is what the
machine gives when the script itself starts nothing else. The fair share of one of two busy processes is 2.

Run: python benchmarks/busy.py [--rounds 3] [--steps 30]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import torch

parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--steps", type=int, default=30)
parser.add_argument("--alone", action="store_true")
arguments = parser.parse_args()
CORES = os.cpu_count() or 1
SPIN = "import time\nuntil = time.time() + 120\nwhile time.time() < until: pass"


def alone() -> None:
    """Median milliseconds of a step of 64 windows of 24 recurrent steps, 64 units, with as many threads as cores."""
    torch.set_num_threads(CORES)
    lstm = torch.nn.LSTM(64, 64, batch_first=True)
    optimizer, x, taken = torch.optim.AdamW(lstm.parameters(), fused=True), torch.randn(64, 24, 64), []
    for _ in range(arguments.steps):
        began = time.perf_counter()
        optimizer.zero_grad()
        lstm(x)[0][:, -1].square().mean().backward()
        optimizer.step()
        taken.append(1e3 * (time.perf_counter() - began))
    print(statistics.median(taken[3:]))


def step(policy: str, busy: bool) -> float:
    """The same under a policy: `ours` is what importing gatecast first sets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    others = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(CORES if busy else 0)]
    start = "import gatecast; " if policy == "ours" else ""
    code = f"{start}import runpy, sys; sys.argv = {[__file__, '--alone', '--steps', str(arguments.steps)]}; "
    try:
        told = subprocess.check_output([sys.executable, "-c", code + f"runpy.run_path({__file__!r})"], env=kept)
    finally:
        for other in others:
            other.kill()
    return float(told)


def main() -> None:
    """Print one JSON object."""
    found: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        for policy in ("ours", "torch"):
            for busy in (False, True):
                found.setdefault(f"{policy} {'busy' if busy else 'idle'}", []).append(step(policy, busy))
    times = {name: round(statistics.median(each), 2) for name, each in found.items()}
    ratios = {policy: round(times[f"{policy} busy"] / times[f"{policy} idle"], 2) for policy in ("ours", "torch")}
    told = {"what": f"a training step, {CORES} threads", "milliseconds": times, "busy_to_idle": ratios, "bar": 3}
    print(json.dumps(told | {"load_of_the_machine": round(os.getloadavg()[0], 1)}))


alone() if arguments.alone else main()
