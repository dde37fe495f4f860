"""What a person at a terminal sees: a question before spending, bars that come and go, lines that stay."""

import io
import json
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from rich.console import Console

from gatecast import console
from gatecast.data.audit import Audit, Finding
from gatecast.data.table import BASELINES, CONFIDENCE, LOWER, TIMESTAMP, UPPER, VALUE
from gatecast.training import Epoch


@pytest.fixture
def terminal(monkeypatch):
    """A terminal to look at, with somebody at the keys who says what is put into `answers`."""
    shown = console.Harmless(file=io.StringIO(), force_terminal=True, highlight=False, width=120, **console.AS_IS)
    shown.answers = []
    monkeypatch.setattr("builtins.input", lambda: shown.answers.pop(0))
    monkeypatch.setattr(console, "err", shown)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    return shown


def epoch(number, stage="test", validation=0.25):
    share = None if validation is None else 75.0
    return Epoch(stage, number, 2, 0.5, 60.0, validation, share, 0.001, 1_000.0, 1.0)


def test_a_person_is_asked_until_they_agree(terminal):
    teller = console.Teller()
    terminal.answers[:] = ["n", " Yes "]
    assert [teller.agree(f"spend {sum_}?") for sum_ in (1, 2, 3)] == [False, True, True]
    assert console.Teller(yes=True).agree("spend?")
    assert terminal.file.getvalue() == "spend 1? [y/N] spend 2? [y/N] "


