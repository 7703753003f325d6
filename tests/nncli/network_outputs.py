"""Networks of every kind, and whether one from a file puts out what the original does."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

SPECS = [
    "mlp:64-32-16-10,act=tanh",
    "cnn:1x8x8-c4-p-16-10,norm=batch",
    "transformer:8x8-d16-h2-b2-10",
    "rnn:8x8-12-10,cell=lstm",
]


def images(n: int = 7) -> Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def outputs(module: nn.Module, *given: Tensor) -> dict[str, Tensor]:
    """What every module that is called puts out, under its name."""
    seen: dict[str, Tensor] = {}

    def note(name: str) -> Callable[[Any, Any, Any], None]:
        return lambda _module, _given, found: seen.update({name: found})

    hooks = [one.register_forward_hook(note(name)) for name, one in module.named_modules()]
    with torch.no_grad():
        module(*given)
    for hook in hooks:
        hook.remove()
    return seen


def close(one: Tensor, other: Tensor, atol: float = 1e-5) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=atol)
