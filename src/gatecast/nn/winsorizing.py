"""Spikes, values far from all that lie beside them and a season away, are cut off: forecasts are not to repeat them.

A wrong entry or an hour like no other stays in the simple forecasts for as long as they look back: the last season
repeats it, a mean season holds a share of it. So its excess over what is usual is taken away (Dixon, Annals of
Mathematical Statistics 31(2), 1960, after Winsor). The level after a shift has neighbours on it, and what comes every
season has them a season away: both stay as they are.
"""

import torch
from jaxtyping import Bool, Float, Int
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
    changes = _apart(x, observed, 1)
    most = FAR * changes.nansum(1, keepdim=True) / (changes > 0).sum(1, keepdim=True).clamp(min=1)
    far = (changes > most).any(1)
    if not answers_at_once(x.device):
        return torch.where(far[:, None], _cut(x, observed, seasons, most), x)
    rows = far.nonzero()[:, 0]
    return x.index_copy(0, rows, _cut(x[rows], observed[rows], seasons, most[rows])) if len(rows) else x


def _cut(
    x: Float[Tensor, "B C"], observed: Bool[Tensor, "B C"], seasons: tuple[int, ...], most: Float[Tensor, "B 1"]
) -> Float[Tensor, "B C"]:
    above = x - x.gather(1, _nearest(x, observed, seasons))
    return torch.where(above.abs() > most, x - above + torch.sign(above) * most, x)  # others to the last bit


@torch.no_grad()
def _nearest(x: Float[Tensor, "B C"], observed: Bool[Tensor, "B C"], seasons: tuple[int, ...]) -> Int[Tensor, "B C"]:
    """The place of the nearest neighbour of each value; its own without one."""
    apart, places = torch.full_like(x, torch.inf), torch.arange(x.shape[1], device=x.device)
    nearest = places.repeat(len(x), 1)
    for lag in (lag for lag in dict.fromkeys((1, *seasons)) if 2 * lag <= x.shape[1]):
        away = _apart(x, observed, lag)
        for here, there in ((slice(lag, None), slice(None, -lag)), (slice(None, -lag), slice(lag, None))):
            nearer = away < apart[:, here]
            nearest[:, here] = torch.where(nearer, places[there], nearest[:, here])
            apart[:, here] = torch.where(nearer, away, apart[:, here])
    return nearest


def _apart(x: Float[Tensor, "B C"], observed: Bool[Tensor, "B C"], lag: int) -> Float[Tensor, "B T"]:
    """How far values are from those so many steps before; NaN where one of them is missing."""
    apart = (x[:, lag:] - x[:, :-lag]).abs()
    return apart if gapless(observed) else apart.masked_fill(~(observed[:, lag:] & observed[:, :-lag]), torch.nan)
