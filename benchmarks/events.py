"""How an event log becomes series: one query, in the memory that the series take and not the events.

    python benchmarks/events.py

A log of events of a thousand shops within a thousand hours, as Parquet; each reading is a process of
its own, so that its peak of memory is its own. Beside the log, one with a fifth of the events, and a
table that is the hourly series already. Prints a JSON line for each.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

SERIES, HOURS, EVENTS = 1_000, 1_000, 5_000_000
LOG = f"""SELECT 'shop-' || hash(i) % {SERIES} AS shop,
    TIMESTAMP '2024-01-01' + to_milliseconds(hash(i + 1000000000) % {HOURS * 3_600_000}) AS happened_at
    FROM range({{count}}) AS t(i)"""


def resident() -> float:
    """Memory held now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def one(path: str, **settings: str) -> dict[str, float]:
    """Read once."""
    from gatecast import read

    before, began = resident(), time.perf_counter()
    panel = read(path, time="happened_at", series=["shop"], freq="h", **settings)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {
        "rows": panel.reading.rows,
        "series": len(panel),
        "steps": len(panel.values),
        "sum": float(panel.values.sum(dtype=float)),
        "seconds": seconds,
        "megabytes": peak - before,
        "series_megabytes": panel.values.nbytes / 1e6,
    }


def main() -> None:
    """Make the files, read each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--one", nargs=2)
    options = parser.parse_args()
    if options.one:
        path, target = options.one
        settings = {"target": target, "aggregate": "sum", "align": "common"} if target else {}
        print(json.dumps(one(path, **settings)))
        return
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as database:
        for name, count in (("events", options.events), ("fifth", options.events // 5)):
            database.sql(LOG.format(count=count)).write_parquet(f"{folder}/{name}.parquet")
        hourly = (
            f"SELECT shop, date_trunc('hour', happened_at) AS happened_at, count(*) AS y FROM '{folder}/events.parquet'"
        )
        database.sql(f"{hourly} GROUP BY ALL").write_parquet(f"{folder}/hourly.parquet")
        for name, target in (("events", ""), ("fifth", ""), ("hourly", "y")):
            command = [sys.executable, __file__, "--one", f"{folder}/{name}.parquet", target]
            ended = subprocess.run(command, capture_output=True, text=True, check=True)
            print(json.dumps({"read": name} | json.loads(ended.stdout)))


if __name__ == "__main__":
    main()
