"""The run folder: whole or not at all, read back exactly, refused when it is not what it should be."""

import errno
import hashlib
import json
import math
import multiprocessing
import pickle
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from gatecast import Config, fit, load, pipeline, read
from gatecast.data.audit import audit_panel
from gatecast.data.dates import Frequency, Grid
from gatecast.errors import DataError, RunError, UsageError
from gatecast.newest import newest
from gatecast.seal import seal

FILES = [
    "SHA256SUMS",
    "config.toml",
    "examples.parquet",
    "history.jsonl",
    "manifest.json",
    "metrics.json",
    "model.json",
    "model.safetensors",
]
FILES += ["series.parquet", "test.parquet"]
OPTIONS = {"table": "t", "time": "at", "target": "y", "series": ["shop", "item"], "horizon": 6}
OPTIONS |= {"epochs": 3, "steps": 4, "hidden": 8, "seed": 5}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Three series of hours with holes, one of them without a name."""
    path = tmp_path_factory.mktemp("store") / "shop.duckdb"
    rng = np.random.default_rng(0)
    with duckdb.connect(str(path)) as connection:
        connection.execute('CREATE TABLE t ("at" TIMESTAMP, shop VARCHAR, item INTEGER, y DOUBLE)')
        for number, (shop, item) in enumerate([("a", 1), ("a/b", 2), (None, 1)]):
            times = np.datetime64("2024-01-01", "us") + np.arange(240) * np.timedelta64(1, "h")
            values = 10 * number + 5 + 3 * np.sin(np.arange(240) * np.pi / 12) + rng.normal(0, 0.3, 240)
            connection.register("rows", pa.table({"at": times, "y": values}).filter(values > 10 * number + 2.5))
            connection.execute('INSERT INTO t SELECT "at", ?, ?, y FROM rows', [shop, item])
    return path


@pytest.fixture(scope="module")
def made(database, tmp_path_factory):
    """A run folder and the model that was written into it."""
    run = tmp_path_factory.mktemp("runs") / "run"
    return run, fit(database, run=run, **OPTIONS)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def halve(path):
    half = path.read_bytes()[: path.stat().st_size // 2]
    # Half of a TOML file may be one too, by chance: it ends where a value should begin.
    path.write_bytes(half[: half.rindex(b"=") + 1] if path.suffix == ".toml" else half)


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_it_is_told_in_a_line(made):
    model = made[1]
    assert repr(model) == str(model) == f"<Model {model.run_id}: 3 series, h, horizon 6, recipe segment>"
    told = repr(model.forecast())
    assert told.startswith("<ForecastTable: 36 rows of shop, item, forecast_timestamp, ")
    assert told.endswith(", run_id>")


@pytest.fixture
def run(made, tmp_path):
    """A copy that may be harmed."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for name, text in content(made[0]).items():
        (folder / name).write_bytes(text)
    return folder


def test_models_are_told_apart_and_can_be_keys(made):
    one, other = load(made[0]), load(made[0])
    assert {one: 1, other: 2}[one] == 1
    assert one != replace(one, run_id=one.run_id)


def test_the_naive_forecasts_share_is_kept(made, tmp_path):
    whole = load(made[0])
    half, none = (replace(whole, final=replace(whole.final, share=share)) for share in (0.5, 0.0))
    half.save(tmp_path / "half")
    loaded = load(tmp_path / "half")
    assert (loaded.tested.share, loaded.final.share) == (whole.tested.share, 0.5)
    panel = newest(whole)
    said, moved, naive = (
        model.forecast(panel).to_arrow()["forecast_value"].to_numpy() for model in (whole, loaded, none)
    )
    share = whole.final.share
    assert moved == pytest.approx(naive + (said - naive) * 0.5 / share, rel=1e-4)
    assert np.abs(said - naive).max() > 0.01


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_no_damage(made, device):
    with pytest.raises(UsageError, match=f"there is no device '{device}' here; there are .*cpu"):
        load(made[0], device=device)


def test_the_processor_is_loaded_to_without_asking_for_cards(made, monkeypatch):
    monkeypatch.setattr("gatecast.model.names", lambda: pytest.fail("asked"))
    assert load(made[0]).final.device == torch.device("cpu")


