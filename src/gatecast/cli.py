"""The commands: parse, call, print. Nothing heavy is imported before one runs."""

import os
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Literal

import typer

from gatecast.errors import GatecastError, UsageError, plural
from gatecast.options import config_of, dates_of, given, settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="SQL in, a tested LSTM, forecasts for the dates you name out, back to SQL.",
    epilog="Start with `gatecast demo`. Data goes to stdout, everything else to stderr.",
)

Run = Annotated[Path, typer.Argument(help="run folder, as made by gatecast fit", show_default=False)]
Source = Annotated[str, typer.Argument(help="database, file, glob or URL, or a .toml file of settings")]
NewRun = Annotated[Path | None, typer.Option("--run", help="folder to write the run to", show_default=False)]
Resume = Annotated[Path | None, typer.Option("--resume", help="resume the training of this run, which was stopped")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the run if there is one")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask before queries that cost money; --max-bytes still holds")]
From = Annotated[Path | None, typer.Option("--from", help="repeat this run: its settings, on exactly its rows")]
AsOf = Annotated[str | None, typer.Option(help="use no row after this date")]
Form = Annotated[Literal["table", "csv", "json", "parquet"], typer.Option("--format", help="output format")]
ShortForm = Annotated[Literal["table", "json"], typer.Option("--format", help="output format")]


@app.command()
@settings("source", "grid", "forecast")
def audit(
    source: Source,
    strict: Annotated[bool, typer.Option("--strict", help="exit with 1 if something needs a decision")] = False,
    form: ShortForm = "table",
    yes: Yes = False,
    **options: Any,
) -> None:
    """Report what is in the rows, what is wrong with them, and what fit would do about it."""
    from gatecast import console, pipeline

    found = pipeline.audit(config_of(source, options), listener=console.Teller(yes))
    if form == "json":
        console.show_json(found.to_dict())
    else:
        console.show_audit(found)
    if strict and found.undecided:
        raise GatecastError(f"this needs a decision: {', '.join(found.undecided)}")


@app.command()
@settings("source", "grid", "forecast", "model", "training")
def fit(
    source: Source = "",
    run: NewRun = None,
    from_: From = None,
    resume: Resume = None,
    overwrite: Overwrite = False,
    form: ShortForm = "table",
    yes: Yes = False,
    **options: Any,
) -> None:
    """Train an LSTM on a table, test it, train it again on all rows, and save it in a run folder."""
    from gatecast import console, pipeline

    teller = console.Teller(yes)
    if resume:
        if source or run or from_ or overwrite or given(options):
            raise UsageError("--resume RUN keeps the rows and settings of the stopped training: give nothing else")
        run, model = resume, pipeline.fit(resume=resume, listener=teller)
    else:
        if bool(source) == (from_ is not None):
            raise UsageError("say what to read: a SOURCE, or --from RUN to read again what that run has read")
        if run is None:
            raise UsageError("say which folder to write the run to: --run DIR")
        asked = {"from_": from_, **given(options)} if from_ else {"source": config_of(source, options)}
        model = pipeline.fit(run=run, overwrite=overwrite, listener=teller, **asked)
    if form == "json":
        console.show_json({"run": str(run), "run_id": model.run_id, "metrics": model.evidence["metrics"]})
    else:
        console.show_metrics(model.evidence["metrics"])
    console.say(f"run {model.run_id} is in {run}; next: gatecast forecast {quote(str(run))}")


@app.command()
def test(
    run: Run,
    require_skill: Annotated[
        bool, typer.Option("--require-skill", help="exit with 1 unless the model beats the seasonal naive")
    ] = False,
    prove: Annotated[bool, typer.Option("--prove", help="show that no forecast depends on later rows")] = False,
    as_of: AsOf = None,
    form: ShortForm = "table",
    yes: Yes = False,
) -> None:
    """Test a run against baselines, on the rows that its tested weights never saw, new rows included."""
    from dataclasses import asdict

    from gatecast import console, pipeline
    from gatecast.newest import newest

    model = pipeline.load(run)
    panel = newest(model, "test", console.Teller(yes), as_of=as_of)
    backtest, verdict = pipeline.test(model, panel)
    metrics = backtest.metrics() | {"verdict": asdict(verdict)}
    if form == "json":
        console.show_json(metrics)
    else:
        console.show_metrics(metrics)
    console.say(backtest.left_out(model.config.training.baselines))
    if prove:
        proof = pipeline.prove(model, panel)
        if proof.moved:
            raise GatecastError(proof.sentence)
        console.say(proof.sentence)
    if require_skill and not verdict.use:
        raise GatecastError(f"no skill is shown over the seasonal naive forecast: {verdict.sentence}")


