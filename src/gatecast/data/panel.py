"""Many series of unequal length in flat arrays: four bytes an observation."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gatecast.config import Fill
from gatecast.data.covariates import Covariates, Gathering, offsets_of, rows_of
from gatecast.data.dates import Grid, Steps, TimeKind
from gatecast.errors import DataError, NoRowsError, some

Values = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

SPARSE = 50
"""Grid steps for each row above which a grid is taken to be a mistake."""


@dataclass(frozen=True)
class Reading:
    """What was met while rows became a panel.

    Attributes:
        rows: how many there were.
        hollow: positions in the values of the steps that have rows, but no value.
    """

    rows: int = 0
    hollow: Indices = field(default_factory=lambda: np.empty(0, np.int64), compare=False)


@dataclass(frozen=True)
class Beside:
    """What comes with the rows of a panel beside the target.

    Attributes:
        varying: names of the columns covariate_0, covariate_1, ... of the rows: past ones, then future ones.
        future: names of the columns covariate_0, ... of the rows of `more`.
        more: rows of known-future values, as those of the panel.
        fixed: names of the columns static_0, static_1, ... of `statics`.
        statics: rows of key_0, ..., static_0, ..., one for each series.
    """

    varying: Sequence[str] = ()
    future: Sequence[str] = ()
    more: Iterable[pa.RecordBatch] = ()
    fixed: Sequence[str] = ()
    statics: Sequence[pa.RecordBatch] = ()


@dataclass(frozen=True, eq=False)
class Panel:
    """Series on one grid, one after the other.

    `values[offsets[i]:offsets[i + 1]]` is series i from step `starts[i]` on, NaN where a
    value is missing; its first and last values are never missing. `keys` has a row for each
    series and a column for each series column, sorted.
    """

    grid: Grid
    keys: pa.Table
    values: Values
    offsets: Indices
    starts: Steps
    kind: TimeKind = "local"
    reading: Reading = field(default_factory=Reading)
    covariates: Covariates | None = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> Indices:
        """Steps of each series from its first to its last value."""
        return np.diff(self.offsets)

    @property
    def lasts(self) -> Steps:
        """The step of the last value of each series."""
        return self.starts + self.lengths - 1

    @cached_property
    def names(self) -> list[str]:
        """A name for each series: its key, parts joined by a slash."""
        if not self.keys.num_columns:
            return [name_of(())] * len(self)
        return [name_of(key) for key in zip(*(column.to_pylist() for column in self.keys.columns), strict=True)]

    def series(self, index: int) -> Values:
        """The values of one series (a view)."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def take(self, indices: Indices) -> Self:
        """Some of the series, in the order given."""
        positions, offsets = rows_of(self.offsets, indices)
        keys = self.keys.take(pa.array(indices)) if self.keys.num_columns else self.keys
        covariates = self.covariates and self.covariates.take(indices)
        values, starts = self.values[positions], self.starts[indices]
        return replace(self, keys=keys, values=values, offsets=offsets, starts=starts, covariates=covariates)

    def gaps_ahead(self, name: str, after: Steps, until: Steps) -> tuple[list[int], list[int]]:
        """Series and steps, after one step of each series and up to another, at which a covariate has no value."""
        found = self.covariates
        assert found is not None
        ahead = after[:, None] + 1 + np.arange(max(int((until - after).max()), 0))
        position = found.offsets[:-1, None] + ahead - self.starts[:, None]
        inside = position < found.offsets[1:, None]
        values = found.column(name)[np.minimum(position, len(found.values) - 1)]
        series, at = np.nonzero((ahead <= until[:, None]) & ~(inside & ~np.isnan(values)))
        return series.tolist(), ahead[series, at].tolist()

    def until(self, step: int) -> Self:
        """What was known at a step: no value after it, every series up to its last value by then."""
        begins, lengths = self.offsets[:-1], self.lengths
        place = np.arange(len(self.values)) - np.repeat(begins, lengths)
        known = ~np.isnan(self.values) & (place + np.repeat(self.starts, lengths) <= step)
        last = np.where(self.lasts <= step, lengths - 1, np.maximum.reduceat(np.where(known, place, -1), begins))
        kept = place <= np.repeat(last, lengths)
        return replace(self, values=self.values[kept], offsets=offsets_of(last + 1))

    def ending_before(self, steps: int) -> tuple[str, ...]:
        """The series that end more than some steps before the newest row, and where."""
        stale = np.flatnonzero(self.lasts < self.lasts.max() - steps).tolist()
        return tuple(f"{self.names[i]} ends {self.grid.label(int(self.lasts[i]))}" for i in stale)

    def continued(self, common: bool, fill: Fill) -> Self:
        """With steps without a value filled by rule, and all series ending with the newest row if that is wanted.

        A step after the last value of a series lies on no line between two.
        """
        values, offsets, hollow = self.values, self.offsets, self.reading.hollow
        missing = np.isnan(values)
        if fill == "interpolate" and missing.any():
            places = np.arange(len(values))
            values = np.where(missing, np.interp(places, places[~missing], values[~missing]), values).astype(np.float32)
        if common:
            lengths = self.lasts.max() - self.starts + 1
            offsets = offsets_of(lengths)
            longer = np.full(offsets[-1], np.nan, np.float32)
            place = np.arange(len(values)) + np.repeat(offsets[:-1] - self.offsets[:-1], self.lengths)
            longer[place] = values
            values, hollow = longer, place[hollow]
        if fill == "zero":
            values = np.nan_to_num(values, nan=0.0)
            values[hollow] = np.nan  # something was there, and nobody knows how much
        elif fill == "forward":
            known = np.where(np.isnan(values), 0, np.arange(len(values)))
            values = values[np.maximum.accumulate(known)]
        return replace(self, values=values, offsets=offsets, reading=replace(self.reading, hollow=hollow))

    @classmethod
    def from_batches(
        cls,
        batches: Iterable[pa.RecordBatch],
        grid: Grid,
        series: Sequence[str],
        *,
        kind: TimeKind = "local",
        beside: Beside | None = None,
    ) -> Self:
        """A panel from the rows of `store.query.series_query`, in any order.

        Args:
            batches: columns key_0, key_1, ..., step, value, row_count.
            grid: the grid that `step` counts on.
            series: names of the series columns, one for each key.
            kind: what the time column of the source holds.
            beside: the covariates among the columns.

        Raises:
            DataError: no usable rows, an infinite value, or a grid far too fine for the rows.
        """
        rows = _Rows(len(series))
        gathering = Gathering(beside.varying if beside else ())
        for batch in batches:
            rows.add(batch)
            if gathering.names:
                gathering.add(*rows.located(batch), gathering.names)
            del batch  # before the next one is made
        if not rows.count:
            raise NoRowsError("the query gave no rows: check the table, the filter and the dates")
        keys, values, offsets, starts, reading = rows.assemble(series)
        panel = cls(grid, keys, values, offsets, starts, kind, reading)
        if not len(panel):
            raise DataError(f"no usable value in {rows.count:,} rows: every target or every time is empty")
        return panel if beside is None else replace(panel, covariates=_gathered(panel, rows, gathering, beside))


