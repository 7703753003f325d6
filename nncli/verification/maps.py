"""Linear maps between flat vectors, with their adjoints and their magnitudes.

A network is verified on flat vectors of one example. Whatever moves numbers about (reshape,
permute, slice, pad, concatenate) is a `Select`; all other linear operators are one of the rest.
Every map says how long its longest sums are, which is what bounds the rounding of floating point.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from nncli.verification.convolution_map import Convolution, TransposedConvolution
from nncli.verification.sparse_map import Sparse, sparse

__all__ = [
    "Convolution",
    "Dense",
    "Map",
    "Positions",
    "Scale",
    "Select",
    "Sparse",
    "TransposedConvolution",
    "sparse",
]


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
        """Where each number went, if none went twice; -1 stands for nowhere."""
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
    there = places >= 0
    found = x.index_select(-1, places.clamp_min(0))
    return found if bool(there.all()) else torch.where(there, found, 0.0)  # infinite ones, too


@dataclass(frozen=True)
class Positions:
    """The same matrix at each of several positions, whose numbers stand together.

    Attributes:
        weight: (m, n).
        positions: How many there are.
    """

    weight: Tensor
    positions: int

    @property
    def inputs(self) -> int:
        """Numbers that go in."""
        return self.positions * self.weight.shape[1]

    @property
    def outputs(self) -> int:
        """Numbers that come out."""
        return self.positions * self.weight.shape[0]

    @property
    def terms(self) -> int:
        """The longer side."""
        return max(self.weight.shape)

    def apply(self, x: Tensor) -> Tensor:
        """W x at each position."""
        found = x.reshape(*x.shape[:-1], self.positions, -1) @ self.weight.T
        return found.flatten(-2)

    def adjoint(self, y: Tensor) -> Tensor:
        """W' y at each position."""
        found = y.reshape(*y.shape[:-1], self.positions, -1) @ self.weight
        return found.flatten(-2)

    def magnitude(self) -> "Positions":
        """|W|."""
        return Positions(self.weight.abs(), self.positions)
