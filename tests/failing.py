"""Training that fails as it takes a step, as where it is stopped or memory runs out."""

from contextlib import contextmanager

import pytest

from gatecast.schedule import Schedule


@contextmanager
def failing_at(number, error):
    """Raise an error at the step of this number, counted from one over both stages."""
    whole, taken = Schedule.__call__, []

    def step(schedule):
        taken.append(1)
        if len(taken) == number:
            raise error
        return whole(schedule)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Schedule, "__call__", step)
        yield
