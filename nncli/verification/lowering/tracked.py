"""Tensors that know where their numbers come from.

They are a subclass without numbers of its own
(https://docs.pytorch.org/docs/stable/notes/extending.html). What operators do with them is said in
`nncli.verification.lowering.dispatch`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nncli.verification.lowering.values import Value, flat, picked, reshaped, whole
from nncli.verification.lowering.work import Mark, Marked, Work


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


def tracked_example(work: Work, shape: Sequence[int]) -> Tracked:
    """The example itself, (1, *shape)."""
    example = whole(0, (1, *shape))
    return tracked(work, example if work.tape is None else work.tape.placed(example))


def value_of(tensor: Tensor) -> Value | Marked | Tensor:
    """What a tensor is: a value, one that must not be used, or the numbers themselves."""
    if not isinstance(tensor, Tracked):
        return tensor
    store, where = tensor.store, tensor.places
    value = reshaped(store.value, where.shape) if _is_whole(tensor) else picked(store.value, where)
    if store.mark is not None:
        return Marked(value, store.mark)
    return value if value.parts else value.constants


def tracked(work: Work, value: Value, mark: Mark | None = None) -> Tracked:
    """A value as a tensor that shares its numbers with no other."""
    where = torch.arange(value.size).reshape(value.shape)
    return Tracked(Store(flat(value), work.builder.label, mark), where)


def _is_whole(tensor: Tracked) -> bool:
    size = tensor.store.value.size
    flattened = tensor.places.reshape(-1)
    return len(flattened) == size and torch.equal(flattened, torch.arange(size))
