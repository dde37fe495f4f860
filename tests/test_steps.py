"""What the steps tell holds their numbers, and says so where there is none."""

import numpy as np
import pyarrow as pa
import pytest

from gatecast import fit, steps
from gatecast.evaluation.verdict import Verdict
from gatecast.listener import Silent


def told(accuracy, mae, covered):
    metrics = {"accuracy": accuracy, "mae": mae, "coverage": {"80": covered}}
    naive = {"accuracy": None, "mae": None}
    found = {"windows": 3, "overall": metrics, "baselines": {"seasonal_naive": naive}}
    return steps.test_summary(found, Verdict(False, "Not enough evidence."))


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


class Notes(Silent):
    def __init__(self):
        self.found = []

    def note(self, text):
        self.found.append(text)


@pytest.mark.parametrize(("zeros", "metric", "share"), [(4, "mape", "40 %"), (3, "mape", None), (6, "mae", None)])
def test_percentages_of_a_target_with_many_zeros_are_told_to_say_little(zeros, metric, share):
    at = np.datetime64("2024-01-01", "us") + np.arange(60) * np.timedelta64(1, "D")
    rows, notes = pa.table({"at": at, "y": [0.0 if i % 10 < zeros else 5.0 + i % 3 for i in range(60)]}), Notes()
    tiny = {"epochs": 1, "steps": 1, "hidden": 4, "members": 1}
    fit(rows, time="at", target="y", horizon=2, metric=metric, listener=notes, **tiny)
    told = (
        f"{share} of the values are zero, of which there are no percentages: "
        "the forecasts best for --metric mape are near zero; --metric rmse forecasts the mean"
    )
    assert notes.found == ([told] if share else [])
