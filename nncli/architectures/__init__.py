"""Networks from a short spec (`mlp:64-128-64-10`) or from the user's own file (`model.py:Name`).

`parse` reads a spec, `build` makes the module, `input_shape` says what one example looks like.
"""

import torch
from torch import nn

from nncli.architectures.grammar import parse
from nncli.architectures.initialisation import initialise
from nncli.architectures.networks import network
from nncli.architectures.spec import EXAMPLES, EXPLANATIONS, Spec
from nncli.architectures.user_code import build_user_network, is_user_code
from nncli.errors import UsageError

__all__ = [
    "EXAMPLES",
    "EXPLANATIONS",
    "Spec",
    "build",
    "canonical",
    "input_shape",
    "is_user_code",
    "parse",
]

MOST_PARAMETERS = 20_000_000_000


def build(spec: str | Spec, *, seed: int | None = None) -> nn.Module:
    """Build the network of a spec, its weights set.

    The weights depend on the spec and the seed alone: they are drawn from a generator of their
    own, and PyTorch's global one is neither used nor moved.

    Args:
        spec: `mlp:64-128-64-10`, ..., or `file.py:Name`, which runs that file.
        seed: Seed of the initial weights; `None` is 0.

    Returns:
        The module, on the CPU, in training mode.

    Raises:
        UsageError: The spec is wrong, or describes more than 20 billion parameters.
        ArtifactError: The user's file raised.
    """
    if isinstance(spec, str) and is_user_code(spec):
        return build_user_network(spec, seed=seed or 0)
    parsed = parse(spec) if isinstance(spec, str) else spec
    with torch.device("meta"):  # no memory, and no draws from the global generator
        module = network(parsed)
    size = sum(parameter.numel() for parameter in module.parameters())
    if size > MOST_PARAMETERS:
        raise UsageError(f"`{spec}` would have {size:,} parameters", hint="check the widths")
    # `to_empty` does the same and imports half a second of symbolic shapes for it
    module._apply(lambda one: torch.empty(one.shape, dtype=one.dtype))  # type: ignore[no-untyped-call]
    generator = torch.Generator().manual_seed(seed or 0)
    initialise(module, parsed.init, gain=parsed.gain, generator=generator)
    return module


def canonical(spec: str) -> str:
    """The canonical form of a spec: fixed order, defaults left out; `file.py:Name` stays as it is.

    Raises:
        UsageError: The spec is wrong.
    """
    return spec if is_user_code(spec) else str(parse(spec))


def input_shape(spec: str) -> tuple[int, ...] | None:
    """The shape of one example a spec takes, without the batch; `None` for the user's own code.

    Raises:
        UsageError: The spec is wrong.
    """
    return None if is_user_code(spec) else parse(spec).input_shape
