"""Initial weights: the usual schemes, drawn from one generator that is handed down.

With `fan_in` and `fan_out` the numbers of inputs and outputs of a unit:

| scheme | weights | biases |
|---|---|---|
| default | uniform on ±1/√fan_in, as PyTorch does | the same |
| he | normal, variance 2/fan_in (He et al. 2015) | 0 |
| glorot | normal, variance 2/(fan_in + fan_out) (Glorot & Bengio 2010) | 0 |
| lecun | normal, variance 1/fan_in (LeCun et al. 1998) | 0 |
| orthogonal | orthonormal rows or columns (Saxe et al. 2014) | 0 |
| normal | normal, standard deviation 0.02 (Radford et al. 2018) | 0 |
| zero | 0 | 0 |

Tables of token and position embeddings are normal with variance 1/width (`normal`: 0.02²).
Everything random is multiplied by `gain`. Scales and shifts of norms are always 1 and 0.
"""

import math

import torch
from torch import Tensor, nn

from nncli.architectures.recurrent import GATES, Recurrent
from nncli.architectures.transformer import Transformer

NORMAL = 0.02


@torch.no_grad()
def initialise(network: nn.Module, scheme: str, *, gain: float, generator: torch.Generator) -> None:
    """Set every parameter and buffer of a network built from a spec.

    Args:
        network: The network; its tensors may hold anything before.
        scheme: A scheme of the table above.
        gain: Factor on everything random.
        generator: The only source of randomness, on the CPU.

    Raises:
        TypeError: A module of the network is of no kind that is known here.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            fill(module.weight, scheme, gain=gain, generator=generator)
            bias(module.bias, module.weight[0].numel(), scheme, gain=gain, generator=generator)
        elif isinstance(module, nn.Embedding):
            table(module.weight, scheme, gain=gain, generator=generator)
        elif isinstance(module, Transformer):
            table(module.position, scheme, gain=gain, generator=generator)
        elif isinstance(module, Recurrent):
            recurrent(module, scheme, gain=gain, generator=generator)
        elif isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()  # ones and zeros; nothing random
        elif list(module.parameters(recurse=False)):
            raise TypeError(f"no initial weights are known for {type(module).__name__}")


def fill(weight: Tensor | None, scheme: str, *, gain: float, generator: torch.Generator) -> None:
    """Draw a weight (outputs, inputs, ...) in place."""
    if weight is None:
        return
    fan_in = weight[0].numel()
    fan_out = weight.shape[0] * weight[0][0].numel()
    deviations = {
        "he": math.sqrt(2 / fan_in),
        "glorot": math.sqrt(2 / (fan_in + fan_out)),
        "lecun": math.sqrt(1 / fan_in),
        "normal": NORMAL,
    }
    if scheme == "zero":
        weight.zero_()
    elif scheme == "default":
        bound = gain / math.sqrt(fan_in)
        weight.uniform_(-bound, bound, generator=generator)
    elif scheme == "orthogonal":
        nn.init.orthogonal_(weight, gain=gain, generator=generator)
    else:
        weight.normal_(0, gain * deviations[scheme], generator=generator)


def bias(
    values: Tensor | None, fan_in: int, scheme: str, *, gain: float, generator: torch.Generator
) -> None:
    """Draw a bias in place: zeros, except under the default scheme."""
    if values is None:
        return
    if scheme == "default":
        bound = gain / math.sqrt(fan_in)
        values.uniform_(-bound, bound, generator=generator)
    else:
        values.zero_()


def table(weight: Tensor, scheme: str, *, gain: float, generator: torch.Generator) -> None:
    """Draw an embedding table (entries, width) in place; each entry has length about 1."""
    if scheme == "zero":
        weight.zero_()
    else:
        deviation = NORMAL if scheme == "normal" else 1 / math.sqrt(weight.shape[1])
        weight.normal_(0, gain * deviation, generator=generator)


def recurrent(module: Recurrent, scheme: str, *, gain: float, generator: torch.Generator) -> None:
    """Draw a recurrent layer in place, gate by gate, so that each gate follows the scheme."""
    for weight, values in (
        (module.weight_ih, module.bias_ih),
        (module.weight_hh, module.bias_hh),
    ):
        for gate in weight.chunk(GATES[module.cell]):
            if scheme == "default":  # PyTorch: by the width, also for the inputs
                bound = gain / math.sqrt(module.width)
                gate.uniform_(-bound, bound, generator=generator)
            else:
                fill(gate, scheme, gain=gain, generator=generator)
        bias(values, module.width, scheme, gain=gain, generator=generator)
