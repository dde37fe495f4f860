"""Memory freed by a step of training is there for the next, and the system's again afterwards."""

import os
import platform
import subprocess
import sys

import pytest

from gatecast import heap

LIBC, VERSION = platform.libc_ver()
KNOWN = LIBC == "glibc" and tuple(map(int, VERSION.split("."))) >= (2, 35)
pytestmark = pytest.mark.skipif(not KNOWN, reason="glibc of 2022 or later keeps blocks of any size, and tells")

HELD = """
import ctypes
import numpy as np
from gatecast.heap import memory_kept

class Mallinfo(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd us fs used free keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo

def step():
    block = np.ones(10_000_000, np.float32)
    mapped = libc.mallinfo2().hblkhd
    del block
    return mapped >> 20, libc.mallinfo2().free >> 20

print(*step())
with memory_kept():
    print(*step())
    print(*step())
print(*step())
"""


def held(**environment: str) -> list[list[int]]:
    """Megabytes in blocks of their own, then free in the heap: before, in two steps whose memory is kept, after."""
    run = [sys.executable, "-W", "error", "-c", HELD]
    here = {name: value for name, value in os.environ.items() if name not in heap.CHOSEN}
    told = subprocess.run(run, check=True, capture_output=True, text=True, env=here | environment)
    return [[int(number) for number in line.split()] for line in told.stdout.splitlines()]


def test_memory_is_kept_between_steps_and_returned_at_the_end() -> None:
    before, first, second, after = held()
    assert before[0] >= 38
    assert before[1] < 5
    assert first[0] < 5
    assert first[1] >= 38
    assert second == first
    assert after[0] >= 38
    assert after[1] < 5


def test_what_a_user_has_chosen_holds() -> None:
    *_, kept, _ = held(MALLOC_TRIM_THRESHOLD_="131072")
    assert kept[0] >= 38
    assert kept[1] < 5
