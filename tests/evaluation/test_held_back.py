"""The windows of a test lie after what the weights have seen, and are as many as wanted, in all series."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch

from gatecast.data.scaling import Scaler
from gatecast.data.split import Span
from gatecast.errors import DataError
from gatecast.evaluation.held_back import MAX_WINDOWS, held_back, spread
from gatecast.fitted import Fitted

HORIZON = 3


def fitted_of(seen):
    network = SimpleNamespace(shape=SimpleNamespace(horizon=HORIZON))
    return Fitted(network, Scaler("window"), (), (0.5,), torch.ones(HORIZON, 1), torch.ones(1), np.array(seen))


def test_windows_begin_where_the_weights_have_not_looked(make_panel):
    panel = make_panel(np.arange(20.0), np.arange(10.0), np.arange(30.0), starts=[0, 100, 7])
    keys = pa.table({"name": ["s2", "s0"]})
    fitted, series, cutoffs = held_back(fitted_of([31, 14]), panel, keys)
    assert fitted.seen.tolist() == [14, 105, 31]  # the second is new: its last half
    expected = [(0, 14), (0, 15), (0, 16), (1, 105), (1, 106), (2, 31), (2, 32), (2, 33)]
    assert list(zip(series.tolist(), cutoffs.tolist(), strict=True)) == expected
    for i, cutoff in expected:
        assert cutoff + HORIZON <= panel.lasts[i]


def test_nothing_new_is_nothing_to_test_on(make_panel):
    panel = make_panel(np.arange(20.0))
    keys = pa.table({"name": ["s0"]})
    assert len(held_back(fitted_of([16]), panel, keys)[1]) == 1
    with pytest.raises(DataError, match="no series has 3 steps after those the weights have seen"):
        held_back(fitted_of([17]), panel, keys)


@pytest.mark.parametrize(
    ("counts", "size"), [([5, 0, 3], 8), ([5000], MAX_WINDOWS), ([3000, 3000], MAX_WINDOWS), ([2] * 3000, 3000)]
)
def test_windows_are_spread_over_all_series_with_the_newest_among_them(counts, size):
    span = Span(np.arange(len(counts)) * 10, np.array(counts))
    series, cutoffs = spread(span)
    assert len(series) == size
    assert set(series) == set(np.flatnonzero(counts))
    newest = span.lows + np.array(counts) - 1
    for i in np.flatnonzero(counts)[:50]:
        assert cutoffs[series == i].max() == newest[i]
