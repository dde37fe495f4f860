"""Settings: the same in Python, as options and as TOML; frozen, documented, and strict."""

import tomllib

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from gatecast.config import TABLE_OF, TABLES, Config, merged, read_toml
from gatecast.errors import UsageError
from gatecast.settings import LONGEST_CONTEXT

TEXT, SOME = st.text(max_size=12), st.text(min_size=1, max_size=12)
COUNT = st.integers(1, 10**6)
SETTINGS = {
    "source": {"url": TEXT, "sql": SOME, "time": TEXT, "target": TEXT, "since": SOME, "series": st.lists(TEXT)},
    "grid": {
        "freq": st.none() | st.sampled_from(["30min", "W-MON"]),
        "timezone": st.none() | SOME,
        "aggregate": st.sampled_from(["sum", "mean", "last", "count", "min", "max"]),
    },
    "forecast": {
        "horizon": COUNT,
        "level": st.lists(st.floats(1, 99.999, exclude_min=True), min_size=1),
        "metric": st.sampled_from(["mase", "rmse", "quantile"]),
    },
    "model": {
        "recipe": st.sampled_from(["segment", "classic"]),
        "context": st.none() | st.integers(1, LONGEST_CONTEXT),
        "seasons": st.none() | st.lists(st.integers(1, LONGEST_CONTEXT)),
        "hidden": COUNT,
        "dropout": st.floats(0, 1, exclude_max=True),
    },
    "training": {
        "seed": st.integers(0, 2**62),
        "time_limit": st.floats(1e-3, 1e9),
        "rate": st.floats(1e-9, 1),
        "refit": st.booleans(),
    },
}
TABLE = {name: st.fixed_dictionaries({}, optional=keys) for name, keys in SETTINGS.items()}


@given(st.fixed_dictionaries({}, optional=TABLE))
def test_toml_gives_the_settings_back(tables):
    source = tables.get("source", {})
    named = [*source.get("series", []), *(source[key] for key in ("time", "target") if source.get(key))]
    assume(len(set(named)) == len(named))
    config = Config(**tables)
    assert Config(**tomllib.loads(config.to_toml())) == config


def test_a_file_may_begin_with_the_mark_that_windows_puts_before_texts(tmp_path):
    (tmp_path / "settings.toml").write_text("[forecast]\nhorizon = 3\n", encoding="utf-8-sig")
    assert Config.from_toml(tmp_path / "settings.toml").forecast.horizon == 3


