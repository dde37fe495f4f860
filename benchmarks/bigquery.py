"""How fast rows come from BigQuery into a Panel, and in how much memory, beside Google's own `to_arrow`.

    python benchmarks/bigquery.py            # on the local server of the tests
    python benchmarks/bigquery.py --rows 5000000 --repeat 5

Each reading is a process of its own, so that its peak of memory is its own. Both sides run the
same SQL; the time is from sending it to holding all rows. Each reads a hundred rows first, so that what
the libraries load and set up once is not counted. Prints one JSON line a side, then the ratios.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SERIES = 1_000
SIDES = ("gatecast", "to_arrow")
DATASET, TABLE, FEW = "benchmark", "rows", "few"


def resident() -> float:
    """Memory held now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def one(side: str) -> dict[str, float]:
    """Read everything once."""
    from gatecast.data.dates import Grid
    from gatecast.data.frequency import Frequency
    from gatecast.data.panel import Panel
    from gatecast.settings import SourceSettings
    from gatecast.store.bigquery.store import BigQueryStore
    from gatecast.store.query import series_query

    grid = Grid(Frequency.parse("h"))
    with BigQueryStore(f"///{DATASET}") as store:
        for table in (FEW, TABLE):
            source = SourceSettings(table=table, time="at", target="y", series=("name",))
            query = series_query(source, "instant", grid, "mean")
            sql = store.text(source, query)
            before, began = resident(), time.perf_counter()
            if side == "gatecast":
                panel = Panel.from_batches(store.read(source, query), grid, source.series, kind="instant")
                rows = panel.reading.rows
            else:
                rows = store.client.query(sql).to_arrow(bqstorage_client=store.reader).num_rows
            seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"rows": rows, "seconds": seconds, "megabytes": peak - before}


def fill(rows: int) -> None:
    """A table of so many rows: a key, a timestamp, a float."""
    from gatecast.store.bigquery.store import BigQueryStore

    with BigQueryStore(f"///{DATASET}") as store:
        store.client.create_dataset(DATASET, exists_ok=True)
        store.client.query(
            f"CREATE OR REPLACE TABLE {DATASET}.{TABLE} AS SELECT CONCAT('series-', CAST(MOD(i, {SERIES}) AS STRING)) "
            f"AS name, TIMESTAMP_SECONDS(1700000000 - MOD(1700000000, 3600) + DIV(i, {SERIES}) * 3600) AS at, "
            f"CAST(MOD(i * 7919, 1000) AS FLOAT64) / 8 AS y FROM UNNEST(GENERATE_ARRAY(0, {rows - 1})) AS i"
        ).result()
        store.client.query(
            f"CREATE OR REPLACE TABLE {DATASET}.{FEW} AS SELECT * FROM {DATASET}.{TABLE} LIMIT 100"
        ).result()


def compare(rows: int, repeat: int) -> None:
    """Both sides in turn, and their medians."""
    fill(rows)
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(repeat):
        for side in SIDES:
            ended = subprocess.run(
                [sys.executable, __file__, "--side", side], capture_output=True, text=True, check=True
            )
            found[side].append(json.loads(ended.stdout))
    middle = {
        side: {name: statistics.median(run[name] for run in runs) for name in ("rows", "seconds", "megabytes")}
        for side, runs in found.items()
    }
    for side, run in middle.items():
        print(json.dumps({"side": side, **run, "rows_per_second": run["rows"] / run["seconds"]}))
    ours, theirs = (middle[side] for side in SIDES)
    print(
        f"rate: {theirs['seconds'] / ours['seconds']:.2f} of to_arrow's; "
        f"peak memory: {ours['megabytes'] / theirs['megabytes']:.2f} of it"
    )


def main() -> None:
    """Start the server where none is named, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--side", choices=SIDES)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(one(options.side)))
    elif "BIGQUERY_EMULATOR_HOST" in os.environ:
        compare(options.rows, options.repeat)
    else:
        sys.path.insert(0, str(ROOT / "tests"))
        from bigquery_server import running  # type: ignore[import-not-found]

        with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
            os.environ.update(server.environment)
            compare(options.rows, options.repeat)


if __name__ == "__main__":
    main()
