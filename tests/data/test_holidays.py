import numpy as np
import pytest

from gatecast.data.holidays import holidays_of
from gatecast.errors import UsageError


def days(place, year):
    return holidays_of(place, year, year).astype(str).tolist()


def test_a_country_a_part_of_it_and_an_exchange():
    assert days("DE", 2024) == [
        *("2024-01-01", "2024-03-29", "2024-04-01", "2024-05-01", "2024-05-09", "2024-05-20"),
        *("2024-10-03", "2024-12-25", "2024-12-26"),
    ]
    assert set(days("de-by", 2024)) - set(days("DE", 2024)) == {"2024-01-06", "2024-05-30", "2024-11-01"}
    assert "2024-11-29" not in days("XNYS", 2024)  # a half day is a day
    assert "2024-06-19" in days("XNYS", 2024)


@pytest.mark.parametrize("place", ["DE-Augsburg", "de-AUGSBURG"])
def test_a_part_whose_name_is_not_all_capitals(place):
    assert set(days(place, 2024)) - set(days("DE-BY", 2024)) == {"2024-08-08", "2024-08-15"}


def test_years_are_in_order_and_may_be_without_any():
    found = holidays_of("US", 2011, 2013)
    assert (np.diff(found) > np.timedelta64(0)).all()
    assert found[0] == np.datetime64("2011-01-01")
    assert holidays_of("DE", 1200, 1210).size == 0


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("QQ", "no holidays are known of 'QQ': write DE, US-NY or XNYS"),
        ("US-QQ", "no holidays are known of 'US-QQ': US has "),
        ("", "no holidays are known of ''"),
    ],
)
def test_a_place_that_is_none_is_refused(place, told):
    with pytest.raises(UsageError) as error:
        holidays_of(place, 2024, 2024)
    assert told in str(error.value)
