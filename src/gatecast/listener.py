"""Who hears what happens while it happens, as the command line's printer."""

from typing import TYPE_CHECKING, Protocol

from gatecast.store import Observer, Unobserved

if TYPE_CHECKING:
    from gatecast.course import Epoch


class Listener(Observer, Protocol):
    """Hears of steps and epochs, and what an observer of a store does."""

    def step(self, number: int, title: str, found: str) -> None:
        """One of the eleven steps was taken, and this came of it."""

    def epoch(self, epoch: "Epoch") -> None:
        """An epoch of training ended."""


class Silent(Unobserved):
    """Hears nothing."""

    def step(self, number: int, title: str, found: str) -> None:
        """See `Listener`."""

    def epoch(self, epoch: "Epoch") -> None:
        """See `Listener`."""


SILENT = Silent()
