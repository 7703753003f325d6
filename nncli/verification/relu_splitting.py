"""Branch and bound over what goes into activations (beta-CROWN), for networks of many inputs.

A branch fixes the signs of some neurons: their ReLUs become linear, and what the signs say enters
the bound by multipliers. What goes into a curved activation is divided likewise, at its bend or in
the middle of its interval (`nncli.verification.splits`). Branches are bounded in batches, slopes
and multipliers starting from those of the branch they came from. Intervals are tightened by
supposing that the violation happens (`nncli.verification.contradiction`): at first those of the
roots, as long as that gains, then, in a share of the work, those of branches that stand high in the
tree. Where every neuron that matters is fixed, a linear programme decides
(`nncli.verification.cells`); with curved activations there is none, and the search ends where
further divisions are of no use.

References:
    Wang et al. 2021, Beta-CROWN. Shi et al. 2024, Neural network verification with branch-and-bound
    for general nonlinearities (GenBaB).
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from nncli.verification.backward import Below
from nncli.verification.branches import (
    Branches,
    Setting,
    halves,
    neuron_index,
    root,
    still_open,
)
from nncli.verification.cells import decide_cell
from nncli.verification.certifying.leaves import Branching
from nncli.verification.clock import Clock
from nncli.verification.dividing import costs, split
from nncli.verification.domains import domain_of
from nncli.verification.falsifying import inside
from nncli.verification.input_splitting import Splitting
from nncli.verification.intervals import Interval
from nncli.verification.network import Network
from nncli.verification.queries import Query, rows_of_violations
from nncli.verification.sharpening import Sharpening
from nncli.verification.waiting import Waiting, together

STEPS = 10
ENOUGH = 1e-3  # of a bound: where no neuron costs so much, a linear programme says which matters


def split_relus(
    network: Network,
    query: Query,
    known: Sequence[Interval],
    confirm: Callable[[Tensor], bool],
    clock: Clock,
    *,
    open_violations: Tensor | None = None,
    steps: int = STEPS,
    numbers: int = 30_000_000,
    tree: Branching | None = None,
    begin: Branches | None = None,
    most: int | None = None,
) -> Splitting:
    """Fix signs of ReLUs until no violation is left, or one is found.

    Args:
        network: The network.
        query: The violations.
        known: Intervals (1, n) of all places, the best that are known.
        confirm: Whether an input (n,) is a counterexample, by an exact test.
        clock: The time.
        open_violations: (K,) places of the violations that are still open; by default all.
        steps: Steps of gradient for each branch.
        numbers: Numbers of float64 held at once, about; what bounds memory.
        tree: Takes where branches were divided, and what closed them.
        begin: Branches to begin with, in place of the region for each open violation.
        most: Branches to bound at most, about; then what is open stays so.

    Returns:
        What was found. Branches are left over where curved activations keep them open, however
        narrow their intervals.

    Raises:
        OutOfTime: The deadline has passed.
    """
    setting = searching(network, query, known, clock, steps)
    first = torch.arange(len(query.violations)) if open_violations is None else open_violations
    most_at_once = together(setting, numbers)
    coming = _beginnings(setting, first, begin, most_at_once, tree)
    waiting = Waiting(coming, most_at_once, numbers)
    sharpening = Sharpening(setting, numbers, tree)
    done, stuck = 0, 0
    while waiting.more():
        clock.check()
        if most is not None and done > most:
            return Splitting(False, None, done)
        due = sharpening.due(waiting.batches) if most is None else None
        if due is not None:
            done += len(due)
            waiting.put_last(sharpening.sharpened(due))
            continue
        branches = waiting.take()
        branches = setting.improved(branches)
        done += len(branches)
        sharpening.searched(len(branches))
        if tree is not None:
            tree.close(branches)
        branches = branches[still_open(branches)]
        if not len(branches):
            continue
        trail: dict[int, Tensor] = {}
        found = setting.bound(branches, trail)
        points, reached = _nearest(setting, branches, found)
        witness = _witness(points, reached, confirm)
        if witness is not None:
            return Splitting(False, witness, done)
        beyond = branches.margin.isneginf()  # values are beyond floating point
        stuck += int(beyond.sum())
        scores = costs(setting, branches, found, trail)
        ended = _ended(setting, branches, scores, reached)[~beyond]
        scores, branches = scores[~beyond], branches[~beyond]
        for place in torch.nonzero(ended).flatten():
            clock.check()
            branch = branches[place : place + 1]
            cell = decide_cell(setting, branch, clock.left, numbers)
            if cell.witness is not None and confirm(cell.witness):
                return Splitting(False, cell.witness, done)
            if cell.neuron is None:
                stuck += not cell.proved
            else:
                neuron = torch.tensor([neuron_index(branch, cell.neuron)])
                waiting.put(halves(branch, neuron, tree))
        if stuck and not network.pieces:  # no number of divisions will do
            return Splitting(False, None, done)
        branches, scores = branches[~ended], scores[~ended]
        if len(branches):
            waiting.put(split(setting, branches, scores, tree))
    return Splitting(stuck == 0, None, done)


def _ended(setting: Setting, branches: Branches, scores: Tensor, reached: Tensor) -> Tensor:
    """(B,) where further divisions are of no use, as far as costs and points tell.

    Curved activations can be divided without end. So it is enough that all costs together are less
    than what is lacking, where there is a point that violates, though it was not confirmed.
    """
    lacking = branches.margin.abs()
    ended = scores.amax(dim=1) <= ENOUGH * lacking
    if setting.network.pieces:
        return ended
    return ended | ((scores.sum(dim=1) <= lacking) & (reached < 0))


def searching(
    network: Network, query: Query, known: Sequence[Interval], clock: Clock, steps: int = STEPS
) -> Setting:
    """What a search does not change.

    Args:
        network: The network.
        query: The violations.
        known: Intervals (1, n) of all places.
        clock: The time.
        steps: Steps of gradient for each branch.
    """
    rows, domain = rows_of_violations(query), domain_of([query.region])
    return Setting(network, query, rows, domain, known, steps, clock.check)


def _beginnings(
    setting: Setting, first: Tensor, begin: Branches | None, most: int, tree: Branching | None
) -> Iterator[Branches]:
    """What the search begins with, some at a time, with slopes found for them."""
    count = len(first) if begin is None else len(begin)
    nodes = tree.plant(count) if tree is not None and begin is None else torch.arange(count)
    for chosen in torch.split(torch.arange(count), most):
        if len(chosen):
            part = root(setting, first[chosen], nodes[chosen]) if begin is None else begin[chosen]
            yield setting.improved(part)


def _nearest(setting: Setting, branches: Branches, found: Below) -> tuple[Tensor, Tensor]:
    """Points (B, n) where the bounds are least, and how near (B,) they come to the violations."""
    worst = setting.margins(branches, found.bound).argmax(dim=1)
    factors = found.factors[torch.arange(len(branches)), worst]
    points = inside(setting.domain(branches).worst(factors), setting.query.region).double()
    reached = setting.query.reached(points, setting.network(points))
    return points, reached.gather(-1, branches.violation[:, None])[:, 0]


def _witness(points: Tensor, reached: Tensor, confirm: Callable[[Tensor], bool]) -> Tensor | None:
    """A counterexample among points, or `None`."""
    for place in torch.nonzero(reached <= 0).flatten()[:8]:
        if confirm(points[place]):
            return points[place]
    return None
