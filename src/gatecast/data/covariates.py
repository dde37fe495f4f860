"""Covariates: their rows gathered beside the panel, and the numbers that a network reads.

Three roles: static (one value per series), past (known up to the cutoff), future (known for the
horizon too). Numbers are standardised on training rows; a category is one of those known from training,
or none of them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gatecast.errors import DataError, UsageError, some

Values = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Role = Literal["static", "past", "future", "series"]

MOST = 64
"""Most categories of a past or future column that a network distinguishes; the most frequent ones."""
TEXTS, NUMBERS = "texts", "numbers"
FARTHEST = 100_000
"""Steps past the end of a series beyond which known-future values must be a mistake."""


def offsets_of(lengths: Indices) -> Indices:
    """The offsets of parts of these lengths that lie end to end, and the end of the last one."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def rows_of(offsets: Indices, indices: Indices) -> tuple[Indices, Indices]:
    """The rows of some parts that lie end to end, in the order given, and the offsets of these parts then."""
    lengths = np.diff(offsets)[indices]
    taken = offsets_of(lengths)
    return np.arange(taken[-1]) + np.repeat(offsets[indices] - taken[:-1], lengths), taken


@dataclass(frozen=True, eq=False)
class Covariates:
    """Columns beside the target; a row for each step of each series, and one for each series.

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
        rows, offsets = rows_of(self.offsets, indices)
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


class Gathering:
    """Covariates on their way into a panel: rows in any order; the first value of a step counts."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.categories: dict[str, dict[str, int]] = {}
        self.held: dict[str, str] = {}  # texts or numbers, by the name of a column; not of one that is empty
        self.chunks: list[tuple[npt.NDArray[np.int32], Indices, Values]] = []

    def add(self, batch: pa.RecordBatch, codes: npt.NDArray[np.int32], steps: Indices, names: Sequence[str]) -> None:
        """Add the rows of a batch: the code of their series, their step, a column covariate_0, ... for each name."""
        read = np.full((batch.num_rows, len(self.names)), np.nan, np.float32)
        read[:, [self.names.index(name) for name in names]] = self.read(batch, "covariate", names)
        self.chunks.append((codes, steps, read))

    def read(self, batch: pa.RecordBatch, prefix: str, names: Sequence[str]) -> Values:
        """Columns of a batch as numbers: texts as the numbers of their categories, NaN where missing.

        Raises:
            DataError: a column holds texts here and numbers in batches before.
        """
        columns = [self._numbers(name, batch.column(f"{prefix}_{i}")) for i, name in enumerate(names)]
        return np.stack(columns, 1) if columns else np.empty((batch.num_rows, 0), np.float32)

    def _numbers(self, name: str, column: pa.Array) -> Values:
        now = TEXTS if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) else NUMBERS
        if now == TEXTS:
            values = self._numbered(name, column)
        else:
            values = np.asarray(column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False), np.float32)
        if not np.isnan(values).all() and (before := self.held.setdefault(name, now)) != now:
            raise DataError(
                f"column {name!r} holds {before} in the source and {now} in the --future-table: give it one type "
                "(that of a column of a CSV file is guessed, a Parquet file says it)"
            )
        return values

    def _numbered(self, name: str, column: pa.Array) -> Values:
        known = self.categories.setdefault(name, {})
        encoded = pc.dictionary_encode(column)
        found = [known.setdefault(text, len(known)) for text in encoded.dictionary.to_pylist()]
        indices = encoded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
        numbered: Values = np.array([*found, np.nan], np.float32)[indices]
        return numbered

    def texts(self) -> dict[str, tuple[str, ...]]:
        """The categories of each column of texts; an empty one may be of another type than its values elsewhere."""
        return {name: tuple(known) for name, known in self.categories.items() if self.held.get(name) != NUMBERS}

    def assemble(self, series: Indices, starts: Indices, lasts: Indices) -> tuple[Values, Indices]:
        """Values and offsets, see `Covariates`.

        Args:
            series: index of each code in the panel, -1 where it is not in it.
            starts: the first step of each series.
            lasts: the last step of each series; values after it are kept.

        Raises:
            DataError: values lie absurdly far after the end of their series.
        """
        ends = lasts.copy()
        for codes, steps, values in self.chunks:
            used = (series[codes] >= 0) & ~np.isnan(values).all(1)
            np.maximum.at(ends, series[codes[used]], steps[used])
        far = np.flatnonzero(ends - lasts > FARTHEST)
        if far.size:
            raise DataError(f"known-future values more than {FARTHEST:,} steps after the last target: check the dates")
        offsets = offsets_of(ends - starts + 1)
        table = np.full((int(offsets[-1]), len(self.names)), np.nan, np.float32)
        for codes, steps, values in self.chunks:
            index = series[codes]
            inside = (index >= 0) & (steps >= starts[index]) & (steps <= ends[index])
            at = offsets[index[inside]] + steps[inside] - starts[index[inside]]
            table[at] = np.where(np.isnan(table[at]), values[inside], table[at])
        return table, offsets


