"""Rows from a store, a frame or a panel, aligned to the grid of the settings."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from gatecast.config import Config
from gatecast.data.audit import Audit, audit_panel
from gatecast.data.covariates import refuse_without
from gatecast.data.frequency import Frequency
from gatecast.data.panel import CovariateRows, Panel
from gatecast.data.rows import name_of
from gatecast.data.table import refuse_own
from gatecast.errors import DataError, GatecastError, UsageError, in_bytes, some
from gatecast.memory import refuse_too_large
from gatecast.opening import Needed, Opened, open_in, open_source
from gatecast.settings import SourceSettings
from gatecast.store import NO_ERRAND, Errand, open_store
from gatecast.store.query import static_query

READING = (
    *("table", "sql", "time_unit", "future_table", "since", "until"),
    *("snapshot", "location", "max_bytes", "label", "aggregate"),
)
"""Settings that only the reading of rows uses."""
PLANNED = {"url", "time", "series", "future", "snapshot", "location", "max_bytes", "label"}
"""Settings of the source that its --future-table shares."""


@dataclass(frozen=True)
class Rows:
    """A panel, and where it came from."""

    panel: Panel
    config: Config  # with the frequency that was used
    audit: Audit | None = None  # where it was asked for
    stale: tuple[str, ...] = ()  # series that end before the others, and where
    sql: str | None = None
    read_at: str | None = None  # when, in UTC; where the store keeps its past, as of when
    bytes_billed: int | None = None
    run_id: str = ""  # of the run they were read for
    seconds: float = 0.0  # spent reading


def audit_rows(config: Config, source: object, errand: Errand = NO_ERRAND) -> Audit:
    """Find what is wrong with the rows, within the store. Arguments as for `read_rows`."""
    if isinstance(source, Panel):
        _refuse_other(config, source)
        return audit_panel(source, config.grid, config.forecast.horizon)
    with open_source(config, source, errand) as opened, _plan(opened, errand) as plan:
        return opened.audit(plan and plan.rows())


def read_rows(
    config: Config, source: object, errand: Errand = NO_ERRAND, needed: Needed | None = None, *, audited: bool = False
) -> Rows:
    """Read rows from a store, a frame or a panel, on the grid of the settings.

    Args:
        source: where the rows are; a `Config` is read from its own URL.
        errand: what they are read for, and who is notified.
        needed: the rows that are enough; the bytes that this saves are reported.
        audited: audit them too.

    Raises:
        UsageError: a setting makes no sense.
        DataError: a column is missing or of the wrong type, or the rows cannot be used.
        StoreError: the store refused.
    """
    if isinstance(source, Panel):
        return _rows_of(source, config, audited)
    refuse_own(config.source.series)
    whole = config.source
    if needed:
        config = config.having("source", since=needed.since)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    with open_source(config, source, errand) as opened, _plan(opened, errand) as plan:
        store, config = opened.store, opened.config
        more = plan and plan.rows()  # once: it costs
        found = opened.audit(more) if audited else None
        if found:
            refuse_too_large(found.rows, found.steps, len(config.source.varying))
        query = opened.query(config.source, needed)
        if needed:
            _tell_saved(opened, whole, query, errand)
        beside = _beside(opened, whole.since, more)  # before the rows, which stream
        panel = Panel.from_batches(
            store.read(config.source, query),
            opened.grid,
            config.source.series,
            kind="local" if opened.kind == "text" else opened.kind,
            beside=beside,
        )
        sql = store.text(config.source, query)
        read_at = store.snapshot.isoformat() if store.snapshot else began
        stale = panel.ending_before(max(config.forecast.horizon, 1))
        panel = panel.continued(config.alignment.align == "common", config.alignment.fill)
        return Rows(panel, _resolved(opened, whole), found, stale, sql, read_at, store.bytes_billed)


def _rows_of(panel: Panel, config: Config, audited: bool) -> Rows:
    """The rows of a panel, which was read already."""
    series = tuple(panel.keys.column_names)
    refuse_own(series)
    _refuse_other(config, panel)
    config = config.having("grid", freq=str(panel.grid.frequency), timezone=panel.grid.timezone)
    config = config.having("source", series=series)
    refuse_without(panel.covariates, config.source.varying, config.source.fixed)
    return Rows(panel, config, audit_panel(panel, config.grid, config.forecast.horizon) if audited else None)


def _refuse_other(config: Config, panel: Panel) -> None:
    """Refuse settings other than those that a panel was read with: it is not read again."""
    vain = [name for name in READING if name in config.source.model_fields_set | config.grid.model_fields_set]
    if vain:
        raise UsageError(f"the panel is read already, so {some(vain)} would change nothing: give it to gatecast.read")
    freq, grid, (common, fill) = config.grid.freq, panel.grid, panel.rule
    pairs = {
        "freq": (Frequency.parse(freq) if freq and freq != "AUTO_FREQUENCY" else None, grid.frequency),
        "timezone": (config.grid.timezone, grid.timezone),
        "fill": (config.grid.fill, fill),
        "align": (config.grid.align, "common" if common else "last"),
        "series": (", ".join(config.source.series), ", ".join(panel.keys.column_names) or None),
    }
    for name, (wanted, there) in pairs.items():
        if wanted and wanted != there:
            raise UsageError(f"the panel was read with {name} {there}, not {wanted}: read it again with gatecast.read")


def _beside(opened: Opened, since: str | None, more: pa.Table | None) -> CovariateRows | None:
    """The covariates: static columns, and known-future values from a table of their own.

    Args:
        since: the date from which rows are read for static columns, however few are read otherwise.
        more: the rows of that table.
    """
    store, source = opened.store, opened.config.source
    if not (source.varying or source.fixed):
        return None
    if source.future and not source.future_table and opened.config.alignment.aggregate == "count":
        raise UsageError("rows to come would be counted: give the values of --future in a --future-table")
    settled = source.model_copy(update={"since": since})
    query = static_query(settled, opened.kind, opened.grid, source.fixed, opened.kinds)
    statics = store.read(source, query).read_all() if source.fixed else pa.table({})
    for i, name in enumerate(source.fixed):
        several = statics.filter(pc.field(f"distinct_{i}") > 1)
        if several.num_rows:
            keys = several.select([f"key_{k}" for k in range(len(source.series))])
            where = f" in {some(sorted(name_of(list(row.values())) for row in keys.to_pylist()))}"
            raise DataError(f"column {name!r} has more than one value{where}: it is --past or --future, not static")
    ahead = more.to_batches() if more is not None else ()
    return CovariateRows(source.varying, source.future, ahead, source.fixed, statics.to_batches())


def _resolved(opened: Opened, whole: SourceSettings) -> Config:
    """The settings by which the same is read again, of the rows as they are then."""
    table, ahead = opened.store.named(whole).table, whole.future_table and _lasting(whole.future_table)
    return opened.config.having("grid", freq=str(opened.grid.frequency)).having(
        "source", url=opened.store.url, table=table, future_table=ahead, since=whole.since, snapshot=None
    )


def _lasting(table: str) -> str:
    """A table as it is named from any folder: a file by its whole path."""
    return f"duckdb:{os.path.abspath(table)}" if os.path.isfile(table) else table


@contextmanager
def _plan(opened: Opened, errand: Errand) -> Iterator[Opened | None]:
    """The table of known-future values, as a source of its own; None where there is none.

    Raises:
        GatecastError: it cannot be opened, or its columns do not fit; the message names it.
    """
    source = opened.config.source
    if not source.future_table:
        yield None
        return
    apart = ":" in _lasting(source.future_table)  # a file or a URL, not a table of the same database
    shared = SourceSettings(**source.model_dump(include=PLANNED), table=None if apart else source.future_table)
    config = opened.config.model_copy(update={"source": shared})
    config = config.having("grid", aggregate="count", freq=str(opened.grid.frequency))  # there is no target
    with ExitStack() as stack:
        try:
            store = stack.enter_context(open_store(source.future_table, errand=errand)) if apart else opened.store
            plan = open_in(store, config, errand)
        except GatecastError as error:
            told = str(error).replace("in --sql", "there")  # which is of the source
            raise type(error)(f"--future-table {source.future_table}: {told}") from None
        yield plan


def _tell_saved(opened: Opened, whole: SourceSettings, query: exp.Select, errand: Errand) -> None:
    """Say how many bytes are billed less for the rows of a query than for all, where reading costs."""
    source = opened.config.source
    usual, part = opened.store.estimate(whole, opened.query(whole)), opened.store.estimate(source, query)
    if usual and part is not None:
        errand.observer.note(f"only rows since {source.since} are read: {in_bytes(part)} instead of {in_bytes(usual)}")
