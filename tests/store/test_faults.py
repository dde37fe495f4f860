"""Kinds of faults as they are told."""

import pytest

from gatecast.store.faults import FAULTS, counted


@pytest.mark.parametrize(
    ("kind", "one", "many"),
    [
        ("shift", "1 level shift", "2,000 level shifts"),
        ("not_a_number", "1 value that is not a number", "2,000 values that are not a number"),
        ("flat", "1 series that ends flat", "2,000 series that end flat"),
        (
            "level",
            "1 series that varies by less than a hundred-thousandth of its level",
            "2,000 series that vary by less than a hundred-thousandth of their level",
        ),
        ("constant", "1 constant series", "2,000 constant series"),
    ],
)
def test_one_is_no_plural(kind, one, many):
    name = FAULTS[kind].name
    assert (counted(1, name), counted(2_000, name)) == (one, many)


def test_a_name_of_an_older_version_is_told_as_it_is():
    assert counted(1, "odd ends") == "1 odd ends"