@app.command()
@settings()  # of those it was trained with two may be given anew
def forecast(
    run: Run,
    at: Annotated[list[str] | None, typer.Option(help="date or file of dates (- is stdin); repeat for several")] = None,
    horizon: Annotated[int | None, typer.Option(help="steps to forecast instead (default: as trained)")] = None,
    as_of: AsOf = None,
    series: Annotated[
        list[str] | None, typer.Option(help="only this series (key parts joined by /); repeat for several")
    ] = None,
    point: Annotated[
        str | None, typer.Option(help="mean, median, or the metric to give the best point for (default: as trained)")
    ] = None,
    level: Annotated[
        list[float] | None, typer.Option(help="interval level in percent; repeat for several (default: as trained)")
    ] = None,
    to: Annotated[str | None, typer.Option(help="write into this store or file instead of printing")] = None,
    into: Annotated[str | None, typer.Option(help="table to write to")] = None,
    form: Form = "table",
    yes: Yes = False,
) -> None:
    """Forecast the next steps, or any dates, from the newest rows of the run's source."""
    from gatecast import console
    from gatecast.cutoffs import read_dates
    from gatecast.forecast_rows import far_ahead
    from gatecast.model import Model
    from gatecast.newest import begun, newest
    from gatecast.store import Errand, refuse_target

    if into is not None and to is None:
        raise UsageError("--into names a table of the store that --to names: give --to too")
    if to is not None:
        if form != "table":
            raise UsageError(
                "--format is for what is printed; what --to names ends in .csv, .json or .parquet, or is a store"
            )
        refuse_target(to, into)
    model = Model.load(run)
    dates = None if at is None else [date for text in at for date in dates_of(text)]
    model.settings_for(horizon=horizon, at=dates, point=point, level=level or ())
    teller = console.Teller(yes)
    rows = newest(model, "forecast", teller, context=True, at=dates, as_of=as_of)
    if dates is not None and not series:
        rows = begun(rows, min(read_dates(model.grid, dates)), teller)
    table = model.forecast(rows, horizon=horizon, at=dates, as_of=as_of, series=series, point=point, level=level or ())
    console.say(far_ahead(table, model.config.forecast.horizon))
    if to is not None:
        table.write(to, into, Errand("forecast", model.run_id, teller, model.config.source))
        console.say(f"wrote {plural(len(table), 'row')} to {' '.join(filter(None, [to, into]))}")
    else:
        console.show_rows(table.to_arrow(), form)


@app.command()
@settings("source", "grid", "forecast", "model", "training")
def backtest(
    source: Source,
    windows: Annotated[int, typer.Option(help="past cutoffs to forecast from")] = 10,
    stride: Annotated[int | None, typer.Option(help="steps between cutoffs (default: the horizon)")] = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="train again for each cutoff")] = False,
    form: Form = "table",
    yes: Yes = False,
    **options: Any,
) -> None:
    """Forecast from past cutoffs, with a model trained on the rows before the earliest of them.

    Prints metrics, or with --format csv, json or parquet every forecast beside the truth.
    """
    from gatecast import console, pipeline

    config = config_of(source, options)
    teller = console.Teller(yes)
    found = pipeline.backtest(config, windows=windows, stride=stride, retrain=retrain, listener=teller)
    if form == "table":
        console.show_metrics(found.metrics())
    else:
        console.show_rows(found.to_arrow(), form)
    console.say(found.left_out(config.training.baselines))


@app.command("inspect")
def inspect_(
    run: Run,
    series: Annotated[str | None, typer.Option(help="series to look at (default: the first)")] = None,
    at: Annotated[str | None, typer.Option(help="cutoff of the forecast to look at (default: the last row)")] = None,
    to: Annotated[Path | None, typer.Option(help="folder for the figures (default: RUN/inspect)")] = None,
    form: Form = "table",
    yes: Yes = False,
) -> None:
    """Show what the LSTM keeps and forgets, what a forecast is based on, and whether the memory is used.

    Prints a row for each unit, or with --format json everything that was found.
    """
    from gatecast import console, pipeline

    found = pipeline.inspect(run, series=series, at=at, to=to, listener=console.Teller(yes))
    if form == "json":
        console.show_json(found.to_dict())
    else:
        console.show_rows(found.to_arrow(), form)
    for sentence in found.sentences:
        console.say(sentence)
    shown = "" if to else f", and gatecast report {quote(str(run))} shows them"
    console.say(f"four figures are in {to or run / 'inspect'}{shown}")


@app.command()
def report(run: Run, open_: Annotated[bool, typer.Option("--open", help="open it in the browser")] = False) -> None:
    """Write report.html into a run folder: verdict, figures, audit and settings on one page."""
    from gatecast import console
    from gatecast.report import write

    path = write(run)
    console.say(f"wrote {path}")
    if open_:
        typer.launch(str(path))


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="folder to create")] = Path("gatecast-demo"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the folder of an earlier demo")] = False,
) -> None:
    """Run the eleven steps on bundled data: half-hourly taxi demand of New York."""
    from gatecast.demo import run

    run(folder, overwrite)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"gatecast {version('gatecast')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="show the traceback of an error")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="print the version and exit", is_eager=True, callback=_version)
    ] = False,
) -> None:
    if debug:
        os.environ["GATECAST_DEBUG"] = "1"
