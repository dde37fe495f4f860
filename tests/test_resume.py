"""Training that was stopped, at whatever moment and however, goes on to the same weights, bit for bit."""

import errno
import multiprocessing
import os
import re
import shutil
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import golden
from failing import failing_at
from gatecast import Config, checkpoint, fit, kept_rows, load, recipe, training
from gatecast.checkpoint import Checkpoints
from gatecast.errors import DataError, RunError, TrainingError, UsageError
from gatecast.listener import SILENT, Listener
from gatecast.reading import read_rows
from gatecast.schedule import Schedule

EPOCHS, STEPS = 6, 5
SETTINGS = golden.COLUMNS | {"horizon": 3, "epochs": EPOCHS, "steps": STEPS, "hidden": 8, "members": 2, "baselines": 0}
SETTINGS |= {"rate": 0.1, "seed": 53}  # with which the fourth epoch is the best of the tested weights
EACH = {"checkpoint_every": 0}  # at the end of every epoch


def slow(*cases):
    """Cases for `make test-all`."""
    return [pytest.param(*(case if isinstance(case, tuple) else [case]), marks=pytest.mark.slow) for case in cases]


class Hearing(Listener):
    """Keeps what was noted."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def weights(model):
    """All of a run that is learnt: both sets of weights, and how they are calibrated."""
    parts = {"tested": model.tested, "final": model.final}
    learnt = {f"{name}.{key}": part for name, one in parts.items() for key, part in one.network.state_dict().items()}
    return learnt | {
        f"{name}.{key}": getattr(one, key) for name, one in parts.items() for key in ("stretch", "flat_stretch")
    }


def same(model, other):
    one, two = weights(model), weights(other)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def history(model):
    """What each epoch gave, but for the clock."""
    lines = model.evidence["history"]
    return [{name: line[name] for name in line.keys() - {"seconds", "windows_per_second"}} for line in lines]


def checkpoints(run, kind=""):
    """The files of a stopped training, the newest first."""
    return sorted(run.parent.glob(f".{run.name}.????????/checkpoint/{kind}*.safetensors"), reverse=True)


@pytest.fixture(autouse=True, scope="module")
def choosable():
    """Validation chooses, however little these small tables leave to it: the best weights have to be kept too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "CHOOSABLE", 1)
        yield


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    """A run of the same settings, and how long it takes."""
    began = time.monotonic()
    model = fit(golden.rows(), run=tmp_path_factory.mktemp("runs") / "run", **SETTINGS, **EACH)
    return model, time.monotonic() - began


@pytest.fixture
def stop(tmp_path):
    """Stop a training as it takes a step."""

    def stopped(number, error=SystemError, listener=SILENT, **settings):
        with failing_at(number, error), pytest.raises(error):
            fit(golden.rows(), run=tmp_path / "run", listener=listener, **SETTINGS | EACH | settings)
        return tmp_path / "run"

    return stopped


@pytest.mark.parametrize("step", [1, 28, 40, *slow(16, 31)])  # 30 of the tested weights, then 30 of the final ones
def test_training_that_is_stopped_at_any_step_goes_on_to_the_same_run(stop, step, never_stopped):
    run = stop(step)
    with pytest.raises(RunError, match="no run at"):
        load(run)
    model = fit(resume=run)
    assert model.evidence["manifest"]["training"]["best"] == 4
    assert same(model, never_stopped[0])
    assert history(model) == history(never_stopped[0])
    assert model.evidence["metrics"] == never_stopped[0].evidence["metrics"]
    assert same(load(run), model)
    assert [path.name for path in run.parent.iterdir()] == ["run"]
    assert not (run / "checkpoint").exists()


def test_synthetic_windows_are_drawn_on_from_where_training_stopped(stop, tmp_path):
    whole = fit(golden.rows(), run=tmp_path / "whole", **SETTINGS, **EACH, synthetic=40)
    model = fit(resume=stop(13, synthetic=40))
    assert history(model) == history(whole)
    assert same(model, whole)


@pytest.mark.parametrize("step", [3, 8])  # before and after the first checkpoint
def test_ctrl_c_says_how_to_go_on_if_something_was_trained(stop, step):
    hearing = Hearing()
    run = stop(step, KeyboardInterrupt, hearing)
    told = f"what was trained is kept: gatecast fit --resume {run} goes on from there"
    assert hearing.notes == ([told] if step > STEPS else [])
    assert bool(list(run.parent.iterdir())) == (step > STEPS)


def train(run):
    """In a process of its own: begin, or go on."""
    training.CHOOSABLE = 1
    if checkpoints(run, "rows"):
        fit(resume=run)
    else:
        fit(golden.rows(), run=run, **SETTINGS, **EACH)


