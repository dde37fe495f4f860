"""How texts are cast is told in the words of the store."""

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
    ],
)
def test_how_texts_are_cast_is_told_in_the_words_of_the_store(dialect, name, text, told):
    assert number_sql(name, text, dialect) == CAST.format(told, '"my y"' if " " in name else name)


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
        ("duckdb", ["n/a", "31.12.2024"], ""),
        ("duckdb", [45292], ""),
    ],
)
def test_how_times_are_made_is_told_in_the_words_of_the_store(dialect, examples, told):
    assert time_sql("day", examples, dialect) == told
