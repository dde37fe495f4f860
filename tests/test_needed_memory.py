"""What `fit` needs and what there is: refused before rows are read, never afterwards."""

import sys

import pytest
import torch

from failing import failing_at
from gatecast import fit, memory
from gatecast.errors import DataError, TrainingError
from gatecast.listener import Listener
from gatecast.memory import available, needed

NAMES = {"time": "at", "target": "y", "series": "name", "horizon": 6}
GB = 1_000_000_000


@pytest.fixture
def machine(tmp_path):
    """A function that writes what a system says of its memory."""

    def write(**files):
        usual = {"proc/meminfo": "MemTotal: 32000000 kB\nMemAvailable: 8000000 kB\nHugePages_Total: 0"}
        for name, text in (usual | files).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


SECOND = {"proc/self/cgroup": "0::/job/one\n", "sys/fs/cgroup/job/one/memory.max": "max\n"}
FIRST = {"proc/self/cgroup": "5:cpu:/\n4:memory:/docker/abc\n", "sys/fs/cgroup/cpu/cpu.shares": "1024"}


def group(folder, limit, used, idle, first=False):
    names = ("limit_in_bytes", "usage_in_bytes") if first else ("max", "current")
    stat = f"anon 12\n{'total_' * first}inactive_file {idle}\n"
    return {f"{folder}/memory.{names[0]}": f"{limit}\n", f"{folder}/memory.{names[1]}": f"{used}\n"} | {
        f"{folder}/memory.stat": stat
    }


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 8.192),
        (SECOND, 8.192),
        (SECOND | group("sys/fs/cgroup/job", 4 * GB, 3 * GB, GB // 2), 1.5),
        (SECOND | group("sys/fs/cgroup/job/one", 2 * GB, GB, 0) | group("sys/fs/cgroup/job", 9 * GB, GB, 0), 1),
        (SECOND | group("sys/fs/cgroup", 3 * GB, GB, 0), 2),  # in a container
        (SECOND | group("sys/fs/cgroup/job", 64 * GB, 3 * GB, 0), 8.192),
        (FIRST | group("sys/fs/cgroup/memory/docker/abc", 5 * GB, 3 * GB, GB, first=True), 3),
        (FIRST | group("sys/fs/cgroup/memory", 5 * GB, 3 * GB, GB, first=True), 3),
        (FIRST | group("sys/fs/cgroup/memory", 2**63 - 4096, 3 * GB, GB, first=True), 8.192),
    ],
)
def test_the_least_room_of_the_system_and_its_groups_counts(machine, files, free):
    assert available(machine(**files)) == pytest.approx(free * GB)


def test_where_nobody_says_nothing_is_refused(tmp_path, monkeypatch):
    assert available(tmp_path) is None
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.refuse_too_large(2**60, 2**60, 0)


def test_this_machine_says_what_it_has():
    assert sys.platform != "linux" or 0 < available() < 2**50


class Hearing(Listener):
    """Keeps what the first step found, and the rows that came."""

    def __init__(self):
        self.read = []

    def step(self, number, title, found):
        if number == 1:
            self.read.append(found)


def test_what_is_needed_is_told_or_refused_before_the_rows_are_read(make_frame, monkeypatch, tmp_path):
    rows, hearing = make_frame(), Hearing()
    wanted = needed(480, 480, 0)
    monkeypatch.setattr(memory, "available", lambda: wanted - 10**7)
    monkeypatch.setattr("gatecast.reading.Panel.from_batches", lambda *_, **__: pytest.fail("the rows were read"))
    told = r"480 rows on 480 steps need about 350 MB of memory, and 340 MB are free: read fewer \(--since"
    with pytest.raises(DataError, match=told):
        fit(rows, run=tmp_path / "run", listener=hearing, **NAMES)
    assert (hearing.read, list(tmp_path.iterdir())) == ([], [])
    monkeypatch.undo()
    monkeypatch.setattr(memory, "available", lambda: wanted)
    fit(rows, listener=hearing, **NAMES, epochs=1, steps=1, hidden=4)
    assert hearing.read[0].endswith("; about 350 MB of memory")


