"""Everything but the target as numbers: the calendar, holidays, covariates, the series itself.

Numbers are fitted on training rows only; other rows contribute the names of categories and nothing else.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from gatecast.config import Config
from gatecast.data.arrays import Flags, Indices, Values
from gatecast.data.column import Column, Role
from gatecast.data.covariates import Covariates
from gatecast.data.dates import Grid, Steps
from gatecast.data.features import CALENDAR, CYCLES, HOLIDAY_FEATURES, HOLIDAYS, calendar, holiday_calendar, meaningful
from gatecast.data.panel import Panel
from gatecast.errors import some
from gatecast.settings import SourceSettings

CACHED_STEPS = 10_000
"""Steps whose calendar is kept for the next forecast: the series of a table end together, and are forecast again."""


@dataclass(frozen=True)
class Encoder:
    """How dates, covariates and series become features.

    Attributes:
        cycles: calendar cycles, see `features.calendar`.
        place: whose holidays count, for all series.
        places: the static column that names each series' own place.
        columns: covariates; one of the role "series" stands for the series itself.
        clock: whether series are laid by the wall clock, see `data.clock`.
    """

    cycles: tuple[str, ...] = ()
    place: str | None = None
    places: str | None = None
    columns: tuple[Column, ...] = ()
    clock: bool = False

    @classmethod
    def fit(cls, panel: Panel, config: Config, until: Steps) -> Self:
        """The encoder of the settings, fitted on the rows up to a step of each series."""
        source, found = config.source, panel.covariates
        span = int(np.median(until - panel.starts + 1))
        cutoffs = span - config.model.history - config.forecast.horizon + 1
        cycles = () if config.model.calendar is False else meaningful(panel.grid, span, cutoffs)
        names: dict[Role, tuple[str, ...]] = {"static": source.static, "future": source.future, "past": source.past}
        columns = []
        if found is not None:
            rows = _until(found, panel.starts, until)
            for role, listed in names.items():
                part = np.ones(len(panel), bool) if role == "static" else rows
                columns += [Column.fit(name, role, found, part) for name in listed]
        if config.model.series_embedding:
            columns.append(Column("series", "series", categories=tuple(panel.names)))
        return cls(cycles, config.grid.holidays, source.holidays_column, tuple(columns), bool(config.model.clock))

    @property
    def varying(self) -> tuple[Column, ...]:
        """The columns with a value for each step, those known ahead first."""
        return tuple(column for column in self.columns if column.role in ("past", "future"))

    @property
    def static(self) -> tuple[Column, ...]:
        """The columns with a value for each series."""
        return tuple(column for column in self.columns if column.role in ("static", "series"))

    @property
    def beside(self) -> tuple[list[str], list[str]]:
        """The names of its columns: those with a value for each step, and those with one for each series."""
        fixed = [column.name for column in self.static if column.role == "static"]
        return [column.name for column in self.varying], list(dict.fromkeys(filter(None, [*fixed, self.places])))

    @property
    def dates(self) -> int:
        """Number of calendar features, which come first."""
        return 2 * len(self.cycles)

    @property
    def holidays(self) -> int:
        """Number of features of holidays, which come next."""
        return HOLIDAY_FEATURES if self.place or self.places else 0

    @property
    def known(self) -> int:
        """Number of features known for the horizon beside the calendar: holidays, and covariates, which come next."""
        return self.holidays + sum(column.width for column in self.columns if column.role == "future")

    @property
    def past(self) -> int:
        """Number of features known up to the cutoff, which come last."""
        return sum(column.width for column in self.columns if column.role == "past")

    @property
    def names(self) -> list[str]:
        """The source of each of the F features: a cycle, the holidays or a column, which may have the name of one."""
        named = [*((name, 2) for name in self.cycles), (HOLIDAYS, self.holidays)]
        named += [(f"column {c.name}" if c.name in CALENDAR else c.name, c.width) for c in self.varying]
        return [name for name, width in named for _ in range(width)]

    @property
    def embeddings(self) -> int:
        """Rows of the table of what is static: one for a number, one for each category."""
        return sum(len(column.categories or (1,)) for column in self.static)

    def calendars(self, panel: Panel, steps: Steps) -> tuple[npt.NDArray[np.float32], Indices]:
        """Calendar and holidays of some steps, for each place, and the place of each series: (G, T, F), (S,).

        Args:
            steps: one after the other.
        """
        if len(steps) <= CACHED_STEPS:
            dates = _calendar(panel.grid, self.cycles, int(steps[0]), len(steps))
        else:
            dates = calendar(panel.grid, self.cycles, steps)
        group = np.zeros(len(panel), np.int64)
        if not self.holidays:
            return dates[None], group
        named: list[str | None] = [self.place]
        if self.places and panel.covariates is not None:
            codes = panel.covariates.column(self.places)
            own = panel.covariates.categories.get(self.places, ())
            named = [*(place or self.place for place in own), self.place]
            numbers = np.where(np.isnan(codes), len(named) - 1, codes).astype(np.int64)
            used, group = np.unique(numbers, return_inverse=True)  # not those of series that were left out
            named = [named[number] for number in used.tolist()]
        holidays = [holiday_calendar(panel.grid, place, steps) for place in named]
        return np.stack([np.concatenate([dates, part], 1) for part in holidays]), group

    def varied(self, covariates: Covariates) -> Values:
        """The varying columns as `Column.read` gives them, (M, K)."""
        return np.stack([column.read(covariates) for column in self.varying], 1)

    def statics(self, panel: Panel) -> tuple[Indices, Values]:
        """Which rows of the table of what is static a series has, and with what weight, (S, L) each.

        A number is the weight of its row; what is missing or not known has the weight 0.
        """
        rows, weights, first = [], [], 0
        for column in self.static:
            if column.role == "series":
                known = {name: number for number, name in enumerate(column.categories or (), 1)}
                value = np.array([known.get(name, 0) for name in panel.names], np.float32)
            else:
                assert panel.covariates is not None
                value = np.nan_to_num(column.read(panel.covariates))
            is_number = column.categories is None
            rows.append(np.full(len(panel), first) if is_number else first + np.maximum(value - 1, 0))
            weights.append(value if is_number else value > 0)
            first += len(column.categories or (1,))
        return np.stack(rows, 1).astype(np.int64), np.stack(weights, 1).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """The encoder as JSON."""
        return asdict(self)

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Self:
        """The encoder that `to_dict` wrote.

        Raises:
            ValueError: it is not as that writes it.
        """
        columns, cycles = tuple(map(Column.of, about["columns"])), tuple(about["cycles"])
        if not set(cycles) <= CYCLES.keys():
            raise ValueError(f"other cycles than {some(CYCLES)}: {cycles}")
        if not all(name is None or isinstance(name, str) for name in (about["place"], about["places"])):
            raise ValueError("a place that is no name")
        return cls(cycles, about["place"], about["places"], columns, bool(about.get("clock")))


@lru_cache(maxsize=8)
def _calendar(grid: Grid, cycles: tuple[str, ...], first: int, count: int) -> npt.NDArray[np.float32]:
    dates = calendar(grid, cycles, np.arange(first, first + count))
    dates.flags.writeable = False  # many look at it
    return dates


def unlearnable(panel: Panel, source: SourceSettings, until: Steps) -> list[str]:
    """A line for each covariate of which nothing can be learned from the rows up to a step of each series."""
    if (found := panel.covariates) is None:
        return []
    rows, lines = _until(found, panel.starts, until), []
    for name in (*source.static, *source.past, *source.future):
        values, parts = found.column(name), np.arange(len(panel))
        if name in found.varying:
            values, parts = np.where(rows, values, np.nan), found.offsets[:-1]
        least, most = (end.reduceat(values, parts) for end in (np.fmin, np.fmax))  # of each series
        differs = bool(np.fmax.reduce(most) > np.fmin.reduce(least))
        if np.isnan(most).all():
            why = "has no value in the training rows"
        elif name in found.varying and not (most > least).any():
            why = (
                "never changes within a series in the training rows" if differs else "is constant in the training rows"
            )
        elif name in found.fixed and not differs:
            why = "is the same for all series"
        else:
            continue
        better = ": it is --static" if differs else ""
        lines.append(f"column {name!r} {why}, so the tested weights learn nothing from it{better}")
    return lines


def _until(covariates: Covariates, starts: Steps, until: Steps) -> Flags:
    """Which rows of the covariates lie at or before a step of their series."""
    lengths = np.diff(covariates.offsets)
    steps = np.arange(len(covariates.values)) - np.repeat(covariates.offsets[:-1], lengths)
    found: Flags = steps <= np.repeat(until - starts, lengths)
    return found
