"""Simple forecasts of a window, of which the network learns a mixture to start from.

For each season: its last values repeated (the seasonal naive forecast), and the exponentially
smoothed level of the seasonally adjusted values with the season added back, at several rates
(Holt-Winters without its trend). A year of days is seen so seldom that its mean is smoothed, and the week
goes with it. The slope of the line through the window is added: half
of it is the drift of the Theta method (Assimakopoulos & Nikolopoulos, IJF 16(4), 2000).
For intermittent demand, a target that is often zero, the median of all values is one more.

What the LSTM reads beside the values, those without their season, comes from the same means.
"""

from functools import cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from gatecast.nn.devices import answers_at_once
from gatecast.nn.masks import gapless, only

RATES = (0.1, 0.3, 0.6)
"""Smoothing rates: the weight of the newest value; older weights shrink by the factor 1 - rate per step."""
AROUND, SLOW = 5, (0.02, 0.1, 0.3)
"""The mean of a rare season at each place is that of AROUND of the shortest about it, and the level beside it hardly
moves: its smoothing rates are SLOW."""
LEAST = 1e-30
"""Smaller weights count as zero: products of denormal numbers take a hundred times as long."""
Simple = tuple[Float[Tensor, "*n H K"], Float[Tensor, "*n H"], Float[Tensor, "*n _"]]
"""Simple forecasts, the drift, and the newest values without their season."""
LARGEST, MANY = 1_000_000, 64
"""Most entries of a matrix that is faster than the computation it replaces; four times as many for MANY windows."""


def starting_points(
    x: Float[Tensor, "B C"], observed: Bool[Tensor, "B C"], seasons: tuple[int, ...], horizon: int, reach: int = 0
) -> Simple:
    """Forecasts by each method, the drift (steps ahead times the slope of the window), and values without their season.

    If nothing is missing, all are linear in the values, and one matrix product gives them.

    Args:
        x: 0 where not observed.
        seasons: in steps; 1 for none.
        reach: R, how many of the newest values are wanted without the longest season that is seen twice.
    """
    context, methods = x.shape[1], len({1, *seasons}) + len(RATES) * len(set(seasons))
    entries = context * max(context, (methods + 1) * horizon + reach)
    if entries > LARGEST * (4 if len(x) >= MANY else 1) or not (
        gapless(observed) or (answers_at_once(x.device) and observed.all())
    ):
        return _each(x, observed, seasons, horizon, reach)
    found = x @ _matrix(context, seasons, horizon, reach, x.dtype)
    points, drift, adjusted = torch.split(found, [methods * horizon, horizon, reach], 1)
    return points.view(len(x), horizon, methods), drift, adjusted


def median(x: Float[Tensor, "B C"], observed: Bool[Tensor, "B C"], horizon: int) -> Float[Tensor, "B H 1"]:
    """The median of the observed values (the lower of two, so that it is an observed value), 0 if there are none."""
    middle = only(x, observed, torch.nan).nanmedian(1).values.nan_to_num()
    return middle[:, None, None].expand(-1, horizon, 1)


def is_rare(season: int, shortest: int) -> bool:
    """Whether a season is seen seldom, but holds many of the shortest, as a year of days does."""
    return 16 * shortest < season <= 400


@cache
def _matrix(
    context: int, seasons: tuple[int, ...], horizon: int, reach: int, dtype: torch.dtype
) -> Float[Tensor, "C M"]:
    """What each value of a context contributes to each forecast, to the drift and to each value without its season."""
    with torch.inference_mode(False):  # kept for training, too
        one = torch.eye(context, dtype=torch.float64)
        points, drift, adjusted = _each(one, torch.ones_like(one, dtype=torch.bool), seasons, horizon, reach)
        return torch.cat([points.flatten(1), drift, adjusted], 1).to(dtype)


def _each(
    x: Float[Tensor, "B C"], observed: Bool[Tensor, "B C"], seasons: tuple[int, ...], horizon: int, reach: int
) -> Simple:
    """The same, with any values missing."""
    seen = observed.to(x.dtype)
    context, shortest = x.shape[1], min(seasons, default=1)
    back, weights, ahead_of_end = _times(context, horizon, x.dtype, x.device)
    mean, slope, time = line(x, seen, back)
    apart = torch.addcmul(x - mean, slope, time, value=-1).mul_(seen)
    found = [seasonal_repeat(x, observed, season, horizon)[..., None] for season in dict.fromkeys((1, *seasons))]
    adjusted, longest = x, max((season for season in seasons if 2 * season <= context), default=1)
    for season in dict.fromkeys(seasons):
        rare = is_rare(season, shortest) and context >= 2 * season
        pattern = seasonal_means(apart, seen, season, AROUND * shortest if rare else 1)
        whole, ahead = _repeated(pattern, context, horizon)
        if rare:
            within = seasonal_means((apart - whole) * seen, seen, shortest)
            whole, ahead = map(torch.add, (whole, ahead), _repeated(within, context, horizon))
        rates, without = weights[int(rare)], torch.addcmul(x, whole, seen, value=-1)
        adjusted = without if season == longest else adjusted
        level = (without @ rates) / (seen @ rates).clamp(min=torch.finfo(x.dtype).tiny)
        found.append(level[:, None] + ahead[..., None])
    return torch.cat(found, -1), slope * ahead_of_end, adjusted[:, context - reach :]


