"""Synthetic series: seasons that come again, levels that go on, and windows put into a batch."""

import pytest
import torch

from gatecast.data.synthetic import MIN_OBSERVED, synthetic, with_synthetic
from gatecast.data.windows import Inputs, Truth

CONTEXT, HORIZON = 60, 12


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def likeness(series, lag):
    """How alike the changes of each series are to those a lag earlier: the mean correlation."""
    changes = series.diff(dim=1)
    early, late = (part - part.mean(1, keepdim=True) for part in (changes[:, :-lag], changes[:, lag:]))
    return float(((early * late).sum(1) / (early.norm(dim=1) * late.norm(dim=1))).nanmean())  # none of what never moves


@pytest.fixture
def batch():
    """Ten windows of one value, all observed."""
    inputs = Inputs(
        torch.full((10, CONTEXT), 7.0),
        torch.ones(10, CONTEXT, dtype=torch.bool),
        torch.zeros(10, CONTEXT + HORIZON, 0),
        torch.arange(10),
    )
    return inputs, Truth(torch.full((10, HORIZON), 8.0), torch.zeros(10, HORIZON, dtype=torch.bool))


@pytest.mark.parametrize("season", [4, 12])
def test_seasons_come_again(season):
    found = synthetic(2_000, CONTEXT, HORIZON, (season,), False, chance())
    assert likeness(found, season) > 0.3 > 0.1 > likeness(found, season // 2)


def test_without_a_season_nothing_comes_again():
    found = synthetic(2_000, CONTEXT, HORIZON, (1,), False, chance())
    assert abs(likeness(found, 12) - likeness(found, 6)) < 0.05


def test_series_differ_in_how_much_they_move_and_most_are_positive():
    found = synthetic(2_000, CONTEXT, HORIZON, (12,), False, chance())
    assert found.isfinite().all()
    assert (found > 0).all(1).float().mean() > 0.7
    least, most = (found.std(1) / found.mean(1).abs()).quantile(torch.tensor([0.1, 0.9]))
    assert most / least > 5


def test_half_of_a_table_with_many_zeros_is_demand_that_comes_now_and_then():
    found = synthetic(2_000, CONTEXT, HORIZON, (12,), True, chance())
    whole = found[(found == found.round()).all(1)]
    assert len(whole) / len(found) == pytest.approx(0.5, abs=0.03)
    assert whole.min() == 0
    few, most = (whole == 0).float().mean(1).quantile(torch.tensor([0.2, 0.8]))
    assert few < 0.3 < 0.8 < most


def test_what_comes_after_the_cutoff_goes_on_from_before_it():
    found = synthetic(2_000, CONTEXT, HORIZON, (1,), False, chance())
    jumps = (found.diff(dim=1).abs() / found.std(1, keepdim=True)).nanmean(0)
    assert float(jumps[CONTEXT - 1]) == pytest.approx(float(jumps[CONTEXT - 2]), rel=0.1)


def test_the_same_chance_draws_the_same_series():
    first, again, other = (synthetic(5, CONTEXT, HORIZON, (12,), False, chance(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_only_the_first_windows_of_a_batch_are_replaced(batch):
    inputs, truth = with_synthetic(*batch, 6, (12,), False, chance())
    values = synthetic(6, CONTEXT, HORIZON, (12,), False, chance())
    assert torch.equal(inputs.context[:6], values[:, :CONTEXT] * inputs.observed[:6])
    assert torch.equal(truth.values[:6], values[:, CONTEXT:])
    assert truth.observed.sum(1).tolist() == [HORIZON] * 6 + [0] * 4
    assert (inputs.context[6:] == 7).all()
    assert inputs.observed[6:].all()
    assert (truth.values[6:] == 8).all()
    assert (batch[0].context == 7).all()  # the caller's own is left as it was


def test_of_several_batches_the_first_windows_of_each_are_replaced(batch):
    inputs, truth = with_synthetic(*batch, 2, (12,), False, chance(), 2)  # two of five
    values = synthetic(4, CONTEXT, HORIZON, (12,), False, chance())
    made = [0, 1, 5, 6]
    assert torch.equal(inputs.context[made], values[:, :CONTEXT] * inputs.observed[made])
    assert torch.equal(truth.values[made], values[:, CONTEXT:])
    own = [2, 3, 4, 7, 8, 9]
    assert (inputs.context[own] == 7).all()
    assert (truth.values[own] == 8).all()


@pytest.mark.parametrize(
    ("seasons", "least"), [((1,), MIN_OBSERVED), ((), MIN_OBSERVED), ((12,), 12), ((12, 80), CONTEXT)]
)
def test_histories_are_of_any_length_from_a_season_on(batch, seasons, least):
    lengths = set()
    for seed in range(100):
        observed = with_synthetic(*batch, 10, seasons, False, chance(seed))[0].observed
        lengths |= set(observed.sum(1).tolist())
        assert not (~observed[:, 1:] & observed[:, :-1]).any()  # the newest steps are those observed
    assert lengths == set(range(least, CONTEXT + 1))
