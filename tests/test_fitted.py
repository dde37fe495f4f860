"""Fitted weights: what they say within bounds, and the series of another panel."""

from dataclasses import replace

import numpy as np
import torch
from torch.testing import assert_close

from gatecast.corrections import Corrections
from gatecast.data.scaling import Scaler
from gatecast.fitted import NEVER
from gatecast.nn.winsorizing import winsorized
from untrained import CONTEXT, HORIZON, LEVELS, fitted_of, windows_of


def test_all_quantiles_move_towards_the_naive_forecast_and_none_crosses():
    inputs, _ = windows_of(50)
    fitted = fitted_of()
    with torch.inference_mode():
        alone, half, none = (replace(fitted, share=share).quantiles(inputs) for share in (1.0, 0.5, 0.0))
    naive = inputs.context[:, -1:].expand(-1, HORIZON)
    assert_close(none[..., fitted.middle], naive)
    assert_close(half, (alone + none) / 2)
    assert_close(none - naive[..., None], alone - alone[..., fitted.middle, None], rtol=1e-3, atol=1e-3)


def test_windows_with_little_history_have_corrections_of_their_own():
    fitted, (inputs, _) = fitted_of(), windows_of(50)
    short = Corrections(0.0, torch.full((HORIZON, len(LEVELS)), 3.0), torch.full((len(LEVELS),), 9.0))
    seen = torch.arange(CONTEXT) >= torch.tensor([[CONTEXT - 1], [0]]).repeat(25, 1)
    inputs = replace(inputs, context=inputs.context * seen, observed=seen)
    with torch.inference_mode():
        found, raw = (call(inputs) for call in (lambda x: replace(fitted, short=(short,)).quantiles(x), fitted.raw))
        assert_close(found[1::2], fitted.quantiles(inputs)[1::2])
        assert_close(replace(fitted, short=(short,)).raw(inputs)[..., 2], found[..., 2])
    new, naive = raw[::2], inputs.context[::2, -1:]
    assert_close(found[::2], naive[..., None] + 3 * (new - new[..., 2:3]), rtol=1e-4, atol=1e-4)


def test_a_season_longer_than_the_context_leaves_the_last_value():
    inputs, _ = windows_of(5)
    assert torch.equal(
        replace(fitted_of(), season=CONTEXT + 1).naive(inputs), inputs.context[:, -1:].expand(-1, HORIZON)
    )


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


def test_a_bound_that_nobody_gave_gives_way_where_the_context_lies_below_it():
    """Temperatures of a summer have no value below zero; their winter has."""
    inputs, _ = windows_of(2)
    context = torch.stack([inputs.context[0].abs() + 1, -inputs.context[0].abs() - 1])
    inputs = replace(inputs, context=context)
    wide = replace(fitted_of(), stretch=torch.full((HORIZON, len(LEVELS)), 90.0))
    with torch.inference_mode():
        free = wide.quantiles(inputs)
        given, found = (
            replace(wide, bounds=(0.0, 99.0), bounds_given=part).quantiles(inputs) for part in (True, False)
        )
    assert (free[:, :, 0] < 0).all()
    assert torch.equal(given, free.clamp(0, 99))
    assert torch.equal(found, torch.stack([free[0].clamp(0, 99), free[1].clamp(max=99)]))


def test_a_series_that_was_below_a_bound_that_nobody_gave_has_none_and_so_has_a_new_one():
    inputs, _ = windows_of(3)
    inputs = replace(inputs, context=inputs.context.abs() + 1, series=torch.tensor([2, 0, 1]))
    wide = replace(fitted_of(), stretch=torch.full((HORIZON, len(LEVELS)), 90.0), bounds=(0.0, 99.0))
    partly = replace(wide, bounds_given=False, below=torch.tensor([True, False, False]))
    with torch.inference_mode():
        free = replace(wide, bounds=(-torch.inf, 99.0)).quantiles(inputs)
        assert free[:, :, 0].max() < 0
        whole = free.clamp(min=0)
        assert torch.equal(partly.quantiles(inputs), torch.stack([whole[0], free[1], whole[2]]))
        other = replace(partly, seen=np.array([7, 8, 9])).for_series(np.array([-1, 0, 1]))
        assert torch.equal(other.quantiles(inputs), torch.stack([whole[0], free[1], free[2]]))
    assert other.seen.tolist() == [NEVER, 7, 8]


def test_each_series_takes_its_own_scale_and_newest_step():
    scaler = Scaler.fit("minmax", [torch.tensor(part) for part in ([2.0, 4, 6, 8], [10.0, 30, 20, 50])])
    fitted = fitted_of(scaler=scaler, seen=(3, 5))
    found = fitted.for_series(np.array([1, -1, 0]))
    assert found.seen.tolist() == [5, NEVER, 3]
    context = torch.tensor([[7.0, 9, 99]]).expand(3, 3)
    observed = torch.tensor([[True, True, False]]).expand(3, 3)
    unit = found.scaler(context, observed, torch.arange(3))
    loc, scale = unit.loc, unit.scale
    assert loc[:, 0].tolist() == [10, 7, 2]  # a new series is scaled by what the window holds of it
    assert scale[:, 0].tolist() == [40, 2, 6]
    assert fitted.scaler.fixed[0][:, 0].tolist() == [2, 10]  # the fitted one is as it was


def test_no_scale_is_needed_where_each_window_has_its_own():
    found = fitted_of().for_series(np.array([-1, 1]))
    assert found.scaler == Scaler("window")
    assert found.seen.tolist() == [NEVER, 9]


def test_the_naive_forecast_repeats_no_spike_that_the_networks_do_not_read(monkeypatch):
    monkeypatch.setattr("gatecast.nn.winsorizing.FAR", 1)  # the context is short
    fitted = fitted_of()
    network = fitted.network.networks[0]
    network.shape = replace(network.shape, winsorized=True)
    inputs = windows_of(1)[0]
    spiky = replace(inputs, context=torch.tensor([[5.0, 6, 5, 6, 5, 900, 5, 6]]))
    naive = replace(fitted, season=4).naive(spiky)
    assert naive[0].tolist() == [5, winsorized(spiky.context, inputs.observed, (1,))[0, 5], 5]
    assert 6 < naive[0, 1] < 900
