"""Texts and tables drawn at random: each gives a result or a named error. `make fuzz` does it for hours.

Every crash that was found stands here as an example.
"""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gatecast import Config, audit, fit, open_store
from gatecast.data.dates import Frequency, Grid
from gatecast.errors import GatecastError

ALPHABET = "0123456789-+:.TZ /\\\"'=[]{}#,_\n\t\x00éD٣²"
WORDS = [
    "min",
    "h",
    "D",
    "B",
    "W-MON",
    "MS",
    "QE-DEC",
    "YS",
    "SME",
    "bh",
    "C",
    "1e",
    "inf",
    "nan",
    "2024-02-30",
    "24:00",
]
WORDS += ["bigquery://", "duckdb:", ".csv", ".parquet", ".duckdb", "*", "..", "America/New_York", "+14:00", "9" * 30]
WORDS += ["[source]", "[grid]", "freq =", "horizon =", "level = [", "url =", "true", "0x", "1979-05-27T07:32:00Z"]
TEXTS = st.lists(st.sampled_from([*ALPHABET, *WORDS]) | st.text(max_size=5), max_size=12).map("".join)


def named(verb, *given, **options):
    """The result of a verb, or None for a named error; anything else is a crash."""
    try:
        return verb(*given, **options)
    except GatecastError:
        return None


@given(text=TEXTS)
@example(text="²h")
@example(text="9" * 30 + "D")
def test_frequencies_are_read_or_refused(text):
    found = named(Frequency.parse, text)
    assert found is None or Frequency.parse(str(found)) == found


@given(text=TEXTS, instant=st.booleans(), freq=st.sampled_from(["h", "D", "W-MON", "MS", "QE-DEC", "B"]))
@example(text="", instant=False, freq="h")
@example(text="0000-00-00", instant=True, freq="MS")
@example(text="9999-12-31T23:59:59+14:00", instant=True, freq="QE-DEC")
def test_dates_are_read_or_refused(text, instant, freq):
    for zone in (None, "America/New_York"):
        grid = Grid(Frequency.parse(freq), zone)
        found = named(grid.moment, text, instant=instant)
        assert found is None or not np.isnat(found)
        step = named(grid.floor, text)
        assert step is None or named(grid.floor, grid.label(step)) == step


@given(text=TEXTS)
def test_zones_are_read_or_refused(text):
    named(Grid, Frequency.parse("D"), text or None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
@example(text="a\x00.csv")
@example(text="bigquery:////")
@example(text="x" * 5000 + ".csv")
def test_urls_are_opened_or_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere")
    store = named(open_store, text)
    assert store is None or store.close() is None
    assert not list(tmp_path.iterdir())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS | st.binary(max_size=40))
@example(text="a = " + "[" * 100_000)
@example(text="[forecast]\nlevel = nan")
@example(text="[forecast]\nhorizon = 1" + "0" * 5000)
def test_settings_files_are_read_or_refused(text, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="replace"))
    config = named(Config.from_toml, path)
    if config is not None:
        path.write_text(config.to_toml(), encoding="utf-8")
        assert Config.from_toml(path) == config


# Where squares still fit 32 bits; greater ones are in tests/test_hostile.py.
SPECIAL = [0.0, 1.0, 1e15, -1e15, 1e-30, math.nan, math.inf, None]
NUMBERS = st.floats(-1e15, 1e15) | st.sampled_from(SPECIAL) | st.floats(-100, 100)
STEPS = st.lists(st.integers(0, 90), min_size=0, max_size=90)


@st.composite
def tables(draw):
    """A few series of hours or days with holes, doubles, and values of all sizes; most of them regular."""
    parts = []
    for name in draw(st.lists(st.sampled_from(["a", "b", "", None, "it's"]), min_size=1, max_size=3, unique=True)):
        steps = draw(STEPS | st.integers(10, 90).map(lambda count: list(range(count))))
        some = draw(st.lists(NUMBERS, min_size=1, max_size=12))
        parts += [(step, name, some[i % len(some)]) for i, step in enumerate(steps)]
    unit = draw(st.sampled_from(["h", "D"]))
    at = np.datetime64("2024-03-01", "us") + np.array([step for step, *_ in parts], int) * np.timedelta64(1, unit)
    names, values = ([part[i] for part in parts] for i in (1, 2))
    return pa.table({"at": at, "k": pa.array(names, pa.string()), "y": pa.array(values, pa.float64())})


def zeros(*hours):
    """One series that is zero at some hours: nothing is observed where it is tested."""
    at = np.datetime64("2024-03-01", "us") + np.array(hours) * np.timedelta64(1, "h")
    return pa.table({"at": at, "k": ["a"] * len(hours), "y": [0.0] * len(hours)})


LATE = pa.table({"at": zeros(1488, 0, 0)["at"], "k": ["a", "a", "b"], "y": [0.0] * 3})
"""A series without rows where scales are fitted."""


@settings(max_examples=max(10, settings.default.max_examples // 10), suppress_health_check=list(HealthCheck))
@given(
    table=tables(),
    horizon=st.integers(1, 4),
    recipe=st.sampled_from(["segment", "classic"]),
    aggregate=st.sampled_from([None, "sum", "count", "last"]),
    fill=st.sampled_from([None, "zero", "forward", "interpolate"]),
    freq=st.sampled_from([None, "D", "h", "B"]),
)
@example(table=zeros(0, 1, 25, 28, 51), horizon=1, recipe="segment", aggregate=None, fill=None, freq=None)
@example(table=LATE, horizon=1, recipe="classic", aggregate=None, fill=None, freq="B")
@pytest.mark.filterwarnings("error")
def test_a_table_is_forecast_or_refused(table, horizon, recipe, aggregate, fill, freq):
    options = {"time": "at", "target": "y", "series": "k", "horizon": horizon, "aggregate": aggregate, "fill": fill}
    options |= {"freq": freq, "recipe": recipe, "epochs": 1, "steps": 1, "hidden": 4, "baselines": 0}
    named(audit, table, **options)
    model = named(fit, table, **options)
    if model is None:
        return
    rows = model.forecast().rows.to_pydict()
    assert len(rows["forecast_value"]) == 2 * horizon * len(model.keys)
    low, high = rows["prediction_interval_lower_bound"], rows["prediction_interval_upper_bound"]
    assert all(map(math.isfinite, [*low, *high, *rows["forecast_value"]]))
    assert all(a <= b for a, b in zip(low, high, strict=True))
