"""Two features at once: tables and settings drawn together, and what must hold of the forecasts of each.

What was found stands as a test of its own beside the module it was in; here is how it was found.
"""

import random
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gatecast import GatecastError, audit, fit, load, pipeline, read
from gatecast.data.dates import Frequency, Grid
from gatecast.newest import newest

FREQS = ["15min", "h", "2h", "D", "D", "B", "W-SUN", "10D", "MS", "ME", "QS", "YS"]
ZONES = [None, None, "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe"]
FIRST = "2019-10-20"  # clocks change soon after
NUMBERS = ("forecast_value", "prediction_interval_lower_bound", "prediction_interval_upper_bound")
OFTEN = {
    "aggregate": ["sum", "mean", "last", "count", "min", "max"],
    "fill": ["zero", "missing", "forward", "interpolate"],
    "align": ["last", "common"],
    "bounds": ["0:", "-5:5", ":10", ":"],
    "level": [[50, 80, 95, 99.9], [80], [2, 99]],
    "metric": ["wape", "rmse", "smape", "mape", "quantile"],
}
SELDOM = {"scaling": ["minmax", "standard", "robust"], "context": [3, 10], "members": [2, 3]}
SELDOM |= {"past": ["seen"], "static": ["kind"], "recipe": ["classic"], "refit": [False], "holidays": ["DE", "XNYS"]}
SELDOM |= {name: [True] for name in ("logs", "series_embedding", "by_series")}