def test_a_device_without_room_is_no_damage(made, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr("gatecast.fitted.Fitted.on", full)
    with pytest.raises(torch.OutOfMemoryError):
        load(made[0])


def test_a_panel_of_other_series_columns_is_refused(made, database):
    _, model = made
    for series, told in (([], "none"), (["shop"], "shop"), (["item", "shop"], "item, shop")):
        sql = "SELECT * FROM t WHERE shop = 'a'"
        panel = read(database, sql=sql, time="at", target="y", series=series, freq="h")
        with pytest.raises(UsageError, match=f"series columns are {told}, the model was trained with shop, item"):
            model.forecast(panel)


def test_keys_that_became_numbers_are_refused(made, database):
    """A CSV file of which today's keys are all digits; as new series they would be tested on rows trained on."""
    _, model = made
    sql = "SELECT * REPLACE (ascii(shop) AS shop) FROM t"
    panel = read(database, sql=sql, time="at", target="y", series=["shop", "item"], freq="h")
    for use in (model.forecast, partial(pipeline.test, model)):
        with pytest.raises(DataError, match="series column 'shop' holds int64, and held string when the model was"):
            use(panel)


@pytest.mark.parametrize("recipe", ["segment", "classic"])
def test_what_is_loaded_forecasts_the_same(database, recipe, tmp_path):
    run = tmp_path / "run"
    model = fit(database, run=run, recipe=recipe, **OPTIONS)
    model.save(tmp_path / "again")
    asked = ({}, {"horizon": 20}, {"at": ["2024-01-05 03:00", "2024-01-10 12:00", "2024-01-11 00:00"]})
    for folder in (run, tmp_path / "again"):
        loaded = load(folder)
        for ask in asked:
            assert loaded.forecast(model.panel, **ask).rows.equals(model.forecast(**ask).rows)
        assert loaded.tested.bounds == loaded.final.bounds == (0, math.inf)
        assert not loaded.tested.bounds_given
        assert (loaded.config, loaded.run_id, loaded.tested.season) == (model.config, model.run_id, model.tested.season)
    assert load(run).evidence["metrics"] == model.evidence["metrics"]
    assert newest(load(run)).values.tobytes() == model.panel.values.tobytes()


def values(model):
    return model.forecast().to_arrow().column("forecast_value").to_pylist()


def send(model, pipe):
    pipe.send(values(model))


def test_a_process_that_is_spawned_forecasts_the_same_with_a_model_that_was_fitted_here(made):
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=send, args=(made[1], sending))
    process.start()
    sending.close()  # or a child that fails would be waited for without end
    assert receiving.recv() == values(made[1])
    process.join()


def test_a_run_holds_the_files_of_the_contract_and_no_pickle(made):
    files = content(made[0])
    assert sorted(files) == FILES
    for text in files.values():
        assert not text.startswith(b"PK")  # what torch.save writes
        with pytest.raises(Exception):  # noqa: B017, PT011 -- a text read as a pickle fails in any way, by its letters
            pickle.loads(text)


def test_both_sets_of_weights_are_kept(made, database, tmp_path):
    tensors = load_file(made[0] / "model.safetensors")
    parts = {name.split(".")[0] for name in tensors}
    assert parts == {"tested", "final"}
    assert not torch.equal(*(tensors[f"{part}.network.members.0.embed.weight"] for part in sorted(parts)))
    fit(database, run=tmp_path / "run", refit=False, **OPTIONS)
    assert {name.split(".")[0] for name in load_file(tmp_path / "run" / "model.safetensors")} == {"tested"}
    again = load(tmp_path / "run")
    assert again.final is again.tested


def test_the_manifest_says_where_the_run_came_from(made, database):
    run, model = made
    manifest = json.loads((run / "manifest.json").read_text())
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = connection.sql(manifest["query"]).to_arrow_table()
    assert rows.num_rows == int((~np.isnan(model.panel.values)).sum())
    assert manifest["query_sha256"] == hashlib.sha256(manifest["query"].encode()).hexdigest()
    packages = ("gatecast", "torch", "numpy", "pyarrow", "duckdb")
    assert {name: manifest["versions"][name] for name in packages} == {name: version(name) for name in packages}
    assert (manifest["run_id"], manifest["seed"]) == (model.run_id, 5)
    assert manifest["threads"] == torch.get_num_threads()
    assert manifest["device"] == str(model.final.device)
    assert {"read", "train", "test", "refit"} <= set(manifest["durations"])
    assert all(seconds >= 0 for seconds in manifest["durations"].values())
    assert manifest["created"] >= manifest["snapshot_time"]
    assert manifest["bytes_billed"] is None
    found = replace(audit_panel(model.panel, horizon=6), agreement=1.0)
    assert manifest["audit"] == json.loads(json.dumps(found.to_dict()))


