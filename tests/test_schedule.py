"""The learning rate of each step: its cycle, and what it does when time runs short."""

import numpy as np
import pytest

from gatecast import schedule as module
from gatecast.schedule import FLOOR, WARM_UP, Schedule, one_cycle


def test_one_cycle_rises_then_falls_within_its_bounds():
    assert one_cycle(0) == pytest.approx(FLOOR)
    assert one_cycle(WARM_UP) == pytest.approx(1)
    assert one_cycle(WARM_UP / 2) == pytest.approx((1 + FLOOR) / 2)
    assert one_cycle((1 + WARM_UP) / 2) == pytest.approx((1 + FLOOR) / 2)
    assert one_cycle(1) == one_cycle(1.7) == pytest.approx(FLOOR)
    up = [one_cycle(share) for share in np.linspace(0, WARM_UP, 50)]
    down = [one_cycle(share) for share in np.linspace(WARM_UP, 1, 50)]
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert all(FLOOR <= rate <= 1 for rate in up + down)
    assert abs(one_cycle(WARM_UP - 1e-9) - one_cycle(WARM_UP)) < 1e-6  # no jump


def test_a_schedule_that_is_late_is_completed_by_the_clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    schedule, rates = Schedule(0.5, 100, 10.0), []
    for _ in range(11):  # one step a second, of a hundred in ten seconds
        rates.append(schedule())
        now[0] += 1
    assert rates[:2] == pytest.approx([0.5 * one_cycle(0), 0.5 * one_cycle(0.01)])
    assert rates[3:] == pytest.approx([0.5 * one_cycle(second / 10) for second in range(3, 11)])
    assert schedule.hurried
