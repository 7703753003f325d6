"""What stands for a layer in the cross products of a pair.

A layer may be replaced by its orthonormal basis (the CCA family), or, when it has more features
than examples, by a narrower matrix with the same inner products (Procrustes and everything else
that a rotation of the features does not change).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.similarity.algebra.spectrum import MULTIPLY_FLOOR, Directions, main_directions, rank
from nncli.similarity.centring import Centred
from nncli.similarity.layers import Array, Rows, blocks
from nncli.similarity.sums.summed import Mapped, cross_product, known_by_sums

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Basis(Mapped):
    """An orthonormal basis of (the main part of) the columns of a layer.

    Attributes:
        centred: The layer.
        directions: The directions the basis is made of.
    """

    centred: Centred
    directions: Directions

    @property
    def n(self) -> int:
        """Number of examples."""
        return self.centred.n

    @property
    def d(self) -> int:
        """Number of basis vectors."""
        return len(self.directions.values)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the layer; of a wide one that of the directions, which are its rows."""
        return self.directions.vectors.dtype if self.centred.wide else self.centred.dtype

    @property
    def saturated(self) -> bool:
        """Whether the basis spans all that n centred examples can: any correlation is then 1."""
        return self.d >= self.n - 1

    def rows(self, start: int, stop: int) -> Array:
        """Rows `start` to `stop` of the basis in float64.

        The small directions are small differences of large numbers, and divided by small ones.
        """
        if self.centred.wide:
            return self.directions.vectors[start:stop]
        block: F64 = self.centred.rows(start, stop).astype(np.float64) @ self.directions.vectors
        block /= self.directions.values
        return block

    def behind(self) -> Centred:
        """The layer."""
        return self.centred

    def map(self) -> F64:
        """What makes the basis of the features of a tall layer."""
        found = self.directions.whitening
        return self.directions.vectors / self.directions.values if found is None else found

    @cached_property
    def coefficients(self) -> F64:
        """Q'X, what each feature is made of, shape (number of basis vectors, features)."""
        if not self.centred.wide:
            return self.directions.values[:, None] * self.directions.vectors.T
        total = np.zeros((self.d, self.centred.d))
        for start, stop in blocks(self.n, self.centred.d):
            total += self.directions.vectors[start:stop].T @ self.centred.rows(start, stop)
        return total


@dataclass(frozen=True)
class Compact:
    """U S of a wide layer X = U S V': fewer columns, the same inner products between examples.

    Attributes:
        matrix: Shape (n, rank).
    """

    matrix: F64

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.matrix)

    @property
    def d(self) -> int:
        """Number of columns."""
        return int(self.matrix.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """float64."""
        return self.matrix.dtype

    def rows(self, start: int, stop: int) -> Array:
        """Rows `start` to `stop`."""
        return self.matrix[start:stop]


def compact(x: Centred) -> Centred | Compact:
    """The layer itself if it is tall, else its narrow stand-in."""
    if not x.wide:
        return x
    kept = main_directions(x, rank, floor=MULTIPLY_FLOOR)
    return Compact(kept.vectors * kept.values)


def frobenius_norm(x: Rows) -> float:
    """The norm of the very rows that are multiplied: rounded to float32, they have another."""
    if known_by_sums(x):
        return math.sqrt(float(np.trace(cross_product(x, x))))
    total = 0.0
    for start, stop in blocks(x.n, x.d):
        block = x.rows(start, stop).astype(np.float64)
        total += float(np.vdot(block, block))
    return math.sqrt(total)
