import tracemalloc
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatecast.data.dates import Frequency, Grid
from gatecast.data.panel import Panel
from gatecast.data.rows import Reading
from gatecast.errors import DataError, UsageError

PROPERTY = settings(deadline=None, max_examples=80)
DAYS, MINUTES = Grid(Frequency("day", 1)), Grid(Frequency("second", 60))
NAN = float("nan")


def batch(rows, parts=1):
    """Rows of (key parts, step, value, row count) as a record batch."""
    keys, steps, values, counts = list(zip(*rows, strict=True)) if rows else ((), (), (), ())
    types = [pa.string(), pa.int64()][:parts]
    columns = {f"key_{i}": pa.array([key[i] for key in keys], type_) for i, type_ in enumerate(types)}
    columns |= {"step": pa.array(steps, pa.int64()), "value": pa.array(values, pa.float64(), from_pandas=False)}
    return pa.record_batch(columns | {"row_count": pa.array(counts, pa.int64())})


def panel_of(*rows, parts=1, grid=DAYS, **more):
    return Panel.from_batches([batch(rows, parts)], grid, ["shop", "item"][:parts], **more)


def lists(panel):
    """Each series as (key, start, values with None for missing)."""
    keys = [tuple(row.values()) for row in panel.keys.to_pylist()] or [()]
    values = [[None if np.isnan(v) else v for v in panel.series(i).tolist()] for i in range(len(panel))]
    return list(zip(keys, panel.starts.tolist(), values, strict=True))


def expected(table):
    """The panel of {(key, step): value}, as `lists` gives it."""
    series = {}
    for (key, step), value in table.items():
        if value is not None and value == value:
            series.setdefault(key, {})[step] = value
    ordered = sorted(series.items(), key=lambda item: [(part is not None, part or type(part)()) for part in item[0]])
    return [
        (key, min(steps), [steps.get(step) for step in range(min(steps), max(steps) + 1)]) for key, steps in ordered
    ]


keys = st.tuples(st.sampled_from([None, "", "a", "b", "ä", "B"]), st.none() | st.integers(-2, 2))
values = st.none() | st.just(NAN) | st.floats(-(2.0**99), 2.0**99, width=32)
tables = st.dictionaries(st.tuples(keys, st.integers(-40, 40)), values, min_size=1, max_size=60).filter(expected)


@PROPERTY
@given(tables, st.randoms(use_true_random=False), st.integers(1, 7))
def test_rows_and_batches_in_any_order_give_the_same_panel(table, shuffler, size):
    rows = [(key, step, value, 1) for (key, step), value in table.items()]
    shuffler.shuffle(rows)
    batches = [batch(rows[i : i + size], 2) for i in range(0, len(rows), size)]
    panel = Panel.from_batches([batch([], 2), *batches], DAYS, ["shop", "item"])
    assert lists(panel) == expected(table)
    assert panel.reading.rows == len(rows)
    valueless = {key for key, value in table.items() if value is None or value != value}
    spans = {key: (start, start + len(values)) for key, start, values in lists(panel)}
    inside = [step for key, step in valueless if key in spans and spans[key][0] <= step < spans[key][1]]
    begun = [(key, step) for key, step in valueless if key in spans and spans[key][0] <= step]
    zeros = panel.continued(False, "zero")
    assert np.isnan(zeros.values).sum() == len(inside)
    names = [key for key, _, _ in lists(panel)]
    assert {(names[series], step) for series, step in panel.reading.hollow.T} == set(begun)


@PROPERTY
@given(tables, st.data())
def test_take_gives_the_series_in_the_order_asked(table, data):
    panel = panel_of(*[(key, step, value, 1) for (key, step), value in table.items()], parts=2)
    wanted = data.draw(st.lists(st.integers(0, len(panel) - 1), max_size=5))
    taken = panel.take(np.array(wanted, np.int64))
    assert len(taken) == len(wanted)
    assert [(taken.names[i], *lists(taken)[i]) for i in range(len(wanted))] == [
        (panel.names[i], *lists(panel)[i]) for i in wanted
    ]


