"""The training loop: its schedule, its one epoch function, what it keeps and when it stops."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from gatecast import ensemble, objective, training
from gatecast import schedule as module
from gatecast.course import Course, Epoch
from gatecast.data.encoding import Encoder
from gatecast.data.scaling import Scaler
from gatecast.data.split import split
from gatecast.data.windows import Windows
from gatecast.ensemble import Ensemble
from gatecast.errors import TrainingError
from gatecast.nn.network import Network, Shape
from gatecast.objective import Objective
from gatecast.schedule import one_cycle
from gatecast.settings import TrainingSettings
from gatecast.training import Trained, mixed, run_epoch, train

HORIZON, LONG = 6, 1e9  # steps, and seconds that never run out
SHAPE = {
    "context": 24,
    "reach": 24,
    "horizon": HORIZON,
    "segment": 6,
    "dates": 2,
    "seasons": (),
    "hidden": 16,
    "layers": 1,
}
SCALER, MASE = Scaler("window"), Objective("mase")


class Bench:
    """A panel, ready to train a small network on."""

    def __init__(self, panel, probabilities=(0.1, 0.5, 0.9), dropout=0.1):
        torch.manual_seed(1)
        self.network = Ensemble([Network(Shape(**SHAPE, probabilities=probabilities, dropout=dropout, skip=True))])
        self.windows = Windows.of(panel, Encoder(("day",)), 24, HORIZON, torch.device("cpu"))
        parts = split(panel, HORIZON, 0.15)
        self.training, self.validating = parts.training(HORIZON), parts.validating(HORIZON)
        self.history, self.snapshots = [], []

    def train(self, epochs=4, seconds=LONG, validate=True, **settings):
        settings = TrainingSettings(**{"steps": 15, "batch": 16, "rate": 0.01, "patience": 99} | settings)
        torch.manual_seed(settings.seed)
        held = self.validating if validate else None
        return train(
            self.network, SCALER, self.windows, self.training, held, settings, MASE,
            epochs=epochs, seconds=seconds, on_epoch=self.note,
        )  # fmt: skip

    def note(self, line):
        self.history.append(line)
        self.snapshots.append(self.weights())

    def loss(self, span, batch=64):
        """Loss and accuracy of the network as it is, over all windows of a span."""
        return run_epoch(self.network, SCALER, self.windows, span, torch.arange(len(span)).split(batch), MASE)

    def weights(self):
        return {name: part.clone() for name, part in self.network.state_dict().items()}


@pytest.fixture
def waves(make_panel):
    """Two daily waves with a little noise and some values missing."""
    rng, steps = np.random.default_rng(0), np.arange(400)
    series = [level + 3 * np.sin(2 * np.pi * steps / 24) + rng.normal(0, 0.2, 400) for level in (10, 50)]
    series[1][rng.choice(np.arange(1, 399), 20)] = np.nan
    return make_panel(*series)


@pytest.fixture
def noise(make_panel):
    """Nothing that can be learned."""
    return make_panel(np.random.default_rng(0).normal(0, 1, 120))


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("together", [1, 10_000, 1_000_000])  # one batch, some of an epoch, an epoch and more
def test_batches_made_together_are_those_made_one_by_one(waves, together, monkeypatch):
    expected, found = Bench(waves), Bench(waves)
    monkeypatch.setattr(training, "NUMBERS", 0)
    expected.train(epochs=2)
    monkeypatch.setattr(training, "NUMBERS", together)
    found.train(epochs=2)
    for name, part in found.weights().items():
        torch.testing.assert_close(part, expected.weights()[name], rtol=1e-4, atol=1e-5)
    assert found.history[-1].train_loss == pytest.approx(expected.history[-1].train_loss, rel=1e-4)


def test_every_step_of_training_follows_the_cycle(waves):
    bench = Bench(waves)
    trained = bench.train(epochs=5, steps=4, rate=0.02)
    assert [line.learning_rate for line in bench.history] == pytest.approx(
        [0.02 * one_cycle((4 * epoch - 1) / 20) for epoch in range(1, 6)]
    )
    assert not trained.hurried


def test_an_epoch_without_an_optimizer_moves_no_weight(waves):
    bench = Bench(waves)
    before = bench.weights()
    first = bench.loss(bench.training)
    assert bench.loss(bench.training) == first  # no dropout either
    assert same(before, bench.weights())
    assert not bench.network.training
    assert all(part.grad is None for part in bench.network.parameters())


@pytest.mark.parametrize(("rows", "batch"), [("waves", 1), ("noise", 5)])  # missing values; batches of unequal size
def test_an_epochs_loss_and_accuracy_are_those_of_its_windows(rows, batch, request):
    bench = Bench(request.getfixturevalue(rows), probabilities=(0.5,))
    bench.train(epochs=1)
    losses, wrong, size = [], 0.0, 0.0  # every observed value counts the same
    for number in range(len(bench.validating)):
        series, cutoffs = bench.validating.at(torch.tensor([number]))
        inputs, truth = bench.windows.inputs(series, cutoffs), bench.windows.truth(series, cutoffs)
        with torch.no_grad():
            point = bench.network.eval()(inputs, SCALER)[..., 0]
        seen = truth.observed[0]
        error = (point - truth.values).abs()[0, seen]
        scale = SCALER(inputs.context, inputs.observed, series).scale
        losses += (error / scale[0]).tolist()  # the quantile loss of the median alone
        wrong, size = wrong + error.sum().item(), size + truth.values[0, seen].abs().sum().item()
    assert batch == 1 or len(bench.validating) % batch
    loss, accuracy = bench.loss(bench.validating, batch)
    assert loss == pytest.approx(np.mean(losses), rel=1e-4)
    assert accuracy == pytest.approx(100 * (1 - wrong / size), rel=1e-4)


@pytest.mark.parametrize("probabilities", [(0.1, 0.5, 0.9), ()])
def test_training_learns_a_wave(waves, probabilities):
    bench = Bench(waves, probabilities)
    untrained, _ = bench.loss(bench.validating)
    trained = bench.train(epochs=8, steps=30)
    loss, accuracy = bench.loss(bench.validating)
    assert loss < untrained / 3
    assert accuracy > 95
    assert bench.history[-1].train_loss < bench.history[0].train_loss / 2
    assert trained.ended == "all epochs run"
    assert trained.epochs == tuple(bench.history)
    assert [line.epoch for line in bench.history] == list(range(1, 9))


def test_the_same_seed_gives_the_same_weights(waves):
    first, again, other = Bench(waves), Bench(waves), Bench(waves)
    assert same(first.weights(), other.weights())
    for bench, seed in ((first, 3), (again, 3), (other, 4)):
        bench.train(epochs=2, seed=seed)
    assert same(first.weights(), again.weights())
    assert not same(first.weights(), other.weights())
    assert [line.train_loss for line in first.history] == [line.train_loss for line in again.history]


def test_the_time_limit_ends_training(waves):
    bench = Bench(waves)
    trained = bench.train(epochs=50, seconds=1e-6)
    assert (len(trained.epochs), len(bench.history), trained.hurried) == (1, 1, True)
    assert "time limit" in trained.ended


@pytest.fixture
def choosable(monkeypatch):
    """Validation chooses however little it holds."""
    monkeypatch.setattr(training, "CHOOSABLE", 1)


@pytest.mark.usefixtures("choosable")
def test_the_best_weights_are_kept(noise):
    bench = Bench(noise, dropout=0.0)
    trained = bench.train(epochs=12, rate=0.02)
    losses = [line.validation_loss for line in bench.history]
    assert trained.best == 1 + int(np.argmin(losses)) < len(losses)  # noise is soon learned by heart
    numbers = bench.validating.spread(training.VALIDATION)
    kept, _ = run_epoch(bench.network, SCALER, bench.windows, bench.validating, numbers.split(256), MASE)
    assert kept == pytest.approx(min(losses), rel=1e-6)
    assert same(bench.weights(), bench.snapshots[trained.best - 1])
    assert {line.stage for line in bench.history} == {"test"}


@pytest.mark.usefixtures("choosable")
def test_patience_ends_training(noise):
    bench = Bench(noise, dropout=0.0)
    trained = bench.train(epochs=60, rate=0.02, patience=3)
    assert len(trained.epochs) == trained.best + 3 < 60
    assert "3 epochs" in trained.ended


def test_what_validates_best_of_few_windows_is_chance_and_the_last_weights_are_kept(noise):
    bench = Bench(noise, dropout=0.0)
    assert bench.validating.apart(HORIZON) < training.CHOOSABLE
    trained = bench.train(epochs=12, rate=0.02, patience=1)
    losses = [line.validation_loss for line in bench.history]
    assert (trained.best, len(losses)) == (12, 12)
    assert np.argmin(losses) + 1 < 12  # all the same, they are told
    assert same(bench.weights(), bench.snapshots[-1])


def test_without_validation_the_last_weights_are_kept(noise):
    bench = Bench(noise)
    trained = bench.train(epochs=3, validate=False, patience=1)
    assert (trained.best, len(trained.epochs)) == (3, 3)
    assert {(line.stage, line.validation_loss) for line in bench.history} == {("final", None)}
    assert same(bench.weights(), bench.snapshots[-1])
    assert not same(bench.weights(), bench.snapshots[0])


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_training_after_going_back_three_times(waves, monkeypatch, broken):
    bench, whole, calls = Bench(waves), objective.pinball, []

    def pinball(*parts):
        calls.append(1)
        return whole(*parts) * (broken if len(calls) > 15 + VALIDATIONS + 3 else 1)

    monkeypatch.setattr(objective, "pinball", pinball)
    told = r"no longer a number in epoch 2, also after going back 3 times to lower rates, 0.000156.* \(it was 0.01\) or"
    with pytest.raises(TrainingError, match=told):
        bench.train()
    assert len(calls) == 15 + VALIDATIONS + 3 + 4  # found in the very step
    assert len(bench.history) == 1
    assert same(bench.weights(), bench.snapshots[0])  # no broken step was ever taken


VALIDATIONS = 1  # batches a validation


@pytest.fixture
def returns(monkeypatch):
    """The weights, and the steps that the optimizer took, each time after training went back."""
    seen, whole = [], Course.go_back

    def go_back(course, why):
        whole(course, why)
        steps = {int(taken) for taken in course.optimizer.taken}
        seen.append(({k: v.clone() for k, v in course.network.state_dict().items()}, steps))

    monkeypatch.setattr(Course, "go_back", go_back)
    return seen


@pytest.mark.parametrize("where", ["loss", "gradient", "a loss on a device that is not asked at each step"])
def test_a_poisoned_batch_costs_one_epoch_and_lowers_the_rate(waves, monkeypatch, returns, where):
    bench, calls = Bench(waves), []
    poisoned = 15 + 7  # a step of the second epoch

    def poison(part):
        calls.append(1)
        return part * (math.nan if len(calls) == poisoned else 1)

    whole = Objective.loss
    if where == "gradient":
        next(bench.network.parameters()).register_hook(poison)
    else:
        learning = torch.is_grad_enabled
        monkeypatch.setattr(Objective, "loss", lambda *of: poison(whole(*of)) if learning() else whole(*of))
    if where == "a loss on a device that is not asked at each step":
        monkeypatch.setattr(training, "answers_at_once", lambda device: False)
    trained = bench.train(epochs=4)
    assert [line.setbacks for line in bench.history] == [0, 1, 1, 1]
    assert [line.epoch for line in bench.history] == [1, 2, 3, 4]
    rates = [0.01 * share * one_cycle((15 * epoch - 1) / 60) for epoch, share in enumerate((1, 0.25, 0.25, 0.25), 1)]
    assert [line.learning_rate for line in bench.history] == pytest.approx(rates)
    ((weights, taken),) = returns
    assert same(weights, bench.snapshots[0])
    assert taken == {15}
    assert len(calls) == 15 * 4 + (15 if "not asked" in where else 7)  # else found in that very step
    assert trained.ended == "all epochs run"
    assert bench.history[-1].validation_loss < bench.history[0].validation_loss


@pytest.mark.parametrize("rate", [20.0, 40.0, 100.0])
def test_a_loss_that_explodes_is_gone_back_from_until_training_learns(waves, rate, returns):
    bench = Bench(waves)
    untrained, _ = bench.loss(bench.validating)
    bench.train(epochs=8, rate=rate)
    assert 1 <= bench.history[-1].setbacks == len(returns) <= 3
    assert bench.loss(bench.validating)[0] < untrained


def test_wild_rows_do_not_count_as_an_explosion(make_panel):
    rng = np.random.default_rng(0)
    jumps = [np.cumsum(np.where(rng.random(300) < 0.01, rng.normal(0, 1e6, 300), 0)) for _ in range(8)]
    spikes = [np.where(rng.random(300) < 0.01, rng.lognormal(5, 5, 300), 0) for _ in range(8)]
    bench = Bench(make_panel(*jumps, *spikes))
    bench.train(epochs=4, batch=2, steps=60)
    assert max(line.train_loss for line in bench.history) > 1
    assert bench.history[-1].setbacks == 0


def test_far_too_high_a_learning_rate_is_told(waves):
    with pytest.raises(TrainingError, match=r"exploded|no longer a number.*lower the learning rate \(it was 1e\+30\)"):
        Bench(waves).train(epochs=5, rate=1e30)


def test_the_time_limit_ends_an_epoch_of_many_steps(waves, monkeypatch):
    now, whole = [0.0], training.move
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def move(*parts):
        now[0] += 1.0  # seconds a step
        return whole(*parts)

    monkeypatch.setattr(training, "move", move)
    for validate in (True, False):
        bench, began = Bench(waves), now[0]
        trained = bench.train(epochs=3, steps=1_000, seconds=20, validate=validate)
        assert now[0] - began == 20
        assert (trained.ended, trained.best, len(trained.epochs)) == ("the time limit was reached", 1, 1)
        assert trained.epochs[0].learning_rate == pytest.approx(0.01 * one_cycle(1))  # run through


def test_members_are_trained_side_by_side(waves):
    """Each as if alone: neither the loss nor the clipping of one touches another."""
    shape = Shape(**SHAPE, probabilities=(0.1, 0.5, 0.9), dropout=0.0, skip=True)
    both, alone = Bench(waves), Bench(waves)
    short = replace(shape, reach=12)
    both.network, alone.network = Ensemble([Network(shape), Network(short)]), Ensemble([Network(short)])
    alone.network.members[0].load_state_dict(both.network.members[1].state_dict())
    for bench in (both, alone):
        bench.train(epochs=2)
    trained = both.network.members[1].state_dict()
    assert all(
        torch.allclose(part, trained[name], atol=1e-5) for name, part in alone.network.members[0].state_dict().items()
    )


def bench_of_four(waves, **given):
    """Four members, two of which read in one unit."""
    shape, bench = Shape(**SHAPE | given, probabilities=(0.1, 0.5, 0.9), dropout=0.2, skip=True), Bench(waves)
    torch.manual_seed(3)
    bench.network = Ensemble(Network(replace(shape, reach=reach)) for reach in (24, 18, 24, 12))
    return bench


def test_on_any_number_of_threads_the_very_same_is_learned(waves, threads):
    learned = []
    for count in (1, 2, 3):
        threads(count)
        bench = bench_of_four(waves)
        bench.train(epochs=2)
        learned.append((bench.weights(), [(line.train_loss, line.validation_loss) for line in bench.history]))
    assert all(same(weights, learned[0][0]) for weights, _ in learned)
    assert all(losses == learned[0][1] for _, losses in learned)


@pytest.mark.parametrize("layers", [1, 2])
def test_members_take_turns_in_training_where_torch_draws_for_them(waves, monkeypatch, layers):
    learning = []

    def noted(tasks, **_):
        learning.append(torch.is_grad_enabled())
        return [task() for task in tasks]

    monkeypatch.setattr(ensemble, "side_by_side", noted)
    bench_of_four(waves, layers=layers).train(epochs=1)
    assert set(learning) == ({False} if layers > 1 else {False, True})


def test_each_member_drops_other_features_and_the_seed_decides_which(waves):
    one, again, other = (bench_of_four(waves) for _ in range(3))
    members = one.network.networks
    members[2].load_state_dict(members[0].state_dict())
    for bench, seed in ((one, 1), (again, 1), (other, 2)):
        Course(bench.network, TrainingSettings(seed=seed, rate=0.01), 1, LONG)
    x = torch.ones(50, 8)
    drawn = [bench.network.networks[0].train().dropped(x) for bench in (one, again, other)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], members[2].train().dropped(x))
    assert set(drawn[0].unique().tolist()) == {0.0, 1.25}
    assert float((drawn[0] == 0).float().mean()) == pytest.approx(0.2, abs=0.06)
    assert torch.equal(members[0].eval().dropped(x), x)


def test_validation_windows_are_mixed_the_same_way_every_time():
    numbers = torch.arange(100)
    assert not torch.equal(mixed(numbers), numbers)
    assert torch.equal(mixed(numbers), mixed(numbers))
    assert torch.equal(mixed(numbers).sort().values, numbers)


@pytest.mark.parametrize(("losses", "again"), [((3, 1, 1.05), 6), ((3, 1, 1.06), 2), ((3, 2, 1), 6)])
def test_all_rows_are_trained_on_for_the_whole_schedule_unless_its_end_overfits(losses, again):
    epochs = tuple(Epoch("test", i, 6, 1.0, None, float(loss), None, 0.1, 1.0, 1.0) for i, loss in enumerate(losses, 1))
    trained = Trained(1 + losses.index(min(losses)), "the time limit was reached", False, epochs, (9, 9))
    assert trained.refit_epochs == again
