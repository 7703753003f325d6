"""Branch and bound over the signs of ReLUs (beta-CROWN), for networks of many inputs.

A branch fixes the signs of some neurons: their ReLUs become linear, and what the signs say enters
the bound by multipliers. Branches are bounded in batches, slopes and multipliers starting from
those of the branch they came from. Where every neuron that matters is fixed, a linear programme
decides (`nncli.verification.cells`).

References:
    Wang et al. 2021, Beta-CROWN. Bunel et al. 2020, Branch and bound for piecewise linear neural
    network verification (the scores). De Palma et al. 2021, kFSB: try the best few, keep the best.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nncli.verification.backward import Below
from nncli.verification.branches import (
    Branches,
    Setting,
    halves,
    joined,
    neuron_index,
    root,
    still_open,
)
from nncli.verification.cells import decide_cell
from nncli.verification.certifying.leaves import Branching
from nncli.verification.clock import Clock
from nncli.verification.domains import domain_of
from nncli.verification.input_splitting import Splitting
from nncli.verification.intervals import Interval
from nncli.verification.network import Network
from nncli.verification.queries import Query, rows_of_violations
from nncli.verification.relaxation import unstable

CANDIDATES = 3  # neurons tried for each branch before one is split
ENOUGH = 1e-3  # of a bound: where no neuron costs so much, a linear programme says which matters


def split_relus(
    network: Network,
    query: Query,
    known: Sequence[Interval],
    confirm: Callable[[Tensor], bool],
    clock: Clock,
    *,
    open_violations: Tensor | None = None,
    steps: int = 10,
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
        numbers: Numbers held at once by a batch, about; what bounds memory.
        tree: Takes where branches were divided, and what closed them.
        begin: Branches to begin with, in place of the region for each open violation.
        most: Branches to bound at most, about; then what is open stays so.

    Returns:
        What was found. Branches are left over where a curved activation, which is not split, keeps
        them open.

    Raises:
        OutOfTime: The deadline has passed.
    """
    setting = Setting(
        network,
        query,
        rows_of_violations(query),
        domain_of([query.region]),
        known,
        steps,
        clock.check,
    )
    first = torch.arange(len(query.violations)) if open_violations is None else open_violations
    branches = setting.improved(root(setting, first, tree) if begin is None else begin)
    width = sum(network.size(place) for place in range(network.last + 1))
    batch = max(1, min(256, numbers // (20 * width * setting.picked.shape[1])))
    waiting, done, stuck = [branches], 0, 0
    while waiting:
        clock.check()
        if most is not None and done > most:
            return Splitting(False, None, sum(map(len, waiting)), done)
        branches = _batch(waiting, batch)
        branches = setting.improved(branches)
        done += len(branches)
        if tree is not None:
            tree.close(branches)
        branches = branches[still_open(branches)]
        if not len(branches):
            continue
        trail: dict[int, Tensor] = {}
        found = setting.bound(branches, trail)
        witness = _witness(setting, branches, found, confirm)
        if witness is not None:
            return Splitting(False, witness, 0, done)
        beyond = branches.margin.isneginf()  # values are beyond floating point
        stuck += int(beyond.sum())
        scores = _scores(setting, branches, found, trail)
        scores, branches = scores[~beyond], branches[~beyond]
        ended = scores.amax(dim=1) <= ENOUGH * branches.margin.abs()
        for place in torch.nonzero(ended).flatten():
            clock.check()
            branch = branches[place : place + 1]
            cell = decide_cell(setting, branch, clock.left, numbers)
            if cell.witness is not None and confirm(cell.witness):
                return Splitting(False, cell.witness, 0, done)
            if cell.neuron is None:
                stuck += not cell.proved
            else:
                neuron = torch.tensor([neuron_index(branch, cell.neuron)])
                waiting.append(halves(branch, neuron, tree))
        branches, scores = branches[~ended], scores[~ended]
        if len(branches):
            waiting.append(_split(setting, branches, scores, tree))
    return Splitting(stuck == 0, None, stuck, done)


def _batch(waiting: list[Branches], size: int) -> Branches:
    """Take branches from the end, which keeps what is waiting short."""
    taken = waiting.pop()
    while len(taken) < size and waiting:
        taken = joined(waiting.pop(), taken)
    if len(taken) > size:
        waiting.append(taken[:-size])
        taken = taken[-size:]
    return taken


def _witness(
    setting: Setting, branches: Branches, found: Below, confirm: Callable[[Tensor], bool]
) -> Tensor | None:
    """A counterexample among the points where the bounds are least, or `None`."""
    worst = setting.margins(branches, found.bound).argmax(dim=1)
    factors = found.factors[torch.arange(len(branches)), worst]
    points = setting.domain(branches).worst(factors)
    region = setting.query.region
    points = torch.minimum(torch.maximum(points, region.inner_low), region.inner_high)
    points = points.float().double()
    reached = setting.query.reached(points, setting.network(points))
    own = reached.gather(-1, branches.violation[:, None])[:, 0]
    for place in torch.nonzero(own <= 0).flatten()[:8]:
        if confirm(points[place]):
            return points[place]
    return None


def _scores(setting: Setting, branches: Branches, found: Below, trail: dict[int, Tensor]) -> Tensor:
    """How much each unfixed neuron costs the bound: (B, all neurons), 0 for fixed ones."""
    worst = setting.margins(branches, found.bound).argmax(dim=1)
    each = torch.arange(len(branches))
    parts = []
    for place, (low, high) in branches.limits.items():
        bent = unstable(low, high)
        if place not in trail:
            parts.append(torch.zeros_like(low))
            continue
        reached = trail[place].expand(len(branches), -1, -1)
        factors = reached[each, worst.clamp_max(reached.shape[1] - 1)]
        slope = branches.choice.slopes[place].below
        slope = torch.zeros_like(factors) if slope is None else slope[each, worst]
        chord_loss = -high * low / (high - low).clamp_min(1e-300)
        line_loss = (slope * -low + (1 - slope) * high) / 2
        loss = -factors.clamp_max(0) * chord_loss + factors.clamp_min(0) * line_loss
        parts.append(torch.where(bent, loss, 0.0))
    return torch.cat([*parts, each.new_zeros(len(each), 1, dtype=torch.float64)], dim=1)


def _split(
    setting: Setting, branches: Branches, scores: Tensor, tree: Branching | None = None
) -> Branches:
    """Two branches for each, split at the neuron that helps most of the best few."""
    count = min(CANDIDATES, scores.shape[1])
    values, neurons = scores.topk(count, dim=1)
    if count == 1 or not bool((values[:, 1] > 0).any()):
        return halves(branches, neurons[:, 0], tree)
    gains = []
    for turn in range(count):
        both = halves(branches, neurons[:, turn])
        margins = setting.margins(both, setting.bound(both).bound).amax(dim=1)
        empty = torch.ones(len(both), dtype=torch.bool)
        empty[still_open(replace(both, margin=torch.zeros_like(both.margin)))] = False
        margins = torch.where(empty, torch.inf, margins)
        first, second = margins[: len(branches)], margins[len(branches) :]
        gain = torch.minimum(first, second) + 1e-3 * torch.maximum(first, second).clamp_max(1e3)
        gains.append(torch.where(values[:, turn] > 0, gain, -torch.inf))
    best = torch.stack(gains, dim=1).argmax(dim=1)
    return halves(branches, neurons.gather(1, best[:, None])[:, 0], tree)
