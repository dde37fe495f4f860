"""Run folders nobody should trust: loading one that was harmed never runs, hangs or reads elsewhere; it says so.

What this version wrote is kept in tests/runs; `python tests/golden.py` writes it.
"""

import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import golden
from gatecast import fit, load, open_store, read
from gatecast.errors import RunError, StoreError
from gatecast.model import FORMAT
from gatecast.nn.network import Shape
from gatecast.run_folder import new_folder, steadily
from gatecast.seal import seal, sealed

pytestmark = pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # torch, of sizes that lie
GOLDEN = golden.RUNS / f"format-{FORMAT}"
READ = ["model.json", "model.safetensors", "series.parquet", "config.toml", "manifest.json", "metrics.json"]
READ += ["history.jsonl", "SHA256SUMS"]


def test_the_golden_run_of_this_format_forecasts_the_same():
    wanted = pq.read_table(golden.RUNS / f"format-{FORMAT}.parquet")
    model = load(GOLDEN)
    found = model.forecast(read(golden.rows(), **golden.COLUMNS)).rows
    numbers = ["forecast_value", "prediction_interval_lower_bound", "prediction_interval_upper_bound"]
    assert found.drop_columns(numbers).equals(wanted.drop_columns(numbers))
    for name in numbers:  # another processor sums in another order
        assert found[name].to_numpy() == pytest.approx(wanted[name].to_numpy(), rel=1e-4)
    assert sum(path.stat().st_size for path in golden.RUNS.rglob("*")) < 110_000


def test_every_run_that_a_released_version_wrote_is_kept():
    """Of this format there is one; those of formats before it come here with the release that ends them."""
    assert {path.name for path in golden.RUNS.iterdir()} == {f"format-{FORMAT}", f"format-{FORMAT}.parquet"}


@pytest.fixture
def run(tmp_path):
    """A copy of the golden run that may be harmed."""
    return shutil.copytree(GOLDEN, tmp_path / "run")


