"""AutoTheta, AutoETS and AutoARIMA of statsforecast as baselines, within a time budget.

A single fit of AutoARIMA can take minutes and cannot be stopped from inside. So the models run in a
process of their own (this module, run as one) that is ended when the time is up; what it had finished
counts. The quickest model comes first, and each is fitted once a series, on its rows before the first
cutoff, and carried forward to the later cutoffs without fitting again.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from itertools import takewhile
from tempfile import TemporaryFile
from typing import TextIO

import numpy as np

from gatecast.data.arrays import Indices, Values
from gatecast.data.dates import Steps
from gatecast.data.panel import Panel
from gatecast.data.split import evenly
from gatecast.data.table import STATISTICAL

FITTED_SEASONS, MIN_FITTED = 10, 100
"""How many seasons, and at least how many values, a model is fitted on."""
LONGEST_SEASON = dict(zip(STATISTICAL, (10_000, 24, 24), strict=True))
"""The longest season each can fit in reasonable time; beyond it, or where statsforecast allows none, it gets none."""
MAX_CUTOFFS = 20
"""Cutoffs of each series, evenly spread, that are forecast."""
GATHERING = 0.25
"""Share of the time in which series are gathered; if they are too many, those gathered by then are fitted."""


def available() -> bool:
    """Whether statsforecast is installed."""
    return find_spec("statsforecast") is not None


def left_out(baselines: Iterable[str], seconds: float, failure: str = "") -> str:
    """Which of the models are missing among the baselines and why, as a sentence; empty if none is.

    Args:
        failure: why their process failed, if it did.
    """
    missing = [label for name, label in STATISTICAL.items() if name not in set(baselines)]
    if not missing:
        return failure and f"The statistical baselines lack some series: {failure}."
    why = failure or f"not finished within --baselines {seconds:g}s, or no series is long enough for the season"
    if not seconds:
        why = "--baselines 0"
    if not available():
        why = "statsforecast is not installed (pip install 'gatecast[baselines]')"
    return f"Without {', '.join(missing)}: {why}."


def statistical(
    panel: Panel, series: Indices, cutoffs: Steps, season: int, horizon: int, seconds: float
) -> tuple[Mapping[str, Values], str]:
    """Forecasts of each model, for the series that were finished in time.

    Missing values are filled by straight lines, as the models take none.

    Returns:
        name → (W, H), NaN for windows that were not forecast; a model without forecasts is left out.
        And why the process failed; empty if it did not.
    """
    began = time.monotonic()
    jobs = takewhile(lambda _: time.monotonic() < began + GATHERING * seconds, _jobs(panel, series, cutoffs, season))
    lines = [json.dumps(line) + "\n" for line in ((season, horizon), *jobs)]
    found = {name: np.full((len(series), horizon), np.nan, np.float32) for name in STATISTICAL}
    try:
        done, failure = _output("".join(lines).encode(), max(began + seconds - time.monotonic(), 0))
    except OSError as error:  # no room for a process, or for what it writes: what was trained is tested without them
        done, failure = b"", f"their process could not be started ({error})"
    for line in done.split(b"\n")[:-1]:  # what follows the last end of line was not finished
        name, windows, forecasts = json.loads(line)
        found[name][windows] = forecasts
    return {name: part for name, part in found.items() if not np.isnan(part).all()}, failure


def _output(given: bytes, seconds: float) -> tuple[bytes, str]:
    """What the process wrote within its time, and why it failed; empty if it did not."""
    failure = ""
    with TemporaryFile() as done, TemporaryFile() as errors:
        command = [sys.executable, "-W", "ignore", "-m", __name__]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=done, stderr=errors) as child:
            try:
                child.communicate(given, timeout=seconds)
                errors.seek(0)
                failure = _failure(child.returncode, errors.read().decode(errors="replace"))
            except subprocess.TimeoutExpired:
                pass  # what it had finished counts
            finally:
                child.kill()  # if we are stopped, it would go on for hours
        done.seek(0)
        return done.read(), failure


def _failure(code: int, errors: str) -> str:
    """Why the process failed, as far as its exit status and its last words tell; empty if it did not."""
    if not code:
        return ""
    if code < 0:
        killed = ", as where memory runs out" if -code == signal.SIGKILL else ""
        return f"their process was ended ({signal.strsignal(-code)}{killed})"
    return f"their process failed ({errors.strip().rpartition(chr(10))[2] or f'exit status {code}'})"


def _jobs(
    panel: Panel, series: Indices, cutoffs: Steps, season: int
) -> Iterator[tuple[list[float], list[tuple[int, list[float]]]]]:
    """For each series, in random order, the rows to fit on, and some windows with the rows up to their cutoff."""
    size = max(FITTED_SEASONS * season, MIN_FITTED)
    order = np.lexsort((cutoffs, series))
    groups = np.split(order, np.flatnonzero(np.diff(series[order])) + 1)
    for number in np.random.default_rng(1).permutation(len(groups)).tolist():
        own, index = groups[number], int(series[groups[number][0]])
        chosen = own[evenly(len(own), MAX_CUTOFFS)]
        first = max(0, int(cutoffs[chosen[0]] - panel.starts[index]) + 1 - size)
        rows = []
        for cutoff in cutoffs[chosen].tolist():
            values = panel.known(index, cutoff).astype(np.float64)
            start = max(0, len(values) - size)
            part = values[start - (start - first) % season :]  # whole seasons later: AutoETS goes on in its phase
            place, seen = np.arange(len(part)), ~np.isnan(part)
            rows.append(np.interp(place, place[seen], part[seen]).tolist() if seen.any() else [])
        if all(len(part) > 2 * season + 2 for part in rows):
            yield rows[0], list(zip(chosen.tolist(), rows, strict=True))


def _run(given: TextIO, done: TextIO) -> None:
    """In the process: fit each model to each series, and write its forecasts as soon as they are there."""
    parent = os.getppid()
    from statsforecast import models  # noqa: PLC0415 - the extra `baselines`

    (season, horizon), *jobs = map(json.loads, given)
    for name, kind in STATISTICAL.items():
        length = season if season <= LONGEST_SEASON[name] else 1
        for first, rows in jobs:
            if os.getppid() != parent:  # killed, it could not end us
                return
            model = getattr(models, kind)(season_length=length)
            try:
                model.fit(np.array(first))
                forecasts = [model.forward(y=np.array(part), h=horizon)["mean"].tolist() for _, part in rows]
            except Exception:  # of any kind: what it cannot fit it does not forecast
                continue
            done.write(json.dumps((name, [window for window, _ in rows], forecasts)) + "\n")
            done.flush()


if __name__ == "__main__":
    _run(sys.stdin, sys.stdout)
