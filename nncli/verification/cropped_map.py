"""A part of a convolution as a linear map between flat vectors."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from nncli.verification.convolution_map import CONVOLUTIONS, TRANSPOSED, Convolution


@dataclass(frozen=True)
class Side:
    """One dimension of the boxes that a part is computed in, by first places and ends.

    Attributes:
        outside: Of what comes out.
        reach: Of what goes into that, with the padding: the first may be below 0.
        inside: The same without.
    """

    outside: tuple[int, int]
    reach: tuple[int, int]
    inside: tuple[int, int]


@dataclass(frozen=True)
class Cropped:
    """Some numbers that come out of a convolution, from some that go in.

    Attributes:
        whole: The convolution.
        sides: The boxes that hold them, for each dimension.
        rows: (m,) places, in the outer box of all channels, of what comes out; none twice.
        columns: (k,) places, in what goes in, of the inner box of all channels.
        inputs: Numbers that go in.
    """

    whole: Convolution
    sides: tuple[Side, ...]
    rows: Tensor
    columns: Tensor
    inputs: int

    @property
    def outputs(self) -> int:
        """Numbers that come out."""
        return len(self.rows)

    @property
    def terms(self) -> int:
        """Those of the convolution."""
        return self.whole.terms

    @property
    def _outer(self) -> tuple[int, ...]:
        return (self.whole.out_shape[0], *(_length(one.outside) for one in self.sides))

    @property
    def _inner(self) -> tuple[int, ...]:
        return (self.whole.shape[0], *(_length(one.inside) for one in self.sides))

    @property
    def _kept(self) -> tuple[slice, ...]:
        """Where the inner box is in what the outer one reaches, of all examples and channels."""
        along = (slice(*(place - one.reach[0] for place in one.inside)) for one in self.sides)
        return (slice(None), slice(None), *along)

    def apply(self, x: Tensor) -> Tensor:
        """The convolution of the inner box, and of zeros around it where there is padding."""
        count = prod(x.shape[:-1])
        room = x.new_zeros(count, self._inner[0], *(_length(one.reach) for one in self.sides))
        room[self._kept] = x[..., self.columns].reshape(count, *self._inner)
        whole = self.whole
        found = CONVOLUTIONS[len(self.sides) - 1](
            room, whole.weight, None, whole.stride, 0, whole.dilation, whole.groups
        )
        return found.reshape(*x.shape[:-1], prod(self._outer))[..., self.rows]

    def adjoint(self, y: Tensor) -> Tensor:
        """The transposed convolution of the outer box, without what falls on padding."""
        box = y.new_zeros(*y.shape[:-1], prod(self._outer)).index_copy(-1, self.rows, y)
        whole = self.whole
        found = TRANSPOSED[len(self.sides) - 1](
            box.reshape(prod(y.shape[:-1]), *self._outer),
            whole.weight,
            None,
            whole.stride,
            0,
            0,
            whole.groups,
            whole.dilation,
        )
        found = found[self._kept].reshape(*y.shape[:-1], prod(self._inner))
        back = y.new_zeros(*y.shape[:-1], self.inputs)
        return back.index_copy(-1, self.columns, found)

    def magnitude(self) -> "Cropped":
        """With the absolute weights."""
        whole = self.whole.magnitude()
        return Cropped(whole, self.sides, self.rows, self.columns, self.inputs)


def window(one: Convolution, rows: Tensor) -> tuple[Side, ...]:
    """The least boxes that hold some numbers that come out, and all that goes into those.

    Args:
        one: The convolution.
        rows: (k,) the numbers, one at least.
    """
    return tuple(_windows(one, rows))[::-1]


def _windows(one: Convolution, rows: Tensor) -> Iterator[Side]:
    """The sides, the last one first."""
    for k in reversed(range(len(one.stride))):
        size = one.out_shape[k + 1]
        along, rows = rows % size, rows // size
        first, last = int(along.min()), int(along.max())
        low = first * one.stride[k] - one.padding[k]
        gap = one.dilation[k] * (one.weight.shape[k + 2] - 1)
        high = last * one.stride[k] - one.padding[k] + gap + 1
        start = min(max(low, 0), one.shape[k + 1])
        yield Side((first, last + 1), (low, high), (start, max(start, min(high, one.shape[k + 1]))))


def inner_box(one: Convolution, sides: tuple[Side, ...]) -> Tensor:
    """The numbers that go in which a box holds, in order."""
    return _box(one.shape, [side.inside for side in sides])


def cropped(one: Convolution, rows: Tensor, columns: Tensor) -> Cropped:
    """A part of a convolution.

    Args:
        one: The convolution.
        rows: (m,) which numbers come out, none twice.
        columns: (n,) which go in, in order: at least those of the inner box of these.
    """
    sides = window(one, rows)
    outer = _box(one.out_shape, [side.outside for side in sides])
    at = torch.searchsorted(columns, inner_box(one, sides))
    return Cropped(one, sides, torch.searchsorted(outer, rows), at, len(columns))


def _box(shape: tuple[int, ...], sides: list[tuple[int, int]]) -> Tensor:
    """The places of a box of all channels, in order."""
    kept = (slice(None), *(slice(*side) for side in sides))
    return torch.arange(prod(shape)).reshape(shape)[kept].flatten().contiguous()


def _length(side: tuple[int, int]) -> int:
    return side[1] - side[0]
