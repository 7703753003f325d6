"""Intervals that hold every value of a network, from one place to the next.

References:
    Gowal et al. 2018, On the effectiveness of interval bound propagation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nncli.verification.domains import Domain
from nncli.verification.network import FUNCTIONS, Activation, Network, Sum
from nncli.verification.relaxation import LIBRARY
from nncli.verification.rounding import LARGEST, TINY, UNIT, growth


@dataclass(frozen=True)
class Interval:
    """Values of one place.

    Attributes:
        low: (B, n) at most every value.
        high: (B, n) at least every value.
        sizes: (B, n) for a `Sum`, the sum of the absolute values of its terms at their greatest:
            what the rounding of sums is proportional to. For others the greatest absolute value.
            Infinite beyond `LARGEST`.
    """

    low: Tensor
    high: Tensor
    sizes: Tensor

    @property
    def reach(self) -> Tensor:
        """(B, n) the greatest absolute values."""
        return torch.maximum(self.low.abs(), self.high.abs())

    def cast(self, dtype: torch.dtype) -> "Interval":
        """With numbers of another type, on which no proof can rest."""
        return Interval(self.low.to(dtype), self.high.to(dtype), self.sizes.to(dtype))

    def within(self, low: Tensor, high: Tensor) -> "Interval":
        """What is in this interval and in another; empty where they do not meet."""
        return Interval(torch.maximum(self.low, low), torch.minimum(self.high, high), self.sizes)


def start(domain: Domain) -> Interval:
    """The inputs."""
    return Interval(domain.low, domain.high, _limited(domain.reach))


def step(network: Network, place: int, before: list[Interval]) -> Interval:
    """The interval of one place, from those before it.

    Args:
        network: The network.
        place: Which place, from 1.
        before: Intervals of the places before it, the input first.

    Returns:
        The interval, widened by the rounding of its own computation.
    """
    node = network.nodes[place - 1]
    if isinstance(node, Activation):
        return _activation(node, before[node.parent])
    return _sum(node, before)


def _activation(node: Activation, given: Interval) -> Interval:
    if node.function == "square":
        nearest = torch.maximum(given.low, -given.high).clamp_min(0)
        low, high = nearest**2 * (1 - 4 * UNIT), given.reach**2 * (1 + 4 * UNIT) + TINY
        low = torch.where(nearest < 2.0**-500, 0.0, low)
    else:
        value = FUNCTIONS[node.function]
        low, high = value(given.low), value(given.high)
        if node.function != "relu":
            low, high = low - LIBRARY, high + LIBRARY
    return Interval(low, high, _limited(torch.maximum(low.abs(), high.abs())))


def _sum(node: Sum, before: list[Interval]) -> Interval:
    regions = len(before[0].low)
    middle = node.bias.expand(regions, -1)
    spread = torch.zeros_like(middle)
    sizes = node.bias.abs().expand(regions, -1)
    for parent, one, absolute in zip(node.parents, node.maps, node.magnitudes, strict=True):
        given = before[parent]
        centre = (given.low + given.high) / 2
        radius = torch.maximum(given.high - centre, centre - given.low)
        both = absolute.apply(torch.cat([radius, given.reach]))
        middle = middle + one.apply(centre)
        spread, sizes = spread + both[:regions], sizes + both[regions:]
    sizes = _limited(sizes)
    spread = spread + growth(2 * node.terms + 16) * sizes + TINY
    low, high = middle - spread, middle + spread
    if node.extreme is not None:
        given = before[node.parents[0]]
        choose = torch.amin if node.extreme.least else torch.amax
        pairs = node.extreme.pairs
        low = torch.fmax(low, choose(given.low[:, pairs], dim=-1))
        high = torch.fmin(high, choose(given.high[:, pairs], dim=-1))
    return Interval(_or_infinite(low, -torch.inf), _or_infinite(high, torch.inf), sizes)


def _limited(sizes: Tensor) -> Tensor:
    """Infinite where they are so great that nothing is proved."""
    return torch.where(sizes <= LARGEST, sizes, torch.inf)


def _or_infinite(limit: Tensor, unknown: float) -> Tensor:
    """A limit; where infinite numbers cancelled, one that says nothing."""
    return torch.where(limit.isnan(), unknown, limit)


def intervals(network: Network, domain: Domain) -> list[Interval]:
    """Intervals of all places, by interval arithmetic alone.

    Args:
        network: The network.
        domain: B input regions.

    Returns:
        One interval a place, the input first.
    """
    found = [start(domain)]
    for place in range(1, len(network.nodes) + 1):
        found.append(step(network, place, found))
    return found


def least_of_rows(rows: Mapping[int, Tensor], known: Sequence[Interval]) -> Tensor:
    """Lower bounds of rows from the intervals of the places that they speak of.

    Args:
        rows: Factors (B or 1, R, size) by place.
        known: Intervals (B, size) of the places.

    Returns:
        (B, R) the bounds, with their rounding taken off.
    """
    found: Tensor | float = 0.0
    lost: Tensor | float = 0.0
    for place, factors in rows.items():
        one = known[place]
        least = factors.clamp_min(0) * one.low[:, None] + factors.clamp_max(0) * one.high[:, None]
        found = found + least.sum(dim=-1)
        lost = lost + growth(2 * factors.shape[-1] + 16) * least.abs().sum(dim=-1)
    return torch.nan_to_num(torch.as_tensor(found - lost - TINY), -torch.inf, -torch.inf)
