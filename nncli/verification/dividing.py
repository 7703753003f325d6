"""Which neuron a branch is divided at.

References:
    Bunel et al. 2020, Branch and bound for piecewise linear neural network verification (the
    scores). De Palma et al. 2021, kFSB: try the best few, keep the best.
"""

from dataclasses import replace

import torch
from torch import Tensor

from nncli.verification.backward import Below
from nncli.verification.branches import Branches, Setting, halves, still_open
from nncli.verification.certifying.leaves import Branching
from nncli.verification.relaxation import unstable

CANDIDATES = 3  # neurons tried for each branch before one is divided


def costs(setting: Setting, branches: Branches, found: Below, trail: dict[int, Tensor]) -> Tensor:
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


def split(
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
