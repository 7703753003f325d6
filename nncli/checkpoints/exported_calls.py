"""What a node of a torch.export program may call, and with what: fixed tables, nothing else."""

import math
import operator
import re
from collections.abc import Callable
from typing import Any

import torch

from nncli.checkpoints.graph import DEVICE, Value
from nncli.errors import ArtifactError

WAY_OUT = "take its weights instead: save the state dict, and give `--arch model.py:Name`"
DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
LAYOUTS = {7: torch.strided}
MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
ARITHMETIC: dict[str, Callable[..., Any]] = {
    one: getattr(operator, one)
    for one in (
        *("add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "pow", "getitem"),
        *("eq", "ne", "lt", "le", "gt", "ge", "and_", "or_", "not_"),
    )
}
SYMBOLIC = ("sym_float", "sym_int", "sym_max", "sym_min", "sym_not", "sym_sqrt")
UNDERSCORED = (
    "__and__",
    "__lshift__",
    "__or__",
    "__rshift__",
    "__xor__",
    "_adaptive_avg_pool",
    "_assert",
    "_conv",
    "_embedding_bag",
    "_fused",
    "_local_scalar_dense",
    "_log_softmax",
    "_native_batch_norm_legit_no_training",
    "_native_multi_head_attention",
    "_safe_softmax",
    "_scaled_dot_product",
    "_softmax",
    "_to_copy",
    "_transformer_encoder",
    "_unsafe_view",
    "_upsample",
)
OPERATOR = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")


def function(source: str, target: str) -> Callable[..., Any]:
    """The function that a node calls, from a fixed table.

    Raises:
        ArtifactError: It is none that a graph of tensors needs.
    """
    library, _, name = target.rpartition(".")
    if library == "_operator" and name in ARITHMETIC:
        return ARITHMETIC[name]
    if library == "math" and name in ("ceil", "floor", "sqrt", "trunc"):
        return getattr(math, name)  # type: ignore[no-any-return]
    if library == "torch" and name in SYMBOLIC:
        return getattr(torch, name)  # type: ignore[no-any-return]
    match = OPERATOR.fullmatch(target)
    if match and _is_harmless(*match.groups()):
        found: Callable[..., Any] = getattr(getattr(torch.ops.aten, match[1]), match[2])
        return found
    raise ArtifactError(
        f"`{source}` calls `{target}`, which nncli does not run",
        hint="export it in evaluation mode, and call `.run_decompositions()`; or " + WAY_OUT,
    )


def _is_harmless(name: str, overload: str) -> bool:
    """Whether an ATen operator exists and only computes: no files, no raw memory."""
    if name.startswith("_") and not name.startswith(UNDERSCORED):
        return False
    try:
        schema = getattr(getattr(torch.ops.aten, name), overload)._schema
    except (AttributeError, RuntimeError):
        return False
    return not any(
        one.name == "filename" or one.is_out or "Storage" in str(one.type)
        for one in schema.arguments
    )


def argument(label: str, given: dict[str, Any]) -> Any:
    """One argument of a node: a number, a text, a type, or a reference to a value.

    Raises:
        ArtifactError: It is of another kind: a graph, an object.
    """
    ((kind, value),) = given.items()
    if kind in ARGUMENTS:
        return ARGUMENTS[kind](value)
    one = kind.removesuffix("s")
    if kind != one and one in ARGUMENTS:  # as_ints, as_tensors, as_sym_ints, ...
        return [ARGUMENTS[one](item) for item in value]
    raise ArtifactError(f"{label} has an argument of kind `{kind}`", hint=WAY_OUT)


def _reference(value: dict[str, Any]) -> Any:
    """A value by name; or, where a list mixes both, what is there itself."""
    for key in ("name", "as_name"):
        if key in value:
            return Value(value[key])
    return argument("", value)


def _scalar(value: Any) -> Any:
    if not isinstance(value, int | float | bool | str):
        raise TypeError(f"{value!r} is no number")
    return value


ARGUMENTS: dict[str, Callable[[Any], Any]] = {
    "as_none": lambda _: None,
    "as_tensor": _reference,
    "as_optional_tensor": _reference,
    "as_sym_int": _reference,
    "as_sym_float": _reference,
    "as_sym_bool": _reference,
    "as_int": _scalar,
    "as_float": _scalar,
    "as_bool": _scalar,
    "as_string": _scalar,
    "as_scalar_type": DTYPES.__getitem__,
    "as_layout": LAYOUTS.__getitem__,
    "as_memory_format": MEMORY_FORMATS.__getitem__,
    "as_device": lambda _: Value(DEVICE),  # where the data are, not where it was exported
}
