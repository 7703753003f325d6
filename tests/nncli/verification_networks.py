"""Random networks that several tests of verification ask about."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from nncli.verification.maps import Dense
from nncli.verification.network import Activation, Network, Sum


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def chain(
    sizes: Sequence[int],
    seed: int,
    functions: Sequence[str] = ("relu",),
    *,
    scale: float = 1.5,
    bias: float = 0.3,
) -> Network:
    """Dense layers with functions between them, which take turns."""
    generator = torch.Generator().manual_seed(seed)
    nodes: list[Sum | Activation] = []
    for layer, (into, out) in enumerate(pairwise(sizes)):
        weight = scale * normal(generator, out, into) / into**0.5
        nodes.append(Sum((len(nodes),), (Dense(weight),), bias * normal(generator, out)))
        if layer < len(sizes) - 2:
            nodes.append(Activation(len(nodes), functions[layer % len(functions)], out))
    return Network(sizes[0], tuple(nodes), (sizes[0],))
