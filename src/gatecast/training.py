"""The training loop: one epoch function for training and validation, one schedule, the best weights kept."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gatecast.config import Metric, TrainingSettings
from gatecast.data.scaling import Scaler, Unit
from gatecast.data.windows import Inputs, Span, Truth, Windows
from gatecast.ensemble import Ensemble, together
from gatecast.errors import TrainingError
from gatecast.nn.losses import pinball, squared
from gatecast.nn.network import Shape

WARM_UP = 0.15
"""Share of training in which the learning rate rises (Smith & Topin 2018, one cycle)."""
FLOOR = 0.01
"""Last learning rate, as a share of the highest."""
LATE = 0.2
"""Share of the time after which a schedule that is behind is completed by the clock."""
CLIP = 1.0
FAR = 100.0
"""Units beyond which a truth is as far as any: after a flat stretch a jump may be millions of them."""
WEIGHT_DECAY = 0.01
STEPS = 100
"""Most batches an epoch, so that progress is seen and validated on large panels too."""
VALIDATION = 2_048
"""Most windows a validation."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave; a line of `history.jsonl`. Accuracy is 1 - WAPE in percent."""

    stage: str  # "test" (weights that never see the test rows) or "final"
    epoch: int
    epochs: int
    train_loss: float
    train_accuracy: float | None  # None where all truth is zero
    validation_loss: float | None
    validation_accuracy: float | None
    learning_rate: float
    windows_per_second: float
    seconds: float


OnEpoch = Callable[[Epoch], None]


@dataclass(frozen=True)
class Trained:
    """How training went.

    Attributes:
        best: the epoch whose weights were kept.
        hurried: whether time was short, so that the schedule followed the clock.
    """

    best: int
    ended: str
    hurried: bool
    epochs: tuple[Epoch, ...]


def train(
    network: Ensemble,
    scaler: Scaler,
    windows: Windows,
    training: Span,
    validating: Span | None,
    settings: TrainingSettings,
    metric: Metric,
    *,
    epochs: int,
    seconds: float,
    on_epoch: OnEpoch,
) -> Trained:
    """Train all members at once, on the same windows; they end with the weights that validated best.

    Args:
        training: windows to learn from.
        validating: windows to choose the best epoch by; None keeps the last.
        metric: what forecasts will be judged by, see `importance`.
        epochs: length of the schedule.
        seconds: time at which the schedule has run through, whatever the epoch.

    Raises:
        TrainingError: the loss is no longer a number.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=WEIGHT_DECAY, fused=True)
    chance = torch.Generator().manual_seed(settings.seed)
    steps = settings.steps or min(STEPS, math.ceil(len(training) / settings.batch))
    schedule = Schedule(settings.rate, steps * epochs, seconds)
    held_back = torch.split(mixed(validating.spread(VALIDATION)), 256) if validating is not None else ()
    best, best_loss, kept, ended, told = 0, math.inf, None, "all epochs run", []
    for epoch in range(1, epochs + 1):
        began = time.monotonic()
        drawn = (torch.randint(len(training), (settings.batch,), generator=chance) for _ in range(steps))
        loss, accuracy = run_epoch(network, scaler, windows, training, drawn, metric, optimizer, schedule)
        lasted = time.monotonic() - began
        held: tuple[float | None, float | None] = (None, None)
        if validating is not None:
            held = run_epoch(network, scaler, windows, validating, held_back, metric)
        if not math.isfinite(loss + (held[0] or 0)):
            raise TrainingError(
                f"the loss is no longer a number in epoch {epoch}: lower the learning rate (it was {settings.rate}) "
                "or look for values of very different size with `gatecast audit`"
            )
        speed = steps * settings.batch / max(lasted, 1e-9)
        stage = "final" if validating is None else "test"
        told.append(Epoch(stage, epoch, epochs, loss, accuracy, *held, schedule.now, speed, schedule.elapsed))
        on_epoch(told[-1])
        if held[0] is None or held[0] < best_loss:
            best, best_loss = epoch, math.inf if held[0] is None else held[0]
            kept = copy.deepcopy(network.state_dict()) if validating is not None else None
        if epoch - best >= settings.patience:
            ended = f"no better validation loss for {settings.patience} epochs"
            break
        if schedule.elapsed >= seconds:
            ended = "the time limit was reached"
            break
    if kept is not None:
        network.load_state_dict(kept)
    return Trained(best, ended, schedule.hurried, tuple(told))


class Schedule:
    """The learning rate of every step: one cycle over all steps.

    Steps alone decide, so that the same seed gives the same weights, until it is clear that they
    will not all be taken within the time; from then on time decides, and the cycle is completed.
    """

    def __init__(self, rate: float, steps: int, seconds: float) -> None:
        self.rate, self.steps, self.seconds = rate, steps, seconds
        self.taken, self.now, self.hurried = 0, rate * FLOOR, False
        self.began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since training began."""
        return time.monotonic() - self.began

    def __call__(self, optimizer: torch.optim.Optimizer) -> None:
        """Set the rate for the next step."""
        share, spent = self.taken / self.steps, self.elapsed / self.seconds
        if spent > LATE and spent > share:
            self.hurried = True
        self.now = self.rate * one_cycle(max(share, spent) if self.hurried else share)
        self.taken += 1
        for group in optimizer.param_groups:
            group["lr"] = self.now


