"""The sentences of an insight, with its numbers."""

import math
from collections import Counter
from collections.abc import Sequence

import torch

from gatecast.data.dates import Grid
from gatecast.data.frequency import Frequency
from gatecast.errors import enumerated, in_percent, plural
from gatecast.evaluation.bootstrap import Estimate
from gatecast.evaluation.readable import number
from gatecast.insight.attribution import HARDLY, Attribution
from gatecast.insight.gates import MIN_WINDOWS, STRONG, Gates
from gatecast.insight.memory import SURE, Memory


def uses(memory: Memory, frequency: Frequency) -> str:
    """Whether it uses its memory, and how much of it is enough."""
    context, spread = int(memory.kept[-1]), _times(memory.ratios[0])
    shuffled = f"with all {plural(context, 'step')} shuffled the error is"
    if memory.few:
        times = f"{memory.ratios[0].value:.2f} times as large"
        return f"There are too few test windows to tell what of the context is of use; {shuffled} {times}."
    if not memory.enough:
        return f"Nothing in the context helps measurably: {shuffled} {spread}."
    enough = _span(memory.enough, frequency)
    if memory.enough == context:
        text = f"It uses all {enough} of its context"
    elif memory.alike:
        text = f"With the newest {enough} it does as well as with all {context:,}"
    else:
        text = (
            f"Whether it uses more than the newest {enough} of {context:,} cannot be told from these windows: "
            f"with the older ones shuffled the error is {_times(memory.rise)}"
        )
    if memory.shorter < context:
        but = ", but" if memory.enough == context else ";"
        text += f"{but} --context {memory.shorter} might be enough: with older steps hidden it does as well"
    elif memory.enough == context:
        text += "; a longer --context might help"
    most = enumerated([f"{first:,} to {last:,} ({in_percent(share)})" for first, last, share in memory.stretches])
    where = f" Much of what the context contributes comes from steps {most} before the forecast." if most else ""
    return f"{text}. With everything shuffled the error is {spread}.{where}"


def remembers(gates: Gates, frequency: Frequency, members: int) -> str:
    """How long the units remember, and of how many networks those are that were looked into."""
    lives, span = gates.half_lives.flatten(), len(gates.steps)
    median, longest = float(lives.median()), float(lives.max())
    last = "keeps it longer than it reads" if longest > span else f"after {_span(longest, frequency)}"
    which = "The LSTM" if members == 1 else f"Of the {members} networks that are averaged, the one examined"
    return (
        f"{which} reads {_span(span, frequency)} in segments of {gates.segment}. Half of its units have forgotten half "
        f"of what they knew after {_span(median, frequency)}; the one that remembers longest {last}."
    )


def follow(units: Sequence[tuple[str, float] | None], windows: int) -> str:
    """What the units follow over so many windows, where it is strong."""
    if windows < MIN_WINDOWS:
        few = plural(windows, "test window")
        return f"What the units follow cannot be told from {few}; at least {MIN_WINDOWS} are needed."
    found = Counter(unit[0] for unit in units if unit)
    if not found:
        return "No unit strongly follows level, trend or calendar."
    followed = enumerated([f"{count} follow{'s' * (count == 1)} the {name}" for name, count in found.most_common()])
    strongly = f"a correlation of {STRONG:.2f} or more over the test windows"
    return f"Of {plural(len(units), 'unit')}, {followed} ({strongly})."


def happened(gates: Gates, grid: Grid) -> str:
    """What the gates did at the segment that stands out, if one does."""
    at = gates.event
    if at is None:
        return "No part of the context stands out, so there is no event to see the gates react to."
    means, others = gates.means(), torch.arange(len(gates.apart)) != at
    seen = ", ".join(
        f"{name.replace('_', ' ')}s {float(mean[at]):.2f} open ({float(mean[others].mean()):.2f} elsewhere)"
        for name, mean in means.items()
    )
    gate = gates.trace.f[-1, 0]
    closing = int((gate[at] < gate[others].mean(0) - 0.1).sum())
    first, last = (grid.label(int(gates.steps[step])) for step in (at * gates.segment, (at + 1) * gates.segment - 1))
    when = f"At {first}" if first == last else f"From {first} to {last}"
    forgot = f"{closing} of {gate.shape[1]} units forgot more than usual"
    return f"{when}, the part least like the others: {seen}; {forgot}."


def leaned(found: Attribution, dates: Sequence[str], memory: Memory) -> str:
    """Which parts of the context the forecast is based on, if any, and how sure that is.

    Args:
        dates: when each segment of the context begins.
    """
    shares, others = found.shares
    ranked = Counter[str]({f"the {name}": share for name, share in others.items()})
    for date, share in zip(dates, shares.tolist(), strict=True):
        ranked[date] += share  # by a clock that skips an hour, two steps may begin at once
    shown = [(in_percent(share), name) for name, share in ranked.most_common(3)]
    most = enumerated([f"{share} from {name}" for share, name in shown if share != in_percent(0)])
    agree = "" if math.isnan(found.agreement) else f", rank agreement with occlusion {found.agreement:.2f}"
    sure = f"completeness error {in_percent(found.error, 2)}{agree}"
    parts_of = "" if found.segment == 1 else f"a date stands for {found.segment} steps from it on; "
    if found.moved < HARDLY:
        return f"The context hardly moved this forecast ({in_percent(found.moved)} of the spread; {sure})."
    noise = not (memory.enough or memory.few)
    helps = " Since nothing in the context helps measurably, take that for noise." if noise else ""
    most = most.replace(" from ", " comes from ", 1)
    return f"Of the difference between this forecast and that of a flat context, {most} ({parts_of}{sure}).{helps}"


def _times(found: Estimate) -> str:
    return f"{found.value:.2f} times as large ({SURE} % interval {found.low:.2f} to {found.high:.2f})"


def _span(steps: float, frequency: Frequency) -> str:
    count = number(steps)
    return f"{count} step{'s' * (count != '1')} ({frequency.spell(steps)})"
