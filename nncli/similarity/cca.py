"""Measures built on canonical correlations: SVCCA and projection-weighted CCA."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nncli.errors import NncliWarning
from nncli.similarity.centring import Centred
from nncli.similarity.cross import Pair, over_cross_products
from nncli.similarity.decompositions import singular_triplets, singular_values
from nncli.similarity.factors import Basis
from nncli.similarity.scores import Score, Settings, single
from nncli.similarity.spectrum import main_directions, rank
from nncli.similarity.work import Work

F64 = NDArray[np.float64]
EXACT_WORK = 10**10  # operations up to which float64 is no matter
Correlate = Callable[[Pair, F64], tuple[float, dict[str, float]]]


def svcca(x: F64, y: F64, *, variance: float = 0.99) -> float:
    """Singular vector CCA: the mean canonical correlation of the main directions, in [0, 1].

    Each side keeps its first principal directions, as few as hold the given share of its VARIANCE
    (the sum of squared singular values, not of singular values). The value is the mean of the
    min(k1, k2) singular values of Qx'Qy, with Qx (n x k1) and Qy (n x k2) orthonormal bases of what
    was kept. It does not change with rotations, shifts or a common scale of the features.

    Args:
        x: Shape (n, d1), rows are examples.
        y: Shape (n, d2), the same examples in the same order.
        variance: The share of the variance to keep, in (0, 1]; 1 gives the mean CCA.

    Returns:
        The similarity.

    Raises:
        ArtifactError: Fewer than two rows, or a value that is not finite.
        MismatchError: Different numbers of rows.
        NoAnswerError: One of the two is constant.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(50, 3))
        >>> round(svcca(x, x + 7), 12)
        1.0

    References:
        Raghu, Gilmer, Yosinski and Sohl-Dickstein (2017), SVCCA: singular vector canonical
        correlation analysis for deep learning dynamics and interpretability.
    """
    return single(svcca_grid, x, y, Settings(variance=variance))


def pwcca(x: F64, y: F64) -> float:
    """Projection-weighted CCA with weights from `x`, in [0, 1]; not symmetric.

    With canonical correlations r_i and the canonical vectors h_i of x (unit length, shape (n,)),
    the value is `sum a_i r_i / sum a_i` with `a_i = sum_j |<h_i, x_j>|` over the centred columns
    x_j of x: directions count for as much as they make up of x. Columns are ranked by the
    tolerance 1e-10, so constant and repeated ones do not matter. It changes with a rotation of x,
    and not with an invertible linear map of y.

    Args:
        x: Shape (n, d1), rows are examples.
        y: Shape (n, d2), the same examples in the same order.

    Returns:
        The similarity.

    Raises:
        ArtifactError: Fewer than two rows, or a value that is not finite.
        MismatchError: Different numbers of rows.
        NoAnswerError: One of the two is constant.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(50, 3))
        >>> round(pwcca(x, x @ np.array([[1.0, 2, 0], [0, 1, 3], [0, 0, 1]])), 12)
        1.0

    References:
        Morcos, Raghu and Bengio (2018), Insights on representational similarity in neural networks
        with canonical correlation.
    """
    return single(pwcca_grid, x, y)


def dimensions(values: F64, variance: float) -> int:
    """How many directions hold a share of the variance.

    Args:
        values: All singular values in descending order.
        variance: The share, in (0, 1].

    Returns:
        The least k whose squares sum to the share of all squares; never more than the rank.
    """
    most = rank(values)
    if variance >= 1.0:
        return most
    shares = np.cumsum(values**2) / np.sum(values**2)
    return min(most, int(np.searchsorted(shares, variance)) + 1)


def svcca_grid(
    a: Sequence[Centred],
    b: Sequence[Centred],
    pairs: Sequence[Pair],
    settings: Settings,
    work: Work,
) -> dict[Pair, Score]:
    """SVCCA of pairs of layers; `dims_a` and `dims_b` are the directions kept."""

    def basis(x: Centred) -> Basis:
        count = lambda values: dimensions(values, settings.variance)  # noqa: E731
        return Basis(x, main_directions(x, count))

    def correlate(pair: Pair, product: F64) -> tuple[float, dict[str, float]]:
        return float(np.minimum(singular_values(product), 1.0).mean()), {}

    left, right = work.run(basis, a), work.run(basis, b)
    operations = sum(2 * left[i].n * left[i].d * right[j].d for i, j in pairs)
    exact = operations <= EXACT_WORK  # the main directions are large: float32 errs by 1e-8
    return _over_bases(correlate, left, right, pairs, work, saturated={}, exact=exact)


def pwcca_grid(
    a: Sequence[Centred],
    b: Sequence[Centred],
    pairs: Sequence[Pair],
    settings: Settings,
    work: Work,
) -> dict[Pair, Score]:
    """PWCCA of pairs of layers with weights from `a`; `reverse` has the weights from `b`."""

    def basis(x: Centred) -> Basis:
        return Basis(x, main_directions(x, rank))

    left, right = work.run(basis, a), work.run(basis, b)

    def correlate(pair: Pair, product: F64) -> tuple[float, dict[str, float]]:
        u, correlations, v = singular_triplets(product)
        correlations = np.minimum(correlations, 1.0)
        value, reverse = (
            _projection_weighted(vectors, correlations, one.coefficients)
            for vectors, one in ((u, left[pair[0]]), (v, right[pair[1]]))
        )
        return value, {"reverse": reverse}

    return _over_bases(correlate, left, right, pairs, work, saturated={"reverse": 1.0}, exact=True)


def _projection_weighted(vectors: F64, correlations: F64, coefficients: F64) -> float:
    """Mean of correlations, weighted by how much of the features each canonical vector makes up.

    Args:
        vectors: Canonical vectors in terms of the basis, shape (rank, k).
        correlations: Shape (k,).
        coefficients: The features in terms of the basis, shape (rank, d).

    Returns:
        The weighted mean.
    """
    weights = np.abs(vectors.T @ coefficients).sum(1)
    return float(weights @ correlations / weights.sum())


def _over_bases(
    correlate: Correlate,
    left: Sequence[Basis],
    right: Sequence[Basis],
    pairs: Sequence[Pair],
    work: Work,
    *,
    saturated: dict[str, float],
    exact: bool,
) -> dict[Pair, Score]:
    """Score the pairs for which canonical correlations mean something; the others are 1."""

    def sizes(pair: Pair) -> dict[str, float | int]:
        return {"dims_a": left[pair[0]].d, "dims_b": right[pair[1]].d}

    def score(pair: Pair, product: F64) -> Score:
        value, extra = correlate(pair, product)
        return Score(value, extra | sizes(pair))

    full = [(i, j) for i, j in pairs if left[i].saturated or right[j].saturated]
    if full:
        _warn_saturated(left, right, full)
    work.advance(len(full))
    others = [pair for pair in pairs if pair not in set(full)]
    note = "as many dimensions as centred examples: 1 whatever the data"
    return over_cross_products(score, left, right, others, work, exact=exact) | {
        pair: Score(1.0, saturated | sizes(pair), note) for pair in full
    }


def _warn_saturated(left: Sequence[Basis], right: Sequence[Basis], full: Sequence[Pair]) -> None:
    names = {left[i].centred.name for i, _ in full if left[i].saturated}
    names |= {right[j].centred.name for _, j in full if right[j].saturated}
    listed = sorted(names)
    shown = ", ".join(f"`{name}`" for name in listed[:5])
    rest = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    warnings.warn(
        f"{left[0].n} examples are too few for canonical correlations with {shown}{rest}: "
        f"where n - 1 <= dimensions the value is 1 whatever the data; "
        "use more examples, or `linear-cka`, or `svcca` with a smaller share of the variance",
        NncliWarning,
        stacklevel=2,
    )