def _repeated(
    pattern: Float[Tensor, "B S"], context: int, horizon: int
) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B H"]]:
    """A season at each step of a context, which ends with a whole one, and of the horizon after it."""
    season = pattern.shape[1]
    return (
        pattern.repeat(1, -(-context // season))[:, -context:],
        pattern.repeat(1, -(-horizon // season))[:, :horizon],
    )


@cache
def _times(
    context: int, horizon: int, dtype: torch.dtype, device: torch.device
) -> tuple[Float[Tensor, "C"], Float[Tensor, "2 C 3"], Float[Tensor, "H"]]:
    """Steps back in a context, the weight of each at each rate (those of a rare season last), and steps ahead."""
    with torch.inference_mode(False):  # kept for training, too
        back = torch.arange(context - 1, -1, -1, device=device, dtype=dtype)
        weights = functional.threshold(torch.stack([(1 - rate) ** back for rate in RATES + SLOW]), LEAST, 0)
        weights = weights.view(2, -1, context).mT.contiguous()
        return back, weights, torch.arange(1, horizon + 1, device=device, dtype=dtype)


def line(
    x: Float[Tensor, "B C"], seen: Float[Tensor, "B C"], back: Float[Tensor, "C"]
) -> tuple[Float[Tensor, "B 1"], Float[Tensor, "B 1"], Float[Tensor, "B C"]]:
    """Mean of the observed values, slope per step of the least-squares line through them, and time from its middle."""
    count = seen.sum(1, keepdim=True).clamp(min=1)
    time = (seen @ back)[:, None] / count - back
    mean = x.sum(1, keepdim=True) / count
    apart = time * seen
    return mean, (x - mean).mul_(apart).sum(1, keepdim=True) / apart.square().sum(1, keepdim=True).clamp(min=1), time


def seasonal_means(
    apart: Float[Tensor, "B C"], seen: Float[Tensor, "B C"], season: int, around: int = 1
) -> Float[Tensor, "B S"]:
    """Mean distance from the line at each place in a season, and `around` it; 0 where seen fewer than two times."""
    size, whole = len(apart), apart.shape[1] // season * season
    if season == 1 or whole < 2 * season:
        return apart.new_zeros(size, season)
    count, total = (part[:, -whole:].reshape(size, -1, season).sum(1) for part in (seen, apart))
    if around > 1:
        count, total = (_circled(part, around // 2) for part in (count, total))
    pattern = total / count.clamp(min=1)
    return (pattern - pattern.mean(1, keepdim=True)) * (count > 1)


def _circled(part: Float[Tensor, "B S"], half: int) -> Float[Tensor, "B S"]:
    """At each place in a circle, the sum of it and of `half` places on either side."""
    padded = functional.pad(part[:, None], (half, half), mode="circular")
    mean: Tensor = functional.avg_pool1d(padded, 2 * half + 1, 1)[:, 0]
    return mean * (2 * half + 1)


def seasonal_repeat(
    x: Float[Tensor, "B C"], observed: Bool[Tensor, "B C"], season: int, horizon: int
) -> Float[Tensor, "B H"]:
    """The last season repeated over the horizon; missing values (0 in `x`) are taken from earlier seasons.

    If no season has the value, it is the mean of the observed ones. With a season of 1 this is
    the last value repeated (the naive forecast).
    """
    whole = x.shape[1] // season * season
    seasons = x[:, -whole:].reshape(len(x), -1, season)
    seen = observed[:, -whole:].reshape(len(x), -1, season)
    if answers_at_once(x.device) and seen[:, -1].all():  # nearly always
        return seasons[:, -1].repeat(1, -(-horizon // season))[:, :horizon]
    place = torch.arange(seasons.shape[1], device=x.device)[:, None]
    newest = (seen * place).amax(1, keepdim=True)  # 0 if none was observed
    mean = x.sum(1, keepdim=True) / observed.sum(1, keepdim=True).clamp(min=1)
    last = torch.where(seen.any(1), seasons.gather(1, newest).squeeze(1), mean)
    return last.repeat(1, -(-horizon // season))[:, :horizon]