def drawn(seed):
    """A table of a few series with gaps, doubles and empty targets, and settings."""
    chance, rng = random.Random(seed), np.random.default_rng(seed)
    grid, horizon = Grid(Frequency.parse(chance.choice(FREQS))), chance.choice([1, 2, 5, 9])
    count, first = chance.choice([50, 90]), grid.floor(FIRST)
    keys = chance.choice([["a", "b/c", None], [3, 1, 2], ["a"], [True, False], list("edcba")])
    rows = []
    for key in keys:
        length, level = chance.choice([count, count, count, count // 2, 3]), chance.choice([1, 1, 1000, 0])
        shift = chance.choice([0, 0, -2.5]) * level
        steps = np.arange(count - length, count - chance.choice([0, 0, 0, 1, horizon]))
        wave = shift + level * (2 + np.sin(steps / 2) + 0.2 * rng.normal(size=len(steps)))
        rows += [(key, first + step, value) for step, value in zip(steps.tolist(), wave.tolist(), strict=True)]
    rows = [row for row in rows if chance.random() >= chance.choice([0, 0.1, 0.3])]
    rows += [(key, step, value / 2) for key, step, value in rows if chance.random() < 0.2]
    names, steps, values = zip(*rows, strict=True)
    empty = rng.random(len(rows)) < chance.choice([0, 0.1])
    table = pa.table(
        {
            "at": grid.wall(np.array(steps)).astype("datetime64[us]"),
            "k": pa.array(names),
            "y": pa.array(values, mask=empty),
            "seen": [chance.choice(["wet", "dry", None]) for _ in rows],
            "kind": pa.array([str(name)[0] for name in names]),
        }
    )
    settings = {"time": "at", "target": "y", "series": "k", "freq": str(grid.frequency)}
    settings |= {"timezone": chance.choice(ZONES)}
    for options, share in ((OFTEN, 0.5), (SELDOM, 0.15)):
        settings |= {name: chance.choice(given) for name, given in options.items() if chance.random() < share}
    tiny = {"horizon": horizon, "epochs": 1, "steps": 1, "hidden": 4, "baselines": 0, "members": 1}
    return chance, table, tiny | settings


def numbers(rows):
    return np.stack([rows[name].to_numpy() for name in NUMBERS], 1)


def same(one, other, but=()):
    """Two tables of forecasts are the same, numbers but for rounding: batches of another size add up otherwise."""
    assert one.drop([*NUMBERS, *but]).equals(other.drop([*NUMBERS, *but]))
    (ours, theirs), size = map(numbers, (one, other)), np.abs(numbers(one)).max(1, keepdims=True)
    assert (np.abs(ours - theirs) <= 1e-4 * size + 1e-9).all()  # what is left above a bound of zero is hardly anything


def named(verb, *given, **options):
    """The result of a verb, or the named error; anything else is a crash."""
    try:
        return verb(*given, **options)
    except GatecastError as error:
        return error


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 80))])
@pytest.mark.filterwarnings("error")
def test_two_features_at_once(seed, tmp_path):
    chance, table, settings = drawn(seed)
    pq.write_table(table, tmp_path / "rows.parquet")
    found = named(audit, tmp_path / "rows.parquet", **settings)
    trained = named(fit, tmp_path / "rows.parquet", run=tmp_path / "run", **settings)
    if isinstance(trained, GatecastError):
        assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]
        return
    model, panel, grid = load(tmp_path / "run"), trained.panel, trained.grid
    assert (found.first, found.last) == (grid.label(int(panel.starts.min())), grid.label(int(panel.lasts.max())))
    begun, last = int(panel.starts.max()), int(panel.lasts.max())
    past, ahead = grid.label(chance.randint(begun, last)), grid.label(last + chance.randint(1, 2 * settings["horizon"]))
    asks = [
        {},
        {"horizon": chance.randint(1, 20)},
        {"as_of": past},
        {"at": [ahead, past]},
        {"as_of": past, "level": 37},
    ]
    for ask in asks:
        every = named(model.forecast, panel, **ask)
        if isinstance(every, GatecastError):
            assert "has no history before it" in str(every)
            continue
        check_of_one(every.rows, trained, ask)
        few = newest(model, context=True, at=ask.get("at"), as_of=ask.get("as_of"))
        same(model.forecast(few, **ask).rows, every.rows, but=["kind"])  # rows after the date were not read
        asked = partial(model.forecast, series=[panel.names[chance.randrange(len(panel))]], **ask)
        (key,) = asked(panel).rows["k"].unique()
        own = pc.is_null(every.rows["k"]) if not key.is_valid else pc.equal(every.rows["k"], key)
        same(asked(panel).rows, every.rows.filter(pc.fill_null(own, False)))
        if "as_of" in ask:
            late = np.array([grid.floor(str(at)) for at in table["at"].to_pylist()]) > grid.floor(past)
            more = pc.if_else(pa.array(late), pc.multiply(pc.abs(table["y"]), 3), table["y"])
            changed = read(table.set_column(2, "y", more), **settings)
            same(model.forecast(changed, **ask).rows, every.rows)
    back = read(table.take(pa.array(range(len(table))[::-1])).select(table.column_names[::-1]), **settings)
    assert np.allclose(back.values, panel.values, rtol=1e-6, equal_nan=True)
    assert pipeline.prove(model, panel).moved == {}
    assert model.inspect(panel, at=past, series=panel.names[0]).sentences


def check_of_one(rows, model, ask):
    """Levels lie within one another, bounds hold, dates are those of the grid."""
    settings, found = model.config.forecast, numbers(rows)
    assert np.isfinite(found).all()
    levels = found.reshape(-1, 1 if "level" in ask else len(settings.level), 3)
    assert (np.diff(levels[..., 1]) <= 0).all()
    assert (np.diff(levels[..., 2]) >= 0).all()
    assert (levels[..., 1] <= levels[..., 2]).all()
    low, high = (settings.bounds or ":").split(":")
    assert found.min() >= float(low or "-inf")
    assert found.max() <= float(high or "inf")
    if settings.bounds is None and np.nanmin(model.panel.values) >= 0:
        assert found.min() >= 0
    dates = rows["forecast_timestamp"].to_numpy().astype("datetime64[s]")
    cutoffs = np.array([model.grid.floor(str(at)) for at in rows["cutoff"].to_pylist()])
    assert (model.grid.wall(cutoffs + rows["step"].to_numpy()) == dates).all()
