"""The check of a tree that divides what goes into activations."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nncli.verification.branches import Branches, Setting, empty, halves, root, still_open
from nncli.verification.cells import decide_cell
from nncli.verification.certifying.leaves import Leaves
from nncli.verification.certifying.parts import Part, tree_of
from nncli.verification.clock import Clock
from nncli.verification.contradiction import supposed
from nncli.verification.domains import domain_of
from nncli.verification.intervals import Interval
from nncli.verification.network import Network
from nncli.verification.queries import Query, rows_of_violations
from nncli.verification.relu_splitting import split_relus
from nncli.verification.slopes import Choice
from nncli.verification.trees import Divisions
from nncli.verification.waiting import Waiting, together

ROOM, TIMES = 50, 1  # branches that may be bounded by search: so many, and so many for each leaf
STEPS = 20


def branches_proved(
    network: Network,
    query: Query,
    known: Sequence[Interval],
    part: Part,
    which: Tensor,
    *,
    numbers: int,
) -> bool:
    """Whether violations cannot happen, by a tree of branches of which all leaves are closed.

    Leaves are closed by the slopes and multipliers that are stored, else by a linear programme
    where that is what the method rests on, else by a search of bounded length that begins there.

    Args:
        network: The network.
        query: The violations.
        known: Intervals (1, n) of all places.
        part: The tree and what is stored of its leaves; any of it may be wrong.
        which: (K,) places of the violations, in the order of the roots.
        numbers: Numbers of float64 held at once, about.
    """
    picked = rows_of_violations(query)
    setting = Setting(network, query, picked, domain_of([query.region]), known, STEPS, _go_on)
    neurons = sum(low.shape[1] for low, _ in root(setting, which[:1]).limits.values())
    tree = tree_of(part.tensors, len(which), neurons)
    if tree is None or not _at_bends(network, tree):
        return False
    sizes = {place: network.size(place) for place in network.activations}
    leaves = Leaves.of(part.tensors, len(tree.child), sizes, picked.shape[1])
    violates = violating(network, query)
    most = ROOM + TIMES * int((tree.child < 0).sum())
    at_once = together(setting, numbers)
    parts = torch.split(torch.arange(len(which)), at_once)
    waiting = Waiting((root(setting, which[one], one) for one in parts), at_once, numbers)
    while waiting.more():
        branches = waiting.take()
        branches = _sharpened(setting, branches, leaves, numbers)
        inner = tree.child[branches.node] >= 0
        left = _left(setting, branches[~inner], leaves, part.method)
        if len(left):
            found = split_relus(
                network, query, known, violates, Clock(), numbers=numbers, begin=left, most=most
            )
            most -= found.boxes
            if not found.proved:
                return False
        if bool(inner.any()):
            waiting.put(_divided(branches[inner], tree))
    return True


def _at_bends(network: Network, tree: Divisions) -> bool:
    """Whether ReLUs are divided at 0 alone, where what is below and above is linear."""
    nodes = [network.activation(place) for place in network.activations]
    relu = torch.tensor([one.function == "relu" for one in nodes for _ in range(one.size)])
    inner = tree.child >= 0
    return not bool(inner.any()) or not bool(tree.at[inner][relu[tree.place[inner]]].any())


def violating(network: Network, query: Query) -> Callable[[Tensor], bool]:
    """Whether an input (n,) ends a search without hope, as far as float64 can tell.

    Searches also come upon points of the box that are outside of the ball, and of numbers of
    float32 that are outside of both: what happens there says nothing against a proof.
    """
    root = domain_of([query.region])

    def ends(x: Tensor) -> bool:
        inside = bool(((root.low <= x) & (x <= root.high)).all())
        there = inside and not bool(replace(root, low=x[None], high=x[None]).apart)
        return there and bool((query.reached(x, network(x)) <= 0).any())

    return ends


def _divided(branches: Branches, tree: Divisions) -> Branches:
    first = tree.child[branches.node]
    both = halves(branches, tree.place[branches.node], at=tree.at[branches.node])
    return replace(both, node=torch.cat([first, first + 1]))


def _sharpened(setting: Setting, branches: Branches, leaves: Leaves, numbers: int) -> Branches:
    """The branches that are not empty, with intervals tightened as often as the search did."""
    for turn in leaves.again:
        rows = turn[branches.node]
        chosen = torch.nonzero(rows >= 0).flatten()
        if not len(chosen):
            break
        part = replace(branches[chosen], choice=_fitting(leaves.supposed[rows[chosen]], branches))
        part = replace(part, margin=setting.margins(part, setting.bound(part).bound).amax(dim=1))
        part = supposed(setting, part, numbers)
        for place, (low, high) in branches.limits.items():
            low[chosen], high[chosen] = part.limits[place]
        branches = branches[~empty(branches)]
    return branches


def _fitting(choice: Choice, branches: Branches) -> Choice:
    """A choice with multipliers only where there can be splits."""
    splits = {place: one for place, one in choice.multipliers.items() if place in branches.signs}
    return Choice(choice.slopes, splits)


def _left(setting: Setting, branches: Branches, leaves: Leaves, method: str) -> Branches:
    """Leaves that what is stored does not close."""
    left = branches[still_open(branches)]
    for chosen, stored in _stored(left, leaves):
        part = replace(left[chosen], choice=stored)
        margin = left.margin.clone()
        margin[chosen] = setting.margins(part, setting.bound(part).bound).amax(dim=1)
        left = replace(left, margin=margin)
    left = left[still_open(left)]
    if method == "milp":
        closed = [decide_cell(setting, left[one : one + 1]).proved for one in range(len(left))]
        left = left[torch.nonzero(~torch.tensor(closed, dtype=torch.bool)).flatten()]
    return left


def _stored(branches: Branches, leaves: Leaves) -> list[tuple[Tensor, Choice]]:
    """Those branches of which something is stored, and what."""
    rows = leaves.row[branches.node]
    there = torch.nonzero(rows >= 0).flatten()
    if not len(there):
        return []
    return [(there, _fitting(leaves.choice[rows[there]], branches))]


def _go_on() -> None:
    return
