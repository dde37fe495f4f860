"""Names and values nobody should use, and people do: each works from end to end, or ends in an error that says why.

Outcomes are compared as whole tables: a case that changes its outcome is seen, whatever it becomes.
"""

import datetime as dt
import decimal
import io
import itertools
import math

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery

from gatecast import audit, fit, open_store, read
from gatecast.data.table import ForecastTable
from gatecast.errors import GatecastError
from gatecast.store.sql import column

FIRST = dt.datetime(2024, 1, 1)


def put_duckdb(url, rows, table="rows"):
    with duckdb.connect(url) as connection:
        connection.register("incoming", rows)
        connection.execute(f"CREATE TABLE {column(table).sql('duckdb')} AS FROM incoming")


def put_bigquery(url, rows, table="rows"):
    with open_store(url) as store:
        file = io.BytesIO()
        pq.write_table(rows, file)
        config = bigquery.LoadJobConfig(source_format="PARQUET")
        target = bigquery.DatasetReference(store.client.project, store.dataset).table(table)
        store.client.load_table_from_file(file, target, rewind=True, job_config=config).result()


def put_file(url, rows, table="rows"):
    assert url.rpartition("/")[2].partition(".")[0] == table  # a file is a table of its own name
    with duckdb.connect() as connection:
        connection.register("incoming", rows)
        connection.execute(f"COPY (FROM incoming) TO '{url}'")


DATABASES = {"duckdb": put_duckdb, "bigquery": put_bigquery}
FILES = ("csv", "parquet", "json")


def placed(kind, request, folder):
    """The kind of a store, its URL, and the function that puts rows into it."""
    if kind == "bigquery":
        return kind, request.getfixturevalue(kind), put_bigquery
    return (kind, str(folder / f"rows.{kind}"), DATABASES.get(kind, put_file))


@pytest.fixture(params=DATABASES)
def database(request, tmp_path):
    """A place with tables of any name."""
    return placed(request.param, request, tmp_path)


# CSV, whose names and values take longest, by `make test-all` alone.
@pytest.fixture(params=[*DATABASES, pytest.param("csv", marks=pytest.mark.slow), *FILES[1:]])
def place(request, tmp_path):
    """A place of any kind, with one table, rows."""
    return placed(request.param, request, tmp_path)


def hours(count):
    return pa.array([FIRST + dt.timedelta(hours=i) for i in range(count)], pa.timestamp("us"))


def outcome(verb, *given, **options):
    """What a verb gives, or its error."""
    try:
        return verb(*given, **options)
    except GatecastError as error:
        return f"{type(error).__name__}: {error}"


NAMES = {
    "quotes": 'it\'s "the" `best`',
    "spaces": "two  words",
    "semicolon": "a; DROP TABLE rows; --",
    "comment": "a /* b */ -- c",
    "backslash": "a\\",
    "dots": "a.b.c",
    "Unicode": "Größe_日本語",
    "right to left": "\u202eשלום\u200b",
    "emoji": "🦆👩‍👧",
    "reserved": "select",
    "ours": "gatecast_source",
    "ours too": "key_0",
    "a digit": "1",
    "templates": "%s {x} $1 ?",
    "line break": "a\nb\tc",
    "1,000 characters": "x" * 1000,
}
REFUSED = {"quotes", "semicolon", "comment", "backslash", "dots", "templates", "1,000 characters"}
"""Names that no column of BigQuery can have."""


def forecasts(series):
    """Rows as a forecast has them."""
    columns = {series: ["a"], "forecast_timestamp": hours(1), "forecast_value": [1.0], "confidence_level": [0.9]}
    columns |= {"prediction_interval_lower_bound": [0.0], "prediction_interval_upper_bound": [2.0]}
    return ForecastTable(pa.table(columns | {"cutoff": hours(1), "step": [1], "run_id": ["r"]}), (series,))


