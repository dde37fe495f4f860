"""Rows from a store, a frame or a panel, brought to the grid of the settings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import narwhals as nw
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from gatecast.config import Aggregate, Config, SourceSettings
from gatecast.data import spacing
from gatecast.data.audit import Audit, audit_panel
from gatecast.data.audit import audit as look_over
from gatecast.data.dates import Grid
from gatecast.data.frequency import Frequency
from gatecast.data.panel import Beside, Panel, name_of
from gatecast.errors import DataError, NoRowsError, UsageError, some
from gatecast.memory import refuse_too_large
from gatecast.store import Errand, Kind, Store, open_store
from gatecast.store.audit_query import row_steps
from gatecast.store.query import (
    UNITS,
    Years,
    any_query,
    needs_years,
    series_query,
    size_query,
    static_query,
    unreadable_query,
    without_older,
    years_query,
)
from gatecast.store.spacing_query import groups_query, spacing_query

YEAR_1973 = 100_000_000
"""In seconds since 1970. A thousand times that, the year 5138 if it were seconds, is 1973 in milliseconds."""


@dataclass(frozen=True)
class Rows:
    """A panel, and how it was got."""

    panel: Panel
    config: Config  # with the frequency that was used
    audit: Audit | None = None  # where it was asked for
    stale: tuple[str, ...] = ()  # series that end before the others, and where
    sql: str | None = None
    read_at: str | None = None  # when, in UTC; where the store keeps its past, as of when
    bytes_billed: int | None = None
    run_id: str = ""  # what they were read for
    seconds: float = 0.0  # that reading took


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
    kind: Kind
    kinds: Mapping[str, Kind]  # of all columns
    grid: Grid
    agreement: float | None  # share of gaps that fit an inferred frequency
    years: Years | None

    @property
    def aggregate(self) -> Aggregate:
        """How several rows of one series and step become one value."""
        aggregate = self.config.grid.resolved(self.config.source.target).aggregate
        assert aggregate
        return aggregate

    def query(self, source: SourceSettings, needed: Needed | None = None) -> exp.Select:
        """The query for the panel."""
        query = series_query(source, self.kind, self.grid, self.aggregate, self.years, self.kinds)
        if needed is None or not needed.older:
            return query
        return without_older(query, source, self.kind, self.grid, needed.recent, needed.older)

    def audit(self) -> Audit:
        """What is wrong with the rows."""
        source, settings = self.config.source, self.config.grid
        steps = row_steps(source, self.kind, self.grid, self.aggregate, self.years)
        horizon = self.config.forecast.horizon
        return look_over(self.store, source, steps, self.grid, settings, self.agreement, horizon)


def audit_rows(config: Config, source: object, errand: Errand | None = None) -> Audit:
    """What is wrong with the rows, found where they are. Arguments as for `read_rows`."""
    if isinstance(source, Panel):
        return audit_panel(source, config.grid, config.forecast.horizon)
    with _opened(config, source, errand) as opened:
        return opened.audit()


def read_rows(
    config: Config,
    source: object,
    errand: Errand | None = None,
    needed: Needed | None = None,
    *,
    audited: bool = False,
) -> Rows:
    """Rows from a store, a frame or a panel, on the grid of the settings.

    Args:
        config: the settings.
        source: where the rows are, if not where the settings say.
        errand: what they are read for, and who hears of it.
        needed: the rows that are enough; what not reading the rest saves is told.
        audited: look them over too.

    Raises:
        UsageError: a setting that cannot be meant.
        DataError: a column that is missing or of the wrong type, or rows that cannot be used.
        StoreError: the store refused.
    """
    if isinstance(source, Panel):
        grid = source.grid
        config = config.having("grid", freq=str(grid.frequency), timezone=grid.timezone)
        config = config.having("source", series=tuple(source.keys.column_names))
        return Rows(source, config, audit_panel(source, config.grid, config.forecast.horizon) if audited else None)
    whole = config.source
    if needed:
        config = config.having("source", since=needed.since)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    with _opened(config, source, errand) as opened:
        store, config, grid = opened.store, opened.config, opened.grid
        found = opened.audit() if audited else None
        if found:
            refuse_too_large(found, config)
        query, settings = opened.query(config.source, needed), config.grid.resolved(config.source.target)
        if needed and errand:
            both = (store.estimate(whole, opened.query(whole)), store.estimate(config.source, query))
            _tell_saved(errand, needed.since, *both)
        beside = _beside(opened, errand)  # before the rows, which stream
        panel = Panel.from_batches(
            store.read(config.source, query),
            grid,
            config.source.series,
            kind="local" if opened.kind == "text" else opened.kind,  # type: ignore[arg-type]
            beside=beside,
        )
        sql = store.text(config.source, query)
        # The next reading of these settings is of the rows as they are then.
        table = store.named(whole).table
        resolved = config.having("grid", freq=str(grid.frequency)).having(
            "source", url=store.url, table=table, since=whole.since, snapshot=None
        )
        read_at = store.snapshot.isoformat() if store.snapshot else began
        stale = panel.ending_before(max(config.forecast.horizon, 1))
        panel = panel.continued(settings.align == "common", settings.fill or "missing")
        return Rows(panel, resolved, found, stale, sql, read_at, store.bytes_billed)


@contextmanager
def _opened(config: Config, source: object, errand: Errand | None) -> Iterator[Opened]:
    if isinstance(source, Config):
        source = config.source.url
    with _store(source, errand) as store:
        yield _opened_in(store, _with_zone(config, source), errand)


def _opened_in(store: Store, config: Config, errand: Errand | None) -> Opened:
    kinds = store.columns(config.source)
    kind = _time_kind(config, kinds)
    if kind == "number":
        config, kind = _with_unit(config, store, errand), "instant"
    _refuse_unreadable(config, store, kind)
    frequency, agreement = _frequency(config, store, kind)
    grid = Grid(frequency, config.grid.timezone, config.grid.holidays)
    years = None
    if needs_years(kind, grid):
        found = store.read(config.source, years_query(config.source, kind, grid.timezone)).read_all().to_pylist()
        years = (found[0]["first"], found[0]["last"]) if found[0]["first"] is not None else (1970, 1970)
    return Opened(store, config, kind, kinds, grid, agreement, years)


def _with_zone(config: Config, source: object) -> Config:
    """The zone that the time column of a frame is in, unless another was named."""
    if isinstance(source, str | Path) or config.grid.timezone:
        return config
    zone = getattr(nw.from_native(source).schema.get(config.source.time), "time_zone", None)  # type: ignore[call-overload]
    return config if zone in (None, "UTC") or zone[0] in "+-" else config.having("grid", timezone=zone)


def _beside(opened: Opened, errand: Errand | None) -> Beside | None:
    """What is read beside the target: static columns, and known-future values from a table of their own."""
    store, source = opened.store, opened.config.source
    varying = (*source.past, *source.future)
    fixed = tuple(dict.fromkeys(filter(None, [*source.static, source.holidays_column])))
    if not (varying or fixed):
        return None
    if source.future and not source.future_table and opened.aggregate == "count":
        raise UsageError("rows to come would be counted: give the values of --future in a --future-table")
    statics = store.read(source, static_query(source, fixed, opened.kinds)).read_all() if fixed else pa.table({})
    for i, name in enumerate(fixed):
        several = statics.filter(pc.field(f"distinct_{i}") > 1)
        if several.num_rows:
            keys = several.select([f"key_{k}" for k in range(len(source.series))])
            where = f" in {some(sorted(name_of(list(row.values())) for row in keys.to_pylist()))}"
            raise DataError(f"column {name!r} has more than one value{where}: it is --past or --future, not static")
    more = _to_come(opened, errand) if source.future_table else ()
    return Beside(varying, source.future, more, fixed, statics.to_batches())


def _to_come(opened: Opened, errand: Errand | None) -> Iterable[pa.RecordBatch]:
    """Rows of the table of known-future values."""
    config, table = opened.config, opened.config.source.future_table
    assert table
    elsewhere = ":" in table or Path(table).exists()
    read = config.having("grid", aggregate="count", freq=str(opened.grid.frequency)).having(
        "source",
        **{"table": None if elsewhere else table, "sql": None, "target": "", "since": None, "until": None},
        **{"static": (), "past": (), "holidays_column": None, "future_table": None, "time_unit": None},
    )
    with open_store(table, errand=errand) if elsewhere else nullcontext(opened.store) as store:
        there = _opened_in(store, read, errand)
        rows: list[pa.RecordBatch] = store.read(read.source, there.query(there.config.source)).read_all().to_batches()
        return rows


def _tell_saved(errand: Errand, since: str, whole: int | None, part: int | None) -> None:
    if whole and part is not None:
        errand.observer.note(f"only rows since {since} are read: {part / 1e6:,.1f} MB instead of {whole / 1e6:,.1f} MB")


def _store(source: object, errand: Errand | None) -> Store:
    if isinstance(source, str | Path):
        if not str(source):
            raise UsageError("say what to read: a path or URL as the first argument, or url in [source]")
        return open_store(str(source), errand=errand)
    from gatecast.store.duckdb import DuckDBStore  # noqa: PLC0415 - only for frames

    try:
        return DuckDBStore.of_frame(nw.from_native(source, eager_only=True).to_arrow())  # type: ignore[call-overload]
    except TypeError:
        raise UsageError(
            f"cannot read rows from {type(source).__name__}: "
            "give a URL, a path, a pandas, polars or Arrow frame, or a Panel"
        ) from None


def _time_kind(config: Config, columns: Mapping[str, Kind]) -> Kind:
    """What the time column holds; the columns named are there and of a fitting type."""
    source = config.source
    if not source.time:
        raise UsageError(f"name the timestamp column: --time COLUMN; there are {some(columns)}")
    beside = [*source.static, *source.past, *source.future, *filter(None, [source.holidays_column])]
    wanted = [source.time, *source.series, *([source.target] if source.target else []), *beside]
    absent = [name for name in wanted if name not in columns]
    if absent:
        raise DataError(f"no column {some(map(repr, absent))}; there are {some(columns)}")
    aggregate = config.grid.resolved(source.target).aggregate
    if not source.target and aggregate != "count":
        raise UsageError(f"name the column to bring together by {aggregate}: --target COLUMN")
    if source.target and aggregate != "count" and columns[source.target] not in ("number", "boolean"):
        raise DataError(f"column {source.target!r} holds no numbers ({columns[source.target]}): cast it in --sql")
    odd = [f"{name!r} ({columns[name]})" for name in beside if columns[name] not in ("number", "boolean", "text")]
    if odd:
        raise DataError(f"a covariate is a number, a truth value or a text, not {some(odd)}: cast it in --sql")
    if source.holidays_column and columns[source.holidays_column] != "text":
        raise DataError(f"--holidays-column {source.holidays_column!r} holds no places such as DE or US-NY")
    kind = columns[source.time]
    if kind not in ("instant", "local", "date", "text", "number"):
        raise DataError(f"column {source.time!r} holds no timestamps ({kind}): convert it in --sql")
    if source.time_unit and kind != "number":
        raise UsageError(f"--time-unit is for whole numbers; column {source.time!r} holds {kind}")
    return kind


def _with_unit(config: Config, store: Store, errand: Errand | None) -> Config:
    """The settings with the unit of a time column of whole numbers: the one that puts them after 1973."""
    if config.source.time_unit:
        return config
    sizes = store.read(config.source, size_query(config.source)).read_all().column("size")
    size = sizes[0].as_py()
    if not pa.types.is_integer(sizes.type) or (size is not None and size < YEAR_1973):
        raise DataError(
            f"column {config.source.time!r} holds no timestamps (numbers up to {size}): "
            "convert it in --sql, or give --time-unit if it counts since 1970"
        )
    unit = next((unit for unit, per in UNITS.items() if (size or 0) < per * YEAR_1973 * 1000), "ns")
    if errand:
        errand.observer.note(f"{config.source.time!r} holds whole numbers: taken as {unit} since 1970 (--time-unit)")
    return config.having("source", time_unit=unit)


def _refuse_unreadable(config: Config, store: Store, kind: Kind) -> None:
    """Say so if there are no rows, or texts in the time column that are no timestamps."""
    if not store.read(config.source, any_query(config.source, kind, config.grid.timezone)).read_all().num_rows:
        raise NoRowsError("the query gave no rows: check the table, the filter and the dates")
    if kind == "text":
        rows = store.read(config.source, unreadable_query(config.source, 5)).read_all()
        if rows.num_rows:
            found = some(repr(text) for text in rows.column("found").to_pylist())
            raise DataError(
                f"column {config.source.time!r} holds text that is no timestamp, as {found}; convert it in --sql"
            )


def _frequency(config: Config, store: Store, kind: Kind) -> tuple[Frequency, float | None]:
    if config.grid.freq and config.grid.freq != "AUTO_FREQUENCY":
        return Frequency.parse(config.grid.freq), None
    Grid(Frequency("day", 1), config.grid.timezone)  # refuses a zone that is none
    source, zone = config.source, config.grid.timezone
    gaps = store.read(source, spacing_query(source, kind, zone)).read_all().to_pylist()
    own = spacing.frequencies(gaps)
    if len({(frequency.unit, frequency.multiple) for frequency in own.values()}) > 1:
        rows = store.read(source, groups_query(source, kind, zone)).read_all().to_pylist()
        raise DataError(_different(own, rows, len(source.series)))
    frequency, agreement = spacing.infer(gaps)
    if frequency.unit == "business day" and config.grid.holidays:
        frequency = replace(frequency, days="C")
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
