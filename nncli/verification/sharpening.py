"""Tightening of intervals beside a search over signs, in a share of its work.

What `supposed` costs for one branch is what some thousand branches cost to bound. It is spent where
it serves most: on branches that stand high in the tree, and again as long as it gains.
"""

from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

from nncli.verification.branches import Branches, Setting, joined, root, still_open
from nncli.verification.certifying.leaves import Branching
from nncli.verification.contradiction import numbers_passed, supposed

CREDIT = 1e9  # numbers that may be passed back for the roots, before there is a search
MUCH = 6e7  # numbers that are passed back for one branch
CALL = 2e6  # numbers that are passed back in the time that a few small matrices take
SHARE = 0.5  # of what the search passes back, for intervals
PASSES = 10  # back through the network for each branch that is bounded, beside steps of gradient
TOGETHER = 4  # branches
GAIN = 0.02  # of a bound: where less is gained, it is time to divide


@dataclass
class Sharpening:
    """How intervals are tightened.

    Attributes:
        setting: The network and the question.
        numbers: Numbers held at once, about.
        tree: Takes where it was done.
        room: Numbers that may be passed back.
        begins: Whether the search has bounded no branch yet.
    """

    setting: Setting
    numbers: int
    tree: Branching | None = None
    room: float = CREDIT
    begins: bool = True

    def due(self, waiting: list[Branches]) -> Branches | None:
        """Take out a few branches that were divided since, those that were waiting longest."""
        if self.tree is not None and not self.tree.takes_more:
            return None
        for turn, branches in enumerate(waiting):
            places = torch.nonzero(branches.rounds > 0).flatten()
            if len(places):
                cost = self._cost(branches[places[:1]])
                places = places[: int(min(TOGETHER, max(self.room // max(cost, 1.0), 0)))]
                if not len(places):
                    return None
                rest = torch.ones(len(branches), dtype=torch.bool)
                rest[places] = False
                waiting[turn] = branches[rest]
                if not bool(rest.any()):
                    del waiting[turn]
                return branches[places]
        return None

    def searched(self, count: int) -> None:
        """Note that branches were bounded, to which some work on intervals may be added."""
        network = self.setting.network
        width = sum(network.sizes)
        self.room = min(self.room, 0.0) if self.begins else self.room
        self.begins = False
        self.room += SHARE * (CALL + count * width * (self.setting.steps + PASSES))

    def sharpened(self, branches: Branches) -> Branches:
        """Those of the branches that stay open, with better intervals, and bounded.

        Args:
            branches: Branches that are waiting.
        """
        branches = self.setting.improved(branches)
        if self.tree is not None:
            self.tree.close(branches)
        branches = branches[still_open(branches)]
        if not len(branches):
            return branches
        if self.tree is not None:
            self.tree.suppose(branches)
        self.room -= self._cost(branches)
        before = branches.margin
        after = supposed(self.setting, branches, self.numbers)
        left = still_open(after)
        if not len(left):
            return after[left]
        after = self.setting.improved(after[left])
        if self.tree is not None:
            self.tree.close(after)
        gained = after.margin - before[left] > GAIN * before[left].abs()
        after = replace(after, rounds=gained * (after.rounds - 1))
        return after[still_open(after)]

    def _cost(self, branches: Branches) -> float:
        calls = 4 * len(branches.limits)  # searches of slopes of a layer, and of margins between
        return calls * CALL + numbers_passed(self.setting.network, branches)


@dataclass(frozen=True)
class Begun:
    """Whole regions whose violations were supposed, without finding a contradiction.

    Attributes:
        branches: Those that are left, in the order of their violations.
        tree: What the intervals of all rest on, if that is recorded.
    """

    branches: Branches
    tree: Branching | None

    def among(self, violations: Tensor) -> "Begun":
        """Those of some violations, as roots of a tree of their own.

        Args:
            violations: (K,) places, in order.
        """
        branches = self.branches[torch.isin(self.branches.violation, violations)]
        tree = None if self.tree is None else self.tree.roots(branches.node)
        return Begun(replace(branches, node=torch.arange(len(branches))), tree)


def costly(setting: Setting, which: Tensor) -> bool:
    """Whether to suppose a violation is much work.

    Args:
        setting: The network and the question.
        which: (K,) places of the violations.
    """
    return numbers_passed(setting.network, root(setting, which[:1])) > MUCH


def begun(setting: Setting, which: Tensor, numbers: int, tree: Branching | None) -> Begun:
    """Suppose violations, as long as that gains.

    Args:
        setting: The network and the question.
        which: (K,) places of the violations, in order.
        numbers: Numbers held at once, about.
        tree: Takes what intervals rest on; its roots are the violations.
    """
    sharpening = Sharpening(setting, numbers, tree)
    nodes = None if tree is None else tree.plant(len(which))
    branches = setting.improved(root(setting, which, nodes))
    waiting = [branches[still_open(branches)]]
    while (due := sharpening.due(waiting)) is not None:
        waiting.insert(0, sharpening.sharpened(due))
    waiting = [one for one in waiting if len(one)] or [branches[:0]]
    left = reduce(joined, waiting)
    return Begun(left[left.violation.argsort()], tree)