def test_columns_of_any_name_are_read_and_written(place):
    kind, url, put = place
    columns = {name: [f"{name}{part}" for part in ("", "t", "y", "x")] for name in NAMES.values()}
    parts = pa.table([["a"] * 9, hours(9), np.arange(9.0), np.arange(9.0) % 2], list("stxy")).columns
    names = {label: name for label, name in NAMES.items() if kind != "bigquery" or label not in REFUSED}
    put(url, pa.table(parts * len(names), [column for name in names.values() for column in columns[name]]))
    for name in names.values():
        series, time, target, past = columns[name]
        panel = read(url, table="rows", time=time, target=target, series=series, past=past, freq="h")
        assert panel.values.tolist() == list(range(9))
        assert panel.keys.to_pydict() == {series: ["a"]}
        assert panel.covariates.column(past).tolist() == [0, 1] * 4 + [0]


def test_series_columns_of_any_name_are_written_twice_and_are_there_once(database):
    kind, url, _ = database
    few = ["quotes", "emoji", "1,000 characters"]  # where each takes seconds
    for number, label in enumerate(NAMES if kind == "duckdb" else few):
        name, out = NAMES[label], f"out_{number}"
        if kind == "bigquery" and label in REFUSED:
            why = "Invalid field name" if label == "1,000 characters" else "in the name of a column"
            assert why in outcome(forecasts(name).write, url, "out")
            continue
        for _ in range(2):
            forecasts(name).write(url, out)
        for table in (out, f"{out}_latest"):
            panel = read(url, table=table, time="forecast_timestamp", series=name, freq="h")  # rows are counted
            assert (panel.keys.to_pydict(), panel.values.tolist()) == ({name: ["a"]}, [1])


@pytest.mark.parametrize("kind", FILES)
def test_series_columns_of_any_name_are_written_into_a_file_twice_and_are_there_once(kind, tmp_path):
    for number, name in enumerate(NAMES.values()):
        url = str(tmp_path / f"out{number}.{kind}")  # one with other columns is not replaced
        for _ in range(2):
            forecasts(name).write(url, None)
        panel = read(url, time="forecast_timestamp", series=name, freq="h")
        assert (panel.keys.to_pydict(), panel.values.tolist()) == ({name: ["a"]}, [1])


def test_tables_of_any_name(database):
    kind, url, put = database
    rows = pa.table({"t": hours(9), "y": np.arange(9.0)})
    few = ("Unicode", "reserved", "a digit")  # that BigQuery allows
    for name in NAMES.values() if kind == "duckdb" else map(NAMES.get, few):
        put(url, rows, name)
        assert read(url, table=name, time="t", target="y", freq="h").values.tolist() == list(range(9))


KEYS = [*NAMES.values(), "", " ", "NULL", "None", "a/b", "-- x", "\x01", "x" * 100_000]


def test_series_of_any_key_keep_their_rows(place):
    kind, url, put = place
    size = len(KEYS)
    rows = {"t": hours(9).take(pa.array(np.tile(np.arange(9), size))), "y": np.repeat(np.arange(float(size)), 9)}
    put(url, pa.table(rows | {"key": np.repeat(np.array(KEYS, object), 9)}))
    panel = read(url, table="rows", time="t", target="y", series="key", freq="h")
    wanted = {None if kind == "csv" and not key else key: {float(i)} for i, key in enumerate(KEYS)}
    assert {key: set(panel.series(i).tolist()) for i, key in enumerate(panel.keys["key"].to_pylist())} == wanted


WAVE = [10 + 3 * math.sin(i / 4) for i in range(60)]
BEYOND = "DataError: target values are infinite or beyond 1e33, as {} (in the series): filter or repair them"
NO_NUMBERS = "DataError: column 'y' holds no numbers ({}): cast it in --sql"
EMPTY = "DataError: column 'y' is empty: none of the rows has a value in it"
NOTHING = "DataError: no usable value in 60 rows: every target or every time is empty"


