"""Metrics in the words of people: no powers of ten where digits will do, no minus zero."""

import pytest

from gatecast.evaluation.readable import number, percent


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (9999.6, "10,000"),
        (-22440.2, "-22,440"),
        (999.96, "1,000"),
        (999.94, "999.9"),
        (0.13317, "0.1332"),
        (0.0, "0"),
        (-1.2346e30, "-1.235e+30"),
    ],
)
def test_a_number_is_read_without_powers_as_far_as_its_digits_hold(value, told):
    assert number(value) == told


@pytest.mark.parametrize(("share", "told"), [(86.46, "86.5 %"), (-0.04, "0.0 %"), (None, "undefined")])
def test_a_share_has_one_digit_and_zero_no_sign(share, told):
    assert percent(share) == told
