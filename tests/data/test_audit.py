import json

import numpy as np
import pyarrow as pa
import pytest

from gatecast import audit
from gatecast.data.audit import audit_panel
from gatecast.data.dates import Frequency, Grid
from gatecast.data.panel import Panel
from gatecast.settings import GridSettings

DAYS = Grid(Frequency("day", 1))
START = DAYS.step("2024-01-01")


def panel_of(series):
    """A panel of {name: values from 2024-01-01 on, None where there is none}."""
    rows = [
        (name, START + day, float(value), 1)
        for name, values in series.items()
        for day, value in enumerate(values)
        if value is not None
    ]
    columns = zip(["key_0", "step", "value", "row_count"], zip(*rows, strict=True), strict=True)
    types = [pa.string(), pa.int64(), pa.float64(), pa.int64()]
    batch = {name: pa.array(column, type_) for (name, column), type_ in zip(columns, types, strict=True)}
    return Panel.from_batches([pa.record_batch(batch)], DAYS, ["name"])


def frame_of(series):
    """The same as rows."""
    rows = [(name, START + day, value) for name, part in series.items() for day, value in enumerate(part)]
    name, day, value = zip(*(row for row in rows if row[2] is not None), strict=True)
    return pa.table({"name": name, "day": np.array(day).astype("datetime64[D]"), "y": pa.array(value, pa.float64())})


def found(panel, **more):
    """The findings as {name: (count, places)}."""
    return {finding.name: (finding.count, finding.places) for finding in audit_panel(panel, **more).findings}


def counting(length, first=1):
    return list(range(first, first + length))


def test_nothing_is_found_in_clean_rows():
    result = audit_panel(panel_of({"a": counting(10), "b": counting(10)}), horizon=3)
    assert result.findings == ()
    assert (result.rows, result.series, result.steps) == (20, 2, 20)
    assert (result.first, result.last, result.frequency, result.timezone) == ("2024-01-01", "2024-01-10", "D", None)
    assert (result.shortest, result.longest, result.agreement) == (10, 10, None)


def test_facts_of_unequal_series():
    result = audit_panel(panel_of({"late": [None, None, 1, None, 2], "early": [1, 2]}))
    assert (result.rows, result.series, result.steps, result.shortest, result.longest) == (4, 2, 5, 2, 3)
    assert (result.first, result.last, result.agreement) == ("2024-01-01", "2024-01-05", None)


FAULTY = {
    "constant": [5] * 10,
    "gaps": [1, None, None, 4, None, 6, 7, 8, 9, 10],
    "negative": [1, 2, -3, -4, 5, 6, 7, 8, 9, 10],
    "short": [None] * 7 + [1, 2, 3],
    "stopped": counting(7),
}


@pytest.mark.parametrize("horizon", [0, 2])
def test_a_panel_and_its_rows_are_audited_alike(horizon):
    panel, rows = panel_of(FAULTY), frame_of(FAULTY)
    names = {"time": "day", "target": "y", "series": ["name"], "freq": "D", "horizon": horizon or None}
    assert audit(rows, **names) == audit_panel(panel, GridSettings(freq="D"), horizon) == audit(panel, **names)


def test_the_faults_of_a_panel():
    assert found(panel_of(FAULTY), horizon=2) == {
        "missing steps": (3, ("gaps from 2024-01-02", "gaps from 2024-01-05")),
        "negative values": (2, ("negative at 2024-01-03", "negative at 2024-01-04")),
        "constant series": (1, ("constant",)),
        "series too short to learn from": (1, ("short",)),
        "series that end before the others": (1, ("stopped ends 2024-01-07",)),
    }


@pytest.mark.parametrize(("length", "short"), [(6, True), (7, False)])
def test_a_test_takes_three_horizons_and_a_step(length, short):
    panel = panel_of({"a": counting(length)})
    assert ("series too short to learn from" in found(panel, horizon=2)) is short
    assert "series too short to learn from" not in found(panel)