def with_some(value):
    return [value if i % 7 == 3 else other for i, other in enumerate(WAVE)]


# Values of sixty hours, and the first two that are read of them or the error.
VALUES = {
    "NaN": (with_some(math.nan), WAVE),
    "NULL": (with_some(None), WAVE),
    "inf": (with_some(math.inf), BEYOND.format("inf")),
    "-inf": (with_some(-math.inf), BEYOND.format("-inf")),
    "1e308": (with_some(1e308), BEYOND.format("1e+308")),
    "all 1e308": ([1e308] * 60, BEYOND.format("1e+308")),
    "1e33": ([1e33, -1e33] * 30, [1e33, -1e33]),
    "what stands for missing in NetCDF": (with_some(9.969209968386869e36), BEYOND.format("9.969209968386869e+36")),
    "1e-308": (with_some(1e-308), WAVE),
    "all 1e-308": ([1e-308] * 60, [0, 0]),  # nearer to 0 than a panel can tell
    "1e-30": ([value * 1e-30 for value in WAVE], [1e-29, 1.0742212e-29]),
    "zero": ([0.0] * 60, [0, 0]),
    "minus zero": ([-0.0] * 60, [0, 0]),
    "constant": ([7.5] * 60, [7.5, 7.5]),
    "great constant": ([1e30] * 60, [1e30, 1e30]),
    "one spike": ([0.0] * 59 + [1.0], [0, 0]),
    "whole": ([int(value * 100) for value in WAVE], [1000, 1074]),
    "greatest whole": (pa.array([2**63 - 1] * 60), [2.0**63, 2.0**63]),
    "decimal": (pa.array([decimal.Decimal(f"{value:.4f}") for value in WAVE], pa.decimal128(20, 4)), [10, 10.7422]),
    "truth": ([value > 10 for value in WAVE], [0, 1]),
    "all NULL": (pa.array([None] * 60, pa.float64()), NOTHING),
    "all NaN": ([math.nan] * 60, NOTHING),
    "text": ([str(value) for value in WAVE], NO_NUMBERS.format("text")),
    "bytes": ([b"1"] * 60, NO_NUMBERS.format("other")),
    "times": (hours(60).cast(pa.timestamp("us", "UTC")), NO_NUMBERS.format("instant")),
    "lists": ([[value] for value in WAVE], NO_NUMBERS.format("other")),
}


# Where a file says less of what it holds: CSV has no types, JSON a few.
OTHERWISE = {
    ("csv", "all NULL"): EMPTY,
    ("csv", "text"): WAVE,
    ("csv", "bytes"): [1, 1],
    ("csv", "lists"): NO_NUMBERS.format("text"),
    ("json", "all NULL"): EMPTY,
    ("json", "bytes"): NO_NUMBERS.format("text"),
}


ALIKE = {"-inf", "all 1e308", "1e33", "what stands for missing in NetCDF", "all 1e-308", "1e-30", "minus zero"}
ALIKE |= {"zero", "constant", "great constant", "one spike", "all NaN"}
"""Floating-point numbers: what keeps them in binary form reads them as it does others, and DuckDB stands for it."""


def test_targets_of_any_value_are_read_or_refused(place):
    kind, url, put = place
    some = {name: VALUES[name] for name in VALUES if kind in ("duckdb", "csv", "json") or name not in ALIKE}
    put(url, pa.table({"t": hours(60)} | {name: values for name, (values, _) in some.items()}))
    for name, (_, usual) in some.items():
        wanted = OTHERWISE.get((kind, name), usual)
        options = {"sql": f'SELECT t, "{name}" AS y FROM rows', "time": "t", "target": "y", "freq": "h"}
        options["sql"] = options["sql"].replace('"', "`") if kind == "bigquery" else options["sql"]
        found = outcome(read, url, **options)
        if isinstance(wanted, str):
            assert str(found).startswith(wanted), name
        else:
            assert found.values[:2].tolist() == pytest.approx(wanted[:2], rel=1e-6), name
        if kind not in ("duckdb", "csv"):
            continue  # the audit of every store is compared in tests/store/test_audit_query.py
        told = outcome(audit, url, **options)
        assert isinstance(told, str) == (isinstance(wanted, str) and "infinite" not in wanted), name
        if "infinite" in str(wanted):  # what stops `fit` is what the audit finds
            assert "infinite values" in {finding.name for finding in told.findings}, name


