"""Several networks as one: each reads its own context in its own unit, and their quantiles are averaged."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from gatecast.data.scaling import Scaler
from gatecast.data.windows import Inputs
from gatecast.ensemble import Ensemble, calmed, together, unit_of
from gatecast.nn.network import Network
from gatecast.nn.winsorizing import winsorized
from networks import SHAPE, drawn

LONG = replace(SHAPE, horizon=5, segment=4, probabilities=(0.1, 0.5, 0.9), seasons=(4,), dropout=0.0, geometric=True)
SHAPES = [LONG, replace(LONG, logs=True), replace(LONG, reach=8), replace(LONG, reach=8, logs=True)]
SCALER = Scaler("window")


def read(batch=3, seed=0):
    chance = torch.Generator().manual_seed(seed)
    context = 5 + 3 * torch.rand(batch, 12, generator=chance)
    observed = torch.rand(batch, 12, generator=chance) > 0.2
    calendar = torch.randn(batch, 17, 2, generator=chance)
    return Inputs(context.masked_fill(~observed, 0), observed, calendar, torch.zeros(batch, dtype=torch.long))


def random(shapes, seed=0):
    torch.manual_seed(seed)
    return drawn(Ensemble(Network(shape) for shape in shapes), 0.2).eval()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_what_is_said_is_the_average_of_what_each_says_alone(count):
    ensemble, inputs = random(SHAPES[:count]), read()
    alone = []
    for network in ensemble.networks:
        unit = unit_of(network.shape, inputs, SCALER)
        alone.append(unit.values(network(*inputs.scaled(unit))))
    assert_close(ensemble(inputs, SCALER), together(alone))
    plain = random(replace(shape, geometric=False) for shape in SHAPES[:count])  # as runs of earlier versions
    assert_close(plain(inputs, SCALER), together(alone, geometric=False))


@pytest.mark.parametrize("logs", [False, True])
def test_a_member_measures_in_the_unit_of_what_its_lstm_reads(logs):
    inputs, shape = read(), replace(LONG, reach=8, logs=logs)
    unit = unit_of(shape, inputs, SCALER)
    own = SCALER(inputs.context[:, 4:], inputs.observed[:, 4:], inputs.series, logs)
    assert_close((unit.loc, unit.scale), (own.loc, own.scale))
    wild = replace(inputs, context=torch.cat([torch.full((3, 4), 900.0), inputs.context[:, 4:]], 1))
    assert_close(unit_of(shape, wild, SCALER).scale, own.scale)


@pytest.mark.parametrize("asleep", ["still", "missing"])
def test_where_the_newest_steps_do_not_move_all_are_measured(asleep):
    inputs, shape = read(), replace(LONG, reach=8)
    inputs.context[1, 4:], inputs.observed[1, 4:] = (7.0, True) if asleep == "still" else (0.0, False)
    unit, whole = unit_of(shape, inputs, SCALER), SCALER(inputs.context, inputs.observed, inputs.series)
    assert_close((unit.loc[1], unit.scale[1]), (whole.loc[1], whole.scale[1]))
    assert (unit.scale[[0, 2]] != whole.scale[[0, 2]]).all()


def test_the_leading_member_is_the_one_that_reads_most_in_the_shortest_segments():
    assert Ensemble(Network(shape) for shape in SHAPES[::-1]).shape.reach == 12
    finer = [replace(LONG, segment=1), replace(LONG, reach=8, segment=1)]
    assert Ensemble(Network(shape) for shape in [*SHAPES, *finer[::-1]]).shape == finer[0]


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_averages_lie_within_the_members_and_never_cross(count):
    quantiles = torch.randn(count, 6, 4, 7, generator=torch.Generator().manual_seed(1)).sort(-1).values
    found, plain = together(list(quantiles)), together(list(quantiles), geometric=False)
    inner = slice(None) if count < 4 else slice(1, -1)
    assert_close(plain, quantiles.sort(0).values[inner].mean(0))
    assert_close(found[..., 3], plain[..., 3])
    away = (quantiles - quantiles[..., 3:4]).abs().sort(0).values[inner]
    assert_close((found - found[..., 3:4]).abs(), away.log().mean(0).exp(), rtol=1e-4, atol=1e-5)
    assert ((found.diff(dim=-1) >= 0) & (plain.diff(dim=-1) >= 0)).all()


def test_one_that_takes_its_errors_to_be_huge_does_not_decide_how_wide_intervals_are():
    one, other = torch.tensor([[[-2.0, 0, 2]]]), torch.tensor([[[-19_998.0, 2, 20_002]]])
    assert_close(together([one, other]), torch.tensor([[[-199.0, 1, 201]]]))
    assert_close(together([other]), other)


def test_where_one_is_sure_there_is_a_slope_all_the_same():
    sure, other = torch.zeros(1, 1, 3, requires_grad=True), torch.tensor([[[-1.0, 0, 1]]])
    together([sure, other]).sum().backward()
    assert sure.grad.isfinite().all()
    assert together([sure, other]).tolist() == [[[0, 0, 0]]]  # what calibration takes for no width


def test_one_wild_member_of_four_does_not_matter():
    calm = [torch.full((1, 1, 1), float(value)) for value in (1, 2, 3)]
    assert (
        together([*calm, torch.tensor([[[1e30]]])]).item() == together([*calm, torch.tensor([[[9.0]]])]).item() == 2.5
    )


def test_a_forecast_scales_with_the_series_whatever_is_read():
    ensemble, inputs = random(SHAPES), read()
    larger = replace(inputs, context=inputs.context * 1024)
    assert_close(ensemble(larger, SCALER), 1024 * ensemble(inputs, SCALER), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("seasons", [(4,), ()])
def test_few_windows_are_forecast_by_all_members_as_one(seasons):
    ensemble, inputs = random([replace(shape, seasons=seasons) for shape in SHAPES]), read()
    with torch.inference_mode():
        found = ensemble(inputs, SCALER)
    assert "stacked" in vars(ensemble)
    assert_close(
        found, together(ensemble.each(ensemble.read(inputs, SCALER), lambda _, out, reading: reading.unit.values(out)))
    )


def test_weights_learned_since_are_stacked_anew():
    ensemble, inputs = random(SHAPES), read()
    with torch.no_grad():
        before = ensemble(inputs, SCALER)
        ensemble.train()
        for weights in ensemble.parameters():
            weights.mul_(2)
        ensemble.eval()
        after = ensemble(inputs, SCALER)
    assert_close(
        after, together(ensemble.each(ensemble.read(inputs, SCALER), lambda _, out, reading: reading.unit.values(out)))
    )
    assert not torch.allclose(before, after)


def test_where_gradients_are_wanted_each_member_is_asked():
    ensemble = random(SHAPES)
    ensemble(read(), SCALER).sum().backward()
    assert all(weights.grad is not None for weights in ensemble.parameters())


@pytest.mark.parametrize("windows", [1, 9])
def test_spikes_are_cut_off_before_anything_is_read(windows):
    """Also from what units are measured in, and by however many windows."""
    shapes = [replace(shape, winsorized=True) for shape in SHAPES]
    context = torch.arange(12.0).remainder(4).repeat(windows, 1)
    context[:, 6] = 1e4
    inputs = replace(read(windows), context=context, observed=torch.ones_like(context, dtype=torch.bool))
    with torch.inference_mode():
        calm = calmed(shapes[0], inputs)
        assert calm.context[0].tolist() == winsorized(context, inputs.observed, (4,))[0].tolist() != context[0].tolist()
        found = random(shapes)(inputs, SCALER)
        assert_close(found, random(SHAPES)(calm, SCALER))
        assert not torch.allclose(found, random(SHAPES)(inputs, SCALER))
    assert calmed(SHAPES[0], inputs) is inputs
