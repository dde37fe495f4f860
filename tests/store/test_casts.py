"""How texts are cast is told in the words of the store."""

import re

import duckdb
import pytest

from gatecast.store.casts import number_sql, time_sql

CAST = '"SELECT * REPLACE ({} AS {}) FROM ..."'


@pytest.mark.parametrize(
    ("dialect", "name", "text", "told"),
    [
        ("duckdb", "y", "much", "TRY_CAST(y AS DOUBLE)"),
        ("duckdb", "my y", "n/a", 'TRY_CAST("my y" AS DOUBLE)'),
        ("bigquery", "y", "", "SAFE_CAST(y AS FLOAT64)"),
        ("duckdb", "y", "10,50", "TRY_CAST(REPLACE(REPLACE(y, '.', ''), ',', '.') AS DOUBLE)"),
        ("bigquery", "y", "-1.234,5", "SAFE_CAST(REPLACE(REPLACE(y, '.', ''), ',', '.') AS FLOAT64)"),
        ("duckdb", "y", "1,234.5", "TRY_CAST(REPLACE(y, ',', '') AS DOUBLE)"),
        ("duckdb", "y", "-1,234,567", "TRY_CAST(REPLACE(y, ',', '') AS DOUBLE)"),
        ("duckdb", "y", "-0.123", "TRY_CAST(y AS DOUBLE)"),
        ("duckdb", "y", " +1.5e-3", "TRY_CAST(y AS DOUBLE)"),
        ("duckdb", "y", "100 EUR", "TRY_CAST(REGEXP_REPLACE(y, '[^0-9.-]', '', 'g') AS DOUBLE)"),
        ("bigquery", "y", "12,5 %", "SAFE_CAST(REPLACE(REGEXP_REPLACE(y, '[^0-9,-]', ''), ',', '.') AS FLOAT64)"),
    ],
)
def test_how_texts_are_cast_is_told_in_the_words_of_the_store(dialect, name, text, told):
    assert number_sql(name, text, dialect) == CAST.format(told, '"my y"' if " " in name else name)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("$ -1,234.50", [-1234.5]),
        ("EUR 1.234.567,25", [1234567.25]),
        ("1 234 567 kr", [1234567.0]),
        ("1'234.5", [1234.5]),
        ("1.234.567", [1234567.0]),
        ("5 kg", [5.0]),
        ("1.234 EUR", [1.234, 1234.0]),
        ("1,234 EUR", [1234.0, 1.234]),
        ("n/a", [None]),
        *((text, []) for text in ("3k", "1.2 M", "2 bn", "(100)", "10:30", "1/2", "2024-01-01", "Rs. 500", "A12-7")),
    ],
)
def test_a_query_is_told_only_if_it_makes_numbers_of_the_texts(text, numbers):
    told = re.findall(r"REPLACE \((TRY_CAST.*? AS y)\) FROM", number_sql("y", text, "duckdb"))
    with duckdb.connect() as connection:
        found = [connection.execute(f"SELECT {query} FROM (SELECT ? AS y)", [text]).fetchone()[0] for query in told]
    assert found == numbers


def test_a_comma_that_may_be_either_is_told_both_ways():
    both = [
        CAST.format(f"TRY_CAST({part} AS DOUBLE)", "y")
        for part in ("REPLACE(y, ',', '')", "REPLACE(REPLACE(y, '.', ''), ',', '.')")
    ]
    told = f"{both[0]} if commas separate thousands, or {both[1]} if they are decimal points"
    assert number_sql("y", "15,136", "duckdb") == told


@pytest.mark.parametrize(
    ("dialect", "examples", "told"),
    [
        ("duckdb", ["31.12.2024"], "STRPTIME(day, '%d.%m.%Y')"),
        ("bigquery", ["2024-01", "2024-02"], "PARSE_TIMESTAMP('%Y-%m', day)"),
        ("duckdb", ["01/02/2024", "13/02/2024"], "STRPTIME(day, '%d/%m/%Y')"),
        ("duckdb", ["01/02/2024"], "STRPTIME(day, '%m/%d/%Y') or STRPTIME(day, '%d/%m/%Y')"),
        ("duckdb", ["2024-01-02 01:00:00 PM"], "STRPTIME(day, '%Y-%m-%d %I:%M:%S %p')"),
        ("duckdb", [20241103], "STRPTIME(CAST(day AS TEXT), '%Y%m%d')"),
        ("duckdb", [2024], "STRPTIME(CAST(day AS TEXT), '%Y')"),
        ("bigquery", [202411031530], "PARSE_TIMESTAMP('%Y%m%d%H%M', CAST(day AS STRING))"),
        ("duckdb", ["2024-01-01T10:00:00+02:00"], "CAST(day AS TIMESTAMPTZ)"),
        ("bigquery", ["2024-01-01 10:00Z"], "CAST(day AS TIMESTAMP)"),
        ("duckdb", ["2024-01-01 10:00:00 UTC", "2024-01-01 10:30:00.5 UTC"], "CAST(day AS TIMESTAMPTZ)"),
        ("duckdb", ["n/a", "31.12.2024"], ""),
        ("duckdb", [45292], ""),
    ],
)
def test_how_times_are_made_is_told_in_the_words_of_the_store(dialect, examples, told):
    assert time_sql("day", examples, dialect) == told


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("1/31/2024 0:05", ["2024-01-31 00:05:00"]),
        ("1/2/24", ["2024-01-02 00:00:00", "2024-02-01 00:00:00"]),
        ("31/1/2024 1:05 PM", ["2024-01-31 13:05:00"]),
        ("31-01-2024 13:05", ["2024-01-31 13:05:00"]),
        ("31.1.24", ["2024-01-31 00:00:00"]),
        ("31 Jan 2024", ["2024-01-31 00:00:00"]),
        ("Jan-24", ["2024-01-01 00:00:00"]),
        ("January 2024", ["2024-01-01 00:00:00"]),
    ],
)
def test_a_query_is_told_that_makes_times_of_the_texts(text, times):
    with duckdb.connect() as connection:
        told = time_sql("day", [text], "duckdb").split(" or ")
        found = [connection.execute(f"SELECT {query} FROM (SELECT ? AS day)", [text]).fetchone()[0] for query in told]
    assert [str(time) for time in found] == times
