"""Covariates from end to end: what is known beside the target reaches the forecast, and nothing that is not."""

from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from gatecast import audit, fit, load, pipeline, read
from gatecast.console import Teller
from gatecast.errors import DataError, StoreError, UsageError
from gatecast.evaluation.proof import prove
from gatecast.listener import Listener
from gatecast.store.duckdb import DuckDBStore

NAMES = {"time": "day", "target": "y", "series": "shop"}
TINY = NAMES | {"horizon": 6, "epochs": 2, "steps": 4, "hidden": 8}
DAYS, AHEAD = 300, 6
START = np.datetime64("2024-01-01")


def sales(days=DAYS, ahead=AHEAD, shops=3):
    """Daily rows of shops: a promotion lifts the day's sales by six; of the last days only the promotion is known."""
    rng = np.random.default_rng(3)
    promo = rng.random((shops, days + ahead)) < 0.3
    heat = rng.normal(20, 5, (shops, days + ahead))
    y = 10 + 6 * promo + rng.normal(0, 0.3, promo.shape)
    step = np.tile(np.arange(days + ahead), shops)
    come = step >= days
    return pa.table(
        {
            "day": START + step,
            "shop": [f"s{i}" for i in np.repeat(np.arange(shops), days + ahead)],
            "y": pa.array(y.ravel(), mask=come),
            "promo": promo.ravel(),
            "heat": pa.array(heat.ravel(), mask=come),
            "kind": ["big" if i % 2 else "small" for i in np.repeat(np.arange(shops), days + ahead)],
            "land": ["DE"] * len(step),
        }
    )


def past_only(rows):
    return rows.filter(pa.compute.is_valid(rows["y"]))


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("shops") / "shops.duckdb"
    rows = sales()
    with duckdb.connect(str(path)) as connection:
        connection.register("rows", rows)
        connection.execute("CREATE TABLE sales AS SELECT * FROM rows")
        connection.execute("CREATE TABLE past AS SELECT * FROM rows WHERE y IS NOT NULL")
        connection.execute("CREATE TABLE plan AS SELECT day, shop, promo FROM rows WHERE y IS NULL")
    return path


@pytest.fixture(scope="module")
def model(database):
    options = NAMES | {"horizon": 6, "epochs": 8, "hidden": 16, "past": "heat", "future": "promo", "static": "kind"}
    return fit(database, table="sales", **options)


def test_a_promotion_known_beforehand_is_forecast(model):
    rows = sales()
    assert model.evidence["metrics"]["overall"]["mae"] < 0.9  # 2.5 without the promotion, 0.24 is noise
    table = model.forecast(pipeline.newest(model)).to_arrow()
    promo = rows.filter(pa.compute.is_null(rows["y"]))["promo"].to_numpy()
    value = table["forecast_value"].to_numpy()[::2]  # a row for each of two levels
    assert value[promo] == pytest.approx(16, abs=2)
    assert value[~promo] == pytest.approx(10, abs=2)


def test_a_covariate_that_never_changed_says_nothing_when_it_does():
    """The weights that read it have learned nothing, and used to be what chance had drawn."""
    rows, beside = sales(), {"future": ("promo", "sale"), "past": "heat", "static": "kind"}
    ahead = pa.compute.is_null(rows["y"])
    held, changed = (rows.append_column("sale", column) for column in (pa.array([False] * len(rows)), ahead))
    model = fit(held, **TINY, **beside, members=2)
    expected, found = (model.forecast(read(one, **NAMES, **beside)).to_arrow() for one in (held, changed))
    assert found["forecast_value"].to_pylist() == pytest.approx(expected["forecast_value"].to_pylist(), rel=1e-5)


@pytest.mark.parametrize("kind", ["table", "file"])
def test_what_is_to_come_may_lie_in_a_table_of_its_own(model, database, tmp_path, kind):
    plan = "plan"
    if kind == "file":
        rows = sales()
        plan = str(tmp_path / "plan.csv")
        pyarrow.csv.write_csv(rows.filter(pa.compute.is_null(rows["y"])).select(["day", "shop", "promo"]), plan)
    source = replace_source(model, table="past", future_table=plan)
    expected, found = (one.forecast(pipeline.newest(one)).to_arrow() for one in (model, source))
    assert found.equals(expected)


