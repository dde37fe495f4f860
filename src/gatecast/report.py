"""A run folder as one self-contained page: the verdict first, then what it rests on."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from matplotlib.figure import Figure

from gatecast import figures
from gatecast.config import Config
from gatecast.errors import GatecastError, RunError

EVIDENCE = ("metrics", "manifest")
REPORT = "report.html"
MOST_SERIES = 200
"""Rows of the table of series, the worst first."""


def write(run: str | Path) -> Path:
    """Write `report.html` into a run folder, from the evidence that is there.

    Raises:
        RunError: there is no run, or its evidence is missing.
    """
    folder = Path(run)
    try:
        evidence: dict[str, Any] = {name: json.loads((folder / f"{name}.json").read_text("utf-8")) for name in EVIDENCE}
        history = [json.loads(line) for line in (folder / "history.jsonl").read_text("utf-8").splitlines()]
        tests = pq.read_table(folder / "test.parquet")
        config = Config.from_toml(folder / "config.toml")
    except (OSError, ValueError, GatecastError) as error:
        raise RunError(f"no report can be made of {folder}: {error}") from None
    ranked = sorted(evidence["metrics"]["series"], key=lambda row: -(row["mase"] or row["mae"] or 0))
    page = Environment(loader=PackageLoader("gatecast"), autoescape=True).get_template("report.html")
    text = page.render(
        **evidence,
        settings=config.to_toml(),
        ranked=ranked[:MOST_SERIES],
        left_out=max(0, len(ranked) - MOST_SERIES),
        curves=_svg(figures.history_figure(history)),
        steps=_svg(figures.steps_figure(tests)),
        example=_svg(figures.test_figure(tests, config.source.series, config.forecast.level)),
    )
    path, beside = folder / REPORT, folder / f".{REPORT}"
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
    return path


def _svg(figure: Figure) -> Markup:
    """A figure as SVG for a page; its text stays text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    drawn = buffer.getvalue()
    return Markup(drawn[drawn.index("<svg") :])
