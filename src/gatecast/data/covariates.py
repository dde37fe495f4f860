"""Covariates: columns beside the target.

Three roles: static (one value per series), past (known up to the cutoff), future (known for the horizon too).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from gatecast.data.arrays import Indices, Values, part_rows
from gatecast.errors import UsageError, some

TEXTS, NUMBERS = "texts", "numbers"
"""What a column holds, as messages say it."""


@dataclass(frozen=True, eq=False)
class Covariates:
    """The columns of a panel: a row for each step of each series, and one for each series.

    Attributes:
        varying: names of the past and future columns, K of them.
        past: those known up to the cutoff only.
        values: (M, K), NaN where missing; a category is its number in `categories`.
        offsets: `values[offsets[i]:offsets[i + 1]]` is series i from its first target on.
        fixed: names of the static columns, L of them.
        statics: (S, L), as `values`.
        categories: the categories of each column that holds text.
    """

    varying: tuple[str, ...]
    past: tuple[str, ...]
    values: Values
    offsets: Indices
    fixed: tuple[str, ...]
    statics: Values
    categories: Mapping[str, tuple[str, ...]]

    def take(self, indices: Indices) -> Self:
        """Those of some of the series, in the order given."""
        rows, offsets = part_rows(self.offsets, indices)
        return replace(self, values=self.values[rows], offsets=offsets, statics=self.statics[indices])

    def column(self, name: str) -> Values:
        """The values of a column, all series end to end."""
        if name in self.varying:
            return self.values[:, self.varying.index(name)]
        return self.statics[:, self.fixed.index(name)]


def refuse_without(found: Covariates | None, varying: Sequence[str], fixed: Sequence[str]) -> None:
    """Check that covariates are there: some with a value for each step, others with one for each series.

    Raises:
        UsageError: one is missing.
    """
    there = (found.varying, found.fixed) if found else ((), ())
    if not (set(varying) <= set(there[0]) and set(fixed) <= set(there[1])):
        raise UsageError(
            f"needed beside the target: {_listed(varying, fixed)}; the panel has {_listed(*there)}: "
            "read it with the same past, future, static and holidays_column"
        )


def _listed(varying: Sequence[str], fixed: Sequence[str]) -> str:
    parts = ((varying, "each step"), (fixed, "each series"))
    return " and ".join(f"{some(sorted(names))} (of {what})" for names, what in parts if names) or "nothing"
