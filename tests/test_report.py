"""The page of a run: one file, the verdict first, every number from the evidence, nothing a user typed run as HTML."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

from gatecast import fit, read, report
from gatecast.errors import RunError

HOSTILE = "<script>alert('tea & sugar')</script>"
COLUMNS = {"time": "at", "target": "y", "series": "name"}
TINY = {"horizon": 6, "epochs": 2, "steps": 4, "hidden": 8}


class Page(HTMLParser):
    """The tags of a page, what they refer to, the text outside of them, and the cells of its tables."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href", "data")]

    def handle_data(self, data):
        self.texts.append(data.strip())


def rows():
    """Hours of two series, one step of each missing."""
    steps, name = np.tile(np.arange(240), 2), np.repeat([0, 1], 240)
    values = 10 * (name + 1) + 3 * np.sin(steps * np.pi / 12) + np.random.default_rng(0).normal(0, 0.3, 480)
    times = np.datetime64("2024-01-01", "us") + steps * np.timedelta64(1, "h")
    table = pa.table({"at": times, "name": [(HOSTILE, "plain")[i] for i in name], "y": values})
    return table.filter(steps != 100)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a series of a hostile name."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    fit(rows(), run=folder, **COLUMNS, **TINY)
    return folder


@pytest.fixture(scope="module")
def page(run):
    assert report.write(run) == run / "report.html"
    return (run / "report.html").read_text(encoding="utf-8")


def test_the_verdict_comes_first(run, page):
    metrics = json.loads((run / "metrics.json").read_text())
    texts = [text for text in Page(page).texts if text]
    assert texts[texts.index(metrics["verdict"]["sentence"]) - 1].startswith("Gatecast run ")
    assert page.index(metrics["verdict"]["sentence"].split(":")[0]) < page.index("<table>")


def test_the_numbers_are_those_of_the_evidence(run, page):
    metrics = json.loads((run / "metrics.json").read_text())
    manifest = json.loads((run / "manifest.json").read_text())
    texts = Page(page).texts
    for name in ("accuracy", "mae", "rmse", "bias", "wape", "smape", "mase"):
        place = texts.index(name)
        found = [text for text in texts[place + 1 : place + 5] if text]
        assert found[:2] == [
            f"{part[name]:,.4g}" for part in (metrics["overall"], metrics["baselines"]["seasonal_naive"])
        ]
    for level, share in metrics["overall"]["coverage"].items():
        assert texts[texts.index(f"coverage of the {level} % interval") + 1] == f"{share:.1f} %"
    assert any("478 rows, 2 series, 2024-01-01 00:00 to 2024-01-10 23:00, frequency h, zone none." in t for t in texts)
    assert "2 missing steps: masked, never filled in (2 gaps)" in " ".join(texts)
    assert manifest["run_id"] in page
    assert any("horizon = 6" in text for text in texts)


def test_series_are_ranked_worst_first(run, page):
    rows = json.loads((run / "metrics.json").read_text())["series"]
    worst_first = [row["series"] for row in sorted(rows, key=lambda row: -row["mase"])]
    assert [text for text in Page(page).texts if text in (HOSTILE, "plain")] == worst_first


def test_the_page_stands_alone_and_runs_nothing(page):
    found = Page(page)
    assert not {"script", "link", "iframe", "img", "object"} & set(found.tags)
    assert all(link.startswith("#") for link in found.links)
    assert not re.search(r"@import|url\((?!#)", page)
    assert HOSTILE not in page
    assert HOSTILE in found.texts
    assert found.tags.count("svg") == 3
    assert "<?xml" not in page


def test_a_page_is_replaced_whole(run, page):
    (run / "report.html").write_text("old")
    report.write(run)
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["metrics.json", "manifest.json", "history.jsonl", "test.parquet", "config.toml"])
def test_without_evidence_there_is_no_page(run, tmp_path, name):
    for path in run.iterdir():
        if path.name not in (name, "report.html"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(RunError, match="no report can be made of"):
        report.write(tmp_path)
    (tmp_path / name).write_bytes((run / name).read_bytes()[:-20])
    with pytest.raises(RunError, match="no report can be made of"):
        report.write(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_the_example_is_one_series_whatever_the_rows_came_from(run, monkeypatch, tmp_path):
    drawn, draw = [], report.figures.test_figure
    monkeypatch.setattr(report.figures, "test_figure", lambda *given: drawn.append(draw(*given)) or drawn[-1])
    fit(read(rows(), **COLUMNS), run=tmp_path / "run", **TINY)
    for folder in (run, tmp_path / "run"):
        report.write(folder)
    for figure in drawn:
        truth = figure.axes[0].lines[-1]
        assert len(truth.get_ydata()) == 6
        assert (np.diff(truth.get_xdata()) == np.timedelta64(1, "h")).all()
