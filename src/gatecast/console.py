"""What people see: data on stdout, everything else on stderr."""

import json
import sys
from base64 import b64encode
from contextlib import suppress
from datetime import date, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from gatecast.data.audit import Audit
from gatecast.data.table import BASELINES, CONFIDENCE, LOWER, TIMESTAMP, UPPER, VALUE, wall_clock
from gatecast.errors import harmless, in_percent, plural
from gatecast.evaluation import bootstrap
from gatecast.evaluation.readable import number, percent
from gatecast.listener import Listener

if TYPE_CHECKING:
    from gatecast.course import Epoch

Format = Literal["table", "csv", "json", "parquet"]
SHOWN_ROWS = 60
EVERY = 5
"""Epochs between lines where no progress bar can be drawn."""
MANY = 100_000
"""Rows from which on reading gets a progress bar."""
WIDE = 116
"""Columns of a terminal that hold a progress bar of training with all its figures."""
PIPED = 240
"""Width where there is no terminal to fit into."""
SHORT = {TIMESTAMP: "date", VALUE: "forecast", CONFIDENCE: "level", LOWER: "low", UPPER: "high"}
"""What columns are called on a terminal, which has no room for their names."""
PLAIN: dict[str, Any] = {"box": None, "header_style": "bold", "padding": (0, 1, 0, 0)}
"""How tables look that are to fit a terminal."""
AS_IS: dict[str, Any] = {"markup": False, "emoji": False}
"""Names of series may hold anything, brackets and colons too."""


class Harmless(Console):
    """Whatever is printed, in a table too, commands no terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """See `rich.console.Console.render_str`."""
        return super().render_str(harmless(text), **options)


class Messages(Harmless):
    """What is said beside the data. Work does not end because nobody hears of it: a full log, a reader who has left."""

    def print(self, *objects: Any, **options: Any) -> None:
        """See `rich.console.Console.print`."""
        with suppress(OSError):
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """See `rich.console.Console.on_broken_pipe`, which would exit."""
        self.quiet = True


out = Harmless(width=None if sys.stdout.isatty() else PIPED, **AS_IS)
err = Messages(stderr=True, highlight=False, width=None if sys.stderr.isatty() else PIPED, **AS_IS)


class Teller(Listener):
    """Prints each step as it is taken, and draws progress bars."""

    def __init__(self, yes: bool = False) -> None:
        self.yes = yes  # to costs, up to what the settings allow
        self.progress: Progress | None = None
        self.task = TaskID(0)

    def note(self, text: str) -> None:
        """See `store.Observer`."""
        self.stop()
        say(text)

    def agree(self, question: str) -> bool:
        """See `store.Observer`. Only a person at a terminal is asked, and only once."""
        self.stop()
        if not self.yes and sys.stdin.isatty() and err.is_terminal:
            self.yes = err.input(f"{question} [y/N] ", **AS_IS).strip().lower() in ("y", "yes")
            return self.yes
        return True

    def rows(self, done: int, total: int) -> None:
        """See `store.Observer`."""
        if err.is_terminal and total >= MANY:
            self._draw("reading", done, total, f"{done:,} rows", transient=True)

    def step(self, number: int, title: str, found: str) -> None:
        """See `listener.Listener`."""
        self.stop()
        err.print(f"[bold cyan]{number:>2}[/]/11 [bold]{title}[/]: ", end="", markup=True)
        err.print(found, soft_wrap=True)

    def epoch(self, epoch: "Epoch") -> None:
        """See `listener.Listener`."""
        text = f"loss {epoch.train_loss:.4f}, accuracy {percent(epoch.train_accuracy)}"
        if epoch.validation_loss is not None:
            validation = f"validation loss {epoch.validation_loss:.4f}, accuracy {percent(epoch.validation_accuracy)}"
            text = validation if err.is_terminal and err.width < WIDE else f"{text}; {validation}"
        if epoch.setbacks:
            times = "once" if epoch.setbacks == 1 else f"{epoch.setbacks} times"
            text += f"; diverged {times}, continued at a lower rate"
        name = "training" if epoch.stage == "test" else "final weights"
        if err.is_terminal:
            self._draw(name, epoch.epoch, epoch.epochs, text, transient=False)
        elif epoch.epoch % EVERY == 0 or epoch.epoch in (1, epoch.epochs) or epoch.setbacks:
            err.print(f"      {name}, epoch {epoch.epoch} of {epoch.epochs}: {text}", soft_wrap=True)

    def _draw(self, name: str, done: int, total: int, text: str, *, transient: bool) -> None:
        """Draw a progress bar with a text behind it, until all is done."""
        if self.progress is None:
            bar = BarColumn(24 if err.width >= WIDE else 12)
            columns = (TextColumn("      {task.description}"), bar, TimeRemainingColumn(compact=True))
            self.progress = Progress(*columns, TextColumn("{task.fields[text]}"), console=err, transient=transient)
            self.progress.start()
            self.task = self.progress.add_task(name, total=total, text=text)
        self.progress.update(self.task, completed=done, description=name, text=text)
        if done >= total:
            self.stop()

    def stop(self) -> None:
        """Remove the progress bar."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None


def say(text: str) -> None:
    """Print a line on stderr, unless it is empty."""
    if text:
        err.print(text, soft_wrap=True)