@pytest.mark.parametrize(
    ("lengths", "told"),
    [
        ((6, 5), "fit stops, as all of them are: 7 steps are needed"),
        ((6, 7), "forecast, with nothing learned from them before the test: 7 steps are needed"),
    ],
)
def test_where_all_series_are_too_short_fit_stops(lengths, told):
    panel = panel_of({f"s{length}": counting(length) for length in lengths})
    assert told in [finding.done for finding in audit_panel(panel, horizon=2).findings]


@pytest.mark.parametrize(("horizon", "stale"), [(0, ["b", "c"]), (1, ["b", "c"]), (2, ["c"]), (4, ["c"]), (5, [])])
def test_series_that_end_more_than_a_horizon_early(horizon, stale):
    panel = panel_of({"a": counting(30), "b": counting(28), "c": counting(25), "d": counting(29)})
    _, places = found(panel, horizon=horizon).get("series that end before the others", (0, ()))
    assert [place.split()[0] for place in places] == stale


def test_at_most_five_places_are_named_and_all_are_counted():
    panel = panel_of({f"s{i}": [-1, None, -1] for i in range(8)})
    assert found(panel) == {
        "missing steps": (8, tuple(f"s{i} from 2024-01-02" for i in range(5))),
        "negative values": (16, tuple(f"s{i} at 2024-01-0{day}" for i in range(3) for day in (1, 3))[:5]),
        "constant series": (8, ("s0", "s1", "s2", "s3", "s4")),
    }


def test_a_single_value_is_not_a_constant():
    assert found(panel_of({"a": [5], "b": [0]})) == {}


def test_a_finding_says_what_is_done_and_what_decides_it():
    panel = panel_of(FAULTY)
    masked = {finding.name: finding for finding in audit_panel(panel).findings}["missing steps"]
    assert masked.done == "masked, never filled in (2 gaps, the longest 2: gaps from 2024-01-02)"
    assert masked.decide == "--fill"
    decided = audit_panel(panel, GridSettings(fill="forward", align="common"))
    assert decided.undecided == []
    filled, _, _, late = decided.findings
    assert (filled.done[:28], late.done) == ("filled with the value before", "continued to the newest row of any")


LINE = [10 + 0.1 * (i % 7) for i in range(210)]


@pytest.mark.parametrize(
    ("values", "finding", "place"),
    [
        ([*LINE[:100], 30.0, *LINE[101:]], "outliers", "at 2024-04-10"),
        ([*LINE[:100], -10.0, *LINE[101:]], "outliers", "at 2024-04-10"),
        ([*LINE[:105], *(v + 5 for v in LINE[105:])], "level shifts", "at 2024-04-15"),
        ([*LINE[:103], *(v - 5 for v in LINE[103:])], "level shifts", "at 2024-04-13"),
        ([*LINE[:190], *[10.3] * 20], "series that end flat", "from 2024-07-09"),
        ([v if i % 3 else 0.0 for i, v in enumerate(LINE)], None, ""),
        ([0.0 if i % 3 else v for i, v in enumerate(LINE)], "series that are mostly zero", ""),
        ([v + 0.05 * i for i, v in enumerate(LINE)], None, ""),  # a trend is no shift
        ([v + 3 * np.sin(i / 58) for i, v in enumerate(LINE)], None, ""),
        ([v + 4 * (i % 7 == 5) for i, v in enumerate(LINE)], None, ""),  # nor is a season of outliers
        (np.random.default_rng(3).normal(0, 1, 210).cumsum() + 99, None, ""),
    ],
)
def test_outliers_shifts_flat_ends_and_zeros(values, finding, place):
    places = {name: places for name, (_, places) in found(panel_of({"a": list(values)})).items()}
    places.pop("negative values", None)
    assert places == ({} if finding is None else {finding: (f"a {place}".strip(),)})


def test_the_audit_as_json_says_what_is_done():
    result = json.loads(json.dumps(audit_panel(panel_of({"a": [5, 5, 5]})).to_dict()))
    assert result["findings"] == [
        {"name": "constant series", "count": 1, "places": ["a"], "done": "kept", "decide": None}
    ]


def test_the_audit_leaves_the_panel_as_it_is():
    panel = panel_of(FAULTY)
    before = panel.values.copy()
    audit_panel(panel, horizon=2)
    assert np.array_equal(panel.values, before, equal_nan=True)
