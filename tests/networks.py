"""The network that tests of networks begin with, weights drawn at random, and something for it to read."""

from types import SimpleNamespace

import torch
from torch import nn

from gatecast.nn.network import Network, Shape

SHAPE = Shape(
    context=12,
    reach=12,
    horizon=7,
    segment=3,
    dates=2,
    probabilities=(0.1, 0.25, 0.5, 0.9),
    seasons=(4, 6),
    hidden=8,
    layers=1,
    dropout=0.2,
    skip=True,
)


def shape_of(segment, context, probabilities):
    """What is asked of the shape of a network that stands in for one, as a plain function of what it reads."""
    return SimpleNamespace(
        segment=segment,
        block=segment,
        probabilities=probabilities,
        context=context,
        reach=context,
        logs=False,
        seasons=(),
        geometric=True,
        winsorized=False,
    )


def with_random_weights(shape, seed=0, spread=1.0):
    """A network that forecasts, no layer of which is all zeros as before training."""
    torch.manual_seed(seed)
    return drawn(Network(shape), spread).eval()


def drawn(module, spread):
    for weights in module.parameters():
        nn.init.normal_(weights, std=spread)
    return module


def read(shape, batch=3, seed=0, observed=0.7):
    """Values, of which a share is observed, and a calendar."""
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, shape.context, generator=chance)
    there = torch.rand(batch, shape.context, generator=chance) >= 1 - observed
    return x, there, torch.randn(batch, shape.context + shape.horizon, shape.features, generator=chance)
