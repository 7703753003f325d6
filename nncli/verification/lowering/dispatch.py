"""What happens when an operator takes a tensor that depends on the example.

A network runs once on a tracked example. Every ATen operator that takes a tracked tensor comes to
`Dispatch`: operators that make views move the places, the others are looked up in a table. What
does not depend on the example is computed by torch as ever.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nncli.verification.lowering.tracked import Store, Tracked, tracked, value_of
from nncli.verification.lowering.values import Value, moved
from nncli.verification.lowering.work import Marked, Work

LIKE = (
    *("zeros_like", "ones_like", "full_like", "empty_like"),
    *("new_zeros", "new_ones", "new_full", "new_empty"),
)
IGNORED = ("_assert_tensor_metadata", "_assert_async")
READING = {
    "_local_scalar_dense": "item",
    "allclose": "allclose",
    "equal": "equal",
    "is_nonzero": "bool",
    "item": "item",
    "nonzero": "nonzero",
}
Shadows = dict[int, tuple[Store, Tensor]]  # by the address of the memory


class Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Brings every operator that has to do with the example to where places are moved.

    Without a mode torch would dispatch on the subclass just the same, but look whether that is one
    for distributed tensors first, and import those, which takes half a second.

    Args:
        work: The lowering.
    """

    def __init__(self, work: Work, shadows: Shadows | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.work = work
        self.shadows: Shadows = {} if shadows is None else shadows

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to skip it, torch would import the compiler: another half second

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator."""
        args, kwargs = _by_place(func, args, kwargs or {})
        seen = _each(args, self.seen) if self.shadows else args
        if not _all_tracked(seen):
            return _plain(self.work, func, args, kwargs)
        written = _written_arguments(func)
        if not written:
            return self._made(func, seen, kwargs)
        if torch.Tag.inplace_view in func.tags:
            return _turned_in_place(func, args)
        name = _name(func)
        if written == [0] and name.endswith("_"):
            if not isinstance(seen[0], Tracked):
                seen[0] = self._shadow(args[0])
            _write(self.work, func, seen, kwargs)
            return args[0]
        if name not in self.work.handlers or kwargs.get("out") is not None:
            raise self.work.refuse(name, " with `out`")
        return self._made(func, seen, kwargs)

    def seen(self, tensor: Any) -> Any:
        """A tensor, or what depends on the example and has been written to its memory."""
        if isinstance(tensor, Tracked) or not isinstance(tensor, Tensor):
            return tensor
        shadow = self.shadows.get(tensor.untyped_storage().data_ptr())
        if shadow is None:
            return tensor
        places = torch.arange(shadow[0].value.size)
        layout = (tensor.shape, tensor.stride(), tensor.storage_offset())
        return Tracked(shadow[0], places.as_strided(*layout))

    def _shadow(self, tensor: Tensor) -> Any:
        """Keep the numbers of a tensor where they may depend on the example from now on."""
        if self.work.tape is not None:
            self.work.tape.demand_stored(self.work, tensor)
        memory = tensor.untyped_storage()
        size = memory.nbytes() // tensor.element_size()
        numbers = tensor.as_strided((size,), (1,), 0).double().clone()
        # the tensor is kept too, so that its memory is not used again
        self.shadows[memory.data_ptr()] = (Store(Value((size,), (), numbers)), tensor)
        return self.seen(tensor)

    def _made(self, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """The result of an operator that writes nothing."""
        name = _name(func)
        if name in IGNORED:
            return None
        if name in LIKE:
            plain = torch.zeros(args[0].shape, dtype=torch.float64)
            return func(plain, *args[1:], **kwargs)
        if _is_view(func) and isinstance(args[0], Tracked):
            return _viewed(args[0], func(args[0].places, *args[1:], **kwargs))
        try:
            return _wrapped(self.work, _done(self.work, func, name, args, kwargs))
        except NotImplementedError:
            with Dispatch(self.work, self.shadows):
                made = func.decompose(*args, **kwargs)
            if made is NotImplemented:
                raise self.work.refuse(name) from None
            return made


def _done(work: Work, func: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """The result of an operator that writes nothing: values, or plain tensors."""
    if name in work.settling:
        for one in _all_tracked(args):
            _settle(work, one, pure=work.settling[name])
    given = _each(args, _read)
    if not _any(given, Value | Marked):
        return _plain(work, func, given, kwargs)
    if name in READING:
        raise work.refusal(
            f"{work.where} reads numbers that depend on the input (`{READING[name]}`): what it "
            "does with them cannot be followed"
        )
    handler = work.handlers.get(name)
    if handler is None or name not in work.marked:
        for one in _flattened(given):
            if isinstance(one, Marked):
                raise work.refusal(one.mark.message)
    if handler is None:
        raise NotImplementedError
    return handler(work, func, *given, **kwargs)


def _plain(work: Work, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What torch makes of tensors that do not depend on the example."""
    made = func(*args, **kwargs)
    if work.tape is not None:
        work.tape.plain(func, args, kwargs, made)
    return made


def _read(argument: Any) -> Any:
    return value_of(argument) if isinstance(argument, Tensor) else argument


def _settle(work: Work, tensor: Tracked, *, pure: bool) -> None:
    """Make a node for the numbers of a tensor, once for all that take them."""
    store = tensor.store
    if not store.value.parts or store.mark is not None:
        return
    if store.value.pure is None or not pure:
        label, work.builder.label = work.builder.label, store.label
        store.value = work.builder.settled(store.value)
        work.builder.label = label


def _write(work: Work, func: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    """An operator in place: its result goes to where the numbers of its first argument are kept."""
    target, name = args[0], _name(func)
    if _any(_each(args, _read), Value | Marked):
        made = _done(work, _functional(func, name), name[:-1], args, kwargs)
    else:
        first, *rest = _each(args, _read)
        made = _plain(work, func, [first.clone(), *rest], kwargs)
    mark = made.mark if isinstance(made, Marked) else None
    new = made.value if isinstance(made, Marked) else made
    store, shape = target.store, target.places.shape
    order = torch.arange(store.value.size)
    order[target.places.reshape(-1)] = len(order) + torch.arange(target.places.numel())

    def put(old: Tensor, new: Tensor) -> Tensor:
        return torch.cat([old, new.expand(shape).reshape(-1)])[order]

    store.value, store.label = moved(put, store.value, new), work.builder.label
    store.mark = mark or store.mark


def _turned_in_place(func: Any, args: list[Any]) -> Any:
    """`squeeze_` and its like: another view in the same tensor."""
    tensor = args[0]
    if not isinstance(tensor, Tracked):
        return func(*args)
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
        return tracked(work, made)
    if isinstance(made, Marked):
        return tracked(work, made.value, made.mark)
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


def _written_arguments(func: Any) -> list[int]:
    return [
        place
        for place, one in enumerate(func._schema.arguments)
        if one.alias_info is not None and one.alias_info.is_write
    ]


def _name(func: Any) -> str:
    return str(func._schema.name.partition("::")[2])


def _each(argument: Any, function: Callable[[Any], Any]) -> Any:
    """A function of each argument, also in lists."""
    if isinstance(argument, list | tuple):
        return [_each(one, function) for one in argument]
    return function(argument)


def _flattened(argument: Any) -> list[Any]:
    if isinstance(argument, list | tuple):
        return [inner for one in argument for inner in _flattened(one)]
    return [argument]


def _any(argument: Any, kind: Any) -> bool:
    return any(isinstance(one, kind) for one in _flattened(argument))


def _all_tracked(args: Any) -> list[Tracked]:
    return [one for one in _flattened(args) if isinstance(one, Tracked)]
