"""Spikes, values far from all that lie beside them and a season away, are cut off: forecasts are not to repeat them.

A wrong entry or an hour like no other stays in the simple forecasts for as long as they look back: the last season
repeats it, a mean season holds a share of it. So its excess over what is usual is taken away (Dixon, Annals of
Mathematical Statistics 31(2), 1960, after Winsor). The level after a shift has neighbours on it, and what comes every
season has them a season away: both stay as they are.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gatecast.nn.devices import answers_at_once
from gatecast.nn.masks import gapless

FAR = 4.5
"""Times the mean change from one value to the next, where there is one, that a value may be away from its nearest
neighbour. Of a price that seldom changes, a change is as large as usual."""


def winsorized(
    x: Float[Tensor, "B C"], observed: Bool[Tensor, "B C"], seasons: tuple[int, ...]
) -> Float[Tensor, "B C"]:
    """Windows with values far from their nearest neighbour moved towards it, until they are not.

    The neighbours of a value are those before and after it, and those at its place in the seasons before and after.
    Windows in which no value is far from the one before it are left as they are.
    """
    changes = _changes(x, observed, 1, 0.0).abs()
    most = FAR * changes.sum(1, keepdim=True) / changes.count_nonzero(1).clamp(min=1)[:, None]
    far = (changes > most).any(1)
    if not answers_at_once(x.device):
        return torch.where(far[:, None], _cut(x, observed, seasons, most), x)
    rows = far.nonzero()[:, 0]
    if not len(rows):
        return x
    seen = observed[: len(rows)] if gapless(observed) else observed[rows]  # still a view of one value
    return x.index_copy(0, rows, _cut(x[rows], seen, seasons, most[rows]))


def _cut(
    x: Float[Tensor, "B C"], observed: Bool[Tensor, "B C"], seasons: tuple[int, ...], most: Float[Tensor, "B 1"]
) -> Float[Tensor, "B C"]:
    above = torch.full_like(x, torch.inf)  # its nearest neighbour; infinitely without one
    for lag in (lag for lag in dict.fromkeys((1, *seasons)) if 2 * lag <= x.shape[1]):
        change = _changes(x, observed, lag, torch.inf)
        for places, away in ((slice(lag, None), change), (slice(None, -lag), -change)):
            above[:, places] = torch.where(away.abs() < above[:, places].abs(), away, above[:, places])
    far = (above.abs() > most) & above.isfinite()
    return torch.where(far, x - above + torch.sign(above) * most, x)  # others to the last bit


def _changes(x: Float[Tensor, "B C"], observed: Bool[Tensor, "B C"], lag: int, missing: float) -> Float[Tensor, "B T"]:
    """Changes over so many steps, and what stands for one of which an end is missing."""
    changes = x[:, lag:] - x[:, :-lag]
    return changes if gapless(observed) else changes.masked_fill(~(observed[:, lag:] & observed[:, :-lag]), missing)
