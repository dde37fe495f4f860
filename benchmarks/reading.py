"""10 million rows × (key, timestamp, value) from DuckDB into a panel, against fetching the same query as Arrow.

The memory is that of a panel made of batches that stream past (its peak above that of streaming them alone),
so that what DuckDB holds for its own work does not blur it.

Run: python benchmarks/reading.py [--rows 10000000] [--rounds 5]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from measure import in_turn, peak_memory, rounded

from gatecast import read
from gatecast.config import Config
from gatecast.data.dates import Grid
from gatecast.data.frequency import Frequency
from gatecast.data.panel import Panel
from gatecast.reading import read_rows
from gatecast.store.duckdb import BATCH_ROWS

HOURS = 1_000
PRIME = 7_368_787  # of which no number of rows here is a multiple: each row comes once
GRID = Grid(Frequency.parse("h"))


def batches(rows: int) -> Iterator[pa.RecordBatch]:
    """Rows as the query gives them, in any order."""
    keys, chance = pa.array([f"s{number:05d}" for number in range(rows // HOURS)]), np.random.default_rng(0)
    for at in range(0, rows, BATCH_ROWS):
        part = np.arange(at, min(at + BATCH_ROWS, rows)) * PRIME % rows
        names = ["key_0", "step", "value", "row_count"]
        ones = np.ones(len(part), np.int64)
        yield pa.record_batch([keys.take(pa.array(part // HOURS)), part % HOURS, chance.random(len(part)), ones], names)


def peak(way: str, rows: int) -> int:
    """Bytes that one way adds in a process of its own."""
    return int(subprocess.check_output([sys.executable, __file__, "--alone", way, "--rows", str(rows)]))


def alone(way: str, rows: int) -> None:
    """One way by itself; prints what it added to the peak."""
    next(batches(rows))
    before = peak_memory()
    if way == "panel":
        Panel.from_batches(batches(rows), GRID, ["key"])
    else:
        for _ in batches(rows):
            pass
    print(peak_memory() - before)


def main(rows: int, rounds: int) -> None:
    """Print one JSON object."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.duckdb"
        with duckdb.connect(str(path)) as connection:
            connection.execute(
                "CREATE TABLE rows AS SELECT 's' || lpad((i // ?)::VARCHAR, 5, '0') AS key, "
                "TIMESTAMP '2020-01-01' + INTERVAL 1 HOUR * (i % ?) AS at, random() AS value FROM range(?) t(i)",
                [HOURS, HOURS, rows],
            )
        options = {"time": "at", "target": "value", "series": "key", "freq": "h", "timezone": "UTC"}
        config = Config.from_options(path, options)
        sql = read_rows(config, config).sql
        assert sql
        with duckdb.connect(str(path), read_only=True) as connection:

            def stream() -> pa.RecordBatchReader:
                return connection.sql(sql).to_arrow_reader(BATCH_ROWS)

            def arrow() -> None:
                for _ in stream():
                    pass

            ways = {"arrow": arrow, "panel": lambda: Panel.from_batches(stream(), GRID, ["key"])}
            found = in_turn(rounds, time.process_time, **ways)
            wall = in_turn(rounds, time.perf_counter, **ways)
        whole = in_turn(1, time.perf_counter, read=lambda: read(path, **options))
    added = {way: peak(way, rows) for way in ("arrow", "panel")}
    told = {
        "what": f"{rows:,} rows of {rows // HOURS:,} series from DuckDB",
        "processor_milliseconds": rounded(found),
        "milliseconds": rounded(wall | whole),
        "rate_to_arrow": round(found["arrow"] / found["panel"], 3),
        "rate_to_arrow_wall": round(wall["arrow"] / wall["panel"], 3),
        "bar_rate": 0.8,
        "bytes_a_row_above_streaming": round((added["panel"] - added["arrow"]) / rows, 1),
        "bar_bytes_a_row": 12,
    }
    print(json.dumps(told))


parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int, default=10_000_000)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--alone", choices=["arrow", "panel"])
arguments = parser.parse_args()
if arguments.alone:
    alone(arguments.alone, arguments.rows)
else:
    main(arguments.rows, arguments.rounds)
