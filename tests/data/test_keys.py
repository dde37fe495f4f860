"""Keys of series are found by their values."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from gatecast.data.keys import find_keys


def test_find_looks_keys_up_by_value():
    among = pa.table({"shop": ["a", "a", None], "item": [1, 2, 1]})
    keys = pa.table({"shop": [None, "b", "a", "a"], "item": [1, 1, 1, 2]})
    assert find_keys(keys, among, 4).tolist() == [2, -1, 0, 1]
    assert find_keys(pa.table({}), pa.table({}), 1).tolist() == [0]
    assert find_keys(pa.table({"shop": ["1"]}), pa.table({"shop": [1]}), 1).tolist() == [-1]


@given(st.data())
def test_find_is_the_loop_however_many_are_looked_for(data):
    rows = st.tuples(st.none() | st.sampled_from("abc"), st.none() | st.integers(0, 3))
    among = data.draw(st.lists(rows, min_size=1, max_size=12, unique=True))
    keys = data.draw(st.lists(rows, min_size=1, max_size=14, unique=True))
    schema = pa.schema({"shop": pa.string(), "item": pa.int64()})
    tables = (
        pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in part], schema)
        for part in (keys, among)
    )
    assert find_keys(*tables, len(keys)).tolist() == [among.index(key) if key in among else -1 for key in keys]
