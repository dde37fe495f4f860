"""The training loop: one epoch function for training and validation; the best weights are kept."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gatecast.checkpoint import NOWHERE, Checkpoints
from gatecast.course import Course, DivergedError, Epoch
from gatecast.data.scaling import Scaler
from gatecast.data.split import Span
from gatecast.data.synthetic import with_synthetic
from gatecast.data.windows import Inputs, Truth, Windows, split_rows
from gatecast.ensemble import Ensemble, Reading, together
from gatecast.heap import memory_kept
from gatecast.nn.devices import answers_at_once, moved
from gatecast.nn.masks import only
from gatecast.nn.network import Network, Shape
from gatecast.objective import Objective, goal
from gatecast.settings import TrainingSettings

OVERFITTED = 0.05
"""Training overfits if the validation loss ends more than this share above its best."""
CHOOSABLE = 10
"""Windows without overlap that validation needs: among fewer the best epoch is a matter of luck, and the
last weights are kept."""
VALIDATION, VALIDATION_BATCH = 2_048, 256
"""Most windows a validation, and windows at once."""
NUMBERS = 500_000
"""Numbers in batches that are prepared together, two megabytes: as many as a processor keeps at hand."""

OnEpoch = Callable[[Epoch], None]
Done = tuple[Float[Tensor, ""], Int[Tensor, ""], tuple[Float[Tensor, "B H 1"], ...]]
"""Loss of a batch, its observed values, and the scaled point of each member."""


@dataclass(frozen=True)
class Trained:
    """How training went.

    Attributes:
        best: the epoch whose weights were kept.
        hurried: whether time was short, so that the schedule followed the clock.
        steps: how many were taken, of how many in the schedule.
    """

    best: int
    ended: str
    hurried: bool
    epochs: tuple[Epoch, ...]
    steps: tuple[int, int]

    @property
    def refit_epochs(self) -> int:
        """How long to train on all rows, where nothing validates: the whole schedule, unless its end overfits.

        The epoch that validated best was not at the low rates at which a schedule ends, and says little of how long
        another should be.
        """
        last, best = self.epochs[-1], self.epochs[self.best - 1]
        assert last.validation_loss is not None
        assert best.validation_loss is not None
        return last.epochs if last.validation_loss <= (1 + OVERFITTED) * best.validation_loss else self.best


@memory_kept()
def train(
    network: Ensemble,
    scaler: Scaler,
    windows: Windows,
    training: Span,
    validating: Span | None,
    settings: TrainingSettings,
    objective: Objective,
    *,
    epochs: int,
    seconds: float,
    on_epoch: OnEpoch,
    checkpoints: Checkpoints = NOWHERE,
) -> Trained:
    """Train all members at once, on the same windows; they end with the weights that validated best.

    Args:
        training: windows to learn from.
        validating: windows to choose the best epoch by; None keeps the last.
        epochs: length of the schedule.
        seconds: time at which the schedule has run through, whatever the epoch.
        checkpoints: where the course is saved after an epoch, and resumed from.

    Raises:
        TrainingError: the loss diverges again and again, or there is no memory for the first epoch.
    """
    stage = "final" if validating is None else "test"
    assert settings.batch
    assert settings.steps
    choosing = validating is not None and validating.apart(windows.horizon) >= CHOOSABLE
    course = Course(network, settings, settings.steps * epochs, seconds, choosing)
    course.resume(checkpoints.newest(stage))
    held_back = torch.split(mixed(validating.spread(VALIDATION)), VALIDATION_BATCH) if validating is not None else ()
    while not course.over():
        course.begin()
        epoch, began = len(course.history) + 1, time.monotonic()
        held: tuple[float | None, float | None] = (None, None)
        drawn = course.draw(training, settings.batch, settings.steps)
        try:
            found = run_epoch(network, scaler, windows, training, drawn, objective, course)
            lasted = time.monotonic() - began
            if validating is not None:
                held = run_epoch(network, scaler, windows, validating, held_back, objective)
        except DivergedError as error:
            course.go_back(error)
            continue
        except (MemoryError, RuntimeError) as error:
            course.run_out(error)
            continue
        schedule, speed = course.schedule, course.batches * settings.batch / max(lasted, 1e-9)
        line = Epoch(stage, epoch, epochs, *found, *held, schedule.now, speed, schedule.elapsed, course.setbacks)
        course.end(line, settings.patience)
        on_epoch(line)
        if course.over() or checkpoints.due:
            checkpoints.write(stage, epoch, *course.content())
    if course.best_weights:
        network.load_state_dict(course.best_weights)
    course.optimizer.clear_unmoved()
    schedule = course.schedule
    return Trained(course.best, course.ended, schedule.hurried, tuple(course.history), (schedule.taken, schedule.steps))


def run_epoch(
    network: Ensemble,
    scaler: Scaler,
    windows: Windows,
    span: Span,
    batches: Iterable[Int[Tensor, "B"]],
    objective: Objective,
    course: Course | None = None,
) -> tuple[float, float | None]:
    """Loss and accuracy in percent over some batches of window numbers; weights move only on a course.

    Returns:
        the mean loss of the members over the observed values, and the accuracy of their average, None
        where all truth is zero.

    Raises:
        DivergedError: see `Course.watch`; raised before the weights move, or after the last batch on a
            device that would have to be waited for.
    """
    learns = course is not None
    network.train(learns)
    in_turn = learns and any(member.shape.draws for member in network.networks)
    at_once = answers_at_once(windows.device) and not in_turn
    sums, errors = [], []  # left on the device until the end
    with torch.set_grad_enabled(learns):
        for sizes, group in prepared(network, scaler, windows, span, batches, course, at_once=at_once):
            done: list[Done] = []
            for inputs, truth, readings in split_rows(group, sizes):
                if done and course is not None and course.late:
                    break
                do = partial(judged, inputs, objective, learns)
                losses, points = zip(*network.each(readings, do, at_once=at_once), strict=True)
                loss = sum(losses[1:], losses[0]) / len(losses)
                error = loss if network.shape.probabilities else loss.sqrt()
                errors.append(error if course is None else move(course, error))
                done.append((loss, truth.observed.sum(), points))
            sums.append(summed(network, done, *group[1:], course.synthetic if course else 0))
    if course is not None and not answers_at_once(windows.device):
        course.watch(*torch.stack(errors).tolist())
    loss_sum, count, wrong_sum, size_sum = torch.stack(sums).cpu().double().sum(0).tolist()
    if not math.isfinite(loss_sum):
        raise DivergedError("the loss is no longer a number")
    return loss_sum / max(count, 1), 100 * (1 - wrong_sum / size_sum) if size_sum else None


def prepared(
    network: Ensemble,
    scaler: Scaler,
    windows: Windows,
    span: Span,
    batches: Iterable[Int[Tensor, "B"]],
    course: Course | None,
    *,
    at_once: bool,
) -> Iterator[tuple[list[int], tuple[Inputs, Truth, tuple[Reading, ...]]]]:
    """Batches, ready for the members. Several are made together: of few numbers an operation takes as long.

    Yields:
        the size of each batch, and their windows end to end.
    """
    shape, batches = network.shape, iter(batches)
    for first in batches:
        more = NUMBERS // (len(first) * (shape.context + shape.horizon) * (1 + shape.features))
        group = [first, *islice(batches, max(more, 1) - 1)]
        series, cutoffs = (moved(part, windows.device) for part in span.at(torch.cat(group)))
        inputs, truth = windows.inputs(series, cutoffs), windows.truth(series, cutoffs)
        if course is not None and course.synthetic:
            kind = (shape.seasons, shape.intermittent)
            inputs, truth = with_synthetic(inputs, truth, course.synthetic, *kind, course.chance, len(group))
        read = network.read(inputs, scaler, at_once=at_once)
        readings = tuple(replace(one, goal=goal(truth, one.unit)) for one in read)
        yield [len(numbers) for numbers in group], (inputs, truth, readings)


def judged(
    inputs: Inputs, objective: Objective, learns: bool, member: Network, out: Float[Tensor, "B H Q"], reading: Reading
) -> tuple[Float[Tensor, ""], Float[Tensor, "B H 1"]]:
    """Loss and scaled point of a member; where it learns, its gradients are added, and its graph is let go."""
    assert reading.goal is not None
    loss = objective.loss(member.shape, out, reading.unit, inputs, reading.goal)
    if learns:
        loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach(), point(member.shape, out.detach()).clone()


@torch.no_grad()
def summed(
    network: Ensemble, done: Sequence[Done], truth: Truth, readings: tuple[Reading, ...], synthetic: int
) -> Float[Tensor, "4"]:
    """Of the batches done: loss · observed values, these, and Σ|y - ŷ| and Σ|y| of the table's own windows."""
    losses, counts, said = zip(*done, strict=True)
    scaled = [torch.cat(parts) for parts in zip(*said, strict=True)]
    count = len(scaled[0])
    (truth, readings), _ = split_rows((truth, readings), [count, len(truth.values) - count])
    units = [reading.unit for reading in network.of_each(readings)]
    points = together([unit.values(part) for unit, part in zip(units, scaled, strict=True)])[..., 0]
    values, own = truth.values, truth.observed
    if synthetic:
        own = own.clone()
        own.view(len(done), -1, own.shape[1])[:, :synthetic] = False
    wrong, size = (only(part.abs(), own).sum() for part in (points - values, values))
    seen = torch.stack(counts).to(wrong.dtype)
    return torch.stack([torch.stack(losses) @ seen, seen.sum(), wrong, size])


def move(course: Course, error: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Take one step against the gradients.

    Returns:
        the error, NaN where a gradient is none.
    """
    error = error + 0 * course.optimizer.clip()
    if answers_at_once(error.device):
        course.watch(float(error))
    course.optimizer.step(course.schedule())
    course.optimizer.clear()
    return error


def mixed(numbers: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
    """The same numbers in an order that has nothing to do with series or time, always the same one."""
    return numbers[torch.randperm(len(numbers), generator=torch.Generator().manual_seed(0))]


def point(shape: Shape, out: Float[Tensor, "B H Q"]) -> Float[Tensor, "B H 1"]:
    """The median, or the only output."""
    middle = shape.probabilities.index(0.5) if shape.probabilities else 0
    return out[..., middle : middle + 1]
