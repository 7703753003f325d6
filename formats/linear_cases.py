"""What is asked of a network, as files say it, in exact numbers: cases that must never happen.

A case is a box of inputs and conditions on inputs and outputs that all hold at once, linear or
quadratic. What happens in any case of a specification violates it.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

Terms = tuple[tuple[int, Fraction], ...]
Products = tuple[tuple[int, int, Fraction], ...]  # of two variables; an output is `~place`


class Condition(NamedTuple):
    """`inputs . x + outputs . y + products + constant >= 0`, or `> 0`.

    Attributes:
        inputs: Places of inputs and their factors, by place, none of them 0.
        outputs: Places of outputs and their factors, likewise.
        constant: What is added.
        strict: Whether 0 is not enough.
        products: Pairs of variables and their factors, each pair once and in order, none of them 0.
    """

    inputs: Terms
    outputs: Terms
    constant: Fraction
    strict: bool = False
    products: Products = ()


@dataclass(frozen=True, eq=False)
class Box:
    """Limits of the inputs. Cases of equal limits share one object where they can.

    Attributes:
        low: Of each input, the least it can be.
        high: Of each input, the most.
        above: Places of inputs that are above their lower limit, never at it.
        below: Places of inputs that are below their upper limit, never at it.
    """

    low: tuple[Fraction, ...]
    high: tuple[Fraction, ...]
    above: frozenset[int] = frozenset()
    below: frozenset[int] = frozenset()


class Case(NamedTuple):
    """One way to violate a specification.

    Attributes:
        box: Limits of the inputs.
        conditions: What holds as well; without any, every output violates.
    """

    box: Box
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Specification:
    """What must never happen.

    Attributes:
        name: The file as given.
        digest: SHA-256 of its bytes.
        inputs: Numbers that go into the network.
        outputs: Numbers that come out.
        cases: The ways to violate it; without any it always holds.
        shape: The shape of one input where the file says it.
        pointed: Whether it holds what the network puts out somewhere, which another does not.
    """

    name: str
    digest: str
    inputs: int
    outputs: int
    cases: tuple[Case, ...]
    shape: tuple[int, ...] | None = None
    pointed: bool = False
