"""Every bad input: its exit code, one clear message on stderr, nothing on stdout, never a traceback."""

import gzip
import os
import signal
import subprocess
import sys
from functools import partial

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gatecast.__main__ import main
from gatecast.errors import (
    SHOWN,
    DataError,
    GatecastError,
    RunError,
    StoreError,
    TrainingError,
    UsageError,
    in_bytes,
    plural,
    some,
    some_names,
)

FIT = ["fit", "shop.duckdb", "--time", "day", "--target", "y", "--run", "new"]
TABLES = {
    "good": "SELECT DATE '2024-01-01' + i::INTEGER AS day, (i % 7 + i / 100)::DOUBLE AS y FROM range(60) r(i)",
    "words": "SELECT day, CASE WHEN y > 3 THEN 'much' ELSE '1' END AS y FROM good",
    "silent": "SELECT day, 'much' AS y FROM good",
    "clock": "SELECT day, '10:30' AS y FROM good",
    "prices": "SELECT day, CASE WHEN y > 3 THEN '-' ELSE '5 EUR' END AS y FROM good",
    "unreadable": "SELECT 'day ' || day AS day, y FROM good",
    "partly": "SELECT CASE WHEN y < 1 THEN 'n/a' ELSE day::VARCHAR END AS day, y FROM good",
    "empty": "SELECT * FROM good WHERE false",
    "missing": "SELECT day, NULL::DOUBLE AS y FROM good",
    "infinite": "SELECT day, CASE WHEN y > 6 THEN 'inf'::DOUBLE ELSE y END AS y FROM good",
    "huge": f"SELECT day, y, '{2**128 - 6}'::UHUGEINT AS shop FROM good",
    "numbered": "SELECT 20240101 AS day, y FROM good",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a database of good and bad tables, settings files and a run."""
    folder = tmp_path_factory.mktemp("place")
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        for name, query in TABLES.items():
            connection.execute(f"CREATE TABLE {name} AS {query}")
        connection.execute(f"COPY good TO '{folder / 'good.csv'}'")
    (folder / "good.toml").write_text('[source]\nurl = "shop.duckdb"\ntable = "good"\ntime = "day"\ntarget = "y"\n')
    (folder / "typo.toml").write_text('[source]\nurl = "shop.duckdb"\n[training]\nepoks = 3\n')
    (folder / "torn.toml").write_text("[source\n")
    (folder / "dates.csv").write_text("\nday\n2024-03-05\n")
    (folder / "notes.txt").write_text("no table")
    (folder / "heads.csv").write_text("day,y\n")
    (folder / "none.csv.gz").write_bytes(gzip.compress(b""))
    (folder / "none.json").write_text("[]")
    (folder / "hollow.csv").touch()
    dates = [f"2024-01-{day:02}" for day in range(1, 21)] + [f"{day}/02/2024" for day in range(1, 21)]
    (folder / "ways.csv").write_text("day,y\n" + "".join(f"{date},1\n" for date in dates))
    (folder / "ragged.csv").write_text(
        "day,y\n" + "2024-01-01,1\n" * 40 + "2024-01-02,1,more\n" + "2024-01-01,1\n" * 40
    )
    (folder / "latin.csv").write_bytes("day,größe\n2024-01-01,1\n".encode("latin1"))
    pq.write_table(pa.table({"day": pa.nulls(0), "y": pa.array([], pa.float64())}), folder / "heads.parquet")
    (folder / "taken").mkdir()
    return folder


@pytest.fixture
def call(place, monkeypatch, capsys):
    """Run the command line in the folder; its exit code, stdout and stderr."""
    monkeypatch.chdir(place)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gatecast", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def trained(place, call):
    if not (place / "run").exists():
        tiny = ["--epochs", "1", "--steps", "2", "--hidden", "4", "--horizon", "3"]
        code, _, said = call("fit", "good.toml", "--run", "run", *tiny)
        assert code == 0, said


def refused(call, arguments, code, *phrases):
    found, out, said = call(*arguments)
    assert (found, out) == (code, ""), said
    assert f"\n{said}".count("\ngatecast: ") == 1
    assert "Traceback" not in said
    for phrase in phrases:
        assert phrase in said


def good(*options, table="good"):
    return [*FIT, "--table", table, *options]


H = ("--horizon", "3")
NEW = (*H, "--run", "new")
TRY = ("as \"SELECT * REPLACE (TRY_CAST(y AS DOUBLE) AS y) FROM ...\"; it holds 'much'",)
CASES = {
    "missing column": (["fit", "good.csv", "--time", "day", "--target", "z", *NEW], 1, ["no column 'z'", "day, y"]),
    "missing series": (good("--series", "shop", *H), 1, ["no column 'shop'; there are day, y"]),
    "huge series": (
        good("--series", "shop", *H, table="huge"),
        1,
        [f"value {2**128 - 6} to", "have 38 digits at most: cast it to text in --sql"],
    ),
    "words only": (
        good(*H, table="silent"),
        1,
        ["column 'y' holds no numbers (text): cast it in --sql; it holds 'much'"],
    ),
    "times for a target": (good(*H, table="clock"), 1, ["cast it in --sql; it holds '10:30'"]),
    "prices": (good(*H, table="prices"), 1, ["cast it in --sql, as", "REGEXP_REPLACE", "it holds '5 EUR'"]),
    "no time": (["fit", "good.csv", "--target", "y", *NEW], 2, ["--time COLUMN", "day, y"]),
    "no target": (["fit", "good.csv", "--time", "day", "--aggregate", "sum", *NEW], 2, ["by sum: --target COLUMN"]),
    "no calendar": (good(*H, "--freq", "C"), 2, ["C needs a calendar of holidays: --holidays DE"]),
    "text target": (good(*H, table="words"), 1, ["column 'y' holds no numbers (text): cast it", *TRY]),
    "time is a number": (good(*H, table="numbered"), 1, ["timestamps (numbers up to 20240101)", "--time-unit"]),
    "no time readable": (good(*H, table="unreadable"), 1, ["text that is no timestamp, as 'day 2024-0"]),
    "no time readable, freq given": (good(*H, "--freq", "D", table="unreadable"), 1, ["no timestamp, as 'day 2024-0"]),
    "some times unreadable": (good(*H, table="partly"), 1, ["column 'day' holds text that is no timestamp, as 'n/a'"]),
    "no rows": (good(*H, table="empty"), 1, ["no rows"]),
    "no rows, freq given": (good(*H, "--freq", "D", table="empty"), 1, ["no rows: check the table, the filter"]),
    "all filtered out": (good(*H, "--since", "2030-01-01"), 1, ["no rows: check the table, the filter"]),
    "a heading only": (["audit", "heads.csv", "--time", "day", "--target", "y"], 1, ["columns (day, y) but no rows"]),
    "nothing in an archive": (["audit", "none.csv.gz", *FIT[2:6]], 1, ["nothing to read at 'none.csv.gz'", "is empty"]),
    "a list of nothing": (["audit", "none.json", *FIT[2:6]], 1, ["there are columns (json) but no rows"]),
    "no row to tell a type": (["audit", "heads.parquet", "--time", "day", "--target", "y"], 1, ["but no rows"]),
    "an empty file": (["audit", "hollow.csv", "--time", "day"], 1, ["the file is empty"]),
    "a longer line": (["audit", "ragged.csv", "--time", "day"], 1, ["there are 'day,y', as if it were one: a line"]),
    "dates in two ways": (["audit", "ways.csv", "--time", "day"], 1, ['converting column "day"', "all_varchar = true"]),
    "not in UTF-8": (["audit", "latin.csv", "--time", "day"], 1, ["Save it as UTF-8, as with iconv"]),
    "no target at all": (good(*H, table="missing"), 1, ["no usable value in 60 rows"]),
    "infinite target": (good(*H, table="infinite"), 1, ["as inf (in the series): filter or repair them with --sql"]),
    "no horizon": (good(), 2, ["--horizon H"]),
    "a horizon of nothing": (good("--horizon", "0"), 2, ["--horizon: input should be greater than or equal"]),
    "horizon beyond history": (good("--horizon", "40"), 1, ["too little history", "121 steps", "has 60", "19 or less"]),
    "frequency": (good(*H, "--freq", "fortnightly"), 2, ["'fortnightly' is not a frequency: write 15min, h"]),
    "zone of a computer": (good(*H, "--timezone", "localtime"), 2, ["'localtime' is not a time zone"]),
    "zone": (good(*H, "--timezone", "Mars/Base"), 2, ["'Mars/Base' is not a time zone"]),
    "zone, freq given": (good(*H, "--timezone", "Mars/Base", "--freq", "D"), 2, ["'Mars/Base' is not a time zone"]),
    "date of filter": (good(*H, "--until", "soon"), 2, ["'soon' is not a date"]),
    "nothing as a filter": (good(*H, "--since", ""), 2, ["--since is empty: give a value or leave it out"]),
    "nothing as a target": (["audit", "good.csv", "--time", "day", "--target", ""], 2, ["--target is empty: give"]),
    "level": (good(*H, "--level", "120"), 2, ["--level: ", "above 1 and up to 99.999"]),
    "level as a share": (good(*H, "--level", "0.8"), 2, ["at least one level, in percent", "0.8"]),
    "not a number": (good("--horizon", "three"), 2, ["--horizon"]),
    "below zero": (good(*H, "--dropout", "-0.1"), 2, ["--dropout: ", "got -0.1 instead"]),
    "duration": (good(*H, "--time-limit", "soon"), 2, ["--time-limit: ", "90s, 10m or 1.5h"]),
    "choice": (good(*H, "--recipe", "cake"), 2, ["cake", "segment", "classic"]),
    "unknown option": (good(*H, "--frobnicate", "1"), 2, ["--frobnicate"]),
    "unknown command": (["frobnicate"], 2, ["frobnicate"]),
    "missing option": (["fit", "good.csv"], 2, ["--run"]),
    "nothing to resume": (["fit", "--resume", "gone"], 1, ["no training of gone was stopped", "fit ... --run gone"]),
    "resume and more": (["fit", "good.csv", "--resume", "run"], 2, ["give nothing else"]),
    "resume and settings": (["fit", "--resume", "run", "--epochs", "9"], 2, ["give nothing else"]),
    "a past of a database that keeps none": (
        good(*H, "--snapshot", "2024-01-01"),
        2,
        ["--snapshot is for a BigQuery table: this source is read as it is now, so leave it out"],
    ),
    "a past of a query": (
        ["audit", "shop.duckdb", *FIT[2:6], "--sql", "FROM good", "--snapshot", "2024-01-01"],
        2,
        ["gatecast: --snapshot is for a --table: in --sql write FOR SYSTEM_TIME AS OF yourself"],
    ),
    "table and query": (good(*H, "--sql", "FROM good"), 2, ["gatecast: give --table or --sql, not both"]),
    "two statements": ([*FIT, *H, "--sql", "SELECT 1; DROP TABLE good"], 2, ["one SELECT", "2 statements"]),
    "no query": ([*FIT, *H, "--sql", "DROP TABLE good"], 2, ["one SELECT, got another statement"]),
    "broken query": ([*FIT, *H, "--sql", "SELECT day\nFROM FROM"], 1, ["syntax error", " in LINE 2: FROM FROM"]),
    "which table": ([*FIT, *H], 2, ["say which table", "--table"]),
    "no such table": (good(*H, table="goods"), 1, ["goods", "good"]),
    "no such file": (["audit", "nowhere.parquet", "--time", "day"], 1, ["'nowhere.parquet'", "no such file"]),
    "a folder": (["audit", "taken/", "--time", "day"], 2, ["'taken/' is a folder", "a glob, as taken/*.parquet"]),
    "no kind of file": (["audit", "notes.txt", "--time", "day"], 2, ["'notes.txt'", "must end in", ".json, .jsonl"]),
    "no kind of store": (["audit", "oracle://there", "--time", "day"], 2, ["no store for 'oracle://there'"]),
    "unknown setting": (["fit", "typo.toml", "--run", "new"], 2, ["training.epoks: no such setting"]),
    "torn settings": (["fit", "torn.toml", "--run", "new"], 2, ["torn.toml cannot be read as TOML"]),
    "no settings": (["fit", "nowhere.toml", "--run", "new"], 2, ["no settings file at nowhere.toml"]),
    "folder is there": (["fit", "good.toml", *H, "--run", "taken"], 1, ["taken is there already and is no run"]),
    "empty folder is there": (["fit", "good.toml", *H, "--run", "taken", "--overwrite"], 1, ["so it is not replaced"]),
    "file is there": (["fit", "good.toml", *H, "--run", "notes.txt", "--overwrite"], 1, ["notes.txt is there already"]),
    "no run": (["forecast", "taken"], 1, ["no run at taken", "gatecast fit ... --run taken"]),
    "no run to test": (["test", "nowhere"], 1, ["no run at nowhere"]),
    "no run to inspect": (["inspect", "nowhere"], 1, ["no run at nowhere"]),
    "no run to report": (["report", "nowhere"], 1, ["no run at nowhere: `gatecast fit ... --run nowhere` makes one"]),
    "too many cutoffs": (["backtest", "good.toml", *H, "--windows", "40"], 1, ["40 cutoffs", "ask for fewer windows"]),
    "no cutoffs": (["backtest", "good.toml", *H, "--windows", "0"], 2, ["windows"]),
    "a step back": (["backtest", "good.toml", *H, "--stride", "-1"], 2, ["stride"]),
    "backtest without horizon": (["backtest", "good.toml"], 2, ["--horizon H"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_input(call, place, name):
    arguments, code, phrases = CASES[name]
    refused(call, arguments, code, *phrases)
    assert not (place / "new").exists()
    assert [path.name for path in place.iterdir() if path.name.startswith(".")] == []


FORECASTS = {
    "off the grid": (["--at", "2024-03-05 14:30"], 2, ["not on the grid (D)", "'2024-03-05' and '2024-03-06'"]),
    "no date": (["--at", "tomorrow"], 2, ["'tomorrow' is not a date: write 2015-01-31"]),
    "no file of dates": (["--at", "nofile.txt"], 2, ["'nofile.txt' is not a date", "nor is it a file"]),
    "a heading above dates": (["--at", "dates.csv"], 2, ["line 2 of dates.csv: 'day' is not a date: write 2015-01-31"]),
    "to in a format": (["--to", "out.csv", "--format", "json"], 2, ["--format is for what is printed", "--to"]),
    "no point": (["--point", "foo"], 2, ["--point is mean, median, mase", "not 'foo'"]),
    "before the rows": (["--at", "2023-12-31"], 2, ["2023-12-31 has no history before it", "(from 2024-01-01)"]),
    "nothing as a point": (["--point", ""], 2, ["--point is mean, median, ", "not ''"]),
    "as of what": (["--as-of", "noon"], 2, ["'noon' is not a date"]),
    "as of too early": (["--as-of", "2023-01-01"], 1, ["no rows: check the table, the filter and the dates"]),
    "as of too late": (["--at", "2024-02-01", "--as-of", "2024-02-01"], 2, ["forecast dates come after it"]),
    "both": (["--at", "2024-03-05", "--horizon", "2"], 2, ["ask for a horizon or for dates, not both"]),
    "no steps": (["--horizon", "0"], 2, ["--horizon: input should be greater than or equal to 1, got 0"]),
    "steps back": (["--horizon", "-3"], 2, ["--horizon: input should be greater than or equal to 1, got -3"]),
    "no level": (["--level", "100"], 2, ["--level: give at least one level, in percent"]),
    "no such series": (["--series", "tea"], 2, ["there is one series, which has no name"]),
    "into without to": (["--into", "t"], 2, ["--into", "--to"]),
    "to without into": (["--to", "shop.duckdb"], 2, ["say which table", "--into NAME"]),
    "to nowhere": (["--to", "nowhere/at/all.csv"], 1, ["nowhere/at/all.csv': there is no folder"]),
    "into another table": (["--to", "shop.duckdb", "--into", "good"], 1, ["has other columns", "another table"]),
    "to an empty name": (["--to", ""], 2, ["cannot tell what '' holds"]),
    "into an empty name": (["--to", "shop.duckdb", "--into", ""], 2, ["say which table", "--into NAME"]),
    "to a folder": (["--to", "taken"], 2, ["'taken' is a folder: name a file"]),
    "into a file": (["--to", "out.csv", "--into", "t"], 2, ["--into"]),
    "no format": (["--format", "xml"], 2, ["xml", "parquet"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FORECASTS)
def test_bad_forecast(call, place, trained, name):
    options, code, phrases = FORECASTS[name]
    refused(call, ["forecast", "run", *options], code, *phrases)
    with duckdb.connect(str(place / "shop.duckdb"), read_only=True) as connection:
        assert len(connection.execute("SHOW TABLES").fetchall()) == len(TABLES)


@pytest.fixture
def nothing_to_read(place, trained):
    """What is refused while the source is not there is refused before it is read."""
    (place / "shop.duckdb").rename(place / "aside")
    yield
    (place / "aside").rename(place / "shop.duckdb")


EARLY_FORECASTS = (
    *("off the grid", "no point", "as of what", "both", "no steps", "no level", "to nowhere", "to an empty name"),
    *("to a folder", "to without into", "into an empty name", "into a file"),
)
EARLY = {
    **{name: (["forecast", "run", *FORECASTS[name][0]], *FORECASTS[name][1:]) for name in EARLY_FORECASTS},
    **{name: CASES[name] for name in ("no calendar", "frequency", "zone", "zone, freq given", "date of filter")},
    "to what": (["forecast", "run", "--to", "out.txt"], 2, ["cannot tell what 'out.txt' holds: its name must end in"]),
    "to a far store": (["forecast", "run", "--to", "gs://there/out"], 2, ["no store for 'gs://there/out'"]),
    "into many parts": (["forecast", "run", "--to", "new.db", "--into", "a.b.c.d"], 2, ["'a.b.c.d' has 4 parts"]),
    "to a project": (["forecast", "run", "--to", "bigquery://p/d"], 2, ["table of bigquery://p/d to write: --into"]),
    "to no project": (["forecast", "run", "--to", "bigquery:p/d", "--into", "t"], 2, ["write bigquery://PROJECT"]),
    "into no data set": (["forecast", "run", "--to", "bigquery://p", "--into", "t"], 2, ["bigquery://p/DATASET, or"]),
    "a look at what": (["inspect", "run", "--at", "noon"], 2, ["'noon' is not a date"]),
    "figures in the way": (["inspect", "run", "--to", "taken"], 1, ["taken is there already and is no inspection"]),
}  # fmt: skip


@pytest.mark.parametrize("name", EARLY)
def test_what_needs_no_rows_is_refused_before_any_are_read(call, place, nothing_to_read, name):
    arguments, code, phrases = EARLY[name]
    refused(call, arguments, code, *phrases)
    assert not (place / "new.db").exists()


def test_a_folder_that_may_not_be_written_to_is_told_before_anything_is_read(call, nothing_to_read, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != ("taken", os.W_OK))
    for url in (["taken/out.csv"], ["taken/new.duckdb", "--into", "t"]):
        refused(call, ["forecast", "run", "--to", *url], 1, f"{url[0]!r}: you may not write to the folder 'taken'")


def test_a_run_is_not_replaced_unless_asked(call, place, trained):
    before = (place / "run" / "model.json").read_bytes()
    refused(call, ["fit", "good.toml", *H, "--run", "run"], 1, "run is there already", "--overwrite")
    refused(call, ["inspect", "run", "--series", "tea"], 2, "which has no name: leave out --series")
    refused(call, ["inspect", "run", "--at", "2023-12-31"], 2, "begins 2024-01-01")
    assert (place / "run" / "model.json").read_bytes() == before


def test_a_source_that_changed_is_refused(call, place, trained):
    with duckdb.connect(str(place / "shop.duckdb")) as connection:
        connection.execute("ALTER TABLE good RENAME y TO gone")
    try:
        refused(call, ["forecast", "run"], 1, "no column 'y'; there are day, gone")
    finally:
        with duckdb.connect(str(place / "shop.duckdb")) as connection:
            connection.execute("ALTER TABLE good RENAME gone TO y")


def test_ctrl_c_is_a_message_and_leaves_nothing(place, request):
    request.addfinalizer(partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a job in the background would hand down that it is ignored
    long = ["--epochs", "100000", "--patience", "100000", "--horizon", "3", "--run", "stopped"]
    command = [sys.executable, "-m", "gatecast", "fit", "good.toml", *long]
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        said = next(line for line in process.stderr if "training, epoch 1 of" in line)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert said.splitlines()[-1] == "gatecast: stopped; no run or table was left half-written"
    assert "Traceback" not in said
    assert [path.name for path in place.iterdir() if "stopped" in path.name] == []


SWALLOWED = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from gatecast import __main__

def app(standalone_mode):
    try:
        os.kill(os.getpid(), signal.{name})
    except KeyboardInterrupt:
        raise AttributeError("partially initialized module 'pandas'") from None

__main__.app = app
__main__.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_what_a_library_makes_of_an_interrupt_is_told_as_one(name):
    command = [sys.executable, "-c", SWALLOWED.format(name=name)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "gatecast: stopped; no run or table was left half-written\n")


def test_no_command_is_answered_with_help(call):
    code, out, said = call()
    assert code == 2
    assert "Usage: " in out + said
    assert "gatecast: \n" not in said


def test_no_error_commands_the_terminal(call):
    refused(call, ["audit", "\x1b[2Jgone.csv", "--time", "day"], 1, r"nothing to read at '\x1b[2Jgone.csv'")
    refused(call, ["forecast", "\x1b[2Jgone"], 1, r"no run at \x1b[2Jgone: ")


def test_the_tree_of_errors():
    kinds = (UsageError, DataError, StoreError, RunError, TrainingError)
    assert [kind.exit_code for kind in kinds] == [2, 1, 1, 1, 1]
    assert all(issubclass(kind, GatecastError) for kind in kinds)


def test_one_is_no_plural():
    assert [plural(count, "step") for count in (0, 1, 2, 12_345)] == ["0 steps", "1 step", "2 steps", "12,345 steps"]
    assert [plural(count, "step") for count in (0.7, 1.4, 1.6)] == ["1 step", "1 step", "2 steps"]


def test_five_offenders_at_most():
    assert some(range(SHOWN)) == "0, 1, 2, 3, 4"
    assert some(range(1_005)) == "0, 1, 2, 3, 4 and 1,000 more"


def test_names_that_may_be_taken_for_several_are_quoted():
    assert some_names(["a/b", "Berlin, Mitte", "x y", "", 7]) == "a/b, 'Berlin, Mitte', 'x y', '', 7"
    assert some_names(map(str, range(SHOWN + 2))) == "0, 1, 2, 3, 4 and 2 more"


def test_bytes_have_a_unit_of_their_size():
    sizes = (0, 999, 1_500, 23_456, 999_600, 10**10, 3 * 10**15)
    assert [in_bytes(count) for count in sizes] == ["0 B", "999 B", "1.5 kB", "23.5 kB", "1 MB", "10 GB", "3,000 TB"]
