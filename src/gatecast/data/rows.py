"""Rows on their way into a panel, in any order, batch by batch."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gatecast.data.arrays import Indices, Values, offsets_of
from gatecast.data.dates import Steps
from gatecast.errors import DataError, plural, some
from gatecast.settings import LARGEST
from gatecast.store.faults import RARE

MAX_STEPS_PER_ROW = 50
"""Grid steps for each row above which a grid is taken to be a mistake."""


@dataclass(frozen=True)
class Reading:
    """What was found while rows became a panel.

    Attributes:
        rows: how many there were.
        hollow: series (its index) and step where there are rows but no value, (2, N), also after the last value
            of a series.
        partial: series (its index) that have fewer rows in the newest step of all than usual in their own, how many
            and how many usually, (3, P): that step may not be over.
    """

    rows: int = 0
    hollow: Indices = field(default_factory=lambda: np.empty((2, 0), np.int64), compare=False)
    partial: Indices = field(default_factory=lambda: np.empty((3, 0), np.int64), compare=False)

    def of(self, number: Indices) -> Self:
        """The same of some series only: the new index of each, -1 where it is not among them."""
        parts = (np.concatenate([number[part[:1]], part[1:]]) for part in (self.hollow, self.partial))
        hollow, partial = (part[:, part[0] >= 0] for part in parts)
        return replace(self, hollow=hollow, partial=partial)


def name_of(key: Sequence[object]) -> str:
    """The name of a series: the parts of its key joined by a slash."""
    return "/".join(str(part) for part in key) if key else "the series"


def without_values(rows: int) -> DataError:
    """The error for rows of which none has both a time and a value."""
    return DataError(f"no usable value in {plural(rows, 'row')}: every target or every time is empty")


class PanelBuilder:
    """Rows on their way into a panel: twelve bytes each at most, eight up to 65,535 series and steps."""

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self.codes: dict[tuple[object, ...], int] = {}
        self.types: dict[int, pa.DataType] = {}  # of parts whose values alone do not tell it: digits, or no sign
        self.chunks: list[tuple[npt.NDArray[np.integer], npt.NDArray[np.integer], Values]] = []
        self.made: list[npt.NDArray[np.integer] | None] = []  # rows of each step of a chunk; None where each has one
        self.base: int | None = None
        self.count = 0
        self.hollow: list[tuple[npt.NDArray[np.int32], Steps]] = []  # steps that have rows but no value

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch that have a time; of one without a value only the step is kept.

        Raises:
            DataError: a value is infinite or beyond 1e33, or the rows span too many steps.
        """
        counts = batch.column("row_count").to_numpy(zero_copy_only=False)
        codes = self.encoded(batch)
        value = batch.column("value").to_numpy(zero_copy_only=False)
        step = batch.column("step")
        timed = step.is_valid().to_numpy(zero_copy_only=False)
        valued = ~np.isnan(value)
        self.count += int(counts.sum())
        used = timed & valued
        steps = (step.fill_null(0) if step.null_count else step).to_numpy(zero_copy_only=False)
        self.hollow.append((codes[timed & ~valued], steps[timed & ~valued]))
        used = slice(None) if used.all() else used  # a view, no copy
        steps = steps[used]
        with np.errstate(over="ignore"):
            narrow = _kept(value[used], np.float32)
        fits = np.abs(narrow) <= LARGEST
        if not fits.all():
            self._refuse(value[used][~fits], codes[used][~fits])
        if self.base is None and steps.size:
            self.base = int(steps[0])
        base = self.base or 0
        if steps.size and max(int(steps.max()) - base, base - int(steps.min())) > np.iinfo(np.int32).max:
            raise DataError("the timestamps span more than two thousand million steps: is the frequency right?")
        self.chunks.append((_narrowed(codes[used]), _narrowed(steps, base), narrow))
        self.made.append(_narrowed(counts[used]) if counts.max(initial=0) > 1 else None)

    def located(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, npt.NDArray[np.int32], Steps]:
        """The rows of a batch that have a time, with the series code and the step of each."""
        batch = batch.filter(batch.column("step").is_valid())
        steps = batch.column("step").to_numpy(zero_copy_only=False)
        return batch, self.encoded(batch), steps

    def encoded(self, batch: pa.RecordBatch) -> npt.NDArray[np.int32]:
        """A number for the series of each row, the same in every batch."""
        keys = [batch.column(f"key_{i}") for i in range(self.parts)]
        if not keys:
            self.codes.setdefault((), 0)
            return np.zeros(batch.num_rows, np.int32)
        plain = [key.dictionary_decode() if pa.types.is_dictionary(key.type) else key for key in keys]
        # NaN, which equals nothing, is the same as NULL.
        plain = [pc.if_else(pc.is_nan(key), None, key) if pa.types.is_floating(key.type) else key for key in plain]
        kept = (pa.types.is_decimal, pa.types.is_uint64)
        self.types |= {part: key.type for part, key in enumerate(plain) if any(test(key.type) for test in kept)}
        encoded = [pc.dictionary_encode(key, null_encoding="encode") for key in plain]
        if len(keys) == 1:
            inverse, parts = encoded[0].indices.to_numpy(), [encoded[0].dictionary.to_pylist()]
        else:
            mixed, count = np.zeros(batch.num_rows, np.int64), 1
            for part in encoded:
                size = max(1, len(part.dictionary))
                if count * size > np.iinfo(np.int64).max:  # it would run over, and series be taken for one another
                    mixed, count = np.unique(mixed, return_inverse=True)[1], batch.num_rows
                mixed, count = mixed * size + part.indices.to_numpy(), count * size
            _, first, inverse = np.unique(mixed, return_index=True, return_inverse=True)
            parts = [part.take(pa.array(first)).dictionary_decode().to_pylist() for part in encoded]
        found = [self.codes.setdefault(key, len(self.codes)) for key in zip(*parts, strict=True)]
        numbered: npt.NDArray[np.int32] = np.array(found, np.int32)[inverse]
        return numbered

    def _refuse(self, values: npt.NDArray[np.float64], codes: npt.NDArray[np.int32]) -> None:
        keys = list(self.codes)
        where = some(sorted({name_of(keys[code]) for code in codes.tolist()}))
        raise DataError(
            f"target values are infinite or beyond 1e33, as {values[0]} (in {where}): "
            "filter or repair them with --sql, as by WHERE ABS(target) < 1e33"
        )

    def assemble(self, series: Sequence[str]) -> tuple[pa.Table, Values, Indices, Steps, Reading]:
        """Sort the series and put every value in its place; no row is ever sorted.

        Returns:
            What a `Panel` has: keys (S rows), values (N,), offsets (S + 1,), starts (S,), and what was found.

        Raises:
            DataError: the grid is far too fine for the rows.
        """
        order, keys = self._sorted()
        count, (first, last, valued) = len(self.codes), self._spans()
        low, high = first[order], last[order]
        has = high >= low
        partial = self._partial(first, last)
        lengths = np.where(has, high.astype(np.int64) - low + 1, 0)
        _refuse_sparse(keys, lengths, valued[order])
        offsets = offsets_of(lengths)
        place = np.empty(count, np.int64)
        place[order] = offsets[:-1] - low
        pa.default_memory_pool().release_unused()  # of the batches; it would stay beside what comes now
        values = np.full(int(offsets[-1]), np.nan, np.float32)
        while self.chunks:  # each is let go when it is in its place; a step has one row, so their order is free
            codes, steps, chunk = self.chunks.pop()
            values[place[codes] + steps] = chunk
        number = np.empty(count, np.int64)
        number[order] = np.where(has, np.cumsum(has) - 1, -1)
        used = [key for key, is_used in zip(keys, has.tolist(), strict=True) if is_used]
        columns = [pa.array([key[part] for key in used], self.types.get(part)) for part in range(len(series))]
        table = pa.table(columns, list(series))
        starts = low[has].astype(np.int64) + (self.base or 0)
        reading = Reading(self.count, self._hollow(number, first), np.stack([number[partial[0]], *partial[1:]]))
        return table, values, np.append(offsets[:-1][has], offsets[-1]), starts, reading

    def _spans(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Indices]:
        """First and last step with a value of each code, from the base on, and how many it has.

        Where there is none, the last is before the first.
        """
        limits, valued = np.iinfo(np.int32), np.zeros(len(self.codes), np.int64)
        low, high = (np.full(len(self.codes), end, np.int32) for end in (limits.max, limits.min))
        for codes, steps, _ in self.chunks:
            index, exact = codes.astype(np.intp), steps.astype(np.int32)  # twenty times as fast as numpy's own casts
            np.minimum.at(low, index, exact)
            np.maximum.at(high, index, exact)
            valued += np.bincount(index, minlength=len(valued))
        return low, high, valued

    def _partial(self, low: npt.NDArray[np.int32], high: npt.NDArray[np.int32]) -> Indices:
        """What `Reading` calls partial, by codes, from the first and last step of each: the rule of the audit."""
        if all(many is None for many in self.made):
            return np.empty((3, 0), np.int64)
        size = len(low)
        newest, fewest, sums = np.zeros(size), np.full(size, np.inf), np.zeros((3, size))
        for (codes, steps, _), many in zip(self.chunks, self.made, strict=True):
            rows = np.ones(len(codes)) if many is None else many.astype(np.float64)
            end = steps == high[codes]
            newest[codes[end]] = rows[end]
            inner = ~end & (steps > low[codes])
            within, rows = codes[inner].astype(np.intp), rows[inner]
            np.minimum.at(fewest, within, rows)
            sums += [np.bincount(within, rows**power, size) for power in range(3)]
        count = np.maximum(sums[0], 1)
        common = sums[1] / count
        spread = np.sqrt(np.maximum(sums[2] / count - common**2, 0))
        few = (newest < np.maximum(fewest, common - RARE * spread)) & (sums[0] > 0) & (high == high.max())
        found = np.flatnonzero(few)
        return np.stack([found, newest[found], common[found].round()]).astype(np.int64)

    def _hollow(self, number: Indices, first: npt.NDArray[np.int32]) -> Indices:
        """The steps without a value of series that had begun, see `Reading`; number and first step of each code."""
        found = [np.empty((2, 0), np.int64)]
        for codes, steps in self.hollow:
            begun = (number[codes] >= 0) & (steps - (self.base or 0) >= first[codes])
            found.append(np.stack([number[codes], steps])[:, begun])
        return np.concatenate(found, 1)

    def _sorted(self) -> tuple[Indices, list[tuple[object, ...]]]:
        """Codes in the order of their keys (nulls first), and the keys in that order."""
        keys = list(self.codes)
        order = sorted(range(len(keys)), key=lambda code: [(part is not None, part) for part in keys[code]])
        return np.array(order, np.int64), [keys[code] for code in order]


