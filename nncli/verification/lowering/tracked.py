"""Tensors that know where their numbers come from, and what happens when an operator takes one.

A network runs once on a `Tracked` example. Every ATen operator that takes a tracked tensor comes to
`Tracked.__torch_dispatch__` (https://docs.pytorch.org/docs/stable/notes/extending.html): operators
that make views move the places, the others are looked up in a table. What does not depend on the
example is computed by torch as ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nncli.verification.lowering.values import Value, flat, moved, picked, reshaped, whole
from nncli.verification.lowering.work import Mark, Marked, Work

FACTORIES = ("zeros", "ones", "full", "empty")
LIKE = (
    *("zeros_like", "ones_like", "full_like", "empty_like"),
    *("new_zeros", "new_ones", "new_full", "new_empty"),
)
IGNORED = ("_assert_tensor_metadata", "_assert_async")
READING = ("_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "allclose")
IN_PLACE = {"copy_": "copy", "fill_": "fill", "zero_": "zero"}


@dataclass
class Store:
    """The numbers that a tensor and its views share.

    Attributes:
        value: What they are, in one dimension.
        label: What made them.
        mark: Why they must not be used, if so.
    """

    value: Value
    label: str = ""
    mark: Mark | None = None


class Tracked(Tensor):
    """A tensor of float64 without numbers, but with the places they come from.

    Attributes:
        store: Numbers.
        places: Which of them each of its own is, int64 of its shape.
    """

    store: Store
    places: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, store: Store, places: Tensor) -> "Tracked":
        """Make one, with the shape and the strides of its places."""
        made: Tracked = Tensor._make_wrapper_subclass(
            cls, places.shape, strides=places.stride(), dtype=torch.float64, requires_grad=False
        )
        made.store, made.places = store, places
        return made

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"Tracked({tuple(self.shape)})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Never come to: `Dispatch` is asked first."""
        raise NotImplementedError(str(func))


class Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Brings every operator to `Tracked`, and makes what factories make tracked.

    A network may write what depends on the example into such a tensor later. Without a mode torch
    would dispatch on the subclass just the same, but look whether that is one for distributed
    tensors first, and import those, which takes half a second.

    Args:
        work: The lowering.
    """

    def __init__(self, work: Work) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.work = work

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to skip it, torch would import the compiler: another half second

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator."""
        args, kwargs = _by_place(func, args, kwargs or {})
        if _all_tracked(args):
            return _dispatched(self.work, func, args, kwargs)
        made = func(*args, **kwargs)
        name = func._schema.name.partition("::")[2]
        if name in FACTORIES and isinstance(made, Tensor) and made.is_floating_point():
            return constant(self.work, made)
        return made


