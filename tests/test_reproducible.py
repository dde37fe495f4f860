"""The same seed, rows and version give the same run, in whichever process and by however many threads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

import golden
from gatecast import fit

FIT = """
import sys
import golden
from gatecast import fit
fit(golden.rows(), run=sys.argv[1], **golden.COLUMNS, **golden.SETTINGS | {"members": 2})
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """What is learnt in this process, with one thread."""
    folder = tmp_path_factory.mktemp("here") / "run"
    fit(golden.rows(), run=folder, **golden.COLUMNS, **golden.SETTINGS | {"members": 2})
    return folder


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_another_process_learns_the_very_same(here, tmp_path, threads):
    more = {"PYTHONHASHSEED": str(threads), "OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", FIT, tmp_path / "run"], check=True, env=os.environ | more)
    one, other = (Path(folder) for folder in (here, tmp_path / "run"))
    assert (one / "series.parquet").read_bytes() == (other / "series.parquet").read_bytes()
    weights, again = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert weights.keys() == again.keys()
    for name, part in weights.items():
        # Threads share out what is summed: torch promises the last bits only for as many of them.
        assert part.tobytes() == again[name].tobytes() if threads == 1 else part == pytest.approx(again[name], abs=1e-3)
    if threads == 1:
        for name in ("metrics.json", "config.toml"):
            assert (one / name).read_bytes() == (other / name).read_bytes()
