"""What is asked of a network in exact numbers, beside its floating point form.

Proofs work on `Property`, whose numbers are rounded to the safe side. Whether a point violates it
is decided by the exact numbers alone (`nncli.verification.replaying`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from nncli.verification.properties import Property

Terms = tuple[tuple[int, Fraction], ...]
Products = tuple[tuple[int, int, Fraction], ...]  # of two variables; an output is `~place`


class ExactCondition(Protocol):
    """`inputs . x + outputs . y + products + constant >= 0`, or `> 0` where it is strict."""

    @property
    def inputs(self) -> Terms:
        """Places of inputs and their factors."""
        ...

    @property
    def outputs(self) -> Terms:
        """Places of outputs and their factors."""
        ...

    @property
    def constant(self) -> Fraction:
        """What is added."""
        ...

    @property
    def strict(self) -> bool:
        """Whether 0 is not enough."""
        ...

    @property
    def products(self) -> Products:
        """Pairs of variables and their factors, each pair once and in order."""
        ...


class ExactBox(Protocol):
    """Limits of the inputs."""

    @property
    def low(self) -> tuple[Fraction, ...]:
        """The least that each input can be."""
        ...

    @property
    def high(self) -> tuple[Fraction, ...]:
        """The most."""
        ...

    @property
    def above(self) -> frozenset[int]:
        """Places of inputs that are never at their lower limit."""
        ...

    @property
    def below(self) -> frozenset[int]:
        """Places of inputs that are never at their upper limit."""
        ...


class GivenCase(Protocol):
    """A case as a file gives it: a box, and conditions that all hold."""

    @property
    def box(self) -> ExactBox:
        """Limits of the inputs."""
        ...

    @property
    def conditions(self) -> Sequence[ExactCondition]:
        """What holds as well."""
        ...


@dataclass(frozen=True)
class Linear:
    """A condition of our own making, see `ExactCondition`."""

    inputs: Terms
    outputs: Terms
    constant: Fraction = Fraction(0)
    strict: bool = False
    products: Products = ()


@dataclass(frozen=True, eq=False)
class Limits:
    """A box of our own making, see `ExactBox`."""

    low: tuple[Fraction, ...]
    high: tuple[Fraction, ...]
    above: frozenset[int] = frozenset()
    below: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class Near:
    """Points near a centre.

    Attributes:
        centre: Its coordinates.
        radius: How far, at most.
        norm: 1 or 2.
    """

    centre: tuple[Fraction, ...]
    radius: Fraction
    norm: int


@dataclass(frozen=True, eq=False)
class ExactCase:
    """One way to violate a property.

    Attributes:
        box: Limits of the inputs.
        conditions: What holds as well.
        near: A ball that inputs also lie in.
    """

    box: ExactBox
    conditions: tuple[ExactCondition, ...]
    near: Near | None = None


@dataclass(frozen=True)
class Asked(Property):
    """A property that remembers its exact numbers.

    Attributes:
        cases: The exact form of each violation, in their order.
    """

    cases: tuple[ExactCase, ...] = ()
