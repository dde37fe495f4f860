"""What the steps tell holds their numbers, and says so where there is none."""

from gatecast import steps
from gatecast.evaluation.verdict import Verdict


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
