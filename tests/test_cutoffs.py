"""The cutoff that each date is forecast from, and the steps ahead of it."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatecast.cutoffs import at_dates, next_steps
from gatecast.data.dates import Frequency, Grid
from gatecast.data.panel import Panel
from gatecast.errors import UsageError

HORIZON = 6
# Steps 0 to 99 of one series and 20 to 79 of another.
PANEL = Panel(
    Grid(Frequency.parse("h")),
    pa.table({"name": ["s0", "s1"]}),
    np.zeros(160, np.float32),
    np.array([0, 100, 160]),
    np.array([0, 20]),
)


@pytest.mark.parametrize(
    ("dates", "as_of", "cutoffs"),
    [
        ([100, 105], None, [[99, 99], [79, 79]]),  # future, for each from its own last value
        ([50, 53], None, [[49, 49], [49, 49]]),  # past: from before the earliest
        ([90, 100], None, [[89, 99], [79, 79]]),  # past for one, future for both
        ([53, 50, 53], None, [[49, 49], [49, 49]]),  # any order, and twice
        ([30, 35, 36, 60], None, [[29, 29, 35, 59], [29, 29, 35, 59]]),  # too far apart to share a cutoff
        ([50, 60], 40, [[40, 40], [40, 40]]),
        ([95, 110], 90, [[90, 90], [79, 79]]),
        ([200], 150, [[99], [79]]),  # there are no rows up to the date named
    ],
)
def test_cutoffs_of_dates(dates, as_of, cutoffs):
    asked = at_dates(PANEL if as_of is None else PANEL.until(as_of), dates, HORIZON, as_of)
    assert asked.cutoffs.tolist() == cutoffs
    assert asked.dates.tolist() == [sorted(set(dates))] * 2
    assert asked.ahead.tolist() == (np.array([sorted(set(dates))] * 2) - cutoffs).tolist()


def test_cutoffs_of_the_next_steps():
    assert next_steps(PANEL, 2, 2).dates.tolist() == [[100, 101], [80, 81]]
    assert next_steps(PANEL.until(85), 2, 2).cutoffs.tolist() == [[85, 85], [79, 79]]
    assert next_steps(PANEL, 3, 2).ahead.tolist() == [[1, 2, 3]] * 2


@given(st.lists(st.integers(21, 140), min_size=1, max_size=8), st.integers(1, 12))
def test_past_dates_are_forecast_from_before_them_within_the_horizon(dates, horizon):
    asked, lasts = at_dates(PANEL, dates, horizon), PANEL.lasts[:, None]
    future = asked.dates > lasts
    assert (asked.ahead >= 1).all()
    assert (np.where(future, asked.cutoffs == lasts, asked.ahead <= horizon)).all()


OTHERS = r", or forecast the 1 other series by name \(--series\)$"


def test_dates_without_history_are_refused():
    assert at_dates(PANEL, [21], HORIZON).cutoffs.tolist() == [[20], [20]]
    told = r"^1970-01-01 20:00 has no history before it in s1 \(from 1970-01-01 20:00\)"
    with pytest.raises(UsageError, match=told + OTHERS):
        at_dates(PANEL, [20, 30], HORIZON)
    with pytest.raises(UsageError, match=r" in s0 \(from 1970-01-01 00:00\), s1 \(from 1970-01-01 20:00\)$"):
        at_dates(PANEL, [0], HORIZON)
    with pytest.raises(UsageError, match="1970-01-02 00:00 is not before 1970-01-01 23:00, 1970-01-02 00:00"):
        at_dates(PANEL, [23, 24, 25], HORIZON, 24)


def test_a_date_too_far_for_a_series_that_ended_long_ago_says_that_the_others_can_be_forecast():
    last = 99 + 1_000 * HORIZON
    told = "6,020 steps after the last row of s1; no more than 1,000 times the 6 trained are forecast: check the date"
    with pytest.raises(UsageError, match=told + OTHERS):
        at_dates(PANEL, [last], HORIZON)
    assert at_dates(PANEL.take([0]), [last], HORIZON).ahead.tolist() == [[6_000]]
    with pytest.raises(UsageError, match=r"6,021 steps after the last row of s1; .*: check the date$"):
        at_dates(PANEL, [last + 1], HORIZON)