def test_one_series_without_a_name():
    panel = panel_of(((), 7, 1.5, 1), ((), 4, -2.0, 1), parts=0)
    assert lists(panel) == [((), 4, [-2.0, None, None, 1.5])]
    assert (panel.names, len(panel)) == (["the series"], 1)
    assert panel.find(["the series"]).tolist() == [0]
    with pytest.raises(UsageError, match="there is one series, which has no name: leave out --series"):
        panel.find(["a"])
    assert lists(panel.take(np.array([0]))) == lists(panel)


def test_lengths_lasts_and_names():
    panel = panel_of((("b", 2), 5, 1.0, 1), (("b", 2), 8, 1.0, 1), (("a", None), -3, 1.0, 1), parts=2)
    assert panel.names == ["a/None", "b/2"]
    assert panel.lengths.tolist() == [1, 4]
    assert panel.lasts.tolist() == [-3, 8]
    assert panel.offsets.tolist() == [0, 1, 5]


@pytest.mark.parametrize("column", ["code", "step", "value", "key_0", "0"])
def test_a_series_column_may_have_any_name(column):
    rows = [(("b",), 1, 1.0, 1), (("a",), 1, 2.0, 1), (("empty",), 1, None, 1)]
    panel = Panel.from_batches([batch(rows)], DAYS, [column])
    assert panel.keys.to_pylist() == [{column: "a"}, {column: "b"}]


def test_a_series_column_that_is_all_null():
    rows = pa.record_batch({"key_0": pa.nulls(2), "step": [1, 2], "value": [1.0, 2.0], "row_count": [1, 1]})
    assert lists(Panel.from_batches([rows], DAYS, ["shop"])) == [((None,), 1, [1.0, 2.0])]


DIGITS = [([Decimal("1.50"), None], pa.decimal128(10, 2)), ([Decimal("1234567.25"), Decimal(7)], pa.decimal128(10, 2))]
DIGITS += [([1, None], pa.uint64()), ([2**64 - 1, 2**64 - 2], pa.uint64())]  # as hash() of DuckDB gives


@pytest.mark.parametrize(("values", "type_"), DIGITS)
def test_numbers_that_name_series_have_the_type_of_their_column_whatever_their_values(values, type_):
    columns = {"key_0": pa.array(values, type_), "step": [1, 2], "value": [1.0, 2.0], "row_count": [1, 1]}
    panel = Panel.from_batches([pa.record_batch(columns)], DAYS, ["shop"])
    assert panel.keys.schema.field("shop").type == type_
    assert set(panel.keys.column("shop").to_pylist()) == set(values)


def test_series_encoded_with_nulls_and_another_dictionary_in_every_batch():
    """As DuckDB gives an ENUM column, and pandas a categorical one."""
    pages = [(["b", "a"], [0, None, 1]), (["a", "b"], [0, None, 1])]
    batches = [
        pa.record_batch(
            {
                "key_0": pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), names),
                "step": [step, step, step],
                "value": [1.0, 2.0, 3.0],
                "row_count": [1, 1, 1],
            }
        )
        for step, (names, indices) in enumerate(pages)
    ]
    panel = Panel.from_batches(batches, DAYS, ["name"])
    assert lists(panel) == [((None,), 0, [2.0, 2.0]), (("a",), 0, [3.0, 1.0]), (("b",), 0, [1.0, 3.0])]


def test_many_series_columns_of_many_values_each_are_told_apart():
    keys = [*((i,) * 9 for i in range(256)), (0, *(1,) * 8)]  # 256 ** 9 combinations
    columns = {f"key_{part}": pa.array([key[part] for key in keys]) for part in range(9)}
    columns |= {"step": pa.array([0] * 257), "value": pa.array(np.arange(257.0)), "row_count": pa.array([1] * 257)}
    panel = Panel.from_batches([pa.record_batch(columns)], DAYS, [f"part {part}" for part in range(9)])
    assert dict(zip(panel.names, panel.values.tolist(), strict=True)) == {
        "/".join(map(str, key)): float(number) for number, key in enumerate(keys)
    }


