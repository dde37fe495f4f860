"""How much each window counts in the loss."""

import pytest
import torch

from gatecast.data.scaling import Scaler
from gatecast.data.windows import Inputs
from gatecast.objective import Objective


def weights_of(metric, logs=False, deviations=None):
    """Importance of windows at levels of 10 and 1,000 whose spread is a tenth of the level."""
    context = torch.tensor([[9.0, 11, 9, 11], [900.0, 1100, 900, 1100]])
    inputs = Inputs(
        context,
        torch.ones_like(context, dtype=torch.bool),
        torch.zeros(2, 5, 0),
        torch.arange(2) * (deviations is not None and len(deviations) > 1),
    )
    found = Objective(metric, deviations).importance(
        Scaler("window")(context, inputs.observed, inputs.series, logs), inputs
    )
    return None if found is None else found[:, 0].tolist()


def test_each_series_has_its_own_unit():
    assert weights_of("mase", deviations=torch.tensor([[1.0], [100.0]])) == pytest.approx([1, 1])
    assert weights_of("mase", deviations=torch.tensor([[1.0], [50.0]])) == pytest.approx([2 / 3, 4 / 3])


@pytest.mark.parametrize("logs", [False, True])
def test_a_window_counts_by_what_its_errors_are_judged_by(logs):
    assert weights_of("mase", logs) is weights_of("quantile", logs) is None
    for metric in ("mape", "smape"):  # a tenth of the level is a tenth, whatever the level
        assert weights_of(metric, logs) == pytest.approx([1, 1])
    for metric in ("mae", "rmse", "wape"):  # a hundred times as large an error counts a hundred times
        assert weights_of(metric, logs) == pytest.approx([2 / 101, 200 / 101], rel=1e-4)
    for metric in ("mase", "quantile"):  # and so it does in the unit of one series
        assert weights_of(metric, logs, torch.tensor([[5.0]])) == pytest.approx([2 / 101, 200 / 101], rel=1e-4)


def test_windows_of_few_values_count_less_as_their_unit_is_unsure():
    context = torch.tensor([[0.0, 0, 0, 0, 0, 7], [0, 0, 0, 0, 8, 9], [0, 0, 0, 7, 9, 8], [3, 5, 4, 6, 5, 7]])
    inputs = Inputs(context, context > 0, torch.zeros(4, 8, 0), torch.arange(4))
    unit = Scaler("window")(context, inputs.observed, inputs.series)
    for metric in ("mase", "quantile"):
        found = Objective(metric, history=2).importance(unit, inputs)
        assert found[:, 0].tolist() == pytest.approx([0.4, 0.8, 1.2, 1.6])
        assert Objective(metric, history=4).importance(unit, inputs) is None
