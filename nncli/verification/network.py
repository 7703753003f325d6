"""A network as verification sees it: sums of linear maps, and functions of single numbers.

Everything else is written in these (`nncli.verification.lowering`): a maximum is
`a + relu(b - a)`, a leaky ReLU `s x + (1 - s) relu(x)`, a residual connection a sum of two maps.
So there is one relaxation to get right for each function, and every method works on all networks.
"""

from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from nncli.verification.maps import Map

FUNCTIONS = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "square": torch.square,  # of what a property speaks of, not of what networks have
}


@dataclass(frozen=True)
class Extreme:
    """What a sum is known to be: the larger, or the smaller, of two numbers.

    Attributes:
        pairs: (size, 2) which numbers of the first parent.
        least: Whether it is the smaller one.
    """

    pairs: Tensor
    least: bool = False


@dataclass(frozen=True)
class Sum:
    """A sum of linear maps of earlier values, and a constant.

    Attributes:
        parents: Nodes that the maps are of, by place.
        maps: One for each parent.
        bias: (size,).
        label: What the user knows it by.
        extreme: What else is known of it, which sharpens its interval.
    """

    parents: tuple[int, ...]
    maps: tuple[Map, ...]
    bias: Tensor
    label: str = ""
    extreme: Extreme | None = None

    @property
    def size(self) -> int:
        """Numbers that come out."""
        return len(self.bias)

    @cached_property
    def magnitudes(self) -> tuple[Map, ...]:
        """The maps with absolute values."""
        return tuple(one.magnitude() for one in self.maps)

    @property
    def terms(self) -> int:
        """The longest sum of one number."""
        return sum(one.terms for one in self.maps) + 1


@dataclass(frozen=True)
class Activation:
    """A function of each number of an earlier value.

    Attributes:
        parent: The node it is of, by place: a `Sum` or the input.
        function: A name in `FUNCTIONS`.
        size: Numbers.
        label: What the user knows it by.
    """

    parent: int
    function: str
    size: int
    label: str = ""


Node = Sum | Activation


@dataclass(frozen=True)
class Network:
    """Nodes in order; place 0 is the input, the last node the output.

    Attributes:
        inputs: Numbers of one example.
        nodes: What is computed, each from earlier places; node k of this tuple has place k + 1.
        shape: Shape of one example, as the original network takes it.
    """

    inputs: int
    nodes: tuple[Node, ...]
    shape: tuple[int, ...]

    @property
    def outputs(self) -> int:
        """Numbers of one output."""
        return self.nodes[-1].size if self.nodes else self.inputs

    @property
    def last(self) -> int:
        """Place of the output."""
        return len(self.nodes)

    def size(self, place: int) -> int:
        """Numbers at a place."""
        return self.inputs if place == 0 else self.nodes[place - 1].size

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Numbers at each place, the input first."""
        return tuple(self.size(place) for place in range(self.last + 1))

    @cached_property
    def activations(self) -> tuple[int, ...]:
        """Places of the activations, in order."""
        return tuple(
            place for place, one in enumerate(self.nodes, 1) if isinstance(one, Activation)
        )

    def activation(self, place: int) -> Activation:
        """The activation at a place.

        Raises:
            TypeError: It is none.
        """
        found = self.nodes[place - 1]
        if not isinstance(found, Activation):
            raise TypeError(f"place {place} is no activation")
        return found

    @cached_property
    def forked(self) -> frozenset[int]:
        """Places that several nodes take; the input counts once more, as conditions may take it."""
        taken = [0]
        for node in self.nodes:
            taken += (node.parent,) if isinstance(node, Activation) else node.parents
        return frozenset(place for place in taken if taken.count(place) > 1)

    @cached_property
    def pieces(self) -> bool:
        """Whether it is piecewise linear: ReLU is the only function."""
        return all(self.activation(place).function == "relu" for place in self.activations)

    @cached_property
    def single(self) -> "Network":
        """The network in float32, for searches."""
        return self.cast(torch.float32)

    def cast(self, dtype: torch.dtype) -> "Network":
        """The network with numbers of another type, on which no proof can rest."""
        nodes = (
            replace(
                one,
                maps=tuple(_cast(each, dtype) for each in one.maps),
                bias=one.bias.to(dtype),
            )
            if isinstance(one, Sum)
            else one
            for one in self.nodes
        )
        return replace(self, nodes=tuple(nodes))

    def values(self, x: Tensor) -> list[Tensor]:
        """The values at every place.

        Args:
            x: (..., inputs).

        Returns:
            One tensor (..., size) a place, the input first.
        """
        found = [x]
        for node in self.nodes:
            if isinstance(node, Activation):
                found.append(FUNCTIONS[node.function](found[node.parent]))
                continue
            total = node.bias.expand(*x.shape[:-1], node.size)
            for parent, one in zip(node.parents, node.maps, strict=True):
                total = total + one.apply(found[parent])
            found.append(total)
        return found

    def __call__(self, x: Tensor) -> Tensor:
        """The outputs (..., outputs) of inputs (..., inputs)."""
        return self.values(x)[-1]


def _cast(one: Any, dtype: torch.dtype) -> Any:
    """A map with numbers of another type; places stay whole numbers."""
    held = {each.name: getattr(one, each.name) for each in fields(one)}
    changed: dict[str, Any] = {
        name: value.to(dtype)
        for name, value in held.items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }
    inner = {name: _cast(value, dtype) for name, value in held.items() if is_dataclass(value)}
    return replace(one, **changed, **inner)
