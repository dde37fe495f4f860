"""The page of a run: one file, the verdict first, every number from the evidence, nothing a user typed run as HTML."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatecast import fit, load, read, report
from gatecast.errors import RunError
from gatecast.insight import CAPTIONS
from gatecast.seal import seal

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


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run, to change."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


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
        assert texts[texts.index(f"{level} %") + 1] == f"{share:.1f} %"
    assert any("478 rows, 2 series, 2024-01-01 00:00 to 2024-01-10 23:00, frequency h, zone none." in t for t in texts)
    assert "2 missing steps: masked, never filled in (2 gaps, the longest 1: " in " ".join(texts)
    assert manifest["run_id"] in page
    assert any("horizon = 6" in text for text in texts)


def test_one_step_is_no_plural(copy):
    metrics = json.loads((copy / "metrics.json").read_text()) | {"windows": 1_234, "horizon": 1, "season": 1}
    (copy / "metrics.json").write_text(json.dumps(metrics))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["audit"]["findings"][0]["count"] = 1
    (copy / "manifest.json").write_text(json.dumps(manifest))
    seal(copy)
    page = report.write(copy).read_text(encoding="utf-8")
    assert "1,234 test windows of 1 step, which training did not see." in page
    assert "repeats the last step, the season that" in page
    assert "<li>1 missing step: masked" in page


def test_series_are_ranked_worst_first(run, page):
    rows = json.loads((run / "metrics.json").read_text())["series"]
    worst_first = [row["series"] for row in sorted(rows, key=lambda row: -row["mase"])]
    assert [text for text in Page(page).texts if text in (HOSTILE, "plain")] == worst_first


def test_series_without_a_mase_come_last(copy):
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["series"][1] |= {"mase": None, "mae": 1e6}
    metrics["series"][0]["mase"] = 0.0
    (copy / "metrics.json").write_text(json.dumps(metrics))
    seal(copy)
    ranked = [row["series"] for row in metrics["series"]]
    texts = Page(report.write(copy).read_text(encoding="utf-8")).texts
    assert [text for text in texts if text in (HOSTILE, "plain")] == ranked


def test_the_page_stands_alone_and_runs_nothing(page):
    found = Page(page)
    assert not {"script", "link", "iframe", "img", "object"} & set(found.tags)
    assert all(link.startswith("#") for link in found.links)
    assert not re.search(r"@import|url\((?!#)", page)
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="(.*)">', page)
    assert policy[1] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # a figure's script is not run
    assert HOSTILE not in page
    assert HOSTILE in found.texts
    assert found.tags.count("svg") == 7
    assert page.count('role="img" aria-label="') == 7
    assert "<?xml" not in page


def test_what_inspect_left_is_folded_into_the_page(copy):
    assert "<code>gatecast inspect</code>" in report.write(copy).read_text(encoding="utf-8")
    insight = load(copy).inspect(read(rows(), **COLUMNS))
    (copy / "inspect").mkdir()
    insight.write(copy / "inspect")
    seal(copy / "inspect")
    text = report.write(copy).read_text(encoding="utf-8")
    found = Page(text)
    assert [part for part in found.texts if part in insight.sentences] == list(insight.sentences)
    assert found.tags.count("svg") == 11
    assert [part for part in found.texts if part in CAPTIONS.values()] == list(CAPTIONS.values())
    assert "#ffffff" not in text
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in found.links)
    assert HOSTILE not in text
    assert len(text) < 2_000_000
    (copy / "inspect" / "gates.svg").unlink()
    with pytest.raises(RunError, match="inspect is damaged, run gatecast inspect again"):
        report.write(copy)


def test_a_page_is_replaced_whole(run, page):
    (run / "report.html").write_text("old")
    report.write(run)
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []


def test_a_page_that_cannot_be_written_leaves_the_old_one(run, page, monkeypatch):
    def refuse(beside, final):
        raise PermissionError(13, "Permission denied", str(final))

    before = (run / "report.html").read_bytes()
    monkeypatch.setattr("pathlib.Path.replace", refuse)
    with pytest.raises(RunError, match=r"report\.html could not be written: .*Permission denied"):
        report.write(run)
    assert (run / "report.html").read_bytes() == before
    assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "name", ["metrics.json", "manifest.json", "history.jsonl", "test.parquet", "examples.parquet", "config.toml"]
)
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


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        ([], "ValueError: metrics: input should be a valid dictionary"),
        ({}, "KeyError: 'series'"),
        ({"series": [], "overall": {}}, "UndefinedError: 'dict object' has no attribute 'baselines'"),
    ],
)
def test_evidence_of_another_shape_is_refused(copy, metrics, told):
    (copy / "metrics.json").write_text(json.dumps(metrics))
    seal(copy)
    with pytest.raises(RunError, match=rf"^no report .* its files are not as fit writes them \({told}.*\)$"):
        report.write(copy)


def test_every_example_is_one_series_whatever_the_rows_came_from(run, monkeypatch, tmp_path):
    drawn, draw = [], report.evidence.example_figure
    monkeypatch.setattr(report.evidence, "example_figure", lambda *given: drawn.append(draw(*given)) or drawn[-1])
    fit(read(rows(), **COLUMNS), run=tmp_path / "run", **TINY)
    for folder in (run, tmp_path / "run"):
        report.write(folder)
    assert len(drawn) == 4
    for figure in drawn:
        lines = {line.get_label(): line for line in figure.axes[0].lines}
        assert len(lines["forecast"].get_ydata()) == 6
        for line in (lines["forecast"], lines["observed"]):
            assert (np.diff(line.get_xdata()) == np.timedelta64(1, "h")).all()
        assert lines["observed"].get_xdata()[-1] == lines["forecast"].get_xdata()[-1]


def overall(table, name, levels=()):
    """All metrics of a column of test rows, from their definitions; what is not there does not count."""
    frame = table.to_pandas().dropna(subset=["actual", name])
    y, f = frame["actual"].astype(float), frame[name].astype(float)
    error = (f - y).abs()
    found = {"mae": error.mean(), "rmse": np.sqrt((error**2).mean()), "bias": (f - y).mean()}
    found |= {"wape": error.sum() / y.abs().sum(), "smape": (200 * error / (y.abs() + f.abs())).mean()}
    found |= {"accuracy": 100 * (1 - found["wape"]), "mase": (error / frame["mase_scale"]).mean()}
    found["rmsse"] = np.sqrt(((error / frame["rmsse_scale"]) ** 2).mean())
    return found


def test_every_number_is_the_one_recomputed_from_the_rows_of_the_test(run, page):
    tests, texts = pq.read_table(run / "test.parquet"), Page(page).texts
    columns = ["forecast_value", "seasonal_naive", "naive_drift"]
    recomputed = [overall(tests, name) for name in columns]
    for name in recomputed[0]:
        found = [text for text in texts[texts.index(name) + 1 :] if text][:3]
        assert [float(text.replace(",", "")) for text in found] == pytest.approx(
            [part[name] for part in recomputed], rel=1e-3, abs=1e-3
        ), name
    saved = [text for text in texts[texts.index("error the model saves") + 1 :] if text][:2]
    ours = recomputed[0]["mae"]
    assert saved == [f"{100 * (1 - ours / part['mae']):.1f} %" for part in recomputed[1:]]
    frame = tests.to_pandas()
    for level, sides in ((80, ("0.1", "0.9")), (95, ("0.025", "0.975"))):
        y, low, high = (frame[name].astype(float) for name in ("actual", *(f"quantile_{side}" for side in sides)))
        width, outside = high - low, (low - y).clip(lower=0) + (y - high).clip(lower=0)
        msis = ((width + 2 / (1 - level / 100) * outside) / frame["mase_scale"]).mean()
        found = [text for text in texts[texts.index(f"{level} %") + 1 :] if text][:3]
        assert found[0] == f"{100 * ((y >= low) & (y <= high)).mean():.1f} %"
        assert [float(part.replace(",", "")) for part in found[1:]] == pytest.approx([width.mean(), msis], rel=1e-3)
    for key, part in frame.groupby("name"):
        assert f"{(part['forecast_value'] - part['actual']).abs().mean():,.4g}" in texts[texts.index(key) :]


def test_a_thousand_series_make_a_page_of_less_than_two_megabytes(copy):
    metrics, row = json.loads((copy / "metrics.json").read_text()), pq.read_table(copy / "test.parquet")
    metrics["series"] = [metrics["series"][0] | {"series": f"series-{i}"} for i in range(1_000)]
    (copy / "metrics.json").write_text(json.dumps(metrics))
    pq.write_table(pa.concat_tables([row] * 100), copy / "test.parquet")
    seal(copy)
    text = report.write(copy).read_text(encoding="utf-8")
    assert len(text) < 2_000_000
    assert "and 800 more" in text
    assert text.count("<tr><td>series-") == report.MOST_SERIES
