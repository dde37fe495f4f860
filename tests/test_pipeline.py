"""The verbs from end to end: any source, the same answer; nothing learnt from what is held back."""

import json
from dataclasses import replace

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest
import torch

from gatecast import Config, audit, backtest, fit, load, pipeline, read, reading, steps
from gatecast.errors import DataError, UsageError
from gatecast.listener import SILENT, Listener
from gatecast.training import Trained

NAMES = {"time": "at", "target": "y", "series": "name"}
TINY = NAMES | {"horizon": 6, "epochs": 2, "steps": 4, "hidden": 8}
DAY = np.datetime64("2024-01-01", "us")
HOUR = np.timedelta64(1, "h")


def waves(hours=240, series=2, first=0, prefix="s"):
    """Hourly rows: a daily wave with noise for each series, the same however many hours are asked for."""
    names = np.repeat(np.arange(series), hours)
    steps = np.tile(np.arange(first, first + hours), series)
    noise = np.random.default_rng(0).normal(0, 0.3, (series, 1_000))[names, steps]
    values = 10 * (names + 1) + 3 * np.sin(2 * np.pi * steps / 24) + noise
    return pa.table({"at": DAY + steps * HOUR, "name": [f"{prefix}{i}" for i in names], "y": values})


def database(path, rows):
    with duckdb.connect(str(path)) as connection:
        connection.register("rows", rows)
        connection.execute("CREATE TABLE t AS SELECT * FROM rows")
    return path


def answer(model):
    """What a model forecasts, whoever it is."""
    table = model.forecast(horizon=8).rows
    return table.drop_columns(["run_id"])


def weights(model):
    parts = {name: fitted.network.state_dict() for name, fitted in (("tested", model.tested), ("final", model.final))}
    return torch.cat([tensor.ravel() for state in parts.values() for tensor in state.values()])


@pytest.fixture(scope="module")
def model():
    return fit(waves(), **TINY)


@pytest.mark.parametrize("kind", ["duckdb", "csv", "pandas", "polars", "arrow", "panel", "config", "shuffled"])
def test_every_source_gives_the_same_forecasts(model, kind, tmp_path):
    rows, options = waves(), TINY
    match kind:
        case "duckdb":
            source, options = database(tmp_path / "x.duckdb", rows), TINY | {"table": "t"}
        case "csv":
            source = str(tmp_path / "rows.csv")
            pyarrow.csv.write_csv(rows, source)
        case "pandas":
            source = rows.to_pandas()
        case "polars":
            source = pl.from_arrow(rows)
        case "arrow":
            source = rows
        case "panel":
            source, options = read(rows, **NAMES), {name: TINY[name] for name in TINY.keys() - NAMES.keys()}
        case "config":
            url = str(database(tmp_path / "x.duckdb", rows))
            source, options = Config.from_options(url, TINY | {"sql": "FROM t"}), {}
        case "shuffled":
            source = rows.take(np.random.default_rng(0).permutation(rows.num_rows))
    found = fit(source, **options)
    assert answer(found).equals(answer(model))
    assert torch.equal(weights(found), weights(model))


def test_the_seed_decides(model):
    assert torch.equal(weights(fit(waves(), **TINY, seed=1)), weights(model))
    other = fit(waves(), **TINY, seed=2)
    assert not torch.equal(weights(other), weights(model))
    assert not answer(other).equals(answer(model))


def test_the_final_weights_train_as_long_as_validation_says(monkeypatch):
    monkeypatch.setattr(Trained, "refit_epochs", 1)
    lines = fit(waves(), **TINY).evidence["history"]
    assert [(line["stage"], line["epoch"]) for line in lines] == [("test", 1), ("test", 2), ("final", 1)]


def test_the_callers_random_numbers_and_rows_are_left_alone(model):
    torch.manual_seed(3)
    np.random.seed(3)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()
    frame = waves().to_pandas()
    before = frame.copy()
    found = fit(frame, **TINY)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]
    pd.testing.assert_frame_equal(frame, before)
    assert torch.equal(weights(found), weights(model))  # whatever the caller's seed was


SET = {
    "a default device": lambda: torch.device("meta"),
    "inference": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}
"""What callers may have set in torch for their own work."""