def test_rows_steps_and_covariates_are_counted():
    bare = 350_000_000 + 3_000 * 24 + 5_000 * 24
    assert needed(3_000, 5_000, 0) == bare
    assert needed(3_000, 5_000, 3) == bare + 3_000 * 12 + 5_000 * 3 * 24


def test_what_training_takes_is_refused_before_its_first_step(make_frame, monkeypatch, tmp_path):
    monkeypatch.setattr("gatecast.steps.learn", lambda *_: pytest.fail("it was trained"))
    monkeypatch.setattr(memory, "available", lambda: 8 * GB)
    told = r"training \d\S+ weights on batches of 64 windows needs about \S+ [GT]B of memory, and 8 GB are free: "
    with pytest.raises(DataError, match=told + "a smaller --batch"):
        fit(make_frame(), run=tmp_path / "run", **NAMES, hidden=100_000)
    with pytest.raises(DataError, match=r"batches of 100,000,000 windows"):
        fit(make_frame(), run=tmp_path / "run", **NAMES, batch=100_000_000)
    assert list(tmp_path.iterdir()) == []


def test_weights_and_what_a_batch_passes_through_are_counted(monkeypatch):
    wanted = 44 * 1_000_000 + 80 * 100 * 1_000
    monkeypatch.setattr(memory, "available", lambda: wanted)
    memory.refuse_too_wide(1_000_000, 100, 1_000)
    monkeypatch.setattr(memory, "available", lambda: wanted - 1)
    with pytest.raises(DataError):
        memory.refuse_too_wide(1_000_000, 100, 1_000)


EPOCHS, STEPS = 4, 3


@pytest.fixture
def fit_short_of_memory(make_frame):
    """Train where memory runs out as a step is taken."""

    def fitted(number, error, **options):
        settings = {"epochs": EPOCHS, "steps": STEPS, "hidden": 4, "members": 1, "baselines": 0}
        with failing_at(number, error):
            return fit(make_frame(), **NAMES, **settings | options)

    return fitted


TORCHS = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")


APPLES = RuntimeError("MPS backend out of memory (MPS allocated: 8 GB). Tried to allocate 256 bytes on shared pool.")
CUBLAS = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
ERRORS = {"Python": MemoryError(), "torch": TORCHS, "GPU": torch.OutOfMemoryError(), "MPS": APPLES, "cuBLAS": CUBLAS}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_memory_that_runs_out_ends_a_stage_with_the_best_weights_so_far(fit_short_of_memory, error):
    model = fit_short_of_memory(2 * STEPS + 2, error, refit=False)
    assert model.evidence["manifest"]["training"]["ended"] == "memory ran out"
    lines = model.evidence["history"]
    assert [line["epoch"] for line in lines] == [1, 2]
    monitored = fit_short_of_memory(10**6, error, refit=False, epochs=EPOCHS)
    assert monitored.evidence["history"][0]["validation_loss"] == lines[0]["validation_loss"]
    best = min(lines, key=lambda line: line["validation_loss"])["epoch"]
    assert model.evidence["manifest"]["training"]["best"] == best


def test_memory_that_runs_out_ends_the_final_stage_with_the_weights_of_its_last_whole_epoch(fit_short_of_memory):
    model = fit_short_of_memory((EPOCHS + 1) * STEPS + 3, MemoryError())
    assert [line["epoch"] for line in model.evidence["history"] if line["stage"] == "final"] == [1]
    steady = [part.clone() for part in model.final.network.parameters()]
    assert all(part.isfinite().all() for part in steady)
    assert any(not one.equal(two) for one, two in zip(steady, model.tested.network.parameters(), strict=True))


def test_memory_that_runs_out_in_the_first_epoch_is_told(fit_short_of_memory):
    with pytest.raises(TrainingError, match="memory ran out in the first epoch: a smaller --batch"):
        fit_short_of_memory(2, TORCHS)
    with pytest.raises(RuntimeError, match="something else"):
        fit_short_of_memory(2 * STEPS + 2, RuntimeError("something else"))
