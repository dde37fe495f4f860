"""One honest sentence: is the model better than the seasonal naive forecast, and is that more than luck?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gatecast.data.arrays import Flags
from gatecast.data.table import BASELINES, SEASONAL
from gatecast.evaluation.backtest import Backtest
from gatecast.evaluation.bootstrap import CONFIDENCE, Estimate
from gatecast.evaluation.detections import detect

MIN_WINDOWS = 5
"""Fewest windows without overlap for a verdict."""
MORE = "more rows, a larger --test or a shorter --horizon give more"
"""What to do about too few."""
LEAST = 0.05
"""Skill in percent that counts: less is told as 0.0."""
STRICT_CONFIDENCE = 99
"""Confidence in percent where the best of several horizons is looked for: more looks, more luck."""


@dataclass(frozen=True)
class Verdict:
    """The verdict of a test.

    Attributes:
        use: whether the model beats the seasonal naive forecast, if only on its first steps.
        skill: share of the seasonal naive's absolute error that the model saves, in percent.
        low: lower bound of the skill's interval.
        high: upper bound of the skill's interval.
        steps: how many of its steps to use; 0 if none.
        reasons: what was noticed: a name → a sentence.
    """

    use: bool
    sentence: str
    skill: float = 0.0
    low: float = 0.0
    high: float = 0.0
    steps: int = 0
    reasons: Mapping[str, str] = field(default_factory=dict)


def judge(backtest: Backtest, history: Sequence[Mapping[str, Any]] = (), kept: int = 0) -> Verdict:
    """Compare the model's absolute errors with those of each baseline, and report what else was noticed.

    Args:
        history: the epochs of training, as in `history.jsonl`.
        kept: the one of them whose weights are tested.
    """
    count = _apart(backtest, np.asarray(backtest.compared(SEASONAL).any(1)))
    skill = backtest.skills[SEASONAL] if count >= MIN_WINDOWS else None
    if skill is None:
        few = f"windows without overlap: {count}, at least {MIN_WINDOWS} are needed ({MORE})"
        reason = few if count < MIN_WINDOWS else "the seasonal naive makes no error"
        return Verdict(False, f"Not enough evidence: {reason}.")
    reasons = _rivals(backtest) | detect(backtest, history, kept)
    steps, name = _steps(backtest, skill), _named(backtest)
    if steps == backtest.horizon:
        sentence = f"Use it: {_told(skill, name)}."
    elif steps:
        near = backtest.skill(SEASONAL, slice(0, steps)) or skill
        sentence = f"Use it for {_span(steps)} of {backtest.horizon} only: there {_told(near, name)}."
    elif skill.high < 0:
        sentence = f"Use the seasonal naive forecast instead: {_told(skill, name)}."
    else:
        no_better = "the model is no better, as far as this test can tell"
        sentence = f"Use the seasonal naive forecast: {no_better}; {_told(skill, name)}."
    return Verdict(steps > 0, sentence, skill.value, skill.low, skill.high, steps, reasons)


def _steps(backtest: Backtest, skill: Estimate) -> int:
    """How many steps ahead the model is better, in quarters of the horizon."""
    ends = sorted({max(1, backtest.horizon * part // 4) for part in (1, 2, 3, 4)})
    if skill.low >= LEAST:
        while len(ends) > 1:  # a late part that is clearly worse is cut off
            late = backtest.skill(SEASONAL, slice(ends[-2], ends[-1]), STRICT_CONFIDENCE)
            if late is None or late.high >= 0:
                break
            ends.pop()
        return ends[-1]
    early = ((end, backtest.skill(SEASONAL, slice(0, end), STRICT_CONFIDENCE)) for end in ends[:-1])
    return max((end for end, found in early if found is not None and found.low >= LEAST), default=0)


def _rivals(backtest: Backtest) -> dict[str, str]:
    """Other baselines that are clearly better than the model."""
    found = {}
    for name, skill in backtest.skills.items():
        if name != SEASONAL and skill is not None and skill.high < 0:
            found[f"beaten_by_{name}"] = f"{BASELINES[name]} is better: the model's error is {_range(skill)} its."
    return found


def _told(skill: Estimate, name: str) -> str:
    return f"its error is {_range(skill)} that of the {name}"


def _range(skill: Estimate) -> str:
    """'22.1 % below', and the interval."""
    side = "below" if skill.value > 0 else "above"
    low, high = (skill.low, skill.high) if skill.value > 0 else (-skill.high, -skill.low)
    return f"{abs(skill.value):.1f} % ({CONFIDENCE} % interval {low:z.1f} to {high:z.1f}) {side}"


def _named(backtest: Backtest) -> str:
    season = backtest.season
    return "naive forecast (the last value repeated)" if season == 1 else f"seasonal naive (season {season:,})"


def _span(steps: int) -> str:
    return "step 1" if steps == 1 else f"steps 1-{steps}"


def _apart(backtest: Backtest, seen: Flags) -> int:
    """How many observed windows can be chosen so that no two of a series overlap."""
    count, end = 0, dict[int, int]()
    for series, cutoff in sorted(zip(backtest.series[seen].tolist(), backtest.cutoffs[seen].tolist(), strict=True)):
        if cutoff >= end.get(series, cutoff):
            count += 1
            end[series] = cutoff + backtest.horizon
    return count
