"""Listeners, such as the command line's printer, follow the work while it is done."""

from typing import TYPE_CHECKING

from gatecast.store import Observer

if TYPE_CHECKING:
    from gatecast.course import Epoch


class Listener(Observer):
    """Is notified of steps and epochs, beside what an observer of a store is notified of; this one ignores them."""

    def step(self, number: int, title: str, found: str) -> None:
        """One of the eleven steps is done, and this is its result."""

    def epoch(self, epoch: "Epoch") -> None:
        """An epoch of training ended."""


SILENT = Listener()
