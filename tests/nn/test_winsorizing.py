import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gatecast.nn.masks import EVERY
from gatecast.nn.winsorizing import FAR, winsorized

PROPERTY = settings(deadline=None, max_examples=100)
NAN = float("nan")
contexts = st.lists(st.integers(-50, 50).map(float) | st.just(NAN) | st.just(1e4), min_size=1, max_size=40)


def of(values, seasons=(1,)):
    """The values of one window, NaN where missing, after spikes are cut off."""
    x = torch.tensor([values])
    observed = ~x.isnan()
    found = winsorized(x.nan_to_num(0), EVERY.expand(x.shape) if observed.all() else observed, seasons)
    return torch.where(observed, found, torch.nan)[0].tolist()


@PROPERTY
@given(contexts, st.sets(st.integers(2, 20), max_size=2))
def test_it_agrees_with_a_loop(values, seasons):
    values = np.array(values, np.float32)
    lags = [1, *(season for season in sorted(seasons) if 2 * season <= len(values))]

    def away(place, lags):
        """Signed distance from the nearest neighbour, 0 without one."""
        neighbours = [place + side * lag for lag in lags for side in (-1, 1)]
        apart = [values[place] - values[at] for at in neighbours if 0 <= at < len(values) and not np.isnan(values[at])]
        return min(apart, key=abs, default=0.0)

    changes = np.abs(np.diff(values))
    changes = changes[changes > 0]
    most = FAR * changes.mean() if len(changes) else np.inf
    expected = values.copy()
    for place in np.flatnonzero(~np.isnan(values)) if (changes > most).any() else []:
        nearest = away(place, lags)
        expected[place] -= np.sign(nearest) * max(abs(nearest) - most, 0)
    found = np.array(of(values.tolist(), (*sorted(seasons),)))
    assert found == pytest.approx(expected, nan_ok=True, rel=1e-4, abs=1e-2)


def test_a_spike_is_moved_to_where_it_is_not_far_from_its_neighbours():
    values = [float(step % 2) for step in range(20)]
    found = of([*values[:9], 400.0, *values[10:]])
    assert found[9] == pytest.approx(FAR * (17 + 400 + 400) / 19)  # of the changes all but two are 1
    assert found[:9] + found[10:] == values[:9] + values[10:]
    assert of([*values[:9], -400.0, *values[10:]])[9] == pytest.approx(-FAR * (17 + 400 + 400) / 19)


def test_what_comes_every_season_and_a_new_level_stay():
    every = [100.0 if step % 14 == 3 else float(step % 2) for step in range(70)]
    assert of(every, (14,)) == every
    assert of(every)[31] < 100  # of which nothing is known without the season
    shifted = [float(step % 2) + 500 * (step >= 40) for step in range(70)]
    assert of(shifted, (7,)) == shifted
    assert of(shifted[:41], (7,))[:40] == shifted[:40]
    price = [10.0] * 30 + [12.0] * 30 + [13.0]
    assert of(price) == price  # which seldom changes, and has just done so


def test_the_newest_value_of_a_steady_trend_is_no_spike():
    assert of([3.0 * step for step in range(100)]) == [3.0 * step for step in range(100)]


def test_windows_are_looked_at_one_by_one():
    calm = torch.arange(30.0) % 3
    wild = calm.clone()
    wild[11] = 1e6
    both = torch.stack([calm, wild, calm])
    found = winsorized(both, EVERY.expand(both.shape), (3,))
    assert torch.equal(found[[0, 2]], both[[0, 2]])
    assert torch.equal(found[1], winsorized(both[1:2], EVERY.expand(1, 30), (3,))[0])
    same = winsorized(calm[None], EVERY.expand(1, 30), (3,))
    assert same.data_ptr() == calm.data_ptr()  # where there is no spike, nothing is copied


def test_in_any_unit_the_same_is_cut():
    values = np.random.default_rng(0).normal(size=60)
    values[20] = 90
    found = np.array(of(values.tolist(), (12,)))
    assert np.array(of((1024 * values + 8).tolist(), (12,))) == pytest.approx(1024 * found + 8, rel=1e-5)
    assert np.array(of((-values).tolist(), (12,))) == pytest.approx(-found, rel=1e-6)


def test_a_spike_has_the_gradient_of_what_it_is_moved_to():
    x = torch.tensor([[0.0, 1, 0, 1, 500, 1, 0, 1, 0, 1, 0, 1]], dtype=torch.float64).requires_grad_()
    observed = torch.ones_like(x, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda x: winsorized(x + torch.arange(12) / 100, observed, (4,)), x)