def run_epoch(
    network: Ensemble,
    scaler: Scaler,
    windows: Windows,
    span: Span,
    batches: Iterator[Int[Tensor, "B"]] | tuple[Int[Tensor, "B"], ...],
    metric: Metric,
    optimizer: torch.optim.Optimizer | None = None,
    schedule: Schedule | None = None,
) -> tuple[float, float | None]:
    """Loss and accuracy in percent over some batches of window numbers; weights move only with an optimizer.

    Returns:
        the mean loss of the members over the observed values, and the accuracy of their average, None
        where all truth is zero.
    """
    network.train(optimizer is not None)
    parts = []  # of each batch: loss · values, values, Σ|y - ŷ|, Σ|y|; left on the device until the end
    with torch.set_grad_enabled(optimizer is not None):
        for numbers in batches:
            series, cutoffs = (part.to(windows.device) for part in span.at(numbers))
            inputs, truth = windows.inputs(series, cutoffs), windows.truth(series, cutoffs)
            losses, said = [], []
            for member, (out, unit) in zip(network.members, network.each(inputs, scaler), strict=True):
                loss = loss_of(network.shape, out, unit, inputs, truth, metric)
                if optimizer is not None:  # member by member, so that one graph is held at a time
                    loss.backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(member.parameters(), CLIP, foreach=True)
                losses.append(loss.detach())
                said.append(unit.values(point(network.shape, out.detach())))
            if optimizer is not None and schedule is not None:
                schedule(optimizer)
                optimizer.step()
                optimizer.zero_grad()
            with torch.no_grad():
                loss, points = torch.stack(losses).mean(), together(said)[..., 0]
                wrong, size = (
                    part.abs().masked_fill(~truth.observed, 0).sum() for part in (points - truth.values, truth.values)
                )
                count = truth.observed.sum()
                parts.append(torch.stack([loss * count, count, wrong, size]))
    loss_sum, count, wrong_sum, size_sum = torch.stack(parts).cpu().double().sum(0).tolist()
    return loss_sum / max(count, 1), 100 * (1 - wrong_sum / size_sum) if size_sum else None


def loss_of(
    shape: Shape, out: Float[Tensor, "B H Q"], unit: Unit, inputs: Inputs, truth: Truth, metric: Metric
) -> Float[Tensor, ""]:
    """Quantile loss of a member in its own unit, or squared error of a network that gives one point."""
    target = unit.scaled(truth.values).clamp(-FAR, FAR)
    if not shape.probabilities:
        return squared(out[..., 0], target, truth.observed)
    weights = importance(unit, inputs, metric)
    return pinball(out, target, truth.observed, out.new_tensor(shape.probabilities), weights)


def importance(unit: Unit, inputs: Inputs, metric: Metric) -> Float[Tensor, "B 1"] | None:
    """How much an error of one unit counts in each window, 1 in the mean; None if as much in all.

    Percentage errors count by the share of the level that a unit is, errors in the target's own
    unit by its size. The weights depend on what the forecast may see alone, so that quantiles stay quantiles.
    """
    if metric in ("mase", "quantile"):
        return None
    level = inputs.context.abs().sum(1, keepdim=True) / inputs.observed.sum(1, keepdim=True).clamp(min=1)
    share = unit.scale if unit.small is not None else unit.scale / level.clamp(min=torch.finfo(level.dtype).tiny)
    weights = share if metric in ("mape", "smape") else share * level
    return weights / weights.mean().clamp(min=torch.finfo(level.dtype).tiny)


def mixed(numbers: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
    """The same numbers in an order that has nothing to do with series or time, always the same one."""
    return numbers[torch.randperm(len(numbers), generator=torch.Generator().manual_seed(0))]


def point(shape: Shape, out: Float[Tensor, "B H Q"]) -> Float[Tensor, "B H 1"]:
    """The median, or the only output."""
    middle = shape.probabilities.index(0.5) if shape.probabilities else 0
    return out[..., middle : middle + 1]


def one_cycle(share: float) -> float:
    """Learning rate at a share of training, relative to the highest: a cosine up, a cosine down."""
    share = min(share, 1.0)
    if share < WARM_UP:
        return FLOOR + (1 - FLOOR) * (1 - math.cos(math.pi * share / WARM_UP)) / 2
    return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))) / 2
