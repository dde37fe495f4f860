"""What the documents say is run."""

import doctest
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pytest
from typer.main import get_command

from gatecast.cli import app
from gatecast.store import open_store

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
SMALL = ["--epochs", "1", "--steps", "2", "--hidden", "8"]


def commands(text):
    """The gatecast commands of a page, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line.removeprefix("$ ") for line in joined.splitlines() if re.match(r"\$ gatecast \w", line)]


@pytest.mark.parametrize("page", ["covariates.md", "lstm.md", "time.md"])
def test_examples_compute_what_they_say(page):
    found = doctest.testfile(str(ROOT / "docs" / page), module_relative=False)
    assert (found.failed, found.attempted > 5) == (0, True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_named_is_there(page):
    known = get_command(app).commands
    for line in commands(page.read_text()):
        words = shlex.split(line.partition("<")[0].partition("#")[0])
        options = {option for part in known[words[1]].params for option in part.opts + part.secondary_opts}
        assert {word for word in words if word.startswith("--")} <= options, line
    named = set(re.findall(r"`gatecast (\w+)", page.read_text()))
    assert named <= {*known, "SOURCE"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_linked_is_there(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def test_every_test_that_holds_a_promise_is_there():
    cited = re.findall(r"`(tests/\S+\.py)::(\w+)`", (ROOT / "docs" / "reliability.md").read_text())
    assert len(cited) > 25
    for file, name in cited:
        assert f"def {name}(" in (ROOT / file).read_text(), name


def test_the_first_two_commands_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    days = [f"2025-{month:02}-{day:02}" for month in range(1, 6) for day in range(1, 29)]
    rows = pa.table({"shop": ["a"] * len(days), "day": days, "amount": [float(i % 7) for i in range(len(days))]})
    with open_store("sales.duckdb", write=True) as store:
        store.write("sales", rows.set_column(1, "day", rows["day"].cast(pa.date32())), ["shop", "day"])
    fit, forecast = commands((ROOT / "README.md").read_text())[:2]
    for line, more in ((fit.replace(" --table sales", ""), [*SMALL, "--freq", "D"]), (forecast, [])):
        # Twice: the database has other tables by then, and the run still knows its own.
        for again in ([], ["--overwrite"] if more else []):
            assert not app([*shlex.split(line)[1:], *more, *again], standalone_mode=False)
    with open_store("sales.duckdb") as store:
        written = store.connection.execute("SELECT count(*), count(DISTINCT forecast_timestamp) FROM forecasts")
        assert written.fetchall() == [(28, 14)]
