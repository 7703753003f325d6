"""Branch and bound over the inputs: for networks of few inputs, to the end.

Boxes are bounded in batches, each with intervals of its own. What a linear bound already shows of a
box is cut off it. A box that loses half of some input so is bounded again; what remains open is
halved along the input that the bounds depend on most, or are loose because of. The corners where
the linear bounds are least, and the middles, are tried as counterexamples.

On networks that encode formulas this is the method of Davis, Putnam, Logemann and Loveland, where a
cut is a unit propagation.

References:
    Wang et al. 2018, Formal security analysis of neural networks using symbolic intervals;
    Clip-and-Verify (2025), for the cut.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nncli.verification.backward import Below, below
from nncli.verification.boxes import BATCH, Boxes, batch_of, can_be_halved, cut, halved
from nncli.verification.clock import Clock
from nncli.verification.domains import domain_of
from nncli.verification.falsifying import inside
from nncli.verification.network import Network
from nncli.verification.queries import Query, rows_of_violations
from nncli.verification.relevance import relevance_of_inputs
from nncli.verification.tightening import Effort, relaxations, tightened
from nncli.verification.trees import Tree

FEW_INPUTS = 20  # up to here boxes are halved to the end, by those who can choose
FEW = 8  # fewer boxes than this are halved twice, so that batches fill up
FINEST = 1e-12  # of the width at the start: what is no wider is not halved any more
MUCH = 0.5  # of an input's width: a box of which so much is cut off is bounded again first
SOON = 0.03  # of the time that is left, within which a search should end to go on after its trial
PIECE = 1_000_000  # numbers of a backward pass: larger ones are no faster, and split up the memory
# A search in which this share of boxes is cut a lot works on something like a formula (of texts and
# images it is 0.2 or less), for which nothing is better: it has so many trials, and all the time.
PROPAGATING, TRIALS = 0.5, 40


@dataclass(frozen=True)
class Splitting:
    """What branch and bound has found.

    Attributes:
        proved: Whether no violation can happen.
        counterexample: (n,) an input that was confirmed, or `None`.
        boxes: Boxes that were bounded.
    """

    proved: bool
    counterexample: Tensor | None
    boxes: int


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
    trial: float | None = None,
    numbers: int = 30_000_000,
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
        trial: Seconds after which to give up, more where boxes are cut a lot, unless the search may
            come to its end in the time that is left.
        numbers: Numbers of float64 held at once, about.

    Returns:
        What was found.

    Raises:
        OutOfTime: The deadline has passed.
    """
    picked = rows_of_violations(query)
    root = domain_of([one.region for one in query.violations])
    narrowest = (root.high - root.low) * FINEST
    first = torch.arange(len(query.violations)) if open_violations is None else open_violations
    nodes = torch.zeros_like(first) if tree is None else tree.plant(len(first))
    whole = Boxes.of(root[first], first, nodes)
    waiting = [whole if begin is None else begin]
    done, stuck, started, propagated = 0, 0, clock.spent, 0
    room = _Room.of(network, query, picked, numbers)
    while waiting:
        clock.check()
        enough = most is not None and done > most
        patient = propagated > PROPAGATING * done
        if enough or (trial is not None and not _promises(waiting, clock, started, trial, patient)):
            return Splitting(False, None, done)
        boxes = batch_of(waiting, room.batch(sum(map(len, waiting))))
        done += len(boxes)
        one = _bounded(network, query, picked[boxes.violation], boxes, room.effort(clock))
        stuck += one.beyond
        if not len(one.boxes):
            continue
        witness = _witness(network, query, one.boxes, one.found, confirm)
        if witness is not None:
            return Splitting(False, witness, done)
        boxes, kept = cut(one.boxes, one.found.factors, query.margins(one.found.offset, one.rows))
        width, before = boxes.domain.high - boxes.domain.low, one.width[kept]
        finest = narrowest[boxes.violation]
        again = ((width < MUCH * before) & (before > finest)).any(dim=1)
        if bool(again.any()):
            waiting.append(boxes[again])
            propagated += int(again.sum())
        boxes, kept, finest = boxes[~again], kept[~again], finest[~again]
        ended = ~can_be_halved(boxes.domain, finest).any(dim=1)
        stuck += int(ended.sum())
        boxes, kept, finest = boxes[~ended], kept[~ended], finest[~ended]
        if len(boxes):
            few = len(boxes) + sum(map(len, waiting)) < FEW
            moved, loosened = one.moved[kept], one.loosened[kept]
            waiting.append(halved(boxes, moved, loosened, finest, few=few, tree=tree))
    return Splitting(stuck == 0, None, done)


