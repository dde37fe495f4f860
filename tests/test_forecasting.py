"""Cutoffs, honest labels, the columns of the contract, and the proof that nothing leaks past a cutoff."""

from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gatecast import fit, forecast_rows, forecasting, load, read
from gatecast.data import table
from gatecast.data.dates import Frequency, Grid
from gatecast.data.panel import Panel
from gatecast.errors import UsageError

HORIZON = 6
TINY = {"horizon": HORIZON, "epochs": 2, "steps": 5, "hidden": 8}
HOURLY = Grid(Frequency.parse("h"))
COLUMNS = ["forecast_timestamp", "forecast_value", "confidence_level", "prediction_interval_lower_bound"]
COLUMNS += ["prediction_interval_upper_bound", "cutoff", "step", "kind", "run_id"]


def waves(lengths=(240, 240), starts=(0, 0), prefix="s"):
    """Hourly series with a daily wave and noise, each on its own level."""
    rng, time = np.random.default_rng(0), np.concatenate([np.arange(length) for length in lengths])
    values = np.repeat(10 * np.arange(len(lengths)) + 10, lengths) + 3 * np.sin(time * np.pi / 12)
    keys = pa.table({"name": [f"{prefix}{i}" for i in range(len(lengths))]})
    values = (values + rng.normal(0, 0.3, len(values))).astype(np.float32)
    return Panel(HOURLY, keys, values, np.cumsum([0, *lengths]), np.array(starts[: len(lengths)], np.int64))


def labels(*steps):
    return [HOURLY.label(step) for step in steps]


def column(table, name):
    return table.rows[name].to_pylist()


def numbers(table):
    """Point and bounds of every row."""
    return np.array([table.rows[name].to_numpy() for name in (COLUMNS[1], COLUMNS[3], COLUMNS[4])])


@pytest.fixture(scope="module", params=["segment", "classic"])
def model(request):
    return fit(waves(), recipe=request.param, **TINY)


@pytest.fixture(scope="module")
def kept():
    """The tested weights kept as the final ones."""
    return fit(waves(), refit=False, **TINY)


def test_dates_may_be_text_dates_or_times(model):
    times = [datetime(1970, 1, 11, 5), "1970-01-11T06:00", np.datetime64("1970-01-11T07"), date(1970, 1, 12)]
    found = model.forecast(at=times, series=["s0"])
    assert column(found, "forecast_timestamp")[::2] == [datetime(1970, 1, 11, hour) for hour in (5, 6, 7)] + [
        datetime(1970, 1, 12)
    ]


def test_kinds_are_honest(model, kept):
    # Of 240 steps the last 36 are the test part: step 203 is the last that training looked at.
    asked = {100: "in_sample", 203: "in_sample", 210: "test", 239: "test", 240: "future", 245: "future"}
    asked |= {246: "extrapolated", 300: "extrapolated"}
    for one in (model, kept):
        table = one.forecast(at=labels(*asked), series=["s0"])
        assert column(table, "kind")[::2] == list(asked.values())
    assert column(kept.forecast(at=labels(203, 204), as_of=labels(200)[0]), "kind")[:4:2] == ["in_sample", "test"]


def test_rows_newer_than_training_are_a_test_of_the_final_weights(model):
    newer = waves((300, 300))
    table = model.forecast(newer, at=labels(250, 299, 300))
    assert column(table, "kind")[:6:2] == ["test", "test", "future"]
    final_only = replace(model, tested=model.final).forecast(newer, at=labels(250, 299, 300))
    assert (numbers(table) == numbers(final_only)).all()


def test_dates_that_the_final_weights_saw_are_forecast_with_the_tested_ones(model):
    past = labels(150, 220, 239)
    tested_only = replace(model, final=model.tested)
    assert numbers(model.forecast(at=past)) == pytest.approx(numbers(tested_only.forecast(at=past)), rel=1e-5)
    assert numbers(model.forecast()) != pytest.approx(numbers(tested_only.forecast()), rel=1e-3)


def test_one_answer_whatever_else_is_asked(model):
    for step, place in ((100, 0), (180, 1), (241, 2), (242, 3), (300, 4)):
        alone = model.forecast(model.panel.take(np.array([1])), at=labels(step))
        among = model.forecast(at=labels(300, 242, 100, 241, 180))
        rows = slice(10 + 2 * place, 12 + 2 * place)  # two levels, and five dates of the first series before
        assert column(among, "cutoff")[rows] == column(alone, "cutoff")
        assert numbers(among)[:, rows] == pytest.approx(numbers(alone), rel=1e-5)


