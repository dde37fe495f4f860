"""The golden run: `python tests/golden.py` trains it anew and writes it, with its rows and its forecasts.

Do so when FORMAT in gatecast.model changes. If a released version wrote the old format, keep its folder: the new
version must load it.
"""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gatecast import fit, read
from gatecast.model import FORMAT
from gatecast.seal import seal

RUNS = Path(__file__).parent / "runs"
COLUMNS = {"time": "at", "target": "y", "series": ["name"], "future": ["promo"], "static": ["size"]}
SETTINGS = {"horizon": 3, "epochs": 1, "steps": 3, "hidden": 4, "baselines": 0}


def rows():
    """Two series of days with a promotion that is known three days ahead."""
    day = np.tile(np.arange(73), 2)
    promo = (day % 5 == 0).astype(float)
    y = 20 + 5 * np.sin(2 * np.pi * day / 7) + 4 * promo + np.random.default_rng(0).normal(0, 0.5, 146)
    at, name = np.datetime64("2024-01-01", "us") + day * np.timedelta64(1, "D"), np.repeat(["a", "b"], 73)
    columns = {"at": at, "name": name, "promo": promo, "size": np.repeat(["big", "small"], 73)}
    return pa.table(columns | {"y": pa.array(np.where(name == "a", y, y / 2), mask=day >= 70)})


def main():
    """Write it."""
    folder = RUNS / f"format-{FORMAT}"
    shutil.rmtree(folder, ignore_errors=True)
    model = fit(rows(), run=folder, **COLUMNS, **SETTINGS)
    for name in ("test.parquet", "examples.parquet"):  # not needed to forecast, and large
        (folder / name).unlink()
    seal(folder)
    pq.write_table(model.forecast(read(rows(), **COLUMNS)).rows, RUNS / f"format-{FORMAT}.parquet")


if __name__ == "__main__":
    main()