def _dispatched(work: Work, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Do to places what an operator does to numbers."""
    name = func._schema.name.partition("::")[2]
    written = [
        place
        for place, one in enumerate(func._schema.arguments)
        if one.alias_info is not None and one.alias_info.is_write
    ]
    if name in IGNORED:
        return None
    if torch.Tag.inplace_view in func.tags:
        return _turned_in_place(args[0], func, args)
    if name.endswith("_") and written == [0]:
        return _written(work, func, name, args, kwargs)
    if name in LIKE:
        plain = torch.zeros(args[0].shape, dtype=torch.float64)
        return constant(work, func(plain, *args[1:], **_without_layout(kwargs)))
    if _is_view(func) and isinstance(args[0], Tracked):
        return _viewed(args[0], func(args[0].places, *args[1:], **kwargs))
    return _wrapped(work, _done(work, func, name, args, kwargs))


def tracked_example(work: Work, shape: Sequence[int]) -> Tracked:
    """The example itself, (1, *shape)."""
    return _tracked(work, whole(0, (1, *shape)))


def constant(work: Work, made: Tensor) -> Tracked:
    """A tensor that does not depend on the example yet."""
    return _tracked(work, Value(tuple(made.shape), (), made.double()))


def value_of(tensor: Tensor) -> Value | Marked | Tensor:
    """What a tensor is: a value, one that must not be used, or the numbers themselves."""
    if not isinstance(tensor, Tracked):
        return tensor
    store, where = tensor.store, tensor.places
    value = reshaped(store.value, where.shape) if _is_whole(tensor) else picked(store.value, where)
    if store.mark is not None:
        return Marked(value, store.mark)
    return value if value.parts else value.constants


def _tracked(work: Work, value: Value, mark: Mark | None = None) -> Tracked:
    where = torch.arange(value.size).reshape(value.shape)
    return Tracked(Store(flat(value), work.builder.label, mark), where)


def _is_whole(tensor: Tracked) -> bool:
    size = tensor.store.value.size
    flattened = tensor.places.reshape(-1)
    return len(flattened) == size and torch.equal(flattened, torch.arange(size))


def _done(work: Work, func: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """The result of an operator that writes nothing: values, or plain tensors."""
    if name in work.settling:
        for one in _all_tracked(args):
            _settle(work, one, pure=work.settling[name])
    given = [_read(one) for one in args]
    if not _any(given, Value | Marked):
        return func(*given, **kwargs)
    if name in READING:
        raise work.refuse(name, ", so that what it does depends on the numbers of the input,")
    handler = work.handlers.get(name)
    if handler is not None:
        if name not in work.marked:
            _demand_unmarked(work, given)
        return handler(work, func, *given, **kwargs)
    with Dispatch(work):
        composite: Any = func.decompose(*args, **kwargs)
    if composite is NotImplemented:
        _demand_unmarked(work, given)
        raise work.refuse(name)
    return composite


def _settle(work: Work, tensor: Tracked, *, pure: bool) -> None:
    """Make a node for the numbers of a tensor, once for all that take them."""
    store = tensor.store
    if not store.value.parts or store.mark is not None:
        return
    if store.value.pure is None or not pure:
        label, work.builder.label = work.builder.label, store.label
        store.value = work.builder.settled(store.value)
        work.builder.label = label


def _demand_unmarked(work: Work, given: Any) -> None:
    for one in _flattened(given):
        if isinstance(one, Marked):
            raise work.refuse(one.mark.operator, where=one.mark.where)


def _written(work: Work, func: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """An operator in place: its result goes to where the numbers of its first argument are kept."""
    target = args[0]
    if not isinstance(target, Tracked):
        raise work.refuse(
            name, ", which writes what depends on the input into a tensor that does not,"
        )
    if _any([_read(one) for one in args], Value | Marked):
        made = _done(work, _functional(func, name), name[:-1], args, kwargs)
    else:
        made = func(target_numbers(target).clone(), *[_read(one) for one in args[1:]], **kwargs)
    mark = made.mark if isinstance(made, Marked) else None
    new = made.value if isinstance(made, Marked) else made
    store, shape = target.store, target.places.shape
    order = torch.arange(store.value.size)
    order[target.places.reshape(-1)] = len(order) + torch.arange(target.places.numel())

    def put(old: Tensor, new: Tensor) -> Tensor:
        return torch.cat([old, new.expand(shape).reshape(-1)])[order]

    store.value, store.label = moved(put, store.value, new), work.builder.label
    store.mark = mark or store.mark
    return target


def target_numbers(tensor: Tracked) -> Tensor:
    """The numbers of a tensor that does not depend on the example."""
    return picked(tensor.store.value, tensor.places).constants


def _turned_in_place(tensor: Tracked, func: Any, args: list[Any]) -> Tracked:
    """`squeeze_` and its like: another view in the same tensor."""
    tensor.places = func(tensor.places.view(tensor.places.shape), *args[1:])
    with torch._C._DisableTorchDispatch():
        func(*args)
    return tensor


def _functional(func: Any, name: str) -> Any:
    """The operator that does the same and writes nothing; itself where there is none."""
    packet = getattr(torch.ops.aten, name[:-1], None)
    return getattr(packet, func._overloadname, func)


def _viewed(tensor: Tracked, where: Any) -> Any:
    if isinstance(where, Tensor):
        return Tracked(tensor.store, where)
    return [Tracked(tensor.store, one) for one in where]


def _wrapped(work: Work, made: Any) -> Any:
    """Values as tensors."""
    if isinstance(made, Value):
        return _tracked(work, made)
    if isinstance(made, Marked):
        return _tracked(work, made.value, made.mark)
    if isinstance(made, list | tuple):
        return type(made)(_wrapped(work, one) for one in made)
    return made


def _by_place(func: Any, args: Any, kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments by place, but for those that must be named."""
    given, named = list(args), dict(kwargs)
    for one in func._schema.arguments[len(given) :]:
        if one.kwarg_only or not named:
            break
        given.append(named.pop(one.name, one.default_value))
    return given, named


def _is_view(func: Any) -> bool:
    return any(
        one.alias_info is not None and not one.alias_info.is_write for one in func._schema.returns
    )


def _without_layout(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {key: one for key, one in kwargs.items() if key not in ("device", "dtype")}


def _read(argument: Any) -> Any:
    if isinstance(argument, list | tuple):
        return [_read(one) for one in argument]
    return value_of(argument) if isinstance(argument, Tensor) else argument


def _flattened(argument: Any) -> list[Any]:
    if isinstance(argument, list | tuple):
        return [inner for one in argument for inner in _flattened(one)]
    return [argument]


def _any(argument: Any, kind: Any) -> bool:
    return any(isinstance(one, kind) for one in _flattened(argument))


def _all_tracked(args: Any) -> list[Tracked]:
    return [one for one in _flattened(args) if isinstance(one, Tracked)]
