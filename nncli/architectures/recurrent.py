"""Recurrent networks: plain, gated (GRU) and with long short-term memory (LSTM)."""

import torch
from torch import Tensor, nn

from nncli.architectures.inputs import fitted
from nncli.architectures.sequences import embedding, pooled
from nncli.architectures.spec import Spec

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


class Recurrent(nn.Module):
    """One recurrent layer; its parameters are those of `torch.nn.RNNCell`, `GRUCell`, `LSTMCell`.

    The steps are a plain loop: the fused kernels of PyTorch have no rules for `torch.func`.

    Args:
        cell: `rnn`, `gru` or `lstm`.
        inputs: Features of a position.
        width: Hidden units.
        act: `tanh` or `relu`, for the plain cell.
    """

    def __init__(self, cell: str, inputs: int, width: int, act: str) -> None:
        super().__init__()
        self.cell, self.width, self.act = cell, width, act
        rows = GATES[cell] * width
        self.weight_ih = nn.Parameter(torch.empty(rows, inputs))
        self.weight_hh = nn.Parameter(torch.empty(rows, width))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))

    def forward(self, x: Tensor) -> Tensor:
        """Map a batch (n, length, inputs) to the hidden states (n, length, width)."""
        hidden = memory = x.new_zeros(x.shape[0], self.width)
        given = x @ self.weight_ih.T + self.bias_ih
        states = []
        for step in given.unbind(dim=1):
            hidden, memory = self.step(step, hidden, memory)
            states.append(hidden)
        return torch.stack(states, dim=1)

    def step(self, given: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One time step: the share of the input (n, gates x width), then hidden and memory."""
        recalled = hidden @ self.weight_hh.T + self.bias_hh
        if self.cell == "lstm":  # Hochreiter & Schmidhuber 1997, with forget gates
            enter, forget, new, leave = (given + recalled).chunk(4, dim=-1)
            memory = forget.sigmoid() * memory + enter.sigmoid() * new.tanh()
            return leave.sigmoid() * memory.tanh(), memory
        if self.cell == "gru":  # Cho et al. 2014, reset applied after the product as in cuDNN
            reset, update, new = given.chunk(3, dim=-1)
            reset_, update_, new_ = recalled.chunk(3, dim=-1)
            keep = (update + update_).sigmoid()
            new = (new + (reset + reset_).sigmoid() * new_).tanh()
            return keep * hidden + (1 - keep) * new, memory
        total = given + recalled
        return (total.relu() if self.act == "relu" else total.tanh()), memory


class RecurrentNetwork(nn.Module):
    """Recurrent layers on top of each other and one linear head.

    Args:
        spec: A spec of family `rnn`.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        widths = [number for _, number in spec.layers]
        inputs = spec.input_shape[-1] if spec.vocabulary is None else widths[0]
        self.embed = nn.Identity() if spec.vocabulary is None else embedding(spec, widths[0])
        self.block = nn.ModuleList(
            Recurrent(spec.cell, before, width, spec.act)
            for before, width in zip([inputs, *widths], widths, strict=False)
        )
        self.head = nn.Linear(widths[-1], spec.outputs)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map a batch to outputs; the arguments and results are those of `Transformer`."""
        x = self.embed(fitted(x, self.spec, self.head.weight.dtype))
        for block in self.block:
            x = block(x)
        mask = None if mask is None else mask.bool()
        outputs: Tensor = self.head(pooled(x, mask, self.spec.pool))
        return outputs
