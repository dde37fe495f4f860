"""What is known beside the target, inside the network."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import networks
from gatecast.nn.covariates import KEPT, Effect, means, now_and_then
from gatecast.nn.network import Network

SHAPE = replace(networks.SHAPE, context=8, reach=8, horizon=6, segment=4, probabilities=(), seasons=(4,), dropout=0.0)
BESIDE = replace(SHAPE, known=2, past=1)


class Threefold(nn.Module):
    """Three times the first covariate."""

    def forward(self, features):
        return 3 * features[..., 2]


read = partial(networks.read, batch=64, observed=1.0)


def trained(shape, truth_of, steps=100, static=None):
    """The mean absolute error on new windows of a network trained on `truth_of` its inputs."""
    torch.manual_seed(0)
    network = Network(shape)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for step in range(steps):
        inputs = read(shape, seed=step)
        optimizer.zero_grad()
        error = (network(*inputs, static)[..., 0] - truth_of(*inputs)).abs().mean()
        error.backward()
        optimizer.step()
    inputs = read(shape, seed=10_000)
    with torch.no_grad():
        return float((network.eval()(*inputs, static)[..., 0] - truth_of(*inputs)).abs().mean())


def test_means_of_stretches_the_last_of_which_is_shorter():
    features = torch.arange(14.0).reshape(1, 7, 2)
    assert means(features, 3).tolist() == [[[2, 3], [8, 9], [12, 13]]]
    assert means(features[:, :6], 3).tolist() == [[[2, 3], [8, 9]]]
    assert means(features, 1).tolist() == features.tolist()


def test_past_covariates_are_read_now_and_then_whole_and_their_mean_stays():
    torch.manual_seed(0)
    found = now_and_then(torch.ones(4_000, 3, 2))
    assert set(found.unique().tolist()) == {0, 1 / KEPT}
    assert (found == found[:, :1, :1]).all()
    assert float(found.mean()) == pytest.approx(1, abs=0.05)


def test_covariates_change_nothing_before_training():
    torch.manual_seed(1)
    plain = Network(SHAPE).eval()
    x, observed, calendar = read(BESIDE)
    network = Network(BESIDE).eval()
    with torch.no_grad():
        assert_close(network(x, observed, calendar), plain(x, observed, calendar[..., :2]))


def test_the_effect_of_a_step_is_taken_out_of_the_context_and_put_on_the_horizon():
    """A steady effect leaves the forecast as it is: what is taken out comes back."""
    network = Network(BESIDE).eval()
    network.effect = Threefold()
    x, observed, calendar = read(BESIDE)
    steady, none = calendar.clone(), calendar.clone()
    steady[..., 2], none[..., 2] = 1.0, 0.0
    with torch.no_grad():
        raised = network(x + 3, observed, steady)
        assert_close(raised, network(x, observed, none) + 3, atol=1e-5, rtol=1e-5)


def test_a_known_covariate_is_learnt():
    assert trained(BESIDE, lambda x, observed, calendar: 2 * calendar[:, 8:, 2]) < 0.25  # 1.6 if it were not


def test_a_past_covariate_may_lead_the_target():
    def led(x, observed, calendar):
        return calendar[:, 4:8, 4].mean(1, keepdim=True).expand(-1, 6) * 3

    assert trained(BESIDE, led, steps=200) < 0.75 * 1.2  # 1.2 is its spread


def test_what_a_covariate_is_after_the_cutoff_does_not_reach_the_lstm():
    network = Network(BESIDE).eval()
    torch.nn.init.normal_(network.write.weight)
    x, observed, calendar = read(BESIDE)
    other = calendar.clone()
    other[:, 8:, 4] += 5  # the past one
    with torch.no_grad():
        assert_close(network(x, observed, other), network(x, observed, calendar))


def test_what_is_static_is_learnt_and_unknown_counts_as_the_average():
    codes = torch.arange(64)[:, None] % 2
    static = (codes, torch.ones(64, 1))
    assert trained(replace(SHAPE, embeddings=2), lambda *_: 2.0 * codes - 1.0, static=static) < 0.15
    network = Network(replace(SHAPE, embeddings=2)).eval()
    torch.nn.init.normal_(network.static.weight)
    inputs = read(SHAPE)
    with torch.no_grad():
        assert_close(network(*inputs, (codes, torch.zeros(64, 1))), network(*inputs))


def test_an_effect_is_of_each_step_by_itself():
    effect = Effect(3)
    torch.nn.init.normal_(effect.write.weight)
    features = torch.randn(2, 5, 3)
    assert_close(effect(features)[:, 1:2], effect(features[:, 1:2]))