def test_a_file_of_what_is_to_come_is_found_from_another_folder(database, tmp_path, monkeypatch):
    rows = sales()
    (tmp_path / "plan").mkdir()  # of the name of the table
    monkeypatch.chdir(tmp_path)
    pyarrow.csv.write_csv(rows.filter(pa.compute.is_null(rows["y"])).select(["day", "shop", "promo"]), "plan.csv")
    options = TINY | {"table": "past", "future": "promo"}
    for number, plan in enumerate(("plan.csv", "plan")):
        fit(database, run=f"run{number}", future_table=plan, **options)
    monkeypatch.chdir("plan")
    models = (load(f"../run{number}") for number in range(2))
    file, table = (one.forecast(pipeline.newest(one)).rows.drop_columns("run_id") for one in models)
    assert file.equals(table)


def test_a_table_of_what_is_to_come_is_opened_and_read_once_though_fit_audits_it_too(database, tmp_path, monkeypatch):
    plan, used = str(tmp_path / "plan.parquet"), []
    rows = sales()
    pyarrow.parquet.write_table(rows.filter(pa.compute.is_null(rows["y"])).select(["day", "shop", "promo"]), plan)

    def noted(verb):
        return lambda store, *given: used.append((store.path, verb.__name__)) or verb(store, *given)

    for verb in (DuckDBStore.columns, DuckDBStore.read):
        monkeypatch.setattr(DuckDBStore, verb.__name__, noted(verb))
    fit(database, table="past", future="promo", future_table=plan, **TINY)
    assert [verb for path, verb in used if path == plan] == ["columns", "read", "read"]  # whether it has rows, and they


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("day,shop\n2024-11-01,s0\n", "no column 'promo'; there are day, shop"),
        ("day,shop,promo\n", "the query gave no rows"),
        ("", "nothing to read at '.*plan.csv': the file is empty"),
        ("day,shop,promo\n5 May,s0,1\n", "column 'day' holds text that is no timestamp, as '5 May': convert it there"),
    ],
)
def test_what_is_wrong_with_a_table_of_what_is_to_come_is_told_of_it(text, told, database, tmp_path):
    (tmp_path / "plan.csv").write_text(text)
    with pytest.raises((DataError, StoreError), match=rf"^--future-table {tmp_path}/plan.csv: {told}"):
        read(database, table="past", future="promo", future_table=str(tmp_path / "plan.csv"), **NAMES)


def replace_source(model, **settings):
    return replace(model, config=model.config.having("source", **settings))


def test_a_value_that_is_needed_and_missing_is_named(model):
    source = replace_source(
        model, table=None, sql="SELECT * FROM sales WHERE NOT (shop = 's1' AND day >= '2024-10-30')"
    )
    panel = pipeline.newest(source)
    with pytest.raises(DataError) as error:
        model.forecast(panel)
    told = str(error.value)
    assert "3 values of --future columns are needed and missing" in told
    assert "promo of s1 at 2024-10-30, promo of s1 at 2024-10-31, promo of s1 at 2024-11-01" in told
    assert told.endswith("or into the --future-table, or forecast the 2 other series by name (--series)")
    with pytest.raises(DataError, match=r"--future-table$"):
        model.forecast(panel, series=["s1"])
    assert len(model.forecast(panel, horizon=3)) == 3 * 3 * 2  # what is asked needs no more
    assert len(model.forecast(panel, series=["s0"])) == 6 * 2
    with pytest.raises(DataError, match="promo of s0 at 2024-11-02"):
        model.forecast(panel, series=["s0"], at=["2024-11-02"])


@pytest.mark.parametrize(
    ("options", "has"),
    [
        ({}, "nothing"),
        ({"past": "heat"}, "heat (of each step)"),
        ({"past": ["heat", "kind"], "static": "land"}, "heat, kind (of each step) and land (of each series)"),
    ],
)
def test_a_panel_without_the_columns_of_the_model_is_refused(model, options, has):
    panel = read(sales(), **NAMES, freq="D", **options)
    needed = {"past": "heat", "future": "promo", "static": "kind"}
    verbs = (
        model.forecast,
        model.inspect,
        lambda panel: pipeline.test(model, panel),
        lambda panel: pipeline.prove(model, panel),
        lambda panel: fit(panel, horizon=6, **needed),
        lambda panel: pipeline.backtest(panel, horizon=6, **needed),
    )
    for verb in verbs:
        with pytest.raises(UsageError) as error:
            verb(panel)
        told = "needed beside the target: heat, promo (of each step) and kind (of each series); the panel has"
        assert f"{told} {has}: read it with" in str(error.value)


