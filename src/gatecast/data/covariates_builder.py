"""Covariates on their way into a panel, in any order, batch by batch."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gatecast.data.arrays import Indices, Values, offsets_of
from gatecast.data.covariates import NUMBERS, TEXTS
from gatecast.errors import DataError

MAX_STEPS_AHEAD = 100_000
"""Steps past the end of a series beyond which known-future values must be a mistake."""


class CovariatesBuilder:
    """The rows of covariates so far; the first value of a step counts."""

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
        if (ends - lasts > MAX_STEPS_AHEAD).any():
            raise DataError(
                f"known-future values more than {MAX_STEPS_AHEAD:,} steps after the last target: check the dates"
            )
        offsets = offsets_of(ends - starts + 1)
        table = np.full((int(offsets[-1]), len(self.names)), np.nan, np.float32)
        for codes, steps, values in self.chunks:
            index = series[codes]
            inside = (index >= 0) & (steps >= starts[index]) & (steps <= ends[index])
            at = offsets[index[inside]] + steps[inside] - starts[index[inside]]
            table[at] = np.where(np.isnan(table[at]), values[inside], table[at])
        return table, offsets
