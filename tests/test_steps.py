"""What the steps tell holds their numbers, and says so where there is none."""

import numpy as np
import pyarrow as pa
import pytest

from gatecast import fit, steps
from gatecast.evaluation.verdict import Verdict
from gatecast.listener import Listener


def told(accuracy, mae, covered, there=3):
    metrics = {"accuracy": accuracy, "mae": mae, "coverage": {"80": covered}}
    naive = {"accuracy": None, "mae": None}
    found = {"windows": 3, "overall": metrics, "baselines": {"seasonal_naive": naive}}
    return steps.test_summary(found, Verdict(False, "Not enough evidence."), there)


def test_a_test_of_nothing_is_no_coverage_of_nothing():
    assert told(None, None, None) == (
        "3 windows: accuracy undefined (seasonal naive undefined), MAE undefined (undefined); "
        "80 % intervals cover undefined. Not enough evidence."
    )
    assert "MAE 22,440 (undefined)" in told(90.04, 22440.2, 79.96)
    assert told(90.04, 1234.5, 79.96) == (
        "3 windows: accuracy 90.0 % (seasonal naive undefined), MAE 1,234 (undefined); "
        "80 % intervals cover 80.0 %. Not enough evidence."
    )
    assert told(90.04, 1234.5, 79.96, 2_817).startswith("3 of 2,817 windows: accuracy")


class Notes(Listener):
    def __init__(self):
        self.found, self.steps = [], {}

    def step(self, number, name, text):
        self.steps[number] = text

    def note(self, text):
        self.found.append(text)


AT = np.datetime64("2024-01-01", "us") + np.arange(60) * np.timedelta64(1, "D")
TINY = {"time": "at", "target": "y", "horizon": 2, "epochs": 1, "steps": 1, "hidden": 4, "members": 1}


@pytest.mark.parametrize(
    ("sizes", "notes", "recurrent"),
    [
        ({}, [], "3 recurrent steps;"),
        ({"context": 14, "reach": 7, "segment": 7, "layers": 2}, [], "1 recurrent step;"),
        (
            {"context": 5, "segment": 4},
            ["--context 5 becomes 8: context and reach hold whole segments (--segment) and a season (--seasons)"],
            "2 recurrent steps;",
        ),
        (
            {"context": 24, "segment": 12, "members": 2},
            [],
            "12 at once: 2 recurrent steps or 3 at once: 8 recurrent steps;",
        ),
    ],
)
def test_sizes_other_than_those_asked_for_are_told(sizes, notes, recurrent):
    rows, told = pa.table({"at": AT, "y": [5.0 + i % 7 for i in range(60)]}), Notes()
    fit(rows, listener=told, seasons=(7,), **TINY | sizes)
    assert told.found == notes
    assert recurrent in told.steps[5]
    assert f"{sizes.get('members', 1)} × {'2 layers' if 'layers' in sizes else '1 layer'} of 4 units" in told.steps[7]


@pytest.mark.parametrize(
    ("asked", "notes"),
    [
        ({"clock": True}, ["--clock true changes nothing: steps are h, not of an hour or less in a --timezone"]),
        ({"clock": False}, []),
        ({"clock": True, "timezone": "Europe/Berlin"}, []),
    ],
)
def test_a_clock_that_is_asked_for_where_none_is_changed_is_told(asked, notes):
    told, at = Notes(), np.datetime64("2024-01-01", "us") + np.arange(60) * np.timedelta64(1, "h")
    fit(pa.table({"at": at, "y": [5.0 + i % 7 for i in range(60)]}), listener=told, **TINY | asked)
    assert told.found == notes


@pytest.mark.parametrize("hours", [10, 24])
def test_a_last_day_that_is_not_over_is_told(hours):
    at, notes = np.datetime64("2024-01-01", "us") + np.arange(24 * 60 + hours) * np.timedelta64(1, "h"), Notes()
    fit(pa.table({"at": at, "y": np.arange(len(at)) % 5.0}), listener=notes, freq="D", aggregate="sum", **TINY)
    told = (
        "last steps with fewer rows than usual: the series at 2024-03-01 (10 of 24 rows): "
        "kept; if not over yet, leave out with --until 2024-03-01, or by --sql in a nightly job"
    )
    assert notes.found == ([told] if hours < 24 else [])


def test_where_holidays_are_those_of_each_place_those_of_none_are_told_too():
    columns = {"at": AT, "y": [5.0 + i % 7 for i in range(60)], "place": ["DE"] * 60}
    for more, said in (({}, "holidays of each place;"), ({"holidays": "FR"}, "holidays of each place (FR where it")):
        told = Notes()
        fit(pa.table(columns), listener=told, holidays_column="place", **TINY, **more)
        assert said in f"{told.steps[2]};"


@pytest.mark.parametrize(("zeros", "metric", "share"), [(4, "mape", "40 %"), (3, "mape", None), (6, "mae", None)])
def test_percentages_of_a_target_with_many_zeros_are_told_to_say_little(zeros, metric, share):
    rows, notes = pa.table({"at": AT, "y": [0.0 if i % 10 < zeros else 5.0 + i % 3 for i in range(60)]}), Notes()
    fit(rows, metric=metric, listener=notes, **TINY)
    told = (
        f"{share} of the values are zero, of which there are no percentages: "
        "the forecasts best for --metric mape are near zero; --metric rmse forecasts the mean"
    )
    assert notes.found == ([told] if share else [])


def test_covariates_of_which_nothing_can_be_learned_are_told():
    rng, notes = np.random.default_rng(0), Notes()
    day, shop = np.tile(np.arange(60), 2), np.repeat(["a", "b"], 60)
    rows = {
        "at": np.tile(AT, 2),
        "shop": shop,
        "y": 5.0 + day % 7,
        "heat": rng.normal(20, 5, 120),
        "late": day > 50,  # after the training rows
        "size": np.where(shop == "a", 3.0, 4.0),
        "kind": np.where(shop == "a", "small", "big"),
        "land": ["DE"] * 120,
        "gone": pa.nulls(120, pa.float64()),
        "now_and_then": pa.array([1.0, None] * 60),
        "place": [f"in {name}" for name in shop],
    }
    roles = {"past": ["heat", "late", "now_and_then"], "future": ["size", "kind", "gone"], "static": ["land", "place"]}
    fit(pa.table(rows), listener=notes, series="shop", **TINY, **roles)
    told = [line.removeprefix("column ").split(", so the tested weights learn nothing from it") for line in notes.found]
    assert told == [
        ["'land' is the same for all series", ""],
        ["'late' is constant in the training rows", ""],
        ["'now_and_then' is constant in the training rows", ""],
        ["'size' never changes within a series in the training rows", ": it is --static"],
        ["'kind' never changes within a series in the training rows", ": it is --static"],
        ["'gone' has no value in the training rows", ""],
    ]


@pytest.mark.parametrize(
    ("metric", "share", "is_told"), [("rmse", 0.25, True), ("rmse", 1.0, False), ("mae", 0.25, False)]
)
def test_a_mean_that_held_back_windows_do_not_bear_out_is_told(metric, share, is_told, monkeypatch):
    monkeypatch.setattr("gatecast.fitted.mean_share_of", lambda *_: share)
    rows, notes = pa.table({"at": AT, "y": [5.0 + i % 7 for i in range(60)]}), Notes()
    fit(rows, listener=notes, metric=metric, **TINY)
    assert notes.steps[9].endswith("; forecast 25 % of the way from median to mean, best on validation") == is_told
