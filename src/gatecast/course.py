"""The course of a stage of training: all that changes from epoch to epoch, so that it can go back or be resumed.

All random numbers come from generators whose states are part of the course, so a resumed course
runs as if it had never been stopped.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from gatecast.adamw import AdamW
from gatecast.checkpoint import Content, under
from gatecast.data.split import Span
from gatecast.ensemble import Ensemble
from gatecast.errors import RunError, TrainingError, plural
from gatecast.nn.devices import seeded
from gatecast.schedule import Schedule
from gatecast.settings import TrainingSettings

CPU = torch.device("cpu")
SETTLED = 20
"""Batches that the error is averaged over, so that one with outliers is no alarm."""
FAR_OFF = 10.0
"""Training has diverged if the error is this many units, and this many times the first one."""
SETBACKS = 3
"""Times that training goes back before it stops with an error."""
FULL = "allocate memory", "out of memory", "ALLOC_FAILED"
"""What the processor, MPS, and CUDA's libraries say in an error of no kind of its own when there is no memory."""
SLOWER = 0.25
"""Learning rate after going back, as a share of the one before."""


@dataclass(frozen=True)
class Epoch:
    """The result of an epoch; a line of `history.jsonl`. Accuracy is 1 - WAPE in percent."""

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
    setbacks: int = 0  # times the stage has gone back so far


class DivergedError(Exception):
    """Training has diverged; the text says how."""