def _gathered(panel: Panel, rows: "_Rows", gathering: Gathering, beside: Beside) -> Covariates:
    """What was gathered beside a panel, in the order of its series."""
    for batch in beside.more:
        gathering.add(*rows.located(batch), beside.future)
    codes = [rows.encoded(batch) for batch in beside.statics]
    keys = list(zip(*(column.to_pylist() for column in panel.keys.columns), strict=True)) or [()]
    own = {key: index for index, key in enumerate(keys)}
    series = np.array([own.get(key, -1) for key in rows.codes], np.int64)
    statics = np.full((len(panel) + 1, len(beside.fixed)), np.nan, np.float32)  # the last row is no series' own
    for batch, code in zip(beside.statics, codes, strict=True):
        statics[series[code]] = gathering.read(batch, "static", beside.fixed)
    values, offsets = gathering.assemble(series, panel.starts, panel.lasts)
    categories = {name: tuple(known) for name, known in gathering.categories.items()}
    past = tuple(name for name in gathering.names if name not in beside.future)
    return Covariates(gathering.names, past, values, offsets, tuple(beside.fixed), statics[:-1], categories)


def name_of(key: Sequence[object]) -> str:
    """The name of a series: the parts of its key joined by a slash."""
    return "/".join(str(part) for part in key) if key else "the series"


