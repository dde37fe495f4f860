"""By which clock a series lives is told from the weeks around clock changes."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from gatecast import fit
from gatecast.data.dates import Frequency, Grid
from gatecast.data.panel import Panel
from gatecast.data.zones import to_wall
from gatecast.rhythm import by_clock, unnamed_zone
from test_steps import Notes


def living(lives, freq="h", zone=None, weeks=60, noise=0.1, kind="instant"):
    """A panel of two series that repeat every day by the clock of a zone."""
    grid = Grid(Frequency.parse(freq), zone)
    until = int(weeks * 7 * 86_400 / grid.frequency.seconds)
    steps = grid.floor("2023-11-05") + np.arange(until)
    time = to_wall(grid.instants(steps), lives).astype("datetime64[s]").astype(int)
    values = np.sin(np.tile(time, 2) / 86_400 * 2 * np.pi) + np.random.default_rng(0).normal(0, noise, 2 * until)
    keys = pa.table({"name": ["s0", "s1"]})
    return Panel(grid, keys, values.astype(np.float32), np.arange(3) * until, np.full(2, steps[0]), kind)


@pytest.mark.parametrize(
    ("lives", "freq", "weeks", "found"),
    [
        ("Europe/Berlin", "h", 60, True),
        ("UTC", "h", 60, False),  # as the sun does
        ("UTC", "30min", 60, False),
        ("Europe/Berlin", "15min", 60, True),
        ("UTC", "h", 15, True),  # no change has been seen
        ("UTC", "min", 23, False),
        ("UTC", "10s", 21, True),  # days as long are not looked at
    ],
)
def test_the_clock_is_followed_unless_the_rows_say_otherwise(lives, freq, weeks, found):
    panel = living(lives, freq, "Europe/Berlin", weeks)
    assert by_clock(panel, panel.lasts) is found


def test_only_rows_up_to_a_step_are_looked_at():
    panel = living("UTC", zone="Europe/Berlin")
    change = panel.grid.step("2024-03-31 03:00")
    assert by_clock(panel, np.full(2, change + 166))
    assert not by_clock(panel, np.array([change + 166, change + 167]))


@pytest.mark.parametrize("seed", range(4))
def test_hours_without_rows_outside_of_opening_times_do_not_count_against_the_clock(seed):
    """A day later by elapsed time, one hour of each day has none to be compared with."""
    panel = living("Europe/Berlin", zone="Europe/Berlin", weeks=400)
    hours = panel.grid.wall(panel.starts[0] + np.arange(panel.lengths[0])).astype("datetime64[h]").astype(int) % 24
    noise = np.random.default_rng(seed).normal(0, 20, (2, len(hours)))
    values = np.where((hours >= 8) & (hours < 20), 100 + 30 * (hours > 10) + noise, np.nan)
    shop = replace(panel, values=values.ravel().astype(np.float32))
    assert by_clock(shop, shop.lasts)


def test_a_grid_without_clock_changes_follows_none():
    panel = living("Europe/Berlin")
    assert not by_clock(panel, panel.lasts)


@pytest.mark.parametrize(
    ("lives", "freq", "found"),
    [
        ("Europe/Berlin", "h", "Europe/Berlin"),
        ("Europe/London", "30min", "Europe/Berlin"),  # changed at the same moment
        ("America/New_York", "15min", "America/Chicago"),  # an hour before
        ("America/Los_Angeles", "h", "America/Chicago"),
        ("Australia/Melbourne", "h", "Australia/Sydney"),
        ("Asia/Tokyo", "h", None),
        ("UTC", "h", None),
    ],
)
def test_a_clock_that_nobody_named_is_found(lives, freq, found):
    panel = living(lives, freq)
    assert unnamed_zone(panel, panel.lasts) == found
    assert unnamed_zone(replace(panel, grid=replace(panel.grid, timezone="UTC")), panel.lasts) == found


def test_no_clock_is_found_in_noise_or_where_times_are_those_of_a_clock():
    noise = living("Europe/Berlin", noise=30)
    assert unnamed_zone(noise, noise.lasts) is None
    local = living("Europe/Berlin", kind="local")
    assert unnamed_zone(local, local.lasts) is None
    named = living("Europe/Berlin", zone="Europe/Paris")
    assert unnamed_zone(named, named.lasts) is None
    days = living("Europe/Berlin", freq="D")
    assert unnamed_zone(days, days.lasts) is None


def test_fit_tells_of_a_clock_that_nobody_named():
    panel, told = living("Europe/Berlin", weeks=40), Notes()
    tiny = {"horizon": 24, "epochs": 1, "steps": 1, "members": 1, "hidden": 4, "baselines": 0}
    fit(panel, listener=told, **tiny)
    (note,) = [note for note in told.found if "clock" in note]
    assert note.startswith("what repeats does so by a clock that is changed as that of Europe/Berlin is")