class Course:
    """Weights, the optimizer's moments, the schedule, random numbers, the best so far, and the epochs so far.

    Attributes:
        choosing: whether to keep the weights that validate best rather than the last ones.
        first: mean error of the first batch in units.
        level: running mean of the errors since.
    """

    def __init__(
        self, network: Ensemble, settings: TrainingSettings, steps: int, seconds: float, choosing: bool = True
    ) -> None:
        self.network, self.rate, self.seconds = network, settings.rate, seconds
        self.synthetic = settings.synthetic or 0
        self.choosing = choosing
        self.optimizer = AdamW(network.networks)
        self.chance = seeded(settings.seed, CPU)
        seeds = torch.randint(2**31, (len(network.networks),), generator=seeded(settings.seed, CPU))
        for member, seed in zip(network.networks, seeds.tolist(), strict=True):
            member.chance = seeded(seed, self.device)
        self.schedule = Schedule(settings.rate, steps, seconds)
        self.history: list[Epoch] = []
        self.best, self.best_loss, self.best_weights = 0, math.inf, dict[str, Tensor]()
        self.first, self.level = math.nan, math.nan
        self.setbacks, self.ended = 0, ""
        self.begin()

    def begin(self) -> None:
        """Remember the state in which an epoch begins."""
        self.optimizer.clear()
        self.good, self.good_place = self._weights(), (self.schedule.taken, self.level)

    @property
    def batches(self) -> int:
        """Batches taken since the epoch began."""
        return self.schedule.taken - self.good_place[0]

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return self.schedule.elapsed >= self.seconds

    def watch(self, *errors: float) -> None:
        """Check the mean errors of some batches, in units.

        Raises:
            DivergedError: one is not finite, or they are far off and far from the first ones.
        """
        for error in errors:
            if not math.isfinite(error):
                raise DivergedError("the loss or its gradient is no longer a number")
            self.first = error if math.isnan(self.first) else self.first
            self.level = self.first if math.isnan(self.level) else self.level
            self.level += (error - self.level) / SETTLED
            if self.level > FAR_OFF * max(self.first, 1):
                raise DivergedError(f"the loss exploded (from {self.first:.3g} units to {self.level:.3g} and more)")

    def draw(self, span: Span, batch: int, steps: int) -> Iterator[Int[Tensor, "B"]]:
        """Window numbers for each batch of an epoch; it ends early when the time is up."""
        for step in range(steps):
            if step and self.late:
                return
            yield span.draw(batch, self.chance)

    def go_back(self, why: DivergedError) -> None:
        """Return to the state in which the epoch began, and continue at a lower rate with other windows.

        Raises:
            TrainingError: it has gone back three times already.
        """
        if self.setbacks == SETBACKS:
            raise TrainingError(
                f"{why} in epoch {len(self.history) + 1}, also after going back {SETBACKS} times to lower rates, "
                f"{self.schedule.rate:g} at last: lower the learning rate (it was {self.rate:g}) "
                "or look for values of very different size with `gatecast audit`"
            )
        self._load(self.good)
        self.schedule.taken, self.level = self.good_place
        self.schedule.rate *= SLOWER
        self.setbacks += 1

    def run_out(self, error: Exception) -> None:
        """End the stage with the result of earlier epochs, because memory ran out within this one.

        Raises:
            TrainingError: there are no earlier epochs.
        """
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not any(sign in str(error) for sign in FULL):
            raise error
        if not self.history:
            raise TrainingError(
                "memory ran out in the first epoch: a smaller --batch, --hidden, --context or --members takes less"
            ) from None
        self._load(self.good)
        self.ended = "memory ran out"

    def end(self, line: Epoch, patience: int) -> None:
        """End an epoch: keep the best weights, and decide whether it was the last."""
        self.history.append(line)
        loss = line.validation_loss if self.choosing else None
        if loss is None:
            self.best = line.epoch
        elif loss < self.best_loss:
            self.best, self.best_loss = line.epoch, loss
            self.best_weights = {name: part.clone() for name, part in self.network.state_dict().items()}
        if line.epoch - self.best >= patience:
            self.ended = f"no better validation loss for {plural(patience, 'epoch')}"
        elif self.late:
            self.ended = "the time limit was reached"
        elif line.epoch == line.epochs:
            self.ended = "all epochs run"

    def over(self) -> bool:
        """Whether the stage has ended."""
        return bool(self.ended)

    def content(self) -> Content:
        """The whole course as a checkpoint."""
        tensors = self._weights() | {f"best.{name}": part for name, part in self.best_weights.items()}
        tensors |= {f"random.{name}": chance.get_state() for name, chance in self._chances().items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type != "cpu":
            tensors["random.device"] = torch.get_device_module(self.device).get_rng_state()
        schedule = self.schedule
        facts = {
            "history": [asdict(line) for line in self.history],
            "best": [self.best, self.best_loss],
            "schedule": [schedule.taken, schedule.rate, schedule.hurried, schedule.elapsed],
            "level": [self.first, self.level],
            "setbacks": self.setbacks,
            "ended": self.ended,
        }
        return tensors, facts

    def resume(self, content: Content | None) -> None:
        """Continue from a checkpoint, if there is one; the time spent before it counts.

        Raises:
            RunError: it is of other networks: the rules that choose them have changed since.
        """
        if content is None:
            return
        tensors, facts = content
        there, here, chances = under("network.", tensors), self.network.state_dict(), self._chances()
        alike = {name: part.shape for name, part in there.items()} == {name: part.shape for name, part in here.items()}
        if not alike or not {f"random.{name}" for name in chances} <= tensors.keys():
            raise RunError(
                "its training was begun by rules that choose other networks from these rows: finish it with the "
                "Gatecast that began it, or start it again without --resume"
            )
        self._load(tensors)
        self.best_weights = {name: part.to(self.device) for name, part in under("best.", tensors).items()}
        for name, chance in chances.items():
            chance.set_state(tensors[f"random.{name}"])
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type != "cpu" and "random.device" in tensors:
            torch.get_device_module(self.device).set_rng_state(tensors["random.device"])
        self.history = [Epoch(**line) for line in facts["history"]]
        self.best, self.best_loss = facts["best"]
        taken, rate, hurried, elapsed = facts["schedule"]
        self.schedule.taken, self.schedule.rate, self.schedule.hurried = taken, rate, hurried
        self.schedule.began -= elapsed
        self.first, self.level = facts["level"]
        self.setbacks, self.ended = facts["setbacks"], facts["ended"]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def _chances(self) -> dict[str, torch.Generator]:
        """What windows are drawn from, and what each member draws from."""
        members = {f"member.{place}": member.chance for place, member in enumerate(self.network.networks)}
        return {"windows": self.chance} | {name: chance for name, chance in members.items() if chance is not None}

    def _weights(self) -> dict[str, Tensor]:
        """Copies of the weights and of the optimizer's moments."""
        parts = {f"network.{name}": part for name, part in self.network.state_dict().items()}
        parts |= {f"optimizer.{name}": part for name, part in self.optimizer.moments().items()}
        return {name: part.detach().clone() for name, part in parts.items()}

    def _load(self, tensors: Mapping[str, Tensor]) -> None:
        self.network.load_state_dict(under("network.", tensors))
        self.optimizer.load(under("optimizer.", tensors))
