"""A wheel built from the repository runs elsewhere, with its demo data and its notice."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def python(*arguments, cwd, **environment):
    """What a Python process prints on stdout."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    command = [sys.executable, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=kept)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    python("-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (path,) = folder.iterdir()
    assert path.name == f"gatecast-{VERSION}-py3-none-any.whl"
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder that holds the package and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    python(*pip, "--target", folder, wheel, cwd=folder)
    return folder


def test_the_wheel_holds_the_package_its_data_and_both_licences(wheel):
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
        notice = files.read("gatecast/demo_data/NOTICE").decode()
        metadata = files.read(f"gatecast-{VERSION}.dist-info/METADATA").decode()
    sources = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.py")}
    assert sources <= names
    assert {"gatecast/demo_data/nyc_taxi.csv.gz", "gatecast/templates/report.html"} <= names
    assert {name.split("/")[0] for name in names} == {"gatecast", f"gatecast-{VERSION}.dist-info"}
    assert "Permission is hereby granted, free of charge" in notice
    assert "Copyright" in notice
    kept = [name for name in names if "/licenses/" in name]
    assert sorted(Path(name).name for name in kept) == ["LICENSE", "NOTICE"]
    assert "Requires-Python: >=3.11" in metadata


def test_it_runs_elsewhere(installed, tmp_path):
    where = python("-c", "import gatecast; print(gatecast.__file__)", cwd=tmp_path, PYTHONPATH=str(installed))
    assert Path(where.strip()).is_relative_to(installed)
    told = python("-m", "gatecast", "--version", cwd=tmp_path, PYTHONPATH=str(installed))
    assert told == f"gatecast {VERSION}\n"


def test_it_audits_its_demo_data_elsewhere(installed, tmp_path):
    data = installed / "gatecast" / "demo_data" / "nyc_taxi.csv.gz"
    options = ("--time", "timestamp", "--target", "value", "--timezone", "America/New_York", "--format", "json")
    out = python("-m", "gatecast", "audit", data, *options, cwd=tmp_path, PYTHONPATH=str(installed))
    found = json.loads(out)
    assert (found["rows"], found["frequency"], found["series"]) == (10_320, "30min", 1)
    assert (found["first"], found["last"]) == ("2014-07-01 00:00", "2015-01-31 23:30")
