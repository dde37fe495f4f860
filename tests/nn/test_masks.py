import pytest
import torch

from gatecast.nn.masks import EVERY, counted, gapless, only

VALUES = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
GAPS = torch.tensor([[True, False, True], [False, False, False]])


def test_a_view_of_one_value_is_whole_and_so_is_each_of_its_parts():
    mask = EVERY.expand(2, 3)
    assert gapless(mask)
    assert gapless(mask[:, -2:])
    assert mask.all()


@pytest.mark.parametrize("mask", [torch.ones(2, 3, dtype=torch.bool), GAPS, EVERY.expand(2, 3) & GAPS])
def test_of_any_other_mask_nothing_is_known(mask):
    assert not gapless(mask)


def test_only_what_was_observed_is_left():
    assert only(VALUES, GAPS).tolist() == [[1, 0, 3], [0, 0, 0]]
    assert only(VALUES, GAPS, -9.0).tolist() == [[1, -9, 3], [-9, -9, -9]]
    assert only(VALUES, EVERY.expand(2, 3)) is VALUES


def test_steps_are_counted_and_none_count_as_one():
    assert torch.as_tensor(counted(GAPS)).tolist() == [[2], [1]]
    assert counted(EVERY.expand(2, 3)) == 3
