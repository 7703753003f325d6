"""What closed the leaves of a search over signs of ReLUs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nncli.verification.branches import Branches
from nncli.verification.certifying.parts import choice_of, choice_tensors
from nncli.verification.slopes import Choice, joined_choices
from nncli.verification.trees import Tree

ROOM = 16_000_000  # numbers that are kept; of larger searches slopes are found anew
NODES = "leaf.node"


@dataclass
class Branching(Tree):
    """A growing tree, with the slopes and multipliers that closed its leaves.

    Attributes:
        nodes: The leaves.
        choices: What closed them.
        room: Numbers that may still be kept; negative once there are too many.
    """

    nodes: list[Tensor] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    room: int = ROOM

    def close(self, branches: Branches) -> None:
        """Keep what closed those branches that are proved."""
        proved = torch.nonzero(branches.margin > 0).flatten()
        if self.room < 0 or not len(proved):
            return
        closed = branches[proved]
        held = choice_tensors(closed.choice)
        self.room -= sum(one.numel() for one in held.values())
        if self.room < 0:
            self.nodes, self.choices = [], []
            return
        self.nodes.append(closed.node)
        self.choices.append(closed.choice)

    def tensors(self) -> dict[str, Tensor]:
        """The leaves and their slopes and multipliers, by name."""
        if not self.nodes:
            return {}
        whole = self.choices[0]
        for one in self.choices[1:]:
            whole = joined_choices(whole, one)
        return {NODES: torch.cat(self.nodes), **choice_tensors(whole)}


@dataclass(frozen=True)
class Leaves:
    """What is stored for leaves, made sound.

    Attributes:
        row: (nodes,) the place of each node in `choice`, -1 for nodes of which nothing is stored.
        choice: Slopes and multipliers.
    """

    row: Tensor
    choice: Choice

    @staticmethod
    def of(
        tensors: Mapping[str, Tensor], nodes: int, sizes: Mapping[int, int], rows: int
    ) -> "Leaves":
        """From tensors that may hold anything.

        Args:
            tensors: By name.
            nodes: Nodes of the tree.
            sizes: Numbers of each activation, by place.
            rows: Rows of each violation.
        """
        row = torch.full((nodes,), -1)
        told = tensors.get(NODES)
        if told is None or told.ndim != 1:
            return Leaves(row, Choice())
        choice = choice_of(tensors, sizes, (len(told), rows))
        told = told.long()
        there = torch.nonzero((told >= 0) & (told < nodes)).flatten()
        row[told[there]] = there
        return Leaves(row, choice)