@pytest.mark.parametrize("name", SET)
def test_what_the_caller_has_set_in_torch_changes_nothing(model, name, tmp_path):
    model.save(tmp_path / "run")
    plain = model.inspect().to_dict()
    with SET[name]():
        settings = torch.get_default_device(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")
        assert torch.equal(weights(fit(waves(), **TINY)), weights(model))
        loaded = replace(load(tmp_path / "run"), panel=model.panel)
        assert answer(loaded).equals(answer(model))
        assert model.inspect().to_dict() == plain
        assert settings == (torch.get_default_device(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"))


def test_a_default_type_that_is_of_all_threads_is_refused(model, tmp_path):
    model.save(tmp_path / "run")
    torch.set_default_dtype(torch.float64)
    try:
        for work in (lambda: fit(waves(), **TINY), lambda: load(tmp_path / "run"), model.forecast, model.inspect):
            with pytest.raises(UsageError, match=r"torch's default type is torch\.float64, and Gatecast needs"):
                work()
    finally:
        torch.set_default_dtype(torch.float32)


def test_options_win_over_a_config(tmp_path):
    config = Config.from_options(database(tmp_path / "x.duckdb", waves()), TINY)
    found = fit(config, seed=2)
    assert found.config.training.seed == 2
    assert torch.equal(weights(found), weights(fit(waves(), **TINY, seed=2)))
    assert fit(config, time_limit="25s").config.training.baselines == 25  # a default that depends on another setting


@pytest.mark.parametrize(("limit", "steps"), [(1e-9, 1), (0.4, 8)])
def test_final_weights_that_learned_much_less_than_the_tested_ones_are_told(limit, steps, monkeypatch):
    monkeypatch.setattr("gatecast.fitting.REFIT_SHARE", limit)
    listener, notes = Listener(), []
    listener.note = notes.append
    rows = reading.read_rows(Config.from_options(None, TINY), waves(), audited=True)
    made, _ = pipeline._fit(rows, listener)
    told = [note for note in notes if "time was short for the final weights" in note]
    assert made.evidence["manifest"]["training"]["hurried"] == (steps < 8)
    assert [note.partition(";")[0].partition(": ")[2] for note in told] == (
        ["they took 1 step of 8, the tested ones 8"] if steps < 8 else []
    )


def test_a_test_of_unchanged_rows_is_the_test_of_the_run(tmp_path):
    source = database(tmp_path / "x.duckdb", waves())
    made = fit(source, run=tmp_path / "run", table="t", **TINY)
    found, verdict = pipeline.test(load(tmp_path / "run"))
    told = made.evidence["metrics"]
    assert found.metrics() == {name: told[name] for name in told if name != "verdict"}
    assert verdict.sentence == told["verdict"]["sentence"]


def test_the_verdict_is_told_the_epoch_that_was_kept(tmp_path, monkeypatch):
    judge, told = pipeline.judge, []
    for module in (pipeline, steps):
        monkeypatch.setattr(module, "judge", lambda *given: told.append(given[2]) or judge(*given))
    made = fit(database(tmp_path / "x.duckdb", waves()), run=tmp_path / "run", table="t", **TINY)
    pipeline.test(load(tmp_path / "run"))
    assert told == [made.evidence["manifest"]["training"]["best"]] * 2


def test_newest_rows_are_forecast_from_and_tested_on_without_training(tmp_path, monkeypatch):
    source = database(tmp_path / "x.duckdb", waves())
    fit(source, run=tmp_path / "run", table="t", **TINY)
    with duckdb.connect(str(source)) as connection:
        connection.register("more", waves(30, first=240))
        connection.execute("INSERT INTO t SELECT * FROM more")
    monkeypatch.setattr("gatecast.fitting.train", None)
    model = load(tmp_path / "run")
    rows = model.forecast(pipeline.newest(model)).rows
    assert rows["cutoff"][0].as_py() == pd.Timestamp("2024-01-12 05:00")
    assert rows["forecast_timestamp"][0].as_py() == pd.Timestamp("2024-01-12 06:00")
    found, _ = pipeline.test(model)
    last = 269 + int(DAY.astype("datetime64[h]").astype(int))
    assert found.cutoffs.max() == last - 6
    assert found.cutoffs.min() == last - 269 + 203


def test_a_new_series_is_tested_without_a_look_at_its_test_rows():
    model = fit(waves(), **TINY, recipe="classic")
    panel = read(waves(prefix="new"), **NAMES)
    values = np.where(np.arange(480) % 240 == 239, 1_000, panel.values).astype(np.float32)
    (one, _), (other, _) = (pipeline.test(model, part) for part in (panel, replace(panel, values=values)))
    assert (one.cutoffs == other.cutoffs).all()
    assert (one.quantiles == other.quantiles).all()


def test_nothing_to_test_on_is_an_error(model):
    panel = read(waves(205), **NAMES)  # two steps after those that the weights have seen
    with pytest.raises(DataError, match="no series has 6 steps after those the weights have seen"):
        pipeline.test(model, panel)


def test_a_backtest_forecasts_from_past_cutoffs():
    found = backtest(waves(), windows=4, stride=5, **TINY)
    last = int((DAY + 239 * HOUR).astype("datetime64[h]").astype(int))
    assert found.series.tolist() == [0] * 4 + [1] * 4
    assert found.cutoffs.tolist() == [last - 6 - 5 * back for back in (3, 2, 1, 0)] * 2
    rows = waves()["y"].to_numpy().reshape(2, 240).astype(np.float32)
    assert found.truth[3].tolist() == rows[0, -6:].tolist()
    assert found.truth[4].tolist() == rows[1, 240 - 6 - 15 : 240 - 15].tolist()
    assert [part.tolist() for part in np.diff(backtest(waves(), windows=3, **TINY).cutoffs.reshape(2, 3))] == [
        [6, 6]
    ] * 2


@pytest.mark.parametrize("recipe", ["segment", "classic"])
def test_a_backtest_does_not_leak(recipe):
    table = waves()
    late = np.tile(np.arange(240), 2) > 239 - 6 - 10  # after the second of four cutoffs
    changed = table.set_column(2, "y", pa.array(np.where(late, -1e6, table["y"].to_numpy())))
    one, other = (backtest(part, windows=4, stride=5, recipe=recipe, **TINY) for part in (table, changed))
    before = np.tile([True, True, False, False], 2)
    assert (one.quantiles[before] == other.quantiles[before]).all()
    for name, found in one.baselines.items():
        assert (found[before] == other.baselines[name][before]).all()
    assert (one.mase_scale == other.mase_scale).all()
    assert (one.quantiles[~before] != other.quantiles[~before]).any()


def test_a_backtest_leaves_out_cutoffs_before_a_series_began():
    short = waves(30, 1, first=210, prefix="short")
    found = backtest(pa.concat_tables([waves(), short]), windows=10, **TINY)
    assert (found.cutoffs >= found.panel.starts[found.series]).all()


def test_a_backtest_needs_history():
    with pytest.raises(DataError, match=r"40 cutoffs, 6 steps apart, holds back 240 steps.*the longest series has 240"):
        backtest(waves(), windows=40, **TINY)


class Stopping(Listener):
    """Presses Ctrl-C in the second epoch."""

    def epoch(self, epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt


def test_later_runs_have_greater_names(monkeypatch, make_frame):
    config = Config.from_options(None, {"time": "at", "target": "y", "series": "name", "horizon": 6})
    began = pipeline.time.time_ns()
    names = []
    for seconds in (0, 1, 86_400, 50 * 366 * 86_400):
        monkeypatch.setattr(pipeline.time, "time_ns", lambda seconds=seconds: began + seconds * 10**9)
        names.append(pipeline._read(config, make_frame(), SILENT, None).run_id)
    assert names == sorted(set(names))
    assert min(names) > "f" * 12  # names were drawn, twelve digits each
    assert {len(name) for name in names} == {16}
    at_once = {pipeline._read(config, make_frame(), SILENT, None).run_id for _ in range(3)}
    assert len(at_once) == 3


def test_ctrl_c_leaves_no_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(waves(), run=tmp_path / "run", listener=Stopping(), **TINY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_a_device_that_is_not_there():
    with pytest.raises(UsageError, match="there is no cuda device here: use --device auto"):
        fit(waves(), **TINY, device="cuda")


def test_a_processor_that_has_no_bf16(monkeypatch):
    monkeypatch.setattr(pipeline, "multiplies_halved", lambda device: False)
    with pytest.raises(UsageError, match="the cpu device here has no bf16 for an LSTM: leave out --precision bf16"):
        fit("no/such/file.csv", **TINY, device="cpu", precision="bf16")  # before anything is read


class Hearing(Listener):
    """Keeps the numbers of the steps."""

    def __init__(self):
        self.heard = []

    def step(self, number, title, found):
        self.heard.append(number)


@pytest.mark.parametrize(("members", "told"), [(1, "; it reads"), (2, "; every other network reads")])
def test_one_network_is_no_every_other(members, told):
    seventh = {}
    listener = Listener()
    listener.step = lambda number, _, found: seventh.setdefault(number, found)
    fit(waves(), listener=listener, members=members, logs=True, refit=False, **TINY)
    assert seventh[7].endswith(f"{told} logarithms")


def test_a_series_of_zeros_is_forecast_as_zero(tmp_path):
    table, hearing = waves(series=1), Hearing()
    zeros = table.set_column(2, "y", pa.array(np.zeros(240)))
    model = fit(zeros, run=tmp_path / "run", listener=hearing, **TINY)
    assert hearing.heard == list(range(1, 11))
    assert model.forecast().rows["forecast_value"].to_pylist() == pytest.approx([0] * 12, abs=1e-3)
    assert model.evidence["metrics"]["overall"]["accuracy"] is None
    for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_an_audit_counts_what_is_wrong():
    table = waves(100)
    rows = pa.concat_tables([table.slice(0, 50), table.slice(53), table.slice(0, 2)])
    found = audit(rows, **NAMES)
    assert (found.rows, found.series, found.steps, found.frequency) == (199, 2, 200, "h")
    assert (found.first, found.last) == ("2024-01-01 00:00", "2024-01-05 03:00")
    counts = {finding.name: finding.count for finding in found.findings}
    assert counts == {"rows on a step that another row has": 2, "missing steps": 3}


def test_a_backtest_that_trains_anew_sees_what_came_before_each_cutoff():
    table = waves()
    once, anew = (backtest(table, windows=3, stride=5, retrain=retrain, **TINY) for retrain in (False, True))
    for name in ("series", "cutoffs", "truth"):
        assert np.array_equal(getattr(anew, name), getattr(once, name))
    assert np.array_equal(anew.baselines["seasonal_naive"], once.baselines["seasonal_naive"])
    # The first cutoff is trained for in the same way; batches of another size round another way.
    assert anew.quantiles[::3] == pytest.approx(once.quantiles[::3], rel=1e-5)
    assert (anew.quantiles[2::3] != once.quantiles[2::3]).any()
    late = np.tile(np.arange(240), 2) > 239 - 6 - 5  # after the second of three cutoffs
    changed = table.set_column(2, "y", pa.array(np.where(late, -1e6, table["y"].to_numpy())))
    other = backtest(changed, windows=3, stride=5, retrain=True, **TINY)
    before = np.tile([True, True, False], 2)
    assert (other.quantiles[before] == anew.quantiles[before]).all()


def test_figures_are_functions(model):
    figure = model.plot(series="s1")
    assert figure.axes[0].get_title(loc="left") == "s1"
    assert len(figure.axes[0].lines[1].get_ydata()) == 6
    found = backtest(waves(), windows=3, **TINY)
    numbered = replace(found, panel=replace(found.panel, keys=pa.table({"name": [7, 12]})))
    for figure in (found.plot(series="s1"), numbered.plot(series=12)):
        lines = {line.get_label(): line for line in figure.axes[0].lines}
        assert lines["forecast"].get_ydata() == pytest.approx(found.points[-1])
        assert lines["observed"].get_ydata()[-6:] == pytest.approx(found.truth[-1])
    with pytest.raises(UsageError, match=r"^no series 'x'; there are s0, s1$"):
        found.plot(series="x")
    first = {name: getattr(found, name)[:3] for name in ("series", "cutoffs", "truth", "quantiles")}
    naive = {name: part[:3] for name, part in found.baselines.items()}
    with pytest.raises(UsageError, match=r"^no series 's1' was tested; there are s0$"):
        replace(found, baselines=naive, mase_scale=np.ones(3), rmsse_scale=np.ones(3), **first).plot(series="s1")


@pytest.mark.parametrize(
    "wrong", [{"windows": 2.0}, {"stride": 1.5}, {"windows": "2"}, {"windows": 0}, {"windows": None}]
)
def test_windows_and_strides_are_whole_numbers(wrong):
    with pytest.raises(UsageError, match=r"^windows and stride must be whole numbers of 1 or more, got "):
        backtest(waves(), **wrong, **TINY)
