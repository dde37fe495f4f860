"""A forecast from the inside: the weights that made it, from before the cutoff only; and what is planted is found."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from gatecast import fit
from gatecast.data.dates import Frequency, Grid
from gatecast.data.panel import Panel
from gatecast.errors import DataError, UsageError
from gatecast.insight import CAPTIONS, MAX_WINDOWS

TINY = {"horizon": 6, "epochs": 2, "steps": 4, "hidden": 8}


def waves(prefix="s", size=240):
    rng, time = np.random.default_rng(0), np.tile(np.arange(size), 2)
    values = (20 + time / 50 + 3 * np.sin(time * np.pi / 12) + rng.normal(0, 0.3, 2 * size)).astype(np.float32)
    keys = pa.table({"name": [f"{prefix}0", f"{prefix}1"]})
    return Panel(Grid(Frequency.parse("h")), keys, values, np.array([0, size, 2 * size]), np.array([0, 0]))


@pytest.fixture(scope="module", params=[{"layers": 2}, {"recipe": "classic"}], ids=["segment", "classic"])
def model(request):
    return fit(waves(), **TINY, **request.param)


def traces(insight):
    return torch.stack([getattr(insight.gates.trace, name) for name in "ifogch"])


def test_it_looks_at_the_last_row_or_at_a_date(model):
    reach = model.config.model.reach
    assert model.inspect().gates.steps.tolist() == list(range(240 - reach, 240))
    past = model.inspect(series="s1", at="1970-01-05 03:00")
    assert past.gates.steps.tolist() == list(range(100 - reach, 100))
    assert past.panel.names[past.series] == "s1"
    assert repr(past) == "<Insight: the forecast of s1 from 1970-01-05 03:00>"
    assert model.inspect(at="2000-01-01").gates.steps[-1] == 239
    recurrent = 4 if model.config.model.recipe == "segment" else reach  # a day in quarters, as half of the networks do
    assert past.gates.trace.f.shape == (model.config.model.layers, 1, recurrent, 8)
    assert not (past.memory.kept % model.config.model.segment).any()  # what --context may be
    assert ((traces(past)[:3] > 0) & (traces(past)[:3] < 1)).all()


def test_it_explains_the_forecast_that_is_made(model):
    for at in (None, "1970-01-05 03:00"):
        found = model.inspect(series="s1", at=at).attribution
        table = model.forecast(horizon=6, as_of=at, series=["s1"]).to_pandas()
        made = table["forecast_value"].to_numpy()[::2]
        assert found.forecast.numpy() == pytest.approx(made, rel=1e-4)
        assert found.error < 0.01


def test_it_looks_into_the_weights_that_forecast(model):
    tested = replace(model, final=model.tested)
    for at, same in (("1970-01-05 03:00", True), (None, False)):
        one, other = (traces(part.inspect(series="s0", at=at)) for part in (model, tested))
        assert torch.equal(one, other) is same


def test_memory_is_of_the_weights_that_never_saw_the_windows(model):
    one, other = model.inspect(), replace(model, final=model.tested).inspect()
    assert one.memory.accuracy["shuffled"] == other.memory.accuracy["shuffled"]
    assert len(one.memory.truth) == 2 * (36 - 5)  # all cutoffs of the test part of both series
    assert len(model.inspect(waves(size=900)).memory.truth) == MAX_WINDOWS


@pytest.mark.parametrize("prefix", ["s", "new"])
def test_rows_after_the_date_move_nothing(model, prefix):
    panel = waves(prefix)
    for cutoff, same in ((150, True), (149, False)):  # 1970-01-07 06:00 is step 150
        late = np.tile(np.arange(240), 2) > cutoff
        changed = replace(panel, values=np.where(late, 1e4, panel.values).astype(np.float32))
        one, other = (model.inspect(part, series=f"{prefix}1", at="1970-01-07 06:00") for part in (panel, changed))
        assert torch.equal(traces(one), traces(other)) is same
        assert torch.equal(one.attribution.context, other.attribution.context) is same


def test_what_cannot_be_inspected(model):
    with pytest.raises(UsageError, match="no series 'tea'; there are s0, s1"):
        model.inspect(series="tea")
    with pytest.raises(UsageError, match="s0 begins 1970-01-01 00:00, after 1969-12-31"):
        model.inspect(at="1969-12-31")
    with pytest.raises(DataError, match="no series has 6 steps after those the weights have seen"):
        model.inspect(waves(size=205))
    with pytest.raises(UsageError, match="no rows at hand"):
        replace(model, panel=None).inspect()


def test_the_table_has_a_row_for_each_unit_the_longest_memory_first(model):
    insight = model.inspect()
    table, lives = insight.to_arrow().to_pandas(), insight.gates.half_lives
    assert table["half_life_steps"].is_monotonic_decreasing
    for row in table.to_dict("records"):
        place = row["layer"] - 1, row["unit"]
        assert row["half_life_steps"] == pytest.approx(lives[place].item())
        assert row["half_life"] == insight.panel.grid.frequency.spell(lives[place].item())
        for name in ("input_gate", "forget_gate", "output_gate"):
            gate = getattr(insight.gates.trace, name[0])
            assert row[name] == pytest.approx(gate[place[0], 0, :, place[1]].mean().item())
        found = insight.following[place[0] * lives.shape[1] + place[1]]
        assert row["follows"] == (found and found[0])
        assert found is None or row["correlation"] == found[1] >= 0.5**0.5 or row["correlation"] <= -(0.5**0.5)


def test_all_of_it_is_written(model, tmp_path):
    insight = model.inspect()
    insight.write(tmp_path)
    names = {f"{name}.{ending}" for name in CAPTIONS for ending in ("png", "svg")} | {"inspection.json"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert all(path.stat().st_size < 200_000 for path in tmp_path.iterdir())
    told = json.loads((tmp_path / "inspection.json").read_text())
    assert told["sentences"] == list(insight.sentences)
    assert [row["share"] for row in told["segments"]] == pytest.approx(insight.attribution.shares[0].tolist())
    assert sum(row["share"] for row in told["segments"]) + sum(told["covariates"].values()) == pytest.approx(1)
    assert [row["kept"] for row in told["memory"]] == insight.memory.kept.tolist()
    assert [row["error_ratio"] for row in told["memory"]] == [part.value for part in insight.memory.ratios]
    assert all(row["low"] <= row["error_ratio"] <= row["high"] for row in told["memory"])
    assert told["memory"][0]["accuracy_hidden"] is None
    assert (told["cutoff"], told["enough"]) == ("1970-01-10 23:00", insight.memory.enough)
    assert told["segments"][-1]["from"] == insight.panel.grid.label(240 - insight.gates.segment)


def test_what_few_windows_cannot_tell_is_null(model):
    insight = model.inspect()
    assert None not in (insight.to_dict()["enough"], insight.to_dict()["shorter"])
    vars(insight.memory)["few"] = True
    assert insight.to_dict()["enough"] is insight.to_dict()["shorter"] is None


def planted(strength):
    """Quarter-hours of which each is the value thirty steps back, as far as the strength goes, and noise."""
    values = np.random.default_rng(0).normal(size=3000)
    for step in range(30, 3000):
        values[step] = strength * values[step - 30] + np.sqrt(1 - strength**2) * values[step]
    grid = Grid(Frequency.parse("15min"))
    return Panel(grid, pa.table({}), (100 + 10 * values).astype(np.float32), np.array([0, 3000]), np.array([0]))


SMALL = {"members": 1, "context": 48, "segment": 6, "seasons": (), "hidden": 16, "dropout": 0.0, "refit": False}
FAST = {"horizon": 1, "epochs": 4, "steps": 60, "batch": 64, "rate": 0.01, "synthetic": 0}


def test_a_value_thirty_steps_back_is_found():
    model = fit(planted(0.9), **SMALL, **FAST)
    insight = model.inspect()
    (found,) = insight.memory.stretches
    assert found == (25, 30, pytest.approx(0.9, abs=0.1))
    assert insight.memory.ratios[5].value < 1.05 < 1.5 < insight.memory.ratios[4].low
    assert "comes from steps 25 to 30 (" in insight.sentences[0]
    given = torch.cat([model.inspect(at=model.grid.label(step)).attribution.context for step in range(2950, 3000, 5)])
    share = given.abs().sum(0) / given.abs().sum()
    assert share.argmax() == 48 - 30
    assert share[48 - 30] > 0.35


def test_in_noise_nothing_is_found_and_said():
    insight = fit(planted(0.0), **SMALL, **FAST).inspect()
    assert (insight.memory.enough, insight.memory.stretches) == (0, [])
    assert insight.memory.ratios[0].value == pytest.approx(1, abs=0.05)
    assert insight.sentences[0].startswith("Nothing in the context helps measurably: with all 48 steps shuffled")
    assert "take that for noise" in insight.sentences[1] or "hardly moved" in insight.sentences[1]
