"""Frames with columns that nobody can read as they stand: named, or read for what they are."""

import datetime as dt
import decimal
import re
import uuid
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from gatecast import audit, read
from gatecast.data.dates import Frequency, Grid
from gatecast.data.panel import Panel
from gatecast.data.table import FORECAST, TIMESTAMP, ForecastTable
from gatecast.errors import DataError, UsageError
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
    with pytest.raises(DataError, match=r"^cannot read column 'k' \(.+\): make its values numbers, .* of one kind$"):
        read(ODD[name], time="t", target="y", series="k")
    assert read(ODD[name], time="t", target="y").values.tolist() == [1, 2, 3, 4.5]
    assert read(ODD[name], time="t", target="y", sql="SELECT * FROM frame").values.tolist() == [1, 2, 3, 4.5]


@pytest.mark.parametrize(
    ("frame", "named"),
    [(PLAIN.set_axis([0, 1], axis=1), "0, 1"), (pd.concat({"a": PLAIN[["y"]]}, axis=1), "('a', 'y')")],
)
@pytest.mark.parametrize("sql", [None, "SELECT * FROM frame"])
def test_names_of_columns_that_are_no_texts_are_refused(frame, named, sql):
    with pytest.raises(DataError, match=rf"^names of columns must be texts, not {re.escape(named)}: rename these$"):
        read(frame, time="t", target="y", sql=sql)


def test_columns_that_differ_in_case_only_are_refused_if_one_is_named():
    both = PLAIN.assign(Y=1.0)
    for target in ("y", "Y"):
        with pytest.raises(DataError, match=r"^columns '.', '.' differ in case only, which SQL ignores: rename one"):
            read(both, time="t", target=target, series="Y" if target == "y" else "y")
    assert read(both, time="t", target="Y").values.tolist() == [1, 1, 1, 1]  # the other is not read
    assert read(both, time="t", target="y").values.tolist() == [1, 2, 3, 4.5]


def test_keys_of_more_than_38_digits_are_audited_written_and_shown(tmp_path):
    """As BigQuery's BIGNUMERIC comes; DuckDB and polars have no such numbers, and take texts."""
    keys = [decimal.Decimal("1.5"), decimal.Decimal("1234567890" * 4)]
    table = pa.table({"k": pa.array(keys, pa.decimal256(76, 4))})
    days = Grid(Frequency.parse("D"))
    panel = Panel(days, table, np.arange(20, dtype=np.float32), np.array([0, 10, 20]), np.zeros(2, np.int64))
    texts = ["1.5000", "1234567890" * 4 + ".0000"]
    (found,) = audit(panel, horizon=5).findings
    assert (found.name, found.places) == ("series too short to learn from", tuple(texts))
    moments = pa.array([dt.datetime(1970, 1, 11)] * 2, pa.timestamp("us"))
    numbers = {name: [1, 2] for name in FORECAST}
    rows = ForecastTable(pa.table({"k": table["k"], **numbers, TIMESTAMP: moments, "cutoff": moments}), ("k",))
    assert rows.to_polars()["k"].to_list() == texts
    for to, into in (("f.duckdb", "f"), ("f.csv", None), ("f.json", None), ("f.parquet", None)):
        for _ in range(2):
            rows.write(tmp_path / to, into)
    with duckdb.connect(tmp_path / "f.duckdb") as connection:
        assert connection.sql("SELECT k FROM f ORDER BY forecast_value").fetchall() == [(text,) for text in texts]


@pytest.mark.parametrize("frame", [PLAIN.assign(k=None), pl.from_pandas(PLAIN).with_columns(k=None)])
def test_a_column_of_nothing_is_an_empty_covariate(frame):
    for role, part in (("past", "values"), ("static", "statics")):
        found = read(frame, time="t", target="y", **{role: "k"}).covariates
        assert np.isnan(getattr(found, part)).all()
        assert found.categories == {"k": ()}


def test_numbers_of_two_bytes_are_read():
    narrow = PLAIN.assign(y=PLAIN["y"].astype("float16"))
    assert read(narrow, time="t", target="y").values.tolist() == [1, 2, 3, 4.5]


