"""Flat arrays: their types, and where parts of unequal length lie that are kept end to end."""

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def offsets_of(lengths: Indices) -> Indices:
    """The offsets of parts of these lengths that lie end to end, and the end of the last one."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def part_rows(offsets: Indices, indices: Indices) -> tuple[Indices, Indices]:
    """The rows of some parts that lie end to end, in the order given, and the offsets of these parts then."""
    lengths = np.diff(offsets)[indices]
    taken = offsets_of(lengths)
    return np.arange(taken[-1]) + np.repeat(offsets[indices] - taken[:-1], lengths), taken
