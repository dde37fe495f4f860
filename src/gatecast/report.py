"""A run folder as one self-contained page: the verdict first, then what it rests on."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from jinja2 import Environment, PackageLoader, TemplateError
from markupsafe import Markup
from matplotlib.figure import Figure

from gatecast import evidence, figures
from gatecast import run_folder as files
from gatecast.config import Config
from gatecast.data.rows import name_of
from gatecast.data.table import BASELINES
from gatecast.errors import GatecastError, RunError, plural
from gatecast.evaluation.readable import number
from gatecast.record import read_record
from gatecast.run_folder import refuse_absent
from gatecast.seal import DAMAGE, damage, put, read_json, read_table, read_text, sealed
from gatecast.store.faults import counted

REPORT = "report.html"
MOST_SERIES = 200
"""Rows of the table of series, the worst first."""
COLORS = {
    figures.INK: "var(--ink)",
    figures.MODEL: "var(--accent)",
    figures.OTHER: "var(--other)",
    figures.QUIET: "var(--quiet)",
    figures.LINE: "var(--line)",
    "#ffffff": "var(--paper)",
}
"""Colours of figures that the page replaces by its own, light or dark."""


def write(run: str | Path) -> Path:
    """Write `report.html` into a run folder, from the evidence that is there.

    Raises:
        RunError: there is no run, its evidence is missing, or the file system refuses.
    """
    folder = Path(run)
    refuse_absent(folder)
    try:
        text = _page(folder)
    except (GatecastError, OSError) as error:
        raise RunError(f"no report can be made of {folder}: {error}") from None
    except (*DAMAGE, TemplateError) as error:
        why = f"its files are not as fit writes them ({damage(error)})"
        raise RunError(f"no report can be made of {folder}, {why}") from error
    path = folder / REPORT
    try:
        put(path, text.encode())
    except OSError as error:
        raise RunError(f"{path} could not be written: {error}") from None
    return path


def _page(folder: Path) -> str:
    """The page of a run folder."""
    there = sealed(folder, files.METRICS, files.MANIFEST, files.HISTORY, files.TEST, files.EXAMPLES, files.CONFIG)
    found = read_record(folder, there)
    metrics, manifest = found["metrics"], found["manifest"]
    tests, examples = (read_table(folder / name) for name in (files.TEST, files.EXAMPLES))
    config = Config.from_toml(folder / files.CONFIG)
    ranked = sorted(metrics["series"], key=_worst_first)
    by = "MASE" if any(row["mase"] is not None for row in ranked) else "mean absolute error"
    dates, calendar = evidence.dates_figure(tests), evidence.calendar_figure(tests)
    page = Environment(loader=PackageLoader("gatecast"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page.filters |= {"number": number, "plural": plural, "counted": counted}
    return page.get_template("report.html").render(
        metrics=metrics,
        manifest=manifest,
        settings=config.to_toml(),
        names=BASELINES,
        ranked=ranked[:MOST_SERIES],
        left_out=max(0, len(ranked) - MOST_SERIES),
        examples=_examples(tests, examples, config, by),
        curves=_svg(figures.history_figure(found["history"], manifest["training"]["best"])),
        steps=_svg(evidence.steps_figure(tests)),
        calibration=_svg(evidence.calibration_figure(tests, config.forecast.level)),
        dates=dates and _svg(dates),
        calendar=calendar and _svg(calendar),
        insight=_insight(folder / files.INSPECTED),
    )


def _insight(folder: Path) -> dict[str, Any] | None:
    """What `inspect` left: its sentences, and name, caption and drawing of each figure; None if it was not run."""
    if not folder.is_dir():
        return None
    try:
        sealed(folder, files.INSPECTION)
        found: dict[str, Any] = read_json(folder / files.INSPECTION)
        sealed(folder, *(f"{name}.svg" for name in found["figures"]))
        drawn = {name: _themed(read_text(folder / f"{name}.svg")) for name in found["figures"]}
    except (OSError, ValueError, RunError) as error:
        raise RunError(f"{folder} is damaged, run gatecast inspect again: {error}") from None
    return found | {"drawn": drawn}


def _worst_first(row: Mapping[str, Any]) -> tuple[bool, float]:
    """Series by MASE; below them those without one, as what was constant in training, by mean absolute error."""
    return row["mase"] is None, -((row["mae"] or 0) if row["mase"] is None else row["mase"])


def _examples(tests: pa.Table, rows: pa.Table, config: Config, by: str) -> list[tuple[str, Markup]]:
    """What each example is, and its figure."""
    columns = list(config.source.series)
    keys = rows.select(columns).to_pylist()
    starts = [at for at, key in enumerate(keys) if not at or key != keys[at - 1]] or [0]
    which = {1: [""], 2: ["the best series", "the worst series"]}.get(len(starts), ["best", "median", "worst"])
    found = []
    for title, start, end in zip(which, starts, [*starts[1:], rows.num_rows], strict=True):
        part = rows.slice(start, end - start)
        name = name_of([part[column][0].as_py() for column in columns]) if columns else ""
        shown = f"{name}, {title} of the series by {by}" if len(starts) > 2 else ", ".join(filter(None, [name, title]))
        found.append((shown, _svg(evidence.example_figure(tests, part, columns, config.forecast.level))))
    return found


def _svg(figure: Figure) -> Markup:
    """A figure as SVG for a page: its text stays text, its colours are the page's."""
    buffer = io.StringIO()
    with figures.drawing():
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return _themed(buffer.getvalue())


def _themed(drawn: str) -> Markup:
    """An SVG whose colours are the page's."""
    for color, variable in COLORS.items():
        drawn = drawn.replace(color, variable)
    return Markup(drawn[drawn.index("<svg") :])
