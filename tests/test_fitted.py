"""Calibration that makes intervals hold, and fitted weights meeting the series of another panel."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from gatecast.data.scaling import Scaler
from gatecast.data.windows import Inputs
from gatecast.fitted import FEW, NEVER, Fitted, find
from gatecast.nn.network import Network, Shape

LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95)
BOUNDS = [0, 1, 3, 4]  # calibration moves these and leaves the median
CONTEXT, HORIZON = 8, 3
CPU = torch.device("cpu")


def fitted_of(probabilities=LEVELS, scaler=None, seen=(9, 9)):
    """Untrained weights that have learnt nothing, so that calibration has all the work."""
    torch.manual_seed(0)
    shape = Shape(CONTEXT, HORIZON, 2, 0, probabilities, (1,), 4, 1, 0.0, True)
    shifts = torch.zeros(HORIZON, len(LEVELS))
    return Fitted(Network(shape).eval(), scaler or Scaler("window"), (), LEVELS, shifts, np.array(seen))


def windows_of(count, seed=0):
    """Inputs and a truth whose spread grows with the step and whose middle lies too high."""
    rng = torch.Generator().manual_seed(seed)
    context = 50 + 10 * torch.randn(count, CONTEXT, generator=rng)
    observed = torch.ones_like(context, dtype=torch.bool)
    inputs = Inputs(context, observed, torch.zeros(count, CONTEXT + HORIZON, 0), torch.zeros(count, dtype=torch.long))
    truth = 55 + 10 * torch.arange(1, HORIZON + 1) * torch.randn(count, HORIZON, generator=rng)
    return inputs, truth


def calibrated(fitted, inputs, truth, observed=None):
    loc, scale = fitted.scaler(inputs.context, inputs.observed, inputs.series)
    residuals = ((truth - loc) / scale)[..., None] - fitted.scaled(inputs, loc, scale)
    return fitted.calibrated(
        residuals.detach(), torch.ones_like(truth, dtype=torch.bool) if observed is None else observed
    )


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
    assert torch.equal(fitted.shifts, fitted.shifts[:1].expand(HORIZON, -1))
    below = shares_below(fitted, inputs, truth).mean(0)[BOUNDS].tolist()
    assert below == pytest.approx([LEVELS[index] for index in BOUNDS], abs=2 / truth.numel())
    many = calibrated(fitted_of(), *windows_of(FEW))
    assert (many.shifts[2, 4] - many.shifts[2, 0]) > 1.5 * (many.shifts[0, 4] - many.shifts[0, 0])


def test_what_was_not_observed_does_not_count():
    inputs, truth = windows_of(100)
    observed = torch.arange(100)[:, None] % 2 == torch.zeros(HORIZON, dtype=torch.long)
    masked = calibrated(fitted_of(), inputs, torch.where(observed, truth, 1e9), observed)
    half = replace(inputs, **{name: getattr(inputs, name)[::2] for name in vars(inputs) if name != "static"})
    assert torch.equal(masked.shifts, calibrated(fitted_of(), half, truth[::2]).shifts)


def test_nothing_observed_shifts_nothing():
    inputs, truth = windows_of(5)
    fitted = calibrated(fitted_of(), inputs, truth, torch.zeros_like(truth, dtype=torch.bool))
    assert fitted.shifts.abs().max() == 0


def test_a_point_network_keeps_its_point_and_gets_intervals_around_it():
    inputs, truth = windows_of(400)
    fitted = calibrated(fitted_of(()), inputs, truth)
    loc, scale = fitted.scaler(inputs.context, inputs.observed, inputs.series)
    with torch.inference_mode():
        point = fitted.network((inputs.context - loc) / scale, inputs.observed, inputs.calendar) * scale[..., None]
        quantiles = fitted.quantiles(inputs)
    assert torch.equal(quantiles[..., fitted.middle], (point + loc[..., None])[..., 0])
    assert (quantiles[..., 4] - quantiles[..., 0] > 10).all()


def test_quantiles_never_cross_whatever_calibration_does():
    fitted = fitted_of()
    crossed = replace(fitted, shifts=torch.randn(HORIZON, len(LEVELS), generator=torch.Generator().manual_seed(3)) * 9)
    inputs, _ = windows_of(50)
    with torch.inference_mode():
        loc, scale = fitted.scaler(inputs.context, inputs.observed, inputs.series)
        assert (fitted.scaled(inputs, loc, scale).add(crossed.shifts).diff(dim=-1) < 0).any()
        assert (crossed.quantiles(inputs).diff(dim=-1) >= 0).all()


def test_no_quantile_lies_below_the_least():
    inputs, _ = windows_of(50)
    wide = replace(fitted_of(), shifts=torch.tensor([[-30.0, -20, 0, 20, 30]]).expand(HORIZON, -1))
    with torch.inference_mode():
        free, bound = wide.quantiles(inputs), replace(wide, least=0.0).quantiles(inputs)
    assert free.min() < 0
    assert torch.equal(bound, free.clamp(min=0))


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
    loc, scale = found.scaler(context, observed, torch.arange(3))
    assert loc[:, 0].tolist() == [10, 7, 2]  # a new series is scaled by what the window holds of it
    assert scale[:, 0].tolist() == [40, 2, 6]
    assert fitted.scaler.fixed[0][:, 0].tolist() == [2, 10]  # the fitted one is as it was


def test_known_needs_no_scale_where_each_window_has_its_own():
    found = fitted_of().known(np.array([-1, 1]))
    assert found.scaler == Scaler("window")
    assert found.seen.tolist() == [NEVER, 9]
