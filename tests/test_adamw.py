"""AdamW over several modules: as torch's own, gradients cut for each module, moments that can be taken over."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from gatecast.adamw import BETAS, CLIP, EPSILON, WEIGHT_DECAY, AdamW

RATES = (1e-2, 3e-3, 1e-3)


@pytest.fixture
def modules():
    torch.manual_seed(0)
    return [nn.LSTM(3, 4), nn.Linear(4, 2)]


def losses(modules, size=1.0):
    """Of each module, on a batch of its own."""
    chance = torch.Generator().manual_seed(1)
    lstm, linear = modules
    x, y = torch.randn(5, 6, 3, generator=chance), torch.randn(7, 4, generator=chance)
    return [size * lstm(x)[0].square().sum(), size * (linear(y) - 1).square().sum()]


def descend(modules, optimizer, rates=RATES):
    for rate in rates:
        for loss in losses(modules):
            loss.backward()
        assert optimizer.clip().isfinite()
        optimizer.step(rate)
        optimizer.clear()


def values(modules):
    return torch.cat([weight.detach().flatten() for module in modules for weight in module.parameters()])


def test_weights_move_as_torchs_own_adamw_moves_them(modules):
    theirs = copy.deepcopy(modules)
    descend(modules, AdamW(modules))
    weights = [weight for module in theirs for weight in module.parameters()]
    peer = torch.optim.AdamW(weights, betas=BETAS, eps=EPSILON, weight_decay=WEIGHT_DECAY, foreach=False)
    for rate in RATES:
        peer.zero_grad()
        for module, loss in zip(theirs, losses(theirs), strict=True):
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), CLIP)
        peer.param_groups[0]["lr"] = rate
        peer.step()
    torch.testing.assert_close(values(modules), values(theirs))


def test_each_module_is_clipped_by_its_own_length(modules):
    optimizer = AdamW(modules)
    first, second = losses(modules)
    (1e3 * first).backward()
    (1e-4 * second).backward()
    long, short = (part.clone() for part in optimizer.members)
    assert optimizer.clip().isfinite()
    torch.testing.assert_close(optimizer.members[0], long / long.norm())
    assert torch.equal(optimizer.members[1], short)
    assert short.norm() < CLIP < long.norm()


def test_without_a_gradient_weights_shrink_by_a_hundredth_of_the_rate(modules):
    before = values(modules)
    AdamW(modules).step(0.5)
    torch.testing.assert_close(values(modules), before * (1 - 0.5 * 0.01))


@pytest.mark.parametrize("which", [0, 1])
def test_a_gradient_that_is_no_number_is_told(modules, which):
    optimizer = AdamW(modules)
    for loss in losses(modules):
        loss.backward()
    optimizer.members[which][3] = torch.nan
    assert not optimizer.clip().isfinite()


def test_moments_taken_over_go_on_as_if_nothing_had_stopped(modules):
    whole, stopped = copy.deepcopy(modules), modules
    descend(whole, AdamW(whole))
    first = AdamW(stopped)
    descend(stopped, first, RATES[:2])
    kept = {name: part.clone() for name, part in first.moments().items()}
    second = AdamW(stopped)
    second.load(kept)
    descend(stopped, second, RATES[2:])
    assert torch.equal(values(stopped), values(whole))


def test_a_step_does_not_load_the_compiler():
    """Which takes a second of every fit."""
    program = """
import sys, torch
from gatecast.adamw import AdamW
module = torch.nn.Linear(2, 1)
optimizer = AdamW([module])
module(torch.ones(1, 2)).sum().backward()
optimizer.step(1e-3)
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_weights_that_never_had_a_gradient_are_set_to_zero_and_no_others():
    torch.manual_seed(0)
    linear = nn.Linear(3, 2)
    optimizer = AdamW([linear])
    for rate in RATES:
        linear(torch.tensor([[1.0, 0.0, -2.0]])).square().sum().backward()
        optimizer.step(rate)
        optimizer.clear()
    before = linear.weight.detach().clone()
    optimizer.clear_unmoved()
    assert before[:, 1].abs().min() > 0
    assert linear.weight[:, 1].tolist() == [0, 0]
    assert linear.weight[:, [0, 2]].tolist() == before[:, [0, 2]].tolist()
    assert linear.bias.abs().min() > 0
