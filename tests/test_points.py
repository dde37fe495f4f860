"""The best point for each metric, against a search over a fine grid."""

from statistics import NormalDist

import numpy as np
import pytest

from gatecast.points import LEAST, bounds, interpolated, points

PROBABILITIES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
FINE = np.linspace(0, 1, 4_001)[1::2]
DISTRIBUTIONS = {
    "symmetric": (20, 30, 36, 40, 44, 50, 60),
    "skewed": (1, 2, 3, 5, 9, 18, 40),
    "near zero": (0, 0.2, 0.5, 1, 2, 4, 9),
    "across zero": (-8, -5, -2, 1, 3, 7, 12),
    "negative": (-40, -18, -9, -5, -3, -2, -1),
    "high above zero": (1_000, 1_010, 1_020, 1_030, 1_050, 1_080, 1_200),
    "narrow": (6.9, 6.95, 6.98, 7, 7.02, 7.05, 7.1),
}
LOSSES = {
    "mase": lambda truth, point: np.abs(truth - point),
    "wape": lambda truth, point: np.abs(truth - point),
    "mae": lambda truth, point: np.abs(truth - point),
    "rmse": lambda truth, point: (truth - point) ** 2,
    "mape": lambda truth, point: np.abs(truth - point) / np.maximum(np.abs(truth), LEAST * abs(np.median(truth))),
    "smape": lambda truth, point: np.abs(truth - point) / np.maximum(np.abs(truth) + np.abs(point), 1e-9),
    "quantile": lambda truth, point: np.abs(truth - point),
}


def expected_losses(quantiles, metric, candidates):
    """Mean loss of each candidate over the distribution, straight between its quantiles and flat beyond."""
    truth = np.interp(FINE, PROBABILITIES, quantiles)
    return np.array([LOSSES[metric](truth, point).mean() for point in candidates])


@pytest.mark.parametrize("metric", LOSSES)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_no_point_of_a_fine_grid_is_better(name, metric):
    quantiles = np.array(DISTRIBUTIONS[name], np.float64)
    found = points(quantiles, PROBABILITIES, metric)
    grid = np.linspace(quantiles[0], quantiles[-1], 1_001)
    best = expected_losses(quantiles, metric, grid).min()
    assert expected_losses(quantiles, metric, [found])[0] <= best * 1.02


@pytest.mark.parametrize("metric", ["mase", "wape", "mae", "quantile"])
def test_absolute_errors_ask_for_the_median_itself(metric):
    quantiles = np.array(list(DISTRIBUTIONS.values()), np.float32)
    assert points(quantiles, PROBABILITIES, metric).tolist() == quantiles[:, 3].tolist()


def test_of_the_mean_as_much_as_its_share():
    quantiles = np.array(list(DISTRIBUTIONS.values()), np.float32)
    median, half, mean = (points(quantiles, PROBABILITIES, "rmse", share) for share in (0, 0.5, 1))
    assert median.tolist() == quantiles[:, 3].tolist()
    assert half == pytest.approx((median + mean) / 2)
    assert points(quantiles, list(PROBABILITIES), "rmse").tolist() == mean.tolist()
    assert points(quantiles, PROBABILITIES, "mape", 0).tolist() == points(quantiles, PROBABILITIES, "mape").tolist()


def test_points_by_hand():
    quantiles = np.array([[0.0, 1.0, 4.0]])  # 1 / 4 of the mass lies at each end, the rest straight between
    assert points(quantiles, (0.25, 0.5, 0.75), "rmse")[0] == pytest.approx(0.25 * (0 + 0.5 + 2.5 + 4), abs=0.02)
    # Weighed by 1 / y: 0.125 at 2, then 0.125 ln(y / 2) up to 4; half of all is 0.1431.
    assert points(np.array([[2.0, 4.0, 8.0]]), (0.25, 0.5, 0.75), "mape")[0] == pytest.approx(
        2 * np.exp(0.145), abs=0.05
    )
    assert points(np.full((2, 3), 7.0), (0.1, 0.5, 0.9), "smape").tolist() == [7, 7]


@pytest.mark.parametrize("mean", [2, 4, 8])
def test_percentages_of_counts_are_not_decided_by_how_near_zero_the_lowest_come(mean):
    """They were forecast as 0, of which each percentage is 100: a count of zero itself is not judged."""
    counts = np.random.default_rng(0).poisson(mean, 10_000)
    quantiles, judged = np.quantile(counts, PROBABILITIES), counts[counts > 0]
    ours, median = (np.mean(np.abs(judged - at) / judged) for at in (points(quantiles, PROBABILITIES, "mape"), mean))
    assert ours < 1.05 * median


def test_every_place_of_an_array_is_its_own():
    quantiles = np.array(list(DISTRIBUTIONS.values()), np.float32).reshape(7, 1, 7).repeat(2, 1)
    for metric in LOSSES:
        together = points(quantiles, PROBABILITIES, metric)
        assert together.shape == (7, 2)
        assert together.dtype == np.float32
        apart = [points(row, PROBABILITIES, metric) for row in quantiles[:, 0]]
        assert together[:, 1] == pytest.approx(np.array(apart))


def test_a_distribution_of_zeros_has_the_point_zero():
    for metric in LOSSES:
        assert points(np.zeros((1, 7)), PROBABILITIES, metric).tolist() == [0]


@pytest.mark.parametrize(("level", "sides"), [(80, (0.1, 0.9)), (95, (0.025, 0.975)), (99.9, (0.0005, 0.9995))])
def test_bounds_of_a_level(level, sides):
    assert bounds(level) == sides


def test_other_levels_of_a_normal_distribution_are_read_exactly():
    normal = NormalDist(5, 2)
    known = np.array([normal.inv_cdf(share) for share in PROBABILITIES])
    wanted = (0.005, 0.2, 0.5, 0.6, 0.99)
    assert interpolated(known, PROBABILITIES, wanted) == pytest.approx([normal.inv_cdf(share) for share in wanted])
    assert interpolated(np.array([known, 2 * known]), PROBABILITIES, PROBABILITIES) == pytest.approx(
        np.array([known, 2 * known])
    )


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_levels_read_off_never_cross(name):
    found = interpolated(np.array(DISTRIBUTIONS[name], np.float64), PROBABILITIES, np.linspace(0.001, 0.999, 500))
    assert (np.diff(found) >= 0).all()


def test_levels_that_were_trained_are_given_as_they_are():
    quantiles = np.array([[1.0, 5.0, 5.1], [2.0, 2.0, 9.0]], np.float32)
    assert np.array_equal(interpolated(quantiles, (0.1, 0.5, 0.9), [0.9, 0.1]), quantiles[:, [2, 0]])


@pytest.mark.parametrize("metric", ["mape", "smape", "rmse", "mase"])
@pytest.mark.parametrize("size", [1e-12, 1e-3, 1e9])
def test_the_point_of_a_target_in_another_unit_is_the_same_in_that_unit(metric, size):
    quantiles = np.array([[1.0, 3.0, 10.0], [0.0, 2.0, 4.0]])
    one, other = (points(part, (0.1, 0.5, 0.9), metric) for part in (quantiles, quantiles * size))
    assert other == pytest.approx(one * size, rel=1e-6)