def test_a_panel_without_the_places_of_the_series_is_refused():
    model = fit(past_only(sales()), **TINY, holidays_column="land", static="land")
    with pytest.raises(UsageError, match=r"needed beside the target: land \(of each series\); the panel has nothing"):
        model.forecast(read(past_only(sales()), **NAMES, freq="D"))


def test_a_run_keeps_its_covariates(model, tmp_path):
    model.save(tmp_path / "run")
    again = load(tmp_path / "run")
    assert again.final.encoder == model.final.encoder
    panel = pipeline.newest(model)
    assert again.forecast(panel).to_arrow().equals(model.forecast(panel).to_arrow())


def test_no_forecast_reads_a_past_covariate_after_its_cutoff(model):
    proof = pipeline.prove(model)
    assert proof.moved == {}
    # The same proof sees one that does: the promotion is read ahead.
    panel = pipeline.newest(model)
    leaky = replace(panel, covariates=replace(panel.covariates, past=("heat", "promo")))
    fitted = model.tested

    def again(rows, series, cutoffs):
        return pipeline.evaluate(fitted, rows, series, cutoffs, model.tested.season, model.config.forecast)

    assert prove(again, leaky, np.arange(3), np.full(3, panel.lasts[0] - 20)).moved.keys() >= {"forecasts"}


def test_rows_after_until_are_not_counted_where_their_future_columns_are_read(database):
    names = {"time": "day", "series": "shop", "freq": "D", "aggregate": "count", "table": "past"}
    plan = {"future": "promo", "future_table": "plan"}
    alone, beside = (read(database, **names, until="2024-09-01", **more) for more in ({}, plan))
    assert beside.values.tolist() == alone.values.tolist() == [1.0] * 3 * 244
    assert beside.lasts.tolist() == alone.lasts.tolist()
    promo = read(database, **names, **plan).covariates.column("promo")
    assert beside.covariates.column("promo").tolist() == promo.tolist()  # those after it are read


def test_what_a_past_column_tells_in_texts_is_changed_to_other_texts_by_the_proof(database):
    sql = "SELECT * REPLACE (CASE WHEN heat > 20 THEN 'warm' WHEN heat > 15 THEN 'mild' END AS heat) FROM past"
    model = fit(database, sql=sql, past="heat", **TINY)
    panel = pipeline.newest(model)
    assert pipeline.prove(model).moved == {}
    # The same proof sees one that is read ahead.
    columns = [replace(column, role="future") for column in model.tested.encoder.columns]
    leaky = replace(model, tested=replace(model.tested, encoder=replace(model.tested.encoder, columns=tuple(columns))))
    assert pipeline.prove(leaky, panel).moved.keys() >= {"forecasts"}


def test_beyond_the_horizon_past_covariates_stay_unread(model):
    panel = pipeline.newest(model)
    asked = {"as_of": "2024-09-01", "horizon": 20}
    values = panel.covariates.values.copy()
    day = panel.grid.step("2024-09-01")
    for i in range(3):
        values[panel.covariates.offsets[i] + day - panel.starts[i] + 1 : panel.covariates.offsets[i + 1], 0] = 1e3
    other = replace(panel, covariates=replace(panel.covariates, values=values))
    assert model.forecast(other, **asked).to_arrow().equals(model.forecast(panel, **asked).to_arrow())


def test_a_category_never_met_is_told_and_forecast(model, capsys):
    source = replace_source(
        model, table=None, sql="SELECT * REPLACE (CASE shop WHEN 's2' THEN 'huge' ELSE kind END AS kind) FROM sales"
    )
    panel = pipeline.newest(source, listener=Teller())
    told = " ".join(capsys.readouterr().err.split())
    assert (
        "column 'kind': 1 value of categories that training did not tell apart (huge): forecast as the average" in told
    )
    assert np.isfinite(model.forecast(panel).to_arrow()["forecast_value"].to_numpy()).all()


