"""A sparse matrix as a linear map between flat vectors."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor


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
        return _times(x, self.matrix, self.transposed)

    def adjoint(self, y: Tensor) -> Tensor:
        """W' y."""
        return _times(y, self.transposed, self.matrix)

    def magnitude(self) -> "Sparse":
        """|W|."""
        return Sparse(*(_absolute(one) for one in (self.matrix, self.transposed)))


def sparse(rows: Tensor, columns: Tensor, numbers: Tensor, shape: tuple[int, int]) -> Sparse:
    """A matrix from its numbers.

    Args:
        rows: (k,) int64.
        columns: (k,) int64.
        numbers: (k,); those at the same place are added up, and zeros left out.
        shape: (m, n).

    Returns:
        The map.
    """
    where, place = torch.unique(rows * shape[1] + columns, return_inverse=True)
    total = numbers.new_zeros(len(where)).index_add(0, place, numbers)
    where, total = where[total != 0], total[total != 0]
    rows, columns = where // shape[1], where % shape[1]
    order = torch.argsort(columns, stable=True)
    return Sparse(
        _compressed(rows, columns, total, shape),
        _compressed(columns[order], rows[order], total[order], (shape[1], shape[0])),
    )


def _compressed(rows: Tensor, columns: Tensor, numbers: Tensor, shape: tuple[int, int]) -> Tensor:
    """A matrix in CSR from numbers in the order of its rows."""
    starts = rows.new_zeros(shape[0] + 1)
    starts[1:] = torch.bincount(rows, minlength=shape[0]).cumsum(0)
    return _csr(starts, columns, numbers, shape)


def _csr(starts: Tensor, columns: Tensor, numbers: Tensor, shape: Sequence[int]) -> Tensor:
    with warnings.catch_warnings():  # that the form is in beta
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(starts, columns, numbers, tuple(shape))


def _absolute(matrix: Tensor) -> Tensor:
    return _csr(matrix.crow_indices(), matrix.col_indices(), matrix.values().abs(), matrix.shape)


class _Product(torch.autograd.Function):
    """A sparse matrix times a dense one, with a gradient by the matrix that is its transpose."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.matrices = (matrix, transposed)
        return matrix @ dense

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        matrix, transposed = ctx.matrices
        return _product(gradients[0], transposed, matrix), None, None


def _product(dense: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
    found: Tensor = _Product.apply(dense, matrix, transposed)  # type: ignore[no-untyped-call]
    return found


def _times(x: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
    flat = x.reshape(-1, x.shape[-1])
    return _product(flat.T, matrix, transposed).T.reshape(*x.shape[:-1], matrix.shape[0])
