"""Forecasts into a table by key: a load job into a staging table, then one MERGE, which happens whole or not at all."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from google.api_core.exceptions import Conflict, NotFound
from google.cloud import bigquery
from sqlglot import exp

from gatecast.errors import DataError, some
from gatecast.store import FORECAST_TIME, other_columns
from gatecast.store.bigquery.columns import storable, type_of
from gatecast.store.bigquery.jobs import RETRY, Jobs
from gatecast.store.sql import column

STAGING_LIFETIME = timedelta(hours=6)
"""After this a staging table deletes itself, should we have been stopped before we could."""

MAX_CLUSTERS = 4
PARTITIONABLE = ("TIMESTAMP", "DATETIME", "DATE")
CLUSTERABLE = ("STRING", "INTEGER", "BOOLEAN", "NUMERIC", "BIGNUMERIC", *PARTITIONABLE)
OLD, NEW = "gatecast_old", "gatecast_new"


def write(jobs: Jobs, table: exp.Table, rows: pa.Table, key: Sequence[str]) -> None:
    """Put rows into a table, replacing those with the same key; made if there is none.

    Raises:
        DataError: the table has other columns, or a type has no like; then nothing was written.
    """
    rows, schema = storable(rows)
    absent = [name for name in key if name not in rows.column_names]
    if absent:
        raise DataError(f"no column {some(map(repr, absent))} in the rows to write")
    target = bigquery.DatasetReference(table.catalog, table.db).table(table.name)
    missing, made = _refuse_drift(jobs.client, target, schema), False
    staging = _dataset(target).table(f"gatecast_staging_{uuid4().hex}")
    try:
        _load(jobs, staging, rows, schema)
        if missing:
            made = _make(jobs.client, _described(target, schema, key))
        staged = exp.table_(staging.table_id, db=staging.dataset_id, catalog=staging.project, quoted=True)
        jobs.run(merge_sql(table, staged, rows, key), jobs.errand.source)
    except BaseException:
        # Another job may have found the table that was made here, and written into it.
        if made and not jobs.client.get_table(target, retry=RETRY).num_rows:
            jobs.client.delete_table(target, not_found_ok=True, retry=RETRY)
        raise
    finally:
        jobs.client.delete_table(staging, not_found_ok=True, retry=RETRY)


def merge_sql(table: exp.Table, staging: exp.Table, rows: pa.Table, key: Sequence[str]) -> str:
    """One MERGE by key.

    NULL is a key like any other. BigQuery joins by equality only, so the comparison that knows
    NULL stands only where there is one, and bounds on the times let it prune partitions.
    """
    conditions: list[exp.Expression] = []
    for name in key:
        nulls = rows.column(name).null_count > 0
        compare = exp.NullSafeEQ if nulls else exp.EQ
        conditions.append(compare(this=_of(OLD, name), expression=_of(NEW, name)))
        type_ = rows.schema.field(name).type
        if (pa.types.is_timestamp(type_) or pa.types.is_date(type_)) and rows.num_rows and not nulls:
            conditions += _bounds(rows.column(name), name)
    values = [name for name in rows.column_names if name not in key]
    update = exp.Update(expressions=[exp.EQ(this=column(name), expression=_of(NEW, name)) for name in values])
    insert = exp.Insert(
        this=exp.Tuple(expressions=[column(name) for name in rows.column_names]),
        expression=exp.Tuple(expressions=[_of(NEW, name) for name in rows.column_names]),
    )
    whens = [exp.When(matched=False, source=False, then=insert)]
    if values:
        whens.insert(0, exp.When(matched=True, source=False, then=update))
    merge = exp.Merge(
        this=exp.alias_(table.copy(), OLD, table=True),
        using=exp.alias_(staging.copy(), NEW, table=True),
        on=exp.and_(*conditions),
        whens=exp.Whens(expressions=whens),
    )
    return merge.sql("bigquery", pretty=True)


def _of(table: str, name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True), table=table)


def _bounds(times: pa.ChunkedArray, name: str) -> list[exp.Expression]:
    """The range of the new rows' times, as literals of the column's own type."""
    ends = pc.min_max(times).as_py()
    kind = "DATE" if pa.types.is_date(times.type) else "TIMESTAMPTZ" if times.type.tz else "TIMESTAMP"
    literals = [exp.cast(exp.Literal.string(str(ends[end])), kind) for end in ("min", "max")]
    return [exp.GTE(this=_of(OLD, name), expression=literals[0]), exp.LTE(this=_of(OLD, name), expression=literals[1])]


def _refuse_drift(client: bigquery.Client, target: bigquery.TableReference, schema: list[bigquery.SchemaField]) -> bool:
    """Whether the table has to be made; one that is there must have the same columns."""
    try:
        there = client.get_table(target, retry=RETRY)
    except NotFound:
        client.get_dataset(_dataset(target), retry=RETRY)  # says so if it is the data set that is missing
        return True
    have, want = ({(field.name, type_of(field)) for field in fields} for fields in (there.schema, schema))
    if have != want:
        raise other_columns(target.table_id, have, want)
    return False


def _make(client: bigquery.Client, table: bigquery.Table) -> bool:
    """Whether the table was made here; one that another job has made since must have the same columns."""
    try:
        client.create_table(table, retry=RETRY)
    except Conflict:
        return _refuse_drift(client, table.reference, table.schema)
    return True


def _load(jobs: Jobs, staging: bigquery.TableReference, rows: pa.Table, schema: list[bigquery.SchemaField]) -> None:
    table = bigquery.Table(staging, schema=schema)
    table.expires = datetime.now(UTC) + STAGING_LIFETIME
    jobs.client.create_table(table, exists_ok=True, retry=RETRY)  # nobody else knows its name: an answer was lost
    file = io.BytesIO()
    pq.write_table(rows, file)
    jobs.load(file, staging, bigquery.LoadJobConfig(source_format="PARQUET", schema=schema))


def _described(
    target: bigquery.TableReference, schema: list[bigquery.SchemaField], key: Sequence[str]
) -> bigquery.Table:
    """A new table: partitioned by the day forecast (else by the first time in the key), clustered by what is before it.

    Series may be named by days too, as that on which a contract began.
    """
    types = {field.name: type_of(field) for field in schema}
    table = bigquery.Table(target, schema=schema)
    times = [name for name in key if types[name] in PARTITIONABLE]
    if times:
        time = FORECAST_TIME if FORECAST_TIME in times else times[0]
        table.time_partitioning = bigquery.TimePartitioning(field=time)
        before = [name for name in key[: key.index(time)] if types[name] in CLUSTERABLE]
        table.clustering_fields = before[:MAX_CLUSTERS] or None
    return table


def _dataset(table: bigquery.TableReference) -> bigquery.DatasetReference:
    return bigquery.DatasetReference(table.project, table.dataset_id)
