"""Multipliers whose bound is that of CROWN, so that nothing that is found later is worse.

With multipliers of 0 for the products the Lagrangian is linear. A factor w that reaches the output
of a ReLU is made to vanish there by the chord's multiplier -w where w is negative, and else by w,
shared between `x >= y` and `x >= 0` as the slope of the lower line says: what is left on the inputs
is the linear function of CROWN.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nncli.verification.domains import Domain
from nncli.verification.intervals import Interval
from nncli.verification.sdp.lagrangian import Multipliers, Problem
from nncli.verification.slopes import Choice, chosen_bound


def linear_start(
    problem: Problem,
    rows: Mapping[int, Tensor],
    domain: Domain,
    known: Sequence[Interval],
    choice: Choice,
) -> Multipliers:
    """Multipliers of the linear bounds of some slopes.

    Args:
        problem: The problem of the rows.
        rows: Factors (1, R, size) by place; those of the problem.
        domain: Its box.
        known: Its intervals.
        choice: The slopes; by default those of CROWN.

    Returns:
        (FACTS, R, n) by the place of the activation.
    """
    trail: dict[int, Tensor] = {}
    chosen_bound(problem.network, rows, domain, known, choice, trail=trail)
    found = {}
    for place, neurons in problem.neurons.items():
        shape = (problem.rows, len(neurons.free))
        factors = trail[place][0] if place in trail else neurons.free.new_zeros(shape)
        up, down = factors.clamp_min(0) * neurons.free, -factors.clamp_max(0) * neurons.free
        given = known[neurons.parent]
        one = choice.slopes.get(place)
        if one is None or one.below is None:
            slope = (given.high > -given.low).to(factors.dtype)
        else:
            slope = one.below[0]
        slope, none = slope.detach(), torch.zeros_like(factors)
        found[place] = torch.stack([none, slope * up, (1 - slope) * up, down, none]).contiguous()
    return found
