"""Where a run came from: `fit --from RUN` makes it again of the very same rows, or says that they are others."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

import golden
from gatecast import fit, load, read
from gatecast.errors import DataError, RunError, UsageError
from gatecast.manifest import digest

RUN = golden.COLUMNS | golden.SETTINGS


def put(path, rows):
    """Rows as a file or the table of a database, in place of those before."""
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path) if path.suffix == ".duckdb" else ":memory:") as connection:
        connection.register("given", rows)
        connection.execute("CREATE TABLE shop AS FROM given" if path.suffix == ".duckdb" else f"COPY given TO '{path}'")


def changed(rows, column, row, value):
    values = rows[column].to_pylist()
    values[row] = value
    return rows.set_column(rows.column_names.index(column), column, pa.array(values, rows[column].type))


@pytest.fixture(params=[".csv", ".parquet", ".json", ".duckdb"])
def made(request, tmp_path, monkeypatch):
    """A source and a run of it, whose path was relative."""
    monkeypatch.chdir(tmp_path)
    path = Path(f"shop{request.param}")
    put(path, golden.rows())
    fit(str(path), run="run", **RUN)
    return path


def test_the_very_rows_give_the_very_run(made, tmp_path, monkeypatch):
    rows = golden.rows()
    put(made, rows.take(pc.sort_indices(rows, [("promo", "descending"), ("y", "ascending")])))  # in another order
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    fit(from_=tmp_path / "run", run="again")
    one, other = (load_file(folder / "model.safetensors") for folder in (tmp_path / "run", Path("again")))
    assert one.keys() == other.keys()
    assert all(part.tobytes() == other[name].tobytes() for name, part in one.items())
    for name in ("config.toml", "metrics.json"):
        assert (tmp_path / "run" / name).read_bytes() == Path("again", name).read_bytes()


def test_other_settings_hold_on_the_very_rows(tmp_path):
    pq.write_table(golden.rows(), tmp_path / "shop.parquet")
    fit(tmp_path / "shop.parquet", run=tmp_path / "run", **RUN)
    model = fit(from_=tmp_path / "run", seed=2)
    assert model.config == load(tmp_path / "run").config.having("training", seed=2)
    again = fit(from_=tmp_path / "run", aggregate="max")  # of one row for each step
    assert again.evidence["manifest"]["rows_sha256"] == model.evidence["manifest"]["rows_sha256"]
    for other in ({"since": "2024-01-02"}, {"freq": "W"}, {"freq": "W", "timezone": "Asia/Tokyo"}):
        told = rf"^{tmp_path / 'run'} has read other rows, with another {', '.join(other)}: leave that as it was, or "
        with pytest.raises(UsageError, match=told):
            fit(from_=tmp_path / "run", **other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a source and a run of it; each test puts other rows into the source."""
    folder = tmp_path_factory.mktemp("whole")
    pq.write_table(golden.rows(), folder / "shop.parquet")
    fit(folder / "shop.parquet", run=folder / "run", **RUN)
    return folder


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: changed(rows, "y", 3, 20.001),
        lambda rows: changed(rows, "y", 3, None),
        lambda rows: changed(rows, "promo", 3, 2.0),
        lambda rows: changed(rows, "name", 3, "c"),
        lambda rows: rows.set_column(3, "size", pa.array(["small"] * 73 + ["big"] * 73)),
        lambda rows: rows.slice(1),
    ],
    ids=["value", "missing", "covariate", "series", "static", "one less"],
)
def test_other_rows_are_told_before_anything_is_trained(change, whole):
    run = whole / "run"
    pq.write_table(change(golden.rows()), whole / "shop.parquet")
    told = (
        rf"the rows that {run} has read are not there as they were: 14[56] from 2024-01-01 to 2024-03-10 then, .* now"
    )
    with pytest.raises(DataError, match=told) as caught:
        fit(from_=run, run=whole / "again")
    assert str(caught.value).endswith(f"; gatecast fit {run / 'config.toml'} takes those that are there")
    assert sorted(found.name for found in whole.iterdir()) == ["run", "shop.parquet"]


@pytest.mark.parametrize(
    ("column", "turned", "told"),
    [
        ("at", lambda part: part.cast(pa.date32()), "with days for times without a zone in 'at'"),
        ("name", lambda part: pc.index_in(part, pc.unique(part)), "with int64 for string in 'name'"),
    ],
)
def test_columns_of_another_type_are_told_as_such(column, turned, told, whole):
    """'As many but others' sent people to look for other values."""
    rows = golden.rows()
    rows = rows.set_column(rows.column_names.index(column), column, turned(rows[column]))
    pq.write_table(rows, whole / "shop.parquet")
    with pytest.raises(
        DataError, match=f"146 from 2024-01-01 to 2024-03-10 then, as many but {told} now; gatecast fit"
    ):
        fit(from_=whole / "run")


def test_a_run_that_does_not_say_where_its_rows_are_is_not_made_again(tmp_path):
    model = fit(golden.rows(), run=tmp_path / "frame", **RUN)
    model.save(tmp_path / "saved")
    for run in ("frame", "saved"):
        with pytest.raises(UsageError, match=f"{run} does not say which rows it has read"):
            fit(from_=tmp_path / run)
    with pytest.raises(RunError, match="no run at"):
        fit(from_=tmp_path / "none")
    with pytest.raises(UsageError, match="give no source"):
        fit(golden.rows(), from_=tmp_path / "frame")


def test_categories_are_told_by_name_not_by_the_order_they_came_in():
    one = read(golden.rows(), **golden.COLUMNS)
    beside, turned = one.covariates, {"size": one.covariates.categories["size"][::-1]}
    other = replace(one, covariates=replace(beside, statics=1 - beside.statics, categories=turned))
    assert digest(one) == digest(other)
    assert digest(one) != digest(replace(one, covariates=replace(beside, statics=1 - beside.statics)))
    assert digest(one) != digest(replace(one, covariates=None))
