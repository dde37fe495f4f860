"""What `fit` needs and what there is: refused before rows are read, never afterwards."""

import sys

import pytest

from gatecast import Config, audit, fit, memory
from gatecast.errors import DataError
from gatecast.memory import available, needed
from gatecast.steps import Silent

NAMES = {"time": "at", "target": "y", "series": "name", "horizon": 6}
GB = 1_000_000_000


@pytest.fixture
def machine(tmp_path):
    """A function that writes what a system says of its memory."""

    def write(**files):
        for name, text in {
            "proc/meminfo": "MemTotal: 32000000 kB\nMemAvailable: 8000000 kB\nHugePages_Total: 0"
        }.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        for name, text in files.items():
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


def test_where_nobody_says_nothing_is_refused(tmp_path, make_frame, monkeypatch):
    assert available(tmp_path) is None
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.refuse_too_large(audit(make_frame(), **NAMES), Config())


def test_this_machine_says_what_it_has():
    assert sys.platform != "linux" or 0 < available() < 2**50


class Hearing(Silent):
    """Keeps what the first step found, and the rows that came."""

    def __init__(self):
        self.read = []

    def step(self, number, title, found):
        if number == 1:
            self.read.append(found)


def test_what_is_needed_is_told_or_refused_before_the_rows_are_read(make_frame, monkeypatch, tmp_path):
    rows, hearing = make_frame(), Hearing()
    wanted = needed(audit(rows, **NAMES), Config())
    monkeypatch.setattr(memory, "available", lambda: wanted - 10**7)
    monkeypatch.setattr("gatecast.reading.Panel.from_batches", lambda *_, **__: pytest.fail("the rows were read"))
    told = r"480 rows on 480 steps need about 0\.4 GB of memory, and 0\.3 GB are free: read fewer \(--since"
    with pytest.raises(DataError, match=told):
        fit(rows, run=tmp_path / "run", listener=hearing, **NAMES)
    assert (hearing.read, list(tmp_path.iterdir())) == ([], [])
    monkeypatch.undo()
    monkeypatch.setattr(memory, "available", lambda: wanted)
    fit(rows, listener=hearing, **NAMES, epochs=1, steps=1, hidden=4)
    assert hearing.read[0].endswith("; about 0.4 GB of memory")


def test_rows_steps_and_covariates_are_counted(make_frame):
    found = audit(make_frame(series=3, hours=1_000), **NAMES)
    bare = needed(found, Config())
    assert bare == 350_000_000 + 3_000 * 48
    beside = Config.from_options(None, {"past": ["a", "b"], "future": ["c"]})
    assert needed(found, beside) == bare + 3_000 * (12 + 3 * 24)
