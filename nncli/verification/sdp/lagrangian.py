"""The Lagrangian of a ReLU network, a quadratic function whose least value is a bound.

Variables are the inputs and the outputs of those ReLUs whose sign is open. For each such ReLU, with
y what goes in and x what comes out, `x (y - x) = 0`, `x >= y`, `x >= 0` and the chord
`chord y + over >= x` are facts, and so is that `x - y`, what y is below zero, lies from 0 to some
depth d: `(x - y) (d - x + y) >= 0`. Each is taken off the row, times a multiplier (of any sign for
the first, not negative for the rest), so that what is left is nowhere above the row where the
network is evaluated. ReLUs that are always active are linear, dead ones are zero: neither is a
variable.

Variables are written `centre + radius z` with z in [-1, 1]. In z the Lagrangian is
`c + g.z + z'Hz / 2`, which is never built here: it is evaluated by a pass through the network, for
several z at once, of which the first carries the constants (see `sweeps`).

References:
    Dathathri et al. 2020 (arXiv 2010.11645), section 4; Raghunathan et al. 2018, Semidefinite
    relaxations for certifying robustness to adversarial examples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from torch import Tensor

from nncli.verification.domains import Domain
from nncli.verification.intervals import Interval
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.relaxation import lines, unstable
from nncli.verification.rounding import UNIT

PRODUCT, SLOPE, SIGN, CHORD, DEPTH = range(5)  # the facts of a ReLU, in the order of multipliers
FACTS = 5
LARGE = 600  # variables
SHARES = -1  # stands for a place, for the multipliers (1, R, m) of the facts of a square
Multipliers = Mapping[int, Tensor]  # (FACTS, R, n) by the place of the activation


@dataclass(frozen=True)
class Neurons:
    """The ReLUs of one activation.

    Attributes:
        parent: The place that they are of.
        free: (n,) 1 where the sign is open, else 0.
        active: (n,) 1 where what goes in is never negative, else 0.
        chord: (n,) slopes of the chords, 0 where the sign is not open.
        over: (n,) their offsets.
        depth: (n,) how far below zero what goes in can be, 0 where the sign is not open.
        reach: (n,) how far what goes in can be from its middle, at most, likewise.
    """

    parent: int
    free: Tensor
    active: Tensor
    chord: Tensor
    over: Tensor
    depth: Tensor
    reach: Tensor

    def cast(self, dtype: torch.dtype) -> "Neurons":
        """With numbers of another type."""
        numbers = (getattr(self, one.name).to(dtype) for one in fields(self)[1:])
        return Neurons(self.parent, *numbers)


@dataclass(frozen=True)
class Square:
    """A row `-weight . f^2`, f the values of a place, with facts `weight (f - low)(high - f) >= 0`.

    The multipliers of the facts, one a row and value, are shares from 0 to 1: a share of 1 replaces
    the square of that value by its chord.

    Attributes:
        place: The place.
        weight: (m,) not negative.
        low: (m,) at most every value.
        high: (m,) at least every value.
    """

    place: int
    weight: Tensor
    low: Tensor
    high: Tensor

    def slope(self, share: Tensor) -> Tensor:
        """Factors of f."""
        return -self.weight * share * (self.low + self.high)

    def bend(self, share: Tensor) -> Tensor:
        """Factors of -f^2."""
        return self.weight * (1 - share)

    def constant(self, share: Tensor) -> Tensor:
        """What is added."""
        return self.weight * share * self.low * self.high

    def cast(self, dtype: torch.dtype) -> "Square":
        """With numbers of another type."""
        numbers = (one.to(dtype) for one in (self.weight, self.low, self.high))
        return Square(self.place, *numbers)


@dataclass(frozen=True)
class Problem:
    """Rows of a network over a box, to be bounded from below.

    Attributes:
        network: The network; ReLU is its only activation.
        neurons: The ReLUs, by place; those that rows can reach.
        centre: (n,) by place, of the input and of activations; 0 where there is no variable.
        radius: (n,) likewise; 0 where there is no variable.
        linear: Factors (R, n) of rows by the same places.
        offset: (R,) constants of rows.
        sizes: (R,) absolute terms that were summed for the rows, at their greatest.
        square: A concave quadratic added to the rows, or `None`.
    """

    network: Network
    neurons: Mapping[int, Neurons]
    centre: Mapping[int, Tensor]
    radius: Mapping[int, Tensor]
    linear: Mapping[int, Tensor]
    offset: Tensor
    sizes: Tensor
    square: Square | None = None

    @property
    def rows(self) -> int:
        """R."""
        return len(self.offset)

    @property
    def top(self) -> int:
        """The last place that counts."""
        last = max([0, *self.neurons])
        return last if self.square is None else max(last, self.square.place)

    @cached_property
    def variables(self) -> int:
        """N."""
        return sum(int((one > 0).sum()) for one in self.radius.values())

    @property
    def large(self) -> bool:
        """Whether to save time, by float32 and steps that may prove too long."""
        return self.variables > LARGE

    def picked(self, rows: Tensor) -> "Problem":
        """Some of the rows.

        Args:
            rows: (K,) their places.
        """
        return replace(
            self,
            linear={place: one[rows] for place, one in self.linear.items()},
            offset=self.offset[rows],
            sizes=self.sizes[rows],
        )

    def cast(self, dtype: torch.dtype) -> "Problem":
        """With numbers of another type, on which no proof can rest."""
        return replace(
            self,
            network=self.network.cast(dtype),
            neurons={place: one.cast(dtype) for place, one in self.neurons.items()},
            centre={place: one.to(dtype) for place, one in self.centre.items()},
            radius={place: one.to(dtype) for place, one in self.radius.items()},
            linear={place: one.to(dtype) for place, one in self.linear.items()},
            offset=self.offset.to(dtype),
            square=self.square and self.square.cast(dtype),
        )


def problem(
    network: Network,
    rows: Mapping[int, Tensor],
    domain: Domain,
    known: Sequence[Interval],
    square: Square | None = None,
) -> Problem:
    """Rows over one box.

    Args:
        network: The network; ReLU is its only activation.
        rows: Factors (1, R, size) by place; see `backward.below`.
        domain: One box; a ball within it is left out of account.
        known: Intervals (1, n) of the places, the best that are known.
        square: A quadratic to add to the rows.

    Returns:
        The problem.

    Raises:
        ValueError: There are several boxes, or other activations.
    """
    if len(domain) != 1 or not network.pieces:
        raise ValueError("semidefinite bounds are for one box and ReLU networks")
    last = max([*rows, *([] if square is None else [square.place])])
    neurons, centre, radius = {}, {}, {}
    centre[0], radius[0] = _halved(domain.low[0], domain.high[0])
    reach = {0: radius[0]}
    for place, node in enumerate(network.nodes[: max(last, 0)], start=1):
        if isinstance(node, Sum):
            parts = zip(node.parents, node.magnitudes, strict=True)
            reach[place] = torch.stack([one.apply(reach[parent]) for parent, one in parts]).sum(0)
            continue
        given = known[node.parent]
        one = _neurons(node, given, reach[node.parent])
        neurons[place] = one
        middle, half = _halved(torch.zeros_like(given.high[0]), given.high[0].clamp_min(0))
        centre[place], radius[place] = middle * one.free, half * one.free
        reach[place] = radius[place] + one.active * reach[node.parent]
    found = Problem(network, neurons, centre, radius, {}, rows[max(rows)].new_zeros(0), centre[0])
    linear, offset, sizes = _variables_of(network, rows, known)
    return replace(found, linear=linear, offset=offset, sizes=sizes, square=square)


def _neurons(node: Activation, given: Interval, reach: Tensor) -> Neurons:
    line = lines("relu", given.low, given.high)
    free = unstable(given.low, given.high)[0]
    active = (given.low[0] >= 0) & ~free
    kind = given.low.dtype
    return Neurons(
        node.parent,
        free.to(kind),
        active.to(kind),
        line.above[0, 0] * free,
        line.over[0, 0],
        -given.low[0] * free,
        reach * free,
    )


def _halved(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and radii of intervals, whose ends they cover."""
    centre = (low + high) / 2
    radius = torch.maximum(high - centre, centre - low) * (1 + 4 * UNIT)
    return centre, torch.where(high > low, radius, 0.0)


