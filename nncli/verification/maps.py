"""Linear maps between flat vectors, with their adjoints and their magnitudes.

A network is verified on flat vectors of one example. Whatever moves numbers about (reshape,
permute, slice, pad, concatenate) is a `Select`; all other linear operators are one of the rest.
Every map says how long its longest sums are, which is what bounds the rounding of floating point.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

CONVOLUTIONS: tuple[Callable[..., Tensor], ...] = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED: tuple[Callable[..., Tensor], ...] = (
    F.conv_transpose1d,
    F.conv_transpose2d,
    F.conv_transpose3d,
)


class Map(Protocol):
    """A linear map from vectors of n numbers to vectors of m.

    Attributes:
        inputs: n.
        outputs: m.
        terms: Numbers added up, at most, for one number of `apply` or of `adjoint`.
    """

    @property
    def inputs(self) -> int:
        """Numbers that go in."""
        ...

    @property
    def outputs(self) -> int:
        """Numbers that come out."""
        ...

    @property
    def terms(self) -> int:
        """The longest sum."""
        ...

    def apply(self, x: Tensor) -> Tensor:
        """From (..., n) to (..., m)."""
        ...

    def adjoint(self, y: Tensor) -> Tensor:
        """From (..., m) back to (..., n): the transposed matrix."""
        ...

    def magnitude(self) -> "Map":
        """The map whose matrix holds the absolute values."""
        ...


@dataclass(frozen=True)
class Dense:
    """A matrix.

    Attributes:
        weight: (m, n).
    """

    weight: Tensor

    @property
    def inputs(self) -> int:
        """Columns."""
        return self.weight.shape[1]

    @property
    def outputs(self) -> int:
        """Rows."""
        return self.weight.shape[0]

    @property
    def terms(self) -> int:
        """The longer side."""
        return max(self.weight.shape)

    def apply(self, x: Tensor) -> Tensor:
        """W x."""
        return x @ self.weight.T

    def adjoint(self, y: Tensor) -> Tensor:
        """W' y."""
        return y @ self.weight

    def magnitude(self) -> "Dense":
        """|W|."""
        return Dense(self.weight.abs())


@dataclass(frozen=True)
class Scale:
    """A diagonal matrix.

    Attributes:
        factor: (n,).
    """

    factor: Tensor

    @property
    def inputs(self) -> int:
        """Its length."""
        return len(self.factor)

    @property
    def outputs(self) -> int:
        """Its length."""
        return len(self.factor)

    @property
    def terms(self) -> int:
        """One."""
        return 1

    def apply(self, x: Tensor) -> Tensor:
        """The products."""
        return x * self.factor

    def adjoint(self, y: Tensor) -> Tensor:
        """The products."""
        return y * self.factor

    def magnitude(self) -> "Scale":
        """The absolute factors."""
        return Scale(self.factor.abs())


@dataclass(frozen=True)
class Select:
    """Numbers picked by their places, some of them several times; -1 stands for a zero.

    Attributes:
        places: (m,) int64 places in the vector that goes in.
        inputs: n.
    """

    places: Tensor
    inputs: int

    @property
    def outputs(self) -> int:
        """Places."""
        return len(self.places)

    @cached_property
    def _is_identity(self) -> bool:
        return self.outputs == self.inputs and bool(
            (self.places == torch.arange(self.inputs, device=self.places.device)).all()
        )

    @cached_property
    def _kept(self) -> Tensor:
        return torch.nonzero(self.places >= 0).flatten()

    @cached_property
    def _inverse(self) -> Tensor | None:
        """Where each number went, if none went twice; n + 1 stands for nowhere."""
        chosen = self.places[self._kept]
        if len(torch.unique(chosen)) != len(chosen):
            return None
        inverse = torch.full((self.inputs,), -1, dtype=torch.int64, device=self.places.device)
        inverse[chosen] = self._kept
        return inverse

    @cached_property
    def terms(self) -> int:
        """How often one number is picked."""
        chosen = self.places[self._kept]
        return int(torch.bincount(chosen).max()) if len(chosen) else 1

    def apply(self, x: Tensor) -> Tensor:
        """The numbers in their new places."""
        return x if self._is_identity else _picked(x, self.places)

    def adjoint(self, y: Tensor) -> Tensor:
        """Each number back to where it came from, added up."""
        if self._is_identity:
            return y
        if self._inverse is not None:
            return _picked(y, self._inverse)
        kept, chosen = y[..., self._kept], self.places[self._kept]
        return y.new_zeros(*y.shape[:-1], self.inputs).index_add(-1, chosen, kept)

    def magnitude(self) -> "Select":
        """Itself."""
        return self


