"""What is asked of a source before its rows are read; their golden texts stand beside those of all other queries."""

import pytest

from gatecast.store.opening_query import number_sql


@pytest.mark.parametrize(
    ("dialect", "name", "told"),
    [
        ("duckdb", "y", "SELECT * REPLACE (TRY_CAST(y AS DOUBLE) AS y) FROM ..."),
        ("duckdb", "my y", 'SELECT * REPLACE (TRY_CAST("my y" AS DOUBLE) AS "my y") FROM ...'),
        ("bigquery", "y", "SELECT * REPLACE (SAFE_CAST(y AS FLOAT64) AS y) FROM ..."),
    ],
)
def test_how_texts_are_cast_is_told_in_the_words_of_the_store(dialect, name, told):
    assert number_sql(name, dialect) == told
