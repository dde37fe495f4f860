"""What the network is by construction: where it starts, what it reads, and that its quantiles never cross."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from gatecast.nn.network import Network
from gatecast.nn.starting import RATES, starting_points
from networks import SHAPE, read, with_random_weights

BARE = replace(SHAPE, seasons=(), skip=False, dropout=0.0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
def test_quantiles_never_cross(seed, spread):
    network = with_random_weights(SHAPE, seed, spread)
    out = network(*read(SHAPE, batch=20, seed=seed))
    gaps = out.diff(dim=-1)
    assert out.shape == (20, 7, 4)
    assert gaps.min() >= 0
    assert gaps.max() > 0


@pytest.mark.parametrize("segment", [1, 3])
def test_training_starts_at_the_mean_of_the_simple_forecasts(segment):
    network = Network(replace(SHAPE, segment=segment)).eval()
    x, observed, calendar = read(SHAPE)
    out = network(x, observed, calendar)
    points, *_ = starting_points(x.masked_fill(~observed, 0), observed, SHAPE.seasons, SHAPE.horizon)
    assert points.shape[-1] == 1 + 2 + 2 * len(RATES)  # last value, both seasons repeated, both smoothed
    assert_close(out[..., 2], points.mean(-1))
    gap = functional.softplus(torch.tensor(-2.0))
    assert_close(out - out[..., 2:3], gap * torch.tensor([-2.0, -1.0, 0.0, 1.0]).expand_as(out))


def test_the_median_of_the_context_may_be_one_of_the_simple_forecasts():
    network = Network(replace(SHAPE, skip=False, intermittent=True)).eval()
    x, observed, calendar = read(SHAPE)
    assert network.mix.out_features == Network(SHAPE).mix.out_features + 1
    with torch.no_grad():
        network.mix.bias[-2] = 99  # it alone; after it comes the drift
    middle = x.masked_fill(~observed, torch.nan).nanmedian(1).values
    assert_close(network(x, observed, calendar)[..., 2], middle[:, None].expand(-1, SHAPE.horizon))


def test_the_mixture_and_the_drift_are_learned():
    network = Network(replace(SHAPE, skip=False)).eval()
    x, observed, calendar = read(SHAPE)
    points, drift, _ = starting_points(x.masked_fill(~observed, 0), observed, SHAPE.seasons, SHAPE.horizon)
    with torch.no_grad():
        network.mix.bias[1] = 99  # the shorter season repeated, alone
        network.mix.bias[-1] = 0.5
        assert_close(network(x, observed, calendar)[..., 2], points[..., 1] + drift / 2)
        network.mix.weight[-1] = 1.0  # the state has its say
        assert (network(x, observed, calendar)[..., 2] - points[..., 1] - drift / 2).abs().min() > 0


def test_without_seasons_training_starts_at_zero():
    assert Network(replace(BARE, probabilities=()))(*read(BARE)).eq(0).all()


@pytest.mark.parametrize("segment", [1, 3, 12])
@pytest.mark.parametrize(("layers", "horizon"), [(1, 7), (2, 7), (1, 1)])
def test_the_first_step_depends_on_every_context_step_through_the_lstm(segment, layers, horizon):
    shape = replace(BARE, segment=segment, layers=layers, horizon=horizon)
    network = with_random_weights(shape, spread=0.4)
    x, _, calendar = read(shape)
    x.requires_grad_()
    network(x, torch.ones_like(x, dtype=torch.bool), calendar)[:, 0, 2].sum().backward()
    assert x.grad[:, -1].abs().min() > 1e-4  # the newest value
    assert x.grad.ne(0).all()


@pytest.mark.parametrize("segment", [1, 3])
def test_every_weight_takes_part(segment):
    shape = replace(SHAPE, segment=segment, dropout=0.0)
    network = with_random_weights(shape, spread=0.4)
    network(*read(shape)).square().sum().backward()
    assert {name for name, part in network.named_parameters() if not part.grad.any()} == set()


def test_masked_values_do_not_matter_but_the_mask_does():
    network = with_random_weights(SHAPE)
    x, observed, calendar = read(SHAPE)
    out = network(x, observed, calendar)
    for hidden in (1e6, torch.nan):
        assert torch.equal(network(x.masked_fill(~observed, hidden), observed, calendar), out)
    all_seen = network(x.masked_fill(~observed, 0), torch.ones_like(observed), calendar)
    assert (all_seen - out).abs().amin((1, 2)).gt(0).all()


@pytest.mark.parametrize("horizon", [4, 7, 8])
def test_a_horizon_that_ends_within_a_segment_is_the_start_of_a_longer_one(horizon):
    long = with_random_weights(replace(BARE, horizon=9 if horizon > 6 else 6))
    short = Network(replace(BARE, horizon=horizon)).eval()
    short.load_state_dict(long.state_dict())
    x, observed, calendar = read(long.shape)
    calendar[:, 12 + horizon :] = 0
    assert_close(short(x, observed, calendar[:, : 12 + horizon]), long(x, observed, calendar)[:, :horizon])


def test_each_block_reads_the_calendar_of_its_own_steps_only():
    network = with_random_weights(BARE, spread=0.4)
    x, observed, calendar = read(BARE)
    calendar.requires_grad_()
    network(x, observed, calendar)[:, 3:6].sum().backward()  # the second block of three steps
    touched = calendar.grad[:, 12:].ne(0).all(-1).all(0)
    untouched = calendar.grad[:, 12:].eq(0).all(-1).all(0)
    assert touched.tolist() == [False] * 3 + [True] * 3 + [False]
    assert untouched.tolist() == [True] * 3 + [False] * 3 + [True]
    assert calendar.grad[:, :12].ne(0).all()


def test_the_skip_is_a_linear_path_to_every_quantile():
    with_skip = with_random_weights(replace(BARE, skip=True))
    without = Network(BARE).eval()
    without.load_state_dict({name: part for name, part in with_skip.state_dict().items() if "skip" not in name})
    x, observed, calendar = read(BARE)
    path = x.masked_fill(~observed, 0) @ with_skip.skip.weight.T + with_skip.skip.bias
    assert_close(with_skip(x, observed, calendar), without(x, observed, calendar) + path[..., None])


def test_what_is_older_than_the_lstm_reads_moves_the_simple_forecasts_alone():
    shape = replace(SHAPE, context=24, dropout=0.0)
    network, (x, observed, calendar) = with_random_weights(shape), read(shape)
    older = torch.cat([x[:, :12] + 3, x[:, 12:]], 1)
    mixed = [network.start(network.simple(part, observed), network.mix.bias.expand(3, -1)) for part in (x, older)]
    assert not torch.allclose(*mixed)
    assert torch.equal(*(network.segments(part, observed, calendar) for part in (x, older)))
    with torch.no_grad():
        network.mix.weight.zero_()
    before, after = (network(part, observed, calendar)[..., 2] for part in (x, older))
    assert_close(after - before, mixed[1] - mixed[0], rtol=1e-4, atol=1e-4)


def test_adjusted_values_are_read_beside_the_values_themselves():
    """By the LSTM alone: if it reads but them, a season makes no difference to it."""
    shape = replace(SHAPE, context=24, reach=12, seasons=(3,), adjusted=True)
    network, (x, observed, calendar) = with_random_weights(shape), read(shape)
    observed = torch.ones_like(observed)
    with torch.no_grad():
        network.embed.weight[:, : shape.segment] = 0  # the values themselves
    season = x + torch.tensor([3.0, -1.0, -2.0]).repeat(8)
    plain, moved, level = (
        network.segments(part, observed, calendar, None, network.simple(part, observed)) for part in (x, season, x + 3)
    )
    by_season, by_level = ((plain - part).abs().mean() for part in (moved, level))
    assert by_season < 0.05 * by_level  # it has a slope, if hardly any


def test_a_plain_network_says_a_mixture_of_simple_forecasts():
    shape = replace(SHAPE, skip=False, plain=True)
    network, (x, observed, calendar) = with_random_weights(shape), read(shape, batch=50)
    with torch.no_grad():
        network.mix.weight[-1], network.mix.bias[-1] = 0, 0  # without drift
    points, *_ = starting_points(x.masked_fill(~observed, 0), observed, shape.seasons, shape.horizon)
    said = network(x, observed, calendar)[..., 2]
    assert (said >= points.amin(-1) - 1e-4).all()
    assert (said <= points.amax(-1) + 1e-4).all()
    assert said.std(0).min() > 0


def test_a_window_says_the_same_alone_and_in_a_batch():
    network = with_random_weights(SHAPE)
    x, observed, calendar = read(SHAPE, batch=4)
    alone = [network(x[b : b + 1], observed[b : b + 1], calendar[b : b + 1]) for b in range(4)]
    assert_close(network(x, observed, calendar), torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_a_mixture_that_is_not_gated_is_the_same_for_all_windows():
    network = with_random_weights(replace(SHAPE, gated=False, skip=False, dropout=0.0))
    x, observed, calendar = read(SHAPE)
    before = network(x, observed, calendar)
    with torch.no_grad():
        network.mix.weight.mul_(9)
    assert torch.equal(network(x, observed, calendar), before)
    with torch.no_grad():
        network.mix.bias[0] += 1
    assert not torch.equal(network(x, observed, calendar), before)


def test_the_median_is_learned_nearly_as_if_it_were_alone(monkeypatch):
    network, given = with_random_weights(SHAPE), read(SHAPE)

    def gradients(quantiles, lent):
        monkeypatch.setattr("gatecast.nn.network.LENT", lent)
        network.zero_grad(set_to_none=False)
        network(*given)[..., quantiles].sum().backward()
        return {name: w.grad.clone() for name, w in network.named_parameters() if w.grad is not None and w.grad.any()}

    everything = {name for name, _ in network.named_parameters()}
    alone = {name for name in everything if name.startswith(("write.", "skip.", "mix."))}
    tenth, whole = gradients([0, 1, 3], 0.1), gradients([0, 1, 3], 1.0)
    assert set(tenth) == set(whole) == everything - alone
    for name, found in tenth.items():
        assert_close(found, whole[name] * (1.0 if name.startswith("widen.") else 0.1), rtol=1e-3, atol=1e-4)
    assert set(gradients([2], 0.1)) == {name for name in everything if not name.startswith("widen.")}


def test_what_is_not_embedded_is_read_as_it_is():
    shape = replace(SHAPE, segment=1, embedded=False, known=1, past=2)
    network, (x, observed, calendar) = Network(shape).eval(), read(shape)
    expected = torch.cat([x[..., None], observed[..., None].float(), calendar[:, : shape.context]], -1)
    assert_close(network.segments(x, observed, calendar), expected)
    assert network.lstm.fast.input_size == 1 + 1 + shape.features
