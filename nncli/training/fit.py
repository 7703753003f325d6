"""Whether an architecture fits the data, asked before the first step."""

import math
from dataclasses import replace

import torch

from nncli.architectures import Spec, build, is_user_code, parse
from nncli.errors import MismatchError, UsageError
from nncli.training.evaluation import outputs_of
from nncli.training.members import Arrays


def demand_fit(arch: str, arrays: Arrays, classes: int | None, *, source: str) -> None:
    """Refuse an architecture that cannot take the examples or name their classes.

    More outputs than classes are let through: the data may lack some of the classes.

    Args:
        arch: Architecture spec.
        arrays: The training data.
        classes: Number of classes; None for real targets, which want one output.
        source: The data as the user named it, for the error.

    Raises:
        MismatchError: It does not fit; the hint is an architecture that does.
    """
    shape = arrays.x.shape[1:]
    hint = f"for example `--arch {fitting(arch, arrays, classes or 1)}`"
    module = build(arch, seed=0).eval()
    spec = None if is_user_code(arch) else parse(arch)
    rows = min(2, len(arrays.y))
    try:
        with torch.no_grad():
            found = tuple(outputs_of(module, arrays.tensors()[slice(rows)]).shape)
    except MismatchError as error:
        if spec is None or spec.vocabulary is not None or arrays.x.dtype.kind != "f":
            raise MismatchError(error.message, hint=hint) from error
        raise MismatchError(
            f"`{arch}` takes {_size(spec.input_shape)} inputs, "
            f"an example of `{source}` has {_size(shape)}",
            hint=hint,
        ) from error
    except Exception as error:  # the user's own network may raise anything
        what = f"a batch of `{source}`, shape {rows}x{'x'.join(map(str, shape))}"
        raise MismatchError(
            f"`{arch}` cannot take {what}: {type(error).__name__}: {error}", hint=hint
        ) from error
    if len(found) != 2 or (found[1] != 1 if classes is None else found[1] < classes):
        wanted = "real targets, which take 1" if classes is None else f"{classes} classes"
        outputs = "x".join(map(str, found[1:])) or "no"
        raise MismatchError(f"`{arch}` has {outputs} outputs, `{source}` has {wanted}", hint=hint)


def fitting(arch: str, arrays: Arrays, outputs: int) -> str:
    """An architecture that fits the data and is as near to the given one as possible.

    Args:
        arch: Architecture spec.
        arrays: The training data.
        outputs: Number of outputs it should have.

    Returns:
        The spec with other inputs and outputs, or an mlp where its family cannot take the data.
    """
    shape = tuple(arrays.x.shape[1:])
    if arrays.x.dtype.kind != "f":
        return f"transformer:v{int(arrays.x.max()) + 1}x{shape[0]}-d32-h4-b2-{outputs}"
    if not is_user_code(arch):
        spec = parse(arch)
        for inputs in _same_examples(shape):
            near = replace(spec, input_shape=inputs, vocabulary=None, outputs=outputs)
            if _takes(near, inputs):
                return str(near)
    return f"mlp:{math.prod(shape)}-64-{outputs}"


def _same_examples(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shape itself, flat, and with a dimension of size 1 more or less in front."""
    rest = [shape[1:]] if shape[:1] == (1,) else []
    return [(math.prod(shape),), shape, (1, *shape), *rest]


def _takes(spec: Spec, inputs: tuple[int, ...]) -> bool:
    """Whether the family can have that input shape (flat for an mlp, an image for a cnn, ...)."""
    if len(inputs) != {"mlp": 1, "cnn": 3, "transformer": 2, "rnn": 2}[spec.family]:
        return False
    try:
        parse(str(spec))
    except UsageError:
        return False
    return True


def _size(shape: tuple[int, ...]) -> str:
    """`64 (1x8x8)`, or `64` where there is one dimension."""
    text = "x".join(map(str, shape))
    return f"{math.prod(shape)} ({text})" if len(shape) > 1 else f"{math.prod(shape)}"
