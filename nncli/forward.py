"""The forward pass, one for all commands: examples in batches through any kind of network.

Networks differ in how they are called: ours take `(x, mask)`, those of transformers name their
arguments, most take `x` alone. Their answers differ too: a tensor, a tuple, a dictionary.
"""

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nncli.errors import ArtifactError, MismatchError, NncliError, NncliWarning

Array = NDArray[Any]

TOKEN_NAMES = ("input_ids",)
NUMBER_NAMES = ("pixel_values", "input_values", "input_features", "inputs_embeds")
MASK_NAMES = ("mask", "attention_mask")
PRIMARY = ("logits", "last_hidden_state")


@dataclass(frozen=True)
class Inputs:
    """What a network is run on.

    Attributes:
        x: (n, ...) float32 numbers or (n, T) int64 token ids.
        mask: (n, T), true at real tokens; `None` where all are real.
    """

    x: Array
    mask: Array | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def tokens(self) -> int | None:
        """Tokens that the mask speaks of, `None` without one."""
        return None if self.mask is None else int(self.mask.shape[1])


@dataclass(frozen=True)
class Batch:
    """Neighbouring examples on a device.

    Attributes:
        start: The place of the first in the data.
        x: (rows, ...) inputs.
        mask: (rows, T), True at real tokens, or `None`.
    """

    start: int
    x: Tensor
    mask: Tensor | None

    def __len__(self) -> int:
        return len(self.x)


def take(inputs: Inputs, start: int, stop: int, device: torch.device | str = "cpu") -> Batch:
    """Bring neighbouring examples onto a device, as a copy."""
    mask = None if inputs.mask is None else torch.tensor(inputs.mask[start:stop]).bool().to(device)
    return Batch(start, torch.tensor(inputs.x[start:stop]).to(device), mask)


def batches(inputs: Inputs, size: int, device: torch.device | str = "cpu") -> Iterator[Batch]:
    """Cut inputs into batches, in order.

    Args:
        inputs: The examples.
        size: Rows of a batch; the last may have fewer.
        device: Where the batches go.

    Yields:
        The batches.
    """
    for start in range(0, len(inputs), size):
        yield take(inputs, start, start + size, device)


def run(network: nn.Module, batch: Batch) -> Any:
    """Call a network on a batch.

    The arguments go by the names in the signature of its `forward`: `input_ids` or `pixel_values`
    and their relatives, `mask` or `attention_mask`; without such a name the inputs come first and a
    mask is not passed. Numbers are cast to the type of the network's parameters.

    Args:
        network: The network, in the mode it is to be run in.
        batch: The examples.

    Returns:
        Whatever the network returns.

    Raises:
        MismatchError: The network raised: its inputs have the wrong shape, mostly.
    """
    x = batch.x.to(dtype_of(network)) if batch.x.is_floating_point() else batch.x
    given, named = _arguments(network, x, batch.mask)
    try:
        return network(*given, **named)
    except NncliError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        raise MismatchError(
            f"the network cannot take the data, {_told(batch.x)} an example: "
            f"{' '.join(str(error).split())}",
            hint="is it the right `--data`, and the right `--arch`?",
        ) from error


def _arguments(
    network: nn.Module, x: Tensor, mask: Tensor | None
) -> tuple[list[Tensor], dict[str, Any]]:
    """Arguments by place and by name, as the signature of a network wants them."""
    known = inspect.signature(network.forward).parameters
    names = NUMBER_NAMES if x.is_floating_point() else TOKEN_NAMES
    name = next((one for one in names if one in known), None)
    given, named = ([x], {}) if name is None else ([], {name: x})
    mask_name = next((one for one in MASK_NAMES if one in known), None)
    if mask is not None and mask_name is not None:
        named[mask_name] = mask.long() if mask_name == "attention_mask" else mask
    # caches of keys and values are of use to generation only
    return given, named | {one: False for one in ("use_cache",) if one in known}


def _told(x: Tensor) -> str:
    shape = "x".join(map(str, x.shape[1:])) or "1"
    return f"{shape} of {str(x.dtype).removeprefix('torch.')}"


def takes_mask(network: nn.Module) -> bool:
    """Whether a network can be told which tokens are real."""
    known = inspect.signature(network.forward).parameters
    return any(name in known for name in MASK_NAMES)


def takes_tokens(network: nn.Module) -> bool:
    """Whether a network asks for token ids by name, as those of transformers do."""
    known = inspect.signature(network.forward).parameters
    return any(name in known for name in TOKEN_NAMES)


def dtype_of(network: nn.Module) -> torch.dtype:
    """The type of the first floating-point parameter; float32 where there is none."""
    found = (one.dtype for one in network.parameters() if one.is_floating_point())
    return next(found, torch.float32)


def first_tensor(value: Any, preferred: Sequence[str] = PRIMARY) -> Tensor | None:
    """The tensor that an answer is about.

    Args:
        value: What a module returned, or was given: a tensor, or tensors in tuples, lists and
            dictionaries.
        preferred: Keys of dictionaries that come first.

    Returns:
        Of a dictionary (the outputs of transformers are some) the first of `preferred`, else its
        first tensor; of a tuple or list its first tensor; `None` if there is none.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Mapping):
        named = [value[name] for name in preferred if name in value]
        value = [*named, *value.values()]
    if isinstance(value, tuple | list):
        found = (first_tensor(one, preferred) for one in value)
        return next((one for one in found if one is not None), None)
    return None


def demand_tokens(inputs: Inputs, network: nn.Module, *, source: str) -> None:
    """Refuse examples of padding alone; say so if padding cannot be kept from the network.

    Raises:
        ArtifactError: An example has no real token.
        MismatchError: There are more tokens than the mask speaks of, or fewer.

    Warns:
        NncliWarning: The network takes no mask.
    """
    if inputs.mask is None:
        return
    if inputs.mask.shape[0] != len(inputs.x):
        raise MismatchError(
            f"the mask of `{source}` has {inputs.mask.shape[0]} rows, the data {len(inputs.x)}"
        )
    real = inputs.mask.astype(bool)
    if not real.any(axis=1).all():
        row = int(np.argmin(real.any(axis=1)))
        raise ArtifactError(
            f"row {row} of `{source}` has no real token: its mask is 0 throughout",
            hint="leave such rows out",
        )
    if not real.all() and not takes_mask(network):
        warnings.warn(
            f"the network takes no mask, so it sees the padding of `{source}` as real tokens",
            NncliWarning,
            stacklevel=2,
        )
