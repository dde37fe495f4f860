"""A source before its rows are read: its store, the types of its columns, its grid, its years."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from sqlglot import exp

from gatecast.config import Config, SourceSettings
from gatecast.data import spacing
from gatecast.data.audit import Audit, audit
from gatecast.data.dates import Grid, TimeKind
from gatecast.data.frequency import Frequency
from gatecast.data.rows import name_of
from gatecast.errors import DataError, NoRowsError, UsageError, some
from gatecast.frames import rows_of
from gatecast.store import Errand, Kind, Store, open_store
from gatecast.store.audit_query import row_steps
from gatecast.store.casts import number_sql, time_sql
from gatecast.store.opening_query import (
    any_query,
    days_query,
    size_query,
    types_query,
    unreadable_query,
    value_query,
    worst_query,
    years_query,
)
from gatecast.store.query import UNITS, series_query, without_older
from gatecast.store.spacing_query import groups_query, spacing_query
from gatecast.store.step_sql import Years, needs_years

YEAR_1973 = 100_000_000
"""In seconds since 1970. A thousand times that, the year 5138 if it were seconds, is 1973 in milliseconds."""


@dataclass(frozen=True)
class Needed:
    """The rows from a date on; between `since` and `recent` only those of the series `older` (their keys)."""

    since: str
    recent: str
    older: tuple[tuple[object, ...], ...] = ()


@dataclass(frozen=True)
class Opened:
    """A source whose columns, grid and years are known."""

    store: Store
    config: Config  # with the zone of the time column
    kind: TimeKind | Literal["text"]
    kinds: Mapping[str, Kind]  # of all columns
    grid: Grid
    agreement: float | None  # share of gaps that fit an inferred frequency
    years: Years | None

    def query(self, source: SourceSettings, needed: Needed | None = None) -> exp.Select:
        """The query for the panel."""
        query = series_query(source, self.kind, self.grid, self.config.alignment.aggregate, self.years, self.kinds)
        if needed is None or not needed.older:
            return query
        return without_older(query, source, self.kind, self.grid, needed.recent, needed.older)

    def audit(self) -> Audit:
        """What is wrong with the rows."""
        source, settings = self.config.source, self.config.grid
        steps = row_steps(source, self.kind, self.grid, self.config.alignment.aggregate, self.years)
        horizon = self.config.forecast.horizon
        return audit(self.store, source, steps, self.grid, settings, self.agreement, horizon)


@contextmanager
def open_source(config: Config, source: object, errand: Errand | None) -> Iterator[Opened]:
    """Open a URL, a path or a frame, or the source that settings name."""
    if isinstance(source, Config):
        source = config.source.url
    if not isinstance(source, str | Path):
        source = rows_of(source, _named(config.source), queried=config.source.sql is not None)
        config = _with_zone(config, source)
    with _store(source, errand) as store:
        yield open_in(store, config, errand)


def open_in(store: Store, config: Config, errand: Errand | None) -> Opened:
    """The table or query of the settings in a store that is open."""
    kinds = store.columns(config.source)
    kind = _time_kind(config, store, kinds)
    if kind == "number":
        config, kind = _with_unit(config, store, errand), "instant"
    _refuse_nested(config.source, store, kinds)
    _refuse_unreadable(config, store, kind)
    frequency, agreement = _frequency(config, store, kind)
    grid = Grid(frequency, config.grid.timezone, config.grid.holidays)
    years = None
    if needs_years(kind, grid):
        found = store.read(config.source, years_query(config.source, kind, grid.timezone)).read_all().to_pylist()
        years = (found[0]["first"], found[0]["last"]) if found[0]["first"] is not None else (1970, 1970)
    return Opened(store, config, kind, kinds, grid, agreement, years)


def _named(source: SourceSettings) -> list[str]:
    """The columns that the settings name."""
    return [source.time, *source.series, *filter(None, [source.target]), *source.fixed, *source.varying]


def _with_zone(config: Config, rows: pa.Table) -> Config:
    """The zone that the time column of a frame is in, unless another was named; a fixed offset is none."""
    types = dict(zip(rows.schema.names, rows.schema.types, strict=True))
    zone = getattr(types.get(config.source.time), "tz", None)
    if config.grid.timezone or zone in (None, "UTC") or zone[0] in "+-":
        return config
    return config.having("grid", timezone=zone)


def _store(source: str | Path | pa.Table, errand: Errand | None) -> Store:
    if isinstance(source, str | Path):
        if not str(source):
            raise UsageError("say what to read: a path or URL as the first argument, or url in [source]")
        return open_store(str(source), errand=errand)
    from gatecast.store.duckdb import DuckDBStore  # noqa: PLC0415 - only for frames

    return DuckDBStore.of_frame(source)


def _time_kind(config: Config, store: Store, columns: Mapping[str, Kind]) -> TimeKind | Literal["text", "number"]:
    """What the time column holds; the columns named must exist and have a fitting type."""
    source = config.source
    if not source.time:
        raise UsageError(f"name the timestamp column: --time COLUMN; there are {some(columns)}")
    absent = [name for name in _named(source) if name not in columns]
    if absent:
        one = len(columns) == 1 and re.search(r"[,;\t|]", next(iter(columns)))
        hint = ", as if it were one: a line of the file may have more fields than the first, or a quote without end"
        raise DataError(f"no column {some(map(repr, absent))}; there are {some(columns)}{hint if one else ''}")
    aggregate = config.alignment.aggregate
    if not source.target and aggregate != "count":
        raise UsageError(f"name the column to bring together by {aggregate}: --target COLUMN")
    if source.target and aggregate != "count" and columns[source.target] not in ("number", "boolean"):
        _refuse_empty(source, store, source.target, columns)
        raise _no_numbers(source, store, columns[source.target])
    odd = [
        f"{name!r} ({columns[name]})"
        for name in (*source.fixed, *source.varying)
        if columns[name] not in ("number", "boolean", "text")
    ]
    if odd:
        raise DataError(f"a covariate is a number, a truth value or a text, not {some(odd)}: cast it in --sql")
    if source.holidays_column and columns[source.holidays_column] != "text":
        raise DataError(f"--holidays-column {source.holidays_column!r} holds no places such as DE or US-NY")
    kind = columns[source.time]
    if kind not in ("instant", "local", "date", "text", "number"):
        _refuse_empty(source, store, source.time, columns)
        raise DataError(f"column {source.time!r} holds no timestamps ({kind}): convert it in --sql")
    if source.time_unit and kind != "number":
        raise UsageError(f"--time-unit is for whole numbers; column {source.time!r} holds {kind}")
    return kind


def _no_numbers(source: SourceSettings, store: Store, kind: Kind) -> DataError:
    """The error for a target that holds no numbers: for text, an example that is no number, and the cast to write."""
    wrong = f"column {source.target!r} holds no numbers ({kind}): cast it in --sql"
    if kind != "text":
        return DataError(wrong)
    text = store.read(source, worst_query(source.target)).read_all().column("found")[0].as_py()
    return DataError(f'{wrong}, as "{number_sql(source.target, text, store.dialect)}"; it holds {text!r}')


def _refuse_empty(source: SourceSettings, store: Store, name: str, columns: Iterable[str]) -> None:
    """Refuse a source without rows, or a column without values, whose type means nothing."""
    if not store.read(source, any_query(source, "text", None)).read_all().num_rows:
        raise NoRowsError(f"there are columns ({some(columns)}) but no rows: check the file, the table or the query")
    if not store.read(source, value_query(name)).read_all().num_rows:
        raise DataError(f"column {name!r} is empty: none of the rows has a value in it")


def _with_unit(config: Config, store: Store, errand: Errand | None) -> Config:
    """The settings with the unit of a time column of integers: the one that puts them after 1973."""
    if config.source.time_unit:
        return config
    sizes = store.read(config.source, size_query(config.source)).read_all().column("size")
    size = sizes[0].as_py()
    if not pa.types.is_integer(sizes.type) or (size is not None and size < YEAR_1973):
        raise DataError(
            f"column {config.source.time!r} holds no timestamps (numbers up to {size}): "
            f"{_converted(config.source, store, [size])}, or give --time-unit if it counts since 1970"
        )
    if _spelled(size):
        raise DataError(
            f"column {config.source.time!r} holds numbers that read as dates, as {size}: "
            f"{_converted(config.source, store, [size])}, or give --time-unit if it counts since 1970"
        )
    unit = next((unit for unit, per in UNITS.items() if (size or 0) < per * YEAR_1973 * 1000), "ns")
    if errand:
        errand.observer.note(f"{config.source.time!r} holds whole numbers: taken as {unit} since 1970 (--time-unit)")
    return config.having("source", time_unit=unit)


def _converted(source: SourceSettings, store: Store, examples: Sequence[object]) -> str:
    """What to do with a time column that holds no timestamps but such values."""
    how = time_sql(source.time, examples, store.dialect)
    return f"convert it in --sql, as with {how}" if how else "convert it in --sql"


def _spelled(size: object) -> bool:
    """Whether a number spells a date to the hour, the minute or the second, as 20240131235959 does."""
    text = str(size)
    if len(text) not in (10, 12, 14) or text[:2] not in ("19", "20"):
        return False
    with suppress(ValueError):
        return bool(datetime.strptime(text, "%Y%m%d%H%M%S"[: len(text) - 2]))
    return False


def _refuse_nested(source: SourceSettings, store: Store, kinds: Mapping[str, Kind]) -> None:
    """Refuse series columns of types that cannot name a series."""
    names = [name for name in source.series if kinds[name] == "other"]
    if not names:
        return
    types = store.read(source, types_query(names)).schema.types
    odd = [
        f"{name!r} ({type_})"
        for name, type_ in zip(names, types, strict=True)
        if pa.types.is_nested(type_) or pa.types.is_interval(type_)
    ]
    if odd:
        raise DataError(f"a series column holds texts, numbers or times, not {some(odd)}: cast it in --sql")


def _refuse_unreadable(config: Config, store: Store, kind: Kind) -> None:
    """Refuse a source without rows, or with text in the time column that is no timestamp."""
    if not store.read(config.source, any_query(config.source, kind, config.grid.timezone)).read_all().num_rows:
        raise NoRowsError("the query gave no rows: check the table, the filter and the dates")
    if kind == "text":
        rows = store.read(config.source, unreadable_query(config.source, 5, config.grid.timezone)).read_all()
        if rows.num_rows:
            texts = sorted(rows.column("found").to_pylist())
            raise DataError(
                f"column {config.source.time!r} holds text that is no timestamp, as {some(map(repr, texts))}: "
                f"{_converted(config.source, store, texts)}, or leave such rows out"
            )


def _frequency(config: Config, store: Store, kind: Kind) -> tuple[Frequency, float | None]:
    if config.grid.freq and config.grid.freq != "AUTO_FREQUENCY":
        return Frequency.parse(config.grid.freq), None
    Grid(Frequency("day", 1), config.grid.timezone)  # refuses a zone that is none
    source, zone = config.source, config.grid.timezone
    gaps = store.read(source, spacing_query(source, kind, zone)).read_all().to_pylist()
    own = spacing.frequencies(gaps, zone)
    if len({(frequency.unit, frequency.multiple) for frequency in own.values()}) > 1:
        rows = store.read(source, groups_query(source, kind, zone)).read_all().to_pylist()
        raise DataError(_different(own, rows, len(source.series)))
    frequency, agreement = spacing.infer(gaps, zone)
    if frequency.unit == "business day" and config.grid.holidays:
        calendar = Grid(replace(frequency, days="C"), zone, config.grid.holidays)
        days = store.read(source, days_query(source, kind, zone)).read_all().column("day").drop_null()
        if not np.isin(days, calendar.closed.astype(int)).any():  # it would count to the day before
            frequency = calendar.frequency
    return frequency, agreement


def _different(own: Mapping[float, Frequency], rows: Sequence[Mapping[str, Any]], keys: int) -> str:
    """The groups of series that have different frequencies."""
    groups = []
    for usual, frequency in own.items():
        these = [row for row in rows if row["usual"] == usual]
        named = sorted(name_of([row[f"key_{i}"] for i in range(keys)]) for row in these)
        more = these[0]["series"] - len(named)
        groups.append(f"{frequency}: {', '.join(named)}" + (f" and {more:,} more" if more else ""))
    return (
        f"the series have different frequencies ({'; '.join(groups)}): read one group with --sql, "
        "or say with --freq which grid they are all brought to"
    )
