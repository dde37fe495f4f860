"""What devices can do, and that nothing asks more of one: an epoch, and forecasts, on a device that cannot answer.

It is torch's `meta`, whose tensors have no values: to look at one is an error, and so is to let it meet another's.
"""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.overrides import TorchFunctionMode

from gatecast import course, fit, forecasting, pipeline, training
from gatecast.nn.devices import answers_at_once, moved, multiplies_halved, names, own_chance, seeded, vector

META = torch.device("meta")
TABLE = {"time": "day", "target": "sold", "series": ["shop"], "horizon": 3}
TINY = {"epochs": 1, "steps": 2, "hidden": 4, "dropout": 0.0, "refit": False}
COVARIATES = {"static": ["kind"], "past": ["visits"], "future": ["promo"]}
KINDS = {
    "whole": (),
    "gaps": ("gaps",),
    "now and then": ("zeros",),
    "below zero": ("deep",),
    "covariates": ("gaps", COVARIATES),
    "textbook": ("gaps", {"recipe": "classic"}),
    "percentages": ({"metric": "mape"},),
}


def sales(*what):
    """Three shops, with what is asked for; of the covariates, too, the three days to come are known."""
    chance, rows = np.random.default_rng(0), []
    for shop in range(3):
        sold = 20 + 5 * np.sin(np.arange(90) * 2 * np.pi / 7) + chance.normal(size=90) + shop - 22 * ("deep" in what)
        sold = chance.poisson(0.4, 90).astype(float) if "zeros" in what else sold
        sold[chance.choice(80, 20 * ("gaps" in what), replace=False)] = np.nan
        days = pd.date_range("2024-01-01", periods=93 if COVARIATES in what else 90)
        beside = {"visits": chance.normal(size=len(days)), "promo": chance.integers(0, 2, len(days))}
        shops = pd.DataFrame({"day": days, "shop": f"s{shop}", "kind": "abc"[shop]} | beside)
        rows.append(shops.assign(sold=pd.Series(sold)))
        rows[-1].loc[90:, "visits"] = np.nan
    return pd.concat(rows, ignore_index=True)


def trained(*what):
    return fit(sales(*what), **TABLE, **TINY, **dict(*(part for part in what if isinstance(part, dict))))


def said(table):
    return table.to_pandas().filter(regex="value|bound").to_numpy()


REFUSED = torch.Tensor.new_tensor, torch.Tensor.take, torch.Tensor.as_strided
"""The first waits for a device; the second Apple's has not, and of the third it copies what lies one over another."""


class Watch(TorchFunctionMode):
    """Notes what a graphics card would be waited for, though nothing is looked at, and what Apple's does not know."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, function, types, args=(), given=None):
        given = given or {}
        found = function(*args, **given)
        moves = function is torch.Tensor.to and found.is_meta and not args[0].is_meta
        if function in REFUSED or (moves and not given.get("non_blocking")):
            self.seen.append(function.__name__)
        return found


def watched(monkeypatch, module, name):
    """What a function does there, from now on."""
    watch, function = Watch(), getattr(module, name)

    def run(*args, **given):
        with watch:
            return function(*args, **given)

    monkeypatch.setattr(module, name, run)
    return watch


def test_the_processor():
    cpu = torch.device("cpu")
    assert answers_at_once(cpu)
    assert multiplies_halved(cpu) == torch.ops.mkldnn._is_mkldnn_bf16_supported()


@pytest.mark.parametrize(
    ("cards", "apples", "expected"),
    [(0, False, ["cpu"]), (2, False, ["cuda", "cuda:0", "cuda:1", "cpu"]), (0, True, ["mps", "cpu"])],
)
def test_the_devices_there_are(monkeypatch, cards, apples, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apples)
    assert names() == expected


def test_what_cannot_be_done_is_told(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(torch.nn, "LSTM", refuse)
    assert not multiplies_halved.__wrapped__(torch.device("cpu"))
    assert not answers_at_once(META)


class Halt(TorchFunctionMode):
    """Moves nothing, and tells how it was asked to."""

    def __torch_function__(self, function, types, args=(), given=None):
        if function is not torch.Tensor.to:
            return function(*args, **(given or {}))
        self.given = given
        return args[0]


@pytest.mark.parametrize(("device", "waits"), [("cuda", False), ("mps", True)])
def test_apples_device_is_waited_for(device, waits):
    """Or what it has not read yet may be gone."""
    with Halt() as halt:
        moved(torch.zeros(1), torch.device(device))
    assert halt.given == {"non_blocking": not waits}


@pytest.fixture
def card(monkeypatch):
    """A device's own random numbers, which `torch.manual_seed` seeds as those of all."""

    class Card:
        state = 7

        def get_rng_state(self):
            return self.state

        def set_rng_state(self, state):
            self.state = state

    card, seed = Card(), torch.manual_seed
    monkeypatch.setattr(torch, "get_device_module", lambda _: card)
    monkeypatch.setattr(torch, "manual_seed", lambda number: card.set_rng_state(number) or seed(number))
    return card


def test_random_numbers_of_a_device_are_left_as_they_were(card):
    with own_chance(1, META):
        assert card.state == 1
    assert card.state == 7
    with pytest.raises(KeyboardInterrupt), own_chance(1, META):
        raise KeyboardInterrupt
    assert card.state == 7


def test_numbers_of_a_device_can_be_trained_with():
    with torch.inference_mode():
        found = vector((0.25, 0.5), torch.device("cpu"))
    assert found.tolist() == [0.25, 0.5]
    assert not found.is_inference()
    assert vector((0.25, 0.5), META).is_meta


@pytest.mark.parametrize("what", KINDS.values(), ids=KINDS)
@pytest.mark.usefixtures("card")
def test_a_device_is_asked_for_nothing_before_an_epoch_ends(monkeypatch, what):
    steps, step = [], training.move
    monkeypatch.setattr(pipeline, "_device", lambda _: META)
    monkeypatch.setattr(course, "seeded", lambda seed, _: seeded(seed, torch.device("cpu")))  # META has none
    monkeypatch.setattr(training, "move", lambda *given: steps.append(step(*given)) or steps[-1])
    watch = watched(monkeypatch, training, "run_epoch")
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        trained(*what)
    assert len(steps) == TINY["steps"]
    assert watch.seen == []


@pytest.mark.parametrize("what", KINDS.values(), ids=KINDS)
def test_a_device_that_must_be_waited_for_gives_the_same(monkeypatch, what):
    ahead = 3 if COVARIATES in what else 8
    expected = said(trained(*what).forecast(horizon=ahead))
    for name, module in list(sys.modules.items()):
        if name.startswith("gatecast.") and hasattr(module, "answers_at_once"):
            monkeypatch.setattr(module, "answers_at_once", lambda _: False)
    model = trained(*what)
    np.testing.assert_allclose(said(model.forecast(horizon=ahead)), expected, rtol=1e-5, atol=1e-5)
    watch = watched(monkeypatch, forecasting, "predict")
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        replace(model, tested=model.tested.on(META), final=model.final.on(META)).forecast(horizon=ahead)
    assert watch.seen == []
