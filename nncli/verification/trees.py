"""The tree of a search, as it grows: where each region was divided.

A tree only says where to divide: both sides of each division are to be proved, so whatever it says,
its leaves cover the whole.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor


class Divisions(NamedTuple):
    """A finished tree.

    Attributes:
        place: (N,) int64 what each node was divided along: an input, or a neuron; -1 for a leaf.
        at: (N,) float64 where; 0 for ReLUs.
        child: (N,) int64 the first of the two nodes it was divided into, -1 for a leaf.
    """

    place: Tensor
    at: Tensor
    child: Tensor


@dataclass
class Tree:
    """A growing tree; the roots are its first nodes."""

    place: list[int] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    child: list[int] = field(default_factory=list)

    def plant(self, count: int) -> Tensor:
        """Nodes that are not divided: (count,) their places."""
        first = len(self.place)
        self.place += [-1] * count
        self.at += [0.0] * count
        self.child += [-1] * count
        return torch.arange(first, first + count)

    def divide(self, nodes: Tensor, places: Tensor, at: Tensor | None = None) -> Tensor:
        """Divide nodes in two.

        Args:
            nodes: (B,) the nodes.
            places: (B,) what along.
            at: (B,) where.

        Returns:
            (2 B,) the new nodes: the first of each, then the second of each.
        """
        count = len(nodes)
        new = self.plant(2 * count)
        wheres = [0.0] * count if at is None else at.tolist()
        for turn, (node, place, where) in enumerate(
            zip(nodes.tolist(), places.tolist(), wheres, strict=True)
        ):
            self.place[node], self.at[node] = place, where
            self.child[node] = int(new[0]) + 2 * turn
        return torch.cat([new[0::2], new[1::2]])

    def done(self) -> Divisions:
        """The tree as tensors."""
        return Divisions(
            torch.tensor(self.place, dtype=torch.int64),
            torch.tensor(self.at, dtype=torch.float64),
            torch.tensor(self.child, dtype=torch.int64),
        )
