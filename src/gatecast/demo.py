"""The eleven steps on real data: New York's taxi passengers by the half hour."""

import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import duckdb

from gatecast import console, figures, pipeline, report
from gatecast.errors import RunError
from gatecast.seal import is_there

DATA = files("gatecast") / "demo_data" / "nyc_taxi.csv.gz"
SETTINGS: dict[str, Any] = {
    "table": "taxi",
    "time": "timestamp",
    "target": "value",
    "timezone": "America/New_York",
    "horizon": 48,
    "time_limit": 150,
}
SUPER_BOWL = ("2015-02-01 18:30", "2015-02-01 20:00", "2015-02-01 22:30")
"""Kick-off, half-time and the way home: half-hours after the last row, with holes between them."""
PAST = "2015-01-15 18:00"
"""A half-hour within the test span: it is forecast from before it, by weights that never saw it."""
NEXT = """Next, on your own table:
  gatecast audit your.duckdb --table sales --time sold_at --target amount --series shop
  gatecast fit your.duckdb --table sales --time sold_at --target amount --series shop --horizon 28 --run my-run
  gatecast forecast my-run --at 2027-01-01 --to your.duckdb --into forecasts"""


def run(folder: Path, overwrite: bool = False) -> None:
    """Make a folder with a database, a run, two figures and a page; each step is announced as it is taken.

    Raises:
        RunError: there is something at the folder that is not to be overwritten.
    """
    if is_there(folder) and not (overwrite and (folder / "taxi.duckdb").exists()):
        raise RunError(f"{folder} is there already: choose another with --folder, or add --overwrite to a demo's")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be made: {error}") from None
    database, trained = folder / "taxi.duckdb", folder / "run"
    load_taxi(database)
    console.say(f"Taxi passengers of New York by the half hour, July 2014 to January 2015, in {database}\n")

    teller = console.Teller()
    model = pipeline.fit(database, run=trained, listener=teller, **SETTINGS)
    assert model.panel is not None
    named, coming = model.forecast(at=[*SUPER_BOWL, PAST]), model.forecast()
    observed = model.panel.series(0)[model.grid.step(PAST) - model.panel.starts[0]]
    text = f"{len(SUPER_BOWL)} half-hours of an evening to come, and one of the past as if it were to come"
    teller.step(11, "Forecast the dates you name", f"{text} ({observed:,.0f} were observed)")
    console.show_rows(named.to_arrow().drop_columns(["run_id"]), "table")
    for table in (coming, named):
        table.write(str(database), "forecasts")

    figures.save(figures.forecast_figure(model.panel, 0, coming), folder / "forecast.png")
    history, kept = model.evidence["history"], model.evidence["manifest"]["training"]["best"]
    figures.save(figures.history_figure(history, kept), folder / "training.png")
    console.say("\n" + pipeline.inspect(trained).sentences[0])
    page = report.write(trained)
    made = (f"{trained.name}/", "forecast.png", "training.png", str(page.relative_to(folder)))
    console.say(f"\nIn {folder}: {', '.join(made)}, and the table `forecasts` in {database.name}\n\n{NEXT}")


def load_taxi(database: Path) -> None:
    """The bundled rows as the table `taxi` of a new DuckDB database."""
    with as_file(DATA) as rows, duckdb.connect(str(database)) as connection:
        connection.read_csv(str(rows)).create("taxi")
