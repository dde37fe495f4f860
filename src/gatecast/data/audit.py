"""What is wrong with the rows, and what is done about it: said before anything is trained."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from sqlglot import exp

from gatecast.config import GridSettings, SourceSettings
from gatecast.data.dates import Grid
from gatecast.data.panel import Panel, name_of
from gatecast.errors import SHOWN, DataError
from gatecast.store import Store
from gatecast.store.audit_query import audit_query
from gatecast.store.duckdb import DuckDBStore
from gatecast.store.query import SOURCE

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One kind of fault: how many, the first places, what `fit` does about it, and the option that decides it."""

    name: str
    count: int
    places: tuple[str, ...]
    done: str
    decide: str | None = None


@dataclass(frozen=True)
class Audit:
    """The facts of rows on a grid, and the faults found in them.

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
        """What needs a decision, and the option that makes it."""
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
) -> Audit:
    """Look rows over, in the warehouse.

    Args:
        steps: `store.audit_query.row_steps`.
        settings: as they were given; what they leave open may need a decision.
        agreement: what `spacing.infer` said of the frequency.
        horizon: if known, series too short to be tested at it are found too.

    Raises:
        DataError: there is no row with a time and a value.
    """
    block = next((length for length in grid.frequency.seasons if length <= 400), 10)
    resolved, planned = settings.resolved(source.target), bool(source.future) and source.future_table is None
    query = audit_query(steps, len(source.series), block, horizon, resolved.fill == "zero", planned)
    rows = store.read(source, query).read_all().to_pylist()
    facts = {name: int(rows[0][name] or 0) for name in ("row_count", "series", "steps", "shortest", "longest")}
    if not facts["series"]:
        raise DataError(f"no usable value in {facts['row_count']:,} rows: every target or every time is empty")
    return Audit(
        rows=facts["row_count"],
        series=facts["series"],
        steps=facts["steps"],
        first=grid.label(rows[0]["first"]),
        last=grid.label(rows[0]["last"]),
        frequency=str(grid.frequency),
        timezone=grid.timezone,
        agreement=agreement,
        shortest=facts["shortest"],
        longest=facts["longest"],
        findings=tuple(_findings(rows, grid, len(source.series), settings, resolved, horizon)),
    )


def audit_panel(panel: Panel, settings: GridSettings | None = None, horizon: int = 0) -> Audit:
    """Look a panel over, in memory."""
    columns = {f"key_{i}": panel.keys.column(i) for i in range(panel.keys.num_columns)}
    owners = np.repeat(np.arange(len(panel)), panel.lengths)
    keys = pa.table(columns).take(pa.array(owners)) if columns else pa.table({})
    position = np.arange(len(panel.values)) - panel.offsets[owners]
    table = {name: keys.column(name) for name in columns} | {
        "step": panel.starts[owners] + position,
        "value": panel.values.astype(np.float64),
    }
    there = ~np.isnan(panel.values)
    zeros = ("bare", "known", "nans", "infinite", "skipped", "twice")
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
_NAMES = {
    "no_time": "rows without a time",
    "shared": "rows on a step that another row has",
    "no_value": "steps without a value",
    "not_a_number": "values that are not a number",
    "infinite": "infinite values",
    "skipped": "local times that clocks skip",
    "twice": "local times that clocks show twice",
    "gap": "missing steps",
    "negative": "negative values",
    "outlier": "outliers",
    "shift": "level shifts",
    "bare": "steps without a past or future covariate",
    "ahead": "series whose future covariates end within the horizon",
    "empty": "series without any value",
    "constant": "constant series",
    "flat": "series that end flat",
    "zeros": "series that are mostly zero",
    "short": "series too short to test",
    "stale": "series that end before the others",
}
_WHERE = {"gap": "from", "ahead": "from", "flat": "from", "stale": "ends"}
_OF_SERIES = ("shift", "ahead", "empty", "constant", "flat", "zeros", "short", "stale")


def _findings(
    rows: list[Row], grid: Grid, keys: int, given: GridSettings, resolved: GridSettings, horizon: int
) -> Iterable[Finding]:
    """What was found, in the order of `_NAMES`."""

    def place(row: Row) -> str:
        name = name_of([row[f"key_{i}"] for i in range(keys)])
        return name if row["step"] is None else f"{name} {_WHERE.get(row['finding'], 'at')} {grid.label(row['step'])}"

    needed = f"{3 * horizon + 1:,} steps are needed for a test"
    done = {
        "no_time": ("left out", "--sql"),
        "shared": (f"brought together ({resolved.aggregate})", None if given.aggregate else "--aggregate"),
        "no_value": ("treated as missing", None),
        "not_a_number": ("treated as missing", None),
        "infinite": ("fit stops: filter or repair them", "--sql"),
        "skipped": ("taken to be as much later as the clock was moved", None),
        "twice": ("taken to be the first of the two", None),
        "gap": (_FILLED[resolved.fill or "missing"], None if given.fill else "--fill"),
        "bare": ("told as the mean of their window", None),
        "ahead": ("forecast only as far as they are known", "--future-table"),
        "empty": ("left out", "--sql"),
        "short": (f"forecast, but not tested: {needed}", None),
        "stale": (
            "forecast from their own last row" if resolved.align == "last" else "continued to the newest row of any",
            None if given.align else "--align",
        ),
    }
    if resolved.aggregate == "count":
        done["shared"] = ("counted", None)
    for kind, name in _NAMES.items():
        found = sorted((row for row in rows if row["finding"] == kind), key=lambda row: row["rank"])
        if not found:
            continue
        places = tuple(place(row) for row in found if row["rank"] <= SHOWN)
        text, decide = done.get(kind, ("kept", None))
        if kind == "gap":
            longest = next(row for row in found if row["size_rank"] == 1)
            gaps = f"{found[0]['places']:,} gap{'s' if found[0]['places'] > 1 else ''}"
            text += f" ({gaps}, the longest {longest['size']:,}: {place(longest)})"
        count = int(found[0]["places" if kind in _OF_SERIES else "total"])
        yield Finding(name, count, places, text, decide)
