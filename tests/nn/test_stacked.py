"""Several networks as one give what each gives alone, in value."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from gatecast.nn.stacked import can_stack, joined, stacked
from networks import SHAPE as ONE
from networks import with_random_weights

SHAPE = replace(ONE, context=20, reach=16, segment=4)
MIXED = [SHAPE, replace(SHAPE, plain=True), replace(SHAPE, reach=8), replace(SHAPE, reach=12, plain=True)]
FINER = [replace(shape, segment=segment, block=4) for shape, segment in zip(MIXED, (4, 2, 2, 4), strict=True)]
random = partial(with_random_weights, spread=0.5)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"layers": 2},
        {"skip": False},
        {"gated": False},
        {"intermittent": True},
        {"adjusted": True},
        {"dates": 0},
        {"segment": 1, "embedded": False},
        {"segment": 1, "embedded": True},
        {"probabilities": ()},
        {"horizon": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("batch", [1, 3])
def test_stacked_networks_give_what_each_gives_alone(change, batch):
    alone, together = alone_and_stacked([replace(shape, **change) for shape in MIXED], batch)
    assert len({float(part.sum()) for part in alone}) == len(MIXED)
    assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("change", [{}, {"adjusted": True}, {"skip": False, "layers": 2}], ids=str)
def test_stacked_networks_may_read_segments_of_other_lengths(change):
    alone, together = alone_and_stacked([replace(shape, **change) for shape in FINER], batch=3)
    assert_close(together, alone, rtol=1e-4, atol=1e-5)


def alone_and_stacked(shapes, batch):
    networks = [random(shape, seed) for seed, shape in enumerate(shapes)]
    shape, chance = networks[0].shape, torch.Generator().manual_seed(1)
    x = torch.randn(len(networks), batch, shape.context, generator=chance)
    observed = torch.rand(batch, shape.context, generator=chance) > 0.2
    calendar = torch.randn(batch, shape.context + shape.horizon, shape.dates, generator=chance)
    with torch.inference_mode():
        alone = [network(part, observed, calendar) for network, part in zip(networks, x, strict=True)]
        simple = joined([one.simple(part, observed) for one, part in zip(networks, x, strict=True)])
        together = stacked(networks)(x, observed.expand_as(x), calendar.expand(len(x), -1, -1, -1), None, simple)
    return torch.stack(alone), together


def test_networks_without_simple_forecasts_are_stacked_too():
    networks = [random(replace(SHAPE, seasons=()), seed) for seed in range(2)]
    x, calendar = torch.randn(2, 1, 20), torch.randn(1, 27, 2)
    observed = torch.ones(1, 20, dtype=torch.bool)
    alone = torch.stack([network(part, observed, calendar) for network, part in zip(networks, x, strict=True)])
    found = stacked(networks)(x, observed.expand_as(x), calendar.expand(2, -1, -1, -1))
    assert_close(found, alone, rtol=1e-4, atol=1e-5)


def test_a_network_that_reads_fewer_steps_does_not_see_the_older_ones():
    one = stacked([random(replace(SHAPE, reach=reach), reach) for reach in (16, 8)])
    x = torch.randn(2, 1, 20, requires_grad=True)
    observed, calendar = torch.ones(2, 1, 20, dtype=torch.bool), torch.zeros(2, 1, 27, 2)
    simple = torch.zeros(2, 1, 7, 9), torch.zeros(2, 1, 7), torch.zeros(2, 1, 0)
    one(x, observed, calendar, None, simple).sum().backward()
    reads = x.grad[:, 0] != 0
    assert reads[0].tolist() == [False] * 4 + [True] * 16
    assert reads[1].tolist() == [False] * 12 + [True] * 8


def test_networks_that_read_more_than_values_and_dates_or_many_steps_are_not_stacked():
    assert can_stack(SHAPE)
    assert can_stack(replace(SHAPE, segment=1))
    assert not can_stack(replace(SHAPE, segment=1, reach=17, context=20))
    assert not any(can_stack(replace(SHAPE, **{name: 1})) for name in ("known", "past", "embeddings"))
