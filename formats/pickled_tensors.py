"""The tensors that a pickle would rebuild: their names, types, shapes and places.

`torch.save` writes tensors as calls of `torch._utils._rebuild_tensor_v2` on a storage that lies
outside the pickle; NumPy writes arrays as calls of its own. Those few functions are recognised by
name, so that the calls need not be made. Everything else that a pickle names is reported.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from nncli.formats.pickles import Made, Name, Pairs, Persistent, Pickle, Skipped
from nncli.formats.safetensors_header import TensorSpec

STORAGE_DTYPES = {
    "BFloat16": "BF16",
    "Bool": "BOOL",
    "Byte": "U8",
    "Char": "I8",
    "ComplexDouble": "C128",
    "ComplexFloat": "C64",
    "Double": "F64",
    "Float": "F32",
    "Half": "F16",
    "Int": "I32",
    "Long": "I64",
    "QInt32": "I32",
    "QInt8": "I8",
    "QUInt8": "U8",
    "Short": "I16",
}
TORCH_DTYPES = {
    "bfloat16": "BF16",
    "bool": "BOOL",
    "complex128": "C128",
    "complex64": "C64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "int8": "I8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "uint8": "U8",
}
NUMPY_DTYPES = {
    "b1": "BOOL",
    "c16": "C128",
    "c8": "C64",
    "f2": "F16",
    "f4": "F32",
    "f8": "F64",
    "i1": "I8",
    "i2": "I16",
    "i4": "I32",
    "i8": "I64",
    "u1": "U8",
    "u2": "U16",
    "u4": "U32",
    "u8": "U64",
}
WRAPPERS = {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}
REBUILT = {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"}
UNTYPED = "torch._utils._rebuild_tensor_v3"
WITHOUT_STORAGE = "torch._utils._rebuild_meta_tensor_no_storage"
SUBCLASS = "torch._tensor._rebuild_from_type_v2"
PLAIN_MODULES = {"torch", "torch._tensor", "torch._utils", "torch.storage", "torch.serialization"}
PLAIN = {
    "_codecs.encode",
    "builtins.complex",
    "builtins.set",
    "builtins.slice",
    "collections.Counter",
    "collections.OrderedDict",
    "collections.defaultdict",
    "datetime.datetime",
    "numpy.dtype",
    "numpy.ndarray",
    "torch.nn.parameter.Parameter",
}
NUMPY_PLAIN = {"_reconstruct", "_frombuffer", "scalar"}
LONGEST_PATH = 2000
MODULE_PARTS = {"_modules", "_parameters", "_buffers"}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that lies in a storage outside the pickle.

    Attributes:
        spec: Its type and shape.
        storage: The key of its storage; `None` if the pickle itself holds the numbers.
        count: Elements of the storage.
        offset: Its first element there.
        stride: Elements from one index to the next, a dimension each.
    """

    spec: TensorSpec
    storage: str | None = None
    count: int = 0
    offset: int = 0
    stride: tuple[int, ...] = ()


@dataclass
class Contents:
    """What a pickle holds.

    Attributes:
        tensors: The tensors by path: keys joined by `/`, module names by dots.
        values: Numbers, text and short lists by path.
        foreign: Names that stand for code of somebody else's, which loading would run.
    """

    tensors: dict[str, StoredTensor] = field(default_factory=dict)
    values: dict[str, object] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()


