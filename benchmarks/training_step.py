"""A training step: our loop against the bare `forward, loss, backward, step` of the same networks on ready tensors.

Ours gathers the windows, scales them, clips gradients and keeps loss and accuracy besides. A panel as
M3's monthly one (1,428 series of 50 to 130 values), default settings; both loops take the same optimiser.

Run: python benchmarks/training_step.py [--set hidden=16 members=1] [--rounds 40]
"""

import argparse
import copy
import json

import numpy as np
import torch
from measure import in_turn, rounded, seasonal_panel
from torch.optim import AdamW

from gatecast import recipe
from gatecast.config import Config
from gatecast.course import Course
from gatecast.data.encoding import Encoder
from gatecast.data.scaling import Scaler
from gatecast.data.split import split
from gatecast.data.windows import Windows
from gatecast.ensemble import unit_of
from gatecast.fitting import Workshop, build
from gatecast.heap import memory_kept
from gatecast.nn.losses import pinball
from gatecast.objective import Objective
from gatecast.training import run_epoch

parser = argparse.ArgumentParser()
parser.add_argument("--set", nargs="*", default=[], help="settings, as hidden=16")
parser.add_argument("--rounds", type=int, default=15)
arguments = parser.parse_args()
torch.set_num_threads(1)

horizon, steps = 18, 20
given = {"horizon": horizon} | dict(setting.split("=") for setting in arguments.set)
panel = seasonal_panel(np.random.default_rng(0).integers(50, 131, 1_428), "MS", 12)
config = Config.from_options(panel, given)
parts = split(panel, horizon, config.training.test)
config, season = recipe.resolve(config, panel, parts)
encoder = Encoder.fit(panel, config, parts.train)
sizes = recipe.sizes(config)
windows = Windows.of(panel, encoder, sizes.context, horizon, torch.device("cpu"))
shop = Workshop(config, panel, parts, encoder, windows, lambda epoch: None, season)
network, span, scaler = build(shop).train(), shop.training(), Scaler("window")
alone = copy.deepcopy(network)
optimizer = AdamW(alone.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
course = Course(network, config.training, 10_000, 1e9)
chance = torch.Generator().manual_seed(0)
batches = [torch.randint(len(span), (sizes.batch,), generator=chance) for _ in range(steps)]
ready = []
for numbers in batches:
    inputs, truth = windows.inputs(*span.at(numbers)), windows.truth(*span.at(numbers))
    for member in alone.networks:
        unit = unit_of(member.shape, inputs, scaler)
        ready.append((member, inputs.scaled(unit), unit.scaled(truth.values), truth.observed))
probabilities = torch.tensor(network.shape.probabilities)


def ours() -> None:
    """Some steps of training."""
    run_epoch(network, scaler, windows, span, iter(batches), Objective("mase"), course)


def bare() -> None:
    """The same by hand."""
    for at in range(0, len(ready), len(network.networks)):
        optimizer.zero_grad()
        for member, tensors, target, observed in ready[at : at + len(network.networks)]:
            pinball(member(*tensors), target, observed, probabilities).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


read = [torch.randn(sizes.batch, m.shape.recurrent, m.lstm.fast.input_size) for m in network.networks]


def lstm_alone() -> None:
    """The LSTMs of as many steps by themselves."""
    for _ in range(steps):
        for member, x in zip(network.networks, read, strict=True):
            member.lstm(x.requires_grad_())[1].h.sum().backward()


with memory_kept():  # as in `train`, for all three
    taken = in_turn(arguments.rounds, ours=ours, bare=bare, lstm=lstm_alone)
found = {name: whole / steps for name, whole in taken.items()}
told = {
    "what": "a training step of all members, milliseconds of processor time, one thread",
    "members": len(network.networks),
    "units": network.shape.hidden,
    "windows": sizes.batch,
    "recurrent_steps": [member.shape.recurrent for member in network.networks],
    "milliseconds": rounded(found),
    "ours_to_bare": round(found["ours"] / found["bare"], 3),
    "bar": 1.10,
}
print(json.dumps(told))
