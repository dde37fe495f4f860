"""The command line: settings in, data to stdout, everything else to stderr."""

import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from gatecast import Config, audit, backtest, cli, fit, load, pipeline
from gatecast.__main__ import main
from gatecast.config import TABLE_OF, TABLES
from gatecast.evaluation.proof import Proof

SOURCE = {"table": "t", "time": "at", "target": "y", "series": "name"}
TINY = {"horizon": 6, "epochs": 2, "steps": 4, "hidden": 8}
DATES = ("2024-01-11 03:00", "2024-01-05 00:00", "2024-01-20 00:00")
HEAVY = {"torch", "duckdb", "pyarrow", "matplotlib", "numpy", "sqlglot"}


def options(settings):
    return [part for name, value in settings.items() for part in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a database of two hourly series and a run."""
    folder = tmp_path_factory.mktemp("place")
    steps, name = np.tile(np.arange(240), 2), np.repeat(np.arange(2), 240)
    values = 10 + 5 * name + 3 * np.sin(steps * np.pi / 12) + np.random.default_rng(0).normal(0, 0.3, 480)
    times = np.datetime64("2024-01-01", "us") + steps * np.timedelta64(1, "h")
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        connection.register("rows", pa.table({"at": times, "name": [f"s{i}" for i in name], "y": values}))
        connection.execute("CREATE TABLE t AS SELECT * FROM rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fit("shop.duckdb", run="run", **SOURCE, **TINY)
    return folder


@pytest.fixture
def call(place, monkeypatch, capsysbinary):
    """Run the command line in the folder; what it prints as data, and what it says."""
    monkeypatch.chdir(place)
    monkeypatch.delenv("GATECAST_DEBUG", raising=False)

    def run(*arguments, stdin="", code=0):
        monkeypatch.setattr(sys, "argv", ["gatecast", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as left:
            main()
        out, said = capsysbinary.readouterr()
        assert left.value.code == code, said.decode()
        return out, said.decode()

    return run


LONG = "x" * 5_000
FIT = ["fit", "shop.duckdb", *options(SOURCE), "--horizon", "2"]
TOO_LONG = [
    [*FIT, "--run", LONG],
    [*FIT, "--run", "new", "--future", "z", "--future-table", LONG],
    ["fit", "--resume", LONG],
    ["fit", "--from", LONG, "--run", "new"],
    ["fit", f"{LONG}.toml", "--run", "new"],
    ["forecast", LONG],
    ["forecast", "run", "--at", LONG],
    ["forecast", "run", "--at", "run/model.safetensors"],
    ["forecast", "run", "--to", f"{LONG}.csv"],
    ["inspect", "run", "--to", LONG],
    ["report", LONG],
    ["demo", "--folder", LONG],
]
OTHER = "caf\udce9"
"""The name of a folder whose bytes are not UTF-8, as of an old disk."""
NOT_UTF8 = [
    ["audit", f"{OTHER}/shop.duckdb", *options(SOURCE)],
    ["audit", f"{OTHER}/shop.csv", *options(SOURCE)],
    [*FIT, "--run", f"{OTHER}/run"],
    ["forecast", f"{OTHER}/run"],
    ["forecast", "run", "--to", f"{OTHER}/new.csv"],
    ["forecast", "run", "--to", f"{OTHER}/new.duckdb", "--into", "t"],
]


@pytest.mark.parametrize(
    "arguments", TOO_LONG, ids=lambda parts: " ".join(part[:12] for part in parts[:1] + parts[-2:])
)
def test_a_name_that_no_file_can_have_is_refused_in_a_sentence(arguments, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    before = sorted(place.iterdir())
    monkeypatch.setattr(sys, "argv", ["gatecast", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr().err
    assert left.value.code in (1, 2)
    assert "--debug" not in said  # nothing that nobody thought of
    assert len(said.splitlines()) == 1
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize("arguments", NOT_UTF8, ids=lambda parts: parts[-1].encode(errors="replace").decode())
def test_a_name_that_is_not_utf8_is_refused_before_anything_is_done(arguments, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["gatecast", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert re.fullmatch(r"gatecast: '\S*caf\\udce9/\S*' is no name in UTF-8: rename it\n", said)


@pytest.fixture
def expected(place, monkeypatch):
    """What Python forecasts from the run."""
    monkeypatch.chdir(place)
    model = load("run")

    def forecast(**asked):
        return model.forecast(pipeline.newest(model), **asked).to_pandas()

    return forecast


def frame(out):
    found = pd.read_csv(io.BytesIO(out), parse_dates=["forecast_timestamp", "cutoff"])
    return found.astype({"forecast_timestamp": "datetime64[us]", "cutoff": "datetime64[us]"})


def python(*arguments, **kwargs):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, **kwargs)


def test_help_needs_nothing_heavy():
    code = "import sys; from gatecast.__main__ import main; sys.argv = ['gatecast', '--help']; main()"
    watched = (
        f"import sys, atexit; atexit.register(lambda: print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr));"
    )
    ended = python("-c", watched + code)
    assert (ended.returncode, ended.stderr) == (0, "[]\n")
    for verb in ("audit", "fit", "test", "forecast", "backtest", "inspect", "report", "demo"):
        assert re.search(rf"\b{verb}\b", ended.stdout)


def test_every_setting_has_an_option_and_help():
    parameters = {part.name: part for part in typer.main.get_command(cli.app).commands["fit"].params}
    assert TABLE_OF.keys() - {"url"} <= set(parameters)
    for table in TABLES.values():
        for name, field in table.model_fields.items():
            assert field.description, name
            if name != "url":
                assert parameters[name].opts == ["--" + name.replace("_", "-")]
                assert parameters[name].help.startswith(field.description)
    off = {name: part.secondary_opts for name, part in parameters.items() if part.secondary_opts}
    assert off == {"refit": ["--no-refit"], "series_embedding": ["--no-series-embedding"]}
    for command in typer.main.get_command(cli.app).commands.values():
        assert command.help
        assert all(getattr(part, "help", None) for part in command.params), command.name


def test_defaults_with_a_unit_are_told_with_it():
    parameters = {part.name: part for part in typer.main.get_command(cli.app).commands["fit"].params}
    told = {name: part.help.rsplit("default: ", 1)[1] for name, part in parameters.items() if "default" in part.help}
    assert told["baselines"] == "30s, or --time-limit if less"
    told["baselines"] = "30s"
    units = {name: told[name] for name in ("time_limit", "baselines", "checkpoint_every", "max_bytes")}
    assert units == {"time_limit": "10m", "baselines": "30s", "checkpoint_every": "30s", "max_bytes": "10GB"}
    assert Config.from_options("t.csv", units) == Config.from_options("t.csv", {})


GIVEN = {
    "table": "t", "time": "at", "target": "y", "since": "2024-01-02", "until": "2024-02-01", "freq": "h",
    "snapshot": "2024-03-01", "location": "EU", "max_bytes": 5_000_000, "time_unit": "ms",
    "future_table": "plan", "holidays_column": "land",
    "timezone": "UTC", "aggregate": "max", "fill": "zero", "align": "common", "holidays": "DE",
    "synthetic": 5, "skip": True, "by_series": True,
    "horizon": 3, "metric": "mae", "recipe": "classic", "context": 10,
    "reach": 8, "segment": 2, "scaling": "robust", "hidden": 7, "layers": 2, "dropout": 0.3, "seed": 4, "device": "cpu",
    "time_limit": 90.0, "baselines": 5.0, "epochs": 5, "steps": 6, "batch": 9, "rate": 0.5, "patience": 3, "test": 0.2,
    "precision": "bf16", "bounds": "0:9.5", "logs": True, "gated": True, "intermittent": True, "adjusted": True,
    "clock": False, "winsorized": True, "plain": True, "calendar": False, "members": 2, "checkpoint_every": 60.0,
}  # fmt: skip
LISTS = {
    "series": ("a", "b"),
    "static": ("c",),
    "past": ("d", "e"),
    "future": ("f",),
    "label": ("team:a", "team:b"),
    "level": (50.0, 90.0),
    "seasons": (3, 9),
}


def test_every_option_reaches_its_setting(call, monkeypatch):
    seen = []
    monkeypatch.setattr(pipeline, "fit", lambda source, **_: seen.append(source) or sys.exit(0))
    given = [part for name, value in GIVEN.items() for part in (f"--{name.replace('_', '-')}", value)]
    given += [part for name, values in LISTS.items() for value in values for part in (f"--{name}", value)]
    call("fit", "shop.duckdb", "--run", "new", "--no-refit", "--series-embedding", *given)
    flags = {"refit": False, "series_embedding": True}
    assert GIVEN.keys() | LISTS.keys() | flags.keys() | {"url", "sql"} == TABLE_OF.keys()
    assert seen[0] == Config.from_options("shop.duckdb", GIVEN | LISTS | flags)
    call("fit", "shop.duckdb", "--run", "new", "--sql", "FROM t")
    assert seen[1] == Config.from_options("shop.duckdb", {"sql": "FROM t"})


def test_a_wrong_choice_is_told_in_plain_words():
    ended = python("-m", "gatecast", "fit", "sales.csv", "--precision", "half")
    told = "gatecast: Invalid value for '--precision': 'half' is not one of 'float32', 'bf16'.\n"
    assert (ended.returncode, ended.stderr) == (2, told)


def test_options_win_over_a_file_of_settings(call, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(pipeline, "audit", lambda config, **_: seen.append(config) or sys.exit(0))
    text = '[source]\nurl = "a.csv"\ntime = "at"\nseries = ["x", "z"]\n[forecast]\nhorizon = 3\nlevel = 90\n'
    (tmp_path / "settings.toml").write_text(text)
    call("audit", tmp_path / "settings.toml", "--time", "day", "--level", "50", "--freq", "D")
    expected = {"time": "day", "series": ["x", "z"], "horizon": 3, "level": [50], "freq": "D"}
    assert seen == [Config.from_options("a.csv", expected)]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("a.toml --time-limit x", "--time-limit: write a duration as 90s, 10m or 1.5h, got 'x' instead"),
        ("--from run --horizon 0", "--horizon: input should be greater than or equal to 1, got 0 instead"),
        ("a.toml --table t --sql q", "give --table or --sql, not both"),
        ("a.toml --future-table plan", "say which columns of --future-table are known in advance: --future NAME"),
        ("a.toml --time y --target y", "a column has one meaning, these have more: 'y'"),
        ("b.toml --epochs 1", "model.hidden: input should be greater than or equal to 1, got 0 instead"),
    ],
)
def test_a_wrong_setting_is_called_as_it_was_written(place, monkeypatch, capsys, asked, told):
    monkeypatch.chdir(place)
    for name, hidden in (("a.toml", 8), ("b.toml", 0)):
        (place / name).write_text(f"[model]\nhidden = {hidden}\n")
    monkeypatch.setattr(sys, "argv", ["gatecast", "fit", "--run", "new", *asked.split()])
    with pytest.raises(SystemExit) as left:
        main()
    assert (left.value.code, capsys.readouterr().err) == (2, f"gatecast: {told}\n")


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "table"])
def test_every_form_holds_the_same_rows(call, expected, form):
    out, said = call("forecast", "run", "--horizon", 7, "--format", form)
    rows = expected(horizon=7)
    assert said == ""
    if form == "csv":
        pd.testing.assert_frame_equal(frame(out), rows)
    elif form == "parquet":
        pd.testing.assert_frame_equal(pq.read_table(io.BytesIO(out)).to_pandas(), rows)
    elif form == "json":
        times = {name: rows[name].map(lambda time: time.isoformat()) for name in ("forecast_timestamp", "cutoff")}
        assert json.loads(out) == rows.assign(**times).to_dict("records")
    else:
        head, *lines = (re.split(r"\s{2,}", line.strip()) for line in out.decode().splitlines())
        assert head == list(rows.columns)
        shown = [[f"{v:,.4g}" if isinstance(v, float) else str(v) for v in row] for row in rows.itertuples(index=False)]
        assert lines == shown


def test_a_long_table_says_what_it_left_out(call):
    out, said = call("forecast", "run", "--horizon", 20)
    assert len(out.splitlines()) == 61
    assert "the first 60 of 80 rows; --format csv gives all" in said


@pytest.mark.parametrize(
    ("horizon", "told"), [(60, ""), (61, "61 steps ahead is 10 times the trained horizon: 6 steps")]
)
def test_forecasts_far_beyond_the_trained_horizon_come_with_a_warning(call, horizon, told):
    _, said = call("forecast", "run", "--horizon", horizon, "--format", "csv")
    assert said.startswith(told)
    assert bool(said) == bool(told)


def test_dates_from_the_command_line_from_stdin_and_from_a_file(call, expected, tmp_path):
    rows = expected(at=DATES)
    (tmp_path / "dates").write_text(f"{DATES[1]}\n\n {DATES[2]} \n")
    for arguments, stdin in (
        ([part for date in DATES for part in ("--at", date)], ""),
        (["--at", "-"], "\n".join(DATES)),
    ):
        out, _ = call("forecast", "run", *arguments, "--format", "csv", stdin=stdin)
        pd.testing.assert_frame_equal(frame(out), rows)
    for text in (tmp_path / "dates").read_text(), "\ufeff" + "\n".join(DATES[1:]):  # as Windows writes it, too
        (tmp_path / "dates").write_text(text, encoding="utf-8")
        out, _ = call("forecast", "run", "--at", DATES[0], "--at", tmp_path / "dates", "--format", "csv")
        pd.testing.assert_frame_equal(frame(out), rows)
    out, _ = call("forecast", "run", "--as-of", "2024-01-05 00:00", "--series", "s1", "--format", "csv")
    pd.testing.assert_frame_equal(frame(out), expected(as_of="2024-01-05 00:00", series=["s1"]))


def test_series_that_begin_after_a_date_are_named_and_the_others_forecast(call, expected, place):
    """But for those that are asked for by name."""
    shop, early = str(place / "shop.duckdb"), expected(at=DATES)
    with duckdb.connect(shop) as connection:
        connection.execute("INSERT INTO t SELECT \"at\", 'new', y FROM t WHERE name = 's0' AND \"at\" >= '2024-01-05'")
    try:
        dates = [part for date in DATES for part in ("--at", date)]
        out, said = call("forecast", "run", *dates, "--format", "csv")
        pd.testing.assert_frame_equal(frame(out), early)
        assert "1 series has no history before 2024-01-05 00:00 and is left out: new\n" in said
        _, said = call("forecast", "run", *dates, "--series", "new", "--format", "csv", code=2)
        assert "2024-01-05 00:00 has no history before it in new (from 2024-01-05 00:00)" in said
        out, said = call("forecast", "run", "--at", "2024-01-05 01:00", "--format", "csv")
        assert ("left out" not in said, sorted(set(frame(out)["name"]))) == (True, ["new", "s0", "s1"])
    finally:
        with duckdb.connect(shop) as connection:
            connection.execute("DELETE FROM t WHERE name = 'new'")


def test_forecasts_are_written_once_however_often(call, expected, place):
    for _ in range(2):
        out, said = call("forecast", "run", "--at", DATES[0], "--to", "shop.duckdb", "--into", "forecasts")
        assert out == b""
        assert "wrote 4 rows to shop.duckdb forecasts" in said
    one = ("--at", DATES[0], "--level", "80", "--series", "s1", "--to", "one.csv")
    assert "wrote 1 row to one.csv" in call("forecast", "run", *one)[1]
    with duckdb.connect(str(place / "shop.duckdb"), read_only=True) as connection:
        found = connection.sql("FROM forecasts ORDER BY name, confidence_level").df()
    pd.testing.assert_frame_equal(found, expected(at=DATES[:1]))
    call("forecast", "run", "--to", "out.parquet")
    pd.testing.assert_frame_equal(pq.read_table(place / "out.parquet").to_pandas(), expected())


def test_fit_tells_its_steps_on_stderr_and_its_metrics_on_stdout(call, place):
    arguments = ["fit", "shop.duckdb", "--run", "a new one", *options(SOURCE), *options(TINY)]
    out, said = call(*arguments, "--format", "json")
    assert json.loads(out)["metrics"] == json.loads((place / "a new one" / "metrics.json").read_text())
    assert re.findall(r"^ ?(\d+)/11 ", said, re.MULTILINE) == [str(number) for number in range(1, 11)]
    assert "training, epoch 1 of 2: loss " in said
    assert "next: gatecast forecast 'a new one'" in said
    out, _ = call(*arguments, "--overwrite")
    assert "seasonal naive" in out.decode()


def test_fit_goes_on_with_what_was_stopped(call, place, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(str(place / "shop.duckdb"), run=place / "stopped", **SOURCE, **TINY)
    out, said = call("fit", "--resume", "stopped", "--format", "json")
    assert json.loads(out)["metrics"] == json.loads((place / "stopped" / "metrics.json").read_text())
    assert re.findall(r"^ ?(\d+)/11 ", said, re.MULTILINE) == [str(number) for number in range(1, 11)]
    assert "training, epoch" not in said
    assert "next: gatecast forecast stopped" in said


def test_audit_prints_facts_and_findings(call):
    arguments = ["audit", "shop.duckdb", *options(SOURCE)]
    out, said = call(*arguments, "--format", "json")
    assert json.loads(out) == json.loads(json.dumps(audit("shop.duckdb", **SOURCE).to_dict()))
    assert said == ""
    text = call(*arguments)[0].decode()
    assert "480 rows, 2 series, 2024-01-01 00:00 to 2024-01-10 23:00" in text
    assert "frequency h (inferred: fits 100.0 % of the gaps), zone none" in text
    assert "series too short to learn from" in call(*arguments, "--horizon", 80)[0].decode()


def test_a_strict_audit_fails_where_something_needs_a_decision(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    holes = "SELECT * FROM t WHERE hour(t.\"at\") != 5 OR name = 's0'"
    arguments = [
        "gatecast",
        "audit",
        "shop.duckdb",
        "--sql",
        holes,
        *options({**SOURCE, "table": None})[2:],
        "--strict",
    ]
    for more, code, told in (([], 1, "needs a decision: missing steps (--fill)"), (["--fill", "missing"], 0, "")):
        monkeypatch.setattr(sys, "argv", [*arguments, *more])
        with pytest.raises(SystemExit) as left:
            main()
        out, said = capsys.readouterr()
        assert (left.value.code, "missing steps" in out) == (code, True)
        assert told in said


def test_rows_after_an_as_of_date_are_not_read_and_early_ends_are_told(call, place):
    before = call("forecast", "run", "--as-of", "2024-01-08 05:00", "--format", "json")
    with duckdb.connect(str(place / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE kept AS FROM t")
        # Read, this row would stop everything; and this one would be a third series.
        connection.execute("INSERT INTO t VALUES ('2024-01-08 06:00', 's0', 'inf')")
        connection.execute("INSERT INTO t VALUES ('2024-02-01 00:00', 'late', 1)")
    try:
        assert call("forecast", "run", "--as-of", "2024-01-08 05:00", "--format", "json") == before
        assert {row["kind"] for row in json.loads(before[0])} == {"in_sample"}
        with duckdb.connect(str(place / "shop.duckdb")) as connection:
            connection.execute("DELETE FROM t WHERE y = 'inf'")
        said = call("forecast", "run", "--format", "json")[1]
        assert said == "2 series end before the others: s0 ends 2024-01-10 23:00, s1 ends 2024-01-10 23:00\n"
    finally:
        with duckdb.connect(str(place / "shop.duckdb")) as connection:
            connection.execute("CREATE OR REPLACE TABLE t AS FROM kept; DROP TABLE kept")


def test_test_and_backtest_print_their_evidence(call, place):
    told = json.loads((place / "run" / "metrics.json").read_text())
    assert json.loads(call("test", "run", "--format", "json")[0]) == told
    text = call("test", "run")[0].decode()
    assert told["verdict"]["sentence"] in text
    early = json.loads(call("test", "run", "--as-of", "2024-01-10 11:00", "--format", "json")[0])
    assert early["windows"] == told["windows"] - 2 * 12
    assert "No leak: 62 forecasts made again" in call("test", "run", "--prove")[1]
    assert all(reason in text for reason in told["verdict"]["reasons"].values())
    assert f"the 80 % intervals cover {told['overall']['coverage']['80']:.1f} %" in text
    arguments = ["backtest", "shop.duckdb", "--windows", "3", *options(SOURCE), *options(TINY)]
    rows = backtest("shop.duckdb", windows=3, **SOURCE, **TINY).to_arrow().to_pandas()
    pd.testing.assert_frame_equal(frame(call(*arguments, "--format", "csv")[0]), rows, check_dtype=False, rtol=1e-6)
    assert re.search(r"mae +\d", call(*arguments)[0].decode())


def test_inspect_and_report_write_what_they_say(call, place, monkeypatch):
    out, said = call("inspect", "run", "--series", "s1", "--to", "looked", "--at", "2029-09-01", "--format", "csv")
    rows = pd.read_csv(io.BytesIO(out))
    assert sorted(rows["unit"]) == list(range(8))
    assert rows["half_life_steps"].is_monotonic_decreasing
    assert "the one examined reads 24 steps (1 day) in segments of 6" in said
    assert said.splitlines()[-1] == "four figures are in looked"  # where report does not look
    assert (place / "looked" / "gates.png").read_bytes().startswith(b"\x89PNG")
    assert "2029-09-01 lies beyond the rows: the cutoff is the last of them, 2024-01-10 23:00\n" in said
    for _ in range(2):  # the second replaces the first
        out, said = call("inspect", "run", "--format", "json")
        assert "beyond the rows" not in said
        told = json.loads(out)
        assert told == json.loads((place / "run" / "inspect" / "inspection.json").read_text())
    assert told["series"] == "s0"
    opened = []
    monkeypatch.setattr(typer, "launch", opened.append)
    out, said = call("report", "run", "--open")
    assert (out, said.strip()) == (b"", "wrote run/report.html")
    assert opened == ["run/report.html"]
    assert (place / "run" / "report.html").read_text().startswith("<!doctype html>")


def test_the_demo_is_made_where_it_is_asked_for(call, monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr("gatecast.demo.run", lambda *given: made.append(given))
    call("demo")
    call("demo", "--folder", tmp_path / "shown", "--overwrite")
    assert made == [(Path("gatecast-demo"), False), (tmp_path / "shown", True)]


def test_a_leak_is_a_failure(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setattr(pipeline, "prove", lambda *_: Proof(62, 5, {"quantiles": 3}))
    monkeypatch.setattr(sys, "argv", ["gatecast", "test", "run", "--prove"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    assert "gatecast: A leak: 62 forecasts made again after 5 values" in capsys.readouterr().err


def test_nobody_reading_on_is_no_error_message(place):
    """As when `head` has seen enough: many rows into a pipe that is closed after the first."""
    command = [sys.executable, "-m", "gatecast", "forecast", "run", "--horizon", "3000", "--format", "csv"]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith('"name","forecast_timestamp"')
        process.stdout.close()
        assert re.fullmatch("3,000 steps ahead is 500 times .*\n", process.stderr.read())
    assert process.returncode == 1


@pytest.mark.parametrize("log", ["| true", pytest.param("/dev/full", marks=pytest.mark.slow)])
def test_a_log_that_nobody_keeps_does_not_end_the_work(place, log):
    to = f"2>{log}" if log.startswith("/") else f"2>&1 >/dev/null {log}; exit ${{PIPESTATUS[0]}}"
    fit = "fit rows.csv --time at --target y --horizon 2 --epochs 9 --steps 2 --hidden 4 --members 1 --run unheard"
    rows = "".join(f"2024-01-{day:02},{day % 7}\n" for day in range(1, 32))
    (place / "rows.csv").write_text("at,y\n" + rows)
    ended = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m gatecast {fit} --overwrite {to}"], cwd=place, check=False
    )
    assert ended.returncode == 0
    assert (place / "unheard" / "model.json").is_file()


def test_streams_that_are_closed_are_as_if_nobody_read_or_wrote(place):
    """As under some schedulers; a database that is opened next would take the place of stderr."""
    shell = ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "gatecast", "forecast", "run"]
    assert subprocess.run([*shell, "--to", "closed.duckdb", "--into", "out"], cwd=place, check=False).returncode == 0
    with duckdb.connect(str(place / "closed.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT COUNT(*) FROM out").fetchall() == [(24,)]
    assert subprocess.run([*shell, "--format", "csv"], cwd=place, check=False).returncode == 0
    assert subprocess.run([*shell, "--at", "-"], cwd=place, check=False).returncode == 2


def test_version_and_debug(place):
    ended = python("-m", "gatecast", "--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"gatecast {version('gatecast')}\n", "")
    ended = python("-m", "gatecast", "--debug", "forecast", "nowhere", cwd=place)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Traceback" in ended.stderr
    assert "RunError: no run at nowhere" in ended.stderr


@pytest.mark.parametrize(("use", "code"), [(True, 0), (False, 1)])
def test_a_nightly_job_stops_without_skill(place, monkeypatch, capsys, use, code):
    monkeypatch.chdir(place)
    found = pipeline.test(load("run"))
    monkeypatch.setattr(pipeline, "test", lambda *_: (found[0], replace(found[1], use=use)))
    monkeypatch.setattr(sys, "argv", ["gatecast", "test", "run", "--require-skill"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == code
    assert ("no skill is shown over the seasonal naive forecast: " in capsys.readouterr().err) is not use
