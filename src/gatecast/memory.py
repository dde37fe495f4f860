"""How much memory `fit` needs, and how much is free: checked before the rows are read."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gatecast.errors import DataError, in_bytes

TRAINING = 350_000_000
"""Bytes beside the rows, most of them for windows, weights and forecasts of the test (docs/log.md)."""
WEIGHT, STATE = 44, 80
"""Bytes of a weight (gradient, moments, copies for both stages) and of a unit at a recurrent step of a window."""
ROW, ROW_BESIDE = 24, 12
"""Bytes of a row while rows become a panel, and what covariates add to find its place."""
STEP, VALUE = 24, 24
"""Bytes of a step of a series, and of a covariate at each; copies that are made on the way are counted."""

_SECOND = ("memory.max", "memory.current", "inactive_file")
_FIRST = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
"""Files of a control group of the second version and of the first."""


def needed(rows: int, steps: int, columns: int) -> int:
    """Bytes that `fit` takes at most beyond the program itself; DuckDB beside makes do with what is left.

    Args:
        steps: of all series.
        columns: covariates with a value for each step.
    """
    return TRAINING + rows * (ROW + ROW_BESIDE * bool(columns)) + steps * (STEP + VALUE * columns)


def refuse_too_large(rows: int, steps: int, columns: int) -> None:
    """Refuse rows that do not fit into memory, before they are read. Arguments as for `needed`.

    Raises:
        DataError: the machine, or the container, has less memory than `fit` needs.
    """
    less = "read fewer (--since, --sql), a coarser --freq, or fewer covariates"
    _refuse(needed(rows, steps, columns), f"{rows:,} rows on {steps:,} steps need", less)


def refuse_too_wide(weights: int, states: int, batch: int) -> None:
    """Refuse networks that do not fit into memory, before the first batch.

    Args:
        weights: of all networks.
        states: units times recurrent steps of a window.
        batch: windows of a batch.

    Raises:
        DataError: there is less memory than training needs.
    """
    what = f"training {weights:,} weights on batches of {batch:,} windows needs"
    less = "a smaller --batch, --hidden, --context or --members takes less"
    _refuse(WEIGHT * weights + STATE * states * batch, what, less)


def _refuse(wanted: int, what: str, less: str) -> None:
    free = available()
    if free is not None and wanted > free:
        raise DataError(f"{what} about {in_bytes(wanted)} of memory, and {in_bytes(free)} are free: {less}")


def available(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take, by the system and its control groups; None if neither says."""
    return min(_rooms(root), default=None)


def _rooms(root: Path) -> Iterator[int]:
    with suppress(OSError, KeyError):
        yield _counts(root / "proc/meminfo")["MemAvailable:"] * 1024
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds in ("", "memory"):  # of the second version, and of the first
                yield from _group_rooms(root / "sys/fs/cgroup" / kinds, path)


def _group_rooms(mount: Path, path: str) -> Iterator[int]:
    """The bytes left to a control group and its parents; in a container, its own is at the mount itself."""
    limit, usage, idle = _FIRST if mount.name == "memory" else _SECOND
    inside = Path(path.lstrip("/"))
    for group in {mount, *(mount / part for part in (inside, *inside.parents))}:
        with suppress(OSError, ValueError):  # "max" is no number: no limit
            used = int((group / usage).read_text()) - _counts(group / "memory.stat").get(idle, 0)
            yield int((group / limit).read_text()) - used


def _counts(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text().splitlines())
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}