@pytest.mark.parametrize("kills", [3, *slow(20)])
def test_training_that_is_killed_again_and_again_ends_as_if_never_stopped(tmp_path, never_stopped, kills):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gatecast.pipeline", "test_resume"])
    rng, run, done, seen = np.random.default_rng(kills), tmp_path / "run", 0, []
    while done < kills:
        process = context.Process(target=train, args=(run,))
        process.start()
        files = rng.integers(1, 6)  # the rows, and one or two checkpoints of one or two stages
        while process.is_alive() and len(checkpoints(run)) < files:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, never_stopped[1] / 16))  # waited longer, and all of training is over
        process.kill()
        process.join()
        done += process.exitcode < 0
        seen.append(len(checkpoints(run)))
        if seen[-1] == 5:
            train(run)  # to its end
        if run.exists():  # then once more from the beginning
            assert same(load(run), never_stopped[0])
            shutil.rmtree(run)
    train(run)
    assert same(load(run), never_stopped[0])
    assert len(set(seen)) > 1  # killed at different moments
    assert {path.name for path in tmp_path.iterdir()} <= {"run", ".run.lock"}


@pytest.mark.parametrize(("harm", "torn"), [("cut short", 1), ("empty", 2), ("endless", 1), *slow(("one bit", 1))])
def test_a_torn_checkpoint_gives_way_to_the_one_before_it(stop, harm, torn, never_stopped):
    run, hearing = stop(4 * STEPS + 2), Hearing()
    files = checkpoints(run, "test")
    assert [path.name[:13] for path in files] == ["test-00000004", "test-00000003"]
    for path in files[:torn]:
        whole = path.read_bytes()
        flipped = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
        path.write_bytes({"cut short": whole[: len(whole) // 2], "empty": b"", "one bit": flipped}.get(harm, whole))
        if harm == "endless":
            os.truncate(path, 200 * 2**30)
    assert same(fit(resume=run, listener=hearing), never_stopped[0])
    assert len(hearing.notes) == torn
    assert re.fullmatch(r"checkpoint test-00000004-\w{16}.safetensors is not as it was written: .*", hearing.notes[0])


def test_a_forecast_from_a_training_that_was_stopped_names_the_command_that_completes_it(stop):
    run = stop(12)
    with pytest.raises(
        RunError, match=rf"no run at {run}: its training is not complete: .*fit --resume {run}` goes on"
    ):
        load(run)


def test_rows_that_are_torn_are_not_trained_on(stop):
    run = stop(12)
    (kept,) = checkpoints(run, "rows")
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(RunError, match=r"has kept no rows: start it again"):
        fit(resume=run)


def test_a_disk_that_is_full_costs_only_checkpoints(tmp_path, monkeypatch, never_stopped):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    hearing = Hearing()
    monkeypatch.setattr(checkpoint, "put", full)
    model = fit(golden.rows(), run=tmp_path / "run", listener=hearing, **SETTINGS, **EACH)
    assert same(model, never_stopped[0])
    assert len(hearing.notes) == 2  # without rows there is nothing to resume, so that no other is tried
    assert "could not be written ([Errno 28] No space left on device): training goes on" in hearing.notes[0]
    assert hearing.notes[1] == "its rows could not be kept: this training cannot be resumed if it is stopped"


@pytest.mark.parametrize("error", [SystemError, KeyboardInterrupt])
def test_a_training_whose_rows_found_no_room_leaves_nothing_to_resume(stop, monkeypatch, error):
    def full(path, content):
        if path.name.startswith("rows"):
            raise OSError(errno.ENOSPC, "No space left on device")
        put(path, content)

    put, hearing = checkpoint.put, Hearing()
    monkeypatch.setattr(checkpoint, "put", full)
    run = stop(40, error, hearing)
    assert not any("--resume" in note for note in hearing.notes)
    assert list(run.parent.iterdir()) == []


def test_a_disk_that_is_full_at_the_end_loses_no_training(tmp_path, monkeypatch, never_stopped):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        with pytest.raises(RunError, match=r"could not be written, gatecast fit --resume .*run goes on .*No space"):
            fit(golden.rows(), run=run, **SETTINGS)
    monkeypatch.setattr(Schedule, "__call__", full)  # no step is taken again
    assert same(fit(resume=run), never_stopped[0])


def test_a_disk_that_is_full_from_the_beginning_leaves_nothing_to_resume(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"could not be written, nothing was left behind: .*No space"):
        fit(golden.rows(), run=tmp_path / "run", **SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_by_default_no_checkpoint_is_due_in_half_a_minute_but_where_a_stage_ends(stop):
    kinds = [path.name[:13] for path in checkpoints(stop(EPOCHS * STEPS + 7, checkpoint_every=None))]
    assert kinds == ["test-00000006", "rows-00000000"]


def test_there_is_nothing_to_resume(stop, tmp_path, never_stopped):
    with pytest.raises(RunError, match=r"nothing to resume: no training of \S*other was stopped; gatecast fit"):
        fit(resume=tmp_path / "other")
    run = stop(12)
    with pytest.raises(RunError, match="nothing to resume"):
        fit(resume=tmp_path / "other")
    for more in ({"source": golden.rows()}, {"run": run}, {"overwrite": True}, {"seed": 3}):
        with pytest.raises(UsageError, match="give nothing else"):
            fit(resume=run, **more)
    never_stopped[0].save(tmp_path / "other")
    with pytest.raises(RunError, match=r"other holds a complete run: there is nothing to resume"):
        fit(resume=tmp_path / "other")


def test_a_run_that_stands_is_replaced_when_the_training_that_was_to_replace_it_is_whole(stop, never_stopped):
    run = stop(12)
    model = fit(golden.rows(), run=run.with_name("old"), **SETTINGS | {"epochs": 1})
    run.with_name("old").rename(run)  # as if --overwrite had been given
    assert same(load(run), model)
    assert same(fit(resume=run), never_stopped[0])
    assert same(load(run), never_stopped[0])


def test_what_was_stopped_is_gone_after_the_next_training_that_is_whole(stop, tmp_path):
    run = stop(12)
    with pytest.raises(DataError, match="too little history"):
        fit(golden.rows(), run=run, **SETTINGS | {"horizon": 30})
    assert checkpoints(run)
    other = tmp_path / "run.x"  # whose name only begins the same
    hearing, again = Hearing(), Hearing()
    fit(golden.rows(), run=other, listener=hearing, **SETTINGS | {"epochs": 1})
    assert checkpoints(run)
    fit(golden.rows(), run=run, listener=again, **SETTINGS | {"epochs": 1})
    assert not [note for note in hearing.notes if "--resume" in note]
    assert [note for note in again.notes if f"gatecast fit --resume {run} continues it instead" in note]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.x"]


def test_training_that_cannot_go_on_leaves_nothing(tmp_path):
    with pytest.raises(TrainingError, match="lower the learning rate"):
        fit(golden.rows(), run=tmp_path / "run", **SETTINGS | EACH | {"rate": 1e30})
    assert list(tmp_path.iterdir()) == []


def test_the_time_before_a_stop_counts(stop):
    run = stop(3 * STEPS + 2)
    path = checkpoints(run, "test")[0]
    tensors, facts = Checkpoints(path.parent).newest("test")
    facts["schedule"][3] = 1e6  # seconds, of 600
    path.unlink()
    Checkpoints(path.parent).write("test", 3, tensors, facts)
    model = fit(resume=run)
    losses = [line["validation_loss"] for line in model.evidence["history"] if line["stage"] == "test"]
    assert len(losses) == 4
    best = 1 + losses.index(min(losses))
    told = {"best": best, "ended": "the time limit was reached", "hurried": True}
    assert model.evidence["manifest"]["training"] == told


def test_another_version_is_told(stop, monkeypatch):
    run, hearing = stop(12), Hearing()
    monkeypatch.setattr(kept_rows.torch, "get_num_threads", lambda: 7)
    fit(resume=run, listener=hearing)
    assert "resumed with" in hearing.notes[0]
    assert "'threads': 7" in hearing.notes[0]
    run = stop(12, overwrite=True)
    monkeypatch.setattr(kept_rows, "version", lambda _: "9.9")
    with pytest.raises(RunError, match=r"was started by Gatecast (\d\S+), and this is 9.9: finish it with \1"):
        fit(resume=run)


def test_a_training_begun_by_rules_that_chose_other_networks_is_refused(stop, monkeypatch):
    run = stop(12)
    monkeypatch.setattr(recipe, "ZEROS", 0.0)  # whatever the rows: one more simple forecast
    with pytest.raises(RunError, match="begun by rules that choose other networks from these rows: finish it with"):
        fit(resume=run)
    monkeypatch.undo()
    assert fit(resume=run).run_id


@pytest.mark.parametrize("beside", [True, False])
def test_rows_are_kept_as_they_are(tmp_path, beside):
    columns = golden.COLUMNS if beside else {"time": "at", "target": "y"} | {"aggregate": "sum", "freq": "W-MON"}
    config = Config.from_options(None, columns | {"horizon": 3})
    rows = read_rows(config, golden.rows(), audited=True)
    kept_rows.keep(rows, Checkpoints(tmp_path / "checkpoint"))
    found = kept_rows.kept(Checkpoints(tmp_path / "checkpoint"))
    for name in ("config", "audit", "stale", "sql", "read_at", "bytes_billed", "run_id"):
        assert getattr(found, name) == getattr(rows, name)
    one, other = rows.panel, found.panel
    assert (one.grid, one.kind, one.reading.rows) == (other.grid, other.kind, other.reading.rows)
    assert one.keys.equals(other.keys)
    for name in ("values", "offsets", "starts", "reading.hollow", *(BESIDE if beside else ())):
        parts = [part_of(panel, name) for panel in (one, other)]
        assert parts[0].dtype == parts[1].dtype
        assert np.array_equal(*parts, equal_nan=True)
    for name in ("varying", "past", "fixed", "categories") if beside else ():
        assert getattr(one.covariates, name) == getattr(other.covariates, name)


BESIDE = ("covariates.values", "covariates.offsets", "covariates.statics")


def part_of(panel, name):
    for part in name.split("."):
        panel = getattr(panel, part)
    return panel
