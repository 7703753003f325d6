"""The nodes that a network is lowered to, as they are made."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nncli.verification.lowering.values import Part, Value, whole
from nncli.verification.maps import Map, Scale, Select, sparse
from nncli.verification.network import Activation, Extreme, Node, Sum


class Builder:
    """Nodes in order.

    Args:
        inputs: Numbers of one example.

    Attributes:
        nodes: What there is so far; node k has place k + 1.
        label: What the part of the network that is being lowered is called.
    """

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.nodes: list[Node] = []
        self.label = ""
        self._functions: dict[tuple[int, str], int] = {}

    def size(self, place: int) -> int:
        """Numbers at a place."""
        return self.nodes[place - 1].size if place else self.inputs

    def sum(
        self,
        parents: Sequence[int],
        maps: Sequence[Map],
        bias: Tensor | None = None,
        extreme: Extreme | None = None,
    ) -> int:
        """Add a sum of maps, and say where it is."""
        if bias is None:
            bias = torch.zeros(maps[0].outputs, dtype=torch.float64)
        self.nodes.append(Sum(tuple(parents), tuple(maps), bias, self.label, extreme))
        return len(self.nodes)

    def linear(self, value: Value, one: Map, shape: Sequence[int], bias: Tensor | None) -> Value:
        """A map of a value, and a bias (outputs,): a value of a shape.

        The constants of the value go to the bias.
        """
        if value.constant is not None:
            moved = one.apply(value.constant.flatten())
            bias = moved if bias is None else bias + moved
        place = self.place(Value(value.shape, value.parts))
        return whole(self.sum((place,), (one,), bias), shape)

    def place(self, value: Value) -> int:
        """Where the numbers of a value are, in its order; a node is made for them if need be."""
        pure = value.pure
        if pure is not None and self._is_all(pure):
            return pure.place
        parts = [Part(p.place, p.index.flatten(), _flat(p.factor)) for p in value.parts]
        places = list(dict.fromkeys(one.place for one in parts))
        maps = [
            self._map([one for one in parts if one.place == place], self.size(place))
            for place in places
        ]
        return self.sum(places, maps, value.constants.flatten())

    def whole(self, place: int) -> Value:
        """All numbers of a node."""
        return whole(place, (self.size(place),))

    def settled(self, value: Value) -> Value:
        """A value as all numbers of one node."""
        return replace(whole(self.place(value), value.shape), traced=value.traced)

    def function(self, name: str, value: Value) -> Value:
        """A function of each number of a value."""
        pure = value.pure
        if pure is None or not self._may_go_first(pure, name):
            value = self.settled(value)
            pure = value.parts[0]
        return Value(value.shape, (Part(self._activation(pure.place, name), pure.index),))

    def _may_go_first(self, pure: Part, name: str) -> bool:
        """Whether the function can be taken of the node itself, and moved about afterwards."""
        there = torch.unique(pure.index)
        absent = bool(there[0] < 0)
        covered = len(there) - absent == self.size(pure.place)
        return covered and not (absent and name == "sigmoid")

    def _activation(self, place: int, name: str) -> int:
        if (place, name) not in self._functions:
            parent, size = place, self.size(place)
            before = self.nodes[place - 1] if place else None
            if isinstance(before, Activation) and before.function == name == "relu":
                return place
            if isinstance(before, Activation):
                parent = self.sum((place,), (identity(size),))
            self.nodes.append(Activation(parent, name, size, self.label))
            self._functions[place, name] = len(self.nodes)
        return self._functions[place, name]

    def _is_all(self, part: Part) -> bool:
        flat = part.index.flatten()
        size = self.size(part.place)
        return len(flat) == size and torch.equal(flat, torch.arange(size))

    def _map(self, parts: Sequence[Part], size: int) -> Map:
        """The map from a node of a size to the sum of flat parts of it."""
        one = parts[0]
        if len(parts) == 1 and one.factor is None:
            return Select(one.index, size)
        if len(parts) == 1 and one.factor is not None and self._is_all(one):
            return Scale(one.factor)
        rows, columns, numbers = [], [], []
        for part in parts:
            there = torch.nonzero(part.index >= 0).flatten()
            rows.append(there)
            columns.append(part.index[there])
            factor = torch.ones(len(part.index), dtype=torch.float64)
            numbers.append((factor if part.factor is None else part.factor)[there])
        shape = (len(one.index), size)
        return sparse(torch.cat(rows), torch.cat(columns), torch.cat(numbers), shape)


def identity(size: int) -> Select:
    """The map that changes nothing."""
    return Select(torch.arange(size), size)


def _flat(factor: Tensor | None) -> Tensor | None:
    return None if factor is None else factor.flatten()