def test_nobody_is_asked_where_nobody_is(terminal, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert console.Teller().agree("spend?")
    assert terminal.file.getvalue() == ""


def test_many_rows_have_a_bar_until_they_are_there(terminal):
    teller = console.Teller()
    teller.rows(5, console.MANY - 1)
    assert teller.progress is None
    teller.rows(50_000, 200_000)
    (task,) = teller.progress.tasks
    assert (task.completed, task.total, task.description) == (50_000, 200_000, "reading")
    teller.rows(100_000, 200_000)
    assert teller.progress.tasks[0].completed == 100_000
    teller.rows(200_000, 200_000)
    assert teller.progress is None


def test_a_note_takes_the_bar_down_and_stays(terminal):
    teller = console.Teller()
    teller.rows(50_000, 200_000)
    teller.note("three series [end] early")
    assert teller.progress is None
    assert "three series [end] early\n" in terminal.file.getvalue()


def test_training_has_a_bar_for_each_stage(terminal):
    teller = console.Teller()
    teller.epoch(epoch(1))
    (task,) = teller.progress.tasks
    assert (task.completed, task.total, task.description) == (1, 2, "training")
    assert task.fields["text"] == "loss 0.5000, accuracy 60.0 %; validation loss 0.2500, accuracy 75.0 %"
    teller.epoch(epoch(2))
    assert teller.progress is None
    teller.epoch(epoch(1, "final", None))
    assert teller.progress.tasks[0].description == "final weights"
    assert teller.progress.tasks[0].fields["text"] == "loss 0.5000, accuracy 60.0 %"
    teller.stop()
    assert teller.progress is None


def test_the_bar_of_training_and_its_figures_fit_into_a_terminal_of_80_columns(terminal):
    terminal.width = 80
    teller = console.Teller()
    teller.epoch(epoch(1))
    teller.stop()
    shown = terminal.file.getvalue()
    assert "training" in shown
    assert "━━━━━━" in shown
    assert "validation loss 0.2500, accuracy 75.0 %" in shown


@pytest.mark.parametrize(("setbacks", "times"), [(1, "once"), (2, "2 times")])
def test_training_that_diverged_says_how_often(capsys, setbacks, times):
    console.Teller().epoch(replace(epoch(1, "final", None), setbacks=setbacks))
    said = f"loss 0.5000, accuracy 60.0 %; diverged {times}, continued at a lower rate"
    assert capsys.readouterr().err == f"      final weights, epoch 1 of 2: {said}\n"


@pytest.mark.parametrize(("season", "told"), [(1, "the last step\n"), (1_000, "the last 1,000 steps\n")])
def test_a_season_of_one_is_the_last_step(capsys, season, told):
    ours = {"mae": 1.0, "coverage": {}}
    console.show_metrics({"overall": ours, "baselines": {}, "season": season})
    assert capsys.readouterr().out.endswith(f"the seasonal naive forecast repeats {told}")


def test_no_name_commands_the_terminal(terminal, monkeypatch):
    """Names may clear the screen or retype what was said; they are shown, line ends and letters are as they were."""
    clear, plain = "\x1b[2J\x07", "é 👩\u200d👧"
    monkeypatch.setattr(console, "out", terminal)
    console.show_rows(pa.table({f"shop{clear}": [f"{plain}{clear}"]}), "table")
    console.say(f"no series {clear}\nthere are {plain}")
    console.Teller().step(1, "Read", clear)
    finding = Finding("gap", 1, (f"{clear} from 2024",), f"masked {clear}")
    console.show_audit(Audit(1, 1, 1, "2024", "2024", "D", None, None, 1, 1, (finding,)))
    text = terminal.file.getvalue()
    assert "\x1b[2J" not in text
    assert "\x07" not in text
    assert text.count(r"\x1b[2J\x07") == 6
    assert text.count(plain) == 2
    assert "\nthere are" in text


def test_how_much_of_the_test_a_baseline_forecast_is_told(capsys):
    """Those that had no time for all are measured on other windows than the model."""
    found = {"mae": 2.0, "skill": None, "skill_low": None, "skill_high": None, "compared": 0.125}
    baselines = {"seasonal_naive": found | {"compared": 1.0}, "auto_theta": found}
    console.show_metrics({"overall": {"mae": 1.0, "coverage": {}}, "baselines": baselines, "season": 1})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["forecasts", "compared", "100.0", "%", "12.5", "%"] in lines


def test_an_interval_of_one_window_is_none(capsys):
    one = {"mae": 2.0, "compared": 1.0, "skill": 5.3, "skill_low": 5.3, "skill_high": 5.3}
    baselines = {"seasonal_naive": one, "naive_drift": one | {"skill_low": 1.25}}
    console.show_metrics({"overall": {"mae": 1.0, "coverage": {}}, "baselines": baselines, "season": 1})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["error", "saved", "5.3", "%", "5.3", "%"] in lines
    assert ["95", "%", "interval", "from", "1.2", "%"] in lines


def test_a_test_beside_all_baselines_fits_a_terminal(monkeypatch):
    shown = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=80)
    monkeypatch.setattr(console, "out", shown)
    found = {"mae": -12_345.6, "compared": 1.0, "skill": -100.0, "skill_low": -123.4, "skill_high": -10.0}
    console.show_metrics(
        {"overall": found | {"coverage": {}}, "baselines": dict.fromkeys(BASELINES, found), "season": 1}
    )
    lines = [line.split() for line in shown.file.getvalue().splitlines()]
    assert lines[1] == ["model", "naive", "drift", "AutoTheta", "AutoETS", "AutoARIMA"]
    assert lines[-3] == ["95", "%", "interval", "from", *["-123.4", "%"] * len(BASELINES)]
    assert lines[-2] == ["95", "%", "interval", "to", *["-10.0", "%"] * len(BASELINES)]


def test_a_narrow_terminal_shows_numbers_and_places_whole(monkeypatch):
    shown = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=44)
    monkeypatch.setattr(console, "out", shown)
    found = {"mae": -12_345.6, "compared": 1.0, "skill": -100.0, "skill_low": -1234.5, "skill_high": -10.0}
    baselines = dict.fromkeys(BASELINES, found)
    console.show_metrics({"overall": {"mae": 1.0, "coverage": {}}, "baselines": baselines, "season": 1})
    gap = Finding("missing steps", 1, ("shop-0000000000 from 2024-05-13",), "masked, never filled in")
    console.show_audit(Audit(9, 1, 9, "2024-05-01", "2024-05-31", "D", None, None, 9, 9, (gap,)))
    text = shown.file.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 44


