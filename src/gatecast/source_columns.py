"""The columns that the settings name: there, of types that fit, and times in the time column."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Literal

import pyarrow as pa

from gatecast.config import Config
from gatecast.data.dates import TimeKind
from gatecast.errors import DataError, NoRowsError, UsageError, plural, some, some_names
from gatecast.settings import SourceSettings
from gatecast.store import Errand, Kind, Store
from gatecast.store.casts import number_sql, time_sql
from gatecast.store.opening_query import any_query, size_query, types_query, unreadable_query, value_query, worst_query
from gatecast.store.query import UNITS
from gatecast.store.sql import column

YEAR_1973 = 100_000_000
"""In seconds since 1970. A thousand times that, the year 5138 if it were seconds, is 1973 in milliseconds."""


def named(source: SourceSettings) -> list[str]:
    """The columns that the settings name."""
    return [source.time, *source.series, *filter(None, [source.target]), *source.fixed, *source.varying]


def checked(
    config: Config, store: Store, kinds: Mapping[str, Kind], errand: Errand
) -> tuple[Config, TimeKind | Literal["text"]]:
    """The settings, with the unit of times that are integers, and what the time column holds.

    Raises:
        UsageError: too few columns are named, or in vain.
        DataError: one is not there, or holds what does not fit.
    """
    _refuse_unfit(config, store, kinds)
    source = config.source
    kind = _time_kind(source, store, kinds)
    if kind == "number":
        unit = source.time_unit or _time_unit(source, store, errand)
        config, kind = config.having("source", time_unit=unit), "instant"
    _refuse_nested(source, store, kinds)
    _refuse_unreadable(config, store, kind)
    return config, kind


def _refuse_unfit(config: Config, store: Store, columns: Mapping[str, Kind]) -> None:
    """Refuse settings that name columns which do not exist or do not fit, and those that name too few."""
    source = config.source
    if not source.time:
        raise UsageError(f"name the timestamp column: --time COLUMN; there are {some_names(columns)}")
    absent = [name for name in named(source) if name not in columns]
    if absent:
        _refuse_no_rows(source, store, columns)
        one = len(columns) == 1 and re.search(r"[,;\t|]", next(iter(columns)))
        hint = ", as if it were one: a line of the file may have more fields than the first, or a quote without end"
        raise DataError(f"no column {some(map(repr, absent))}; there are {some_names(columns)}{hint if one else ''}")
    _refuse_files(source, store, columns)
    aggregate = config.alignment.aggregate
    if not source.target and aggregate != "count":
        raise UsageError(f"name the column to bring together by {aggregate}: --target COLUMN")
    if source.target and aggregate != "count" and columns[source.target] not in ("number", "boolean"):
        _refuse_no_rows(source, store, columns)
        refuse_empty(source, store, source.target)
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


def _refuse_files(source: SourceSettings, store: Store, columns: Mapping[str, Kind]) -> None:
    """Refuse several files some of which lack a column, or a zone: their rows would be lost, or shifted in time."""
    # Rows to come may have no target: they are there for the values of other columns.
    names = [source.time, *source.series, *([source.target] if source.target and not source.future else [])]

    def absent(have: Mapping[str, Kind]) -> list[str]:
        return [name for name in names if name.lower() not in map(str.lower, have)]

    def fits(have: Mapping[str, Kind]) -> bool:
        kinds = {have.get(source.time), columns[source.time]}
        return not absent(have) and kinds not in ({"instant", "local"}, {"instant", "date"})

    unlike = store.files_unlike(source, fits)
    if not unlike:
        return
    (file, have), *more = unlike.items()
    lacking, name = absent(have), column((absent(have) or [source.time])[0]).sql(store.dialect)
    those = f"{file} (and {plural(len(more), 'file')} like it)" if more else file
    if not lacking:
        zone = "a zone or offset" if have[source.time] == "instant" else "no zone or offset"
        raise DataError(
            f"column {source.time!r} names {zone} in {those}, unlike in other files: write all in one way, or read the "
            f"files apart with --sql, where {name} AT TIME ZONE 'Asia/Tokyo' is of that zone"
        )
    raise DataError(
        f"{those} has no column {some(map(repr, lacking))} as other files have; there are {some_names(have)}: "
        f"rename it there, or name both with --sql 'SELECT * REPLACE (COALESCE({name}, OTHER) AS {name}) FROM data'"
    )


def _time_kind(
    source: SourceSettings, store: Store, columns: Mapping[str, Kind]
) -> TimeKind | Literal["text", "number"]:
    """What the time column holds."""
    kind = columns[source.time]
    if kind not in ("instant", "local", "date", "text", "number"):
        _refuse_no_rows(source, store, columns)
        refuse_empty(source, store, source.time)
        raise DataError(f"column {source.time!r} holds no timestamps ({kind}): convert it in --sql")
    if source.time_unit and kind != "number":
        raise UsageError(f"--time-unit is for whole numbers; column {source.time!r} holds {kind}")
    return kind


def _no_numbers(source: SourceSettings, store: Store, kind: Kind) -> DataError:
    """The error for a target that holds no numbers: for text, an example that is no number, and the cast to write."""
    wrong = f"column {source.target!r} holds no numbers ({kind}): cast it in --sql"
    if kind != "text":
        return DataError(wrong)
    (row,) = store.read(source, worst_query(source.target)).read_all().to_pylist()
    text, some_are = row["found"], row["numbers"] > 0
    # Where there are numbers, a text without digits is a mark of what is missing, as n/a.
    how = number_sql(source.target, text, store.dialect) if some_are or re.search(r"\d", text) else ""
    return DataError(f"{wrong}{how and f', as {how}'}; it holds {text!r}")


def _refuse_no_rows(source: SourceSettings, store: Store, columns: Iterable[str]) -> None:
    """Refuse a source without rows; the columns of a file without any are made up by DuckDB."""
    if not store.read(source, any_query(source, "text", None)).read_all().num_rows:
        raise NoRowsError(f"there are columns ({some(columns)}) but no rows: check the file, the table or the query")


def refuse_empty(source: SourceSettings, store: Store, name: str) -> None:
    """Refuse a column without values, whose type means nothing.

    Raises:
        DataError: it is one.
    """
    if not store.read(source, value_query(name)).read_all().num_rows:
        raise DataError(f"column {name!r} is empty: none of the rows has a value in it")


def _time_unit(source: SourceSettings, store: Store, errand: Errand) -> str:
    """The unit of a time column of integers: the one that puts them after 1973."""
    sizes = store.read(source, size_query(source)).read_all().column("size")
    size = sizes[0].as_py()
    if size is None:  # no rows, or none with a time: both are refused as such
        return "ns"
    odd = f"numbers that read as dates, as {size}" if _spelled(size) else ""
    if not pa.types.is_integer(sizes.type) or size < YEAR_1973:
        odd = f"no timestamps (numbers up to {size})"
    if odd:
        how = _converted(source, store, [size])
        raise DataError(f"column {source.time!r} holds {odd}: {how}, or give --time-unit if it counts since 1970")
    unit = next((unit for unit, per in UNITS.items() if size < per * YEAR_1973 * 1000), "ns")
    errand.observer.note(f"{source.time!r} holds whole numbers: taken as {unit} since 1970 (--time-unit)")
    return unit


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
    types = store.read(source, types_query(names)).schema.types if names else []
    odd = [
        f"{name!r} ({type_})"
        for name, type_ in zip(names, types, strict=True)
        if pa.types.is_nested(type_) or pa.types.is_interval(type_)
    ]
    if odd:
        raise DataError(f"a series column holds texts, numbers or times, not {some(odd)}: cast it in --sql")


def _refuse_unreadable(config: Config, store: Store, kind: Kind) -> None:
    """Refuse a source without rows, or with text in the time column that is no timestamp."""
    source, zone = config.source, config.grid.timezone
    if not store.read(source, any_query(source, kind, zone)).read_all().num_rows:
        raise NoRowsError
    if kind != "text":
        return
    texts = sorted(store.read(source, unreadable_query(source, 5, zone)).read_all().column("found").to_pylist())
    if texts:
        raise DataError(
            f"column {source.time!r} holds text that is no timestamp, as {some(map(repr, texts))}: "
            f"{_converted(source, store, texts)}, or leave such rows out"
        )
