"""What closed the leaves of a search over signs of ReLUs, and where intervals were tightened."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce

import torch
from torch import Tensor

from nncli.verification.branches import Branches
from nncli.verification.certifying.parts import SUPPOSED, choice_of, choice_tensors
from nncli.verification.slopes import Choice, joined_choices
from nncli.verification.trees import Tree

ROOM = 16_000_000  # numbers that are kept; of larger searches slopes are found anew
SHARE = 0.1  # of the numbers that a search holds at once
NODES = "leaf.node"
SUPPOSED_NODES = f"{SUPPOSED}node"


@dataclass
class Branching(Tree):
    """A growing tree, with the slopes and multipliers that closed its leaves.

    Attributes:
        nodes: The leaves.
        choices: What closed them.
        supposed: Branches of which the violation was supposed, in order: nodes, and what was chosen
            for the bounds of their margins.
        room: Numbers that may still be kept; negative once there are too many.
        supposing: Numbers that may still be kept of such branches.
    """

    nodes: list[Tensor] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    supposed: list[tuple[Tensor, Choice]] = field(default_factory=list)
    room: int = ROOM
    supposing: int = ROOM

    @staticmethod
    def within(numbers: int) -> "Branching":
        """A tree for a search that holds some numbers at once, about, of which it keeps a part."""
        room = min(ROOM, int(SHARE * numbers))
        return Branching(room=room, supposing=room)

    @property
    def takes_more(self) -> bool:
        """Whether violations may be supposed of further branches."""
        return self.supposing > 0

    def close(self, branches: Branches) -> None:
        """Keep what closed those branches that are proved."""
        proved = torch.nonzero(branches.margin > 0).flatten()
        if self.room < 0 or not len(proved):
            return
        closed = branches[proved]
        held = choice_tensors(closed.choice)
        self.room -= sum(one.numel() for one in held.values())
        if self.room < 0:  # what is kept already still helps
            return
        self.nodes.append(closed.node)
        self.choices.append(closed.choice)

    def suppose(self, branches: Branches) -> None:
        """Keep what better intervals of branches rest on; without it they cannot be had again."""
        self.supposed.append((branches.node, branches.choice))
        self.supposing -= sum(one.numel() for one in branches.choice.tensors)

    def roots(self, nodes: Tensor) -> "Branching":
        """The tree of some roots, of which none is divided.

        Args:
            nodes: (K,) which, in the order that they are to have.
        """
        found = Branching(room=self.room, supposing=self.supposing)
        found.plant(len(nodes))
        found.nodes, found.choices = _renumbered(zip(self.nodes, self.choices, strict=True), nodes)
        found.supposed = list(zip(*_renumbered(self.supposed, nodes), strict=True))
        return found

    def tensors(self) -> dict[str, Tensor]:
        """The leaves and their slopes and multipliers, by name, and those of better intervals."""
        found = {}
        if self.nodes:
            found = {NODES: torch.cat(self.nodes), **choice_tensors(_whole(self.choices))}
        if self.supposed:
            whole = choice_tensors(_whole([choice for _, choice in self.supposed]))
            found[SUPPOSED_NODES] = torch.cat([nodes for nodes, _ in self.supposed])
            found |= {f"{SUPPOSED}{name}": one for name, one in whole.items()}
        return found


def _renumbered(
    stored: Iterable[tuple[Tensor, Choice]], kept: Tensor
) -> tuple[list[Tensor], list[Choice]]:
    """What is stored of some nodes, which are numbered anew."""
    nodes, choices = [], []
    for told, choice in stored:
        same = told[:, None] == kept
        there = torch.nonzero(same.any(dim=1)).flatten()
        if len(there):
            nodes.append(same[there].long().argmax(dim=1))
            choices.append(choice[there])
    return nodes, choices


def _whole(choices: list[Choice]) -> Choice:
    return reduce(joined_choices, choices)


@dataclass(frozen=True)
class Leaves:
    """What is stored for nodes, made sound.

    Attributes:
        row: (nodes,) the place of each leaf in `choice`, -1 for nodes of which nothing is stored.
        choice: Slopes and multipliers.
        again: For each time that intervals were tightened, (nodes,) the places in `supposed`.
        supposed: What was chosen for the margins then.
    """

    row: Tensor
    choice: Choice
    again: tuple[Tensor, ...] = ()
    supposed: Choice = field(default_factory=Choice)

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
        row, choice = torch.full((nodes,), -1), Choice()
        told = _nodes(tensors.get(NODES))
        if told is not None:
            choice = choice_of(tensors, sizes, (len(told), rows))
            there = torch.nonzero((told >= 0) & (told < nodes)).flatten()
            row[told[there]] = there
        told = _nodes(tensors.get(SUPPOSED_NODES))
        if told is None:
            return Leaves(row, choice)
        inner = {
            name.removeprefix(SUPPOSED): one
            for name, one in tensors.items()
            if name.startswith(SUPPOSED)
        }
        supposed = choice_of(inner, sizes, (len(told), rows))
        return Leaves(row, choice, _turns(told, nodes), supposed)


def _nodes(told: Tensor | None) -> Tensor | None:
    return None if told is None or told.ndim != 1 else told.long()


def _turns(told: Tensor, nodes: int) -> tuple[Tensor, ...]:
    """Places of the first time that each node is told, of the second, and so on."""
    turns: list[Tensor] = []
    times = [0] * nodes
    for place, node in enumerate(told.tolist()):
        if 0 <= node < nodes:
            if times[node] == len(turns):
                turns.append(torch.full((nodes,), -1))
            turns[times[node]][node] = place
            times[node] += 1
    return tuple(turns)
