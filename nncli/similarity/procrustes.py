"""Orthogonal Procrustes distance."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nncli.similarity.centring import Centred
from nncli.similarity.cross import Pair, over_cross_products
from nncli.similarity.decompositions import singular_values
from nncli.similarity.factors import compact
from nncli.similarity.scores import Score, Settings, single
from nncli.similarity.work import Work

F64 = NDArray[np.float64]


def procrustes(x: F64, y: F64) -> float:
    """Squared orthogonal Procrustes distance, in [0, 2].

    With centred X and Y of unit Frobenius norm, `min |X Q - Y|_F² = 2 - 2 |X'Y|_*` over
    orthogonal Q, where `|.|_*` is the sum of singular values (the narrower matrix is padded with
    zero columns). It does not change with rotations, shifts or a common scale of the features.

    Args:
        x: Shape (n, d1), rows are examples.
        y: Shape (n, d2), the same examples in the same order.

    Returns:
        The squared distance.

    Raises:
        ArtifactError: Fewer than two rows, or a value that is not finite.
        MismatchError: Different numbers of rows.
        NoAnswerError: One of the two is constant.

    Example:
        >>> import numpy as np
        >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> turned = 3 * x @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + 5
        >>> round(procrustes(x, turned), 12)
        0.0

    References:
        Schönemann (1966), A generalized solution of the orthogonal Procrustes problem; Ding,
        Denain and Steinhardt (2021), Grounding representation similarity with statistical testing.
    """
    return single(procrustes_grid, x, y)


def procrustes_grid(
    a: Sequence[Centred],
    b: Sequence[Centred],
    pairs: Sequence[Pair],
    settings: Settings,
    work: Work,
) -> dict[Pair, Score]:
    """The squared distance for pairs of layers."""
    left = work.run(compact, a)
    right = work.run(compact, b)

    def score(pair: Pair, product: F64) -> Score:
        i, j = pair
        similarity = float(singular_values(product).sum()) / (a[i].norm * b[j].norm)
        return Score(2.0 - 2.0 * min(1.0, similarity))

    return over_cross_products(score, left, right, pairs, work, exact=True)