class _Rows:
    """Rows on their way into a panel: twelve bytes each at most, eight up to 65,535 series and steps."""

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self.codes: dict[tuple[object, ...], int] = {}
        self.chunks: list[tuple[npt.NDArray[np.integer], npt.NDArray[np.integer], Values]] = []
        self.base: int | None = None
        self.count = 0
        self.hollow: list[tuple[npt.NDArray[np.int32], Steps]] = []  # steps that have rows but no value

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the rows of a batch that have a time; one that has no value is only known to be there."""
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
            narrow = value[used].astype(np.float32)
        if not np.isfinite(narrow).all():
            self._refuse(narrow, value[used], codes[used])
        if self.base is None and steps.size:
            self.base = int(steps[0])
        relative = steps - (self.base or 0)
        if relative.size and max(relative.max(), -relative.min()) > np.iinfo(np.int32).max:
            raise DataError("the timestamps span more than two thousand million steps: is the frequency right?")
        self.chunks.append((_narrowed(codes[used]), _narrowed(relative), narrow))

    def located(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, npt.NDArray[np.int32], Steps]:
        """The rows of a batch that have a time, the series and the step of each."""
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
        encoded = [pc.dictionary_encode(key, null_encoding="encode") for key in plain]
        if len(keys) == 1:
            inverse, parts = encoded[0].indices.to_numpy(), [encoded[0].dictionary.to_pylist()]
        else:
            mixed = np.zeros(batch.num_rows, np.int64)
            for part in encoded:
                mixed = mixed * max(1, len(part.dictionary)) + part.indices.to_numpy()
            _, first, inverse = np.unique(mixed, return_index=True, return_inverse=True)
            parts = [part.take(pa.array(first)).dictionary_decode().to_pylist() for part in encoded]
        named: Iterable[tuple[object, ...]] = zip(*parts, strict=True)
        if any(pa.types.is_floating(key.type) for key in plain):  # NaN, which equals nothing, is the same as NULL
            named = (tuple(None if _is_nan(part) else part for part in key) for key in named)
        found = [self.codes.setdefault(key, len(self.codes)) for key in named]
        numbered: npt.NDArray[np.int32] = np.array(found, np.int32)[inverse]
        return numbered

    def _refuse(self, narrow: Values, value: npt.NDArray[np.float64], codes: npt.NDArray[np.int32]) -> None:
        bad = ~np.isfinite(narrow)
        keys = list(self.codes)
        where = some(sorted({name_of(keys[code]) for code in codes[bad].tolist()}))
        raise DataError(
            f"target values are infinite or beyond 3.4e38, as {value[bad][0]} (in {where}): "
            "filter or repair them in the query"
        )

    def assemble(self, series: Sequence[str]) -> tuple[pa.Table, Values, Indices, Steps, Reading]:
        """Sort the series and put every value in its place; no row is ever sorted."""
        order, keys = self._sorted()
        count = len(self.codes)
        low, high = np.full(count, np.iinfo(np.int32).max, np.int32), np.full(count, np.iinfo(np.int32).min, np.int32)
        for codes, steps, _ in self.chunks:
            index, exact = codes.astype(np.intp), steps.astype(np.int32)  # twenty times as fast as numpy's own casts
            np.minimum.at(low, index, exact)
            np.maximum.at(high, index, exact)
        first, last, low, high = low, high, low[order], high[order]
        has = high >= low
        lengths = np.where(has, high.astype(np.int64) - low + 1, 0)
        taken = sum(len(values) for _, _, values in self.chunks)
        if lengths.sum() > SPARSE * taken + 1_000_000:
            raise DataError(
                f"{taken:,} values would lie on a grid of {lengths.sum():,} steps: "
                "the frequency is too fine for these rows"
            )
        offsets = offsets_of(lengths)
        place = np.empty(count, np.int64)
        place[order] = offsets[:-1] - low
        values = np.full(int(offsets[-1]), np.nan, np.float32)
        while self.chunks:  # each is let go when it is in its place; a step has one row, so their order is free
            codes, steps, chunk = self.chunks.pop()
            values[place[codes] + steps] = chunk
        hollow = [np.empty(0, np.int64)]
        for codes, steps in self.hollow:
            relative = steps - (self.base or 0)
            inside = (relative >= first[codes]) & (relative <= last[codes])
            hollow.append((place[codes] + relative)[inside])
        used = [key for key, is_used in zip(keys, has.tolist(), strict=True) if is_used]
        table = pa.table({name: [key[part] for key in used] for part, name in enumerate(series)})
        starts = low[has].astype(np.int64) + (self.base or 0)
        reading = Reading(self.count, np.concatenate(hollow))
        return table, values, np.append(offsets[:-1][has], offsets[-1]), starts, reading

    def _sorted(self) -> tuple[Indices, list[tuple[object, ...]]]:
        """Codes in the order of their keys (nulls first), and the keys in that order."""
        keys = list(self.codes)
        order = sorted(range(len(keys)), key=lambda code: [(part is not None, part) for part in keys[code]])
        return np.array(order, np.int64), [keys[code] for code in order]


def _narrowed(numbers: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """Whole numbers in the smallest type that holds them."""
    ends = [np.min_scalar_type(end) for end in (numbers.min(initial=0), numbers.max(initial=0))]
    return numbers.astype(np.promote_types(*ends))


def _is_nan(part: object) -> bool:
    return isinstance(part, float) and math.isnan(part)