def test_a_series_may_be_learnt_by_itself_and_new_ones_still_forecast():
    rows = past_only(sales())
    model = fit(rows, **TINY, series_embedding=True)
    network = model.final.network.leading
    assert network.static.weight.shape == (3, 8)
    assert network.static.weight.abs().max() > 0
    renamed = past_only(sales(shops=1)).set_column(1, "shop", pa.array(["new"] * DAYS))
    assert len(model.forecast(read(renamed, **NAMES, freq="D"))) == 6 * 2


def test_holidays_of_a_place_or_of_each_series_place():
    rows = past_only(sales())
    by_place = fit(rows, **TINY, holidays="DE")
    by_column = fit(rows, **TINY, holidays_column="land")
    assert by_place.final.encoder.known == by_column.final.encoder.known == 3
    assert (
        by_place.forecast(by_place.panel)
        .to_arrow()["forecast_value"]
        .equals(by_column.forecast(by_column.panel).to_arrow()["forecast_value"])
    )


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        (
            {"static": "promo"},
            DataError,
            "column 'promo' has more than one value in s0, s1, s2: it is --past or --future",
        ),
        ({"past": "nope"}, DataError, "no column 'nope'"),
        ({"past": "day"}, UsageError, "a column has one meaning, these have more: 'day'"),
        ({"past": "heat", "future": "heat"}, UsageError, "these have more: 'heat'"),
        ({"future": "promo", "aggregate": "count"}, UsageError, "give the values of --future in a --future-table"),
        ({"future": "promo", "future_table": "nope.csv"}, StoreError, "--future-table nope.csv: "),
        ({"holidays_column": "heat"}, DataError, "--holidays-column 'heat' holds no places such as DE"),
        ({"holidays": "QQ"}, UsageError, "no holidays are known of 'QQ'"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, error, told):
    with pytest.raises(error) as found:
        fit(sales(), **TINY | options)
    assert told in str(found.value)


@pytest.mark.parametrize("freq", [{}, {"freq": "D"}])
def test_a_place_that_is_none_is_refused_before_rows_are_read(monkeypatch, freq):
    monkeypatch.setattr("gatecast.opening.Opened.audit", lambda *_: pytest.fail("rows were read"))
    with pytest.raises(UsageError, match="no holidays are known of 'QQ'"):
        audit(sales(), **NAMES, **freq, holidays="QQ")


def test_a_date_is_no_covariate():
    rows = sales().append_column("opened", pa.array(np.repeat(START, 3 * (DAYS + AHEAD))))
    with pytest.raises(DataError, match=r"a covariate is a number, a truth value or a text, not 'opened' \(date\)"):
        fit(rows, **TINY, past="opened")


def test_the_audit_counts_covariates_that_are_missing():
    rows = sales()
    heat = rows["heat"].to_pylist()
    heat[4] = heat[7] = None  # of s0
    rows = rows.set_column(rows.column_names.index("heat"), "heat", pa.array(heat, pa.float64()))
    found = {
        finding.name: finding
        for finding in audit(rows, **NAMES, horizon=AHEAD + 2, past="heat", future="promo").findings
    }
    assert found.keys() == {
        "steps without a past or future covariate",
        "series whose future covariates are missing within the horizon",
    }
    bare, ahead = found.values()
    assert (bare.count, bare.places) == (2, ("s0 at 2024-01-05", "s0 at 2024-01-08"))
    assert (ahead.count, ahead.places) == (3, ("s0 from 2024-11-02", "s1 from 2024-11-02", "s2 from 2024-11-02"))
    told = (
        "kept; a forecast that needs the missing values stops: add them, in rows without a target or a --future-table"
    )
    assert (ahead.done, ahead.decide) == (told, "--future-table")
    assert not [f for f in audit(rows, **NAMES, horizon=AHEAD, future="promo").findings if "covariates" in f.name]


def test_a_place_that_is_not_known_stops_only_the_forecasts_of_its_series():
    rows = past_only(sales())
    model = fit(rows, **TINY, holidays_column="land")
    lost = pa.array(np.where(np.array(rows["shop"]) == "s2", "QQ", "DE"))
    panel = read(rows.set_column(rows.column_names.index("land"), "land", lost), **NAMES, holidays_column="land")
    with pytest.raises(UsageError, match="no holidays are known of 'QQ'"):
        model.forecast(panel)
    asked = {"series": ["s0", "s1"]}
    assert model.forecast(panel, **asked).to_pandas().equals(model.forecast(**asked).to_pandas())