def test_what_was_met_is_counted():
    panel = panel_of(
        (("a",), 1, 1.0, 3),  # three rows on one step
        (("a",), 2, None, 2),  # two on one step, without a value
        (("a",), 3, NAN, 1),
        (("a",), 4, 2.0, 1),
        (("a",), None, 9.0, 4),  # rows without a time
        (("empty",), 1, None, 1),
        (("timeless",), None, 1.0, 1),
        (("timeless",), None, None, 1),
    )
    assert panel.reading == Reading(rows=14)
    assert panel.reading.hollow.T.tolist() == [[0, 2], [0, 3]]
    assert lists(panel) == [(("a",), 1, [1.0, None, None, 2.0])]


@PROPERTY
@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.integers(0, 6)),
        st.tuples(st.sampled_from([1.0, 1.0, None]), st.sampled_from([1, 2, 24, 24])),
        min_size=1,
    ).filter(lambda table: any(value for value, _ in table.values())),
    st.integers(1, 7),
)
def test_a_newest_step_of_fewer_rows_than_usual_is_found_whatever_the_batches(table, size):
    rows = [((shop,), step, value, count) for (shop, step), (value, count) in table.items()]
    panel = Panel.from_batches([batch(rows[i : i + size]) for i in range(0, len(rows), size)], DAYS, ["shop"])
    found = []
    for shop in panel.names:
        made = [count for step in range(7) for value, count in [table.get((shop, step), (None, 0))] if value]
        ends_last = panel.lasts[panel.places[shop]] == panel.lasts.max()
        inner = made[1:-1]
        if ends_last and inner and made[-1] < max(min(inner), np.mean(inner) - 3 * np.std(inner)):
            found.append((shop, made[-1], round(np.mean(inner))))
    assert [(panel.names[i], *more) for i, *more in panel.reading.partial.T.tolist()] == found
    some = panel.take(np.arange(len(panel))[::-1][:2])
    assert sorted((some.names[i], *more) for i, *more in some.reading.partial.T.tolist()) == [
        part for part in found if part[0] in some.names
    ]


@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), 1e39, 1.1e33])
def test_infinite_values_are_refused_and_their_series_named(bad):
    with pytest.raises(DataError, match=r"^target values are infinite.*\(in b/1, c/1\)"):
        panel_of(
            (("a", 1), 1, 1e33, 1),
            (("b", 1), 1, bad, 1),
            (("c", 1), 1, bad, 1),
            (("d", 1), 1, NAN, 1),
            parts=2,
        )


def test_an_infinite_value_without_a_time_is_left_out():
    panel = panel_of((("a",), None, float("inf"), 1), (("a",), 1, 1.0, 1))
    assert lists(panel) == [(("a",), 1, [1.0])]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "gave no rows"),
        ([(("a",), 1, None, 2), (("b",), 1, NAN, 1)], "no usable value in 3 rows"),
        ([(("a",), None, 1.0, 1)], "no usable value in 1 row:"),
    ],
)
def test_nothing_to_use(rows, message):
    with pytest.raises(DataError, match=message):
        panel_of(*rows)


def test_a_grid_far_too_fine_for_the_rows_is_refused():
    limit = 1_000_000 + 2 * 50
    assert len(panel_of((("a",), 0, 1.0, 1), (("a",), limit - 1, 2.0, 1), grid=MINUTES).values) == limit
    with pytest.raises(
        DataError, match="the frequency is too fine for these rows, or a date among them is wrong, as 9999-12-31"
    ):
        panel_of((("a",), 0, 1.0, 1), (("a",), limit, 2.0, 1))
    many = [(("b",), step, 1.0, 1) for step in range(30_000)]  # whose room is not for others
    with pytest.raises(DataError, match=r"^2 values of a would lie on a grid of 1,000,101 steps: "):
        panel_of((("a",), 0, 1.0, 1), (("a",), limit, 2.0, 1), *many)
    with pytest.raises(DataError, match="is the frequency right"):
        panel_of((("a",), -(2**40), 1.0, 1), (("b",), 2**40, 2.0, 1))


