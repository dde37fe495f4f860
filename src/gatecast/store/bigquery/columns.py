"""Column types of BigQuery: what they hold, and how they look in Arrow."""

import re
from collections.abc import Collection, Sequence

import pyarrow as pa
from google.cloud.bigquery import SchemaField
from sqlglot import exp

from gatecast.errors import DataError
from gatecast.store import Kind

KINDS: dict[str, Kind] = {
    "TIMESTAMP": "instant",
    "DATETIME": "local",
    "DATE": "date",
    "BOOLEAN": "boolean",
    "STRING": "text",
    **dict.fromkeys(("INTEGER", "FLOAT", "NUMERIC", "BIGNUMERIC"), "number"),
}
ARROW: dict[str, pa.DataType] = {
    "TIMESTAMP": pa.timestamp("us", "UTC"),
    "DATETIME": pa.timestamp("us"),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "BYTES": pa.binary(),
    "BOOLEAN": pa.bool_(),
    "STRING": pa.string(),
    "INTEGER": pa.int64(),
    "FLOAT": pa.float64(),
}
ALIASES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD", "DECIMAL": "NUMERIC"}
FORBIDDEN = re.compile(r"[]!\"$()*,./;?@[\\^`{}~]")
"""What stands in no name of a column, though it may in the path of a nested one or in another store."""


def kinds(schema: Sequence[SchemaField], prefix: str = "") -> dict[str, Kind]:
    """What each column holds; the fields of a nested one follow it, as `shop.id`."""
    found: dict[str, Kind] = {}
    for field in schema:
        name, repeated = prefix + field.name, field.mode == "REPEATED"
        found[name] = "other" if repeated else KINDS.get(type_of(field), "other")
        if type_of(field) == "RECORD" and not repeated:
            found |= kinds(field.fields, f"{name}.")
    return found


def by_way_of_integers(node: exp.Expression, flags: Collection[str]) -> exp.Expression:
    """A truth value as a number in two casts: GoogleSQL has none from BOOL to FLOAT64."""
    inner = node.this
    flag = inner.args["true"] if isinstance(inner, exp.If) else inner  # hidden from a date on, or as it is
    if isinstance(node, exp.Cast) and node.is_type("DOUBLE") and isinstance(flag, exp.Column) and flag.name in flags:
        return exp.cast(exp.cast(inner.copy(), "BIGINT"), "DOUBLE")
    return node


def type_of(field: SchemaField) -> str:
    """The type of a column under the one name it has in this module."""
    return ALIASES.get(field.field_type, field.field_type)


def declared(schema: Sequence[SchemaField], arrived: pa.Schema) -> pa.Schema:
    """The Arrow schema that BigQuery's own declares; types without a rule, and arrays, stay as they arrived."""
    fields = []
    for field, came in zip(schema, arrived, strict=True):
        rule = None if field.mode == "REPEATED" else ARROW.get(type_of(field))
        fields.append(pa.field(field.name, rule or came.type))
    return pa.schema(fields)


def storable(rows: pa.Table) -> tuple[pa.Table, list[SchemaField]]:
    """Rows in types that Parquet brings into BigQuery unchanged, and the schema of their table.

    Raises:
        DataError: a column has a type that BigQuery has no like of, or a name that it does not allow.
    """
    fields, types = [], []
    for field in rows.schema:
        if found := FORBIDDEN.search(field.name):
            raise DataError(
                f"BigQuery allows no {found[0]!r} in the name of a column, got {field.name!r} instead: "
                "write elsewhere, or train on a query that names the column otherwise (--sql)"
            )
        type_ = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        name = next((name for name, test in _TESTS.items() if test(type_)), None)
        if name is None:
            raise DataError(f"column {field.name!r} has type {type_}, which BigQuery has no like of")
        fields.append(SchemaField(field.name, name))
        types.append(pa.field(field.name, ARROW.get(name, type_)))
    return rows.cast(pa.schema(types)), fields


# The first that holds is the type: a timestamp with a zone before any, a number of few digits before any.
_TESTS = {
    "TIMESTAMP": lambda type_: pa.types.is_timestamp(type_) and type_.tz is not None,
    "DATETIME": pa.types.is_timestamp,
    "DATE": pa.types.is_date,
    "TIME": pa.types.is_time,
    "BYTES": lambda type_: pa.types.is_binary(type_) or pa.types.is_large_binary(type_),
    "BOOLEAN": pa.types.is_boolean,
    "INTEGER": pa.types.is_integer,
    "FLOAT": pa.types.is_floating,
    "NUMERIC": lambda type_: pa.types.is_decimal(type_) and type_.precision <= 38 and type_.scale <= 9,
    "BIGNUMERIC": pa.types.is_decimal,
    "STRING": lambda type_: pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_null(type_),
}
