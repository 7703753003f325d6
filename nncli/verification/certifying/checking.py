"""The check of a proof, in float64, that believes nothing of what is stored with it.

Every bound is computed anew from the network and the property, by the same passes that prove
properties in the first place, rounding included. What is stored says where to look: which slopes to
take, where to divide boxes, which multipliers to take. All of these are valid whatever they are, so
wrong ones give a weaker bound and never a wrong one. Divisions are made here, from the whole
region, so that their parts cover it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from nncli.verification.boxes import Boxes
from nncli.verification.certifying.branch_check import branches_proved, violating
from nncli.verification.certifying.multipliers import ROWS, certified_rows, rows_of
from nncli.verification.certifying.parts import Part, choice_of, tree_of
from nncli.verification.clock import Clock
from nncli.verification.domains import Domain, domain_of
from nncli.verification.input_splitting import split_inputs
from nncli.verification.intervals import Interval, least_of_rows
from nncli.verification.network import Network
from nncli.verification.properties import Property
from nncli.verification.queries import Query, queries
from nncli.verification.sdp.proving import fits
from nncli.verification.slopes import Choice, chosen_bound
from nncli.verification.squares import with_squares
from nncli.verification.tightening import Effort, Limits, bounded_rows, tightened

ROOM, TIMES = 2000, 4  # boxes that may be bounded: so many, and so many for each leaf
STEPS = 50  # for slopes of intermediate bounds, at most


@dataclass(frozen=True)
class Ground:
    """What the parts about one region share.

    Attributes:
        network: The network.
        query: The violations of the region.
        numbers: Numbers of float64 held at once, about.
    """

    network: Network
    query: Query
    numbers: int

    @cached_property
    def domain(self) -> Domain:
        """The region."""
        return domain_of([self.query.region])

    @cached_property
    def _known(self) -> dict[int, list[Interval]]:
        return {}

    def known(self, effort: int) -> list[Interval]:
        """Intervals of all places: by interval arithmetic (-1), linear bounds (0), or slopes."""
        effort = min(max(effort, -1), STEPS)
        if effort not in self._known:
            before = None if effort < 0 else self._limits(self.known(-1 if effort == 0 else 0))
            how = Effort(effort >= 0, max(effort, 0), self.numbers // 4)
            self._known[effort] = tightened(self.network, self.domain, how, before)
        return self._known[effort]

    def _limits(self, known: list[Interval]) -> Limits:
        parents = {self.network.activation(place).parent for place in self.network.activations}
        return {place: (known[place].low, known[place].high) for place in parents}

    @cached_property
    def sizes(self) -> dict[int, int]:
        """Numbers of each activation, by place."""
        return {place: self.network.size(place) for place in self.network.activations}

    def rows(self, which: Tensor) -> Tensor:
        """Rows of some violations."""
        return torch.nonzero(torch.isin(self.query.owner, which)).flatten()

    def excluded(self, bounds: Tensor, rows: Tensor) -> Tensor:
        """(V,) whether bounds (1, K) of rows show that each violation cannot happen."""
        margins = torch.full((1, len(self.query.owner)), -torch.inf, dtype=torch.float64)
        margins[:, rows] = self.query.margins(bounds, rows)
        return self.query.excluded(margins)[0] > 0


def check(
    network: Network, question: Property, parts: Sequence[Part], *, numbers: int = 60_000_000
) -> str | None:
    """Prove a property from a certificate.

    Args:
        network: The network.
        question: The property.
        parts: Parts of a proof, of whatever origin.
        numbers: Numbers of float64 held at once, about.

    Returns:
        `None` if the property is proved, else why it is not.
    """
    if any(part.method not in CHECKS for part in parts):
        unknown = next(part.method for part in parts if part.method not in CHECKS)
        return f"there is no check of the method `{unknown}`"
    whole = with_squares(network, question.squares)
    for query in queries(question):
        ground = Ground(whole, query, numbers)
        proved = torch.zeros(len(query.violations), dtype=torch.bool)
        tried: dict[int, str] = {}
        for part in parts:
            places = [query.numbers.index(one) for one in part.violations if one in query.numbers]
            if places:
                which = torch.tensor(sorted(set(places)))
                done = CHECKS[part.method](ground, part, which)
                proved[which] |= done[which]
                tried |= dict.fromkeys(which.tolist(), part.method)
        for place in torch.nonzero(~proved).flatten().tolist():
            words = query.violations[place].words
            if place not in tried:
                return f"the proof says nothing of `{words}`"
            return f"the hints of `{tried[place]}` do not prove that never `{words}`"
    return None


def _intervals(ground: Ground, part: Part, which: Tensor) -> Tensor:
    rows = ground.rows(which)
    bounds = least_of_rows(ground.query.rows(ground.network, rows), ground.known(-1))
    return ground.excluded(bounds, rows)


def _linear(ground: Ground, part: Part, which: Tensor) -> Tensor:
    rows, known = ground.rows(which), ground.known(part.effort)
    bounds = bounded_rows(ground.network, ground.query, known, rows, ground.numbers)
    return ground.excluded(bounds, rows)


def _slopes(ground: Ground, part: Part, which: Tensor) -> Tensor:
    rows = ground.rows(which)
    if ROWS in part.tensors:  # some of them do
        rows = rows_of(part.tensors, rows)
    if not len(rows):
        return torch.zeros(len(ground.query.violations), dtype=torch.bool)
    choice = choice_of(part.tensors, ground.sizes, (1, len(rows)))
    factors, known = ground.query.rows(ground.network, rows), ground.known(part.effort)
    bound = chosen_bound(ground.network, factors, ground.domain, known, Choice(choice.slopes))
    return ground.excluded(bound.bound, rows)


def _boxes(ground: Ground, part: Part, which: Tensor) -> Tensor:
    """Bound the leaves of the tree, and halve them further where that does not do."""
    found = torch.zeros(len(ground.query.violations), dtype=torch.bool)
    tree = tree_of(part.tensors, len(which), ground.network.inputs)
    if tree is None:
        return found
    start = torch.zeros(len(which), dtype=torch.int64)
    boxes = Boxes.of(ground.domain[start], which, torch.arange(len(which)))
    leaves = []
    while len(boxes):
        inner = tree.child[boxes.node] >= 0
        leaves.append(boxes[~inner])
        boxes = _divided(boxes[inner], tree.place, tree.at, tree.child)
    whole = Boxes(
        Domain.joined([one.domain for one in leaves]),
        torch.cat([one.violation for one in leaves]),
        torch.cat([one.node for one in leaves]),
        torch.cat([one.share for one in leaves]),
    )
    most = ROOM + TIMES * len(whole)
    stop = violating(ground.network, ground.query)
    done = split_inputs(
        ground.network,
        ground.query,
        stop,
        Clock(),
        begin=whole,
        most=most,
        numbers=ground.numbers,
    )
    found[which] = done.proved
    return found


def _signs(ground: Ground, part: Part, which: Tensor) -> Tensor:
    known = ground.known(part.effort)
    found = torch.zeros(len(ground.query.violations), dtype=torch.bool)
    found[which] = branches_proved(
        ground.network, ground.query, known, part, which, numbers=ground.numbers
    )
    return found


def _multipliers(ground: Ground, part: Part, which: Tensor) -> Tensor:
    proved = torch.zeros(len(ground.query.violations), dtype=torch.bool)
    if not fits(ground.network, ground.query, ground.known(part.effort), ground.numbers):
        return proved
    rows = rows_of(part.tensors, ground.rows(which))
    if not len(rows):
        return proved
    bounds = certified_rows(
        ground.network, ground.query, ground.known(part.effort), part.tensors, rows
    )
    return ground.excluded(bounds[None], rows)


def _divided(boxes: Boxes, place: Tensor, at: Tensor, child: Tensor) -> Boxes:
    """Both sides of each box; of a division beyond the box, the side that holds all of it."""
    along, where = place[boxes.node, None], at[boxes.node, None]
    low, high = boxes.domain.low, boxes.domain.high
    first = high.scatter(1, along, torch.minimum(high.gather(1, along), where))
    second = low.scatter(1, along, torch.maximum(low.gather(1, along), where))
    both = Boxes(
        Domain.joined([replace(boxes.domain, high=first), replace(boxes.domain, low=second)]),
        boxes.violation.repeat(2),
        torch.cat([child[boxes.node], child[boxes.node] + 1]),
        boxes.share.repeat(2) / 2,
    )
    empty = (both.domain.low > both.domain.high).any(dim=1)
    return both[torch.nonzero(~empty).flatten()]


Check = Callable[[Ground, Part, Tensor], Tensor]
CHECKS: Mapping[str, Check] = {
    "ibp": _intervals,
    "crown": _linear,
    "alpha-crown": _slopes,
    "input-split": _boxes,
    "sdp": _multipliers,
    "contradiction": _signs,
    "relu-split": _signs,
    "milp": _signs,
}