@dataclass(frozen=True)
class Column:
    """How a column becomes features: a number standardised, a category as one of those known.

    Attributes:
        categories: those known, the others are none of them; None for a number.
    """

    name: str
    role: Role
    loc: float = 0.0
    scale: float = 1.0
    categories: tuple[str, ...] | None = None

    @property
    def width(self) -> int:
        """Features of a varying column: a number, or a mark for each category."""
        return 1 if self.categories is None else len(self.categories)

    def read(self, covariates: Covariates) -> Values:
        """Its values as the network counts them: standardised, or 1, 2, ... for the categories; NaN if missing.

        A category that is not known is 0.

        Raises:
            DataError: it holds texts where training met numbers, or numbers where it met texts.
        """
        values = covariates.column(self.name)
        now, then = (
            NUMBERS if part is None else TEXTS for part in (covariates.categories.get(self.name), self.categories)
        )
        if now != then and not np.isnan(values).all():
            raise DataError(
                f"column {self.name!r} holds {now}, and held {then} when the model was trained: cast it in --sql"
            )
        if self.categories is None:
            return np.asarray((values - self.loc) / self.scale, np.float32)
        known = {text: number for number, text in enumerate(self.categories, 1)}
        own = [known.get(text, 0) for text in covariates.categories.get(self.name, ())]
        table = np.array([*own, np.nan], np.float32)
        return table[np.where(np.isnan(values), len(own), values).astype(np.int64)]

    @classmethod
    def fit(cls, name: str, role: Role, covariates: Covariates, rows: npt.NDArray[np.bool_]) -> Self:
        """Mean and standard deviation of a number over some rows; categories of all rows, the most frequent first."""
        values = covariates.column(name)
        if name in covariates.categories:
            counts = Counter(values[~np.isnan(values)].astype(int).tolist())
            most = None if role == "static" else MOST
            return cls(
                name, role, categories=tuple(covariates.categories[name][i] for i, _ in counts.most_common(most))
            )
        values = values[rows & ~np.isnan(values)].astype(np.float64)
        return cls(name, role, float(values.mean()), float(values.std()) or 1.0) if values.size else cls(name, role)

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Self:
        """From what `asdict` gave."""
        categories = about["categories"]
        return cls(**dict(about) | {"categories": None if categories is None else tuple(categories)})


def unknown(columns: Sequence[Column], covariates: Covariates) -> list[str]:
    """A line for each column with categories that are not known from training."""
    lines = []
    for column in columns:
        if column.categories is None or column.role == "series":
            continue
        count = int((column.read(covariates) == 0).sum())
        if count:
            known = set(column.categories)  # of a static column there may be as many as series
            new = [text for text in covariates.categories[column.name] if text not in known]
            lines.append(
                f"column {column.name!r}: {count:,} values are of no category that training told apart ({some(new)})"
            )
    return lines