def show_rows(rows: pa.Table, form: Format) -> None:
    """Print data in the format asked for."""
    if form == "csv":
        # Arrow's writer quotes and escapes; stdout's text layer would change its line ends.
        pyarrow.csv.write_csv(_whole_seconds(_without_bytes(rows)), _bytes_out())
    elif form == "parquet":
        pyarrow.parquet.write_table(rows, _bytes_out())
    elif form == "json":
        show_json(rows.to_pylist())
    else:
        out.print(_table(rows.slice(0, SHOWN_ROWS)))
        if rows.num_rows > SHOWN_ROWS:
            say(f"the first {SHOWN_ROWS} of {rows.num_rows:,} rows; --format csv gives all")


def _without_bytes(rows: pa.Table) -> pa.Table:
    """Rows with bytes as in JSON: not all of them are text."""
    for i, field in enumerate(rows.schema):
        if pa.types.is_binary(field.type):
            texts = [value and _written(value) for value in rows.column(i).to_pylist()]
            rows = rows.set_column(i, field.name, pa.array(texts, pa.string()))
    return rows


def _whole_seconds(rows: pa.Table) -> pa.Table:
    """Rows whose timestamps have no fraction where no row needs one: Arrow would write six zeros."""
    for i, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            with suppress(pa.ArrowInvalid):  # some row has a fraction
                rows = rows.set_column(i, field.name, rows.column(i).cast(pa.timestamp("s", field.type.tz)))
    return rows


def _without_midnight(rows: pa.Table) -> pa.Table:
    """Rows with dates for timestamps where all are midnights, as of days, which nobody has to read in every row."""
    days = rows
    for i, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            wall = wall_clock(rows.column(i))
            dates = wall.cast(pa.date32())
            if not pc.all(pc.equal(dates.cast(wall.type), wall)).as_py():
                return rows
            days = days.set_column(i, field.name, dates)
    return days


def _table(rows: pa.Table) -> Table:
    """Rows under their names; on a terminal under short ones, without the run, folded rather than cut."""
    rows = _without_midnight(rows)
    if not out.is_terminal:
        table = Table(*rows.column_names, box=None, header_style="bold")
    else:
        rows = rows.select([name for name in rows.column_names if name != "run_id"])
        names = [SHORT.get(name, name) for name in rows.column_names]
        table = Table(*_folded(*names), **PLAIN)
    for row in rows.to_pylist():
        table.add_row(*(_text(value) for value in row.values()))
    return table


def show_json(content: Any) -> None:
    """Print content as JSON: dates in ISO 8601, decimals as strings, bytes in base64."""
    sys.stdout.write(json.dumps(content, indent=2, default=_written) + "\n")


def show_metrics(metrics: dict[str, Any]) -> None:
    """Print a test: the model beside the baselines, and the verdict with its reasons."""
    ours, others = metrics["overall"], metrics["baselines"]
    table = Table(Column("", no_wrap=True), *_folded("model", *(BASELINES[name] for name in others)), **PLAIN)
    for name, value in ours.items():
        if value is not None and not isinstance(value, dict):
            table.add_row(name, *(_text(found.get(name)) for found in (ours, *others.values())))
    table.add_row("forecasts compared", "", *(in_percent(found["compared"], 1) for found in others.values()))
    table.add_row("error saved", "", *(percent(found["skill"]) for found in others.values()))
    for name, side in (("skill_low", "from"), ("skill_high", "to")):  # a row each: five intervals are too wide for one
        label = f"{bootstrap.CONFIDENCE} % interval {side}"
        table.add_row(label, "", *(_bound(found, name) for found in others.values()))
    out.print(table)
    season = metrics["season"]
    out.print(f"the seasonal naive forecast repeats the last {'step' if season == 1 else plural(season, 'step')}")
    for level, share in ours["coverage"].items():
        out.print(f"the {level} % intervals cover {percent(share)}")
    if "verdict" in metrics:
        out.print(metrics["verdict"]["sentence"], style="bold", soft_wrap=True)
        for reason in metrics["verdict"]["reasons"].values():
            out.print(f"- {reason}", soft_wrap=True)


def show_audit(audit: Audit) -> None:
    """Print the facts and findings of an audit."""
    fits = "" if audit.agreement is None else f" (inferred: fits {in_percent(audit.agreement, 1)} of the gaps)"
    out.print(f"{plural(audit.rows, 'row')}, {audit.series:,} series, {audit.first} to {audit.last}")
    out.print(f"frequency {audit.frequency}{fits}, zone {audit.timezone or 'none'}")
    out.print(f"{audit.steps:,} steps; the shortest series has {audit.shortest:,}, the longest {audit.longest:,}")
    if not audit.findings:
        out.print("no faults found")
        return
    table = Table(*_folded("found", "count", "where", "what fit does"), box=None, header_style="bold")
    for finding in audit.findings:
        table.add_row(finding.name, f"{finding.count:,}", "; ".join(finding.places), finding.done)
    out.print(table)


def _folded(*names: str) -> list[Column]:
    """Columns whose texts and numbers are continued on the next line where a terminal is too narrow, never cut."""
    return [Column(name, overflow="fold", no_wrap=name == "kind") for name in names]


def _bytes_out() -> BinaryIO:
    sys.stdout.flush()
    return sys.stdout.buffer


def _bound(found: dict[str, Any], name: str) -> str:
    """A bound of the skill against a baseline; one window, of which both are the same, has no interval."""
    return "" if found["skill_low"] == found["skill_high"] else percent(found[name])


def _text(value: object) -> str:
    if value is None:
        return ""
    return number(value) if isinstance(value, float) else str(value)


def _written(value: object) -> str:
    """A value of a type that JSON lacks, as BigQuery writes it in JSON."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is not JSON")
