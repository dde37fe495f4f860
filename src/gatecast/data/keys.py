"""Series of one panel among those of another, by their keys."""

from collections.abc import Mapping
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gatecast.data.arrays import Indices


def find_keys(keys: pa.Table, among: pa.Table, count: int) -> Indices:
    """Index of each key (a row) among others, -1 where it is not; `count` keys where there are no columns."""
    if not keys.num_columns:
        return np.zeros(count, np.int64)
    if keys.equals(among):
        return np.arange(count)
    places = np.arange(len(among))
    if len(keys) < len(among) and keys.schema.types == among.schema.types:  # most are told apart at a glance
        alike = [pc.is_in(*pair) for pair in zip(among.columns, keys.combine_chunks().columns, strict=True)]
        may_be = reduce(pc.and_, alike)
        among, places = among.filter(may_be), places[may_be.to_numpy()]
    index: Mapping[tuple[object, ...], int] = dict(zip(_rows(among), places.tolist(), strict=True))
    return np.array([index.get(key, -1) for key in _rows(keys)], np.int64)


def _rows(table: pa.Table) -> list[tuple[object, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