def refused(run):
    """The one line that says why a run is refused; reading it takes no time."""
    began = time.monotonic()
    with pytest.raises(RunError) as caught:
        load(run)
    assert time.monotonic() - began < 5
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("name", READ)
def test_a_file_cut_short_anywhere_is_found(run, name):
    whole = (run / name).read_bytes()
    last = len(whole) - 1 - (name == "SHA256SUMS")  # whose last line is one without its end, too
    lengths = {0, 1, 7, 8, 9, last, *np.linspace(0, last, 20).astype(int).tolist()}
    for length in sorted(lengths):
        (run / name).write_bytes(whole[:length])
        assert refused(run)
    lines = [at.end() for at in re.finditer(rb"\n", whole)]  # half a TOML file is one too
    for length in {lines[len(lines) // 2]} - {len(whole)} if name.endswith((".toml", ".jsonl")) else ():
        (run / name).write_bytes(whole[:length])
        assert f"'{name}' is not as it was written" in refused(run)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A run on the same rows, of another seed."""
    folder = tmp_path_factory.mktemp("runs") / "other"
    fit(golden.rows(), run=folder, **golden.COLUMNS, **golden.SETTINGS | {"seed": 2, "batch": 32})
    return folder


@pytest.mark.parametrize("name", [name for name in READ if name != "SHA256SUMS"])
def test_a_file_of_another_run_is_found(run, other, name):
    if (other / name).read_bytes() != (run / name).read_bytes():
        shutil.copy(other / name, run / name)
        assert f"'{name}' is not as it was written" in refused(run)
    else:
        assert name == "series.parquet"  # of the same series


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "nothing"])
def test_what_is_no_plain_file_is_not_opened(run, name, kind, tmp_path):
    shutil.move(run / name, tmp_path / "elsewhere")
    make = {"link": lambda path: path.symlink_to(tmp_path / "elsewhere"), "pipe": os.mkfifo, "folder": Path.mkdir}
    make.get(kind, lambda path: None)(run / name)
    assert re.search("no run at" if name == "model.json" else "is damaged", refused(run))


@pytest.mark.parametrize("path", ["../elsewhere", "/etc/hostname", "inspect/x", "..", ".", "", "\x00"])
def test_checksums_name_only_files_of_the_folder(run, path, tmp_path):
    (tmp_path / "elsewhere").write_text("secret")
    with (run / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  {path}\n")
    assert "is not as it was written" in refused(run)
    (run / "SHA256SUMS").write_text("")
    assert "it has no model.json" in refused(run)


def changed(run, **change):
    about = json.loads((run / "model.json").read_text())
    sizes = {name: value for name, value in change.items() if name in Shape.__dataclass_fields__}
    about |= {name: value for name, value in change.items() if name in about}
    about["shapes"] = [shape | sizes for shape in about["shapes"]]
    (run / "model.json").write_text(json.dumps(about))
    seal(run)


HUGE = [{"hidden": 10**9}, {"layers": 10**12}, {"horizon": 10**15}, {"embeddings": 10**30}, {"dates": -1}]
HUGE += [{"context": 10**18}, {"reach": 0}, {"segment": 0}, {"block": -1}, {"seasons": [10**9]}, {"shapes": []}]
HUGE += [{"probabilities": [0.5] * 1000}, {"frequency": "1" * 5000 + "h"}, {"timezone": "../../etc/passwd"}]
HUGE += [{"format": 10**400}]


@pytest.mark.parametrize("change", HUGE, ids=lambda change: str(change)[:40])
def test_sizes_that_are_only_claimed_take_neither_memory_nor_time(run, change):
    changed(run, **change)  # and sealed: whoever means harm can count too
    if "shapes" in change:
        about = json.loads((run / "model.json").read_text())
        (run / "model.json").write_text(json.dumps(about | change))
        seal(run)
    assert re.search(r"is damaged|newer Gatecast", refused(run))


@pytest.mark.parametrize("length", [0, 8, 2**20, 2**40, 2**63, 2**64 - 1])
def test_a_header_of_weights_that_lies_about_its_size_is_refused(run, length):
    (run / "model.safetensors").write_bytes(struct.pack("<Q", length) + b'{"a":{"dtype":"F32"}}')
    seal(run)
    assert "is damaged" in refused(run)


@pytest.mark.parametrize("name", READ)
def test_a_file_without_end_is_not_read(run, name):
    os.truncate(run / name, 200 * 2**30)  # which takes no room on a disk
    assert re.search(r"not as it was written|larger than any", refused(run))


def test_a_text_is_refused_from_a_length_on_though_weights_may_be_longer(tmp_path, monkeypatch):
    for name, size in (("config.toml", 1_000), ("model.safetensors", 1_001)):
        (tmp_path / name).write_bytes(bytes(size))
    seal(tmp_path)
    monkeypatch.setattr("gatecast.seal.LONGEST_TEXT", 1_000)
    assert sealed(tmp_path) == {"config.toml", "model.safetensors"}
    monkeypatch.setattr("gatecast.seal.LONGEST_TEXT", 999)
    with pytest.raises(RunError, match=r"'config\.toml' is not as it was written"):
        sealed(tmp_path)


@pytest.mark.parametrize(("rows", "length"), [(1_000_000, 1), (3_000, 100_000)])
def test_a_table_that_unpacks_to_more_than_there_is_room_for_is_not_unpacked(run, monkeypatch, rows, length):
    table = pq.read_table(run / "series.parquet")
    texts, zeros = pa.array(["x" * length]), pa.array(np.zeros(rows, np.int64))
    many = dict.fromkeys(table.column_names, zeros) | {
        "name": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), texts)
    }
    pq.write_table(pa.table(many), run / "series.parquet", store_schema=False)
    assert (run / "series.parquet").stat().st_size < 100_000
    seal(run)
    monkeypatch.setattr("gatecast.seal.available", lambda: 40_000_000)
    assert "unpacks to more than there is memory for" in refused(run)


def test_whoever_may_read_one_file_of_a_run_may_read_all(other):
    assert len({path.stat().st_mode for path in other.iterdir()}) == 1


def test_all_of_a_run_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    settled, renamed, rename = set(), [], os.replace

    def replace(source, target):
        renamed.append(settled.copy())
        rename(source, target)

    monkeypatch.setattr(os, "fsync", lambda file: settled.add(Path(os.readlink(f"/dev/fd/{file}")).name))
    monkeypatch.setattr(os, "replace", replace)
    with new_folder(tmp_path / "run") as folder:
        (folder / "model.json").write_text("{}")
    assert renamed == [{folder.name, "model.json", "SHA256SUMS"}]


@pytest.mark.parametrize(
    "harm",
    [
        lambda part: np.full_like(part, np.nan),
        lambda part: np.full_like(part, np.inf),
        lambda part: part[..., :-1].copy(),
        lambda part: part[None].repeat(2, 0),
        lambda part: part.astype(np.int8),
    ],
    ids=["NaN", "inf", "smaller", "larger", "whole numbers"],
)
def test_weights_that_cannot_be_meant_are_refused(run, harm):
    weights = load_file(run / "model.safetensors")
    for name in [name for name in weights if name.endswith((".0.embed.weight", "stretch", "still"))]:
        save_file(weights | {name: harm(weights[name])}, run / "model.safetensors")
        seal(run)
        assert "is damaged" in refused(run), name


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("manifest.json", "[]", "manifest: input should be"),
        (
            "manifest.json",
            '{"query": null, "snapshot_time": null, "training": {"best": 1}}',
            "manifest.audit: is needed",
        ),
        ("metrics.json", "7", "metrics: input should be a valid dictionary, got 7"),
        ("history.jsonl", "1", "history: input should be"),
        (
            "history.jsonl",
            '{"stage": "test", "train_loss": "low"}',
            "history.train_loss: input should be a valid number",
        ),
    ],
)
def test_evidence_of_another_shape_is_refused(run, name, text, told):
    (run / name).write_text(text)
    seal(run)
    assert f"is damaged (ValueError: {told}" in refused(run)


SMALL = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SMALL
@given(name=st.sampled_from(READ), at=st.floats(0, 1), byte=st.integers(1, 255), kept=st.booleans())
def test_one_byte_changed_anywhere_is_found(run, name, at, byte, kept):
    whole = (GOLDEN / name).read_bytes()
    place = min(int(at * len(whole)), len(whole) - 1)
    (run / name).write_bytes(whole[:place] + bytes([whole[place] ^ byte]) + whole[place + 1 :] * kept)
    refused(run)
    (run / name).write_bytes(whole)


@SMALL
@given(name=st.sampled_from(READ[:6]), start=st.floats(0, 1), length=st.integers(0, 40), put=st.binary(max_size=40))
@example(name="model.json", start=0, length=10**6, put=b"[" * 100_000)
@example(name="config.toml", start=0, length=10**6, put=b"a = " + b"[" * 100_000)
@example(name="model.json", start=0, length=10**6, put=b"")
def test_any_bytes_that_were_sealed_load_or_are_refused(run, name, start, length, put):
    whole = (GOLDEN / name).read_bytes()
    place = int(start * len(whole))
    (run / name).write_bytes(whole[:place] + put + whole[place + length :])
    seal(run)
    with suppress(RunError):  # what still has a meaning is a run
        load(run)
    (run / name).write_bytes(whole)


WRITER = """
import signal, sys, time
from pathlib import Path
from gatecast.run_folder import new_folder
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
with new_folder(Path(sys.argv[1]), overwrite=True) as folder:
    (folder / "model.json").write_text("{}")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path):
    """Another process that is writing tmp_path / "run"."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "run"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"writing\n"
    yield process
    process.kill()
    process.communicate()


def test_a_run_that_is_being_written_says_by_whom_and_since_when(writer, tmp_path):
    told = rf"run is being written by process {writer.pid} since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{{4}}: wait"
    for _ in range(2):
        with pytest.raises(RunError, match=told):
            fit(golden.rows(), run=tmp_path / "run", **golden.COLUMNS, **golden.SETTINGS)
    with pytest.raises(RunError, match=told):
        fit(resume=tmp_path / "run")
    with pytest.raises(RunError, match="no run at"):
        load(tmp_path / "run")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_writer_that_was_killed_holds_nothing(writer, tmp_path, how):
    writer.send_signal(how)
    writer.wait()
    with new_folder(tmp_path / "run") as folder:
        (folder / "model.json").write_text("{}")
    assert sealed(tmp_path / "run", "model.json") == {"model.json"}
    assert not (tmp_path / ".run.lock").exists()


def test_a_disk_without_room_for_a_word_is_left_as_it_was(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(RunError, match=r"nothing was left behind: .*File too large"), new_folder(tmp_path / "run"):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


def test_a_run_whose_replacement_was_killed_between_two_renames_comes_back(run, tmp_path):
    os.replace(run, tmp_path / ".run.0a1b2c3d.old")
    with pytest.raises(RunError, match="is there already"), new_folder(run):
        pass
    assert load(run).run_id == load(GOLDEN).run_id


def test_a_link_to_a_run_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk" / "run")
    for text in ("1", "2"):
        with new_folder(tmp_path / "run", overwrite=True) as folder:
            (folder / "model.json").write_text(text)
    assert (tmp_path / "run").is_symlink()
    assert (tmp_path / "disk" / "run" / "model.json").read_text() == "2"
    assert sorted(os.listdir(tmp_path)) == ["disk", "run"]
    assert os.listdir(tmp_path / "disk") == ["run"]


def test_a_link_that_leads_to_itself_is_no_place_for_a_run(tmp_path):
    (tmp_path / "run").symlink_to("run")
    with pytest.raises(RunError, match="could not be written, nothing was left"), new_folder(tmp_path / "run"):
        pass
    assert os.listdir(tmp_path) == ["run"]


@pytest.mark.parametrize("name", [".", "..", "../run"])
def test_the_folder_one_is_in_is_replaced(tmp_path, monkeypatch, name):
    for text in ("1", "2"):
        (tmp_path / "run" / "inspect").mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / "model.json").write_text("0")
        monkeypatch.chdir(tmp_path / "run" / ("inspect" if name == ".." else ""))
        with new_folder(Path(name), overwrite=True) as folder:
            (folder / "model.json").write_text(text)
        assert (tmp_path / "run" / "model.json").read_text() == text
    assert os.listdir(tmp_path) == ["run"]


def test_a_run_that_cannot_be_replaced_stays(run, tmp_path, monkeypatch):
    rename = os.replace

    def replace(source, target):
        if target == run and (run.parent / source / "new").exists():
            raise OSError("no room")
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(RunError, match="no room"), new_folder(run, overwrite=True) as folder:
        (folder / "new").touch()
    assert load(run).run_id == load(GOLDEN).run_id
    assert [path.name for path in tmp_path.iterdir()] == [run.name]


def test_a_folder_that_was_away_for_a_moment_is_read_again(run):
    """Another one that the disk gives the number of the first looks the same, but for the time."""
    found = []

    def read(folder):
        if not found:
            folder.rename(folder.with_name("away"))
            folder.with_name("away").rename(folder)
        found.append(len(found))
        return found[-1]

    assert steadily(run, read) == 1
    assert steadily(run, read) == 2


REPLACER = """
import shutil, sys, time
from pathlib import Path
from gatecast.run_folder import new_folder
*runs, run = map(Path, sys.argv[1:])
while not run.with_name("stop").exists():
    runs.reverse()
    with new_folder(run, overwrite=True) as folder:
        shutil.copytree(runs[0], folder, dirs_exist_ok=True)
    time.sleep(0.1)
"""


def test_a_reader_sees_the_old_run_or_the_new_one(run, tmp_path):
    fit(golden.rows(), run=tmp_path / "other", **golden.COLUMNS, **golden.SETTINGS | {"seed": 2})
    weights = {load(path).run_id: load(path).final.network.state_dict() for path in (GOLDEN, tmp_path / "other")}
    process = subprocess.Popen([sys.executable, "-c", REPLACER, GOLDEN, tmp_path / "other", run])
    seen = []
    while len(seen) < 60 or len(set(seen)) < 2:
        model = load(run)
        seen.append(model.run_id)
        same = weights[model.run_id]
        assert all(part.equal(same[name]) for name, part in model.final.network.state_dict().items())
    (tmp_path / "stop").touch()
    assert process.wait(20) == 0
    assert seen.count(seen[0]) < 60


HOLDER = """
import sys, time
from gatecast import open_store
import pyarrow as pa
with open_store(sys.argv[1], write=True) as store:
    store.write("out", pa.table({"k": [1], "y": [float(sys.argv[2])]}), ["k"])
    store.connection.execute("BEGIN; DELETE FROM out")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_a_database_that_is_being_written_says_by_whom_and_a_killed_writer_leaves_it_as_it_was(tmp_path):
    path = str(tmp_path / "shop.duckdb")
    with open_store(path, write=True) as store:
        store.write("out", pa.table({"k": [1], "y": [0.0]}), ["k"])
    process = subprocess.Popen([sys.executable, "-c", HOLDER, path, "7"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"writing\n"
    for write in (False, True):
        with pytest.raises(StoreError, match=rf"lock.*PID {process.pid}"):
            open_store(path, write=write)
    process.kill()
    process.communicate()
    with open_store(path) as store:
        assert store.connection.execute("FROM out").fetchall() == [(1, 7.0)]
