"""Rows from a store, a frame or a panel, brought to the grid of the settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import narwhals as nw
import pyarrow as pa

from gatecast.config import Config
from gatecast.data import spacing
from gatecast.data.dates import Frequency, Grid
from gatecast.data.panel import Panel
from gatecast.errors import DataError, UsageError, some
from gatecast.store import Errand, Kind, Store, open_store
from gatecast.store.query import (
    UNITS,
    any_query,
    series_query,
    size_query,
    spacing_query,
    steps_are_local,
    unreadable_query,
    without_older,
)

YEAR_1973 = 100_000_000
"""In seconds since 1970. A thousand times that, the year 5138 if it were seconds, is 1973 in milliseconds."""


@dataclass(frozen=True)
class Rows:
    """A panel, and how it was got."""

    panel: Panel
    config: Config  # with the frequency that was used
    agreement: float | None = None  # share of gaps that fit an inferred frequency
    sql: str | None = None
    read_at: str | None = None  # when, in UTC; where the store keeps its past, as of when
    bytes_billed: int | None = None


@dataclass(frozen=True)
class Needed:
    """The rows from a date on; between `since` and `recent` only those of the series `older` (their keys)."""

    since: str
    recent: str
    older: tuple[tuple[object, ...], ...] = ()


def read_rows(config: Config, source: object, errand: Errand | None = None, needed: Needed | None = None) -> Rows:
    """Rows from a store, a frame or a panel, on the grid of the settings.

    Args:
        config: the settings.
        source: where the rows are, if not where the settings say.
        errand: what they are read for, and who hears of it.
        needed: the rows that are enough; what not reading the rest saves is told.

    Raises:
        UsageError: a setting that cannot be meant.
        DataError: a column that is missing or of the wrong type, or rows that cannot be used.
        StoreError: the store refused.
    """
    if isinstance(source, Config):
        source = config.source.url
    if isinstance(source, Panel):
        grid = source.grid
        config = config.having("grid", freq=str(grid.frequency), timezone=grid.timezone)
        return Rows(source, config.having("source", series=tuple(source.keys.column_names)))
    whole = config.source
    if needed:
        config = config.having("source", since=needed.since)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    with _store(source, errand) as store:
        kind = _time_kind(config, store.columns(config.source))
        if kind == "number":
            config, kind = _with_unit(config, store, errand), "instant"
        _refuse_unreadable(config, store, kind)
        frequency, agreement = _frequency(config, store, kind)
        grid = Grid(frequency, config.grid.timezone)
        query = series_query(config.source, kind, grid, config.grid.aggregate)
        if needed and needed.older:
            query = without_older(query, config.source, kind, grid, needed.recent, needed.older)
        if needed and errand:
            _tell_saved(
                errand,
                needed.since,
                store.estimate(whole, series_query(whole, kind, grid, config.grid.aggregate)),
                store.estimate(config.source, query),
            )
        panel = Panel.from_batches(
            store.read(config.source, query),
            grid,
            config.source.series,
            kind="local" if kind == "text" else kind,  # type: ignore[arg-type]
            local=steps_are_local(kind, grid),
            combine=config.grid.aggregate,
        )
        sql = store.text(config.source, query)
        # The next reading of these settings is of the rows as they are then.
        table = store.named(whole).table
        resolved = config.having("grid", freq=str(frequency)).having(
            "source", url=store.url, table=table, since=whole.since, snapshot=None
        )
        read_at = store.snapshot.isoformat() if store.snapshot else began
        return Rows(panel, resolved, agreement, sql, read_at, store.bytes_billed)


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
    wanted = [source.time, *source.series, *([source.target] if source.target else [])]
    absent = [name for name in wanted if name not in columns]
    if absent:
        raise DataError(f"no column {some(map(repr, absent))}; there are {some(columns)}")
    if not source.target and config.grid.aggregate != "count":
        raise UsageError("name the column to forecast: --target COLUMN (or count rows with --aggregate count)")
    if source.target and config.grid.aggregate != "count" and columns[source.target] not in ("number", "boolean"):
        raise DataError(f"column {source.target!r} holds no numbers ({columns[source.target]}): cast it in --sql")
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
        raise DataError("the query gave no rows: check the table, the filter and the dates")
    if kind == "text":
        rows = store.read(config.source, unreadable_query(config.source, 5)).read_all()
        if rows.num_rows:
            found = some(repr(text) for text in rows.column("found").to_pylist())
            raise DataError(
                f"column {config.source.time!r} holds text that is no timestamp, as {found}; convert it in --sql"
            )


def _frequency(config: Config, store: Store, kind: Kind) -> tuple[Frequency, float | None]:
    if config.grid.freq:
        return Frequency.parse(config.grid.freq), None
    Grid(Frequency("day", 1), config.grid.timezone)  # refuses a zone that is none
    query = spacing_query(config.source, kind, config.grid.timezone)
    return spacing.infer(store.read(config.source, query).read_all().to_pylist())
