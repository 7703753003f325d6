"""Curves of estimates: where the variance peaks, and what shifted inputs add.

The peak is the place with the largest estimate. Its interval holds every place whose value is not
clearly below that of another one: each pair of places is tested by the difference of their
estimates, one-sided at 5 % divided by the number of rivals (Bonferroni), so that the true peak is
in with 95 % or more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nncli.bias_variance.clusters import mean_variance
from nncli.bias_variance.decomposition import Decomposition
from nncli.bias_variance.intervals import LEVEL, Estimate, Spread, combine_spreads, student
from nncli.bias_variance.statistics import Name

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """One ensemble on a curve.

    Attributes:
        at: The place along the curve.
        models: What its models are called, in order, so that differences know what is the same.
        examples: The identifiers of its examples.
        found: Its decomposition.
    """

    at: float
    models: tuple[str, ...]
    examples: NDArray[np.generic]
    found: Decomposition

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """(n,) the examples by identifier: points may have the same ones in other orders."""
        return np.argsort(self.examples, kind="stable")

    @cached_property
    def sorted_examples(self) -> NDArray[np.generic]:
        """(n,) the identifiers in order."""
        found: NDArray[np.generic] = self.examples[self.order]
        return found


@dataclass(frozen=True)
class Peak:
    """Where a curve is highest.

    Attributes:
        at: The place.
        low, high: The places between which the peak is; `None` where no errors are known.
        inside: Whether it is at neither end of the curve.
    """

    at: float
    low: float | None
    high: float | None
    inside: bool


def peak(points: Sequence[Point], name: Name) -> Peak:
    """Where a quantity is largest along a curve.

    Args:
        points: The curve, by increasing place.
        name: The quantity.

    Returns:
        The peak, with the interval of the module's first lines.
    """
    values = [one.found.estimates[name].value for one in points]
    best = int(np.argmax(values))
    kept = [one.at for place, one in enumerate(points) if _may_be(place, points, name)]
    known = all(one.found.estimates[name].spread is not None for one in points)
    low, high = (min(kept), max(kept)) if known and kept else (None, None)
    return Peak(points[best].at, low, high, 0 < best < len(points) - 1)


def _may_be(place: int, points: Sequence[Point], name: Name) -> bool:
    """Whether no other point is clearly above this one."""
    level = 1 - 2 * (1 - LEVEL) / max(len(points) - 1, 1)  # one-sided, for so many rivals
    for other, rival in enumerate(points):
        gap = difference(rival, points[place], name)
        if other == place or gap.spread is None or gap.se is None or gap.value <= 0:
            continue
        if gap.value > gap.se * student(gap.spread.freedom, level):
            return False
    return True


def difference(a: Point, b: Point, name: Name) -> Estimate:
    """How much larger a quantity is at one point than at another, and how sure that is.

    Where both have the same examples, or the same models, what they share drops out.

    Args:
        a: One point.
        b: The other.
        name: The quantity.

    Returns:
        The estimate of the difference.
    """
    return weighted(((1.0, a, name), (-1.0, b, name)))


def weighted(terms: Sequence[tuple[float, Point, Name]]) -> Estimate:
    """A sum of quantities, and how sure it is.

    Args:
        terms: The factor of each quantity, where it is from, and which it is.

    Returns:
        The estimate. Variances of points that share neither models nor examples add up.
    """
    value = sum(weight * point.found.estimates[name].value for weight, point, name in terms)
    if any(point.found.estimates[name].spread is None for _, point, name in terms):
        return Estimate(float(value), None)
    by_models: dict[tuple[str, ...], list[tuple[float, Point, Name]]] = {}
    by_examples: list[list[tuple[float, Point, Name]]] = []
    for term in terms:
        by_models.setdefault(term[1].models, []).append(term)
        _file(by_examples, term)
    units = [_over_units(one) for one in by_models.values()]
    examples = [_over_examples(one) for one in by_examples]
    shared = len(by_models) < len({id(point) for _, point, _ in terms})
    # what is left cannot be told apart any more where models are shared: leaving it in is safe
    rest = (
        0.0
        if shared
        else sum(weight**2 * _spread(point, name).rest for weight, point, name in _merged(terms))
    )
    return Estimate(float(value), combine_spreads(units, examples, rest))


def _merged(
    terms: Sequence[tuple[float, Point, Name]],
) -> Sequence[tuple[float, Point, Name]]:
    """One term a point, of which rests are not added twice."""
    seen: set[int] = set()
    kept = []
    for weight, point, name in terms:
        if id(point) not in seen:
            seen.add(id(point))
            kept.append((weight, point, name))
    return kept


def _file(groups: list[list[tuple[float, Point, Name]]], term: tuple[float, Point, Name]) -> None:
    for group in groups:
        if np.array_equal(group[0][1].sorted_examples, term[1].sorted_examples):
            group.append(term)
            return
    groups.append([term])


def _spread(point: Point, name: Name) -> Spread:
    found = point.found.estimates[name].spread
    assert found is not None
    return found


def _over_units(terms: Sequence[tuple[float, Point, Name]]) -> tuple[float, float]:
    """The variance over units of terms with the same models, and its degrees of freedom."""
    point, name = terms[0][1], terms[0][2]
    freedom = _spread(point, name).unit_freedom
    if len(terms) == 1:
        return terms[0][0] ** 2 * _spread(point, name).units, freedom
    parts = []
    for partition in range(len(point.found.totals)):
        sums = sum(
            weight * one.found.totals[partition].unit_sums[which] / one.found.n
            for weight, one, which in terms
        )
        parts.append(float(np.var(sums, ddof=1)) / np.size(sums))
    return float(np.mean(parts)), freedom


def _over_examples(terms: Sequence[tuple[float, Point, Name]]) -> tuple[float, float]:
    """The variance over examples of terms with the same examples, and its degrees of freedom."""
    values = sum(
        weight * point.found.at_examples(name)[point.order] for weight, point, name in terms
    )
    point = terms[0][1]
    clusters = point.found.totals[0].clusters
    return mean_variance(np.asarray(values), None if clusters is None else clusters[point.order])


@dataclass(frozen=True)
class Share:
    """How much of what a shift adds to the risk is bias.

    Attributes:
        estimate: The share; its interval is that of a ratio of means, first order.
        extra: What is added to the risk.
    """

    estimate: Estimate
    extra: Estimate

    @property
    def clear(self) -> bool:
        """Whether the risk is clearly higher under the shift."""
        low, _ = self.extra.interval()
        return low is not None and low > 0


def bias_share(shifted: Point, clean: Point, loss: str) -> Share:
    """How much of what a shift adds to the risk is bias.

    Args:
        shifted: The ensemble on the shifted inputs.
        clean: The same ensemble on the clean ones.
        loss: The loss.

    Returns:
        The share; its error is that of added bias - share x added risk, divided by the added risk.
    """
    extra = difference(shifted, clean, (loss, "risk"))
    bias = difference(shifted, clean, (loss, "bias"))
    ratio = bias.value / extra.value if extra.value else 0.0
    residual = weighted(
        (
            (1.0, shifted, (loss, "bias")),
            (-ratio, shifted, (loss, "risk")),
            (-1.0, clean, (loss, "bias")),
            (ratio, clean, (loss, "risk")),
        )
    )
    if residual.spread is None or not extra.value:
        return Share(Estimate(ratio, None), extra)
    return Share(Estimate(ratio, residual.spread.scaled(1 / extra.value**2)), extra)


def threshold(places: Sequence[float], errors: Sequence[float], level: float) -> float | None:
    """Where models begin or cease to fit the training data: the end of where the error stays low.

    Along a width the first place from which on it stays low; along the radius of an attack, with
    which it grows, the last place up to which it does.

    Args:
        places: Along the curve, increasing.
        errors: The training error at each.
        level: What counts as no error.

    Returns:
        The place; `None` if the error is above the level at both ends of the curve.
    """
    pairs = list(zip(places, errors, strict=True))
    found = None
    for place, error in pairs if errors[-1] > level else reversed(pairs):
        if error > level:
            break
        found = place
    return found
