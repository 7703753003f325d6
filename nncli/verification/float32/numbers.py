"""What is known of the numbers of a tensor, and the limits of float32.

Bounds are computed in float64 with nonnegative numbers, and enlarged by a part in 2^20, which is
far more than that rounds. `SLACK` covers what the lowered network rounds in its constants.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nncli.verification.lowering.tape import Operation

UNIT = 2.0**-24  # the greatest relative error of one operation
LEAST = 2.0**-126  # what is smaller may be flushed to zero
LARGEST = 2.0**127  # what is greater may overflow
ULPS = 8  # of sigmoid and tanh; one is two units at most
SLACK = 2.0**-46  # of float64
ROOM = 1 + 2.0**-20


@dataclass(frozen=True, eq=False)
class Numbers:
    """What is known of the numbers of a tensor; all of its shape, float64.

    Attributes:
        low: At most the real ones.
        high: At least the real ones.
        error: How far those of float32 may be off.
        constants: The absolute constants that went into them.
    """

    low: Tensor
    high: Tensor
    error: Tensor
    constants: Tensor

    @property
    def reach(self) -> Tensor:
        """The greatest absolute real numbers."""
        return torch.maximum(self.low.abs(), self.high.abs())

    @property
    def size(self) -> Tensor:
        """The greatest absolute numbers of float32, and a little of the constants."""
        return self.reach + self.error + 2.0**-20 * self.constants

    @property
    def whole(self) -> Tensor:
        """The same, with all of the constants."""
        return self.reach + self.error + self.constants


class Found(NamedTuple):
    """How far the result of an operator may be off.

    Attributes:
        passed: What the errors of its arguments become.
        own: Its own rounding.
        sizes: Absolute values of what is added up.
        stretches: How much longer the result may get than each value that went in, in the l2 norm
            of their errors; none where that is not known.
        lengths: Of a linear operator, the l2 norm of each row, `None` where it is not known.
    """

    passed: Tensor
    own: Tensor
    sizes: Tensor
    stretches: tuple[float, ...] = ()
    lengths: Tensor | None = None


Given = Sequence[Any]  # arguments; `Numbers` for values
Rule = Callable[[Operation, Given, Numbers], Found]


def term(one: Any) -> tuple[Tensor, Tensor]:
    """The error and the size of an argument; constants are rounded to float32."""
    if isinstance(one, Numbers):
        return one.error, one.whole
    number = torch.as_tensor(one, dtype=torch.float64)
    return (number - number.float().double()).abs(), number.abs()
