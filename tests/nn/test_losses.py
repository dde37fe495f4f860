"""Losses against plain loops, and what they are for: the quantile minimises the pinball."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from gatecast.nn.losses import pinball, squared

PROBABILITIES = (0.1, 0.5, 0.9)


@pytest.fixture
def some():
    """Quantiles, truth and a mask."""
    torch.manual_seed(1)
    return torch.randn(4, 6, 3), torch.randn(4, 6), torch.rand(4, 6) < 0.7


def test_pinball_is_a_loop_over_what_is_observed(some):
    quantiles, truth, observed = some
    losses = []
    for b, h in observed.nonzero().tolist():
        each = []
        for q, probability in enumerate(PROBABILITIES):
            error = truth[b, h].item() - quantiles[b, h, q].item()
            each.append(2 * (probability * error if error >= 0 else (probability - 1) * error))
        losses.append(sum(each) / 3)
    assert 0 < len(losses) < truth.numel()
    found = pinball(quantiles, truth, observed, torch.tensor(PROBABILITIES))
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_a_window_counts_as_often_as_its_weight_says(some):
    quantiles, truth, observed = some
    probabilities = torch.tensor(PROBABILITIES)
    weights = torch.tensor([[2.0], [0.0], [0.5], [1.0]])
    alone = [pinball(*(part[b : b + 1] for part in some), probabilities) * observed[b].sum() for b in range(4)]
    found = pinball(quantiles, truth, observed, probabilities, weights)
    assert_close(found, (weights[:, 0] * torch.stack(alone)).sum() / observed.sum())


def test_squared_is_a_loop_over_what_is_observed(some):
    quantiles, truth, observed = some
    points = quantiles[..., 0]
    losses = [(truth[b, h] - points[b, h]).item() ** 2 for b, h in observed.nonzero().tolist()]
    assert squared(points, truth, observed).item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_pinball_at_the_median_is_the_absolute_error(some):
    quantiles, truth, observed = some
    found = pinball(quantiles[..., 1:2], truth, observed, torch.tensor([0.5]))
    assert_close(found, (truth - quantiles[..., 1])[observed].abs().mean())


@pytest.mark.parametrize("hidden", [0.0, -1e9, 1e9])
def test_what_is_not_observed_moves_neither_loss_nor_gradient(some, hidden):
    quantiles, truth, observed = some
    for loss in (
        lambda q, t: pinball(q, t, observed, torch.tensor(PROBABILITIES)),
        lambda q, t: squared(q[..., 0], t, observed),
    ):
        free = quantiles.clone().requires_grad_()
        value = loss(free, truth.masked_fill(~observed, hidden))
        assert_close(value, loss(quantiles, truth))
        value.backward()
        assert free.grad[~observed].eq(0).all()
        assert free.grad[observed][:, 0].ne(0).all()


def test_nothing_observed_is_no_loss(some):
    quantiles, truth, observed = some
    nothing = torch.zeros_like(observed)
    free = quantiles.clone().requires_grad_()
    loss = pinball(free, truth, nothing, torch.tensor(PROBABILITIES)) + squared(free[..., 0], truth, nothing)
    loss.backward()
    assert loss.item() == 0
    assert free.grad.eq(0).all()


def test_gradient_pushes_a_quantile_by_its_probability():
    quantiles = torch.tensor([[[0.0]], [[0.0]]], requires_grad=True)
    truth = torch.tensor([[1.0], [-1.0]])  # once above the quantile, once below
    pinball(quantiles, truth, torch.ones(2, 1, dtype=torch.bool), torch.tensor([0.9])).backward()
    assert quantiles.grad.flatten().tolist() == pytest.approx([-2 * 0.9 / 2, 2 * 0.1 / 2])


@pytest.mark.parametrize("probability", [0.05, 0.25, 0.5, 0.9])
def test_the_empirical_quantile_has_the_least_pinball(probability):
    sample = np.sort(np.random.default_rng(2).exponential(size=101).astype(np.float32))
    truth, observed = torch.from_numpy(sample)[:, None], torch.ones(101, 1, dtype=torch.bool)
    losses = [
        pinball(torch.full((101, 1, 1), float(guess)), truth, observed, torch.tensor([probability])).item()
        for guess in sample
    ]
    best = int(np.argmin(losses))
    assert sample[best] == np.quantile(sample, probability, method="inverted_cdf")


def test_the_mean_has_the_least_squared_error():
    sample = np.random.default_rng(3).exponential(size=50).astype(np.float32)
    truth, observed = torch.from_numpy(sample)[None], torch.ones(1, 50, dtype=torch.bool)
    point = torch.tensor(float(sample.mean()), requires_grad=True)
    squared(point.expand(1, 50), truth, observed).backward()
    assert abs(point.grad.item()) < 1e-6
