"""Which neuron a branch is divided at, and where.

References:
    Bunel et al. 2020, Branch and bound for piecewise linear neural network verification (the
    scores). De Palma et al. 2021, kFSB: try the best few, keep the best. Shi et al. 2024, Neural
    network verification with branch-and-bound for general nonlinearities.
"""

from dataclasses import replace

import torch
from torch import Tensor

from nncli.verification.backward import Below
from nncli.verification.branches import Branches, Setting, halves, still_open
from nncli.verification.certifying.leaves import Branching
from nncli.verification.curves import divisible, division, gaps
from nncli.verification.relaxation import Slopes, lines, unstable

CANDIDATES = 3  # neurons tried for each branch before one is divided


def costs(setting: Setting, branches: Branches, found: Below, trail: dict[int, Tensor]) -> Tensor:
    """How much each neuron that can be divided costs the bound: (B, all neurons), 0 for others."""
    worst = setting.margins(branches, found.bound).argmax(dim=1)
    each = torch.arange(len(branches))
    parts = []
    for place, (low, high) in branches.limits.items():
        if place not in trail:
            parts.append(torch.zeros_like(low))
            continue
        reached = trail[place].expand(len(branches), -1, -1)
        factors = reached[each, worst.clamp_max(reached.shape[1] - 1)]
        held = branches.choice.slopes.get(place, Slopes())
        slopes = Slopes(_of(held.below, each, worst), _of(held.above, each, worst))
        function = setting.network.activation(place).function
        if function == "relu":
            bent = unstable(low, high)
            slope = torch.zeros_like(low) if slopes.below is None else slopes.below[:, 0]
            over = -high * low / (high - low).clamp_min(1e-300)
            under = (slope * -low + (1 - slope) * high) / 2
        else:
            bent = divisible(low, high)
            over, under = gaps(function, low, high, slopes)
        loss = -factors.clamp_max(0) * over + factors.clamp_min(0) * under
        parts.append(torch.where(bent, loss, 0.0))
    return torch.cat([*parts, each.new_zeros(len(each), 1, dtype=torch.float64)], dim=1)


def _of(slopes: Tensor | None, each: Tensor, row: Tensor) -> Tensor | None:
    """(B, 1, n) the slopes of one row of each branch."""
    return None if slopes is None else slopes[each, row][:, None]


def split(
    setting: Setting, branches: Branches, scores: Tensor, tree: Branching | None = None
) -> Branches:
    """Two branches for each, split at the neuron that helps most of the best few."""
    count = min(CANDIDATES, scores.shape[1])
    values, neurons = scores.topk(count, dim=1)
    if count == 1 or not bool((values[:, 1] > 0).any()):
        return divided(setting, branches, neurons[:, 0], tree)
    gains = []
    for turn in range(count):
        both = divided(setting, branches, neurons[:, turn])
        margins = setting.margins(both, setting.bound(both).bound).amax(dim=1)
        empty = torch.ones(len(both), dtype=torch.bool)
        empty[still_open(replace(both, margin=torch.zeros_like(both.margin)))] = False
        margins = torch.where(empty, torch.inf, margins)
        first, second = margins[: len(branches)], margins[len(branches) :]
        gain = torch.minimum(first, second) + 1e-3 * torch.maximum(first, second).clamp_max(1e3)
        gains.append(torch.where(values[:, turn] > 0, gain, -torch.inf))
    best = torch.stack(gains, dim=1).argmax(dim=1)
    return divided(setting, branches, neurons.gather(1, best[:, None])[:, 0], tree)


def divided(
    setting: Setting, branches: Branches, neurons: Tensor, tree: Branching | None = None
) -> Branches:
    """Two branches for each, divided at a neuron: a ReLU at 0, others where lines come near.

    Args:
        setting: The network and the question.
        branches: The branches.
        neurons: (B,) which neuron of all.
        tree: Takes where they are divided.
    """
    if setting.network.pieces:
        return halves(branches, neurons, tree)
    curved, before = [], 0
    at = torch.zeros(len(branches), dtype=torch.float64)
    for place, (low, high) in branches.limits.items():
        here = torch.nonzero((neurons >= before) & (neurons < before + low.shape[1])).flatten()
        column = neurons[here] - before
        before += low.shape[1]
        function = setting.network.activation(place).function
        if function != "relu" and len(here):
            at[here] = division(function, low[here, column], high[here, column])
            curved.append((place, here, column))
    both = halves(branches, neurons, tree, at)
    for place, here, column in curved:
        _ruled(setting, both, place, torch.cat([here, here + len(branches)]), column.repeat(2))
    return both


def _ruled(
    setting: Setting, branches: Branches, place: int, chosen: Tensor, column: Tensor
) -> None:
    """Give divided neurons the slopes of CROWN's rule, for those of the whole are of no use."""
    slopes = branches.choice.slopes.get(place, Slopes())
    low, high = (one[chosen, column][:, None] for one in branches.limits[place])
    line = lines(setting.network.activation(place).function, low, high)
    for held, rule in ((slopes.below, line.below), (slopes.above, line.above)):
        if held is not None:
            held[chosen, :, column] = rule[:, 0]
