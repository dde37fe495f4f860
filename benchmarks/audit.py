"""How long an audit of many rows takes, in a DuckDB database on disk.

    python benchmarks/audit.py --rows 10000000

A thousand hourly series with 1 % of the rows missing, some doubled, some negative, some not a number.
Prints the findings, then one JSON line: rows, seconds on the clock, seconds of the processor, peak memory.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import duckdb

SERIES = 1_000


def fill(path: Path, rows: int) -> None:
    """A table of about so many rows."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            f"""CREATE TABLE sales AS
            SELECT 'series-' || i % {SERIES} AS name, TIMESTAMP '2020-01-01' + to_hours(i // {SERIES}) AS sold_at,
            CASE WHEN hash(i) % 100000 = 7 THEN -1 WHEN hash(i) % 100000 = 8 THEN 'NaN'::DOUBLE
            ELSE 100 + 30 * sin(i // {SERIES} * 0.2618) + hash(i) % 1000 / 100 END AS amount
            FROM range({rows}) AS t(i), range(CASE WHEN hash(i) % 10000 = 9 THEN 2 ELSE 1 END)
            WHERE hash(i + 1) % 100 != 0"""
        )


def main() -> None:
    """Make the table, audit it, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args()
    from gatecast import audit
    from gatecast.console import show_audit

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sales.duckdb"
        fill(path, options.rows)
        began, spent = time.perf_counter(), time.process_time()
        found = audit(str(path), time="sold_at", target="amount", series=["name"], horizon=24)
        seconds, processor = time.perf_counter() - began, time.process_time() - spent
    show_audit(found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"rows": found.rows, "seconds": seconds, "processor": processor, "megabytes": peak}))


if __name__ == "__main__":
    main()
