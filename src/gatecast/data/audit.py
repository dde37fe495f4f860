"""What is wrong with the rows, and what is done about it: reported before anything is trained."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from sqlglot import exp

from gatecast.data.dates import Grid
from gatecast.data.frequency import LONGEST_SEASON
from gatecast.data.panel import Panel
from gatecast.data.rows import name_of, without_values
from gatecast.errors import SHOWN, plural
from gatecast.settings import Alignment, GridSettings, SourceSettings
from gatecast.store import Store
from gatecast.store.audit_query import audit_query
from gatecast.store.duckdb import DuckDBStore
from gatecast.store.faults import FAULTS
from gatecast.store.sql import SOURCE

Row = Mapping[str, Any]

LONGEST_HOLIDAYS = 5
"""Most business days in a row that are taken for holidays."""


@dataclass(frozen=True)
class Finding:
    """A kind of fault: how often and where first, what `fit` does about it, and the option that decides otherwise."""

    name: str
    count: int
    places: tuple[str, ...]
    done: str
    decide: str | None = None


@dataclass(frozen=True)
class Audit:
    """Facts about rows on a grid, and the faults found in them.

    Attributes:
        agreement: share of gaps between timestamps that fit the frequency; None if it was given.
    """

    rows: int
    series: int
    steps: int
    first: str
    last: str
    frequency: str
    timezone: str | None
    agreement: float | None
    shortest: int
    longest: int
    findings: tuple[Finding, ...]

    @property
    def undecided(self) -> list[str]:
        """The findings that need a decision, with the option that makes it."""
        return [f"{found.name} ({found.decide})" for found in self.findings if found.decide]

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def audit(
    store: Store,
    source: SourceSettings,
    steps: exp.Select,
    grid: Grid,
    settings: GridSettings,
    agreement: float | None = None,
    horizon: int = 0,
    unknown: Sequence[tuple[tuple[object, ...], int]] | None = None,
) -> Audit:
    """Audit rows within the warehouse.

    Args:
        steps: the query of `store.audit_query.row_steps`.
        settings: as given; what they leave open may need a decision.
        agreement: the agreement of the frequency, see `spacing.infer`.
        horizon: if given, series too short to be trained, validated and tested at it are found too.
        unknown: the key of each series with steps of the horizon whose future covariates are not known, and the first
            such step; where not only the rows to audit tell these.

    Raises:
        DataError: there is no row with a time and a value.
    """
    block = next((length for length in grid.frequency.seasons if length <= LONGEST_SEASON), 10)
    alignment, planned = settings.alignment(source.target), bool(source.future) and unknown is None
    keys, zero = len(source.series), alignment.fill == "zero"
    query = audit_query(steps, keys, block, grid.frequency.century, horizon, zero, planned)
    rows = store.read(source, query).read_all().to_pylist()
    count, series = int(rows[0]["row_count"] or 0), int(rows[0]["series"] or 0)
    if not series:
        raise without_values(count)
    return Audit(
        rows=count,
        series=series,
        steps=int(rows[0]["steps"]),
        first=grid.label(rows[0]["first"]),
        last=grid.label(rows[0]["last"]),
        frequency=str(grid.frequency),
        timezone=grid.timezone,
        agreement=agreement,
        shortest=int(rows[0]["shortest"]),
        longest=int(rows[0]["longest"]),
        findings=tuple(_findings(rows + _missing(unknown or ()), grid, keys, settings, alignment, horizon)),
    )


def audit_panel(panel: Panel, settings: GridSettings | None = None, horizon: int = 0) -> Audit:
    """Audit a panel in memory."""
    columns = {f"key_{i}": panel.keys.column(i) for i in range(panel.keys.num_columns)}
    owners = np.repeat(np.arange(len(panel)), panel.lengths)
    keys = pa.table(columns).take(pa.array(owners)) if columns else pa.table({})
    position = np.arange(len(panel.values)) - panel.offsets[owners]
    table = {name: keys.column(name) for name in columns} | {
        "step": panel.starts[owners] + position,
        "value": panel.values.astype(np.float64),
    }
    there = ~np.isnan(panel.values)
    zeros = ("bare", "known", "nans", "infinite", "skipped", "twice", "early", "late")
    steps = exp.select("*", "1 AS row_count", *(f"0 AS {name}" for name in zeros)).from_(SOURCE)
    source = SourceSettings(target="value", series=tuple(columns))
    with DuckDBStore.of_frame(pa.table(table).filter(pa.array(there))) as store:
        return audit(store, source, steps, panel.grid, settings or GridSettings(), None, horizon)


_FILLED = {
    "zero": "taken as 0",
    "missing": "masked, never filled in",
    "forward": "filled with the value before",
    "interpolate": "filled on a line between the values around",
}
_ENDS = {"last": "forecast from their own last row", "common": "continued to the newest row of any"}


def _missing(unknown: Sequence[tuple[tuple[object, ...], int]]) -> list[Row]:
    """Series whose future covariates are missing within the horizon, as rows of the query."""
    return [
        {f"key_{i}": value for i, value in enumerate(key)}
        | {"finding": "ahead", "step": step, "size": 1, "rank": rank, "places": len(unknown)}
        for rank, (key, step) in enumerate(sorted(unknown, key=lambda part: name_of(part[0])), 1)
    ]


def _findings(
    rows: list[Row], grid: Grid, keys: int, given: GridSettings, alignment: Alignment, horizon: int
) -> Iterable[Finding]:
    """What was found, in the order of `FAULTS`."""

    def place(row: Row) -> str:
        name = name_of([row[f"key_{i}"] for i in range(keys)])
        of = f" ({row['size']:,} of {plural(row['usual'], 'row')})" if row.get("usual") else ""
        return name if row["step"] is None else f"{name} {FAULTS[row['finding']].where} {grid.label(row['step'])}{of}"

    for kind, fault in FAULTS.items():
        found = sorted((row for row in rows if row["finding"] == kind), key=lambda row: row["rank"])
        if not found:
            continue
        largest, places = max(found, key=lambda row: row["size"]), found[0]["places"]
        stops = alignment.align == "last" and rows[0]["longest"] <= 3 * horizon
        closed = str(grid.frequency) == "B" and not grid.holidays and largest["size"] <= LONGEST_HOLIDAYS
        leave = "; if these are holidays, leave them out by naming their place, as --holidays DE or XNYS"
        learns = "forecast, with nothing learned from them before the test"
        done = fault.done.format(
            aggregate=alignment.aggregate,
            filled=_FILLED[alignment.fill],
            gaps=plural(places, "gap"),
            longest=f"{largest['size']:,}: {place(largest)}",
            holidays=leave if closed else "",
            then="fit stops, as all of them are" if stops else learns,
            needed=3 * horizon + 1,
            ends=_ENDS[alignment.align],
            newest=grid.begins(max(row["step"] or 0 for row in found)),
        )
        decided = getattr(given, fault.option, None) or (kind == "shared" and alignment.aggregate == "count")
        yield Finding(
            fault.name,
            count=int(found[0]["total"] if fault.summed else places),
            places=tuple(place(row) for row in found if row["rank"] <= SHOWN),
            done=done,
            decide=None if decided or not fault.option else "--" + fault.option.replace("_", "-"),
        )
