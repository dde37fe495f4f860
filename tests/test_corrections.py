"""Corrections for as much history as a window has."""

import pytest
import torch
from torch.testing import assert_close

from gatecast.corrections import Corrections, lengths
from gatecast.nn.masks import EVERY

CONTEXT, HORIZON, QUANTILES = 20, 2, 3


def corrections(share, factor):
    stretch = factor * torch.arange(1.0, HORIZON * QUANTILES + 1).view(HORIZON, QUANTILES)
    return Corrections(share, stretch, torch.full((QUANTILES,), 10 * factor))


LONG = corrections(1.0, 1.0)
SHORT = [corrections(0.0, 8.0), corrections(0.5, 4.0), corrections(0.75, 2.0)]  # of 1, 2 and 4 values


def observed(*counts):
    """Windows of which so many values were observed, some steps apart."""
    return torch.stack([torch.randperm(CONTEXT, generator=torch.Generator().manual_seed(0)) < one for one in counts])


def test_windows_have_those_of_their_history_and_others_those_in_between():
    share, stretch, flat_stretch = LONG.at(observed(0, 1, 2, 3, 4, 8, 20), SHORT)
    part = torch.tensor(3.0).log2() - 1
    factors = torch.tensor([8.0, 8.0, 4.0, 4 - 2 * part, 2.0, 1.0, 1.0])
    assert_close(share[:, 0], torch.tensor([0.0, 0.0, 0.5, 0.5 + 0.25 * part, 0.75, 1.0, 1.0]))
    assert_close(stretch, factors[:, None, None] * LONG.stretch)
    assert_close(flat_stretch, factors[:, None] * LONG.flat_stretch)


@pytest.mark.parametrize("history", [observed(8, 20), EVERY.expand(2, CONTEXT)], ids=["gaps", "whole"])
def test_where_history_is_long_nothing_is_worked_out(history):
    assert LONG.at(history, SHORT) is LONG


def test_without_any_for_short_histories_all_windows_are_alike():
    assert LONG.at(observed(0, 1, 20), []) is LONG


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([0, 50], []),
        ([1, 50], []),
        ([2, 50], [1]),
        ([3, 50], [1]),
        ([4, 50], [1, 2]),
        ([31, 50], [1, 2, 4, 8]),
        ([32, 50], [1, 2, 4, 8, 16]),
        ([0] * 5 + [50] * 95, [1, 2, 4, 8, 16]),  # one in twenty counts for nothing
        ([9] * 6 + [50] * 94, [1, 2, 4]),
    ],
)
def test_lengths_are_those_that_held_back_windows_lack(history, expected):
    mixed = torch.tensor(history)[torch.randperm(len(history), generator=torch.Generator().manual_seed(1))]
    assert lengths(mixed) == expected