def _refuse_sparse(keys: Sequence[Sequence[object]], lengths: Indices, valued: Indices) -> None:
    """Refuse a grid far too long for its values, of one series or of all together."""
    beyond = lengths - MAX_STEPS_PER_ROW * valued
    if max(beyond.max(), beyond.sum()) > 1_000_000:
        most = int(beyond.argmax())
        raise DataError(
            f"{valued[most]:,} values of {name_of(keys[most])} would lie on a grid of {lengths[most]:,} steps: "
            "the frequency is too fine for these rows, or a date among them is wrong, as 9999-12-31 for none; "
            "gatecast audit shows the first and the last, and --since and --until leave rows out"
        )


def _narrowed(numbers: npt.NDArray[np.integer], base: int = 0) -> npt.NDArray[np.integer]:
    """Integers minus a base, in the smallest type that holds them."""
    ends = (int(numbers.min(initial=base)) - base, int(numbers.max(initial=base)) - base)
    return _kept(numbers, np.promote_types(*map(np.min_scalar_type, ends)), base)


def _kept(numbers: npt.NDArray[Any], kind: npt.DTypeLike, base: int = 0) -> npt.NDArray[Any]:
    """A copy in Arrow's memory, which buffers freed between batches do not fragment."""
    kept: npt.NDArray[Any] = np.ndarray(len(numbers), kind, pa.allocate_buffer(len(numbers) * np.dtype(kind).itemsize))
    np.subtract(numbers, base, out=kept, casting="unsafe")
    return kept