class Steps(Listener):
    """Keeps what the steps say."""

    def __init__(self):
        self.told = []

    def step(self, number, title, found):
        self.told.append(found)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["table", "file"])
def test_the_audit_counts_what_a_table_of_its_own_does_not_know(elsewhere, database, tmp_path):
    """The plan has six days for s0 but the second, four for s1 and the last three for s2.

    The rows themselves know that of s0, and the first two of s2, whose third is missing.
    """
    own = "shop = 's0' AND day = '2024-10-28' OR shop = 's2' AND day < '2024-10-29'"
    sql = f"SELECT * FROM sales WHERE y IS NOT NULL OR {own}"
    with duckdb.connect(str(database)) as connection:
        connection.execute(f"CREATE OR REPLACE TABLE short AS SELECT * FROM plan WHERE shop = 's0' AND NOT ({own})")
        connection.execute("INSERT INTO short SELECT * FROM plan WHERE shop = 's1' AND day < '2024-10-31'")
        connection.execute("INSERT INTO short SELECT * FROM plan WHERE shop = 's2' AND day > '2024-10-29'")
        connection.execute(f"COPY short TO '{tmp_path / 'short.csv'}'")
    plan = {"future": "promo", "future_table": str(tmp_path / "short.csv") if elsewhere else "short"}
    (found,) = audit(database, sql=sql, **NAMES, **plan, horizon=AHEAD).findings
    assert (found.name, found.count) == ("series whose future covariates are missing within the horizon", 2)
    assert found.places == ("s1 from 2024-10-31", "s2 from 2024-10-29")
    assert audit(database, sql=sql, **NAMES, **plan, horizon=2).findings == ()
    assert audit(database, sql=sql, **NAMES, **plan).findings == ()
    listener = Steps()
    model = fit(database, sql=sql, **TINY, **plan, listener=listener)
    assert any("2 series whose future covariates are missing within the horizon" in text for text in listener.told)
    with pytest.raises(
        DataError, match="3 values of --future columns are needed and missing: promo of s1 at 2024-10-31"
    ):
        model.forecast(pipeline.newest(model))


@pytest.mark.parametrize(("align", "places"), [("common", ("b from 2024-03-04",)), ("last", ())])
def test_the_audit_looks_ahead_from_where_series_end(align, places, tmp_path):
    """Shop b has no event on the last three days; of both shops six days after their last event are planned."""

    def days(a, b, promo):
        values = pa.array([promo] * (a + b), pa.float64())
        return pa.table({"day": START + np.r_[: a + b] % a, "shop": ["a"] * a + ["b"] * b, "promo": values})

    rows, plan = days(60, 57, None), days(66, 63, 1.0)
    pyarrow.parquet.write_table(plan, tmp_path / "plan.parquet")
    ahead = {"future": "promo", "future_table": str(tmp_path / "plan.parquet"), "horizon": 6}
    findings = audit(rows, time="day", series="shop", freq="D", align=align, **ahead).findings
    name = "series whose future covariates are missing within the horizon"
    assert [part.places for part in findings if part.name == name] == ([places] if places else [])


def test_the_audit_knows_of_future_values_in_rows_that_until_leaves_out():
    rows = sales()  # to 2024-11-01
    names = NAMES | {"future": "promo", "past": "heat", "until": "2024-10-20"}
    assert audit(rows, **names, horizon=13).findings == ()
    (found,) = audit(rows, **names, horizon=15).findings
    assert (found.count, found.places[0]) == (3, "s0 from 2024-11-02")


def test_future_values_that_are_known_to_the_day_from_which_steps_are_counted_are_known():
    day = np.arange(-20, 1).astype("datetime64[D]")
    rows = pa.table({"day": day, "y": np.arange(21.0), "promo": [True] * 21})
    names = {"time": "day", "target": "y", "freq": "D", "future": "promo", "until": "1969-12-29"}
    for horizon, places in ((4, []), (5, ["the series from 1970-01-02"])):
        findings = audit(rows, **names, horizon=horizon).findings
        assert [place for part in findings if "future" in part.name for place in part.places] == places
