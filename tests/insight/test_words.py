"""The sentences hold the numbers, and say so where there is nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gatecast.data.dates import Frequency, Grid
from gatecast.evaluation.bootstrap import Estimate
from gatecast.insight import words
from gatecast.insight.attribution import Attribution
from gatecast.insight.gates import Gates
from gatecast.nn.lstm import Trace

HOURLY = Grid(Frequency.parse("h"))


def gates_of(f, segment=4, apart=(1.0, 1.0, 5.0)):
    f = torch.as_tensor(f)[:, None]
    i = torch.full_like(f, 0.5)
    return Gates(np.arange(f.shape[2] * segment), segment, Trace(i, f, i, i, i, i), torch.tensor(apart))


def memory_of(enough, stretches=(), ratio=(2.5, 2.0, 3.0), rise=(1.0, 0.98, 1.02), shorter=None):
    none, rise = Estimate(*ratio), Estimate(*rise)
    alike = rise.high <= 1.05
    told = {"enough": enough, "shorter": shorter or enough, "stretches": stretches, "rise": rise, "alike": alike}
    return SimpleNamespace(kept=np.array([0, 24, 48]), ratios=[none], few=False, **told)


@pytest.mark.parametrize(
    ("enough", "stretches", "told"),
    [
        (48, [(1, 24, 0.4), (25, 48, 0.6)], "It uses all 48 steps (2 days) of its context; a longer --context might "
         "help. With everything shuffled the error is 2.50 times as large (99 % interval 2.00 to 3.00). "
         "Much of what the context contributes comes from steps 1 to 24 (40 %) and 25 to 48 (60 %) before the "
         "forecast."),
        (24, [], "With the newest 24 steps (1 day) it does as well as with all 48; --context 24 might be enough: with "
         "older steps hidden it does as well. With everything shuffled the error is 2.50 times as large "
         "(99 % interval 2.00 to 3.00)."),
        (0, [], "Nothing in the context helps measurably: with all 48 steps shuffled the error is "
         "2.50 times as large (99 % interval 2.00 to 3.00)."),
    ],
)  # fmt: skip
def test_the_use_of_memory(enough, stretches, told):
    assert words.uses(memory_of(enough, stretches), HOURLY.frequency) == told


def test_a_context_of_which_older_steps_may_be_hidden_need_not_be_longer():
    """Shuffled, they mislead the simple forecasts; that does not say that they are of use."""
    told = words.uses(memory_of(48, shorter=24), HOURLY.frequency)
    assert told.startswith(
        "It uses all 48 steps (2 days) of its context, but --context 24 might be enough: "
        "with older steps hidden it does as well. With everything shuffled"
    )


def test_what_was_not_measured_is_not_said_to_be_the_same():
    """An error of a third more whose interval holds 1 is no equality, and asks for no shorter context."""
    told = words.uses(memory_of(24, rise=(1.301, 0.948, 1.556), shorter=48), HOURLY.frequency)
    assert told == (
        "Whether it uses more than the newest 24 steps (1 day) of 48 cannot be told from these windows: with the older "
        "ones shuffled the error is 1.30 times as large (99 % interval 0.95 to 1.56). "
        "With everything shuffled the error is 2.50 times as large (99 % interval 2.00 to 3.00)."
    )


def test_few_windows_tell_nothing():
    memory = memory_of(48)
    memory.few = True
    assert words.uses(memory, HOURLY.frequency) == (
        "There are too few test windows to tell what of the context is of use; "
        "with all 48 steps shuffled the error is 2.50 times as large."
    )


def test_a_single_step_is_no_steps():
    assert words.uses(memory_of(1), HOURLY.frequency).startswith("With the newest 1 step (1 hour) it does as well")


def test_how_long_it_remembers():
    short, long = (words.remembers(gates_of(torch.full((1, 3, 3), f)), HOURLY.frequency, 1) for f in (0.5, 0.99))
    assert short == (
        "The LSTM reads 12 steps (12 hours) in segments of 4. Half of its units have forgotten half of what they knew "
        "after 4 steps (4 hours); the one that remembers longest after 4 steps (4 hours)."
    )
    assert "after 275.9 steps (11.5 days)" in long  # 4 ln 0.5 / ln 0.99
    assert long.endswith("the one that remembers longest keeps it longer than it reads.")
    told = words.remembers(gates_of(torch.full((1, 3, 3), 0.5)), HOURLY.frequency, 4)
    assert told.startswith("Of the 4 networks that are averaged, the one examined reads 12 steps")


def test_what_units_follow():
    assert words.follow([("level", 0.8), None, ("hour", 0.9), ("level", -0.9)], 30) == (
        "Of 4 units, 2 follow the level and 1 follows the hour (a correlation of 0.71 or more over the test windows)."
    )
    assert words.follow([None, None], 30) == "No unit strongly follows level, trend or calendar."


def test_what_units_follow_is_not_told_from_few_windows():
    told = "What the units follow cannot be told from 29 test windows; at least 30 are needed."
    assert words.follow([None, None], 29) == told
    assert words.follow([None, None], 1).startswith("What the units follow cannot be told from 1 test window; ")


def test_what_happened_at_an_event():
    f = torch.full((2, 3, 4), 0.8)
    f[1, 2, :2] = torch.tensor([0.2, 0.71])  # the last layer, the last segment: one closes by more than a tenth
    told = words.happened(gates_of(f), HOURLY)
    assert told == (
        "From 1970-01-01 08:00 to 1970-01-01 11:00, the part least like the others: "
        "forget gates 0.63 open (0.80 elsewhere), "
        "input gates 0.50 open (0.50 elsewhere), output gates 0.50 open (0.50 elsewhere); "
        "1 of 4 units forgot more than usual."
    )
    assert words.happened(gates_of(f, apart=(1.0, 1.0, 1.4)), HOURLY).startswith("No part of the context stands out")


def test_what_the_forecast_leaned_on():
    context = torch.zeros(1, 12)
    context[0, [0, 5, 6]] = torch.tensor([1.0, -4.0, -1.0])
    found = Attribution(
        context, {"week": torch.tensor([4.0])}, torch.tensor([9.0]), torch.tensor([5.0]), 8, 4, 0.0012, 0.9
    )
    dates = [f"1970-01-01 {hour}:00" for hour in ("00", "04", "08")]
    sure = "a date stands for 4 steps from it on; completeness error 0.12 %, rank agreement with occlusion 0.90"
    told = words.leaned(found, dates, memory_of(24))
    assert told == (
        "Of the difference between this forecast and that of a flat context, 50 % comes from 1970-01-01 04:00, "
        f"40 % from the week and 10 % from 1970-01-01 00:00 ({sure})."
    )
    context[0, [5, 6]] = 0.0
    alone = Attribution(context, {}, torch.tensor([6.0]), torch.tensor([5.0]), 8, 4, 0.0012, 0.9)
    told = words.leaned(alone, dates, memory_of(24))
    assert "a flat context, 100 % comes from 1970-01-01 00:00 (a date" in told
    context[0, [5, 6]] = torch.tensor([-4.0, -1.0])
    told = words.leaned(found, dates, memory_of(0))
    assert told.endswith("Since nothing in the context helps measurably, take that for noise.")
    found = Attribution(context, {}, torch.tensor([5.1]), torch.tensor([5.0]), 8, 4, 0.0012, float("nan"))
    told = words.leaned(found, dates, memory_of(24))
    assert told == "The context hardly moved this forecast (1 % of the spread; completeness error 0.12 %)."
