"""SQL as trees, never pasted text: names, GoogleSQL templates, and the text of a query in a dialect.

Expressions are written once in plain GoogleSQL and translated by sqlglot.
"""

from datetime import datetime
from functools import cache

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.errors import TokenError

from gatecast.errors import UsageError
from gatecast.store import Dialect

SOURCE = "gatecast_source"
"""The name under which queries here see the user's table or query."""


def column(name: str) -> exp.Column:
    """A column by name, always quoted."""
    return exp.column(name, quoted=True)


def relation(name: str) -> exp.Table:
    """A table by name, `schema.table` and `database.schema.table` too, each part quoted.

    Raises:
        UsageError: the name has more parts.
    """
    *path, table = (exp.to_identifier(part, quoted=True) for part in name.split("."))
    if len(path) > 2:
        raise UsageError(f"{name!r} has {len(path) + 1} parts: write TABLE, SCHEMA.TABLE or DATABASE.SCHEMA.TABLE")
    *_, catalog, schema = None, None, *path
    return exp.Table(this=table, db=schema, catalog=catalog)


def dotted(table: exp.Table) -> str:
    """The name that `relation` makes a table of."""
    return ".".join(part.name for part in table.parts)


def pinned(table: exp.Table, moment: datetime) -> exp.Table:
    """A table as it was at a moment."""
    instant = exp.cast(exp.Literal.string(moment.isoformat(" ")), "TIMESTAMPTZ")
    return exp.Table(**table.args | {"version": exp.Version(this="TIMESTAMP", kind="AS OF", expression=instant)})


def sql(template: str, **names: exp.Expression) -> exp.Expression:
    """GoogleSQL with the columns named put in."""
    return _parsed(template).transform(
        lambda node: names[node.name].copy() if isinstance(node, exp.Column) and node.name in names else node
    )


@cache
def _parsed(template: str) -> exp.Expr:
    return sqlglot.parse_one(template, dialect="bigquery")


def render(query: exp.Select, rows: str, dialect: Dialect) -> str:
    """The query as SQL, with the user's rows in the place of `SOURCE`."""
    text = translated(query, dialect, pretty=True)
    own = text.removeprefix("WITH ")
    # On lines of their own, so that a closing comment in them ends before our parenthesis.
    return f"WITH {SOURCE} AS (\n{rows}\n){'' if own == text else ','}\n{own}"


def translated(query: exp.Select, dialect: Dialect, *, pretty: bool = False) -> str:
    """A query in a dialect."""
    return (query.transform(_unstructured) if dialect == "bigquery" else query).sql(dialect, pretty=pretty)


def _unstructured(node: exp.Expression) -> exp.Expression:
    """The value at the greatest structure, where none are compared: the first of all in their order."""
    if not (isinstance(node, exp.ArgMax) and isinstance(node.expression, exp.Struct)):
        return node
    time, value = (part.expression for part in node.expression.expressions)
    # Without the limit a group is an array of all its rows, which BigQuery refuses from a hundred megabytes on.
    return sql("ARRAY_AGG(y ORDER BY y IS NULL, t DESC, y DESC LIMIT 1)[SAFE_OFFSET(0)]", t=time, y=value)


def unended(text: str, dialect: Dialect) -> str:
    """The user's query, the only text that is sent as it is, without the semicolon that ends it.

    What cannot be taken apart is the store's to refuse.
    """
    try:
        tokens = sqlglot.tokenize(text, read=dialect)
    except TokenError:
        return text
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        text = text[: tokens.pop().start]
    return text
