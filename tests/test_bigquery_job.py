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
from importlib.resources import files
from pathlib import Path

import pytest
from google.cloud import bigquery as google

from gatecast import load
from gatecast.newest import newest
from gatecast.store import open_store

ROOT = Path(__file__).parents[1]
NAMES = ["--table", "taxi", "--time", "timestamp", "--target", "value", "--timezone", "America/New_York"]
QUICK = ["--horizon", 48, "--epochs", 1, "--steps", 4, "--recipe", "segment", "--hidden", 8, "--device", "cpu"]
AI_FORECAST = [
    "forecast_timestamp",
    "forecast_value",
    "confidence_level",
    "prediction_interval_lower_bound",
    "prediction_interval_upper_bound",
    "ai_forecast_status",
]


def gatecast(*arguments, cwd, code=0):
    """What a command says on stderr."""
    command = [sys.executable, "-m", "gatecast", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


def load_taxi(url, table="taxi"):
    rows = gzip.decompress((files("gatecast") / "demo_data" / "nyc_taxi.csv.gz").read_bytes())
    schema = [google.SchemaField("timestamp", "DATETIME"), google.SchemaField("value", "INTEGER")]
    config = google.LoadJobConfig(source_format="CSV", skip_leading_rows=1, schema=schema)
    with open_store(url) as store:
        store.client.load_table_from_file(io.BytesIO(rows), f"{store.dataset}.{table}", job_config=config).result()


def ask(url, sql):
    with open_store(url) as store:
        return [tuple(row) for row in store.client.query(sql.format(url.rpartition("/")[2])).result()]


def test_fit_forecast_twice_and_the_very_same_rows_again(bigquery, tmp_path):
    load_taxi(bigquery)
    gatecast("fit", bigquery, *NAMES, *QUICK, "--run", "run", cwd=tmp_path)
    for _ in range(2):
        said = gatecast("forecast", "run", "--to", bigquery, "--into", "forecasts", cwd=tmp_path)
        assert "wrote 96 rows" in said
    assert ask(bigquery, "SELECT COUNT(*), COUNT(DISTINCT forecast_timestamp) FROM {}.forecasts") == [(96, 48)]
    with open_store(bigquery) as store:
        view = store.client.get_table(f"{store.dataset}.forecasts_latest")
        assert [field.name for field in view.schema] == AI_FORECAST
        assert view.schema[0].field_type == "TIMESTAMP"  # of a DATETIME
    assert ask(bigquery, "SELECT COUNT(*), MAX(ai_forecast_status) FROM {}.forecasts_latest") == [(96, "")]

    ask(bigquery, "INSERT INTO {}.taxi VALUES (DATETIME '2015-02-01 00:00:00', 9)")
    gatecast("fit", "--from", "run", "--run", "again", "--epochs", 1, cwd=tmp_path)
    manifests = [json.loads((tmp_path / run / "manifest.json").read_text()) for run in ("run", "again")]
    audits = [manifest["audit"] | {"agreement": None} for manifest in manifests]  # inferred once, then known
    assert audits[0] == audits[1]
    assert manifests[0]["query"] == manifests[1]["query"]
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("run", "again")]
    assert weights[0] == weights[1]
    assert "snapshot" not in tomllib.loads((tmp_path / "again" / "config.toml").read_text())["source"]

    model = load(tmp_path / "run")
    few, all_ = newest(model, context=True), newest(model)
    assert few.reading.rows == model.config.model.context + 1
    assert all_.reading.rows == 10_321
    assert model.forecast(few).rows.equals(model.forecast(all_).rows)
    assert model.forecast(few).rows.column("cutoff")[0].as_py() == dt.datetime(2015, 2, 1)


def test_a_newer_cutoff_takes_the_place_of_an_older_one_in_the_view(bigquery, tmp_path):
    load_taxi(bigquery)
    gatecast("fit", bigquery, *NAMES, *QUICK, "--run", "run", cwd=tmp_path)
    for as_of in ("2015-01-30", "2015-01-30 12:00"):
        gatecast("forecast", "run", "--as-of", as_of, "--to", bigquery, "--into", "forecasts", cwd=tmp_path)
    assert ask(bigquery, "SELECT COUNT(*) FROM {}.forecasts") == [(192,)]
    assert ask(bigquery, "SELECT COUNT(*) FROM {}.forecasts_latest") == [(2 * (48 + 24),)]


@pytest.mark.parametrize("arguments", [[], ["{}", "--from", "run"]])
def test_fit_reads_one_thing(arguments, bigquery, tmp_path):
    said = gatecast("fit", *[part.format(bigquery) for part in arguments], "--run", "new", cwd=tmp_path, code=2)
    assert "--from RUN" in said


def test_only_bigquery_keeps_its_past(tmp_path):
    demo = files("gatecast") / "demo_data" / "nyc_taxi.csv.gz"
    gatecast("fit", demo, *NAMES[2:], *QUICK, "--run", "run", cwd=tmp_path)
    assert "only tables of BigQuery" in gatecast("fit", "--from", "run", "--run", "new", cwd=tmp_path, code=2)


def test_the_example_runs_as_it_stands(bigquery, tmp_path):
    """The two commands of its README, on its TOML file with the project and data set put in."""
    example = ROOT / "examples" / "bigquery"
    dataset = bigquery.rpartition("/")[2]
    load_taxi(bigquery)
    text = (example / "demand.toml").read_text().replace("my-project/sales", f"proj/{dataset}")
    (tmp_path / "demand.toml").write_text(text)
    commands = re.findall(r"^\$ gatecast (.*)$", (example / "README.md").read_text(), re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["fit", "forecast"]
    for command in commands:
        words = shlex.split(command.replace("my-project/forecasts", f"proj/{dataset}"))
        quick = ["--epochs", "1", "--steps", "4"] if words[0] == "fit" else []
        gatecast(*words, *quick, cwd=tmp_path)
    assert ask(bigquery, "SELECT COUNT(*) FROM {}.demand_latest") == [(96,)]
