"""What is asked of a network: that none of a list of violations can happen.

A violation is a region of inputs and conditions on inputs and outputs that all hold at once. A
property holds if no violation has a point. So does a robustness property of an example of class
t: one violation for each other class j, with the one condition y_j - y_t >= 0.
"""

from dataclasses import dataclass

from torch import Tensor

from nncli.verification.maps import Map


@dataclass(frozen=True)
class Ball:
    """Points near a centre.

    Attributes:
        centre: (n,) float64.
        radius: How far, at most.
        norm: 1 or 2. A ball of the maximum norm is a box.
    """

    centre: Tensor
    radius: float
    norm: int


@dataclass(frozen=True)
class Region:
    """Inputs: a box, and a ball within it where one is given.

    The box is kept twice, because decimal text is seldom a number of floating point: rounded
    outwards for proofs, and inwards for counterexamples, which then lie in the exact box.

    Attributes:
        low: (n,) float64, at most the exact lower limits.
        high: (n,) float64, at least the exact upper limits.
        inner_low: (n,) float64 that holds float32 numbers, at least the exact lower limits; where
            no float32 number lies in the interval, the nearest one, as in `inner_high`.
        inner_high: (n,) likewise, at most the exact upper limits.
        ball: A ball of the l1 or l2 norm, `None` for the whole box.
    """

    low: Tensor
    high: Tensor
    inner_low: Tensor
    inner_high: Tensor
    ball: Ball | None = None


@dataclass(frozen=True)
class Violation:
    """Conditions that must not all hold at one input of a region.

    Condition r is `outputs[r] . y + inputs[r] . x + constants[r] >= 0`. Numbers that are not exact
    in floating point are rounded so that the conditions hold at more points, never at fewer.

    Attributes:
        region: Where.
        outputs: (R, m) float64 factors of the outputs; m + K with those of the property's squares.
        inputs: (R, n) factors of the inputs, `None` if no condition speaks of them.
        constants: (R,).
        words: The violation as a person would say it: `Y_3 >= Y_0`.
    """

    region: Region
    outputs: Tensor
    inputs: Tensor | None
    constants: Tensor
    words: str


@dataclass(frozen=True)
class Squares:
    """Squares `(outputs y + inputs x + constants)^2`, which conditions take for further outputs.

    Numbers that are not exact in floating point are off by a part in 2^53 at most, which the
    rounding of a sum covers.

    Attributes:
        outputs: From m outputs to K numbers.
        inputs: From n inputs, `None` if no square speaks of them.
        constants: (K,).
    """

    outputs: Map
    inputs: Map | None
    constants: Tensor


@dataclass(frozen=True)
class Property:
    """What must never happen.

    Attributes:
        name: What the instance is called in tables: a file, or an example's id.
        violations: The property holds if none of them has a point. Without any it holds.
        words: The property as a person would say it: `holds if Y_0 exceeds every other output`.
        squares: Squares that conditions speak of, `None` where all are linear.
    """

    name: str
    violations: tuple[Violation, ...]
    words: str
    squares: Squares | None = None
