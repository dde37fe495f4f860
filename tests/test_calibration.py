"""Calibration that makes intervals hold, and the share of the naive forecast, on windows held back."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from gatecast.calibration import DOUBT, FEW, HeldBack, mean_share_of, share_of, stretches, widened
from gatecast.points import points
from untrained import BOUNDS, CONTEXT, HORIZON, LEVELS, calibrated, fitted_of, held, shares_below, windows_of

NORMAL = NormalDist()


def covered(fitted, inputs, truth):
    """How much of the truth of each step lies in the intervals of 80 and 90 %."""
    below = shares_below(fitted, inputs, truth).numpy()
    return below[:, [3, 4]] - below[:, [1, 0]]


def test_of_few_windows_apart_little_is_believed():
    inputs, truth = windows_of(400)
    none, half, all_ = (calibrated(fitted_of(), inputs, truth, apart=apart).stretch for apart in (0, DOUBT, 10**9))
    inner = NORMAL.inv_cdf(0.9) / NORMAL.inv_cdf(0.95) / 0.5  # trained halfway to the outermost bound
    assert_close(none, torch.tensor([1, inner, 1, inner, 1]).expand(HORIZON, -1))
    assert_close(half[:, BOUNDS], (none * all_)[:, BOUNDS].sqrt())


@pytest.mark.parametrize("count", [8, 400])
def test_errors_of_one_sign_widen_both_sides(count):
    """Series rise together, and next time fall together; a side without errors was once closed altogether."""
    inputs, truth = windows_of(count)
    above = inputs.context.amax(1, keepdim=True) + 10 * torch.arange(1, HORIZON + 1) + truth.abs()
    fitted = calibrated(fitted_of(), inputs, above)
    assert_close(fitted.stretch, fitted.stretch.flip(-1))
    assert (fitted.stretch[:, BOUNDS] > 1).all()


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


SKEWED = torch.tensor([[10.0, 12, 15, 30, 60], [1, 2, 3, 4, 7]])[:, None].repeat(100, HORIZON, 1)
"""Quantiles whose mean lies above the median."""


def told(truth, apart=10**9, observed=None):
    """Held-back windows of which nothing but the truth matters."""
    count = len(truth)
    observed = torch.ones_like(truth, dtype=torch.bool) if observed is None else observed
    still, history = torch.zeros(count, dtype=torch.bool), torch.full((count,), CONTEXT)
    return HeldBack(SKEWED, truth, truth, observed, still, history, apart)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_the_mean_is_that_of_the_least_squared_error(share):
    median, mean = (torch.from_numpy(points(SKEWED.numpy(), LEVELS, metric)) for metric in ("mae", "rmse"))
    truth = torch.lerp(median, mean, share)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    assert mean_share_of(SKEWED, LEVELS, told(truth)) == pytest.approx(share, abs=1e-5)
    assert mean_share_of(SKEWED, LEVELS, told(truth + noise)) == pytest.approx(share, abs=0.05)
    seen = torch.rand(truth.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    hidden = truth.masked_fill(~seen, torch.nan)
    assert mean_share_of(SKEWED, LEVELS, told(hidden, observed=seen)) == pytest.approx(share, abs=1e-5)
    assert mean_share_of(SKEWED, LEVELS, told(truth, apart=DOUBT)) == pytest.approx((1 + share) / 2, abs=1e-5)
    assert mean_share_of(1e30 * SKEWED, LEVELS, told(1e30 * truth)) == pytest.approx(share, abs=1e-5)


def test_beyond_median_and_mean_the_nearer_of_them_is_the_point():
    median = SKEWED[..., 2]
    assert mean_share_of(SKEWED, LEVELS, told(median - 5)) == pytest.approx(0, abs=1e-9)
    assert mean_share_of(SKEWED, LEVELS, told(median + 50)) == 1


def test_where_mean_and_median_are_one_nothing_is_learnt():
    even = torch.ones_like(SKEWED)
    assert mean_share_of(even, LEVELS, told(5 * even[..., 0])) == 1


def test_the_share_of_the_mean_is_found_with_the_quantiles_that_are_forecast():
    inputs, truth = windows_of(200)
    fitted = replace(calibrated(fitted_of(), inputs, truth.exp() / truth.exp().mean()), bounds=(45.0, torch.inf))
    with torch.inference_mode():
        forecast = fitted.quantiles(inputs)
    held_back = held(fitted, inputs, truth)
    assert fitted.centred(held_back).mean_share == pytest.approx(mean_share_of(forecast, LEVELS, held_back))


def test_where_both_forecast_the_same_the_networks_are_believed():
    inputs, truth = windows_of(20)
    flat_inputs = replace(inputs, context=torch.full_like(inputs.context, 7.0))
    same = replace(
        held(fitted_of(), flat_inputs, truth), naive=torch.zeros_like(truth), raw=torch.zeros(20, HORIZON, 5)
    )
    assert fitted_of().weighed(same).share == 1


def test_zeros_that_follow_zeros_do_not_decide_on_the_share():
    """The naive forecast foretells them exactly; errors of the networks beside it, however small, counted whole."""
    raw = torch.tensor([-1.0, -0.5, 1e-3, 2.0, 4.0]).expand(100, HORIZON, -1)
    naive, truth = torch.zeros(100, HORIZON), torch.zeros(100, HORIZON)
    naive[:30] = 3.0  # the last value of demand that comes now and then
    few = replace(held(fitted_of(), *windows_of(100)), raw=raw, naive=naive, truth=truth)
    assert fitted_of().weighed(few).share == 1


def about_zero(truth, naive, apart=10**9):
    """Windows of one step whose median is 1, with bounds a unit away from it."""
    truth = torch.as_tensor(truth, dtype=torch.float32)[:, None]
    raw = torch.tensor([0.0, 1.0, 2.0]).expand(len(truth), 1, 3)
    every, history = torch.ones_like(truth, dtype=torch.bool), torch.ones(len(truth), dtype=torch.long)
    return HeldBack(raw, torch.full_like(truth, naive), truth, every, ~every[:, 0], history, apart)


@pytest.mark.parametrize(
    ("naive", "apart", "share"),
    [
        (-1, 10**9, 0.5),  # halfway between them lies the truth, and both are equally wrong
        (-4, 10**9, 1),  # clearly better than it, they say all, though a mixture would be right
        (0, 30, 0.1),  # it is never wrong: 30² of 30² + 10²
    ],
)
def test_how_much_the_networks_say(naive, apart, share):
    assert share_of(about_zero([0.0] * 5, naive, apart), 1) == pytest.approx(share)


def test_windows_beside_others_are_calibrated_by_as_if_found_together():
    whole = held(fitted_of(), *windows_of(300))
    parts = [
        replace(whole, apart=apart, **{name: getattr(whole, name)[at] for name in vars(whole) if name != "apart"})
        for apart, at in ((whole.apart - 7, slice(200)), (7, slice(200, None)))
    ]
    joined = parts[0].beside(parts[1])
    assert joined.apart == whole.apart
    assert all(map(torch.equal, stretches(joined, LEVELS), stretches(whole, LEVELS)))
    assert not torch.equal(stretches(parts[0], LEVELS)[0], stretches(whole, LEVELS)[0])
    assert fitted_of().weighed(joined).share == fitted_of().weighed(whole).share


def test_quantiles_that_lie_further_out_than_those_of_a_normal_distribution_are_left_there():
    raw = torch.tensor([-2.0, -1.9, 0.0, 1.9, 2.0]).expand(5, 1, 5)
    stretch, _ = stretches(replace(about_zero([0.0] * 5, 0, apart=0), raw=raw), LEVELS)
    assert stretch.tolist() == [[1] * 5]


def test_of_few_windows_a_quantile_is_the_one_that_holds_for_another_window():
    sizes = np.arange(1, 20) / 20
    stretch, _ = stretches(about_zero(1 + sizes * (-1) ** np.arange(19), 0), (0.1, 0.5, 0.9))
    factor = np.quantile(sizes, 0.8 * 20 / 19)  # of 19 and the one to come
    assert stretch[0].tolist() == pytest.approx([factor, 1, factor], rel=1e-5)


def test_intervals_are_calibrated_around_what_is_said():
    inputs, truth = windows_of(400)
    fitted = calibrated(replace(fitted_of(), share=0.25), inputs, truth)
    assert covered(fitted, inputs, truth) == pytest.approx(np.tile([0.8, 0.9], (HORIZON, 1)), abs=0.01)


@pytest.mark.parametrize("probabilities", [LEVELS, ()], ids=["quantiles", "point"])
@pytest.mark.parametrize("count", [FEW, 400])
def test_each_interval_holds_on_the_calibration_windows(probabilities, count):
    inputs, truth = windows_of(count)
    inside = covered(calibrated(fitted_of(probabilities), inputs, truth), inputs, truth)
    assert inside == pytest.approx(np.tile([0.8, 0.9], (HORIZON, 1)), abs=2 / count)
    assert (inside >= np.array([0.8, 0.9]) - 1 / count).all()


def test_an_interval_that_is_longer_on_one_side_stays_so():
    """The networks learn it from many years, not from the few that are held back."""
    raw = torch.tensor([-1.0, 0.0, 3.0]).expand(200, 1, 3)
    truth = torch.linspace(-4, 12, 200)
    stretch, _ = stretches(replace(about_zero(truth, 0), raw=raw), (0.1, 0.5, 0.9))
    assert stretch[0].tolist() == pytest.approx([3.2, 1, 3.2], rel=0.01)  # 4 · 3.2 is .8 of 16


def test_intervals_hold_on_windows_never_seen():
    fitted = calibrated(fitted_of(), *windows_of(2_000))
    below = shares_below(fitted, *windows_of(4_000, seed=1)).numpy()
    assert below[:, BOUNDS] == pytest.approx(np.tile(np.array(LEVELS)[BOUNDS], (HORIZON, 1)), abs=0.03)


def test_few_windows_are_pooled_over_the_steps():
    inputs, truth = windows_of(FEW - 1)
    fitted = calibrated(fitted_of(), inputs, truth)
    assert torch.equal(fitted.stretch, fitted.stretch[:1].expand(HORIZON, -1))
    assert covered(fitted, inputs, truth).mean(0) == pytest.approx([0.8, 0.9], abs=2 / truth.numel())
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


def test_calibration_keeps_a_wide_window_wide():
    """A window whose own interval is twice as wide stays twice as wide: factors, not summands."""
    inputs, truth = windows_of(400)
    fitted = calibrated(fitted_of(), inputs, truth)
    loc = inputs.context.mean(1, keepdim=True)
    wider = replace(inputs, context=loc + 2 * (inputs.context - loc))
    with torch.inference_mode():
        one, two = (fitted.quantiles(part) for part in (inputs, wider))
    assert (two[..., 4] - two[..., 0]).numpy() == pytest.approx(2 * (one[..., 4] - one[..., 0]).numpy(), rel=1e-3)


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


def test_quantiles_of_other_weights_are_moved_halfway_to_the_width_of_those_that_were_calibrated():
    """Each window in its own unit, or one of large values would decide for all."""
    size, apart = torch.tensor([1.0, 1_000.0])[:, None, None], torch.tensor([[-3.0, -1, 0, 2, 4], [-6, -2, 0, 2, 6]])
    tested = 50 + size * apart
    final = 70 + size * apart * torch.tensor([0.25, 4, 1, 1, 0.0625])
    assert_close(widened(tested, final, 2), torch.tensor([2, 0.5, 1, 1, 4]).expand(2, -1))
    assert_close(widened(tested, final, 2, 0.0), torch.tensor([4, 0.25, 1, 1, 16]).expand(2, -1))
    assert_close(widened(tested, final, 2, 0.5), torch.tensor([4, 0.25, 1, 1, 16]).pow(0.75).expand(2, -1))
    unlike = torch.cat([70 + apart[None], 70 + 3_000 * apart[None]])  # as wide, and three times as wide
    assert_close(widened(tested, unlike, 2)[:, BOUNDS], torch.full((2, 4), (0.75 / 1.25) ** 0.5))
    certain = torch.cat([tested[:1], 50 + 1e-6 * apart[None]])
    assert_close(widened(certain, tested, 2)[:, BOUNDS], torch.full((2, 4), (0.5 / 1.5) ** 0.5))
    assert_close(widened(tested, tested[..., 2:3].expand_as(tested), 2), torch.ones(2, 5))  # closed, by whatever
