"""The command line as a process, which leaves without taking itself apart: nothing may be lost by that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")


def gatecast(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "gatecast", *arguments], check=False, text=True, **options)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--version"], 0, ""),
        (["forecast", "nowhere"], 1, "gatecast: no run at nowhere"),
        (["forecast"], 2, "gatecast: Missing argument 'run'"),
        (["--never"], 2, "gatecast: No such option: --never"),
    ],
)
def test_every_way_out_has_its_code_and_its_words(arguments, code, told, tmp_path):
    ended = gatecast(*arguments, capture_output=True, cwd=tmp_path)
    assert ended.returncode == code
    assert ended.stderr.startswith(told)
    assert ("gatecast 0" in ended.stdout) == (code == 0)


def test_all_of_a_long_output_comes_through_a_pipe():
    ended = gatecast("fit", "--help", capture_output=True, env={**os.environ, "COLUMNS": "80"})
    assert ended.returncode == 0
    assert "--time-limit" in ended.stdout
    assert ended.stdout.endswith("\n")


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full")
@pytest.mark.parametrize(("arguments", "code"), [(["forecast"], 2), (["audit", "rows.csv", "--time", "at"], 0)])
def test_a_full_log_changes_no_code(arguments, code, tmp_path):
    (tmp_path / "rows.csv").write_text("at\n2024-01-01\n2024-01-02\n")
    with FULL.open("w") as full:
        assert gatecast(*arguments, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=full).returncode == code


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full")
@pytest.mark.parametrize("arguments", [["--version"], ["audit", "rows.csv", "--time", "at"]])
def test_a_full_disk_is_told(arguments, tmp_path):
    (tmp_path / "rows.csv").write_text("at\n2024-01-01\n2024-01-02\n")
    with FULL.open("w") as full:
        ended = gatecast(*arguments, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 1
    assert ended.stderr == "gatecast: the output could not be written: No space left on device\n"


def test_letters_that_the_terminal_lacks_are_escapes(tmp_path):
    (tmp_path / "rows.csv").write_text("at,shop\n2024-01-01,Łódź\n2024-01-02,Łódź\n2024-01-05,Łódź\n", encoding="utf-8")
    arguments = ("audit", "rows.csv", "--time", "at", "--series", "shop")
    ended = gatecast(
        *arguments,
        cwd=tmp_path,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        encoding="latin-1",
    )
    assert ended.returncode == 0
    assert r"\u0141ód\u017a from 2024-01-03" in ended.stdout
