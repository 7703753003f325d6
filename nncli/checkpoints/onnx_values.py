"""Tensors and settings in ONNX files, as values of torch and Python."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


def tensor_of(tensor: Any) -> Tensor:
    """An ONNX tensor as a torch tensor of its own memory; bfloat16 and smaller become float32."""
    import numpy as np
    from onnx import numpy_helper

    array = np.asarray(numpy_helper.to_array(tensor))
    if array.dtype.kind not in "fiub" or array.dtype.isbuiltin != 1:
        array = array.astype(np.float32)
    return torch.from_numpy(np.array(array, copy=True))


def attributes(node: Any) -> dict[str, Any]:
    """The settings of a node: numbers, texts, lists; tensors as torch tensors."""
    from onnx import TensorProto, helper

    found = {}
    for one in node.attribute:
        value = helper.get_attribute_value(one)
        if isinstance(value, TensorProto):
            value = tensor_of(value)
        elif isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, Iterable) and not isinstance(value, str):
            value = list(value)
        found[one.name] = value
    return found


def constant(settings: dict[str, Any]) -> Tensor:
    """The tensor of a `Constant` node."""
    for key, dtype in (("float", torch.float32), ("int", torch.int64)):
        for name in (f"value_{key}", f"value_{key}s"):
            if name in settings:
                return torch.tensor(settings[name], dtype=dtype)
    value: Tensor = settings["value"]
    return value
