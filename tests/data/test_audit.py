import json

import numpy as np
import pyarrow as pa
import pytest

from gatecast.data.audit import audit
from gatecast.data.dates import Frequency, Grid
from gatecast.data.panel import Panel

DAYS = Grid(Frequency("day", 1))
START = DAYS.step("2024-01-01")


def panel_of(series, extra=()):
    """A panel of {name: values from 2024-01-01 on, None where there is no row}, and extra (name, day, value, rows)."""
    rows = [
        (name, START + day, float(value), 1)
        for name, values in series.items()
        for day, value in enumerate(values)
        if value is not None
    ]
    rows += [(name, None if day is None else START + day, value, count) for name, day, value, count in extra]
    columns = zip(["key_0", "step", "value", "row_count"], zip(*rows, strict=True), strict=True)
    types = [pa.string(), pa.int64(), pa.float64(), pa.int64()]
    batch = {name: pa.array(column, type_) for (name, column), type_ in zip(columns, types, strict=True)}
    return Panel.from_batches([pa.record_batch(batch)], DAYS, ["name"])


def found(panel, **more):
    """The findings as {name: (count, places)}."""
    return {finding.name: (finding.count, finding.places) for finding in audit(panel, **more).findings}


def counting(length, first=1):
    return list(range(first, first + length))


def test_nothing_is_found_in_clean_rows():
    result = audit(panel_of({"a": counting(10), "b": counting(10)}), agreement=1.0, horizon=3)
    assert result.findings == ()
    assert (result.rows, result.series, result.steps) == (20, 2, 20)
    assert (result.first, result.last, result.frequency, result.timezone) == ("2024-01-01", "2024-01-10", "D", None)
    assert (result.shortest, result.longest, result.agreement) == (10, 10, 1.0)


def test_facts_of_unequal_series():
    result = audit(panel_of({"late": [None, None, 1, None, 2], "early": [1, 2]}))
    assert (result.rows, result.series, result.steps, result.shortest, result.longest) == (4, 2, 5, 2, 3)
    assert (result.first, result.last, result.agreement) == ("2024-01-01", "2024-01-05", None)


PLANTED = {
    "gaps": [1, None, None, 4, None, 6, 7, 8, 9, 10],
    "constant": [5] * 10,
    "negative": [1, 2, -3, -4, 5, 6, 7, 8, 9, 10],
    "one hole": [1, 2, 3, 4, 5, 6, 7, 8, None, 10],
    "short": [None] * 7 + [1, 2, 3],
    "stopped": counting(7),
    "clean": counting(10),
}
EXTRA = [
    ("clean", None, 1.0, 3),  # rows without a time
    ("gaps", 1, None, 1),  # a step whose only row has no value
    ("gaps", 2, None, 2),  # one whose two rows have none
    ("clean", 10, 11.0, 4),  # four rows on a step
    ("hollow", 3, None, 1),
    ("empty", 3, float("nan"), 1),
]


def test_every_planted_fault_is_counted_exactly():
    assert found(panel_of(PLANTED, EXTRA), horizon=2) == {
        "rows without a time": (3, ()),
        "rows on a step that another row has": (4, ()),
        "steps without a value": (4, ()),
        "series without any value": (2, ("empty", "hollow")),
        "missing steps": (4, ("gaps from 2024-01-02", "gaps from 2024-01-05", "one hole from 2024-01-09")),
        "constant series": (1, ("constant",)),
        "series with negative values": (1, ("negative",)),
        "series too short to test": (1, ("short",)),
        "series that end before the others": (1, ("stopped ends 2024-01-07",)),
    }


@pytest.mark.parametrize(("length", "short"), [(9, True), (10, False)])
def test_a_test_takes_three_horizons_and_a_step(length, short):
    panel = panel_of({"a": counting(length)})
    assert ("series too short to test" in found(panel, horizon=3)) is short
    assert "series too short to test" not in found(panel)


@pytest.mark.parametrize(("horizon", "stale"), [(0, ["b", "c"]), (1, ["b", "c"]), (2, ["c"]), (4, ["c"]), (5, [])])
def test_series_that_end_more_than_a_horizon_early(horizon, stale):
    panel = panel_of({"a": counting(30), "b": counting(28), "c": counting(25), "d": counting(29)})
    _, places = found(panel, horizon=horizon).get("series that end before the others", (0, ()))
    assert [place.split()[0] for place in places] == stale


def test_at_most_five_places_are_named_and_all_are_counted():
    panel = panel_of({f"s{i}": [-1, None, -1] for i in range(8)})
    assert found(panel) == {
        "missing steps": (8, tuple(f"s{i} from 2024-01-02" for i in range(5))),
        "constant series": (8, ("s0", "s1", "s2", "s3", "s4")),
        "series with negative values": (8, ("s0", "s1", "s2", "s3", "s4")),
    }


def test_a_single_value_is_not_a_constant():
    assert found(panel_of({"a": [5], "b": [0]})) == {}


def test_steps_missing_in_a_row_are_one_gap():
    done = {finding.name: finding.done for finding in audit(panel_of(PLANTED)).findings}
    assert "(3 gaps)" in done["missing steps"]


def test_the_audit_as_json_says_what_is_done():
    result = json.loads(json.dumps(audit(panel_of({"a": [5, 5, 5]})).to_dict()))
    assert result["findings"] == [{"name": "constant series", "count": 1, "places": ["a"], "done": "kept"}]


def test_the_audit_leaves_the_panel_as_it_is():
    panel = panel_of(PLANTED, EXTRA)
    before = panel.values.copy()
    audit(panel, horizon=2)
    assert np.array_equal(panel.values, before, equal_nan=True)
