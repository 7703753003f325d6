"""A property as rows to be bounded.

The margin of a condition is how far it is from holding: `-(outputs . y + inputs . x + constant)`.
A violation cannot happen where one of its margins is positive throughout; it happens at a point
where none is. Violations of one region are asked together, so that what they share is done once.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from nncli.verification.network import Network
from nncli.verification.properties import Property, Region, Violation
from nncli.verification.rounding import UNIT


@dataclass(frozen=True)
class Query:
    """Violations of one region.

    Attributes:
        region: The region; where violations have regions of their own, with the limits of each.
        violations: What must not happen there.
        numbers: The place of each violation in the property.
    """

    region: Region
    violations: tuple[Violation, ...]
    numbers: tuple[int, ...]

    @cached_property
    def owner(self) -> Tensor:
        """(R,) the violation that each row is a condition of."""
        return torch.tensor(
            [place for place, one in enumerate(self.violations) for _ in one.constants]
        )

    @cached_property
    def constants(self) -> Tensor:
        """(R,) constants of the conditions."""
        return torch.cat([one.constants for one in self.violations])

    @cached_property
    def outputs(self) -> Tensor:
        """(R, m) factors of the outputs."""
        return torch.cat([one.outputs for one in self.violations])

    @cached_property
    def inputs(self) -> Tensor | None:
        """(R, n) factors of the inputs, `None` if no condition speaks of them."""
        if all(one.inputs is None for one in self.violations):
            return None
        width = self.region.low.shape[-1]
        return torch.cat(
            [
                one.outputs.new_zeros(len(one.constants), width)
                if one.inputs is None
                else one.inputs
                for one in self.violations
            ]
        )

    @property
    def free_inputs(self) -> int:
        """How many inputs can change."""
        return int((self.region.high > self.region.low).sum())

    def rows(self, network: Network, chosen: Tensor | None = None) -> dict[int, Tensor]:
        """The margins without their constants, as factors of places.

        Args:
            network: The network.
            chosen: (B, K) or (K,) rows to take; by default all.

        Returns:
            Factors (1 or B, R or K, size) by place.
        """
        found = {network.last: -_taken(self.outputs, chosen)}
        if self.inputs is not None:
            factors = -_taken(self.inputs, chosen)
            found[0] = found[0] + factors if 0 in found else factors
        return found

    def margins(self, bounds: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Lower bounds of margins, from those of `rows`.

        Args:
            bounds: (B, R or K).
            chosen: The rows they are of, as in `rows`.
        """
        constants = self.constants if chosen is None else self.constants[chosen]
        return bounds - constants - 4 * UNIT * (bounds.abs() + constants.abs())

    def excluded(self, margins: Tensor) -> Tensor:
        """Which violations cannot happen.

        Args:
            margins: (B, R) lower bounds.

        Returns:
            (B, V) the greatest lower bound of each violation's margins: it is excluded if that is
            positive.
        """
        best = margins.new_full((len(margins), len(self.violations)), -torch.inf)
        return best.scatter_reduce(1, self.owner.expand(len(margins), -1), margins, "amax")

    def reached(self, x: Tensor, y: Tensor) -> Tensor:
        """How near points come to each violation.

        Args:
            x: (..., n) inputs.
            y: (..., m) their outputs.

        Returns:
            (..., V) the greatest margin of each violation: it happens where that is not positive.
        """
        margins = -(y @ self.outputs.T.to(y.dtype)) - self.constants.to(y.dtype)
        if self.inputs is not None:
            margins = margins - x @ self.inputs.T.to(x.dtype)
        best = margins.new_full((*margins.shape[:-1], len(self.violations)), -torch.inf)
        return best.scatter_reduce(-1, self.owner.expand(margins.shape), margins, "amax")


def _taken(factors: Tensor, chosen: Tensor | None) -> Tensor:
    found = factors if chosen is None else factors[chosen]
    return found if found.ndim == 3 else found[None]


def queries(question: Property) -> list[Query]:
    """The violations of a property, those of one region together.

    Args:
        question: The property.

    Returns:
        One query a region, in the order in which regions first occur.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, one in enumerate(question.violations):
        groups.setdefault(_key(one.region), []).append(place)
    return [
        Query(
            question.violations[places[0]].region,
            tuple(_conditioned(question.violations[place]) for place in places),
            tuple(places),
        )
        for places in groups.values()
    ]


def rows_of_violations(query: Query) -> Tensor:
    """(V, K) the rows of each violation, the last one repeated where there are fewer."""
    each = [torch.nonzero(query.owner == place).flatten() for place in range(len(query.violations))]
    longest = max(len(one) for one in each)
    return torch.stack([torch.cat([one, one[-1:].expand(longest - len(one))]) for one in each])


def _conditioned(one: Violation) -> Violation:
    """A violation with at least one condition: `0 >= 0` where every output violates."""
    if len(one.constants):
        return one
    zeros = one.outputs.new_zeros(1, one.outputs.shape[1])
    return replace(one, outputs=zeros, inputs=None, constants=one.constants.new_zeros(1))


def _key(region: Region) -> tuple[object, ...]:
    ball = region.ball
    limits = (region.low.numpy().tobytes(), region.high.numpy().tobytes())
    if ball is None:
        return limits
    return (*limits, ball.centre.numpy().tobytes(), ball.radius, ball.norm)
