"""Boxes of inputs in batches: cut by linear bounds, halved, and put together."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nncli.verification.domains import Domain
from nncli.verification.rounding import TINY, UNIT, growth
from nncli.verification.trees import Tree

BATCH = 256


@dataclass(frozen=True)
class Boxes:
    """Boxes still open, each for one violation.

    Attributes:
        domain: The boxes.
        violation: (B,) the place of the violation in the query.
        node: (B,) the node of each in the tree of the search, if there is one.
        share: (B,) the share of the whole search that each is, where half of a box is half of it.
    """

    domain: Domain
    violation: Tensor
    node: Tensor
    share: Tensor

    @staticmethod
    def of(domain: Domain, violation: Tensor, node: Tensor) -> "Boxes":
        """Boxes to begin with, all of one share."""
        return Boxes(domain, violation, node, torch.full((len(node),), 1.0 / max(len(node), 1)))

    def __len__(self) -> int:
        return len(self.domain)

    def __getitem__(self, chosen: Tensor | slice) -> "Boxes":
        """Some of the boxes."""
        return Boxes(
            self.domain[chosen], self.violation[chosen], self.node[chosen], self.share[chosen]
        )


def batch_of(waiting: list[Boxes], size: int = BATCH) -> Boxes:
    """Take boxes from the end, which keeps what is waiting short.

    Args:
        waiting: Boxes; those that are taken are removed.
        size: How many to take, if there are so many.
    """
    taken = waiting.pop()
    while len(taken) < size and waiting:
        taken = _joined(taken, waiting.pop())
    if len(taken) > size:
        places = torch.arange(len(taken))  # of a slice all would be kept in memory
        waiting.append(taken[places[size:]])
        taken = taken[places[:size]]
    return taken


def _joined(one: Boxes, other: Boxes) -> Boxes:
    both = Domain.joined([one.domain, other.domain])
    return Boxes(
        both,
        torch.cat([one.violation, other.violation]),
        torch.cat([one.node, other.node]),
        torch.cat([one.share, other.share]),
    )


def cut(boxes: Boxes, factors: Tensor, offset: Tensor) -> tuple[Boxes, Tensor]:
    """Cut off what a linear bound excludes: where `factors . x + offset > 0` nothing can happen.

    With the other inputs at their best, each input has a limit in closed form. Boxes that vanish
    are left out. The slack covers the sum over the inputs, the subtraction of one of them and that
    of the offset; the edge covers the quotient. Limits that are not a number cut nothing off.

    Returns:
        What is left of the boxes, and which of them they are.
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
    return replace(boxes[kept], domain=domain[kept]), kept


def halved(
    boxes: Boxes,
    effect: Tensor,
    relevance: Tensor,
    finest: Tensor,
    *,
    few: bool,
    tree: Tree | None = None,
) -> Boxes:
    """Halve boxes along the input that matters most; few boxes along two."""
    for _ in range(2 if few else 1):
        low, high = boxes.domain.low, boxes.domain.high
        along = _along(boxes.domain, effect, relevance, finest)[:, None]
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
        domain = replace(both.domain, low=new_low, high=new_high)
        boxes = Boxes(domain, both.violation, nodes, both.share / 2)
        effect, relevance = effect[twice], relevance[twice].scatter(1, along[twice], 0.0)
        finest = finest[twice]
    return boxes


def _along(domain: Domain, effect: Tensor, relevance: Tensor, finest: Tensor) -> Tensor:
    """(B,) the input to halve: one that loosens the bound, rather if it moves the bound as well."""
    moves = effect * (domain.high - domain.low)
    score = (_scaled(relevance) + 1e-9) * (_scaled(moves) + 0.1)
    return torch.where(can_be_halved(domain, finest), score, -1.0).argmax(dim=1)


def _scaled(score: Tensor) -> Tensor:
    return score / score.amax(dim=1, keepdim=True).clamp_min(1e-300)


def can_be_halved(domain: Domain, finest: Tensor) -> Tensor:
    """(B, n) which inputs of which boxes are wide enough, and have a number in the middle."""
    middle = (domain.low + domain.high) / 2
    between = (middle > domain.low) & (middle < domain.high)
    return between & (domain.high - domain.low > finest)
