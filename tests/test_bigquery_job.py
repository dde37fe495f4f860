"""The whole job on a BigQuery server: fit, forecast into a table twice, the same rows again, the example."""

import datetime as dt
import gzip
import io
import json
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest
from google.cloud import bigquery as google

from gatecast import load
from gatecast.__main__ import main
from gatecast.newest import newest
from gatecast.store import open_store

ROOT = Path(__file__).parents[1]
NAMES = ["--table", "taxi", "--time", "timestamp", "--target", "value", "--timezone", "America/New_York"]
ROWS = 92 * 48  # from November 2014 on
QUICK = ["--horizon", 48, "--epochs", 1, "--steps", 4, "--recipe", "segment", "--hidden", 8, "--device", "cpu"]
QUICK += ["--baselines", 0]
AI_FORECAST = [
    "forecast_timestamp",
    "forecast_value",
    "confidence_level",
    "prediction_interval_lower_bound",
    "prediction_interval_upper_bound",
    "ai_forecast_status",
]


@pytest.fixture
def gatecast(job, monkeypatch, capsys):
    """A function that runs a command in the folder of the job, and gives what it says on stderr."""
    monkeypatch.chdir(job.folder)

    def run(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["gatecast", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr().err
        assert left.value.code == code, said
        assert "Traceback" not in said
        return said

    return run


@dataclass(frozen=True)
class Job:
    """The URL of a data set with the table `taxi`, and a folder with a run trained on it."""

    url: str
    folder: Path


@pytest.fixture(scope="module")
def job(bigquery_server, tmp_path_factory):
    """What every test here begins with."""
    with pytest.MonkeyPatch.context() as patch:
        url, folder = bigquery_server.dataset(patch), tmp_path_factory.mktemp("job")
        load_taxi(url)
        command = [sys.executable, "-m", "gatecast", "fit", url, *NAMES, *QUICK, "--run", folder / "run"]
        subprocess.run([*map(str, command)], check=True, capture_output=True)
        yield Job(url, folder)


def load_taxi(url):
    head, *lines = gzip.decompress((files("gatecast") / "demo_data" / "nyc_taxi.csv.gz").read_bytes()).splitlines(True)
    rows = head + b"".join(lines[-ROWS:])
    schema = [google.SchemaField("timestamp", "DATETIME"), google.SchemaField("value", "INTEGER")]
    config = google.LoadJobConfig(source_format="CSV", skip_leading_rows=1, schema=schema)
    with open_store(url) as store:
        store.client.load_table_from_file(io.BytesIO(rows), f"{store.dataset}.taxi", job_config=config).result()


def ask(url, sql):
    with open_store(url) as store:
        return [tuple(row) for row in store.client.query(sql.format(url.rpartition("/")[2])).result()]


def test_forecasts_written_twice_and_the_very_same_rows_again(job, gatecast):
    for _ in range(2):
        assert "wrote 96 rows" in gatecast("forecast", "run", "--to", job.url, "--into", "forecasts")
    assert ask(job.url, "SELECT COUNT(*), COUNT(DISTINCT forecast_timestamp) FROM {}.forecasts") == [(96, 48)]
    with open_store(job.url) as store:
        view = store.client.get_table(f"{store.dataset}.forecasts_latest")
        assert [field.name for field in view.schema] == AI_FORECAST
        assert view.schema[0].field_type == "TIMESTAMP"  # of a DATETIME
    assert ask(job.url, "SELECT COUNT(*), MAX(ai_forecast_status) FROM {}.forecasts_latest") == [(96, "")]

    ask(job.url, "INSERT INTO {}.taxi VALUES (DATETIME '2015-02-01 00:00:00', 9)")
    gatecast("fit", "--from", "run", "--run", "again", "--epochs", 1)  # the first was trained by another process
    manifests = [json.loads((job.folder / run / "manifest.json").read_text()) for run in ("run", "again")]
    audits = [manifest["audit"] | {"agreement": None} for manifest in manifests]  # inferred once, then known
    assert audits[0] == audits[1]
    assert manifests[0]["query"] == manifests[1]["query"]
    weights = [(job.folder / run / "model.safetensors").read_bytes() for run in ("run", "again")]
    assert weights[0] == weights[1]
    assert "snapshot" not in tomllib.loads((job.folder / "again" / "config.toml").read_text())["source"]

    model = load(job.folder / "run")
    few, all_ = newest(model, context=True), newest(model)
    assert few.reading.rows == model.config.model.context + 1
    assert all_.reading.rows == ROWS + 1
    assert model.forecast(few).rows.equals(model.forecast(all_).rows)
    assert model.forecast(few).rows.column("cutoff")[0].as_py() == dt.datetime(2015, 2, 1)


def test_a_query_with_a_time_travel_of_its_own_is_asked_whether_its_rows_are_the_same(job, gatecast):
    ask(job.url, "CREATE TABLE {0}.short AS SELECT timestamp, value FROM {0}.taxi WHERE timestamp < '2014-12-15'")
    query = "SELECT * FROM short FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()"
    names = ["--time", "timestamp", "--target", "value", "--freq", "30min"]
    gatecast("fit", job.url, "--sql", query, *names, *QUICK, "--run", "travelled")
    ask(job.url, "UPDATE {}.short SET value = value + 1 WHERE TRUE")
    said = gatecast("fit", "--from", "travelled", "--run", "others", code=1)
    assert "the rows that travelled has read are not there as they were" in said
    assert not (job.folder / "others").exists()


def test_a_newer_cutoff_takes_the_place_of_an_older_one_in_the_view(job, gatecast):
    for as_of in ("2015-01-30", "2015-01-30 12:00"):
        gatecast("forecast", "run", "--as-of", as_of, "--to", job.url, "--into", "past")
    assert ask(job.url, "SELECT COUNT(*) FROM {}.past") == [(192,)]
    assert ask(job.url, "SELECT COUNT(*) FROM {}.past_latest") == [(2 * (48 + 24),)]


@pytest.mark.parametrize("arguments", [[], ["{}", "--from", "run"]])
def test_fit_reads_one_thing(arguments, job, gatecast):
    said = gatecast("fit", *[part.format(job.url) for part in arguments], "--run", "new", code=2)
    assert "--from RUN" in said


def test_the_example_runs_as_it_stands(job, gatecast):
    """The two commands of its README, on its TOML file with the project and data set put in."""
    example = ROOT / "examples" / "bigquery"
    dataset = job.url.rpartition("/")[2]
    text = (example / "demand.toml").read_text().replace("my-project/sales", f"proj/{dataset}")
    (job.folder / "demand.toml").write_text(text)
    commands = re.findall(r"^\$ gatecast (.*)$", (example / "README.md").read_text(), re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["fit", "forecast"]
    for command in commands:
        words = shlex.split(command.replace("my-project/forecasts", f"proj/{dataset}"))
        quick = ["--epochs", "1", "--steps", "4"] if words[0] == "fit" else []
        gatecast(*words, *quick)
    assert ask(job.url, "SELECT COUNT(*) FROM {}.demand_latest") == [(96,)]
