"""Frames with columns that nobody can read as they stand: named, or read for what they are."""

import decimal
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from gatecast import read
from gatecast.errors import DataError
from gatecast.frames import rows_of

HOURS = pd.date_range("2024-01-01", periods=4, freq="h")
PLAIN = pd.DataFrame({"t": HOURS, "y": [1.0, 2.0, 3.0, 4.5]})

ODD = {
    "integers beyond 64 bits": PLAIN.assign(k=[2**70] * 4),
    "periods": PLAIN.assign(k=pd.period_range("2024-01", periods=4, freq="M")),
    "objects of polars": pl.from_pandas(PLAIN).with_columns(pl.Series("k", [uuid.UUID(int=1)] * 4, dtype=pl.Object)),
    "decimals of 256 bits": pa.table(
        [pa.array(HOURS), PLAIN["y"], pa.array([decimal.Decimal(1)] * 4, pa.decimal256(60, 2))], ["t", "y", "k"]
    ),
    "several types": PLAIN.assign(k=[1, "x"] * 2),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_column_is_refused_by_name_and_does_not_matter_beside(name):
    with pytest.raises(DataError, match=r"^cannot read column 'k' \(.+\): make its values numbers, texts or times$"):
        read(ODD[name], time="t", target="y", series="k")
    assert read(ODD[name], time="t", target="y").values.tolist() == [1, 2, 3, 4.5]
    assert read(ODD[name], time="t", target="y", sql="SELECT * FROM frame").values.tolist() == [1, 2, 3, 4.5]


def test_numbers_of_two_bytes_are_read():
    narrow = PLAIN.assign(y=PLAIN["y"].astype("float16"))
    assert read(narrow, time="t", target="y").values.tolist() == [1, 2, 3, 4.5]


def test_the_frame_of_the_caller_stays_as_it_was():
    frame, before = PLAIN.assign(y=np.float16(PLAIN["y"])), PLAIN.assign(y=np.float16(PLAIN["y"]))
    assert rows_of(frame, ["t", "y"], queried=False).schema.field("y").type == pa.float32()
    assert frame.equals(before)
