"""Giving examples to a model: which inputs it takes, how many at a time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from nncli.architectures import is_user_code, parse
from nncli.checkpoints import Model
from nncli.errors import MismatchError
from nncli.forward import Inputs, demand_tokens, takes_tokens
from nncli.tracing import Layer

Array = NDArray[Any]

TOKENS = 8  # tokens of the example that stands for texts of any length
MOST_ROWS = 256
CPU_BUDGET = 1 << 25
ACCELERATOR_BUDGET = 1 << 30
ALIVE = 4  # activations of a forward pass that exist at one time: in, out, and scratch


class Examples(Protocol):
    """What is asked of a dataset here."""

    @property
    def name(self) -> str:
        """The dataset as given."""

    @property
    def x(self) -> Array | None:
        """(n, ...) float32 numbers or (n, T) int64 token ids; `None` for texts."""

    @property
    def mask(self) -> Array | None:
        """(n, T), true at real tokens."""

    @property
    def text(self) -> tuple[str, ...] | None:
        """The texts, n of them."""


def inputs_of(model: Model, examples: Examples) -> Inputs:
    """The examples as a model takes them; texts go through the tokenizer of its folder.

    Args:
        model: The model.
        examples: The dataset.

    Returns:
        The inputs, texts as token ids padded to the longest.

    Raises:
        MismatchError: There are only texts, and the model has no tokenizer.
        ArtifactError: The tokenizer cannot be loaded, or an example is padding alone.
        EnvironmentFault: transformers is not installed.

    Warns:
        NncliWarning: There is padding, and the model cannot be told.
    """
    textual = examples.text is not None and model.kind == "huggingface"
    if textual and (examples.x is None or takes_tokens(model.module)) and examples.text:
        from nncli.checkpoints.huggingface import tokenize

        ids, mask = tokenize(Path(model.name), examples.text, name=model.name)
        inputs = Inputs(ids.numpy(), mask.numpy())
    elif examples.x is None:
        raise MismatchError(
            f"`{examples.name}` holds texts, and `{model.name}` brings no tokenizer",
            hint="texts are for Hugging Face folders; store token ids as integers for others",
        )
    else:
        inputs = Inputs(examples.x, examples.mask)
    demand_tokens(inputs, model.module, source=examples.name)
    return inputs


def zeros(model: Model, load: Callable[[], Examples]) -> Inputs:
    """Two examples of zeros in the shape that a model takes.

    Args:
        model: The model.
        load: Loads examples; called only if the model does not say its shape.

    Returns:
        The inputs; of a network over texts of any length, 8 tokens.
    """
    if model.input_shape is None and takes_tokens(model.module):
        return Inputs(np.zeros((2, TOKENS), np.int64))
    if model.input_shape is None:
        given = inputs_of(model, load())
        mask = None if given.mask is None else np.ones((2, given.mask.shape[1]), np.bool_)
        return Inputs(np.zeros((2, *given.x.shape[1:]), given.x.dtype), mask)
    spec = None if model.arch is None or is_user_code(model.arch) else parse(model.arch)
    tokens = spec is not None and spec.vocabulary is not None
    return Inputs(np.zeros((2, *model.input_shape), np.int64 if tokens else np.float32))


def automatic_batch_size(layers: list[Layer], device: torch.device | str = "cpu") -> int:
    """Rows of a batch that keep a forward pass in modest memory.

    Args:
        layers: All layers of the network, from `nncli.tracing.trace`.
        device: Where the network runs.

    Returns:
        A power of two, at most 256. It depends on the network and the kind of device alone, so the
        same command does the same arithmetic everywhere.
    """
    budget = CPU_BUDGET if torch.device(device).type == "cpu" else ACCELERATOR_BUDGET
    largest = max((one.size for one in layers), default=1)
    rows = budget // (4 * ALIVE * max(largest, 1))
    return min(MOST_ROWS, 1 << max(rows, 1).bit_length() - 1)


def device_of(model: Model) -> torch.device:
    """Where the weights of a model are."""
    found = next(model.module.parameters(), None)
    return torch.device("cpu") if found is None else found.device
