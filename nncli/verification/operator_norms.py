"""Upper bounds of the operator norms of linear maps, that hold in spite of rounding.

The greatest singular value of a matrix is never taken from an iteration, whose values come from
below. Of a computed decomposition `U S V'` the norm of the matrix is at most
`|U| max(S) |V| + |W - U S V'|`, where the last is what was missed, and `|U|^2 <= 1 + |U'U - 1|`.

A convolution is a part of a circular one over a longer grid, whose norm is the greatest of one
small matrix for each frequency; a step of s is a convolution without steps over s^d times as many
channels. So its bound is close to the norm for large images, and exact for kernels of one place.

References:
    Sedghi, Gupta and Long 2019, The singular values of convolutional layers. Yi 2020, Asymptotic
    singular value distribution of linear convolutional layers.
"""

from math import prod, sqrt

import torch
from torch import Tensor
from torch.nn import functional as F

from nncli.verification.maps import (
    Convolution,
    Dense,
    Map,
    Positions,
    Scale,
    Select,
    TransposedConvolution,
)
from nncli.verification.rounding import growth

LARGEST_SIDE = 2048  # of matrices that are decomposed
MOST_NUMBERS = 50_000_000  # of the matrices of all frequencies


def operator_norm(one: Map, norm: str) -> float:
    """An upper bound of how much a map can lengthen a vector.

    Args:
        one: The map.
        norm: `l2`, `linf` or `l1`, of what goes in and of what comes out.

    Returns:
        The bound.
    """
    if norm != "l2":
        return _sums(one, norm)
    if isinstance(one, Scale):
        return float(one.factor.abs().amax()) if len(one.factor) else 0.0
    if isinstance(one, Select):
        return sqrt(one.terms) * (1 + 1e-15)
    bound = sqrt(_sums(one, "l1") * _sums(one, "linf")) * (1 + 1e-15)
    if isinstance(one, Dense | Positions):
        return min(bound, spectral_norm(one.weight))
    if isinstance(one, Convolution | TransposedConvolution):
        return min(bound, _convolution_norm(one))
    return bound


def _sums(one: Map, norm: str) -> float:
    """The greatest sum of absolute values along the rows (linf) or the columns (l1)."""
    absolute = one.magnitude()
    if norm == "linf":
        found = absolute.apply(torch.ones(one.inputs, dtype=torch.float64))
    else:
        found = absolute.adjoint(torch.ones(one.outputs, dtype=torch.float64))
    return float(found.amax()) * (1 + growth(one.terms + 8)) if len(found) else 0.0


def spectral_norm(matrix: Tensor) -> float:
    """An upper bound of the greatest singular value of matrices, close to it.

    Args:
        matrix: (..., m, n) float64 or complex128.

    Returns:
        The greatest of all; of matrices too large to decompose, one by their sums.
    """
    if not matrix.numel():
        return 0.0
    rows, columns = matrix.shape[-2:]
    absolute = matrix.abs()
    by_sums = (absolute.sum(-1).amax(-1) * absolute.sum(-2).amax(-1)).sqrt().amax()
    limit = float(by_sums) * (1 + growth(4 * (rows + columns) + 8))
    if max(rows, columns) > LARGEST_SIDE or not bool(matrix.isfinite().all()):
        return limit
    try:
        u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    except RuntimeError:  # it did not converge
        return limit
    count = s.shape[-1]
    gaps = 1.0 + torch.zeros(s.shape[:-1], dtype=torch.float64)
    for side in (u, v.mH):
        product = side.mH @ side - torch.eye(count, dtype=matrix.dtype)
        lost = 8 * growth(side.shape[-2] + 8) * count  # columns are no longer than 2
        gaps = gaps * (1 + _frobenius(product) + lost).sqrt()
    missed = _frobenius(matrix - (u * s[..., None, :].to(matrix.dtype)) @ v)
    # what rounding may hide of what was missed
    sizes = u.abs() * s[..., None, :] @ v.abs() + absolute
    hidden = 8 * growth(count + 16) * _frobenius(sizes)
    found = (s[..., 0] * gaps + missed + hidden).amax()
    return min(limit, float(found) * (1 + 1e-14))


def _frobenius(matrix: Tensor) -> Tensor:
    """The root of the sum of squares, a little more."""
    count = matrix.shape[-2] * matrix.shape[-1]
    lost = count * 1e-160  # squares that are too small
    return matrix.abs().square().sum((-2, -1)).sqrt() * (1 + growth(count + 8)) + lost


def _convolution_norm(one: Convolution | TransposedConvolution) -> float:
    """A bound by the matrices of all frequencies of a circular convolution that holds this one."""
    weight = one.weight.double()
    stride, dilation = one.stride, one.dilation
    if any(by > 1 and gap > 1 for by, gap in zip(stride, dilation, strict=True)):
        stride = (1,) * len(stride)  # without steps there are more outputs
    return max(
        _group_norm(part, one.shape[1:], stride, dilation, one.padding)
        for part in weight.chunk(one.groups)
    )


def _group_norm(
    weight: Tensor,
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: tuple[int, ...],
) -> float:
    """The norm of the channels of one group."""
    kernel, grid = _without_steps(weight, stride), []
    for size, width, by, gap, pad in zip(
        shape, weight.shape[2:], stride, dilation, padding, strict=True
    ):
        grid.append(-(-(size + 2 * pad + gap * (width - 1)) // by) + 1)
    if prod(grid) * kernel.shape[0] * kernel.shape[1] > MOST_NUMBERS:
        return float("inf")
    if max(kernel.shape[:2]) > LARGEST_SIDE:
        return float("inf")
    spread = kernel
    for axis, gap in enumerate(dilation, 2):
        spread = _dilated(spread, axis, gap)
    dims = tuple(range(2, spread.ndim))
    found = torch.fft.fftn(spread, s=grid, dim=dims).movedim((0, 1), (-2, -1)).flatten(0, -3)
    # each number of the transform is off by a little of the sum of its terms
    sums = spread.abs().sum(dims)
    off = 64 * growth(32 * len(grid)) * (1 + max(grid).bit_length()) * float(sums.norm())
    return spectral_norm(found) + off


def _without_steps(weight: Tensor, stride: tuple[int, ...]) -> Tensor:
    """A kernel with steps as one without, of all residues as channels."""
    for axis, by in enumerate(stride, 2):
        if by == 1:
            continue
        pad = -weight.shape[axis] % by
        padded = F.pad(weight, [0, 0] * (weight.ndim - 1 - axis) + [0, pad])
        shape = padded.shape
        split = padded.reshape(*shape[:axis], -1, by, *shape[axis + 1 :]).movedim(axis + 1, 2)
        weight = split.flatten(1, 2)
    return weight


def _dilated(kernel: Tensor, axis: int, gap: int) -> Tensor:
    """A kernel with zeros between its places along one axis."""
    if gap == 1:
        return kernel
    size = kernel.shape[axis]
    shape = list(kernel.shape)
    shape[axis] = (size - 1) * gap + 1
    spread = kernel.new_zeros(shape)
    return spread.index_copy(axis, torch.arange(size) * gap, kernel)
