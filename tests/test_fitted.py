"""Calibration that makes intervals hold, and fitted weights meeting the series of another panel."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.testing import assert_close

from gatecast.data.scaling import Scaler, flat
from gatecast.data.windows import Inputs
from gatecast.ensemble import Ensemble
from gatecast.fitted import DOUBT, FEW, NARROWEST, NEVER, Fitted, HeldBack, find
from gatecast.nn.network import Network, Shape

LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95)
BOUNDS = [0, 1, 3, 4]  # calibration moves these and leaves the median
CONTEXT, HORIZON = 8, 3
CPU = torch.device("cpu")
NORMAL = NormalDist()


def fitted_of(probabilities=LEVELS, scaler=None, seen=(9, 9)):
    """Untrained weights that have learnt nothing, so that calibration has all the work."""
    torch.manual_seed(0)
    shape = Shape(CONTEXT, CONTEXT, HORIZON, 2, 0, probabilities, (1,), 4, 1, 0.0, True)
    stretch = torch.ones(HORIZON, len(LEVELS))
    return Fitted(
        Ensemble([Network(shape)]).eval(), scaler or Scaler("window"), (), LEVELS, stretch, stretch[0], np.array(seen)
    )


def windows_of(count, seed=0):
    """Inputs and a truth around the last value whose spread grows with the step."""
    rng = torch.Generator().manual_seed(seed)
    context = 50 + 10 * torch.randn(count, CONTEXT, generator=rng)
    observed = torch.ones_like(context, dtype=torch.bool)
    inputs = Inputs(context, observed, torch.zeros(count, CONTEXT + HORIZON, 0), torch.zeros(count, dtype=torch.long))
    truth = context[:, -1:] + 10 * torch.arange(1, HORIZON + 1) * torch.randn(count, HORIZON, generator=rng)
    return inputs, truth


def held(fitted, inputs, truth, observed=None, apart=10**9):
    """All windows as held-back ones."""
    with torch.inference_mode():
        alone, naive = fitted.alone(inputs), fitted.naive(inputs)
    observed = torch.ones_like(truth, dtype=torch.bool) if observed is None else observed
    still = flat(inputs.context, inputs.observed)
    return HeldBack(alone, naive, truth, observed, still, apart)


def calibrated(fitted, inputs, truth, observed=None, apart=10**9):
    return fitted.calibrated(held(fitted, inputs, truth, observed, apart))


def test_of_few_windows_apart_little_is_believed():
    inputs, truth = windows_of(400)
    none, half, all_ = (calibrated(fitted_of(), inputs, truth, apart=apart).stretch for apart in (0, DOUBT, 10**9))
    inner = NORMAL.inv_cdf(0.9) / NORMAL.inv_cdf(0.95) / 0.5  # trained halfway to the outermost bound
    assert_close(none, torch.tensor([1, inner, 1, inner, 1]).expand(HORIZON, -1))
    assert_close(half[:, BOUNDS], (none * all_)[:, BOUNDS].sqrt())


def test_errors_of_one_sign_in_a_few_windows_leave_the_other_side_open():
    """A factor of zero, of which however little was believed, once closed it."""
    inputs, truth = windows_of(8)
    above = inputs.context.amax(1, keepdim=True) + 10 * torch.arange(1, HORIZON + 1) + truth.abs()
    fitted = calibrated(fitted_of(), inputs, above, apart=1)
    assert_close(fitted.stretch, fitted.stretch.flip(-1))
    assert (fitted.stretch > 1).sum() == 4 * HORIZON
    many, truth = windows_of(100)
    above = many.context.amax(1, keepdim=True) + 10 * torch.arange(1, HORIZON + 1) + truth.abs()
    one_sided = calibrated(fitted_of(), many, above).stretch
    assert_close(one_sided[:, :2], torch.full((HORIZON, 2), NARROWEST))
    assert (one_sided[:, 3:] > 1).all()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_is_that_by_which_truth_lies_between_the_naive_forecast_and_the_networks(share):
    inputs, _ = windows_of(200)
    fitted = replace(fitted_of(), season=3)
    with torch.inference_mode():
        median = fitted.alone(inputs)[..., fitted.middle]
    truth = torch.lerp(inputs.context[:, -3:], median, share)
    noise = torch.randn(200, HORIZON, generator=torch.Generator().manual_seed(2))
    assert fitted.weighed(held(fitted, inputs, truth)).share == pytest.approx(share, abs=1e-6)
    assert fitted.weighed(held(fitted, inputs, truth + noise)).share == pytest.approx(share, abs=0.1)
    hidden = torch.where(torch.arange(200)[:, None] < 150, truth, 1e9)
    seen = (hidden < 1e9).expand(-1, HORIZON)
    assert fitted.weighed(held(fitted, inputs, hidden, seen)).share == pytest.approx(share, abs=1e-6)
    of_few = fitted.weighed(held(fitted, inputs, truth, apart=DOUBT)).share
    assert of_few == pytest.approx((1 + share) / 2)


def test_where_both_forecast_the_same_the_networks_are_believed():
    inputs, truth = windows_of(20)
    flat_inputs = replace(inputs, context=torch.full_like(inputs.context, 7.0))
    same = replace(
        held(fitted_of(), flat_inputs, truth), naive=torch.zeros_like(truth), raw=torch.zeros(20, HORIZON, 5)
    )
    assert fitted_of().weighed(same).share == 1


def test_all_quantiles_move_towards_the_naive_forecast_and_none_crosses():
    inputs, _ = windows_of(50)
    fitted = fitted_of()
    with torch.inference_mode():
        alone, half, none = (replace(fitted, share=share).quantiles(inputs) for share in (1.0, 0.5, 0.0))
    naive = inputs.context[:, -1:].expand(-1, HORIZON)
    assert_close(none[..., fitted.middle], naive)
    assert_close(half, (alone + none) / 2)
    assert_close(none - naive[..., None], alone - alone[..., fitted.middle, None], rtol=1e-3, atol=1e-3)


def test_a_season_longer_than_the_context_leaves_the_last_value():
    inputs, _ = windows_of(5)
    assert torch.equal(
        replace(fitted_of(), season=CONTEXT + 1).naive(inputs), inputs.context[:, -1:].expand(-1, HORIZON)
    )


def test_intervals_are_calibrated_around_what_is_said():
    inputs, truth = windows_of(400)
    fitted = calibrated(replace(fitted_of(), share=0.25), inputs, truth)
    below = shares_below(fitted, inputs, truth).numpy()
    assert below[:, BOUNDS] == pytest.approx(np.tile(np.array(LEVELS)[BOUNDS], (HORIZON, 1)), abs=0.01)


def shares_below(fitted, inputs, truth):
    """Share of the truth below each quantile, for each step."""
    with torch.inference_mode():
        return (truth[..., None] <= fitted.quantiles(inputs)).double().mean(0)


@pytest.mark.parametrize("probabilities", [LEVELS, ()], ids=["quantiles", "point"])
@pytest.mark.parametrize("count", [FEW, 400])
def test_each_quantile_holds_on_the_calibration_windows(probabilities, count):
    inputs, truth = windows_of(count)
    fitted = calibrated(fitted_of(probabilities), inputs, truth)
    below = shares_below(fitted, inputs, truth).numpy()
    for index in BOUNDS:
        assert below[:, index] == pytest.approx(LEVELS[index], abs=2 / count)
    covered = below[:, [3, 4]] - below[:, [1, 0]]
    assert (covered >= np.array([0.8, 0.9]) - 1 / count).all()


def test_intervals_hold_on_windows_never_seen():
    fitted = calibrated(fitted_of(), *windows_of(2_000))
    below = shares_below(fitted, *windows_of(4_000, seed=1)).numpy()
    assert below[:, BOUNDS] == pytest.approx(np.tile(np.array(LEVELS)[BOUNDS], (HORIZON, 1)), abs=0.03)


def test_few_windows_are_pooled_over_the_steps():
    inputs, truth = windows_of(FEW - 1)
    fitted = calibrated(fitted_of(), inputs, truth)
    assert torch.equal(fitted.stretch, fitted.stretch[:1].expand(HORIZON, -1))
    below = shares_below(fitted, inputs, truth).mean(0)
    assert (below[[3, 4]] - below[[1, 0]]).tolist() == pytest.approx([0.8, 0.9], abs=2 / truth.numel())
    assert_close(fitted.stretch, fitted.stretch.flip(-1))  # and over both sides
    many = calibrated(fitted_of(), *windows_of(FEW))
    assert many.stretch[2, 4] > 1.5 * many.stretch[0, 4]


def test_what_was_not_observed_does_not_count():
    inputs, truth = windows_of(100)
    observed = torch.arange(100)[:, None] % 2 == torch.zeros(HORIZON, dtype=torch.long)
    masked = calibrated(fitted_of(), inputs, torch.where(observed, truth, 1e9), observed)
    half = replace(inputs, **{name: getattr(inputs, name)[::2] for name in vars(inputs) if name != "static"})
    assert torch.equal(masked.stretch, calibrated(fitted_of(), half, truth[::2]).stretch)


def test_nothing_observed_stretches_nothing():
    inputs, truth = windows_of(5)
    fitted = calibrated(fitted_of(), inputs, truth, torch.zeros_like(truth, dtype=torch.bool))
    assert fitted.stretch.eq(1).all()


def test_a_point_network_keeps_its_point_and_gets_intervals_around_it():
    inputs, truth = windows_of(400)
    fitted = calibrated(fitted_of(()), inputs, truth)
    with torch.inference_mode():
        point, quantiles = fitted.network(inputs, fitted.scaler)[..., 0], fitted.quantiles(inputs)
    assert torch.equal(quantiles[..., fitted.middle], point)
    assert (quantiles[..., 4] - quantiles[..., 0] > 10).all()


def test_quantiles_never_cross_whatever_calibration_does():
    fitted = fitted_of()
    crossed = replace(fitted, stretch=torch.rand(HORIZON, len(LEVELS), generator=torch.Generator().manual_seed(3)) * 9)
    inputs, _ = windows_of(50)
    with torch.inference_mode():
        raw = fitted.raw(inputs)
        median = raw[..., 2:3]
        assert ((median + crossed.stretch * (raw - median)).diff(dim=-1) < 0).any()
        assert (crossed.quantiles(inputs).diff(dim=-1) >= 0).all()


def test_no_quantile_lies_beyond_the_bounds():
    inputs, _ = windows_of(50)
    wide = replace(fitted_of(), stretch=torch.full((HORIZON, len(LEVELS)), 90.0))
    with torch.inference_mode():
        free, bound = wide.quantiles(inputs), replace(wide, bounds=(0.0, 99.0)).quantiles(inputs)
    assert free.min() < 0 < 99 < free.max()
    assert torch.equal(bound, free.clamp(0, 99))


def test_calibration_keeps_a_wide_window_wide():
    """A window whose own interval is twice as wide stays twice as wide: factors, not summands."""
    inputs, truth = windows_of(400)
    fitted = calibrated(fitted_of(), inputs, truth)
    loc = inputs.context.mean(1, keepdim=True)
    wider = replace(inputs, context=loc + 2 * (inputs.context - loc))
    with torch.inference_mode():
        one, two = (fitted.quantiles(part) for part in (inputs, wider))
    assert (two[..., 4] - two[..., 0]).numpy() == pytest.approx(2 * (one[..., 4] - one[..., 0]).numpy(), rel=1e-3)


def test_find_looks_keys_up_by_value():
    among = pa.table({"shop": ["a", "a", None], "item": [1, 2, 1]})
    keys = pa.table({"shop": [None, "b", "a", "a"], "item": [1, 1, 1, 2]})
    assert find(keys, among, 4).tolist() == [2, -1, 0, 1]
    assert find(pa.table({}), pa.table({}), 1).tolist() == [0]
    assert find(pa.table({"shop": ["1"]}), pa.table({"shop": [1]}), 1).tolist() == [-1]


def test_known_takes_each_series_own_scale_and_newest_step():
    scaler = Scaler.fit("minmax", [torch.tensor(part) for part in ([2.0, 4, 6, 8], [10.0, 30, 20, 50])])
    fitted = fitted_of(scaler=scaler, seen=(3, 5))
    found = fitted.known(np.array([1, -1, 0]))
    assert found.seen.tolist() == [5, NEVER, 3]
    context = torch.tensor([[7.0, 9, 99]]).expand(3, 3)
    observed = torch.tensor([[True, True, False]]).expand(3, 3)
    unit = found.scaler(context, observed, torch.arange(3))
    loc, scale = unit.loc, unit.scale
    assert loc[:, 0].tolist() == [10, 7, 2]  # a new series is scaled by what the window holds of it
    assert scale[:, 0].tolist() == [40, 2, 6]
    assert fitted.scaler.fixed[0][:, 0].tolist() == [2, 10]  # the fitted one is as it was


def test_known_needs_no_scale_where_each_window_has_its_own():
    found = fitted_of().known(np.array([-1, 1]))
    assert found.scaler == Scaler("window")
    assert found.seen.tolist() == [NEVER, 9]


def test_windows_that_never_moved_are_calibrated_apart():
    """What was still stays still: tiny intervals there, and no part in those of what moves."""
    inputs, truth = windows_of(400)
    level = 10 * torch.ones(100, CONTEXT)
    still = replace(inputs, **{name: getattr(inputs, name)[:100] for name in vars(inputs) if name != "static"})
    still = replace(still, context=level)
    both = replace(
        inputs,
        **{name: torch.cat([getattr(inputs, name), getattr(still, name)]) for name in vars(inputs) if name != "static"},
    )
    fitted = calibrated(fitted_of(), both, torch.cat([truth, level[:, :HORIZON]]))
    assert torch.equal(fitted.stretch, calibrated(fitted_of(), inputs, truth).stretch)
    with torch.inference_mode():
        calm, wild = fitted.quantiles(still), fitted.quantiles(inputs)
    assert calm.numpy() == pytest.approx(10, abs=1e-4)
    assert (wild[..., 4] - wild[..., 0]).min() > 1
