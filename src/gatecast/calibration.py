"""What held-back windows show: how much weight the networks deserve, and how wide intervals must be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gatecast.points import mean_weights

DOUBT = 10
"""Windows without overlap at which their evidence gets half of the weight (for factors, in logarithms)."""
CLEARLY = 0.05
"""Share of its error by which a forecast is clearly better than another."""
SHARES = 21
"""How many shares of the networks are tried, from 0 to 1."""
FEW = 40
"""Windows below which calibration pools the steps of the horizon."""
NARROWEST = 0.1
"""Least factor, so that a few windows without an error do not close the interval."""


@dataclass(frozen=True)
class HeldBack:
    """Forecasts of windows that the networks were not trained on, and the truth.

    Attributes:
        raw: quantiles before calibration.
        naive: the seasonal naive forecast.
        flat: windows whose context is constant.
        history: how many values of each window's context were observed.
        apart: how many of the windows do not overlap; few are weak evidence.
    """

    raw: Float[Tensor, "W H P"]
    naive: Float[Tensor, "W H"]
    truth: Float[Tensor, "W H"]
    observed: Bool[Tensor, "W H"]
    flat: Bool[Tensor, "W"]
    history: Int[Tensor, "W"]
    apart: int

    def believed(self, sharpness: int = 1) -> float:
        """The weight of these windows against what was trained, 0 to 1; a half at `DOUBT` windows apart.

        Args:
            sharpness: 1 as a mean of noisy windows is weighed against a prior; 2 where fewer windows should
                count for hardly anything and more for nearly all.
        """
        seen, doubted = math.pow(self.apart, sharpness), math.pow(DOUBT, sharpness)
        return seen / (seen + doubted)

    def beside(self, other: Self) -> Self:
        """These windows and others."""
        names = ("raw", "naive", "truth", "observed", "flat", "history")
        both = {name: torch.cat([getattr(self, name), getattr(other, name)]) for name in names}
        return replace(self, apart=self.apart + other.apart, **both)


def share_of(held: HeldBack, middle: int) -> float:
    """The share of the networks that forecasts held-back windows best (Bates & Granger, OR 20(4), 1969).

    Where there is nothing to learn, as in a random walk, what the networks seem to have learned does harm.
    Where they are clearly better than the naive forecast they get all the weight: held-back windows have
    less history before them than those to be forecast, and favour the naive forecast. Errors of a window
    are measured as shares of both forecasts' errors plus the width between the outermost quantiles: in the
    target's unit a few windows would decide, and as shares of the errors alone those where zeros follow
    zeros, which the naive forecast hits exactly and the networks almost.

    Args:
        middle: index of the median.
    """
    median = held.raw[..., middle]

    def total(sizes: Float[Tensor, "W H"]) -> Float[Tensor, "W"]:
        return sizes.masked_fill(~held.observed, 0).sum(1)

    def error(forecast: Float[Tensor, "W H"]) -> Float[Tensor, "W"]:
        return total((forecast - held.truth).abs())

    width = total(held.raw[..., -1] - held.raw[..., 0])
    unit = (error(median) + error(held.naive) + width).clamp(min=torch.finfo(median.dtype).tiny)
    shares = [1 - number / (SHARES - 1) for number in range(SHARES)]  # of equal ones the largest
    errors = [float((error(torch.lerp(held.naive, median, share)) / unit).sum()) for share in shares]
    better = errors[0] < (1 - CLEARLY) * errors[-1]
    best = 1.0 if better else shares[errors.index(min(errors))]
    return 1 - (1 - best) * held.believed(2)


def mean_share_of(quantiles: Float[Tensor, "W H P"], probabilities: tuple[float, ...], held: HeldBack) -> float:
    """How far from the median towards the mean the squared errors of held-back windows are least, 0 to 1.

    How far the mean lies from the median is decided by the outermost quantiles. Where these are too far out, as where
    growth is expected to go on for years, the mean has larger squared errors than the median.

    Args:
        quantiles: calibrated, of the held-back windows.
    """
    median = quantiles[..., probabilities.index(0.5)]
    mean = quantiles @ quantiles.new_tensor(mean_weights(probabilities))
    away, wrong = ((part - median)[held.observed].double() for part in (mean, held.truth))  # squares exceed float32
    total = float(away.square().sum())
    best = min(max(float(away @ wrong) / total, 0.0), 1.0) if total else 1.0
    return 1 - (1 - best) * held.believed(2)


def stretches(held: HeldBack, probabilities: Sequence[float]) -> tuple[Float[Tensor, "H P"], Float[Tensor, "P"]]:
    """Factors for the distances of quantiles from the median, with which intervals hold on held-back windows.

    Split conformal prediction (Romano et al. 2019) with factors instead of summands, so that intervals
    that are wider before are wider after. The median, which was trained as the point, stays where it is.
    Both sides of it have one factor: many series rise or fall together, and will not again on the same side.

    Returns:
        the factors of each step, and those for windows whose context is constant, which are treated apart.
    """
    sides = torch.sign(held.raw.new_tensor(probabilities) - 0.5)
    median = held.raw[..., probabilities.index(0.5), None]
    distance = (held.raw - median).abs()
    away = (held.truth[..., None] - median) * sides / distance
    away = away.masked_fill(~(held.observed[..., None] & away.isfinite()), torch.nan)
    moving, flat = away[~held.flat], away[held.flat].flatten(0, 1)[:, None]
    if int(moving.isfinite().any(-1).sum(0).min()) < FEW:  # too few for each step on its own: all taken together
        moving = moving.flatten(0, 1)[:, None]
    seen, trained = _factors(moving, probabilities), _least(distance[~held.flat], probabilities)
    stretch = trained ** (1 - held.believed()) * seen.clamp(min=NARROWEST) ** held.believed()
    return stretch.expand(held.truth.shape[1], -1).clone(), _factors(flat, probabilities)[0]


def widened(
    tested: Float[Tensor, "W H P"], final: Float[Tensor, "W H P"], middle: int, taken: float = 1.0
) -> Float[Tensor, "H P"]:
    """Factors for the final weights' distances from the median, halfway (in logarithms) to those of the tested weights.

    Calibration holds for the weights whose errors it was found with. Others that saw more rows, of short series
    twice as many, may be surer of themselves, some of it with reason.

    Args:
        tested: quantiles of the weights that were calibrated, for windows that neither has seen the end of.
        final: those of the other weights.
        middle: index of the median.
        taken: share of their steps that the final weights had the time for. The fewer, the further beyond halfway:
            they have not learned how wide to be.
    """
    both = tested + final  # a window for which one of them is all but certain must not decide for the others
    unit = (both[..., -1:] - both[..., :1]).mean(1, keepdim=True).clamp(min=torch.finfo(tested.dtype).tiny)
    before, after = (((raw - raw[..., middle, None]).abs() / unit).mean(0) for raw in (tested, final))
    return torch.where(after > 0, before / after, 1.0).pow(1 - taken / 2).clamp(min=NARROWEST)


def _factors(away: Float[Tensor, "W H P"], probabilities: Sequence[float]) -> Float[Tensor, "H P"]:
    """The factor that makes each interval of each step hold; 1 without evidence.

    Args:
        away: distance of the truth from the median, on each quantile's side, in units of the quantile's own.
    """
    size, factors = float(away.isfinite().any(-1).sum(0).float().mean()), away.new_ones(away.shape[1:])
    away = torch.maximum(away, away.flip(-1))  # on the side where the truth lies
    for index, probability in enumerate(probabilities[: len(probabilities) // 2 if size else 0]):
        level = (1 - 2 * probability) * (1 + 1 / size)  # with the finite-sample correction (n + 1) / n
        found = away[..., index].nanquantile(min(level, 1.0), 0).nan_to_num(1.0)
        factors[:, [index, -1 - index]] = found[:, None]
    return factors


def _least(distance: Float[Tensor, "W H P"], probabilities: Sequence[float]) -> Float[Tensor, "P"]:
    """Factors that space the quantiles at least as a normal distribution does between the outermost ones.

    Few windows cannot show how peaked errors are, and networks that learned from others make them too peaked.
    """
    scores = distance.new_tensor([abs(NormalDist().inv_cdf(share)) for share in probabilities])
    outer = [0 if probability < 0.5 else -1 for probability in probabilities]
    share = (distance / distance[..., outer]).nan_to_num(1.0).flatten(0, 1).mean(0)
    return (scores / scores[outer] / share).nan_to_num(1.0).clamp(min=1)
