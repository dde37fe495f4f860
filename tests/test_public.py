"""What `import gatecast` shows, and what it costs."""

import importlib
import os
import subprocess
import sys

import pytest

import gatecast

NAMES = {"read", "Panel", "Config", "audit", "fit", "Model", "load", "backtest", "ForecastTable", "open_store"}
NAMES |= {"GatecastError"}


def test_the_public_names_are_those_of_the_design():
    assert len(NAMES) <= 12
    assert len(gatecast.__all__) == len(NAMES)
    assert set(dir(gatecast)) == set(gatecast.__all__) == NAMES
    found = {}
    exec("from gatecast import *", found)
    assert found.keys() - {"__builtins__"} == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_public_name_is_what_it_says_and_is_documented(name):
    thing = getattr(gatecast, name)
    assert thing.__name__ == name
    assert thing.__module__.startswith("gatecast.")
    assert getattr(importlib.import_module(thing.__module__), name) is thing
    assert thing.__doc__


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'gatecast' has no attribute 'frobnicate'"):
        gatecast.frobnicate  # noqa: B018


def in_a_new_process(code, **environment):
    kept = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=kept | environment
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_importing_loads_nothing_heavy():
    code = "import sys, gatecast; print(sorted({'torch', 'numpy', 'duckdb', 'pydantic'} & set(sys.modules)))"
    assert in_a_new_process(code) == "[]"


def test_threads_wait_passively_unless_the_user_says_otherwise():
    code = "import gatecast, os; print(os.environ['OMP_WAIT_POLICY'])"
    assert in_a_new_process(code) == "PASSIVE"
    assert in_a_new_process(code, OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"
