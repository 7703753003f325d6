"""Branches that wait in a search, of which no more are held than memory allows.

A search that takes its branches from the end goes deep; one that takes many at once is quick, and
wide: each level that it goes down leaves as many waiting. So it takes fewer as room runs out, in
the end one, which adds one branch a level. What waits is then no more than the room there is and
one branch for each division on the way down: of a ReLU there is one.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from nncli.verification.branches import Branches, Setting, joined
from nncli.verification.slopes import rows_together

MOST = 256  # more at once gain little, whatever the memory
SHARE = 0.5  # of the numbers held at once, for what waits
LEVELS = 16  # that the search may go down before most of its room is used


def together(setting: Setting, numbers: int) -> int:
    """How many branches can be bounded and divided at once.

    Args:
        setting: The network and the question.
        numbers: Numbers of float64 held at once by the search, about.
    """
    rows = rows_together(setting.network, int((1 - SHARE) * numbers))
    return max(1, min(MOST, rows // setting.picked.shape[1]))


class Waiting:
    """The branches that wait, in batches; those at the end come first."""

    def __init__(self, coming: Iterator[Branches], most: int, numbers: int) -> None:
        """None yet.

        Args:
            coming: Branches that the search begins with, each batch when nothing waits any more.
            most: Branches to take at once.
            numbers: Numbers of float64 held at once by the search, about.
        """
        self.coming = coming
        self.batches: list[Branches] = []
        self.most = most
        self.room = SHARE * numbers

    def __len__(self) -> int:
        return sum(map(len, self.batches))

    def more(self) -> bool:
        """Whether there are any to take."""
        if not self.batches and (begun := next(self.coming, None)) is not None:
            self.batches.append(begun)
        return bool(self.batches)

    def put(self, branches: Branches) -> None:
        """Let branches wait, which will be taken first.

        Args:
            branches: Any number of them.
        """
        if len(branches):
            self.batches.append(branches)

    def put_last(self, branches: Branches) -> None:
        """Let branches wait, which will be taken after all others.

        Args:
            branches: Any number of them.
        """
        if len(branches):
            self.batches.insert(0, branches)

    def take(self) -> Branches:
        """As many branches as memory allows, one at least.

        Raises:
            IndexError: None waits.
        """
        taken = self.batches.pop()
        room = self.room / numbers_of(taken) - len(self) - len(taken)
        size = int(max(1, min(self.most, room // LEVELS)))
        while len(taken) < size and self.batches:
            taken = joined(self.batches.pop(), taken)
        if len(taken) > size:
            each = torch.arange(len(taken))  # copies, for views would hold the whole
            self.batches.append(taken[each[:-size]])
            taken = taken[each[-size:]]
        return taken


def numbers_of(branches: Branches) -> int:
    """How many numbers a branch holds.

    Args:
        branches: One or more of them.
    """
    held: list[Tensor] = [*branches.signs.values(), *branches.choice.tensors]
    held += [limit for both in branches.limits.values() for limit in both]
    return sum(one.numel() for one in held) // len(branches)
