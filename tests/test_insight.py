"""Gates of a forecast: read off the model's own weights, from before the cutoff only, told in numbers that hold."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from gatecast import fit
from gatecast.data.dates import Frequency, Grid
from gatecast.data.panel import Panel
from gatecast.errors import UsageError
from gatecast.insight import Insight, inspect
from gatecast.nn.lstm import LSTM, Trace

TINY = {"horizon": 6, "epochs": 2, "steps": 4, "hidden": 8}
HOURLY = Grid(Frequency.parse("h"))


def waves(prefix="s"):
    rng, time = np.random.default_rng(0), np.tile(np.arange(240), 2)
    values = (20 + time / 50 + 3 * np.sin(time * np.pi / 12) + rng.normal(0, 0.3, 480)).astype(np.float32)
    keys = pa.table({"name": [f"{prefix}0", f"{prefix}1"]})
    return Panel(HOURLY, keys, values, np.array([0, 240, 480]), np.array([0, 0]))


@pytest.fixture(scope="module", params=[{"layers": 2}, {"recipe": "classic"}], ids=["segment", "classic"])
def model(request):
    return fit(waves(), **TINY, **request.param)


def traced(f, i=0.5, o=0.5, segment=4):
    """An insight whose gates are given, (K, L, U) or a number."""
    f = torch.as_tensor(f)[:, None]
    i, o = (torch.full_like(f, value) for value in (i, o))
    steps = np.arange(f.shape[2] * segment)
    return Insight(waves(), 0, steps, segment, Trace(i, f, o, i, i, i))


def gates(insight):
    return torch.stack([getattr(insight.trace, name) for name in "ifogch"])


def test_half_life_is_when_half_is_left():
    f = torch.tensor([[[0.5, 0.9], [0.5, 0.8], [0.5, 0.99]], [[0.25, 1.0], [1.0, 1.0], [0.5, 1.0]]])
    insight = traced(f)
    assert insight.half_lives[0, 0] == pytest.approx(4)  # a segment of four steps halves it
    assert insight.half_lives[1, 0] == pytest.approx(4)
    # After three segments the product of the gates is left; that is half to the power of the time over the half-life.
    assert 0.5 ** (12 / insight.half_lives[0, 1].item()) == pytest.approx(0.9 * 0.8 * 0.99, rel=1e-5)
    assert 1e6 < insight.half_lives[1, 1].item() < float("inf")  # never forgets
    table = insight.to_arrow().to_pylist()
    assert [(row["layer"], row["unit"]) for row in table[:2]] == [(2, 1), (1, 1)]
    assert table[1]["forget_gate"] == pytest.approx((0.9 + 0.8 + 0.99) / 3)


def test_the_table_holds_mean_gates():
    (row,) = traced(torch.tensor([[[0.25], [0.75]]]), i=0.1, o=0.9).to_arrow().to_pylist()
    expected = {"input_gate": 0.1, "forget_gate": 0.5, "output_gate": 0.9}
    assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_the_sentence_holds_the_numbers():
    short, long = (traced(torch.full((1, 3, 3), f)) for f in (0.5, 0.99))  # units alike
    assert short.sentence == (
        "read 12 steps in segments of 4. Half of the units have forgotten half of what they knew after 4 steps of h; "
        "the one that remembers longest after 4."
    )
    assert "after 276 steps of h" in long.sentence  # 4 ln 0.5 / ln 0.99
    assert long.sentence.endswith("That is longer than the context it reads.")


def test_it_looks_at_the_last_row_or_at_a_date(model):
    panel = model.panel
    context = model.config.model.context
    assert inspect(model, panel).steps.tolist() == list(range(240 - context, 240))
    past = inspect(model, panel, "s1", "1970-01-05 03:00")
    assert past.steps.tolist() == list(range(100 - context, 100))
    assert past.panel.names[past.series] == "s1"
    assert inspect(model, panel, at="2000-01-01").steps[-1] == 239
    assert past.trace.f.shape == (model.config.model.layers, 1, context // model.config.model.segment, 8)
    assert ((gates(past)[:3] > 0) & (gates(past)[:3] < 1)).all()


def test_it_traces_the_weights_that_forecast(model):
    tested = replace(model, final=model.tested)
    for at, same in (("1970-01-05 03:00", True), (None, False)):
        one, other = (gates(inspect(part, model.panel, "s0", at)) for part in (model, tested))
        assert torch.equal(one, other) is same


@pytest.mark.parametrize("prefix", ["s", "new"])
def test_rows_after_the_date_move_no_gate(model, prefix):
    panel = waves(prefix)
    for cutoff, same in ((150, True), (149, False)):  # 1970-01-07 06:00 is step 150
        late = np.tile(np.arange(240), 2) > cutoff
        changed = replace(panel, values=np.where(late, 1e4, panel.values).astype(np.float32))
        one, other = (gates(inspect(model, part, f"{prefix}1", "1970-01-07 06:00")) for part in (panel, changed))
        assert torch.equal(one, other) is same


def test_a_cell_that_differs_from_the_fast_path_is_noticed(model, monkeypatch):
    trace = LSTM.trace
    monkeypatch.setattr(LSTM, "trace", lambda lstm, x: replace(trace(lstm, x), h=trace(lstm, x).h + 0.001))
    with pytest.raises(AssertionError, match=r"differ by 0\.001"):
        inspect(model, model.panel)


def test_what_cannot_be_inspected(model):
    with pytest.raises(UsageError, match="no series 'tea'; there are s0, s1"):
        inspect(model, model.panel, "tea")
    with pytest.raises(UsageError, match="s0 begins 1970-01-01 00:00, after 1969-12-31"):
        inspect(model, model.panel, at="1969-12-31")


def test_the_figure_shows_the_gates_by_memory(model):
    insight = inspect(model, model.panel)
    axes = insight.figure().axes
    assert axes[0].lines[0].get_ydata().tolist() == model.panel.series(0)[-len(insight.steps) :].tolist()
    order = insight.half_lives[-1].argsort(descending=True)
    for part, name in zip(axes[1:4], "fio", strict=True):
        shown = np.asarray(part.images[0].get_array())
        assert shown == pytest.approx(getattr(insight.trace, name)[-1, 0][:, order].numpy().T)
