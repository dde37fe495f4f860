"""Covariates beside a panel, and what a network is given of them."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatecast.config import Config
from gatecast.data.column import Column, unknown
from gatecast.data.covariates import Covariates
from gatecast.data.covariates_builder import MAX_STEPS_AHEAD
from gatecast.data.dates import Frequency, Grid
from gatecast.data.encoding import Encoder
from gatecast.data.features import holiday_calendar
from gatecast.data.panel import CovariateRows, Panel
from gatecast.errors import DataError

NAN = float("nan")
DAYS = Grid(Frequency("day", 1))


def rows(*found):
    """Rows of (key, step, value, number, text) as a record batch."""
    keys, steps, values, numbers, texts = zip(*found, strict=True)
    return pa.record_batch(
        {
            "key_0": pa.array(keys, pa.string()),
            "step": pa.array(steps, pa.int64()),
            "value": pa.array(values, pa.float64()),
            "row_count": pa.array([1] * len(keys), pa.int64()),
            "covariate_0": pa.array(numbers, pa.float64()),
            "covariate_1": pa.array(texts, pa.string()),
        }
    )


def read(*batches, **beside):
    return Panel.from_batches(batches, DAYS, ["shop"], beside=CovariateRows(("n", "t"), ("t",), **beside))


def lists(values):
    return [[None if np.isnan(value) else value for value in row] for row in values.tolist()]


def test_each_value_lies_on_the_step_of_its_row_from_the_first_target_to_the_last_row():
    panel = read(
        rows(("b", 7, 1.0, 0.5, "x"), ("a", 3, 2.0, None, "y"), ("a", 2, None, 9.0, "x")),  # before the first target
        rows(("a", 6, None, 4.0, None), ("a", 4, 3.0, 8.0, "x"), ("b", None, 3.0, 1.0, "z"), ("c", 1, None, 1.0, "x")),
    )
    found = panel.covariates
    assert panel.names == ["a", "b"]
    assert panel.lasts.tolist() == [4, 7]
    assert found.offsets.tolist() == [0, 4, 5]
    assert found.categories == {"t": ("x", "y")}
    assert lists(found.values) == [[None, 1], [8, 0], [None, None], [4, None], [0.5, 0]]
    assert found.past == ("n",)


def test_rows_of_a_table_of_their_own_fill_what_the_source_leaves_open():
    more = pa.record_batch(
        {
            "key_0": ["a", "a", "a", "new"],
            "step": [3, 4, 5, 4],
            "covariate_0": ["later", "y", "y", "y"],
        }
    )
    panel = read(rows(("a", 3, 2.0, 1.0, "x")), more=[more])
    assert panel.names == ["a"]
    assert lists(panel.covariates.values) == [[1, 0], [None, 2], [None, 2]]
    assert panel.covariates.categories["t"] == ("x", "later", "y")


@pytest.mark.parametrize(
    ("number", "text", "told"),
    [
        ([1.0], ["z"], None),
        (["0,5"], ["z"], "column 'n' holds numbers in the source and texts in the --future-table: give it one type"),
        ([1.0], [7], "column 't' holds texts in the source and numbers in the --future-table: give it one type"),
        (pa.nulls(1, pa.string()), pa.nulls(1, pa.float64()), None),  # an empty column of a CSV file is of texts
        ([1.0], [NAN], None),
    ],
)
def test_a_column_is_of_one_type_wherever_its_rows_are_or_empty(number, text, told):
    more = pa.record_batch({"key_0": ["a"], "step": [4], "covariate_0": number, "covariate_1": text})
    beside = CovariateRows(("n", "t"), ("n", "t"), more=[more])
    batches = [rows(("a", 3, 2.0, 5.0, "x"))]
    if told:
        with pytest.raises(DataError, match=told):
            Panel.from_batches(batches, DAYS, ["shop"], beside=beside)
    else:
        found = Panel.from_batches(batches, DAYS, ["shop"], beside=beside).covariates
        assert found.categories.keys() == {"t"}
        assert lists(found.values[:1]) == [[5, 0]]


def test_an_empty_column_of_texts_takes_the_numbers_of_another_table():
    more = pa.record_batch({"key_0": ["a"], "step": [4], "covariate_0": [7.0]})
    found = read(rows(("a", 3, 2.0, 5.0, None)), more=[more]).covariates
    assert found.categories == {}
    assert lists(found.values) == [[5, None], [None, 7]]


def test_a_column_is_of_the_type_that_training_met_or_empty():
    panel = read(rows(("a", 3, 2.0, 5.0, "x"))).covariates
    with pytest.raises(DataError, match="column 'n' holds numbers, and held texts when the model was trained: cast"):
        Column("n", "past", categories=("x",)).read(panel)
    with pytest.raises(DataError, match="column 't' holds texts, and held numbers when the model was trained: cast"):
        Column("t", "past").read(panel)
    empty = Covariates(("n", "t"), (), np.full((1, 2), NAN), np.array([0, 1]), (), np.empty((1, 0)), {"t": ()})
    for column in (Column("n", "past", categories=("x",)), Column("t", "past")):
        assert np.isnan(column.read(empty)).tolist() == [True]


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), 1e39])
def test_values_that_cannot_be_calculated_with_are_refused_by_name(value):
    told = r"values of column '{}' are infinite or beyond 3.4e38 \(in {}\): filter or repair"
    good = rows(("a", 3, 2.0, 5.0, "x"), ("b", 3, 2.0, 5.0, "x"))
    with pytest.raises(DataError, match=told.format("n", "b")):
        read(good, rows(("b", 4, 2.0, value, "x")))
    more = pa.record_batch({"key_0": ["a"], "step": [4], "covariate_0": [value]})
    with pytest.raises(DataError, match=told.format("n", "a")):
        Panel.from_batches([good], DAYS, ["shop"], beside=CovariateRows(("n", "t"), ("n",), more=[more]))
    with pytest.raises(DataError, match=told.format("size", "a, b")):
        read(good, fixed=["size"], statics=[pa.record_batch({"key_0": ["b", "a"], "static_0": [value] * 2})])
    assert read(good, rows(("unused", 3, None, value, "x"))).names == ["a", "b"]


def test_a_date_far_in_the_future_is_a_mistake():
    with pytest.raises(DataError, match="steps after the last target"):
        read(rows(("a", 3, 2.0, 1.0, "x"), ("a", 4 + MAX_STEPS_AHEAD, None, 1.0, "x")))


def test_static_columns_are_those_of_each_series():
    statics = pa.record_batch({"key_0": ["b", "gone", "a"], "static_0": [2.5, 9.0, None], "static_1": ["u", "v", "w"]})
    panel = read(rows(("b", 7, 1.0, 0.5, "x"), ("a", 3, 2.0, None, "y")), fixed=("size", "kind"), statics=[statics])
    found = panel.covariates
    assert lists(found.statics) == [[None, 2], [2.5, 0]]
    assert found.categories["kind"] == ("u", "v", "w")
    turned = panel.take(np.array([1, 0])).covariates
    assert lists(turned.statics) == [[2.5, 0], [None, 2]]
    assert lists(turned.values) == [[0.5, 0], [None, 1]]
    assert turned.offsets.tolist() == [0, 1, 2]


series = st.lists(
    st.lists(st.integers(-5, 5).map(float) | st.just(NAN), min_size=1, max_size=6), min_size=1, max_size=5
)


@given(series, st.data())
def test_take_keeps_the_rows_of_each_series_together(parts, data):
    offsets = np.cumsum([0, *map(len, parts)])
    values = np.concatenate([np.array(part, np.float32)[:, None] for part in parts])
    found = Covariates(("n",), (), values, offsets, (), np.empty((len(parts), 0), np.float32), {})
    chosen = data.draw(st.lists(st.integers(0, len(parts) - 1), max_size=6))
    taken = found.take(np.array(chosen, np.int64))
    assert [lists(taken.values[slice(*taken.offsets[i : i + 2])]) for i in range(len(chosen))] == [
        [[None if np.isnan(value) else value] for value in parts[i]] for i in chosen
    ]


def test_numbers_are_standardised_on_training_rows_only():
    panel = read(rows(*[("a", step, 1.0, float(value), "x") for step, value in enumerate([1, 3, 100, 1000])]))
    encoder = Encoder.fit(panel, Config.from_options(None, {"past": ["n"], "future": ["t"]}), np.array([1]))
    assert encoder.columns[1] == Column("n", "past", loc=2.0, scale=1.0)
    assert encoder.columns[1].read(panel.covariates).tolist() == [-1, 1, 98, 998]


def test_a_constant_and_an_empty_column_stay_finite():
    panel = read(rows(("a", 0, 1.0, 7.0, None), ("a", 1, 1.0, 7.0, None)))
    encoder = Encoder.fit(panel, Config.from_options(None, {"past": ["n", "t"]}), np.array([1]))
    assert lists(encoder.varied(panel.covariates)) == [[0, None], [0, None]]
    assert [column.width for column in encoder.columns] == [1, 0]


@pytest.mark.parametrize(("level", "later", "told"), [(2000.0, 2200.0, 0.1), (-2000.0, -2200.0, -0.1), (0.0, 1.0, 1.0)])
def test_a_number_that_was_constant_in_training_is_measured_by_its_level(level, later, told):
    """Else a price that has never changed, and will by a tenth, would be hundreds of units from its mean."""
    panel = read(rows(*[("a", step, 1.0, value, None) for step, value in enumerate((level, level, later))]))
    column = Column.fit("n", "past", panel.covariates, np.array([True, True, False]))
    assert column.read(panel.covariates).tolist() == pytest.approx([0, 0, told])


def test_a_category_is_one_of_those_known_or_none():
    known = Column("t", "future", categories=("x", "y"))
    panel = read(rows(("a", 0, 1.0, 1.0, "y"), ("a", 1, 1.0, 1.0, "q"), ("a", 2, 1.0, 1.0, None)))
    assert known.read(panel.covariates).tolist() == pytest.approx([2, 0, NAN], nan_ok=True)
    assert unknown([known, Column("n", "past")], panel.covariates) == [
        "column 't': 1 value of categories that training did not tell apart (q)"
    ]
    assert unknown([Column("t", "future", categories=("q", "y"))], panel.covariates) == []


def test_the_most_frequent_categories_of_a_step_are_told_apart():
    panel = read(rows(*[("a", i, 1.0, 0.0, f"c{max(i - 3, 0)}") for i in range(200)]))
    column = Column.fit("t", "future", panel.covariates, np.ones(200, bool))
    assert len(column.categories) == 64
    assert column.categories[0] == "c0"
    assert len(Column.fit("t", "static", panel.covariates, np.ones(200, bool)).categories) == 197


def test_what_is_static_is_rows_of_one_table_and_their_weights():
    columns = (
        Column("size", "static", loc=2.0, scale=0.5),
        Column("kind", "static", categories=("u", "v", "w")),
        Column("series", "series", categories=("a", "b")),
    )
    statics = np.array([[3.0, 1.0], [NAN, NAN], [2.0, 0.0]], np.float32)
    found = Covariates(
        (), (), np.empty((3, 0), np.float32), np.arange(4), ("size", "kind"), statics, {"kind": ("w", "u")}
    )
    panel = Panel(DAYS, pa.table({"shop": ["a", "new", "b"]}), np.ones(3, np.float32), np.arange(4), np.zeros(3, int))
    encoder = Encoder(columns=columns)
    indices, weights = encoder.statics(Panel(**{**vars(panel), "covariates": found}))
    assert encoder.embeddings == 6
    assert indices.tolist() == [[0, 1, 4], [0, 1, 4], [0, 3, 5]]
    assert weights.tolist() == [[2, 1, 1], [0, 0, 0], [0, 1, 1]]


def test_a_column_called_as_a_part_of_the_calendar_is_told_from_it():
    columns = Column("week", "future"), Column("holidays", "past"), Column("kind", "past", categories=("u", "v"))
    encoder = Encoder(("day", "week"), "DE", None, columns)
    own = [*["day"] * 2, *["week"] * 2, *["holidays"] * 3]
    assert encoder.names == [*own, "column week", "column holidays", "kind", "kind"]


def test_an_encoder_is_what_its_json_says():
    columns = (Column("t", "future", categories=("x",)), Column("n", "past", loc=1.5, scale=2.0))
    encoder = Encoder(("day",), "DE-BY", None, columns)
    assert Encoder.of(encoder.to_dict()) == encoder
    assert (encoder.dates, encoder.known, encoder.past) == (2, 3 + 1, 1)


@pytest.mark.parametrize(
    ("alias", "first", "expected"),
    [
        ("D", "2024-12-23", [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]),
        ("12h", "2024-12-24", [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]]),
        # Christmas is at the weekend: no part of Friday's last hour, but of the business day.
        ("bh", "2021-12-24 14:00", [[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]]),
        ("4bh", "2021-12-24 09:00", [[1, 0, 0], [1, 0, 0], [0, 0, 1]]),
        ("8bh", "2021-12-24 09:00", [[1, 2, 0], [0, 0, 1]]),
        ("cbh", "2024-12-24 15:00", [[1, 0, 0], [1, 0, 0], [0, 0, 1]]),  # the next hour is on the 27th
        ("B", "2021-12-24", [[1, 2, 0], [0, 0, 1]]),
        ("W-MON", "2024-12-23", [[1, 2, 1], [1, 1, 1]]),
        ("MS", "2024-04-01", [[1, 1, 1], [2, 3, 3]]),  # the eve of the first of May is in April
        ("ME", "2024-04-30", [[1, 1, 1], [2, 3, 3]]),
        ("CBMS", "2024-04-02", [[1, 1, 1], [2, 3, 3]]),  # the month is whole, whichever weekday is its label
        ("CBME", "2024-04-30", [[1, 1, 1], [2, 3, 3]]),
    ],
)
def test_holidays_and_the_days_around_them(alias, first, expected):
    grid = Grid(Frequency.parse(alias), None, "DE")
    steps = grid.step(first) + np.arange(len(expected))
    assert holiday_calendar(grid, "DE", steps).tolist() == expected
    assert holiday_calendar(grid, None, steps).tolist() == [[0, 0, 0]] * len(expected)


def test_holidays_are_days_of_the_zone():
    grid = Grid(Frequency.parse("h"), "America/New_York")
    steps = np.arange(grid.step("2024-07-03 22:00"), grid.step("2024-07-05 02:00"))
    assert holiday_calendar(grid, "US", steps)[:, 1].tolist() == [0] * 2 + [1] * 24 + [0] * 2


@pytest.mark.parametrize("empty", [None, ""])
def test_each_series_has_the_holidays_of_its_own_place(empty):
    statics = pa.record_batch({"key_0": ["a", "b", "c"], "static_0": ["US", empty, "DE"]})
    day = DAYS.step("2024-07-04")
    panel = read(
        *[rows(*[(key, day + at, 1.0, 0.0, "x") for at in range(2)]) for key in "abc"],
        fixed=("land",),
        statics=[statics],
    )
    dates, group = Encoder(places="land").calendars(panel, np.array([day]))
    assert dates[group, 0, 1].tolist() == [1, 0, 0]
    dates, group = Encoder(place="US", places="land").calendars(panel, np.array([day]))
    assert dates[group, 0, 1].tolist() == [1, 1, 0]  # those without a place have that of all