def test_a_file_gives_the_settings_back(tmp_path):
    config = Config(
        source={"sql": 'SELECT *\nFROM "söld"\r\n-- it\'s\ttabbed 🦆', "time": "at", "series": ["shop", "item"]},
        forecast={"horizon": 48, "level": [50, 99.5]},
        model={"seasons": []},
        training={"time_limit": "1.5h", "refit": False},
    )
    (tmp_path / "settings.toml").write_bytes(config.to_toml().encode())
    again = Config.from_toml(tmp_path / "settings.toml")
    assert again == config
    assert again.model.seasons == ()
    assert again.grid.freq is None
    assert (again.source.series, again.training.time_limit) == (("shop", "item"), 5400.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "no settings file"),
        (b"[source\n", "cannot be read as TOML"),
        (b"url = '\xff'", "cannot be read as TOML"),
        (b"[model]\nhiden = 3\n", r"model.hiden: no such setting, did you mean model.hidden\?"),
        (b"[model]\nhorizon = 3\n", r"model.horizon: no such setting, did you mean forecast.horizon\?"),
        (
            b"[training]\ntime-limit = '5s'\n",
            r"training.time-limit: no such setting, did you mean training.time_limit\?",
        ),
        (b"[modle]\n", r"modle: no such setting, did you mean model\?"),
        (b"[zebra]\n", "zebra: no such setting$"),
        (b"model = 3\n", "model: "),
        (b"source = 'sales.csv'\n", "source: a setting of .* belongs in a table, as url = .* under .source."),
        (b"table = 'sales'\n[forecast]\nhorizon = 3\n", "table: a setting of .* belongs in a table"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text, told):
    if text is not None:
        (tmp_path / "settings.toml").write_bytes(text)
    with pytest.raises(UsageError, match=told):
        Config.from_toml(tmp_path / "settings.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        read_toml(tmp_path)


@pytest.mark.parametrize(
    ("table", "key", "wrong", "told"),
    [
        ("source", "table", "", "source.table: give a value or leave it out, got '' instead"),
        ("source", "since", "", "source.since: give a value or leave it out, got '' instead"),
        ("grid", "timezone", "", "give a value or leave it out"),
        ("forecast", "horizon", -1, "got -1 instead"),
        ("forecast", "horizon", 2.5, "got 2.5 instead"),
        ("forecast", "metric", "best", "got 'best' instead"),
        ("forecast", "level", [80, 100], "in percent, above 1 and up to 99.999"),
        ("forecast", "level", 0, "in percent, above 1 and up to 99.999"),
        ("forecast", "level", 0.8, "in percent, above 1 and up to 99.999"),
        ("forecast", "level", [80, 1], "in percent, above 1 and up to 99.999"),
        ("forecast", "level", [], "at least one"),
        ("forecast", "level", 99.9999, "in percent, above 1 and up to 99.999"),
        ("forecast", "bounds", "100:0", "the first bound must be the lower one, as in 0:100"),
        ("forecast", "bounds", "5:5", "the first bound must be the lower one"),
        ("forecast", "bounds", "5", "write a range as 0:100, 0: or :100, got '5' instead"),
        ("forecast", "bounds", "1e3:", "write a range as 0:100, 0: or :100, got '1e3:' instead"),
        ("forecast", "bounds", "", "write a range as 0:100, 0: or :100, got '' instead"),
        ("model", "context", 0, "got 0 instead"),
        ("model", "seasons", [24, 0], "got 0 instead"),
        ("model", "dropout", 1.0, "got 1.0 instead"),
        ("training", "rate", float("nan"), "got nan instead"),
        ("training", "test", 0.5, "got 0.5 instead"),
        ("training", "time_limit", "10 days", "write a duration as 90s, 10m or 1.5h, got '10 days' instead"),
        ("training", "time_limit", "0m", "greater than 0"),
        ("source", "series", [1], "got 1 instead"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_found(table, key, wrong, told):
    with pytest.raises(UsageError) as error:
        Config(**{table: {key: wrong}})
    assert str(error.value).startswith(f"{table}.{key}: ")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_all_wrong_settings_are_named_at_once():
    with pytest.raises(UsageError) as error:
        Config(model={"hidden": 0, "depth": 2}, training={"sead": 1})
    lines = sorted(line.partition(":")[0] for line in str(error.value).splitlines())
    assert lines == ["model.depth", "model.hidden", "training.sead"]


def test_dates_of_python_and_toml_are_dates(tmp_path):
    (tmp_path / "settings.toml").write_text("[source]\nsince = 2024-03-01\nuntil = 2024-03-02T10:00:00\n")
    found = Config.from_toml(tmp_path / "settings.toml").source
    assert (found.since, found.until) == ("2024-03-01", "2024-03-02 10:00:00")
    assert Config(source={"since": pd.Timestamp("2024-03-01")}).source.since == "2024-03-01 00:00:00"


def test_wrong_settings_given_to_the_constructor_are_named_too():
    with pytest.raises(UsageError, match=r"^model.hidden: .* got 'no' instead$"):
        Config(model={"hidden": "no"})
    with pytest.raises(UsageError, match=r"^self: no such setting$"):
        Config(self={})


def test_a_table_or_a_query_not_both():
    with pytest.raises(UsageError, match=r"^source: give --table or --sql, not both$"):
        Config(source={"table": "sales", "sql": "SELECT 1"})


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("90s", 90), (" 10m ", 600), ("1.5h", 5400), ("2 m", 120), (45, 45), (0.5, 0.5)],
)
def test_durations(written, seconds):
    assert Config(training={"time_limit": written}).training.time_limit == seconds


@pytest.mark.parametrize("written", ["", "m", "ten", "1d", "-5m", "1h30m", "1e3", "10M"])
def test_what_is_no_duration(written):
    with pytest.raises(UsageError, match="duration"):
        Config(training={"time_limit": written})


@pytest.mark.parametrize(
    ("written", "levels"), [(80, (80,)), ("90", (90,)), ([95, 80, 95], (80, 95)), ((99.9, 50), (50, 99.9))]
)
def test_levels_are_sorted_and_single(written, levels):
    assert Config(forecast={"level": written}).forecast.level == levels


def test_options_by_their_bare_names():
    config = Config.from_options("shop.csv", {"time": "at", "series": "shop", "horizon": 7, "seed": None, "hidden": 9})
    assert (config.source.url, config.source.time, config.source.series) == ("shop.csv", "at", ("shop",))
    assert (config.forecast.horizon, config.model.hidden) == (7, 9)
    assert config.training == Config().training
    assert Config.from_options([1, 2], {}).source.url == ""  # a frame has no URL


def test_an_unknown_option_is_named_beside_those_there_are():
    with pytest.raises(UsageError, match=r"'horizn'.*horizon"):
        Config.from_options("shop.csv", {"horizn": 7})


def test_options_win_over_a_file_and_change_nothing_else():
    tables = {"forecast": {"horizon": 7, "metric": "mae"}}
    found = merged(tables, {"horizon": 9, "metric": None, "seed": 5})
    assert found == {"forecast": {"horizon": 9, "metric": "mae"}, "training": {"seed": 5}}
    assert tables == {"forecast": {"horizon": 7, "metric": "mae"}}


def test_bare_names_are_unique_and_cover_all_tables():
    assert sum(len(kind.model_fields) for kind in TABLES.values()) == len(TABLE_OF) > 20
    assert list(TABLES) == list(Config.model_fields)
    assert {name: Config.model_fields[name].annotation for name in TABLES} == TABLES


@pytest.mark.parametrize("table", TABLES)
def test_every_setting_is_described(table):
    for name, field in TABLES[table].model_fields.items():
        assert field.description, name
        assert not field.description.endswith("."), name


def test_settings_are_frozen():
    config = Config()
    with pytest.raises(ValidationError, match="frozen"):
        config.grid = config.grid
    with pytest.raises(ValidationError, match="frozen"):
        config.model.hidden = 3
    changed = config.having("model", hidden=3)
    assert (changed.model.hidden, config.model.hidden) == (3, Config().model.hidden)
    assert changed.training == config.training


@pytest.mark.parametrize("name", ["horizon", "reach", "segment", "seasons", "members", "hidden", "layers", "seed"])
def test_a_number_that_no_machine_could_hold_is_refused(name):
    with pytest.raises(UsageError, match=rf"^\w+\.{name}: input should be less than .*, got {10**30} instead$"):
        Config.from_options("x.csv", {name: 10**30})


def test_covariates_have_a_value_for_each_step_or_one_for_each_series():
    named = {"past": ["heat", "rain"], "future": "promo", "static": ["land", "size"], "holidays_column": "land"}
    source = Config.from_options(None, named).source
    assert (source.varying, source.fixed) == (("heat", "rain", "promo"), ("land", "size"))


def test_statistical_baselines_take_no_longer_than_training_unless_they_are_given_more():
    def seconds(**training):
        return Config(training=training).training.baselines

    assert seconds() == seconds(time_limit="10m") == 30
    assert seconds(time_limit="20s") == 20
    assert seconds(time_limit="20s", baselines="2m") == 120
    with pytest.raises(UsageError, match=r"training\.time_limit: write a duration"):
        seconds(time_limit="soon")


def test_an_option_in_python_that_there_is_not_is_told_with_the_one_that_is_meant():
    with pytest.raises(UsageError, match=r"^no setting is called 'horizont'; did you mean horizon\?$"):
        Config.from_options("a.csv", {"horizont": 3})
    with pytest.raises(
        UsageError, match=r"^no setting is called 'zebra'; there are adjusted, aggregate, .*, winsorized$"
    ):
        Config.from_options("a.csv", {"zebra": 3})


@pytest.mark.parametrize(("seasons", "history"), [(None, 2), ((), 2), ((1,), 2), ((7, 365), 365)])
def test_windows_to_learn_from_have_a_season_before_them_or_two_values(seasons, history):
    assert Config().having("model", seasons=seasons).model.history == history
