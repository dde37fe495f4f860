"""One honest sentence: is the model better than repeating the last season, and is that more than luck?"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gatecast.evaluation.backtest import Backtest

LUCK = 2.0
"""Standard errors a difference must exceed to be believed."""
LEAST = 5
"""Windows below which nothing is believed."""


@dataclass(frozen=True)
class Verdict:
    """What the test says.

    Attributes:
        skill: share of the seasonal naive's absolute error that the model saves, in percent.
        margin: half width of the range that the skill's error leaves open, in percent.
    """

    use: bool
    sentence: str
    skill: float
    margin: float


def judge(backtest: Backtest) -> Verdict:
    """Compare the model's absolute errors with the seasonal naive's, window by window.

    Windows overlap in time, so their number is reduced to those that do not before the
    standard error is taken.
    """
    ours, naive = (np.abs(points - backtest.truth) for points in (backtest.points, backtest.naive))
    both = ~np.isnan(ours) & ~np.isnan(naive)
    weight = both.sum(1)
    seen = weight > 0
    gain = np.where(both, naive - ours, 0).sum(1)[seen]
    base = float(np.where(both, naive, 0).sum())
    count = _apart(backtest, seen)
    if count < LEAST or base == 0:
        reason = f"only {count} windows do not overlap" if count < LEAST else "the seasonal naive makes no error"
        return Verdict(False, f"Not enough evidence: {reason}.", 0.0, 0.0)
    skill = 100 * float(gain.sum()) / base
    margin = 100 * LUCK * float(gain.std(ddof=1)) * len(gain) / base / float(np.sqrt(count))
    told = f"its error is {abs(skill):.1f} % {'below' if skill > 0 else 'above'} the seasonal naive's (± {margin:.1f})"
    if skill > margin:
        return Verdict(True, f"Use it: {told}.", skill, margin)
    if skill < -margin:
        return Verdict(False, f"Use the seasonal naive forecast instead: {told}.", skill, margin)
    return Verdict(
        False, f"No better than the seasonal naive forecast, as far as this test can tell: {told}.", skill, margin
    )


def _apart(backtest: Backtest, seen: np.ndarray[Any, np.dtype[np.bool_]]) -> int:
    """How many observed windows can be chosen so that no two of a series overlap."""
    count, end = 0, dict[int, int]()
    for series, cutoff in sorted(zip(backtest.series[seen].tolist(), backtest.cutoffs[seen].tolist(), strict=True)):
        if cutoff >= end.get(series, cutoff):
            count += 1
            end[series] = cutoff + backtest.truth.shape[1]
    return count
