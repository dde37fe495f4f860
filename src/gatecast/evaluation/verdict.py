"""One honest sentence: is the model better than repeating the last season, and is that more than luck?"""

from dataclasses import dataclass

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
    count = _apart(backtest)
    if base == 0 or count < LEAST:
        reason = "the seasonal naive makes no error" if base == 0 else f"only {count} windows do not overlap"
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


def _apart(backtest: Backtest) -> int:
    """How many windows there would be without overlap, over all series."""
    horizon, count = backtest.truth.shape[1], 0
    for series in np.unique(backtest.series):
        cutoffs = backtest.cutoffs[backtest.series == series]
        count += min(len(cutoffs), int((cutoffs.max() - cutoffs.min()) // horizon) + 1)
    return count
