"""The interval of a ratio of sums: as wide as the data say, by simulation."""

import numpy as np
import pytest

from gatecast.evaluation.bootstrap import places, ratio


def test_the_value_is_the_ratio_of_sums():
    top, bottom = np.array([1.0, 2.0, 6.0]), np.array([2.0, 3.0, 4.0])
    assert ratio(top, bottom, np.zeros(3, int), np.array([5, 7, 9])).value == 1
    assert ratio(top, bottom, np.array([4, 4, 8]), np.zeros(3, int)).value == 1


@pytest.mark.parametrize("axis", ["series", "blocks"])
def test_the_interval_holds_the_truth_as_often_as_it_says(axis):
    rng, inside = np.random.default_rng(0), 0
    for _ in range(300):
        place, other = np.repeat(np.arange(12), 5), np.zeros(60, int)  # five alike in each of twelve places
        top = 3 + np.repeat(rng.normal(size=12), 5)
        places = (place, other) if axis == "series" else (other, place)
        found = ratio(top, np.ones(60), *places)
        inside += found.low <= 3 <= found.high
    assert 0.89 < inside / 300 < 0.99


@pytest.mark.parametrize("axis", ["series", "blocks"])
def test_one_fewer_is_drawn_than_there_are(axis):
    """Of two, one: half of the ratios are those of either. As many as there are would often draw both."""
    place, other = np.arange(2), np.zeros(2, int)
    places = (place, other) if axis == "series" else (other, place)
    found = ratio(np.array([1.0, 3.0]), np.ones(2), *places, confidence=40)
    assert (found.value, found.low, found.high) == (2, 1, 3)


def test_what_is_alike_in_all_series_does_not_get_surer_with_more_of_them():
    shock = np.random.default_rng(0).normal(size=20)
    blocks = np.tile(np.arange(20), 50)
    one, many = (
        ratio(shock, np.ones(20), np.zeros(20, int), np.arange(20)),
        ratio(np.tile(shock, 50), np.ones(1_000), np.repeat(np.arange(50), 20), blocks),
    )
    assert many.high - many.low == pytest.approx(one.high - one.low, rel=0.15)


def test_one_place_leaves_nothing_to_resample():
    found = ratio(np.array([2.0, 4.0]), np.ones(2), np.zeros(2, int), np.zeros(2, int))
    assert (found.value, found.low, found.high) == (3, 3, 3)


def test_the_same_numbers_give_the_same_interval():
    rng = np.random.default_rng(0)
    given = rng.normal(size=50), np.ones(50), np.arange(50) % 5, np.arange(50) // 5
    assert ratio(*given) == ratio(*given)


def test_places_are_series_and_stretches_of_a_horizon():
    series, blocks = places(np.array([4, 7]), np.array([10, 13]), 3)
    assert series.tolist() == [[4, 4, 4], [7, 7, 7]]
    assert blocks.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert places(np.array([0]), np.array([11]), 2)[1].tolist() == [[0, 0]]
