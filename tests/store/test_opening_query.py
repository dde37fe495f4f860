"""What is asked of a source before its rows are read; their golden texts stand beside those of all other queries."""

import pytest

from gatecast.store.opening_query import number_sql, time_sql

CAST = "SELECT * REPLACE ({} AS {}) FROM ..."


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
    ],
)
def test_how_texts_are_cast_is_told_in_the_words_of_the_store(dialect, name, text, told):
    assert number_sql(name, text, dialect) == CAST.format(told, '"my y"' if " " in name else name)


@pytest.mark.parametrize(
    ("dialect", "text", "told"),
    [
        ("duckdb", "31.12.2024", "STRPTIME(day, '%d.%m.%Y')"),
        ("bigquery", "2024-W01", "PARSE_TIMESTAMP('%d.%m.%Y', day)"),
        ("duckdb", "2024-01-01T10:00:00+02:00", "CAST(day AS TIMESTAMPTZ)"),
        ("bigquery", "2024-01-01 10:00Z", "CAST(day AS TIMESTAMP)"),
    ],
)
def test_how_texts_become_times_is_told_in_the_words_of_the_store(dialect, text, told):
    assert time_sql("day", text, dialect) == told
