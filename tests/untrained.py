"""Weights that have learnt nothing, and windows whose truth no one could know: calibration has all the work."""

import numpy as np
import torch

from gatecast.calibration import HeldBack
from gatecast.data.scaling import Scaler, flat
from gatecast.data.windows import Inputs
from gatecast.ensemble import Ensemble
from gatecast.fitted import Fitted
from gatecast.nn.network import Network, Shape

LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95)
BOUNDS = [0, 1, 3, 4]  # calibration moves these and leaves the median
CONTEXT, HORIZON = 8, 3


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
    return HeldBack(alone, naive, truth, observed, still, inputs.observed.sum(1), apart)


def calibrated(fitted, inputs, truth, observed=None, apart=10**9):
    return fitted.calibrated(held(fitted, inputs, truth, observed, apart))


def shares_below(fitted, inputs, truth):
    """Share of the truth below each quantile, for each step."""
    with torch.inference_mode():
        return (truth[..., None] <= fitted.quantiles(inputs)).double().mean(0)
