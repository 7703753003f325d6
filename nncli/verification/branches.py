"""Branches of a search that divides what goes into activations, in batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nncli.verification.backward import Below, Cut
from nncli.verification.domains import Domain
from nncli.verification.intervals import Interval
from nncli.verification.network import Network
from nncli.verification.queries import Query
from nncli.verification.slopes import Choice, ascend, chosen_bound, joined_choices
from nncli.verification.splits import lower_half, upper_half
from nncli.verification.trees import Tree

ROUNDS = 16  # of tightening, at most: near a counterexample there is always a little to gain


@dataclass(frozen=True)
class Branches:
    """Branches still open, each for one violation.

    Attributes:
        violation: (B,) the place of the violation in the query.
        limits: Intervals (B, n) of what goes into each activation, by its place.
        signs: (B, n) by the same place: 1 or -1 where a branch has fixed the sign of a ReLU, or has
            divided what goes into another function; see `nncli.verification.splits`.
        choice: Slopes and multipliers of the bound that was found.
        margin: (B,) the bound.
        node: (B,) the node of each in the tree of the search, if there is one.
        rounds: (B,) int64 how often intervals may be tightened before it is divided.
    """

    violation: Tensor
    limits: dict[int, tuple[Tensor, Tensor]]
    signs: dict[int, Tensor]
    choice: Choice
    margin: Tensor
    node: Tensor
    rounds: Tensor

    def __len__(self) -> int:
        return len(self.violation)

    def __getitem__(self, chosen: Tensor | slice) -> "Branches":
        """Some of the branches."""
        return Branches(
            self.violation[chosen],
            {place: (low[chosen], high[chosen]) for place, (low, high) in self.limits.items()},
            {place: one[chosen] for place, one in self.signs.items()},
            self.choice[chosen],
            self.margin[chosen],
            self.node[chosen],
            self.rounds[chosen],
        )


@dataclass(frozen=True)
class Setting:
    """What does not change from branch to branch."""

    network: Network
    query: Query
    picked: Tensor
    root: Domain
    known: Sequence[Interval]
    steps: int
    pause: Callable[[], None]

    def rows(self, branches: Branches) -> dict[int, Tensor]:
        """The rows of the violation of each branch."""
        return self.query.rows(self.network, self.picked[branches.violation])

    def intervals(self, branches: Branches) -> list[Interval]:
        """Intervals of all places in each branch."""
        found = list(self.known)
        for place, (low, high) in branches.limits.items():
            parent = self.network.activation(place).parent
            if parent in self.network.forked:  # perhaps by two ReLUs
                found[parent] = found[parent].within(low, high)
            else:
                found[parent] = Interval(low, high, self.known[parent].sizes)
        return found

    def domain(self, branches: Branches) -> Domain:
        """The region, once a branch."""
        return self.root[torch.zeros(len(branches), dtype=torch.int64)]

    def bound(
        self,
        branches: Branches,
        trail: dict[int, Tensor] | None = None,
        cuts: dict[int, Cut] | None = None,
    ) -> Below:
        """The bound of what was chosen."""
        return chosen_bound(
            self.network,
            self.rows(branches),
            self.domain(branches),
            self.intervals(branches),
            branches.choice,
            signs=branches.signs,
            trail=trail,
            cuts=cuts,
        )

    def margins(self, branches: Branches, bound: Tensor) -> Tensor:
        """(B, K) margins of bounds."""
        return self.query.margins(bound, self.picked[branches.violation])

    def improved(self, branches: Branches) -> Branches:
        """The branches with slopes and multipliers that were searched for."""
        found = ascend(
            self.network,
            self.rows(branches),
            self.domain(branches),
            self.intervals(branches),
            steps=self.steps,
            begin=branches.choice,
            signs=branches.signs,
            pause=self.pause,
        )
        margins = self.margins(branches, found.bound).amax(dim=1)
        return replace(branches, choice=found.choice, margin=margins)


def root(setting: Setting, violations: Tensor, nodes: Tensor | None = None) -> Branches:
    """Branches that are not divided, with nothing chosen.

    Args:
        setting: The network and the question.
        violations: (B,) places of violations.
        nodes: (B,) the node of each in a tree; by default they are counted.
    """
    count = len(violations)
    nodes = torch.arange(count) if nodes is None else nodes
    limits, signs = {}, {}
    for place in setting.network.activations:
        node = setting.network.activation(place)
        given, shape = setting.known[node.parent], (len(violations), node.size)
        limits[place] = (given.low.expand(shape).clone(), given.high.expand(shape).clone())
        signs[place] = torch.zeros(shape, dtype=torch.float64)
    margin = torch.full((len(violations),), -torch.inf, dtype=torch.float64)
    return Branches(
        violations, limits, signs, Choice(), margin, nodes, torch.full_like(violations, ROUNDS)
    )


def neuron_index(branches: Branches, neuron: tuple[int, int]) -> int:
    """The place of a neuron among all: what `halves` takes.

    Args:
        branches: Branches of the network.
        neuron: The place of its activation, and which of its numbers.
    """
    before = 0
    for place, (low, _) in branches.limits.items():
        if place == neuron[0]:
            return before + neuron[1]
        before += low.shape[1]
    raise KeyError(neuron)


def joined(one: Branches, other: Branches) -> Branches:
    """Two batches as one, the first before the second."""
    return Branches(
        torch.cat([one.violation, other.violation]),
        {
            place: (
                torch.cat([low, other.limits[place][0]]),
                torch.cat([high, other.limits[place][1]]),
            )
            for place, (low, high) in one.limits.items()
        },
        {place: torch.cat([sign, other.signs[place]]) for place, sign in one.signs.items()},
        joined_choices(one.choice, other.choice),
        torch.cat([one.margin, other.margin]),
        torch.cat([one.node, other.node]),
        torch.cat([one.rounds, other.rounds]),
    )


def empty(branches: Branches) -> Tensor:
    """(B,) whether some interval is empty, so that nothing is in the branch."""
    found = torch.zeros(len(branches), dtype=torch.bool)
    for low, high in branches.limits.values():
        found |= (low > high).any(dim=1)
    return found


def still_open(branches: Branches) -> Tensor:
    """Places of the branches that are neither proved nor empty."""
    return torch.nonzero(~(branches.margin > 0) & ~empty(branches)).flatten()


def halves(
    branches: Branches, neurons: Tensor, tree: Tree | None = None, at: Tensor | None = None
) -> Branches:
    """The branches with what goes into a neuron not below a number, then with it not above.

    Args:
        branches: The branches.
        neurons: (B,) which neuron of all.
        tree: Takes where they are divided.
        at: (B,) the numbers, by default 0. For ReLUs they must be 0, where both lines are exact.
    """
    count = len(branches)
    both = branches[torch.arange(count).repeat(2)]
    limits, signs, offset = {}, {}, 0
    for place, limit in both.limits.items():
        low, high, sign = limit[0].clone(), limit[1].clone(), both.signs[place].clone()
        here = torch.nonzero((neurons >= offset) & (neurons < offset + low.shape[1])).flatten()
        column = neurons[here] - offset
        where = low.new_zeros(len(here)) if at is None else at[here]
        low[here, column] = torch.maximum(low[here, column], where)
        sign[here, column] = upper_half(sign[here, column])
        high[here + count, column] = torch.minimum(high[here + count, column], where)
        sign[here + count, column] = lower_half(sign[here + count, column])
        limits[place], signs[place] = (low, high), sign
        offset += low.shape[1]
    nodes = both.node if tree is None else tree.divide(branches.node, neurons, at)
    return replace(
        both, limits=limits, signs=signs, node=nodes, rounds=torch.full_like(both.rounds, ROUNDS)
    )
