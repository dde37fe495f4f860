"""Settings that have to stand before torch and gatecast load, and data that tests share."""

# ruff: noqa: E402 - the imports come after those settings
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import jaxtyping

# Tensor shapes in signatures can be checked (see `shapes`); not in gatecast.nn.lstm, as long as it writes
# a size as "4U", which jaxtyping cannot read.
jaxtyping.install_import_hook(["gatecast.nn"], "beartype.beartype")

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
import torch

from bigquery_server import missing, running
from gatecast.data.dates import Frequency, Grid
from gatecast.data.panel import Panel

torch.set_num_threads(1)
# The same cases each time: a failure is of what was changed. Those nobody has seen are looked for by `make fuzz`.
hypothesis.settings.register_profile("gatecast", deadline=None, derandomize=True)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=100_000)
# A mutant is to be caught, not explained.
hypothesis.settings.register_profile("mutation", deadline=None, derandomize=True, phases=["explicit", "generate"])
hypothesis.settings.load_profile("gatecast")


@pytest.fixture(scope="session")
def bigquery_server(tmp_path_factory):
    """A local server that speaks BigQuery's protocol."""
    if why := missing():
        (pytest.fail if os.environ.get("GATECAST_REQUIRE_BIGQUERY") else pytest.skip)(why)
    with running(tmp_path_factory.mktemp("bigquery")) as server:
        yield server


@pytest.fixture
def bigquery(bigquery_server, monkeypatch):
    """Clients are led to the local server; gives the URL of a data set of its own."""
    return bigquery_server.dataset(monkeypatch)


@pytest.fixture(autouse=True, scope="module")
def shapes(request):
    """Only tests of the network and of what looks into it check shapes: it takes a third of the time of a fit."""
    checked = request.path.parent.name in ("nn", "insight")  # where networks of every kind are trained and forecast
    jaxtyping.config.update("jaxtyping_disable", not checked)


@pytest.fixture(autouse=True, scope="session")
def no_statistical_baselines():
    """Only their own tests fit statsforecast's models: they take seconds a series."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gatecast.evaluation.statistical.available", lambda: False)
        yield


@pytest.fixture
def threads():
    """A function that sets the threads that torch may use; in the end they are as many as before."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def make_panel():
    """A function that makes a panel of some series of values (NaN where missing), each from a step on."""

    def make(*series, starts=None, freq="h"):
        lengths = [len(values) for values in series]
        return Panel(
            grid=Grid(Frequency.parse(freq)),
            keys=pa.table({"name": [f"s{i}" for i in range(len(series))]}),
            values=np.concatenate(series).astype(np.float32),
            offsets=np.cumsum([0, *lengths]),
            starts=np.array(starts if starts is not None else [0] * len(series), np.int64),
        )

    return make


@pytest.fixture
def make_frame():
    """A function that makes a seeded frame of hourly rows: one daily wave with noise for each series."""

    def make(series=2, hours=240, seed=0):
        rng = np.random.default_rng(seed)
        steps = np.tile(np.arange(hours), series)
        name = np.repeat(np.arange(series), hours)
        wave = 10 * (name + 1) + 3 * np.sin(2 * np.pi * steps / 24) + rng.normal(0, 0.3, steps.size)
        at = np.datetime64("2024-01-01T00:00:00", "us") + steps * np.timedelta64(1, "h")
        return pa.table({"at": at, "name": [f"s{i}" for i in name], "y": wave})

    return make
