"""The LSTM: its equations as a readable cell, and the same weights on torch's fast path.

Hochreiter & Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997, with the
forget gate of Gers, Schmidhuber & Cummins, "Learning to Forget", Neural Computation 12(10),
2000. At each step, with h the hidden and c the cell state:

    i = σ(W_i [h, x] + b_i)      what to write                    (1)
    f = σ(W_f [h, x] + b_f)      what to keep                     (2)
    o = σ(W_o [h, x] + b_o)      what to show                     (3)
    g = tanh(W_g [h, x] + b_g)   the candidate                    (4)
    c ← f ⊙ c + i ⊙ g            the cell state                   (5)
    h ← o ⊙ tanh(c)              the hidden state                 (6)
"""

from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatecast.nn.devices import answers_at_once

FORGET_BIAS = 1.0
"""Forget gates start open, so that gradients reach far back from the first training step on
(Gers et al. 2000, section 3.2; Jozefowicz et al., ICML 2015, section 2.2)."""


FEW = 4
"""Most recurrent steps computed one by one in forecasting: preparing oneDNN's kernel takes as long as some steps."""


class State(NamedTuple):
    """The state a layer carries from step to step."""

    h: Float[Tensor, "B U"]
    c: Float[Tensor, "B U"]


class Gates(NamedTuple):
    """The gates and the candidate of one step."""

    i: Float[Tensor, "B U"]
    f: Float[Tensor, "B U"]
    o: Float[Tensor, "B U"]
    g: Float[Tensor, "B U"]


@dataclass(frozen=True)
class Weights:
    """One layer's weights, G = 4 U rows in torch's order: input, forget, candidate, output."""

    x: Float[Tensor, "G I"]
    h: Float[Tensor, "G U"]
    b: Float[Tensor, "G"]


def cell(x: Float[Tensor, "B I"], state: State, weights: Weights) -> tuple[State, Gates]:
    """One step, equations (1) to (6); `W [h, x]` is split into its two blocks."""
    wi, wf, wg, wo = (x @ weights.x.T + state.h @ weights.h.T + weights.b).chunk(4, -1)
    i = torch.sigmoid(wi)  # (1)
    f = torch.sigmoid(wf)  # (2)
    o = torch.sigmoid(wo)  # (3)
    g = torch.tanh(wg)  # (4)
    c = f * state.c + i * g  # (5)
    h = o * torch.tanh(c)  # (6)
    return State(h, c), Gates(i, f, o, g)


@dataclass(frozen=True)
class Trace:
    """Everything the cells did over L steps; layer K reads the hidden state of layer K - 1."""

    i: Float[Tensor, "K B L U"]
    f: Float[Tensor, "K B L U"]
    o: Float[Tensor, "K B L U"]
    g: Float[Tensor, "K B L U"]
    c: Float[Tensor, "K B L U"]
    h: Float[Tensor, "K B L U"]


class LSTM(nn.Module):
    """Layers of LSTM cells, starting from zero states.

    `forward` runs `torch.nn.LSTM`; `trace` runs `cell` with the same weights and
    keeps every gate.

    Attributes:
        halved: whether training multiplies in bfloat16, half as many bits; weights stay in float32.
    """

    def __init__(self, inputs: int, units: int, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.units, self.layers, self.halved = units, layers, False
        self.fast = nn.LSTM(inputs, units, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        with torch.no_grad():
            for layer in range(layers):
                for name, value in (("ih", FORGET_BIAS), ("hh", 0.0)):  # torch adds its two biases
                    self.fast.get_parameter(f"bias_{name}_l{layer}")[units : 2 * units] = value

    def forward(self, x: Float[Tensor, "B L I"]) -> tuple[Float[Tensor, "B L U"], State]:
        """The last layer's hidden state at every step, and its state after the last one."""
        if x.shape[1] <= FEW and not self.training and not torch.is_grad_enabled() and answers_at_once(x.device):
            return self._stepwise(x)
        halved = self.halved and self.training
        with torch.autocast(x.device.type, torch.bfloat16) if halved else nullcontext():
            zero, weights = x.new_zeros(self.layers, len(x), self.units), chain(*self.fast.all_weights)
            outputs, h, c = torch.lstm(
                x, (zero, zero), [*weights], True, self.layers, self.fast.dropout, self.training, False, True
            )
        return outputs.to(x.dtype), State(h[-1].to(x.dtype), c[-1].to(x.dtype))

    def _stepwise(self, x: Float[Tensor, "B L I"]) -> tuple[Float[Tensor, "B L U"], State]:
        """The same, by torch's cell."""
        for weights in self.fast.all_weights:
            h = c = x.new_zeros(len(x), self.units)
            hidden = []
            for x_t in x.unbind(1):
                h, c = torch.lstm_cell(x_t, (h, c), *weights)
                hidden.append(h)
            x = torch.stack(hidden, 1)
        return x, State(h, c)

    def weights(self, layer: int) -> Weights:
        """The weights of one layer, as the cell takes them."""
        get = self.fast.get_parameter
        bias = get(f"bias_ih_l{layer}") + get(f"bias_hh_l{layer}")
        return Weights(get(f"weight_ih_l{layer}"), get(f"weight_hh_l{layer}"), bias)

    def trace(self, x: Float[Tensor, "B L I"]) -> Trace:
        """Run the readable cell over the steps and record it (no dropout between layers)."""
        seen = []
        for layer in range(self.layers):
            weights = self.weights(layer)
            state = State(*(x.new_zeros(len(x), self.units) for _ in range(2)))
            steps = []
            for x_t in x.unbind(1):
                state, gates = cell(x_t, state, weights)
                steps.append(torch.stack([*gates, state.c, state.h]))
            seen.append(torch.stack(steps, 2))
            x = seen[-1][-1]
        i, f, o, g, c, h = torch.stack(seen, 1)
        return Trace(i, f, o, g, c, h)
