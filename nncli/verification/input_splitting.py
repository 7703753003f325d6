"""Branch and bound over the inputs: for networks of few inputs, to the end.

Boxes are bounded in batches, each with intervals of its own. What a linear bound already shows of a
box is cut off it, and what remains open is halved along the input that the bounds depend on most.
The corners where the linear bounds are least, and the middles, are tried as counterexamples.

References:
    Wang et al. 2018, Formal security analysis of neural networks using symbolic intervals;
    Clip-and-Verify (2025), for the cut.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nncli.verification.backward import Below, below
from nncli.verification.clock import Clock
from nncli.verification.domains import Domain, domain_of
from nncli.verification.network import Network
from nncli.verification.queries import Query, rows_of_violations
from nncli.verification.rounding import TINY, UNIT, growth
from nncli.verification.tightening import Effort, relaxations, tightened
from nncli.verification.trees import Tree

BATCH = 256
FEW = 8  # fewer boxes than this are halved twice, so that batches fill up
FINEST = 1e-12  # of the width at the start: what is no wider is not halved any more


@dataclass(frozen=True)
class Splitting:
    """What branch and bound has found.

    Attributes:
        proved: Whether no violation can happen.
        counterexample: (n,) an input that was confirmed, or `None`.
        open_boxes: Boxes that are left over: too small to halve.
        boxes: Boxes that were bounded.
    """

    proved: bool
    counterexample: Tensor | None
    open_boxes: int
    boxes: int


@dataclass(frozen=True)
class Boxes:
    """Boxes still open, each for one violation.

    Attributes:
        domain: The boxes.
        violation: (B,) the place of the violation in the query.
        node: (B,) the node of each in the tree of the search, if there is one.
    """

    domain: Domain
    violation: Tensor
    node: Tensor

    def __len__(self) -> int:
        return len(self.domain)

    def __getitem__(self, chosen: Tensor | slice) -> "Boxes":
        """Some of the boxes."""
        return Boxes(self.domain[chosen], self.violation[chosen], self.node[chosen])


def split_inputs(
    network: Network,
    query: Query,
    confirm: Callable[[Tensor], bool],
    clock: Clock,
    *,
    open_violations: Tensor | None = None,
    tree: Tree | None = None,
    begin: Boxes | None = None,
    most: int | None = None,
) -> Splitting:
    """Halve boxes until no violation is left, or one is found.

    Args:
        network: The network.
        query: The violations.
        confirm: Whether an input (n,) is a counterexample, by an exact test.
        clock: The time.
        open_violations: (K,) places of the violations that are still open; by default all.
        tree: Takes where boxes were halved.
        begin: Boxes to begin with, in place of the region for each open violation.
        most: Boxes to bound at most, about; then what is open stays so.

    Returns:
        What was found.

    Raises:
        OutOfTime: The deadline has passed.
    """
    picked = rows_of_violations(query)
    root = domain_of([query.region])
    finest = (root.high - root.low)[0] * FINEST
    first = torch.arange(len(query.violations)) if open_violations is None else open_violations
    nodes = torch.zeros_like(first) if tree is None else tree.plant(len(first))
    whole = Boxes(root[torch.zeros(len(first), dtype=torch.int64)], first, nodes)
    waiting = [whole if begin is None else begin]
    done, stuck = 0, 0
    effort = Effort(pause=clock.check)
    while waiting:
        clock.check()
        if most is not None and done > most:
            return Splitting(False, None, sum(map(len, waiting)), done)
        boxes = _batch(waiting)
        done += len(boxes)
        rows = picked[boxes.violation]
        known = tightened(network, boxes.domain, effort)
        found = below(
            network, query.rows(network, rows), boxes.domain, known, relaxations(network, known)
        )
        margins = query.margins(found.bound, rows)
        best = margins.amax(dim=1)
        beyond = ~best.isfinite() & ~(best > 0)  # values are, and would be in halves
        stuck += int(beyond.sum())
        left = torch.nonzero(~(best > 0) & ~beyond).flatten()
        if not len(left):
            continue
        boxes, rows, margins = boxes[left], rows[left], margins[left]
        found = Below(margins, _of(found.factors, left), found.offset[left])
        witness = _witness(network, query, boxes, found, confirm)
        if witness is not None:
            return Splitting(False, witness, 0, done)
        offset = query.margins(found.offset, rows)
        boxes, factors = _cut(boxes, found.factors, offset, margins)
        ended = ~_can_be_halved(boxes.domain, finest).any(dim=1)
        stuck += int(ended.sum())
        boxes, factors = boxes[~ended], factors[~ended]
        if len(boxes):
            waiting.append(_halved(boxes, factors, finest, few=len(boxes) < FEW, tree=tree))
    return Splitting(stuck == 0, None, stuck, done)


def _can_be_halved(domain: Domain, finest: Tensor) -> Tensor:
    """(B, n) which inputs of which boxes are wide enough, and have a number in the middle."""
    middle = (domain.low + domain.high) / 2
    between = (middle > domain.low) & (middle < domain.high)
    return between & (domain.high - domain.low > finest)


def _of(factors: Tensor, left: Tensor) -> Tensor:
    return factors[left] if len(factors) > 1 else factors.expand(len(left), -1, -1)


def _batch(waiting: list[Boxes]) -> Boxes:
    """Take boxes from the end, which keeps what is waiting short."""
    taken = waiting.pop()
    while len(taken) < BATCH and waiting:
        taken = _joined(taken, waiting.pop())
    if len(taken) > BATCH:
        waiting.append(taken[BATCH:])
        taken = taken[:BATCH]
    return taken


def _joined(one: Boxes, other: Boxes) -> Boxes:
    both = Domain.joined([one.domain, other.domain])
    return Boxes(
        both,
        torch.cat([one.violation, other.violation]),
        torch.cat([one.node, other.node]),
    )


def _witness(
    network: Network,
    query: Query,
    boxes: Boxes,
    found: Below,
    confirm: Callable[[Tensor], bool],
) -> Tensor | None:
    """A counterexample among the corners where bounds are least and the middles, or `None`."""
    worst = found.bound.argmax(dim=1)
    factors = found.factors[torch.arange(len(boxes)), worst]
    middle = (boxes.domain.low + boxes.domain.high) / 2
    points = torch.stack([boxes.domain.worst(factors), middle], dim=1)
    region = query.region
    points = torch.minimum(torch.maximum(points, region.inner_low), region.inner_high)
    points = points.float().double()
    reached = query.reached(points, network(points))
    which = boxes.violation[:, None, None].expand(-1, 2, 1)
    good = torch.nonzero(reached.gather(-1, which)[..., 0] <= 0)
    for box, point in good[:8]:
        if confirm(points[box, point]):
            return points[box, point]
    return None


def _cut(boxes: Boxes, factors: Tensor, offset: Tensor, margins: Tensor) -> tuple[Boxes, Tensor]:
    """Cut off what a linear bound excludes: where `factors . x + offset > 0` nothing can happen.

    With the other inputs at their best, each input has a limit in closed form. Boxes that vanish
    are left out. The slack covers the sum over the inputs, the subtraction of one of them and that
    of the offset; the edge covers the quotient. Limits that are not a number cut nothing off.

    Returns:
        What is left of the boxes, and what their bounds depend on (B, n): the factors of all rows,
        those near to a proof counting most.
    """
    low, high = boxes.domain.low, boxes.domain.high
    reach = torch.maximum(low.abs(), high.abs())
    for row in range(factors.shape[1]):
        slope, free = factors[:, row], offset[:, row : row + 1]
        least = torch.where(slope > 0, slope * low, slope * high)
        rest = least.sum(dim=1, keepdim=True) - least
        slack = (
            growth(4 * low.shape[1] + 32)
            * ((slope.abs() * reach).sum(dim=1, keepdim=True) + free.abs())
            + TINY
        )
        limit = (slack - free - rest) / slope
        edge = 4 * UNIT * limit.abs()
        high = torch.where(slope > 0, torch.fmin(high, limit + edge), high)
        low = torch.where(slope < 0, torch.fmax(low, limit - edge), low)
    domain = replace(boxes.domain, low=low, high=high)
    kept = torch.nonzero((low <= high).all(dim=1) & ~domain.apart).flatten()
    left = replace(boxes[kept], domain=domain[kept])
    sizes = margins[kept].abs()
    far = sizes + 1e-3 * sizes.amax(dim=1, keepdim=True) + 1e-300
    return left, (factors[kept].abs() / far[..., None]).sum(dim=1)


def _halved(
    boxes: Boxes, factors: Tensor, finest: Tensor, *, few: bool, tree: Tree | None = None
) -> Boxes:
    """Halve boxes along the input with the greatest effect; few boxes along two."""
    for _ in range(2 if few else 1):
        low, high = boxes.domain.low, boxes.domain.high
        effect = (factors + 1e-30) * (high - low)
        effect = torch.where(_can_be_halved(boxes.domain, finest), effect, -1.0)
        along = effect.argmax(dim=1, keepdim=True)
        middle = ((low + high) / 2).gather(1, along)
        twice = torch.arange(len(boxes)).repeat(2)
        both = boxes[twice]
        count = len(boxes)
        new_high = both.domain.high.clone()
        new_high[:count].scatter_(1, along, middle)
        new_low = both.domain.low.clone()
        new_low[count:].scatter_(1, along, middle)
        nodes = both.node
        if tree is not None:
            nodes = tree.divide(boxes.node, along[:, 0], middle[:, 0])
        boxes = Boxes(replace(both.domain, low=new_low, high=new_high), both.violation, nodes)
        factors = factors[twice]
    return boxes