def test_the_frame_of_the_caller_stays_as_it_was():
    frame, before = PLAIN.assign(y=np.float16(PLAIN["y"])), PLAIN.assign(y=np.float16(PLAIN["y"]))
    assert rows_of(frame, ["t", "y"], queried=False).schema.field("y").type == pa.float32()
    assert frame.equals(before)


BERLIN, LONDON, PLUS_2 = ZoneInfo("Europe/Berlin"), ZoneInfo("Europe/London"), dt.timezone(dt.timedelta(hours=2))


@pytest.mark.parametrize("placed", ["column", "index", "part of the index"])
@pytest.mark.parametrize(
    ("zones", "why"),
    [
        ([BERLIN, LONDON], "times of several time zones"),
        ([PLUS_2, BERLIN], "times of several time zones"),
        ([None, BERLIN], "times with a time zone and without"),
    ],
)
def test_times_of_several_zones_are_refused_wherever_they_stand(placed, zones, why):
    times = [time.to_pydatetime().replace(tzinfo=zones[i % 2]) for i, time in enumerate(HOURS)]
    mixed = pd.DataFrame({"t": pd.Series(times, dtype=object), "s": "a", "y": PLAIN["y"]})
    mixed = {"column": mixed, "index": mixed.set_index("t"), "part of the index": mixed.set_index(["s", "t"])}[placed]
    with pytest.raises(DataError, match=rf"^cannot read column 't' \({why}\): make its values"):
        read(mixed, time="t", target="y", series="s")
    utc = pd.to_datetime(pd.Series([time.replace(tzinfo=PLUS_2) for time in HOURS]), utc=True)
    same = [PLUS_2, dt.UTC]  # offsets are no zones: these are moments, and the grid is that of UTC
    offsets = [time.to_pydatetime().astimezone(same[i % 2]) for i, time in enumerate(utc)]
    frame = pd.DataFrame({"y": PLAIN["y"].to_numpy()}, index=pd.Index(offsets, dtype=object, name="t"))
    panel = read(frame, time="t", target="y")
    assert (panel.grid.timezone, panel.grid.label(int(panel.starts[0]))) == (None, "2023-12-31 22:00")
    assert panel.values.tolist() == [1, 2, 3, 4.5]


@pytest.mark.parametrize("order", [1, -1])
def test_times_of_which_only_some_have_a_zone_are_refused(order):
    berlin = ZoneInfo("Europe/Berlin")
    times = [time.to_pydatetime().replace(tzinfo=berlin if i % 2 else None) for i, time in enumerate(HOURS)]
    mixed = PLAIN.assign(t=pd.Series(times[::order], dtype=object))
    with pytest.raises(DataError, match=r"^cannot read column 't' \(times with a time zone and without\): make its"):
        read(mixed, time="t", target="y")
    zoned = [time.replace(tzinfo=berlin) for time in times[:3]]
    panel = read(PLAIN.assign(t=pd.Series([*zoned, pd.NaT], dtype=object)), time="t", target="y")
    assert (panel.grid.timezone, panel.values.tolist()) == ("Europe/Berlin", [1, 2, 3])
    assert panel.grid.instants(panel.starts)[0] == np.datetime64("2023-12-31T23:00:00")
    plain = PLAIN.assign(t=pd.Series([dt.datetime(2024, 1, 1, hour) for hour in range(4)], dtype=object))
    assert read(plain, time="t", target="y").grid.timezone is None


def test_what_is_nearly_a_frame_is_refused_with_what_to_call():
    with pytest.raises(UsageError, match=r"^cannot read rows from LazyFrame: it is lazy, give what its .collect\(\) "):
        read(pl.from_pandas(PLAIN).lazy(), time="t", target="y")
    column = PLAIN.set_index("t")["y"]
    for one in (column, pl.from_pandas(PLAIN)["y"]):
        with pytest.raises(
            UsageError, match=r"^cannot read rows from Series: it is a single column, give .*to_frame\("
        ):
            read(one, time="t", target="y")
    assert read(column.to_frame(), time="t", target="y").values.tolist() == [1, 2, 3, 4.5]
