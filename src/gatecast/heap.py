"""Memory that each step of some work frees and takes again is kept for the next, not returned to the system.

glibc returns what is freed at the end of its heap, and large blocks at once. The system clears every page of them
before it gives them out again, which for an LSTM of many recurrent steps takes a third of its time.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3): freed bytes at the end of the heap, and bytes of a block, from which they are returned."""
_USUAL = 32 << 20
"""What glibc itself raises the second to, as blocks are freed; the first is then twice as much."""
_KEPT = 1 << 30
"""Larger blocks are returned at once. Twice as much less one, for the end of the heap, is the largest int that mallopt
takes."""
CHOSEN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
"""By these a user says what is to be returned."""


@contextmanager
def memory_kept() -> Iterator[None]:
    """Keep freed memory until the end; nothing is done without glibc, or where the user has said what is returned."""
    libc = _glibc()
    if libc is None:
        yield
        return
    _set(libc, _KEPT)
    try:
        yield
    finally:
        _set(libc, _USUAL)
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, size: int) -> None:
    if libc.mallopt(_MMAP_THRESHOLD, size):  # an older glibc refuses more than what is usual
        libc.mallopt(_TRIM_THRESHOLD, 2 * size - 1)


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux" or any(name in os.environ for name in CHOSEN):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") else None  # as in musl