def test_one_answer_for_a_new_series_too(model):
    new = waves((240,), prefix="new")
    new = replace(new, values=(new.values + np.arange(240) / 20).astype(np.float32))  # its scale changes with time
    alone, among = (model.forecast(new, at=labels(*steps)) for steps in ([242], [60, 242]))
    assert numbers(among)[:, 2:] == pytest.approx(numbers(alone), rel=1e-5)


def test_extrapolation_reads_its_own_medians(model):
    whole = model.forecast(horizon=3 * HORIZON)
    panel, found = model.panel, []
    for _ in range(3):
        found.append(model.forecast(panel))
        medians = found[-1].rows["forecast_value"].to_numpy()[::2].reshape(2, HORIZON)
        values = np.concatenate([np.append(panel.series(i), medians[i]) for i in range(2)]).astype(np.float32)
        panel = replace(panel, values=values, offsets=panel.offsets + HORIZON * np.arange(3))
    fed = np.concatenate([numbers(table).reshape(3, 2, HORIZON, 2) for table in found], 2)
    ours = numbers(whole).reshape(3, 2, 3 * HORIZON, 2)
    assert ours[0] == pytest.approx(fed[0], rel=1e-5)
    # The interval of a step is that of its block and the one at the end of the block before, as errors add.
    spread = np.abs(fed[1:] - fed[0])
    for step in range(HORIZON, 3 * HORIZON):
        before = np.abs(ours[1:] - ours[0])[:, :, step // HORIZON * HORIZON - 1]
        wider = np.hypot(spread[:, :, step], before)
        wider[0] = np.minimum(wider[0], ours[0, :, step])  # no value is negative
        assert np.abs(ours[1:] - ours[0])[:, :, step] == pytest.approx(wider, rel=1e-3)
        assert (np.abs(ours[1:] - ours[0])[:, :, step] >= spread[:, :, step] * (1 - 1e-6)).all()
    assert set(column(whole, "kind")) == {"future", "extrapolated"}


def test_extrapolation_stays_above_zero_where_the_series_does():
    panel = waves((240,))
    panel = replace(panel, values=np.abs(np.random.default_rng(2).normal(0, 1, 240)).astype(np.float32))
    table = fit(panel, **TINY).forecast(horizon=5 * HORIZON)
    assert numbers(table).min() >= 0


@pytest.mark.parametrize("cutoff", [60, 170, 210, 238])
def test_nothing_after_a_cutoff_moves_a_bit(model, cutoff):
    panel, rng = model.panel, np.random.default_rng(cutoff)
    steps = np.tile(np.arange(240), 2)
    changed = np.where(steps > cutoff, rng.normal(0, 1e30, 480), panel.values).astype(np.float32)
    for keys in (panel.keys, pa.table({"name": ["x", "y"]})):  # as trained on, and never seen
        old, new = (replace(panel, keys=keys, values=values) for values in (panel.values, changed))
        for ask in ({"as_of": labels(cutoff)[0], "horizon": 10}, {"at": labels(cutoff + 1)}):
            before, after = (model.forecast(part, **ask) for part in (old, new))
            assert set(column(before, "cutoff")) == set(column(before, "cutoff")[:1])
            assert before.rows.equals(after.rows)
            assert np.isfinite(numbers(before)).all()


def test_a_value_at_the_cutoff_moves_the_forecast(model):
    panel = model.panel
    changed = replace(panel, values=np.where(np.arange(480) == 200, panel.values + 5, panel.values).astype(np.float32))
    before, after = (model.forecast(part, as_of=labels(200)[0], series=["s0"]) for part in (panel, changed))
    assert (numbers(before) != numbers(after)).any()


def test_a_series_never_seen_is_forecast_on_its_own_level(model):
    new = waves((100,), (140,), prefix="new")
    new = replace(new, values=new.values + np.float32(500))
    table = model.forecast(new)
    assert column(table, "name") == ["new0"] * 12
    assert column(table, "kind") == ["future"] * 12
    assert numbers(table)[0] == pytest.approx(510, abs=15)


def test_levels_are_the_numbers_that_a_query_would_ask_for(model):
    """A hundredth of 99.9 is 0.9990000000000001 in floating point: no row would equal 0.999."""
    found = column(model.forecast(horizon=1, series="s0", level=(57.4, 97.5, 99.9)), "confidence_level")
    assert found == [0.574, 0.975, 0.999]


def test_columns_and_rows_are_those_of_the_contract(model):
    table = model.forecast(horizon=2)
    assert table.rows.column_names == ["name", *COLUMNS]
    assert len(table) == 8
    assert column(table, "name") == ["s0"] * 4 + ["s1"] * 4
    assert column(table, "forecast_timestamp")[:4:2] == [datetime(1970, 1, 11, hour) for hour in (0, 1)]
    assert column(table, "confidence_level") == [0.8, 0.95] * 4
    assert column(table, "step") == [1, 1, 2, 2] * 2
    assert set(column(table, "cutoff")) == {datetime(1970, 1, 10, 23)}
    assert set(column(table, "run_id")) == {model.run_id}
    point, low, high = numbers(table)
    assert (low[1::2] <= low[::2]).all()  # the 95 % interval holds the 80 % one
    assert (high[1::2] >= high[::2]).all()
    assert ((low <= point) & (point <= high)).all()


NAIVE = pa.array(np.datetime64("2024-03-31T01", "us") - np.arange(71, -1, -1) * np.timedelta64(1, "h"))
INSTANTS = pc.subtract(NAIVE, pa.scalar(3600 * 10**6, pa.duration("us"))).cast(pa.timestamp("us", "UTC"))
BERLIN = "Europe/Berlin"
DAYS = pa.array(np.datetime64("2024-02-01", "D") + np.arange(29))


@pytest.mark.parametrize(
    ("times", "zone", "kind", "first", "second"),
    [
        (NAIVE, None, pa.timestamp("us"), "2024-03-31 02:00:00", "2024-03-31 03:00:00"),
        (NAIVE, BERLIN, pa.timestamp("us"), "2024-03-31 03:00:00", "2024-03-31 04:00:00"),  # clocks jump
        (INSTANTS, None, pa.timestamp("us", "UTC"), "2024-03-31 01:00:00+00:00", "2024-03-31 02:00:00+00:00"),
        (INSTANTS, BERLIN, pa.timestamp("us", BERLIN), "2024-03-31 03:00:00+02:00", "2024-03-31 04:00:00+02:00"),
        (DAYS, None, pa.date32(), "2024-03-01", "2024-03-02"),
    ],
)
def test_times_come_back_in_the_type_of_the_source(times, zone, kind, first, second):
    table = pa.table({"at": times, "y": np.sin(np.arange(len(times))) + 5})
    found = fit(table, time="at", target="y", timezone=zone, **TINY | {"horizon": 3}).forecast(horizon=2)
    assert found.rows.column_names == COLUMNS  # of a single series
    assert found.rows["forecast_timestamp"].type == found.rows["cutoff"].type == kind
    assert [str(time) for time in column(found, "forecast_timestamp")[::2]] == [first, second]


def test_the_point_of_a_trained_run_can_be_another(model):
    means, medians = (numbers(model.forecast(point=point))[0] for point in ("mean", "median"))
    assert (means == numbers(model.forecast(point="rmse"))[0]).all()
    assert (medians == numbers(model.forecast())[0]).all()  # the metric trained for is MASE
    if model.config.model.recipe == "segment":
        assert (means != medians).any()
        assert (numbers(model.forecast(point="mape"))[0] <= medians).all()
    with pytest.raises(UsageError, match=r"--point is mean, median, mase, .* not 'middle'"):
        model.forecast(point="middle")


def test_any_level_can_be_asked_for(model):
    trained = numbers(model.forecast())[1:].reshape(2, 2, HORIZON, 2)  # side, series, step, level 80 and 95
    asked = numbers(model.forecast(level=[50, 90, 95])).reshape(3, 2, HORIZON, 3)[1:]
    assert asked[..., 2] == pytest.approx(trained[..., 1], rel=1e-6)
    assert ((asked[0, ..., 0] >= trained[0, ..., 0]) & (trained[0, ..., 0] >= asked[0, ..., 1])).all()
    assert ((asked[1, ..., 1] >= trained[1, ..., 0]) & (asked[1, ..., 1] <= trained[1, ..., 1])).all()
    assert numbers(model.forecast(level=80))[1:].ravel() == pytest.approx(trained[..., 0].ravel(), rel=1e-6)


def test_bounds_of_levels_that_were_not_trained_keep_within_those_of_all_forecasts():
    panel = waves()
    panel = replace(panel, values=np.maximum(panel.values - 10, 0))
    model = fit(panel, bounds="0:14", **TINY)
    rows = model.forecast(level=[50, 80, 99, 99.99]).rows
    low, high = rows["prediction_interval_lower_bound"].to_numpy(), rows["prediction_interval_upper_bound"].to_numpy()
    assert (low.min(), high.max()) == (0, 14)


def test_a_winter_is_forecast_below_the_zero_that_no_summer_reached():
    """All values that training and validation saw lie above zero; those of the held-back end do not."""
    level = np.where(np.arange(300) < 270, 20.0, -20.0) + np.random.default_rng(0).normal(0, 1, 300)
    rows = pa.table({"at": np.datetime64("2024-01-01", "us") + np.arange(300) * np.timedelta64(1, "D"), "y": level})
    options = {"horizon": 6, "epochs": 2, "steps": 4, "hidden": 4, "members": 1, "time": "at", "target": "y"}
    model = fit(rows, **options)
    assert model.final.bounds[0] == 0
    found = model.forecast(horizon=12, level=(80, 99)).to_arrow()
    for name in ("forecast_value", "prediction_interval_lower_bound"):
        assert pc.max(found[name]).as_py() < 0
    bounded = fit(rows, **options, bounds="0:").forecast(horizon=12, level=(80, 99)).to_arrow()
    assert pc.min(bounded["prediction_interval_lower_bound"]).as_py() == 0


def test_counts_beside_a_balance_that_is_negative_stay_counts(tmp_path):
    """As they do when they are forecast alone; loaded again, too."""
    chance, days = np.random.default_rng(0), np.datetime64("2024-01-01", "us") + np.arange(200) * np.timedelta64(1, "D")
    values = np.concatenate([chance.poisson(0.5, 200), chance.normal(0, 30, 200)])
    rows = pa.table({"at": np.tile(days, 2), "name": ["counts"] * 200 + ["balance"] * 200, "y": values})
    options = {"horizon": 6, "epochs": 2, "steps": 4, "hidden": 4, "members": 1, "time": "at", "target": "y"}
    model = fit(rows, run=tmp_path / "run", series="name", **options)
    for one in (model, load(tmp_path / "run")):
        found = one.forecast(model.panel, level=(80, 99), horizon=20).to_arrow()
        lows = {name: found.filter(pc.field("name") == name)[table.LOWER].to_numpy() for name in ("counts", "balance")}
        assert (lows["counts"].min(), lows["balance"].max() < 0) == (0, True)


def test_a_floor_that_gives_way_does_so_for_levels_that_were_not_trained_at_every_step():
    """Where the trained quantiles of a step lay above zero, the outer ones ended at zero."""
    level = np.where(np.arange(300) < 270, 20.0, 1.5) + np.random.default_rng(0).normal(0, 1, 300)
    rows = pa.table({"at": np.datetime64("2024-01-01", "us") + np.arange(300) * np.timedelta64(1, "D"), "y": level})
    model = fit(rows, horizon=6, epochs=2, steps=4, hidden=4, members=1, time="at", target="y", level=50)
    assert (model.final.bounds[0], level.min() < 0) == (0, True)
    found = model.forecast(horizon=12, level=(50, 99)).to_arrow()
    inner, outer = (found.filter(pc.field("confidence_level") == level) for level in (0.5, 0.99))
    assert pc.min(inner["prediction_interval_lower_bound"]).as_py() > 0
    assert pc.max(outer["prediction_interval_lower_bound"]).as_py() < 0


def test_as_of_a_day_no_weights_that_saw_later_rows_of_any_series_are_used():
    model = fit(waves((240, 120)), **TINY)
    spoilt = replace(model, final=replace(model.final, share=0.0))
    for ask in ({"as_of": labels(150)[0]}, {"as_of": labels(150)[0], "series": "s1"}):
        assert np.array_equal(numbers(model.forecast(**ask)), numbers(spoilt.forecast(**ask)))
    for ask in ({"as_of": labels(239)[0]}, {"as_of": labels(300)[0]}, {"series": "s1"}):
        assert not np.array_equal(numbers(model.forecast(**ask)), numbers(spoilt.forecast(**ask)))


def test_series_that_had_not_begun_by_a_day_are_named_and_the_others_counted(model):
    told = r"^no history by 1970-01-02 00:00 in s1, or forecast the 1 other series by name \(--series\)$"
    with pytest.raises(UsageError, match=told):
        model.forecast(waves((240, 200), starts=(0, 40)), as_of=labels(24)[0])


def test_series_that_end_together_do_so_as_of_a_day_whichever_are_asked_for():
    rows = waves()
    at = np.datetime64("1970-01-01", "us") + np.tile(np.arange(240), 2) * np.timedelta64(1, "h")
    table = pa.table({"at": at, "name": np.repeat(["a", "b"], 240), "y": rows.values.astype(float)})
    gone = (np.arange(240) > 150) & (np.arange(240) < 160)  # of a only
    table = table.filter(pa.array(~np.concatenate([gone, np.zeros(240, bool)])))
    model = fit(table, time="at", target="y", series="name", freq="h", align="common", fill="zero", **TINY)
    for ask in ({"as_of": labels(155)[0]}, {"as_of": labels(155)[0], "at": labels(158)}):
        every = model.forecast(**ask)
        assert set(every.rows["cutoff"].to_pylist()) == {datetime(1970, 1, 7, 11)}
        for name in ("a", "b"):
            alone = model.forecast(series=name, **ask)
            assert set(alone.rows["cutoff"].to_pylist()) == {datetime(1970, 1, 7, 11)}
            theirs = numbers(every)[:, every.rows["name"].to_numpy() == name]
            assert np.allclose(numbers(alone), theirs, rtol=1e-5)


@pytest.mark.parametrize(("align", "cut"), [("last", [1]), ("common", [2])])
def test_only_series_that_end_with_others_are_cut_with_them(align, cut, monkeypatch):
    """Of a hundred thousand series one is cut as of a date in no time."""
    at = np.datetime64("2024-01-01", "us") + np.tile(np.arange(90), 2) * np.timedelta64(1, "h")
    rows = pa.table({"at": at, "name": np.repeat(["a", "b"], 90), "y": waves((90, 90), (0, 0)).values.astype(float)})
    model = fit(rows, time="at", target="y", series="name", freq="h", align=align, **TINY)
    until, found = Panel.until, []
    monkeypatch.setattr(Panel, "until", lambda panel, step: found.append(len(panel)) or until(panel, step))
    model.forecast(series="a", as_of="2024-01-03")
    assert found == cut


@pytest.mark.parametrize("fill", ["interpolate", "zero", "forward"])
def test_what_is_filled_does_not_hang_on_rows_after_the_cutoff(fill):
    rows = pa.table({"at": np.datetime64("2024-01-01", "us") + np.arange(240) * np.timedelta64(1, "h")})
    rows = rows.append_column("y", pa.array(np.random.default_rng(0).normal(50, 5, 240)))
    gap = rows.slice(0, 100), rows.slice(130)
    names = {"time": "at", "target": "y", "freq": "h", "aggregate": "mean", "fill": fill}
    model = fit(pa.concat_tables(gap), **names, **TINY)
    higher = gap[1].set_column(1, "y", pa.array(np.full(110, 500.0)))
    panels = [read(pa.concat_tables([gap[0], end]), **names) for end in (gap[1], higher)]
    day = "2024-01-05 16:00"  # within the gap
    for ask in ({"as_of": day}, {"at": [day]}, {"at": day}):
        one, other = (numbers(model.forecast(panel, **ask)) for panel in panels)
        assert np.array_equal(one, other)
    alone = model.forecast(read(gap[0], **names), horizon=2)
    assert np.array_equal(numbers(model.forecast(panels[0], as_of=day, horizon=2)), numbers(alone))


def test_one_date_and_one_series_need_no_list(model):
    for day in ("1970-01-11 05:00", datetime(1970, 1, 10, 3)):
        assert model.forecast(at=day, series="s1").rows.equals(model.forecast(at=[day], series=["s1"]).rows)


def test_a_series_named_twice_is_forecast_once_and_its_name_need_be_no_text(model):
    panel = replace(model.panel, keys=pa.table({"name": [7, 12]}))
    own = replace(model, keys=panel.keys).forecast
    assert column(own(panel), "name") == [7] * 2 * HORIZON + [12] * 2 * HORIZON
    assert own(panel, series=None).rows.equals(own(panel).rows)
    for series in (12, [12], ["12", 12]):
        assert column(own(panel, series=series), "name") == [12] * 2 * HORIZON
        assert numbers(own(panel, series=series)) == pytest.approx(numbers(own(panel))[:, 2 * HORIZON :], rel=1e-5)


def test_a_date_that_nobody_can_mean_is_refused(model):
    told = r"^2170-01-01 00:00 lies 1,752,\d+ steps after the last row of s0; no more than 1,000 times the 6 trained"
    with pytest.raises(UsageError, match=told):
        model.forecast(at=["1970-01-11 05:00", "2170-01-01"])


def test_a_year_that_no_date_can_have_is_refused():
    years = replace(waves((64,), (7_900,)), grid=Grid(Frequency.parse("YS")))
    model = fit(years, horizon=6, epochs=1, steps=1, hidden=4)
    assert column(model.forecast(horizon=66), "forecast_timestamp")[-1] == datetime(9999, 1, 1)
    for horizon in (67, 100_000):
        told = rf"^{horizon:,} steps ahead lie beyond the year 9999: is the date or horizon right\?$"
        with pytest.raises(UsageError, match=told):
            model.forecast(horizon=horizon)


def test_a_name_of_several_series_is_refused(model):
    keys = pa.table({"name": ["a/b", "a", "c"], "part": ["c", "b/c", "d"]})
    panel = replace(waves((240, 240, 240), (0, 0, 0)), keys=keys)
    both = replace(model, keys=keys.slice(0, 2))
    assert both.forecast(panel, series="c/d").rows["part"].unique().to_pylist() == ["d"]
    with pytest.raises(UsageError, match=r"^several series are called 'a/b/c': parts of their keys hold slashes"):
        both.forecast(panel, series=["c/d", "a/b/c"])
    with pytest.raises(UsageError, match=r"^several series are called 'a/b/c': parts of their keys hold slashes"):
        both.inspect(panel, series="a/b/c")


def test_a_horizon_is_a_whole_number_and_not_beyond_all_measure(model):
    for horizon in (2, 2.0, "2", np.int64(2)):
        assert len(model.forecast(horizon=horizon)) == len(model.forecast(horizon=2))
    for horizon, told in ((2.5, "valid integer"), ([2], "valid integer"), (10**30, "less than or equal")):
        with pytest.raises(UsageError, match=f"^forecast.horizon: input should be (a )?{told}"):
            model.forecast(horizon=horizon)
    with pytest.raises(
        UsageError, match=r"^1,000,000,000 steps ahead lie beyond the year 9999: is the date or horizon right\?$"
    ):
        model.forecast(horizon=10**9)  # no room is made for so many


def test_levels_may_be_an_array_or_a_number_of_numpy(model):
    wanted = model.forecast(level=[70, 90]).rows
    for level in (np.array([70, 90]), pd.Series([70.0, 90.0]), {70, 90}):
        assert model.forecast(level=level).rows.equals(wanted)
    assert model.forecast(level=np.int64(70)).rows.equals(model.forecast(level=70).rows)
    with pytest.raises(UsageError, match=r"give at least one level.*got 0 instead"):
        model.forecast(level=0)


def test_a_frame_instead_of_a_panel_is_refused(model):
    with pytest.raises(UsageError, match=r"^give rows as a panel, which gatecast.read makes .*, not DataFrame$"):
        model.forecast(pd.DataFrame())


def test_a_number_names_a_series_in_a_plot_and_an_inspection_too(model):
    panel = replace(model.panel, keys=pa.table({"name": [7, 12]}))
    own = replace(model, keys=panel.keys, panel=panel)
    assert own.plot(series=12).axes[0].get_title() == own.plot(series="12").axes[0].get_title()
    assert own.inspect(series=12).series == 1


def test_many_series_are_forecast_as_each_alone_side_by_side_and_beside_one_that_ends_earlier(
    model, threads, monkeypatch
):
    monkeypatch.setattr(forecasting, "BATCH", 7)
    monkeypatch.setattr(forecast_rows, "ROWS", 11)
    monkeypatch.setattr(table, "CHUNK", 50)
    many, uneven = waves([240] * 40, [0] * 40), waves([240] * 40 + [200], [0] * 41)
    found = []
    for count in (1, 2):
        threads(count)
        found.append(model.forecast(many))
    assert found[0].rows.equals(found[1].rows)
    apart = model.forecast(uneven)
    for together, panel in ((found[0], many), (apart, uneven)):
        alone = [model.forecast(panel, series=[name]) for name in panel.names]
        assert_same(together.rows, pa.concat_tables([one.rows for one in alone]))
    assert_same(apart.rows.slice(0, len(found[0])), found[0].rows)


def assert_same(found, expected):
    """The same rows; in numbers but for rounding."""
    for name, column in zip(expected.column_names, expected.columns, strict=True):
        if pa.types.is_floating(column.type):
            np.testing.assert_allclose(found.column(name).to_numpy(), column.to_numpy(), rtol=1e-4)
        else:
            assert found.column(name).equals(column)
