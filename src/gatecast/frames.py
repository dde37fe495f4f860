"""A frame of pandas, polars or Arrow as rows to read: the columns that are named, in types that every step knows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from gatecast.errors import DataError, UsageError, some

UNREADABLE = (pa.ArrowException, TypeError, OverflowError)
"""What a column raises that Arrow cannot hold."""


def rows_of(frame: object, named: Sequence[str], *, queried: bool) -> pa.Table:
    """The columns of a frame that the settings name; for a query, which may use any, all that can be read.

    Raises:
        UsageError: it is no frame.
        DataError: a column that is named cannot be read, two have one name, whatever their case, or names are no texts.
    """
    import narwhals as nw  # noqa: PLC0415 - only for frames

    try:
        rows: Any = nw.from_native(frame, eager_only=True)
    except TypeError:
        raise UsageError(f"cannot read rows from {type(frame).__name__}: {_instead(frame)}") from None
    except ValueError as error:  # two columns of one name
        raise DataError(f"cannot read rows from {type(frame).__name__}: {' '.join(str(error).split())}") from None
    index = getattr(nw.maybe_get_index(rows), "names", [None])
    if None not in index and not set(index) & set(rows.columns):  # its parts are columns like any other
        rows = nw.from_native(rows.to_native().reset_index(), eager_only=True)
    if not queried and set(named) <= set(rows.columns):  # else one may be an index without a name, or is not there
        rows = rows.select(list(dict.fromkeys(named)))
    if strange := [name for name in rows.columns if not isinstance(name, str)]:
        raise DataError(f"names of columns must be texts, not {some(map(repr, strange))}: rename these")
    lower = [name.lower() for name in rows.columns]
    alike = [name for name in rows.columns if lower.count(name.lower()) > 1]
    if set(alike) & set(named):
        raise DataError(f"columns {some(map(repr, alike))} differ in case only, which SQL ignores: rename one of them")
    objects = [name for name, type_ in rows.schema.items() if type_ == nw.Object]
    odd = {name: why for name in objects if (why := _misread(rows[name]))}
    try:
        table = rows.to_arrow()
    except UNREADABLE:
        table = None
        odd |= {name: why for name in rows.columns if (why := _oddity(rows[name]))}
    else:
        odd |= {field.name: str(field.type) for field in table.schema if _foreign(field.type)}
    if not queried and (asked := [f"{name!r} ({odd[name]})" for name in odd if name in named]):
        raise DataError(f"cannot read column {some(asked)}: make its values numbers, texts or times, all of one kind")
    table = table.drop_columns([*odd]) if table is not None else rows.drop([*odd]).to_arrow()
    return held(table)


def held(rows: pa.Table) -> pa.Table:
    """Rows in types that DuckDB and polars have: numbers of more than 38 digits, as BIGNUMERIC, are texts there."""
    return rows.cast(pa.schema([field.with_type(_held(field.type)) for field in rows.schema]))


def _instead(other: object) -> str:
    """What to give in place of something that is no frame."""
    for method, what in (("collect", "lazy"), ("to_frame", "a single column")):
        if hasattr(other, method):
            return f"it is {what}, give what its .{method}() returns"
    return "give a URL, a path, a pandas, polars or Arrow frame, or a Panel"


def _misread(column: Any) -> str:
    """Why a column of Python's objects would be read as something else, or nothing."""
    if column.implementation.is_polars():
        return "objects"  # of which polars gives Arrow the addresses
    # Arrow takes all for what the first is.
    zones = {value.tzinfo for value in column.drop_nulls() if isinstance(value, datetime)}
    if None in zones and len(zones) > 1:
        return "times with a time zone and without"
    named = {str(zone) if zone.utcoffset(None) is None else "" for zone in zones if zone}  # a fixed offset is no zone
    return "times of several time zones" if len(named) > 1 else ""


def _oddity(column: Any) -> str:
    """Why a column of a frame cannot be read, or nothing."""
    try:
        type_ = column.to_arrow().type
    except UNREADABLE as error:
        return str(error.args[0])
    return str(type_) if _foreign(type_) else ""


def _foreign(type_: pa.DataType) -> bool:
    """Whether DuckDB has no such type, or takes it for another: periods of pandas for numbers."""
    period = getattr(type_, "extension_name", "") == "pandas.period"
    return bool(period or pa.types.is_decimal256(type_) or pa.types.is_union(type_))


def _held(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_decimal256(type_) or pa.types.is_null(type_):  # None alone, as in a column of pandas
        return pa.string()
    return pa.float32() if pa.types.is_float16(type_) else type_  # of two bytes there are none
