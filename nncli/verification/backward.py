"""Linear bounds, passed back from a place to the input (CROWN).

A row of factors of some place is rewritten as factors of the places before it: exactly through
sums, by the line below where a factor is positive and the line above where it is negative through
activations. What arrives at the input is a linear function below the row, whose least value over
the input region is a bound. The rounding of every step is bounded on the way: what was computed at
a place counts as exact from there on, and what it cost is proportional to the greatest values that
the places can have. So each bound holds for the real-arithmetic function of the stored weights.

In detail, with u the unit of rounding, f the factors and v the exact values of a place:
- Sum: `W'f` is off by growth(terms) |W|'|f|, so its product with the parents' values by that much
  of |f| `sizes`; `f . bias` likewise with as many terms as the node has. Factors that several nodes
  send to one place are added up: each addition is off by u times its result, which is at most the
  sum of what was sent. So is the offset, once a node.
- ReLU: the lower line of any slope in [0, 1] is valid, and `slope f` never leaves them by rounding;
  the upper slope is off by 2 u, times its reach at most `high`, which is in the `sizes` of whatever
  took the ReLU's value.
- Other functions: slopes are off by 2 u of f v, which the next sum, or the input, takes off as long
  as no other factors cancel it. Where a place is taken by several nodes it is taken off at once.
- Multipliers of ReLUs stand only at neurons of a fixed sign, whose lines are exact; a rounding of
  their difference is a change of the multiplier, or is smaller than what is left.
- Multipliers m of other functions stand where the slopes are off by 2 u of f, and may cancel what
  would take that off. So it is taken off here, with the rounding of the difference: of both, u
  (|slope f| + |m|), times the reach of what the multiplier is of. Of the offset `m c`, |c| is at
  most that reach, so that its sum is off by growth(size) |m| times the reach.
- Products too small for floating point: see `nncli.verification.rounding`.
What is infinite or not a number proves nothing: such a bound is minus infinity.

References:
    Zhang et al. 2018 (CROWN); Xu et al. 2020, Automatic perturbation analysis for scalable
    certified robustness (LiRPA).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nncli.verification.domains import Domain
from nncli.verification.intervals import Interval
from nncli.verification.maxima import capped
from nncli.verification.network import Network, Sum
from nncli.verification.relaxation import Lines
from nncli.verification.rounding import TINY, UNIT, growth


@dataclass(frozen=True)
class Below:
    """Linear functions below rows of a network.

    Attributes:
        bound: (B, R) lower bounds over the regions, with all rounding taken off.
        factors: (B or 1, R, n) factors of the inputs.
        offset: (B, R) `factors . x + offset` is at most the row at every x of the region, with the
            rounding of the passes, but not that of this sum, taken off. Not a number where values
            are beyond floating point.
    """

    bound: Tensor
    factors: Tensor
    offset: Tensor


@dataclass(frozen=True)
class Cut:
    """Rows on their way back: at every point a row is at least `rows . values + offset`.

    Attributes:
        rows: Factors (B or 1, R, size) of the values at places.
        offset: (B or 1, R) with the rounding so far taken off.
    """

    rows: Mapping[int, Tensor]
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
    cuts: dict[int, Cut] | None = None,
    rounding: bool = True,
    caps: bool = True,
) -> Below:
    """Linear functions below rows.

    Args:
        network: The network.
        rows: Factors (B or 1, R, size) of the values at places: a row is their sum.
        domain: B input regions.
        known: Intervals of the places, the input first; as many as the rows reach.
        relaxed: Lines of the activations, by place.
        multipliers: Numbers m (B, 1 or R, size) of what goes into an activation, by its place: the
            terms of Lagrange `m (c - y)` for splits (beta-CROWN). For a ReLU c is 0, for others the
            lower end of the interval of y where m is positive, the upper one where negative.
        trail: Takes the factors that reach each activation.
        cuts: Takes the rows as they are when they reach each activation.
        rounding: Whether to take off the rounding. Without, bounds are for searching only.
        caps: Whether maxima may be bounded by constants too, see `nncli.verification.maxima`.

    Returns:
        The functions and their least values.
    """
    waiting = dict(rows)
    first = next(iter(waiting.values()))
    offset = first.new_zeros(1, first.shape[1])
    lost = first.new_zeros(1, first.shape[1])
    spare = 2 * len(network.nodes) + 16  # additions to factors and to the offset, and a few more
    for place in range(max(waiting), 0, -1):
        factors = waiting.pop(place, None)
        if factors is None:
            continue
        node = network.nodes[place - 1]
        if isinstance(node, Sum):
            cap = capped(network, place, known) if caps else None
            factors, added, error = _through(factors, cap, spare)
            offset = offset + added + factors @ node.bias
            if rounding:
                lost = lost + error()
                lost = lost + growth(2 * node.terms + node.size + spare) * _against(
                    factors.abs(), known[place].sizes
                )
            for parent, one in zip(node.parents, node.maps, strict=True):
                _add(waiting, parent, one.adjoint(factors))
            continue
        if trail is not None:
            trail[place] = factors
        if cuts is not None:
            cuts[place] = Cut({**waiting, place: factors}, offset - 1.01 * lost)
        passed, added, error = _through(factors, relaxed[place], spare)
        if multipliers is not None and place in multipliers:
            terms, curved = multipliers[place], relaxed[place].under is not None
            more, wrong = _divided(passed, terms, known[node.parent] if curved else None, spare)
            passed, added, lost = passed - terms, added + more, lost + wrong
        offset = offset + added
        if rounding:
            lost = lost + error()
            if node.parent in network.forked:
                reach = known[node.parent].reach
                lost = lost + growth(spare) * _against(passed.abs(), reach)
        _add(waiting, node.parent, passed)
    factors = waiting.get(0)
    if factors is None:  # rows of constants alone
        factors = first.new_zeros(1, first.shape[1], network.inputs)
    if not rounding:
        least = domain.least(factors)
        offset = offset.expand_as(least)
        return Below(offset + least, factors, offset)
    least, wrong = domain.least(factors), domain.rounding(factors)
    offset = (offset - 1.01 * lost).expand_as(least)
    size = offset.abs() + least.abs()
    bound = offset + least - 1.01 * wrong - 8 * UNIT * size - TINY
    return Below(torch.nan_to_num(bound, -torch.inf, -torch.inf), factors, offset)


def _add(waiting: dict[int, Tensor], place: int, factors: Tensor) -> None:
    waiting[place] = waiting[place] + factors if place in waiting else factors


def _through(
    factors: Tensor, line: Lines | None, spare: int
) -> tuple[Tensor, Tensor, Callable[[], Tensor]]:
    """Pass rows back through an activation: factors, what is added to the offset, its rounding.

    Without lines nothing is done.
    """
    if line is None:
        nothing = factors.new_zeros(1, factors.shape[1])
        return factors, nothing, lambda: nothing
    down = factors.clamp_max(0)
    terms = growth(line.over.shape[-1] + spare)
    if line.under is None:
        added = _against(down, line.over)
        passed = torch.where(factors > 0, line.below, line.above) * factors
        return passed, added, lambda: -terms * added
    up = factors.clamp_min(0)
    passed = up * line.below + down * line.above
    added = _against(up, line.under) + _against(down, line.over)

    def error() -> Tensor:
        assert line.under is not None
        return terms * (_against(up, line.under.abs()) - _against(down, line.over.abs()))

    return passed, added, error


def _divided(
    factors: Tensor, terms: Tensor, given: Interval | None, spare: int
) -> tuple[Tensor | float, Tensor | float]:
    """What terms of splits add to the offset, and all of their rounding; nothing for a ReLU."""
    if given is None:
        return 0.0, 0.0
    up, down = terms.clamp_min(0), terms.clamp_max(0)
    added = _against(up, given.low) + _against(down, given.high)
    wrong = _against(factors.abs() + terms.abs(), given.reach)
    return added, growth(2 * terms.shape[-1] + spare) * wrong


def _against(factors: Tensor, other: Tensor) -> Tensor:
    """Sums of products: (B or 1, R, n) with (B or 1, n) or (B or 1, 1 or R, n) to (B or 1, R)."""
    other = other[:, None] if other.ndim == 2 else other
    if other.shape[1] == 1:
        return (factors @ other.transpose(1, 2))[..., 0]
    return (factors * other).sum(dim=-1)