def _picked(x: Tensor, places: Tensor) -> Tensor:
    """The columns of x at some places, zeros at -1."""
    found = x[..., places.clamp_min(0)]
    return found if bool((places >= 0).all()) else found * (places >= 0).to(x.dtype)


@dataclass(frozen=True)
class Convolution:
    """A convolution over one, two or three dimensions.

    Attributes:
        weight: (out channels, in channels / groups, ...).
        shape: What goes in: (in channels, ...).
        stride: Steps along each dimension.
        padding: Zeros on both sides of each dimension.
        dilation: Gaps along each dimension.
        groups: Groups of channels.
    """

    weight: Tensor
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @cached_property
    def out_shape(self) -> tuple[int, ...]:
        """What comes out: (out channels, ...)."""
        places = (
            (size + 2 * pad - gap * (width - 1) - 1) // by + 1
            for size, width, by, pad, gap in zip(
                self.shape[1:],
                self.weight.shape[2:],
                self.stride,
                self.padding,
                self.dilation,
                strict=True,
            )
        )
        return (self.weight.shape[0], *places)

    @property
    def inputs(self) -> int:
        """Numbers that go in."""
        return prod(self.shape)

    @property
    def outputs(self) -> int:
        """Numbers that come out."""
        return prod(self.out_shape)

    @property
    def terms(self) -> int:
        """The kernel over the channels that meet in a sum, in either direction."""
        out, into, *kernel = self.weight.shape
        return max(into, out // self.groups) * prod(kernel)

    def apply(self, x: Tensor) -> Tensor:
        """The convolution."""
        flat = x.reshape(-1, *self.shape)
        found = CONVOLUTIONS[len(self.stride) - 1](
            flat, self.weight, None, self.stride, self.padding, self.dilation, self.groups
        )
        return found.reshape(*x.shape[:-1], self.outputs)

    def adjoint(self, y: Tensor) -> Tensor:
        """The transposed convolution, to the size that went in."""
        flat = y.reshape(-1, *self.out_shape)
        found = TRANSPOSED[len(self.stride) - 1](
            flat,
            self.weight,
            None,
            self.stride,
            self.padding,
            self._left_over,
            self.groups,
            self.dilation,
        )
        return found.reshape(*y.shape[:-1], self.inputs)

    @cached_property
    def _left_over(self) -> tuple[int, ...]:
        """What no window reached at the far ends."""
        return tuple(
            size - ((out - 1) * by - 2 * pad + gap * (width - 1) + 1)
            for size, out, width, by, pad, gap in zip(
                self.shape[1:],
                self.out_shape[1:],
                self.weight.shape[2:],
                self.stride,
                self.padding,
                self.dilation,
                strict=True,
            )
        )

    def magnitude(self) -> "Convolution":
        """With the absolute weights."""
        return Convolution(
            self.weight.abs(), self.shape, self.stride, self.padding, self.dilation, self.groups
        )


@dataclass(frozen=True)
class Sparse:
    """A matrix with few numbers: means, sums and pools that are no convolution.

    Attributes:
        matrix: (m, n) sparse CSR.
        transposed: (n, m) sparse CSR.
    """

    matrix: Tensor
    transposed: Tensor

    @property
    def inputs(self) -> int:
        """Columns."""
        return self.matrix.shape[1]

    @property
    def outputs(self) -> int:
        """Rows."""
        return self.matrix.shape[0]

    @cached_property
    def terms(self) -> int:
        """The fullest row or column."""
        rows = (one.crow_indices().diff().max() for one in (self.matrix, self.transposed))
        return max(1, *(int(one) for one in rows))

    def apply(self, x: Tensor) -> Tensor:
        """W x."""
        return _times(self.matrix, x)

    def adjoint(self, y: Tensor) -> Tensor:
        """W' y."""
        return _times(self.transposed, y)

    def magnitude(self) -> "Sparse":
        """|W|."""
        return Sparse(*(_absolute(one) for one in (self.matrix, self.transposed)))


def _times(matrix: Tensor, x: Tensor) -> Tensor:
    flat = x.reshape(-1, x.shape[-1])
    return (matrix @ flat.T).T.reshape(*x.shape[:-1], matrix.shape[0])


def _absolute(matrix: Tensor) -> Tensor:
    return torch.sparse_csr_tensor(
        matrix.crow_indices(), matrix.col_indices(), matrix.values().abs(), matrix.shape
    )
