"""Many series of unequal length in flat arrays: four bytes an observation."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa

from gatecast.data.arrays import Flags, Indices, Values, offsets_of, part_rows
from gatecast.data.covariates import Covariates
from gatecast.data.covariates_builder import CovariatesBuilder
from gatecast.data.dates import Grid, Steps, TimeKind
from gatecast.data.rows import PanelBuilder, Reading, name_of, without_values
from gatecast.errors import DataError, NoRowsError, UsageError, as_name, some, some_names
from gatecast.settings import Fill


@dataclass(frozen=True)
class CovariateRows:
    """The covariates that come with the rows of a panel.

    Attributes:
        varying: names of the columns covariate_0, covariate_1, ... of the rows: past ones, then future ones.
        future: names of the columns covariate_0, ... of the rows of `more`.
        more: rows of known-future values, in the form of the panel's rows.
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
    """Series on one grid, end to end.

    `values[offsets[i]:offsets[i + 1]]` is series i from step `starts[i]` on, NaN where a
    value is missing; its first and last values are never missing. `keys` has a row for each
    series and a column for each series column, sorted.

    Attributes:
        filled: which values came from `continued` and not from a row.
        rule: the arguments of `continued`.
    """

    grid: Grid
    keys: pa.Table
    values: Values
    offsets: Indices
    starts: Steps
    kind: TimeKind = "local"
    reading: Reading = field(default_factory=Reading)
    covariates: Covariates | None = None
    filled: Flags | None = None
    rule: tuple[bool, Fill] = (False, "missing")

    def __len__(self) -> int:
        return len(self.starts)

    def __repr__(self) -> str:
        first, last = (self.grid.label(int(step)) for step in (self.starts.min(), self.lasts.max()))
        return f"<Panel: {len(self):,} series on {self.grid}, {len(self.values):,} steps, {first} to {last}>"

    @property
    def lengths(self) -> Indices:
        """Steps of each series from its first to its last value."""
        return np.diff(self.offsets)

    @cached_property
    def lasts(self) -> Steps:
        """The step of the last value of each series."""
        return self.starts + self.lengths - 1

    @cached_property
    def names(self) -> list[str]:
        """A name for each series: its key, parts joined by a slash."""
        if not self.keys.num_columns:
            return [name_of(())] * len(self)
        return [name_of(key) for key in zip(*(column.to_pylist() for column in self.keys.columns), strict=True)]

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The index of each series by its name."""
        return {name: index for index, name in enumerate(self.names)}

    def find(self, names: Sequence[str]) -> Indices:
        """The index of each series of these names.

        Raises:
            UsageError: there is no such series, or more than one.
        """
        if names and not self.keys.num_columns and list(names) != self.names:
            raise UsageError("there is one series, which has no name: leave out --series")
        if unknown := [name for name in names if name not in self.places]:
            raise UsageError(f"no series {some(map(repr, unknown))}; there are {some_names(self.names)}")
        if len(self.places) < len(self) and (twice := [name for name in names if self.names.count(name) > 1]):
            raise UsageError(f"several series are called {some(map(repr, twice))}: parts of their keys hold slashes")
        return np.array([self.places[name] for name in names], np.int64)

    def series(self, index: int) -> Values:
        """The values of one series (a view)."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def known(self, index: int, step: int) -> Values:
        """The values of one series up to a step, as known at that step."""
        values = self.series(index)[: max(step - int(self.starts[index]) + 1, 0)]
        if self.waiting is None:
            return values
        known = np.arange(len(values)) + self.waiting[self.offsets[index] :][: len(values)] < len(values)
        return np.where(known, values, np.float32(np.nan))

    def begun(self, until: Steps) -> Iterator[Values]:
        """For each series that had begun by its own step in `until`, the values as known at that step."""
        return (self.known(i, int(until[i])) for i in np.flatnonzero(until >= self.starts).tolist())

    def take(self, indices: Indices) -> Self:
        """Some of the series, in the order given."""
        positions, offsets = part_rows(self.offsets, indices)
        keys = self.keys.take(pa.array(indices)) if self.keys.num_columns else self.keys
        number = np.full(len(self), -1)
        number[indices] = np.arange(len(indices))
        return replace(
            self,
            keys=keys,
            values=self.values[positions],
            offsets=offsets,
            starts=self.starts[indices],
            reading=self.reading.of(number),
            covariates=self.covariates and self.covariates.take(indices),
            filled=None if self.filled is None else self.filled[positions],
        )

    @cached_property
    def waiting(self) -> Indices | None:
        """Steps until each value is known: an interpolated one waits for the end of its line. None: none waits."""
        if self.filled is None or self.rule[1] != "interpolate":
            return None
        place = np.arange(len(self.values))
        end = np.minimum.accumulate(np.where(self.filled, len(place), place)[::-1])[::-1]
        return np.where(np.isnan(self.values), 0, end - place)

    def gaps_ahead(self, name: str, after: Steps, until: Steps) -> tuple[list[int], list[int]]:
        """Series and steps at which a covariate has no value, after one step of each series and up to another."""
        found = self.covariates
        assert found is not None
        ahead = after[:, None] + 1 + np.arange(max(int((until - after).max()), 0))
        position = found.offsets[:-1, None] + ahead - self.starts[:, None]
        inside = position < found.offsets[1:, None]
        values = found.column(name)[np.minimum(position, len(found.values) - 1)]
        series, at = np.nonzero((ahead <= until[:, None]) & ~(inside & ~np.isnan(values)))
        return series.tolist(), ahead[series, at].tolist()

    def last_of(self, name: str) -> int:
        """The last step of any series at which a past or future covariate has a value; it has one."""
        found = self.covariates
        assert found is not None
        at = np.flatnonzero(~np.isnan(found.column(name)))
        series = np.searchsorted(found.offsets, at, side="right") - 1
        return int((self.starts[series] + at - found.offsets[series]).max())

    def until(self, step: int) -> Self:
        """The panel as known at a step: no later row, each series up to its last value by then, filled again."""
        values = self.values if self.filled is None else np.where(self.filled, np.float32(np.nan), self.values)
        begins, lengths = self.offsets[:-1], self.lengths
        place = np.arange(len(values)) - np.repeat(begins, lengths)
        known = ~np.isnan(values) & (place + np.repeat(self.starts, lengths) <= step)
        last = np.maximum.reduceat(np.where(known, place, -1), begins)
        kept = place <= np.repeat(last, lengths)
        return replace(self, values=values[kept], offsets=offsets_of(last + 1), filled=None).continued(*self.rule)

    def ending_before(self, steps: int) -> tuple[str, ...]:
        """The series that end more than some steps before the newest row, and where they end."""
        stale = np.flatnonzero(self.lasts < self.lasts.max() - steps).tolist()
        return tuple(f"{as_name(self.names[i])} ends {self.grid.label(int(self.lasts[i]))}" for i in stale)

    def continued(self, common: bool, fill: Fill) -> Self:
        """A panel with missing values filled by a rule, and if `common` with all series ending at the newest row.

        Interpolation fills nothing after the last value of a series.
        """
        if not common and fill == "missing":
            return self
        values, offsets = self.values, self.offsets
        if fill == "interpolate" and (missing := np.isnan(values)).any():
            places = np.arange(len(values))
            values = np.where(missing, np.interp(places, places[~missing], values[~missing]), values).astype(np.float32)
        filled = np.isnan(self.values)
        if common:
            offsets = offsets_of(self.lasts.max() - self.starts + 1)
            place = np.arange(len(values)) + np.repeat(offsets[:-1] - self.offsets[:-1], self.lengths)
            shorter, values = values, np.full(offsets[-1], np.nan, np.float32)
            values[place] = shorter
            filled, gaps = np.ones(offsets[-1], bool), filled
            filled[place] = gaps
        if not filled.any():
            return replace(self, rule=(common, fill))
        if fill == "zero":
            values = np.nan_to_num(values, nan=0.0)
            series, steps = self.reading.hollow
            at = offsets[series] + steps - self.starts[series]
            values[at[at < offsets[series + 1]]] = np.nan  # something was there, and nobody knows how much
        elif fill == "forward":
            known = np.where(np.isnan(values), 0, np.arange(len(values)))
            values = values[np.maximum.accumulate(known)]
        return replace(self, values=values, offsets=offsets, filled=filled, rule=(common, fill))

    @classmethod
    def from_batches(
        cls,
        batches: Iterable[pa.RecordBatch],
        grid: Grid,
        series: Sequence[str],
        *,
        kind: TimeKind = "local",
        beside: CovariateRows | None = None,
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
        rows = PanelBuilder(len(series))
        gathering = CovariatesBuilder(beside.varying if beside else ())
        for batch in batches:
            rows.add(batch)
            if gathering.names:
                gathering.add(*rows.located(batch), gathering.names)
            del batch  # before the next one is made
        if not rows.count:
            raise NoRowsError
        keys, values, offsets, starts, reading = rows.assemble(series)
        panel = cls(grid, keys, values, offsets, starts, kind, reading)
        if not len(panel):
            raise without_values(rows.count)
        panel._refuse_no_date()
        return panel if beside is None else replace(panel, covariates=_gathered(panel, rows, gathering, beside))

    def _refuse_no_date(self) -> None:
        """Refuse a date in the year 9999, or more than a century after the one before it."""
        last = int(self.lasts.argmax())
        if self.grid.wall(self.lasts[last : last + 1]) >= np.datetime64("9999"):
            raise DataError(
                f"{self.names[last]} has the date {self.grid.label(int(self.lasts[last]))}, which stands for none: "
                "leave such rows out with --until"
            )
        century = self.grid.frequency.century
        for i in np.flatnonzero(self.lengths > century).tolist():
            steps = self.starts[i] + np.flatnonzero(~np.isnan(self.series(i)))
            gap = int(np.diff(steps).argmax())
            if steps[gap + 1] - steps[gap] > century:
                before, after = (self.grid.label(int(step)) for step in steps[gap : gap + 2])
                raise DataError(
                    f"{self.names[i]} has no value between {before} and {after}, for more than a century: one of these "
                    "dates is wrong, or stands for none; leave such rows out with --since, --until or --sql"
                )


def _gathered(panel: Panel, rows: PanelBuilder, gathering: CovariatesBuilder, beside: CovariateRows) -> Covariates:
    """The covariates gathered for a panel, in the order of its series."""
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
    past = tuple(name for name in gathering.names if name not in beside.future)
    fixed, texts = tuple(beside.fixed), gathering.texts()
    found = Covariates(gathering.names, past, values, offsets, fixed, statics[:-1], texts)
    _refuse_infinite(panel, found)
    return found


def _refuse_infinite(panel: Panel, found: Covariates) -> None:
    """Refuse infinite covariates, as an infinite target is refused."""
    for name in (*found.varying, *found.fixed):
        bad = np.flatnonzero(np.isinf(found.column(name)))
        if bad.size:
            series = np.searchsorted(found.offsets, bad, "right") - 1 if name in found.varying else bad
            where = some(panel.names[index] for index in np.unique(series))
            raise DataError(
                f"values of column {name!r} are infinite or beyond 3.4e38 (in {where}): "
                "filter or repair them with --sql"
            )