@pytest.mark.parametrize("at", [date(2026, 2, 5), datetime(2026, 2, 5, 18, 30)], ids=["days", "times"])
def test_a_terminal_shows_whole_dates_under_short_names(monkeypatch, at):
    row = {"shop": "shop-0", TIMESTAMP: at, VALUE: 143_300.5, CONFIDENCE: 0.8, LOWER: 138_900.5, UPPER: 147_200.5}
    row |= {"cutoff": at, "step": 1, "kind": "extrapolated", "run_id": "c018ea6ce790"}
    shown = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=80)
    monkeypatch.setattr(console, "out", shown)
    console.show_rows(pa.Table.from_pylist([row]), "table")
    text = shown.file.getvalue()
    names = ["shop", "date", "forecast", "level", "low", "high", "cutoff", "step", "kind"]
    assert text.splitlines()[0].split() == names
    words = text.split()
    assert (words.count("2026-02-05"), words.count("18:30:00")) == (2, 2 * isinstance(at, datetime))
    assert {"shop-0", "143,300", "0.8", "138,900", "147,200", "extrapolated"} <= set(words)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("hour", "told"), [(0, "2026-02-06 2026-02-05"), (1, "2026-02-06 00:00:00 2026-02-05 01:00:00")]
)
@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_a_table_of_days_has_no_midnight_in_every_row(capsys, zone, hour, told):
    """One of hours has, even where a row is at midnight."""
    times = [pa.array([datetime(2026, 2, day, at)]) for day, at in ((6, 0), (5, hour))]
    times = times if zone is None else [pc.assume_timezone(part, zone) for part in times]
    console.show_rows(pa.table(times, [TIMESTAMP, "cutoff"]), "table")
    assert capsys.readouterr().out.replace("+09:00", "").split()[2:] == told.split()


NAMES = ["[/x] [red]y", "team:rocket:prod", "[bold]"]


def test_names_are_shown_as_they_are(capsys):
    console.show_rows(pa.table({"[/b] :x: shop": NAMES}), "table")
    teller = console.Teller()
    teller.step(1, "Read", NAMES[0])
    teller.note(NAMES[1])
    shown = capsys.readouterr()
    assert [line.strip() for line in shown.out.splitlines()] == ["[/b] :x: shop", *NAMES]
    assert shown.err == f" 1/11 Read: {NAMES[0]}\n{NAMES[1]}\n"


def test_what_names_a_series_is_printed_in_every_form(capsysbinary):
    rows = pa.table({"id": [Decimal("1.50")], "at": [time(7, 30)], "hash": [b"\xff\x01"]})
    console.show_rows(rows, "json")
    assert json.loads(capsysbinary.readouterr().out) == [{"id": "1.50", "at": "07:30:00", "hash": "/wE="}]
    console.show_rows(rows, "csv")
    assert capsysbinary.readouterr().out == b'"id","at","hash"\n1.50,07:30:00.000000,"/wE="\n'
    console.show_rows(rows, "table")
    assert capsysbinary.readouterr().out.split()[3:5] == [b"1.50", b"07:30:00"]


def test_a_timestamp_has_a_fraction_in_csv_only_where_a_row_needs_it(capsysbinary):
    at = datetime(2024, 1, 1, 8)
    rows = pa.table({"whole": [at, None], "fine": [at, at.replace(microsecond=5)]})
    zoned = rows["whole"].cast(pa.timestamp("us", "UTC"))
    console.show_rows(rows.append_column("zoned", zoned), "csv")
    assert capsysbinary.readouterr().out.decode().splitlines() == [
        '"whole","fine","zoned"',
        "2024-01-01 08:00:00,2024-01-01 08:00:00.000000,2024-01-01 08:00:00Z",
        ",2024-01-01 08:00:00.000005,",
    ]


def test_what_is_not_json_is_an_error(capsys):
    with pytest.raises(TypeError, match="set is not JSON"):
        console.show_json({"rows": {1}})
    console.show_json({"accuracy": None})
    assert json.loads(capsys.readouterr().out) == {"accuracy": None}