def test_steps_far_from_1970_are_kept_exactly():
    far = 10**15
    assert lists(panel_of((("a",), far, 1.0, 1), (("a",), far + 2, 2.0, 1))) == [(("a",), far, [1.0, None, 2.0])]


def test_memory_is_four_bytes_a_value_and_little_a_series():
    series, length = 200, 2_000
    steps = np.tile(np.arange(length), series)
    names = pa.DictionaryArray.from_arrays(np.repeat(np.arange(series), length), [f"s{i}" for i in range(series)])
    rows = pa.record_batch(
        {"key_0": names, "step": steps, "value": steps.astype(float), "row_count": np.ones_like(steps)}
    )
    parts = [rows.slice(i, 20_000) for i in range(0, len(steps), 20_000)]
    tracemalloc.start()
    panel = Panel.from_batches(parts, DAYS, ["name"])
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert panel.values.nbytes == 4 * series * length
    assert panel.offsets.nbytes + panel.starts.nbytes <= 16 * series + 8
    assert kept <= 4 * len(steps) + 300 * series + 100_000
    assert peak <= 12 * len(steps) + 3_000_000


@pytest.mark.parametrize("far", [100, 127, 128, 255, 256, 32_768, 40_000])
def test_steps_on_either_side_of_the_first_row_keep_their_place(far):
    steps = [0, -far, far, 1]
    panel = panel_of(*((("a",), 5 + step, float(step), 1) for step in steps), grid=MINUTES)
    assert (panel.starts.tolist(), panel.lengths.tolist()) == ([5 - far], [2 * far + 1])
    assert {step: panel.values[step + far] for step in steps} == {step: float(step) for step in steps}
    assert np.isnan(panel.values).sum() == 2 * far + 1 - 4


def test_a_step_whose_rows_have_no_value_is_not_taken_as_zero():
    rows = [(("b",), 5, 2.0, 1), (("a",), 3, 5.0, 1), (("a",), 4, None, 2), (("a",), 6, 4.0, 1), (("b",), 9, 1.0, 1)]
    panel = panel_of(*rows)
    assert lists(panel.continued(False, "zero"))[0] == (("a",), 3, [5.0, None, 0.0, 4.0])
    assert lists(panel.continued(True, "zero"))[0] == (("a",), 3, [5.0, None, 0.0, 4.0, 0.0, 0.0, 0.0])
    assert lists(panel.continued(True, "zero")) == lists(panel.continued(True, "missing").continued(False, "zero"))
    assert lists(panel.continued(False, "forward"))[0] == (("a",), 3, [5.0, 5.0, 5.0, 4.0])


def test_late_rows_without_a_value_are_not_taken_as_zero():
    rows = [(("a",), 3, 5.0, 1), (("a",), 4, None, 1), (("a",), 9, None, 1), (("b",), 3, 2.0, 1), (("b",), 6, 1.0, 1)]
    panel = panel_of(*rows, (("early",), 1, None, 1), (("early",), 2, 1.0, 1))
    assert lists(panel.continued(True, "zero")) == [
        (("a",), 3, [5.0, None, 0.0, 0.0]),
        (("b",), 3, [2.0, 0.0, 0.0, 1.0]),
        (("early",), 2, [1.0, 0.0, 0.0, 0.0, 0.0]),
    ]
    assert lists(panel.take(np.array([1, 0])).continued(True, "zero"))[1] == (("a",), 3, [5.0, None, 0.0, 0.0])


RAGGED = [(("a",), 3, 5.0, 1), (("a",), 5, 2.0, 1), (("a",), 8, 4.0, 1), (("b",), 4, 1.0, 1), (("b",), 6, 3.0, 1)]
N = None


