"""From a panel to trained weights: tested ones that never saw its end, then final ones that saw all of it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gatecast import recipe
from gatecast.calibration import HeldBack, widened
from gatecast.checkpoint import NOWHERE, Checkpoints
from gatecast.config import Config
from gatecast.corrections import HIDDEN, lengths
from gatecast.data.dates import Steps
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Panel
from gatecast.data.scaling import Scaler, deviation, flat
from gatecast.data.split import Span, Split
from gatecast.data.windows import Windows
from gatecast.ensemble import Ensemble
from gatecast.fitted import Fitted
from gatecast.nn.devices import moved, own_chance
from gatecast.nn.network import Network
from gatecast.objective import Objective
from gatecast.training import VALIDATION, VALIDATION_BATCH, OnEpoch, Trained, train

REFIT_SHARE = 0.4
"""Share of the time limit kept for the final weights."""


@dataclass(frozen=True)
class Workshop:
    """Everything a stage of training needs: the panel on its device, the split, the settings."""

    config: Config  # resolved
    panel: Panel
    split: Split
    encoder: Encoder
    windows: Windows
    on_epoch: OnEpoch
    season: int  # of the naive forecast
    checkpoints: Checkpoints = NOWHERE

    @property
    def horizon(self) -> int:
        """H."""
        return self.config.forecast.horizon

    def training(self) -> Span:
        """Windows to learn from; where no series has enough history, those with any."""
        return self.split.training(self.horizon, self.config.model.history) or self.split.training(self.horizon)

    def everything(self) -> Span:
        """Windows for the final weights."""
        return self.split.everything(self.horizon, self.config.model.history) or self.split.everything(self.horizon)


def build(shop: Workshop) -> Ensemble:
    """The networks of the settings, their weights drawn by the seed."""
    with own_chance(shop.config.training.seed, shop.windows.device):
        network = Ensemble(map(Network, recipe.shapes(shop.config, shop.encoder)))
    for member in network.networks:
        member.lstm.halved = shop.config.training.precision == "bf16"
    return network.to(shop.windows.device)


def learn(shop: Workshop, network: Ensemble) -> tuple[Fitted, Trained, HeldBack]:
    """Weights trained up to the validation part, chosen and calibrated on it; and what they forecast of it."""
    training, validating = shop.config.training, shop.split.validating(shop.horizon)
    seconds = training.time_limit * (1 - REFIT_SHARE if training.refit else 1)
    scaler, trained = _train(shop, network, shop.split.train, shop.training(), validating, training.epochs, seconds)
    probabilities = recipe.probabilities(shop.config) or recipe.level_probabilities(shop.config)
    stretch = torch.ones(shop.horizon, len(probabilities), device=shop.windows.device)
    bounds, below = _bounds(shop)
    fitted = Fitted(
        network=network,
        scaler=scaler,
        encoder=shop.encoder,
        probabilities=probabilities,
        stretch=stretch,
        flat_stretch=stretch[0],
        seen=shop.split.validation,
        bounds=bounds,
        season=shop.season,
        bounds_given=shop.config.forecast.bounds is not None,
        below=below,
    )
    held = _held_back(shop, fitted, [validating], VALIDATION)
    return _judged(shop, fitted, held, validating), trained, held


def refit(shop: Workshop, tested: Fitted, validated: HeldBack, epochs: int) -> tuple[Fitted, Trained]:
    """New weights trained on all rows.

    They are weighed and calibrated by the errors that the tested weights made on rows they had not been
    trained on, the newest ones included; so their intervals are moved towards the width of those of the tested weights,
    further, the less time they had to learn their own.

    Args:
        validated: what the tested weights forecast of the validation part.
    """
    network, lasts, seconds = build(shop), shop.split.lasts, shop.config.training.time_limit * REFIT_SHARE
    scaler, trained = _train(shop, network, lasts, shop.everything(), None, epochs, seconds)
    validating, testing = shop.split.validating(shop.horizon), shop.split.testing(shop.horizon)
    held = validated.beside(_held_back(shop, tested, [testing], VALIDATION))
    judged = _judged(shop, tested, held, validating, testing)
    final = replace(judged, network=network.eval(), scaler=scaler, seen=lasts)
    with torch.inference_mode():
        newest = (
            shop.windows.inputs(*window) for window in _windows(shop, [shop.split.newest(shop.horizon)], VALIDATION)
        )
        raw = [(judged.alone(inputs), final.alone(inputs)) for inputs in newest]
    before, after = (torch.cat(part) for part in zip(*raw, strict=True))
    taken, planned = trained.steps
    wider = widened(before, after, judged.middle, taken / planned)
    short = tuple(one._replace(stretch=one.stretch * wider) for one in judged.short)
    return replace(final, stretch=judged.stretch * wider, short=short), trained


def _train(
    shop: Workshop, network: Ensemble, until: Steps, span: Span, validating: Span | None, epochs: int, seconds: float
) -> tuple[Scaler, Trained]:
    """Train by a scaler and an objective fitted on rows up to a step of each series."""
    scaler, objective = _scaler(shop, until), _objective(shop, until)
    with own_chance(shop.config.training.seed, shop.windows.device):
        trained = train(
            network,
            scaler,
            shop.windows,
            span,
            validating,
            shop.config.training,
            objective,
            epochs=epochs,
            seconds=seconds,
            on_epoch=shop.on_epoch,
            checkpoints=shop.checkpoints,
        )
    network.zero_grad()  # nobody needs gradients any more
    for member in network.networks:
        member.chance = None  # nor random numbers, which no process that is spawned can be given
    return scaler, trained


def _scaler(shop: Workshop, until: Steps) -> Scaler:
    """The scaling of the settings, fitted on rows up to a step of each series."""
    name = shop.config.model.scaling
    assert name
    return Scaler.fit(name, [] if name == "window" else _rows(shop, until)).to(shop.windows.device)


def _objective(shop: Workshop, until: Steps) -> Objective:
    """The loss of the settings; errors that are scaled by series are so by the deviation of its rows up to a step."""
    metric, history = shop.config.forecast.metric, shop.config.model.history
    if not shop.config.training.by_series:
        return Objective(metric, history=history)
    missing = torch.tensor([torch.nan])  # of a series without rows nothing is known
    rows = [torch.cat([missing, part])[None] for part in _rows(shop, until)]
    found = [deviation(part.nan_to_num(), ~part.isnan())[1] for part in rows]
    return Objective(metric, torch.cat(found).to(shop.windows.device))


def _rows(shop: Workshop, until: Steps) -> list[Float[Tensor, "T"]]:
    """The values of each series up to a step."""
    return [torch.from_numpy(shop.panel.known(i, step).copy()) for i, step in enumerate(until.tolist())]


def _bounds(shop: Workshop) -> tuple[tuple[float, float], Bool[Tensor, "S"] | None]:
    """Those of the settings; else 0 for the series whose rows up to the test part hold no negative value.

    Returns:
        the bounds, and the series without the lower one, if any; a series that had not begun has none in their company.
    """
    if (given := shop.config.forecast.bounds) is not None:
        low, high = given.split(":")
        return (float(low or -math.inf), float(high or math.inf)), None
    until, panel = shop.split.validation, shop.panel
    negative = np.array([bool(np.nanmin(values) < 0) for values in panel.begun(until)])
    if negative.all():  # also of none
        return (-math.inf, math.inf), None
    if not negative.any():
        return (0.0, math.inf), None
    below = np.ones(len(panel), np.bool_)
    below[until >= panel.starts] = negative
    return (0.0, math.inf), torch.from_numpy(below).to(shop.windows.device)


def _judged(shop: Workshop, fitted: Fitted, held: HeldBack, *spans: Span) -> Fitted:
    """Weighed against the naive forecast (but for the classic recipe) and calibrated on held-back windows.

    Few of these, or none, have as little history as a series that is new; so older values of others are hidden.
    """
    classic = shop.config.model.recipe == "classic"

    def corrected(held: HeldBack) -> Fitted:
        return (fitted if classic else fitted.weighed(held)).calibrated(held)

    hidden = (_held_back(shop, fitted, spans, HIDDEN // len(spans), newest) for newest in lengths(held.history))
    return replace(corrected(held).centred(held), short=tuple(corrected(one).corrections for one in hidden))


def _held_back(shop: Workshop, fitted: Fitted, spans: Sequence[Span], most: int, newest: int | None = None) -> HeldBack:
    """What the networks forecast for windows held back from training, and the truth; see `Windows.inputs`."""
    fitted.network.eval()
    parts: list[list[Tensor]] = []
    with torch.inference_mode():
        for window in _windows(shop, spans, most):
            inputs, truth = shop.windows.inputs(*window, newest=newest), shop.windows.truth(*window)
            is_flat, history = flat(inputs.context, inputs.observed), inputs.observed.sum(1)
            parts.append([fitted.alone(inputs), fitted.naive(inputs), truth.values, truth.observed, is_flat, history])
    raw, naive, values, seen, is_flat, history = (torch.cat(part) for part in zip(*parts, strict=True))
    apart = sum(span.apart(shop.horizon) for span in spans)
    return HeldBack(raw, naive, values, seen, is_flat, history, apart)


def _windows(shop: Workshop, spans: Sequence[Span], most: int) -> Iterator[tuple[Int[Tensor, "B"], Int[Tensor, "B"]]]:
    """Series and cutoffs of windows spread over some spans, in batches on the device."""
    parts = zip(*(span.at(span.spread(most)) for span in spans), strict=True)
    series, cutoffs = (moved(torch.cat(part), shop.windows.device) for part in parts)
    return zip(*(torch.split(part, VALIDATION_BATCH) for part in (series, cutoffs)), strict=True)
