"""AutoTheta, AutoETS and AutoARIMA are statsforecast's, see nothing past the cutoff, and stop when the time is up."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from statsforecast.models import AutoTheta

import gatecast
from gatecast.data.table import STATISTICAL
from gatecast.evaluation import statistical as statistics
from gatecast.evaluation.statistical import left_out, statistical

SEASON = 7


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(0)
    return (20 + np.arange(90) / 10 + 5 * np.sin(np.arange(90) * 2 * np.pi / SEASON) + rng.normal(0, 1, 90)).astype(
        np.float32
    )


@pytest.mark.filterwarnings("ignore")
def test_they_are_statsforecasts_fitted_once_and_blind_to_what_comes(make_panel, values):
    holed, changed = values.copy(), values.copy()
    holed[[20, 21]] = np.nan
    changed[81:] = 1e6
    panel = make_panel(values, changed, holed, starts=[0, 0, 5])
    series, cutoffs = np.array([0, 0, 1, 1, 2]), np.array([70, 80, 80, 70, 85])
    found, failure = statistical(panel, series, cutoffs, SEASON, 3, 60)
    assert failure == ""
    assert list(found) == list(STATISTICAL)
    for forecasts in found.values():
        assert forecasts.shape == (5, 3)
        assert not np.isnan(forecasts).any()
        np.testing.assert_array_equal(forecasts[:2], forecasts[[3, 2]])
    model = AutoTheta(season_length=SEASON).fit(values[:71].astype(float))
    for row, end in ((0, 71), (1, 81)):
        theirs = model.forward(values[:end].astype(float), h=3)["mean"]
        np.testing.assert_allclose(found["auto_theta"][row], theirs, rtol=1e-5)
    filled = np.where(
        np.isnan(holed), np.interp(np.arange(90), np.flatnonzero(~np.isnan(holed)), holed[~np.isnan(holed)]), holed
    )
    theirs = AutoTheta(season_length=SEASON).fit(filled[:81].astype(float)).forward(filled[:81].astype(float), h=3)
    np.testing.assert_allclose(found["auto_theta"][4], theirs["mean"], rtol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_season_goes_on_in_its_phase_whatever_the_day_of_the_cutoff(make_panel):
    day = np.arange(260)
    week = np.array([0, 1, 2, 30, 4, 5, 40])[day % SEASON]
    values = (100 + week + np.random.default_rng(0).normal(0, 1, len(day))).astype(np.float32)
    cutoffs = np.arange(200, 209)
    found, _ = statistical(make_panel(values), np.zeros(9, int), cutoffs, SEASON, SEASON, 60)
    truth = values[cutoffs[:, None] + 1 + np.arange(SEASON)]
    for name in ("auto_theta", "auto_ets"):
        assert np.abs(found[name] - truth).mean(1).max() < 3


def test_they_stop_when_the_time_is_up(make_panel, values):
    panel = make_panel(*[values] * 50)
    began = time.monotonic()
    found = statistical(panel, np.arange(50), np.full(50, 80), SEASON, 3, 0.5)
    assert time.monotonic() - began < 3
    assert found == ({}, "")


def test_gathering_many_series_takes_its_share_of_the_time(make_panel, values, monkeypatch):
    slow = statistics._jobs

    def slowly(*args):
        for job in slow(*args):
            time.sleep(0.05)
            yield job

    monkeypatch.setattr(statistics, "_jobs", slowly)
    began = time.monotonic()
    statistical(make_panel(*[values] * 200), np.arange(200), np.full(200, 80), SEASON, 3, 1)
    assert time.monotonic() - began < 3  # 200 series take ten seconds


FAKE = """
import os, signal, sys
class AutoTheta:
    def __init__(self, season_length): pass
    def fit(self, y): pass
    def forward(self, y, h): return {{"mean": y[-h:]}}
class AutoETS(AutoTheta):
    def fit(self, y): {crash}
AutoARIMA = AutoTheta
"""


@pytest.mark.parametrize(
    ("crash", "why"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "their process was ended (Killed, as where memory runs out)"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "their process was ended (Segmentation fault)"),
        ("sys.exit('no room for numba\\n')", "their process failed (no room for numba)"),
        ("os._exit(7)", "their process failed (exit status 7)"),
    ],
)
def test_a_process_that_fails_is_told_with_its_reason(make_panel, values, tmp_path, monkeypatch, crash, why):
    (tmp_path / "statsforecast").mkdir()
    (tmp_path / "statsforecast" / "__init__.py").touch()
    (tmp_path / "statsforecast" / "models.py").write_text(FAKE.format(crash=crash))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path(gatecast.__file__).parents[1]}")
    found, failure = statistical(make_panel(values), np.array([0]), np.array([80]), SEASON, 3, 60)
    assert list(found) == ["auto_theta"]  # what was finished counts
    assert found["auto_theta"][0] == pytest.approx(values[78:81])
    assert failure == why


def test_where_nothing_can_be_written_the_test_goes_on_without_them(make_panel, values, monkeypatch):
    def refuse():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(statistics, "TemporaryFile", refuse)
    found, failure = statistical(make_panel(values), np.array([0]), np.array([80]), SEASON, 3, 60)
    assert found == {}
    assert failure == "their process could not be started ([Errno 2] No usable temporary directory found)"


def test_they_stop_when_we_are_stopped(make_panel, values, monkeypatch):
    children = []

    class Stopped(subprocess.Popen):
        def communicate(self, *args, **options):
            children.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Stopped)
    with pytest.raises(KeyboardInterrupt):
        statistical(make_panel(values), np.array([0]), np.array([80]), SEASON, 3, 60)
    assert [child.returncode for child in children] == [-signal.SIGKILL]


ORPHAN = """
import json, os, subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "gatecast.evaluation.statistical"], stdin=subprocess.PIPE)
rows = [float(i % 7) + i / 50 for i in range(200)]
lines = [[7, 3], *[[rows, [[0, rows]]]] * 5_000]
child.stdin.write("".join(json.dumps(line) + "\\n" for line in lines).encode())
child.stdin.close()
os._exit(0)
"""


def test_they_stop_when_we_are_killed():
    """Their output ends with them: all would take minutes."""
    done = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, timeout=60, check=True)
    assert done.stdout.count(b"\n") < 5_000


def test_a_series_too_short_for_a_season_gets_none(make_panel):
    assert statistical(make_panel(np.arange(9.0)), np.array([0]), np.array([5]), SEASON, 3, 20) == ({}, "")


def test_what_is_left_out_is_said(monkeypatch):
    told = left_out(["seasonal_naive", "auto_theta"], 30)
    assert told == "Without AutoETS, AutoARIMA: statsforecast is not installed (pip install 'gatecast[baselines]')."
    monkeypatch.setattr("gatecast.evaluation.statistical.available", lambda: True)
    told = left_out(["auto_theta", "auto_ets"], 30)
    assert told == "Without AutoARIMA: not finished within --baselines 30s, or no series is long enough for the season."
    assert left_out([], 0) == "Without AutoTheta, AutoETS, AutoARIMA: --baselines 0."
    assert left_out(STATISTICAL, 30) == ""
    assert left_out(["auto_theta"], 30, "it broke") == "Without AutoETS, AutoARIMA: it broke."
    assert left_out(STATISTICAL, 30, "it broke") == "The statistical baselines lack some series: it broke."
