"""A source before its rows are read: its store, the types of its columns, its grid, its years."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from gatecast.config import Config
from gatecast.data import spacing
from gatecast.data.audit import Audit, audit
from gatecast.data.dates import Grid, TimeKind, parse_date
from gatecast.data.frequency import Frequency
from gatecast.data.rows import PanelBuilder, name_of
from gatecast.errors import DataError, UsageError
from gatecast.frames import rows_of
from gatecast.settings import SourceSettings
from gatecast.source_columns import checked, named, refuse_empty
from gatecast.store import Errand, Kind, Store, open_store
from gatecast.store.audit_query import ahead_query, row_steps
from gatecast.store.duckdb import DuckDBStore
from gatecast.store.opening_query import days_query, years_query
from gatecast.store.query import series_query, without_older
from gatecast.store.spacing_query import groups_query, spacing_query
from gatecast.store.step_sql import Years, needs_years

NEVER = -(2**62)
"""The last step of a series that has none."""


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

    def rows(self) -> pa.Table:
        """All rows for the panel."""
        return self.store.read(self.config.source, self.query(self.config.source)).read_all()

    def audit(self, more: pa.Table | None = None) -> Audit:
        """What is wrong with the rows.

        Args:
            more: the `rows` of the table of known-future values.
        """
        source, settings, horizon = self.config.source, self.config.grid, self.config.forecast.horizon
        alignment, unknown = self.config.alignment, None
        # With until, rows from there on are read for them alone.
        if horizon and source.future and (more is not None or source.until or alignment.align == "common"):
            unknown = self._unknown(more)
        steps = row_steps(source, self.kind, self.grid, alignment.aggregate, self.years)
        return audit(self.store, source, steps, self.grid, settings, self.agreement, horizon, unknown)

    def _unknown(self, more: pa.Table | None) -> list[tuple[tuple[object, ...], int]]:
        """Series, by key, and the first step of their horizon whose future covariates are not known."""
        source, horizon = self.config.source, self.config.forecast.horizon
        common = self.config.alignment.align == "common"
        rows = self.store.read(source, ahead_query(self.query(source), source, horizon, common=common)).read_all()
        beside = () if more is None else _full(more, len(source.future)).to_batches()
        builder = PanelBuilder(len(source.series))
        own, theirs = ([builder.located(batch) for batch in part] for part in (rows.to_batches(), beside))
        lasts = np.full(len(builder.codes), NEVER)
        for batch, codes, _ in own:
            lasts[codes] = batch.column("last")
        known = np.ones((len(lasts), horizon + 1), bool)  # nothing of the last step, or where there is none, is needed
        known[lasts > NEVER, 1:] = False
        for _, codes, steps in own + theirs:
            ahead = steps - lasts[codes]
            within = (ahead >= 0) & (ahead <= horizon)
            known[codes[within], ahead[within]] = True
        first = known.argmin(1)  # 0 where all are known
        keys = list(builder.codes)
        return [(keys[code], int(lasts[code] + first[code])) for code in np.flatnonzero(first)]


def _full(rows: pa.Table, covariates: int) -> pa.Table:
    """The rows with a value of every covariate."""
    for i in range(covariates):
        rows = rows.filter(pc.field(f"covariate_{i}").is_valid())
    return rows


@contextmanager
def open_source(config: Config, source: object, errand: Errand) -> Iterator[Opened]:
    """Open a URL, a path or a frame, or the source that settings name."""
    if isinstance(source, Config):
        source = config.source.url
    if not isinstance(source, str | Path):
        source = rows_of(source, named(config.source), queried=config.source.sql is not None)
        config = _with_zone(config, source)
    _refuse_senseless(config)
    with _store(source, errand) as store:
        opened = open_in(store, config, errand)
        if config.source.snapshot and store.snapshot is None:
            raise UsageError("--snapshot is for a BigQuery table: this source is read as it is now, so leave it out")
        yield opened


def open_in(store: Store, config: Config, errand: Errand) -> Opened:
    """The table or query of the settings in a store that is open."""
    kinds = store.columns(config.source)
    config, kind = checked(config, store, kinds, errand)
    frequency, agreement = _frequency(config, store, kind)
    grid = Grid(frequency, config.grid.timezone, config.grid.holidays)
    years = None
    if needs_years(kind, grid):
        found = store.read(config.source, years_query(config.source, kind, grid.timezone)).read_all().to_pylist()
        years = (found[0]["first"], found[0]["last"]) if found[0]["first"] is not None else (1970, 1970)
    return Opened(store, config, kind, kinds, grid, agreement, years)


def _refuse_senseless(config: Config) -> None:
    """Refuse a frequency, a zone, a place or a date that is none, before anything is opened or read."""
    Grid(_told(config) or Frequency("day", 1), config.grid.timezone, config.grid.holidays)
    for date in filter(None, (config.source.since, config.source.until)):
        parse_date(date)


def _with_zone(config: Config, rows: pa.Table) -> Config:
    """The zone that the time column of a frame is in, unless another was named; a fixed offset is none."""
    types = dict(zip(rows.schema.names, rows.schema.types, strict=True))
    zone = getattr(types.get(config.source.time), "tz", None)
    if config.grid.timezone or zone in (None, "UTC") or zone[0] in "+-":
        return config
    return config.having("grid", timezone=zone)


def _store(source: str | Path | pa.Table, errand: Errand) -> Store:
    if isinstance(source, str | Path):
        if not str(source):
            raise UsageError("say what to read: a path or URL as the first argument, or url in [source]")
        return open_store(str(source), errand=errand)
    return DuckDBStore.of_frame(source)


def _told(config: Config) -> Frequency | None:
    """The frequency of the settings; None where it is to be inferred."""
    freq = config.grid.freq
    return Frequency.parse(freq) if freq and freq != "AUTO_FREQUENCY" else None


def _frequency(config: Config, store: Store, kind: Kind) -> tuple[Frequency, float | None]:
    if told := _told(config):
        return told, None
    source, zone = config.source, config.grid.timezone
    gaps = store.read(source, spacing_query(source, kind, zone)).read_all().to_pylist()
    if not gaps:
        refuse_empty(source, store, source.time)
    own = spacing.frequencies(gaps, zone)
    if len({(frequency.unit, frequency.multiple) for frequency in own.values()}) > 1:
        rows = store.read(source, groups_query(source, kind, zone)).read_all().to_pylist()
        raise DataError(_different(own, rows, len(source.series)))
    frequency, agreement = spacing.infer(gaps, zone)
    if (frequency.unit, frequency.multiple) == ("business day", 1) and config.grid.holidays:
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
