"""Integrated gradients: exact where the answer is known, complete, and of the forecast as it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from gatecast.data.encoding import Encoder
from gatecast.data.scaling import Scaler
from gatecast.data.windows import Inputs
from gatecast.ensemble import Ensemble
from gatecast.errors import DataError
from gatecast.fitted import Fitted
from gatecast.insight import attribution
from gatecast.insight.attribution import Attribution, _Path, _rank_correlation, attribute
from gatecast.nn.network import Network, Shape
from networks import shape_of

CONTEXT, HORIZON = 12, 2


class Known(torch.nn.Module):
    """A network whose forecast is a given function of the scaled context and the calendar."""

    def __init__(self, function):
        super().__init__()
        self.function, self.shape = function, shape_of(3, CONTEXT, (0.5,))

    def forward(self, x, observed, calendar, static=None, simple=None):
        return self.function(x.masked_fill(~observed, 0), calendar)[..., None]


def fitted_of(network, fixed=None, name="window"):
    ensemble, ones = Ensemble([network]), torch.ones(HORIZON, 1)
    return Fitted(ensemble, Scaler(name, fixed), Encoder(("day",)), (0.5,), ones, ones[0], np.array([0]))


def inputs_of(seed=0, missing=(4,)):
    chance = torch.Generator().manual_seed(seed)
    context = 100 + 10 * torch.randn(1, CONTEXT, generator=chance)
    observed = torch.ones(1, CONTEXT, dtype=torch.bool)
    observed[0, list(missing)] = False
    calendar = torch.randn(1, CONTEXT + HORIZON, 2, generator=chance)
    return Inputs(context.masked_fill(~observed, 0), observed, calendar, torch.tensor([0]))


def test_a_linear_forecast_gives_each_value_its_weight():
    chance = torch.Generator().manual_seed(1)
    weights, of_day = torch.randn(CONTEXT, HORIZON, generator=chance), torch.tensor([0.5, -2.0])
    network = Known(lambda x, calendar: x @ weights + calendar[:, CONTEXT:] @ of_day)
    fixed = torch.tensor([[90.0]]), torch.tensor([[4.0]])
    inputs = inputs_of()
    found = attribute(fitted_of(network, fixed, "minmax"), inputs)
    mean = inputs.context.sum() / inputs.observed.sum()
    swings = (inputs.context[0] - mean).masked_fill(~inputs.observed[0], 0)
    assert found.context == pytest.approx(weights.T * swings, rel=2e-3, abs=1e-3)  # a flat context keeps a thousandth
    assert found.context[:, 4].tolist() == [0, 0]  # what was not observed gives nothing
    apart = inputs.calendar[0, CONTEXT:] - inputs.calendar[0].mean(0)
    assert found.covariates["day"] == pytest.approx(4 * apart @ of_day, abs=1e-4)
    assert found.segments == pytest.approx(found.context.reshape(HORIZON, 4, 3).sum(2), abs=1e-5)
    spread = float(swings.abs().sum() / inputs.observed.sum())
    assert found.spread == pytest.approx(spread)
    # Each effect stands alone, so taking parts away one at a time tells the same.
    assert found.agreement == pytest.approx(1)
    sizes = [*found.segments.abs().sum(0).tolist(), found.covariates["day"].abs().sum().item()]
    shares, others = found.shares
    assert [*shares.tolist(), *others.values()] == pytest.approx([size / sum(sizes) for size in sizes], rel=1e-4)
    assert found.moved == pytest.approx(float((found.forecast - found.flat).abs().mean()) / spread)


@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e30])
def test_shares_are_the_same_in_any_unit(unit):
    ahead = unit * torch.ones(1)
    found = Attribution(unit * torch.tensor([[2.0, -4, 0, 1]]), {"day": -ahead}, ahead, 0 * ahead, unit, 2, 0, 1)
    shares, others = found.shares
    assert [*shares.tolist(), others["day"]] == pytest.approx([0.5, 0.25, 0.25])


def test_the_integral_is_taken_along_the_whole_path():
    """Of a sum of cubes each gets its own difference; the gradient at the end alone would give three times it."""
    fixed = torch.tensor([[100.0]]), torch.tensor([[10.0]])
    inputs = inputs_of(missing=())
    found = attribute(fitted_of(Known(lambda x, _: (x**3).sum(1, keepdim=True).expand(-1, 2)), fixed, "minmax"), inputs)
    x = (inputs.context[0] - 100) / 10
    assert found.context[0] == pytest.approx(10 * (x**3 - x.mean() ** 3), rel=1e-2, abs=0.02)


@given(st.floats(-3, 3), st.integers(0, 100))
def test_what_only_the_mean_does_is_given_to_no_single_value(shift, seed):
    """A window's own scale takes the mean out: equal weights on all values change no forecast and no attribution."""
    weights = torch.zeros(CONTEXT, HORIZON)
    weights[-5] = 0.9
    inputs = inputs_of(seed, missing=())
    plain, shifted = (attribute(fitted_of(Known(lambda x, _, w=w: x @ w)), inputs) for w in (weights, weights + shift))
    assert shifted.forecast == pytest.approx(plain.forecast, abs=1e-3)
    assert shifted.context == pytest.approx(plain.context, abs=0.05)
    expected = torch.zeros(HORIZON, CONTEXT)
    expected[:, -5] = 0.9 * (inputs.context[0, -5] - inputs.context.mean())
    expected += 0.1 * (inputs.context - inputs.context.mean()) / CONTEXT  # the mean itself moves with each value
    assert plain.context == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("name", "fixed"), [("window", None), ("minmax", (torch.tensor([[60.0]]), torch.tensor([[80.0]])))]
)
@pytest.mark.parametrize("seed", range(5))
def test_it_is_complete(name, fixed, seed):
    torch.manual_seed(seed)
    network = Network(Shape(CONTEXT, CONTEXT, HORIZON, 3, 2, (0.1, 0.5, 0.9), (4,), 8, 2, 0.1, True)).eval()
    torch.nn.init.normal_(network.write.weight)
    torch.nn.init.normal_(network.skip.weight, std=0.3)
    fitted = fitted_of(network, fixed, name)
    found = attribute(replace(fitted, probabilities=(0.1, 0.5, 0.9)), inputs := inputs_of(seed))
    given_ = found.context.sum(1) + found.covariates["day"]
    assert given_ == pytest.approx(found.forecast - found.flat, rel=0.01, abs=0.01)
    assert found.error < 0.001
    quantiles = replace(
        fitted, probabilities=(0.1, 0.5, 0.9), stretch=torch.ones(2, 3), flat_stretch=torch.ones(3)
    ).quantiles(inputs)
    assert found.forecast == pytest.approx(quantiles[0, :, 1].detach(), rel=1e-5)  # the forecast as it is made
    assert -1 <= found.agreement <= 1