def _variables_of(
    network: Network, rows: Mapping[int, Tensor], known: Sequence[Interval]
) -> tuple[dict[int, Tensor], Tensor, Tensor]:
    """Rows as factors of the input and of activations, their constants, and the terms summed."""
    waiting = {place: one[0] for place, one in rows.items()}
    first = next(iter(waiting.values()))
    offset, sizes = first.new_zeros(len(first)), first.new_zeros(len(first))
    found: dict[int, Tensor] = {}
    for place in range(max(waiting), -1, -1):
        factors = waiting.pop(place, None)
        if factors is None:
            continue
        sizes = sizes + factors.abs() @ known[place].sizes[0]
        node = network.nodes[place - 1] if place else None
        if isinstance(node, Sum):
            offset = offset + factors @ node.bias
            spread(waiting, node, factors)
        else:
            found[place] = factors
    return found, offset, sizes


def spread(waiting: dict[int, Tensor], node: Sum, factors: Tensor) -> None:
    """Pass factors of a sum back to what it is of.

    Args:
        waiting: Factors by place, which are added to.
        node: The sum.
        factors: (..., size).
    """
    for parent, one in zip(node.parents, node.maps, strict=True):
        back = one.adjoint(factors)
        waiting[parent] = waiting[parent] + back if parent in waiting else back