def test_settings_and_history_are_kept(made):
    run, model = made
    assert Config.from_toml(run / "config.toml") == model.config
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    tested = [line for line in lines if line["stage"] == "test"]
    assert [line["epoch"] for line in tested] == [1, 2, 3]
    names = {"train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate"}
    assert all(isinstance(line[name], float) for line in tested for name in names | {"windows_per_second"})
    losses = [line["validation_loss"] for line in tested]
    again = 3 if losses[-1] <= 1.05 * min(losses) else 1 + losses.index(min(losses))
    assert [line["epoch"] for line in lines if line["stage"] == "final"] == list(range(1, again + 1))


def test_metrics_are_those_of_the_test_rows_kept(made):
    run, model = made
    metrics, rows = json.loads((run / "metrics.json").read_text()), pq.read_table(run / "test.parquet").to_pandas()
    scales = {}
    for number, name in enumerate(model.panel.names):
        values = model.panel.series(number)[:204].astype(float)
        scales[name] = np.nanmean(np.abs(values[model.tested.season :] - values[: -model.tested.season]))
    rows["name"] = [f"{shop or None}/{item}" for shop, item in zip(rows["shop"], rows["item"], strict=True)]
    rows["scale"] = rows["name"].map(scales)
    parts = {None: rows} | dict(iter(rows.groupby("name")))
    for name, part in parts.items():
        told = metrics["overall"] if name is None else next(row for row in metrics["series"] if row["series"] == name)
        columns = ["forecast_value"] if name else ["forecast_value", "seasonal_naive", "naive_drift"]
        for forecast in columns:
            found = told if forecast == "forecast_value" else metrics["baselines"][forecast]
            error, truth = part[forecast] - part["actual"], part["actual"].abs()
            assert found["mae"] == pytest.approx(error.abs().mean(), rel=1e-5)
            assert found["rmse"] == pytest.approx((error**2).mean() ** 0.5, rel=1e-5)
            assert found["bias"] == pytest.approx(error.mean(), rel=1e-4, abs=1e-5)
            assert found["wape"] == pytest.approx(error.abs().sum() / truth.sum(), rel=1e-5)
            assert found["accuracy"] == pytest.approx(100 - 100 * error.abs().sum() / truth.sum(), rel=1e-5)
            smape = 200 * error.abs() / (truth + part[forecast].abs())
            assert found["smape"] == pytest.approx(smape.mean(), rel=1e-5)
            assert found["mase"] == pytest.approx((error.abs() / part["scale"]).mean(), rel=1e-5)
    seen = rows[rows["actual"].notna()]
    assert len(seen) < len(rows) == metrics["windows"] * 6
    for level, bounds in (("80", ("quantile_0.1", "quantile_0.9")), ("95", ("quantile_0.025", "quantile_0.975"))):
        inside = seen["actual"].between(*(seen[name] for name in bounds)).mean()
        assert metrics["overall"]["coverage"][level] == pytest.approx(100 * inside)


def test_a_run_that_may_not_be_read_is_not_called_damaged(run, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("gatecast.model.read_json", refuse)
    with pytest.raises(RunError, match=r"^\S+ cannot be read: .*Permission denied: '.*model\.json'$"):
        load(run)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "series.parquet", "config.toml"])
@pytest.mark.parametrize("harm", [Path.unlink, halve])
def test_a_damaged_run_is_refused(run, name, harm):
    harm(run / name)
    with pytest.raises(RunError, match=r"damaged|no run at"):
        load(run)


ODD = [("x", None), ([[]], None), (["week"], None), ([], 1)]
"""Cycles and places of encoders that cannot be meant."""


