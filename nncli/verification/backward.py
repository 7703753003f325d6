"""Linear bounds, passed back from a place to the input (CROWN).

A row of factors of some place is rewritten as factors of the places before it: exactly through
sums, by the line below where a factor is positive and the line above where it is negative through
activations. What arrives at the input is a linear function below the row, whose least value over
the input region is a bound. The rounding of every step is bounded on the way: what was computed at
a place counts as exact from there on, and what it cost is proportional to the greatest values that
the places can have. So each bound holds for the real-arithmetic function of the stored weights.

References:
    Zhang et al. 2018 (CROWN); Xu et al. 2020, Automatic perturbation analysis for scalable
    certified robustness (LiRPA).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nncli.verification.domains import Domain
from nncli.verification.intervals import Interval
from nncli.verification.network import Network, Sum
from nncli.verification.relaxation import Lines
from nncli.verification.rounding import UNIT, growth


@dataclass(frozen=True)
class Below:
    """Linear functions below rows of a network.

    Attributes:
        bound: (B, R) lower bounds over the regions, with all rounding taken off.
        factors: (B or 1, R, n) factors of the inputs.
        offset: (B, R) `factors . x + offset` is at most the row at every x of the region, with the
            rounding of the passes, but not that of this sum, taken off.
    """

    bound: Tensor
    factors: Tensor
    offset: Tensor


def below(
    network: Network,
    rows: Mapping[int, Tensor],
    domain: Domain,
    known: Sequence[Interval],
    relaxed: Mapping[int, Lines],
    *,
    multipliers: Mapping[int, Tensor] | None = None,
    trail: dict[int, Tensor] | None = None,
) -> Below:
    """Linear functions below rows.

    Args:
        network: The network.
        rows: Factors (B or 1, R, size) of the values at places: a row is their sum.
        domain: B input regions.
        known: Intervals of the places, the input first; as many as the rows reach.
        relaxed: Lines of the activations, by place.
        multipliers: Numbers (B, 1 or R, size) to take from the factors of what goes into an
            activation, by its place: the terms of Lagrange for splits (beta-CROWN).
        trail: Takes the factors that reach each activation.

    Returns:
        The functions and their least values.
    """
    waiting = dict(rows)
    first = next(iter(waiting.values()))
    offset = first.new_zeros(1, first.shape[1])
    lost = first.new_zeros(1, first.shape[1])
    for place in range(max(waiting), 0, -1):
        factors = waiting.pop(place, None)
        if factors is None:
            continue
        node = network.nodes[place - 1]
        if isinstance(node, Sum):
            offset = offset + factors @ node.bias
            lost = lost + growth(2 * node.terms + node.size + len(network.nodes) + 16) * _against(
                factors.abs(), known[place].sizes
            )
            for parent, one in zip(node.parents, node.maps, strict=True):
                _add(waiting, parent, one.adjoint(factors))
            continue
        if trail is not None:
            trail[place] = factors
        passed, added, error = _through(factors, relaxed[place])
        offset, lost = offset + added, lost + error
        if multipliers is not None and place in multipliers:
            passed = passed - multipliers[place]
        _add(waiting, node.parent, passed)
    factors = waiting.get(0)
    if factors is None:  # rows of constants alone
        factors = first.new_zeros(1, first.shape[1], network.inputs)
    least, error = domain.least(factors)
    offset = offset - 1.01 * lost
    size = offset.abs() + least.abs()
    return Below(offset + least - 1.01 * error - 4 * UNIT * size, factors, offset)


def _add(waiting: dict[int, Tensor], place: int, factors: Tensor) -> None:
    waiting[place] = waiting[place] + factors if place in waiting else factors


def _through(factors: Tensor, line: Lines) -> tuple[Tensor, Tensor, Tensor]:
    """Pass rows back through an activation: factors, what is added to the offset, its rounding.

    The rounding of the factors themselves is a few units of what they are: the sum that they go to
    next, or the input, takes it off together with its own.
    """
    down = factors.clamp_max(0)
    terms = growth(line.over.shape[-1] + 16)
    if line.under is None:
        added = _against(down, line.over)
        passed = torch.where(factors > 0, line.below, line.above) * factors
        return passed, added, -terms * added
    up = factors.clamp_min(0)
    passed = up * line.below + down * line.above
    added = _against(up, line.under) + _against(down, line.over)
    sizes = _against(up, line.under.abs()) - _against(down, line.over.abs())
    return passed, added, terms * sizes


def _against(factors: Tensor, other: Tensor) -> Tensor:
    """Sums of products: (B or 1, R, n) with (B or 1, n) or (B or 1, 1 or R, n) to (B or 1, R)."""
    other = other[:, None] if other.ndim == 2 else other
    if other.shape[1] == 1:
        return (factors @ other.transpose(1, 2))[..., 0]
    return (factors * other).sum(dim=-1)