@dataclass(frozen=True)
class _Open:
    """Boxes that bounds leave open.

    Attributes:
        boxes: The boxes.
        rows: (B, K) the rows of the violation of each.
        found: Linear functions below the margins, which are its bounds.
        moved: (B, n) how much each input moves the bounds.
        loosened: (B, n) how much of what the bounds lose is due to each input.
        beyond: Boxes that are left out because values are beyond floating point.
    """

    boxes: Boxes
    rows: Tensor
    found: Below
    moved: Tensor
    loosened: Tensor
    beyond: int

    @property
    def width(self) -> Tensor:
        """(B, n) of the boxes."""
        return self.boxes.domain.high - self.boxes.domain.low


@dataclass(frozen=True)
class _Room:
    """How many boxes there is memory for.

    Attributes:
        numbers: Numbers held at once, about.
        bounding: Numbers that bounding one box takes, whatever is left out.
        keeping: Numbers that one box takes that waits.
    """

    numbers: int
    bounding: int
    keeping: int

    @staticmethod
    def of(network: Network, query: Query, picked: Tensor, numbers: int) -> "_Room":
        """Of a search for violations of which each has K of the rows `picked` (V, K)."""
        rows = picked.shape[1]
        # Intervals, lines and the factors that reach activations of all places; of the widest one
        # a few times the factors of the rows, or of one neuron and its negation; all margins.
        held = (
            (8 + rows) * sum(network.sizes)
            + (12 + 6 * rows) * max(network.sizes)
            + 4 * len(query.constants)
        )
        return _Room(numbers, held, 2 * network.inputs + 8)

    def batch(self, waiting: int) -> int:
        """Boxes to take.

        Of B boxes that are taken 2 B come back at most (4 B where they are few), so that what waits
        stays below `spare`, but for what a single box leaves on its way down: one box for each time
        that it is halved, which is 40 times an input at most.
        """
        spare = self.numbers // (8 * self.keeping)
        return max(1, min(BATCH, self.numbers // (2 * self.bounding), spare - waiting))

    def effort(self, clock: Clock) -> Effort:
        """For the intervals of a batch."""
        return Effort(numbers=min(self.numbers // 8, PIECE), pause=clock.check)


def _bounded(network: Network, query: Query, rows: Tensor, boxes: Boxes, effort: Effort) -> _Open:
    """Bound boxes by plain linear bounds, each with intervals of its own."""
    known = tightened(network, boxes.domain, effort)
    relaxed = relaxations(network, known)
    trail: dict[int, Tensor] = {}
    found = below(network, query.rows(network, rows), boxes.domain, known, relaxed, trail=trail)
    margins = query.margins(found.bound, rows)
    best = margins.amax(dim=1)
    beyond = ~best.isfinite() & ~(best > 0)  # values are, and would be in halves
    left = torch.nonzero(~(best > 0) & ~beyond).flatten()
    weights = _weights(margins)
    loosened = relevance_of_inputs(network, known, relaxed, trail, weights)
    factors = _of(found.factors, left)
    return _Open(
        boxes[left],
        rows[left],
        Below(margins[left], factors, found.offset[left]),
        (weights[left][:, None] @ factors.abs())[:, 0],
        loosened[left],
        int(beyond.sum()),
    )


def _promises(
    waiting: list[Boxes], clock: Clock, started: float, trial: float, patient: bool
) -> bool:
    """Whether a search is worth going on with: at its rate so far it ends soon."""
    spent = clock.spent - started
    if spent < trial * (TRIALS if patient else 1):
        return True
    left = min(1.0, sum(float(one.share.sum()) for one in waiting))
    return (1 - left) * clock.left * (1.0 if patient else SOON) >= left * spent


def _weights(margins: Tensor) -> Tensor:
    """(B, R) how much each row counts: those near to a proof most."""
    sizes = margins.abs()
    far = sizes + 1e-3 * sizes.amax(dim=1, keepdim=True) + 1e-300
    return torch.nan_to_num(far.amin(dim=1, keepdim=True) / far)


def _of(factors: Tensor, left: Tensor) -> Tensor:
    return factors[left] if len(factors) > 1 else factors.expand(len(left), -1, -1)


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
    regions = [query.violations[place].region for place in boxes.violation.tolist()]
    low = torch.stack([one.inner_low for one in regions])[:, None]
    high = torch.stack([one.inner_high for one in regions])[:, None]
    points = torch.minimum(torch.maximum(points, low), high).float().double()
    if query.region.ball is not None:
        points = inside(points, query.region).double()
    reached = query.reached(points, network(points))
    which = boxes.violation[:, None, None].expand(-1, 2, 1)
    good = torch.nonzero(reached.gather(-1, which)[..., 0] <= 0)
    for box, point in good[:8]:
        if confirm(points[box, point]):
            return points[box, point]
    return None
