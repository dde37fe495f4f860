"""The learning rate of every step: one cycle up and down, by steps as long as there is time for them."""

import math
import time

WARM_UP = 0.15
"""Share of training in which the learning rate rises (Smith & Topin 2018, one cycle)."""
FLOOR = 0.01
"""Last learning rate, as a share of the highest."""
LATE = 0.2
"""Share of the time after which a schedule that is behind is completed by the clock."""


class Schedule:
    """The learning rate of every step: one cycle over all steps.

    Steps alone decide, so that the same seed gives the same weights, until it is clear that they
    will not all be taken within the time; from then on time decides, and the cycle is completed.
    """

    def __init__(self, rate: float, steps: int, seconds: float) -> None:
        self.rate, self.steps, self.seconds = rate, steps, seconds
        self.taken, self.now, self.hurried = 0, rate * FLOOR, False
        self.began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since training began."""
        return time.monotonic() - self.began

    def __call__(self) -> float:
        """The rate of the next step."""
        share, spent = self.taken / self.steps, self.elapsed / self.seconds
        if spent > LATE and spent > share:
            self.hurried = True
        self.now = self.rate * one_cycle(max(share, spent) if self.hurried else share)
        self.taken += 1
        return self.now


def one_cycle(share: float) -> float:
    """Learning rate at a share of training, relative to the highest: a cosine up, a cosine down."""
    share = min(share, 1.0)
    if share < WARM_UP:
        return FLOOR + (1 - FLOOR) * (1 - math.cos(math.pi * share / WARM_UP)) / 2
    return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))) / 2