@pytest.mark.parametrize(
    ("common", "fill", "a", "b"),
    [
        (False, "missing", [5, N, 2, N, N, 4], [1, N, 3]),
        (False, "zero", [5, 0, 2, 0, 0, 4], [1, 0, 3]),
        (False, "forward", [5, 5, 2, 2, 2, 4], [1, 1, 3]),
        (False, "interpolate", [5, 3.5, 2, 2 + 2 / 3, 3 + 1 / 3, 4], [1, 2, 3]),
        (True, "missing", [5, N, 2, N, N, 4], [1, N, 3, N, N]),
        (True, "zero", [5, 0, 2, 0, 0, 4], [1, 0, 3, 0, 0]),
        (True, "forward", [5, 5, 2, 2, 2, 4], [1, 1, 3, 3, 3]),
        (True, "interpolate", [5, 3.5, 2, 2 + 2 / 3, 3 + 1 / 3, 4], [1, 2, 3, N, N]),
    ],
)
def test_steps_without_rows_are_filled_and_ends_aligned_as_asked(common, fill, a, b):
    panel = panel_of(*RAGGED)
    before = panel.values.copy()
    found = lists(panel.continued(common, fill))
    assert [(key, start) for key, start, _ in found] == [(("a",), 3), (("b",), 4)]
    for (_, _, values), wanted in zip(found, (a, b), strict=True):
        assert [None if v is None else round(v, 5) for v in values] == [
            None if v is None else pytest.approx(v, abs=1e-5) for v in wanted
        ]
    assert np.array_equal(panel.values, before, equal_nan=True)


@PROPERTY
@given(st.dictionaries(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), st.floats(-9, 9, width=32), min_size=1))
def test_filling_changes_no_value_and_leaves_no_hole(table):
    panel = panel_of(*(((key,), step, value, 1) for (key, step), value in table.items()))
    for fill in ("zero", "forward"):
        for common in (False, True):
            filled = panel.continued(common, fill)
            assert not np.isnan(filled.values).any()
            assert (filled.lasts == (panel.lasts.max() if common else panel.lasts)).all()
            for i in range(len(panel)):
                known = panel.series(i)
                kept = filled.series(i)[: len(known)]
                assert np.array_equal(kept[~np.isnan(known)], known[~np.isnan(known)])


def test_series_that_end_early_are_named():
    panel = panel_of(*RAGGED)
    assert panel.ending_before(1) == ("b ends 1970-01-07",)
    assert panel.ending_before(2) == ()


@PROPERTY
@given(tables, st.integers(-45, 45))
def test_what_was_known_at_a_step_ends_with_the_last_value_by_then(table, step):
    panel = panel_of(*[(key, at, value, 1) for (key, at), value in table.items()], parts=2)
    panel = panel.take(np.flatnonzero(panel.starts <= step))
    if len(panel):
        known = {key: value for key, value in table.items() if key[1] <= step}
        assert lists(panel.until(step)) == expected(known)


@PROPERTY
@given(tables, st.integers(-45, 45), st.booleans(), st.sampled_from(["missing", "zero", "forward", "interpolate"]))
def test_what_was_known_at_a_step_is_filled_as_if_no_later_row_had_been_read(table, step, common, fill):
    rows = [(key, at, value, 1) for (key, at), value in table.items()]
    panel = panel_of(*rows, parts=2)
    begun = np.flatnonzero(panel.starts <= step)
    if len(begun):
        known = panel_of(*[row for row in rows if row[1] <= step], parts=2)
        assert lists(panel.take(begun).continued(common, fill).until(step)) == lists(known.continued(common, fill))
        if not common:
            assert lists(panel.continued(common, fill).take(begun).until(step)) == lists(known.continued(common, fill))


def test_what_lies_on_a_line_is_known_with_its_end():
    panel = panel_of(*RAGGED).continued(True, "interpolate")
    assert panel.waiting.tolist() == [0, 1, 0, 2, 1, 0, 0, 1, 0, 0, 0]
    assert [round(float(value), 3) for value in panel.known(0, 8)] == [5, 3.5, 2, 2.667, 3.333, 4]
    assert [None if np.isnan(value) else value for value in panel.known(0, 7)] == [5, 3.5, 2, None, None]
    assert panel.known(0, 2).size == 0
    assert panel_of(*RAGGED).waiting is panel_of(*RAGGED).continued(True, "zero").waiting is None
    assert panel_of(*RAGGED).continued(True, "zero").known(1, 7).tolist() == [1, 0, 3, 0]
