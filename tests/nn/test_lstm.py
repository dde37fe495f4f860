"""The readable cell against torch's own LSTM, against numbers worked out by hand, and its first weights."""

import math

import pytest
import torch
from torch.testing import assert_close

from gatecast.nn.devices import multiplies_halved
from gatecast.nn.lstm import FEW, FORGET_BIAS, LSTM, State, Weights, cell

SIZES = [(1, 1, 1, 1, 2), (3, 4, 1, 2, 5), (2, 7, 2, 3, 9), (5, 3, 3, 4, 6)]
CLOSE = {"rtol": 1e-4, "atol": 1e-6}  # float32 sums in another order


@pytest.fixture(params=SIZES, ids=lambda size: "inputs{}-units{}-layers{}-batch{}-steps{}".format(*size))
def pair(request):
    """An LSTM and something for it to read."""
    inputs, units, layers, batch, steps = request.param
    torch.manual_seed(7)
    return LSTM(inputs, units, layers), torch.randn(batch, steps, inputs)


def test_every_step_and_layer_is_torchs(pair):
    lstm, x = pair
    trace = lstm.trace(x)
    state = None
    for step in range(x.shape[1]):
        shown, state = lstm.fast(x[:, step : step + 1], state)
        assert_close(trace.h[:, :, step], state[0], **CLOSE)
        assert_close(trace.c[:, :, step], state[1], **CLOSE)
        assert_close(trace.h[-1, :, step], shown[:, 0], **CLOSE)


def test_forward_gives_what_the_last_layer_traced(pair):
    lstm, x = pair
    shown, state = lstm(x)
    trace = lstm.trace(x)
    assert_close(shown, trace.h[-1], **CLOSE)
    assert_close(state.h, trace.h[-1, :, -1], **CLOSE)
    assert_close(state.c, trace.c[-1, :, -1], **CLOSE)


def test_gradients_of_weights_and_inputs_agree(pair):
    lstm, x = pair
    wanted = torch.randn(x.shape[0], x.shape[1], lstm.units)
    gradients = []
    for run in (lambda x: lstm(x)[0], lambda x: lstm.trace(x).h[-1]):
        lstm.zero_grad()
        read = x.clone().requires_grad_()
        (run(read) - wanted).square().sum().backward()
        gradients.append({"x": read.grad} | {name: part.grad.clone() for name, part in lstm.named_parameters()})
    assert len(gradients[0]) == 1 + 4 * lstm.layers
    for name, gradient in gradients[0].items():
        assert gradient.abs().max() > 0, name
        assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not multiplies_halved(torch.device("cpu")), reason="the processor has no bf16")
def test_halved_products_are_near_in_training_and_whole_in_forecasts():
    torch.manual_seed(7)
    lstm, x = LSTM(8, 16, 2), torch.randn(4, 12, 8)
    whole = lstm(x)
    lstm.halved = True
    halved = lstm(x)
    for part, near in ((whole[0], halved[0]), (whole[1].h, halved[1].h), (whole[1].c, halved[1].c)):
        assert near.dtype == torch.float32
        assert not torch.equal(part, near)
        assert_close(near, part, rtol=0, atol=0.02)
    halved[0].square().sum().backward()
    assert all(weight.dtype == weight.grad.dtype == torch.float32 for weight in lstm.parameters())
    assert torch.equal(lstm.eval()(x)[0], whole[0])


@pytest.mark.parametrize("steps", [1, 2, FEW, FEW + 1])
@pytest.mark.parametrize("layers", [1, 2])
def test_forecasts_of_few_steps_are_those_of_torch(steps, layers):
    torch.manual_seed(3)
    lstm, x = LSTM(5, 7, layers, dropout=0.5).eval(), torch.randn(6, steps, 5)
    with torch.inference_mode():
        outputs, state = lstm(x)
    expected, (h, c) = lstm.fast(x)
    for found, wanted in ((outputs, expected), (state.h, h[-1]), (state.c, c[-1])):
        assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_one_step_by_hand():
    def sigmoid(value):
        return 1 / (1 + math.exp(-value))

    # One unit, x = 2, h = 0.5, c = -1; rows are input, forget, candidate, output.
    weights = Weights(
        x=torch.tensor([[0.1], [0.2], [0.3], [0.4]]),
        h=torch.tensor([[1.0], [-1.0], [2.0], [-2.0]]),
        b=torch.tensor([0.01, 0.02, 0.03, 0.04]),
    )
    state, gates = cell(torch.tensor([[2.0]]), State(torch.tensor([[0.5]]), torch.tensor([[-1.0]])), weights)
    i, f, g, o = (
        sigmoid(0.2 + 0.5 + 0.01),
        sigmoid(0.4 - 0.5 + 0.02),
        math.tanh(0.6 + 1 + 0.03),
        sigmoid(0.8 - 1 + 0.04),
    )
    c = f * -1 + i * g
    found = [gates.i, gates.f, gates.g, gates.o, state.c, state.h]
    assert [part.item() for part in found] == pytest.approx([i, f, g, o, c, o * math.tanh(c)], rel=1e-6)


def test_shut_gates_keep_or_drop_the_cell_state():
    state = State(torch.tensor([[0.3]]), torch.tensor([[5.0]]))
    nothing = torch.zeros(4, 1)
    keep = Weights(nothing, nothing, torch.tensor([-40.0, 40.0, 0.0, 40.0]))
    drop = Weights(nothing, nothing, torch.tensor([-40.0, -40.0, 0.0, 40.0]))
    assert cell(torch.tensor([[9.0]]), state, keep)[0].c.item() == pytest.approx(5.0)
    assert cell(torch.tensor([[9.0]]), state, drop)[0].c.item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_forget_gates_start_open_and_nothing_else_is_touched(layers):
    units = 4
    torch.manual_seed(3)
    lstm = LSTM(3, units, layers)
    torch.manual_seed(3)
    plain = torch.nn.LSTM(3, units, layers, batch_first=True)
    forget = slice(units, 2 * units)
    for layer in range(layers):
        assert lstm.weights(layer).b[forget].tolist() == [FORGET_BIAS] * units == [1.0] * units
        for name in (f"bias_ih_l{layer}", f"bias_hh_l{layer}"):
            ours, torchs = lstm.fast.get_parameter(name).clone(), plain.get_parameter(name).clone()
            ours[forget] = torchs[forget] = 0
            assert torch.equal(ours, torchs)
        for name in (f"weight_ih_l{layer}", f"weight_hh_l{layer}"):
            assert torch.equal(lstm.fast.get_parameter(name), plain.get_parameter(name))


def test_gates_lie_within_their_range():
    torch.manual_seed(5)
    lstm = LSTM(2, 6, 2)
    trace = lstm.trace(3 * torch.randn(4, 20, 2))
    for gate in (trace.i, trace.f, trace.o):
        assert 0 < gate.min() < gate.max() < 1
    assert -1 < trace.g.min() < 0 < trace.g.max() < 1
    assert trace.h.abs().max() < 1


def test_layers_drop_only_between_them_and_only_in_training():
    assert LSTM(2, 3, 1, dropout=0.5).fast.dropout == 0
    lstm = LSTM(2, 3, 2, dropout=0.5)
    x = torch.randn(2, 4, 2)
    assert not torch.equal(lstm(x)[0], lstm(x)[0])
    lstm.eval()
    assert_close(lstm(x)[0], lstm.trace(x).h[-1], **CLOSE)
