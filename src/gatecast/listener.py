"""Listeners, such as the command line's printer, follow the work while it is done."""

from typing import TYPE_CHECKING, Protocol

from gatecast.store import Observer, Unobserved

if TYPE_CHECKING:
    from gatecast.course import Epoch


class Listener(Observer, Protocol):
    """Is notified of steps and epochs, beside what an observer of a store is notified of."""

    def step(self, number: int, title: str, found: str) -> None:
        """One of the eleven steps is done, and this is its result."""

    def epoch(self, epoch: "Epoch") -> None:
        """An epoch of training ended."""


class Silent(Unobserved):
    """Ignores everything."""

    def step(self, number: int, title: str, found: str) -> None:
        """See `Listener`."""

    def epoch(self, epoch: "Epoch") -> None:
        """See `Listener`."""


SILENT = Silent()
