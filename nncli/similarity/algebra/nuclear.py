"""Nuclear norms of cross products X'Y, the sums of their singular values.

Products of large float32 layers are multiplied in float32 first, in half of the time. Rounding
makes noise of them that adds to small singular values, so the sum is taken only if the noise is
too little for the spectrum at hand, and the product is made again in float64 if it is not.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nncli.similarity.algebra.cross import Pair, over_cross_products
from nncli.similarity.algebra.decompositions import (
    eigen_loss,
    eigen_singular_values,
    singular_values,
)
from nncli.similarity.algebra.factors import frobenius_norm
from nncli.similarity.centring import Centred
from nncli.similarity.layers import Rows, blocks
from nncli.similarity.scores import at_most_one
from nncli.similarity.sums.summed import known_by_sums
from nncli.similarity.work import Work, unheard

F64 = NDArray[np.float64]

EXACT_WORK = 10**10  # operations up to which float64 is no matter
NEARLY_ONE = 1 - 1e-5  # beyond, a root or an arccos of what is missing needs all digits
ROUNDING = 2.0**-24  # of a number in float32, and about that of a product of two columns
NOISE = 5e-9  # of the sum: the most that may be expected of float32; it was never twice as much
ALIKE = 0.99  # beyond, columns match one by one, their sums grow steadily, and round in step


def nuclear_cosines(
    left: Sequence[Rows], right: Sequence[Rows], pairs: Sequence[Pair], work: Work
) -> dict[Pair, float]:
    """`|X'Y|_* / (|X| |Y|)` for pairs of matrices that are given by their rows, in [0, 1].

    Args:
        left: The X, all with the same n.
        right: The Y.
        pairs: Indices into `left` and `right`.
        work: Threads and memory.

    Returns:
        By pair, to 1e-8.
    """
    norms_a, norms_b = work.run(frobenius_norm, left), work.run(frobenius_norm, right)

    def exactly(pair: Pair, product: F64) -> float:
        scale = norms_a[pair[0]] * norms_b[pair[1]]
        value = float(singular_values(product).sum()) / scale
        if value > NEARLY_ONE:
            value = float(np.linalg.svd(product, compute_uv=False).sum()) / scale
        return at_most_one(value)

    operations = sum(2 * left[i].n * left[i].d * right[j].d for i, j in pairs)
    if operations <= EXACT_WORK or not all(map(_single, [*left, *right])):
        return over_cross_products(exactly, left, right, pairs, work, exact=True)
    squares_a, squares_b = work.run(column_squares, left), work.run(column_squares, right)

    def quickly(pair: Pair, product: F64) -> float | None:
        i, j = pair
        values = eigen_singular_values(product)
        total = float(values.sum())
        noise = rounding_noise(values, squares_a[i], squares_b[j])
        value = total / (norms_a[i] * norms_b[j])
        fine = noise <= NOISE * total and eigen_loss(values) <= NOISE * total
        return value if fine and value <= ALIKE else None

    quick = over_cross_products(quickly, left, right, pairs, work, exact=False)
    rest = [pair for pair in pairs if quick[pair] is None]
    quiet = replace(work, advance=unheard)
    exact = over_cross_products(exactly, left, right, rest, quiet, exact=True) if rest else {}
    return {pair: exact[pair] if one is None else one for pair, one in quick.items()}


def _single(one: Rows) -> bool:
    """Whether there are rows, and they are float32."""
    return isinstance(one, Centred) and one.dtype == np.float32 and not known_by_sums(one)


def column_squares(x: Rows) -> F64:
    """The sums of squares of the columns, shape (d,)."""
    total = np.zeros(x.d)
    for start, stop in blocks(x.n, x.d):
        block = x.rows(start, stop).astype(np.float64)
        total += np.einsum("ij,ij->j", block, block)
    return total


def rounding_noise(values: F64, squares_x: F64, squares_y: F64) -> float:
    """What rounding to float32 is expected to change a sum of singular values of X'Y by.

    An entry of X'Y is off by about `ROUNDING |x_i| |y_j|` at random. To first order the sum changes
    by <W, E> with the orthogonal polar factor W of X'Y, whose standard deviation is largest where
    W pairs the longest columns of both. To second order the singular values of noise are added in
    quadrature to those of X'Y: little to the large ones, themselves to the ones that are zero.

    Args:
        values: The singular values.
        squares_x: Sums of squares of the columns of X, shape (d1,).
        squares_y: The same of Y, shape (d2,).

    Returns:
        The two parts together.
    """
    count = len(values)
    longest_x, longest_y = (np.sort(one)[::-1][:count] for one in (squares_x, squares_y))
    first = ROUNDING * math.sqrt(float(longest_x @ longest_y))
    entry = ROUNDING * math.sqrt(float(squares_x.mean() * squares_y.mean()))
    noise = 2.0 * math.sqrt(max(len(squares_x), len(squares_y))) * entry
    with np.errstate(divide="ignore"):
        second = float(np.minimum(noise**2 / values, noise).sum())
    return first + second