@pytest.mark.parametrize(
    "change",
    [
        *({"stages": ["other"]}, {"frequency": "fortnightly"}, {"timezone": "Nowhere/Here"}, {"format": None}),
        *({"series_columns": ["nope"]}, {"cycles": None}, {"probabilities": 7}),
        *({"shares": {"final": 1.5}}, {"shares": {"tested": "nan"}}, {"shares": {"final": None}}),
        *({"mean_shares": {"final": -0.1}}, {"mean_shares": {"tested": None}}, {"mean_shares": 0.5}),
        *({"short": {"final": short}} for short in ([0.5], [2.0, 0.5], [None], 7)),
        *({"hidden": 9}, {"segment": 7}, {"segment": 0}, {"unheard": 1}),  # of its shape
        *({"logs": {}}, {"logs": None}, {"seasons": [-1]}, {"stages": []}, {"shares": None}, {"shapes": "x"}),
        *({"frequency": None}, {"scaling": None}, {"scaling": []}, {"bounds": ["x", None]}, {"bounds": [1e300, None]}),
        *({"encoder": {"cycles": [*cycles], "place": place, "places": None, "columns": []}} for cycles, place in ODD),
        *({"probabilities": [*odd, 0.5]} for odd in ([None], [-1], [[]], [0.9])),
    ],
    ids=str,
)
def test_a_run_that_contradicts_itself_is_refused(run, change):
    about = json.loads((run / "model.json").read_text())
    about |= (
        change if change.keys() <= about.keys() else {"shapes": [about["shapes"][0] | change, *about["shapes"][1:]]}
    )
    (run / "model.json").write_text(json.dumps(about))
    seal(run)  # or that it was changed is found first
    with pytest.raises(RunError, match=r"damaged \((?!'model.json')"):
        load(run)


def test_no_run_and_a_newer_one_are_refused(run, tmp_path):
    for path in (tmp_path, tmp_path / "nothing", run / "model.json"):
        with pytest.raises(RunError, match=r"no run at .*gatecast fit"):
            load(path)
    about = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps(about | {"format": about["format"] + 1}))
    with pytest.raises(RunError, match=r"written by a newer Gatecast \(format 5, this reads 4\)"):
        load(run)


def test_what_is_there_is_not_replaced_unless_asked(made, run, tmp_path):
    model, before = made[1], content(run)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep")
    for path, overwrite in ((run, False), (tmp_path / "notes", False), (tmp_path / "notes", True)):
        with pytest.raises(RunError, match="is there already"):
            model.save(path, overwrite=overwrite)
    assert content(run) == before
    assert content(tmp_path / "notes") == {"mine.txt": b"keep"}
    (run / "report.html").write_text("of the old run")
    model.save(run, overwrite=True)
    assert not (run / "report.html").exists()
    assert load(run).run_id == model.run_id
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "notes"]


WRITERS = ["pathlib.Path.write_bytes", "pyarrow.parquet.write_table", "pathlib.Path.write_text"]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_no_half_of_a_run(database, run, writer, monkeypatch, tmp_path):
    before, model = content(run), load(run)
    monkeypatch.setattr(writer, full)
    for path, overwrite in ((tmp_path / "new", False), (run, True)):
        with pytest.raises(RunError, match=r"could not be written, nothing was left behind: .*No space left"):
            model.save(path, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    for path, overwrite in ((tmp_path / "new", False), (run, True)):
        with pytest.raises(RunError, match=rf"could not be written, gatecast fit --resume {path} goes on .*No space"):
            fit(database, run=path, overwrite=overwrite, **OPTIONS)
    assert sorted(path.name[:-9] for path in tmp_path.iterdir() if path.name != "copy") == [".copy", ".new"]
    assert content(run) == before


@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_half_written_is_no_run(made, writer, monkeypatch, tmp_path):
    monkeypatch.setattr(writer, full)
    monkeypatch.setattr("gatecast.run_folder.shutil.rmtree", lambda *_, **__: None)  # as when the process is killed
    with pytest.raises(RunError, match="could not be written"):
        made[1].save(tmp_path / "run")
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".run.")
    for path in (left, tmp_path / "run"):
        with pytest.raises(RunError, match="no run at"):
            load(path)


def test_a_model_says_what_it_lacks(made):
    run, model = made
    with pytest.raises(UsageError, match="give it a panel"):
        load(run).forecast()
    with pytest.raises(UsageError, match="not trained from a URL"):
        newest(replace(model, config=model.config.having("source", url=None)))
    with pytest.raises(UsageError, match="the panel's grid is D, the model was trained on h"):
        model.forecast(replace(model.panel, grid=Grid(Frequency.parse("D"))))
    with pytest.raises(UsageError, match=r"no history by 2023-12-31 00:00 in None/1, a/1, a/b/2$"):
        model.forecast(as_of="2023-12-31 00:00")
    with pytest.raises(UsageError, match="no date was given"):
        model.forecast(at=[])
    with pytest.raises(UsageError, match="no series 'zz'; there are None/1, a/1, a/b/2"):
        model.forecast(series=["zz"])
    rows = model.forecast(series=["a/b/2", "None/1"], horizon=1).rows
    assert rows.select(["shop", "item"]).to_pylist()[::2] == [{"shop": "a/b", "item": 2}, {"shop": None, "item": 1}]