TINY = {"horizon": 2, "epochs": 2, "steps": 2, "hidden": 4, "baselines": 0}


@pytest.mark.parametrize("name", [name for name, (_, wanted) in VALUES.items() if not isinstance(wanted, str)])
def test_targets_of_any_value_are_forecast_by_finite_numbers(name):
    frame = pa.table({"t": hours(60), "y": VALUES[name][0]})
    model = outcome(fit, frame, time="t", target="y", **TINY)
    found = model.forecast().rows.to_pydict()
    values = np.array([found[part] for part in found if part.startswith(("forecast_value", "prediction"))])
    assert np.isfinite(values).all()
    if "constant" in name or "zero" in name or name == "all 1e-308":
        # The unit of zeros is 1, of which four batches leave a thousandth.
        assert found["forecast_value"] == pytest.approx([VALUES[name][1][0]] * 4, rel=1e-5, abs=0.01)


PAYLOADS = [
    "x'; DROP TABLE secret; --",
    'x"; DROP TABLE secret; --',
    "x`; DROP TABLE secret; --",
    "x\\'; DROP TABLE secret; --",
    "y FROM secret; --",
    "(SELECT MAX(leak) FROM secret)",
    "2024-01-01' OR '1'='1",
    "UTC') - (SELECT MAX(leak) FROM secret) + ('",
    'rows" UNION ALL SELECT * FROM "secret',
    "team:x'; DROP TABLE secret; --",
]
OPTIONS = ["table", "time", "target", "series", "static", "past", "future", "future_table", "holidays_column"]
OPTIONS += ["since", "until", "timezone", "freq", "holidays", "snapshot", "label", "location", "aggregate", "time_unit"]
LEAK = 987654321.0
UNUSED = {"label", "location"}
"""Options that never come near SQL: what BigQuery's API is told beside it, which DuckDB has no use for."""


@pytest.fixture
def guarded(database):
    """A store with rows and a secret, which has to be the same in the end."""
    kind, url, put = database
    put(url, pa.table({"t": hours(9), "y": np.arange(9.0), "k": ["a"] * 9}))
    put(url, pa.table({"t": hours(2), "leak": [LEAK, LEAK]}), "secret")
    yield kind, url
    assert read(url, table="secret", time="t", target="leak", freq="h").values.tolist() == [np.float32(LEAK)] * 2


def test_no_option_carries_sql(guarded):
    kind, url = guarded
    tried = 0
    for option, payload in itertools.product(OPTIONS, PAYLOADS if kind == "duckdb" else PAYLOADS[2::7]):
        usual = {"table": "rows", "time": "t", "target": "y", "freq": "h"}
        usual |= {"future_table": {"future": "k"}, "holidays": {"freq": "C"}}.get(option, {})  # where it counts
        found = outcome(read, url, **usual | {option: payload})
        tried += 1
        if isinstance(found, str):
            assert str(LEAK)[:9] not in found
        else:
            assert option in UNUSED, (option, payload)
            assert found.values.tolist() == list(range(9))
    assert tried == {"duckdb": 190, "bigquery": 38}[kind]


def test_no_name_to_write_carries_sql(guarded):
    kind, url = guarded
    for payload in PAYLOADS if kind == "duckdb" else PAYLOADS[:2]:
        outcome(forecasts("k").write, url, payload)
        outcome(forecasts(payload).write, url, "out")