def contents(pickle: Pickle) -> Contents:
    """Find the tensors and plain values in a pickle, each container visited once.

    Raises:
        ValueError: It is nested deeper than any honest one, or a tensor's arguments are unsound.
    """
    found = Contents(foreign=tuple(sorted(str(one) for one in pickle.names if not _plain(one))))
    seen: dict[int, object] = {}  # holds what it has seen, so that no identity is used again
    waiting: list[tuple[str, object]] = [("", pickle.value)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > LONGEST_PATH:
            raise ValueError(
                f"it nests containers deeper than {LONGEST_PATH} letters of their names"
            )
        tensor = stored_tensor(value)
        if tensor is not None:
            found.tensors[path or "tensor"] = tensor
        elif _is_value(value):
            found.values[path or "value"] = _readable(value)
        elif id(value) not in seen:
            seen[id(value)] = value
            waiting.extend(reversed(list(_children(path, value))))
    return found


def _plain(name: Name) -> bool:
    """Whether a name is torch's or NumPy's own bookkeeping, or a harmless part of Python."""
    if str(name).replace("__builtin__", "builtins") in PLAIN:
        return True
    if name.module.startswith("numpy") and name.name in NUMPY_PLAIN:
        return True
    return name.module in PLAIN_MODULES and (
        name.name in TORCH_DTYPES
        or name.name in ("Size", "device", "_get_layout")
        or name.name.endswith(("Storage", "Tensor"))
        or name.name.startswith("_rebuild_")
    )


def _is_value(value: object) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and not any(
            isinstance(one, Made | Pairs | list | tuple | Persistent) for one in value
        )
    return isinstance(value, bool | int | float | str | Skipped)


def _readable(value: object) -> object:
    if isinstance(value, Skipped):
        return f"({value.size:,} bytes)"
    if isinstance(value, list | tuple):
        return [one if isinstance(one, int | float | str) else str(one) for one in value]
    return value


def _children(path: str, value: object) -> Iterator[tuple[str, object]]:
    """What a container holds, with paths; an object shows its state, less its class."""
    if isinstance(value, Pairs):
        for key, one in value.pairs:
            yield _joined(path, str(key)), one
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            yield _joined(path, str(place)), one
    elif isinstance(value, Made):
        for key, one in value.pairs:
            yield _joined(path, str(key)), one
        if value.items:
            yield path, value.items
        if str(value.function) != "collections.OrderedDict":  # its state is torch's version numbers
            yield path, value.arguments
            state = _without_settings(value.state)
            yield (f"{path}." if path and isinstance(state, Pairs) else path), state


def _without_settings(state: object) -> object:
    """The state of a torch module less its flags and hooks; any other state as it is."""
    if isinstance(state, Pairs) and any(key == "_parameters" for key, _ in state.pairs):
        return Pairs([pair for pair in state.pairs if pair[0] in MODULE_PARTS])
    return state


def _joined(path: str, key: str) -> str:
    if key in MODULE_PARTS:
        return f"{path}." if path and not path.endswith(".") else path
    return f"{path}{key}" if not path or path.endswith(".") else f"{path}/{key}"


def stored_tensor(value: object) -> StoredTensor | None:
    """The tensor that a call would rebuild, `None` if it is no such call.

    Raises:
        ValueError: It is one, with arguments that no writer of torch gives it.
    """
    while isinstance(value, Made) and str(value.function) in WRAPPERS:
        value = value.arguments[0] if isinstance(value.arguments, tuple) else None
    if not isinstance(value, Made) or not isinstance(value.arguments, tuple):
        return None
    name, arguments = str(value.function), value.arguments
    try:
        if name == SUBCLASS:
            return stored_tensor(Made(arguments[0], arguments[2]))
        if name in REBUILT or name == UNTYPED:
            return _torch_tensor(arguments, str(arguments[6]) if name == UNTYPED else None)
        if name == WITHOUT_STORAGE:
            return StoredTensor(TensorSpec(_torch_dtype(str(arguments[0])), _whole(arguments[1])))
        return _numpy_array(value) if name.startswith("numpy") else None
    except (IndexError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"a call of `{name}` has arguments of its own") from error


def _torch_tensor(arguments: tuple[object, ...], dtype: str | None) -> StoredTensor:
    storage, offset, shape, stride = arguments[:4]
    if not isinstance(storage, Persistent) or not isinstance(storage.key, tuple):
        raise TypeError
    _, kind, key, _, count = storage.key[:5]
    (start,), (elements,) = _whole((offset,)), _whole((count,))
    if dtype is None:
        spelled = str(kind).rsplit(".", 1)[-1].removesuffix("Storage")
        found = STORAGE_DTYPES.get(spelled, spelled)
    else:
        found = _torch_dtype(dtype)
    spec = TensorSpec(found, _whole(shape))
    return StoredTensor(spec, str(key), elements, start, _whole(stride))


def _torch_dtype(name: str) -> str:
    short = name.removeprefix("torch.")
    return TORCH_DTYPES.get(short, short)


def _numpy_array(value: Made) -> StoredTensor | None:
    assert isinstance(value.function, Name)
    assert isinstance(value.arguments, tuple)
    if value.function.name == "_reconstruct" and isinstance(value.state, tuple):
        shape, dtype = value.state[1], value.state[2]
    elif value.function.name == "_frombuffer":
        dtype, shape = value.arguments[1], value.arguments[2]
    else:
        return None
    spelled = str(dtype.arguments[0]) if isinstance(dtype, Made) else "?"  # type: ignore[index]
    return StoredTensor(TensorSpec(NUMPY_DTYPES.get(spelled, spelled), _whole(shape)))


def _whole(values: object) -> tuple[int, ...]:
    """A tuple of sizes, whatever spelled it."""
    if isinstance(values, Made):  # torch.Size((2, 3))
        values = values.arguments[0] if isinstance(values.arguments, tuple) else None
    if not isinstance(values, list | tuple) or not all(type(one) is int for one in values):
        raise TypeError
    if any(one < 0 for one in values):
        raise TypeError
    return tuple(values)