def test_a_forecast_that_turns_sharply_is_looked_at_more_closely():
    """As logarithms of values of both signs do, at zero."""
    fixed = torch.tensor([[90.0]]), torch.tensor([[4.0]])
    found = attribute(
        fitted_of(Known(lambda x, _: torch.asinh(1000 * (x[:, -4:-2] - 1))), fixed, "minmax"), inputs_of()
    )
    assert found.error < 0.01
    assert found.context.sum(1) == pytest.approx(found.forecast - found.flat, rel=0.01)


def test_what_is_not_complete_is_not_shown(monkeypatch):
    gradients, tried = _Path.gradients, []

    def halved(path, points):
        tried.append(points)
        return {name: part / 2 for name, part in gradients(path, points).items()}

    monkeypatch.setattr(_Path, "gradients", halved)
    fixed = torch.tensor([[90.0]]), torch.tensor([[4.0]])
    with pytest.raises(DataError, match=r"cannot be told: 50\.0 % of it would be left unexplained; look at another"):
        attribute(fitted_of(Known(lambda x, _: x[:, -2:]), fixed, "minmax"), inputs_of())
    assert tuple(tried) == attribution.POINTS


def test_values_too_small_for_gradients_are_told():
    inputs = inputs_of()
    with pytest.raises(DataError, match=r"cannot be told: 32 bits do not hold .*; multiply the target in --sql"):
        attribute(fitted_of(Known(lambda x, _: x[:, -2:])), replace(inputs, context=inputs.context * 1e-41))


def test_a_forecast_that_hardly_moves_may_be_lost_in_rounding(monkeypatch):
    """As that of a constant series: what a rounding leaves unexplained is little of the scale, if all of the rest."""
    gradients = _Path.gradients
    monkeypatch.setattr(_Path, "gradients", lambda *given: {name: part / 2 for name, part in gradients(*given).items()})
    fixed = torch.tensor([[90.0]]), torch.tensor([[4.0]])
    found = attribute(fitted_of(Known(lambda x, _: 1e-3 * x[:, -2:]), fixed, "minmax"), inputs_of())
    assert found.moved < 0.01
    assert 0 < found.error < 0.01


@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=20, unique=True), st.integers(0, 1000))
def test_rank_correlation_is_that_of_scipy(values, seed):
    other = np.random.default_rng(seed).permutation(len(values))
    found = _rank_correlation(torch.tensor(values).float(), torch.tensor(other).float())
    assert found == pytest.approx(spearmanr(values, other).statistic, abs=1e-5)


def test_two_parts_have_no_rank():
    assert np.isnan(_rank_correlation(torch.ones(2), torch.ones(2)))
