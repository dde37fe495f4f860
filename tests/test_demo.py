"""The demo, with a network too small to be good, leaves all that it promises."""

import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout

import duckdb
import pytest

from gatecast import demo, load
from gatecast.errors import RunError

TITLES = ["Read", "Dates to numbers", "Split in time", "Scale", "Windows", "Data to the device", "Define the LSTM"]
TITLES += ["Model to the device", "Train", "Test", "Forecast the dates you name"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a demo, and what it printed on stdout and stderr."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "SETTINGS", demo.SETTINGS | {"epochs": 2, "steps": 3, "hidden": 8})
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as said:
            demo.run(folder)
    return folder, out.getvalue(), said.getvalue()


def test_it_leaves_what_it_promises(made):
    folder, _, said = made
    assert sorted(path.name for path in folder.iterdir()) == ["forecast.png", "run", "taxi.duckdb", "training.png"]
    for name in ("forecast.png", "training.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
        assert (folder / name).stat().st_size > 10_000
    page = (folder / "run" / "report.html").read_text()
    told = json.loads((folder / "run" / "inspect" / "inspection.json").read_text())
    assert told["sentences"][0] in page
    assert "In " + str(folder) in said
    assert load(folder / "run").config.grid.timezone == "America/New_York"


def test_the_eleven_steps_are_announced_in_order(made):
    said = made[2]
    steps = re.findall(r"^ ?(\d+)/11 ([^:]+): (.+)$", said, re.MULTILINE)
    assert [(int(number), title) for number, title, _ in steps] == list(enumerate(TITLES, 1))
    told = [found for *_, found in steps]
    assert told[0] == "10,320 rows, 1 series, 2014-07-01 00:00 to 2015-01-31 23:30; about 350 MB of memory"
    assert told[1].startswith(
        "grid 30min, America/New_York, mean of each step (fits 100.0 % of the gaps); "
        "2 local times that clocks show twice; 2 missing steps; calendar of day and week"
    )  # clocks went back
    assert re.search(r"accuracy \d+\.\d % \(seasonal naive \d+\.\d %\), MAE", told[9])
    assert said.index("training, epoch 1 of 2: loss") < said.index("10/11 Test")


def test_the_next_three_commands_are_told(made):
    assert re.findall(r"^  gatecast (\w+) ", made[2], re.MULTILINE) == ["audit", "fit", "forecast"]


def test_the_dates_named_are_printed_and_stored_with_the_next_ones(made):
    folder, out, _ = made
    time = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)"
    printed = re.findall(rf"^ *{time} .* {time} +(\d+) +(future|test)\s*$", out, re.MULTILINE)
    assert len(printed) == len(out.splitlines()) - 1 == 2 * len(set(printed))  # two levels each, below one heading
    with duckdb.connect(str(folder / "taxi.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM taxi").fetchall() == [(10_320,)]
        columns = "forecast_timestamp, cutoff, step, kind"
        rows = connection.execute(f"SELECT {columns} FROM forecasts").fetchall()
    stored = [(str(date), str(cutoff), str(step), kind) for date, cutoff, step, kind in rows]
    assert set(printed) <= set(stored)
    coming = {row for row in stored if row[3] == "future"}
    assert {row[1] for row in coming} == {"2015-01-31 23:30:00"}
    assert {int(row[2]) for row in coming} == set(range(1, 49))
    assert len(stored) == 2 * len(set(stored))  # the evening is among the next 48 half-hours, and stored once
    named = sorted(int(row[2]) for row in set(printed) & coming)
    assert named != list(range(named[0], named[-1] + 1))  # half-hours with holes between them
    assert all(row[1] < row[0] < "2015-02-01" for row in set(printed) - coming)
    assert set(printed) - coming


def test_what_is_there_is_not_replaced_unless_it_is_a_demo(tmp_path):
    (tmp_path / "mine").write_text("keep")
    for overwrite in (False, True):
        with pytest.raises(RunError, match="is there already"):
            demo.run(tmp_path, overwrite)
    assert (tmp_path / "mine").read_text() == "keep"
