"""The lesson runs, cell by cell, as the notebook that is built from it."""

import json
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def cells():
    build = runpy.run_path(str(EXAMPLES / "notebook.py"))["notebook"]
    book = json.loads(json.dumps(build((EXAMPLES / "lesson.py").read_text())))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    return book["cells"]


def test_the_notebook_holds_all_of_the_script(cells):
    texts = [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]
    code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    assert texts[0].startswith("# The eleven steps")
    assert [number for number in range(1, 12) if any(f"{number}. " in text.splitlines()[0] for text in texts)] == list(
        range(1, 12)
    )
    script = [line for line in (EXAMPLES / "lesson.py").read_text().splitlines() if line]
    assert [line for part in code for line in part.splitlines() if line] == [
        line for line in script if not line.startswith("# ") and line != "#"
    ]
    for part in code:
        compile(part, "cell", "exec")


@pytest.mark.parametrize("epochs", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_every_cell_runs(cells, epochs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(cell["source"].replace('"epochs": 10', f'"epochs": {epochs}'), names)
    told = capsys.readouterr().out
    assert "10,320 rows on the grid 30min, America/New_York; 2 steps are missing" in told
    assert told.count(", validation ") == epochs
    assert "Use it" in told
    assert told.endswith("forgot more than usual.\n")
    made = {path.name for path in (tmp_path / "lesson").iterdir()}
    assert {"test.png", "forecast.png", "gates.svg", "memory.svg", "inspection.json"} <= made
