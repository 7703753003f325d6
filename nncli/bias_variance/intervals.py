"""How sure a mean over models and examples is.

Both are samples: other models would give other numbers, and so would other examples. With
pseudo-values pi_ux (unit u, example x) three variances are estimated: of the mean over units, of
the mean over examples, and of what is left when both are taken out. The first two contain the third
once each, so it is taken out once:

    V = V_examples + max(V_units - V_rest, 0)

Adding the first two, as is often done, counts it twice (and covers 98 to 99 % where 95 % is said).
Of examples in groups (`clusters`) the latter two are of whole groups.
The interval is that of Student's t with the degrees of freedom of such a sum (Satterthwaite 1946):
K - 1 where the models are what makes it uncertain, more where the examples are.

References:
    Tukey, *Bias and confidence in not quite large samples*, 1958. Owen, *The pigeonhole bootstrap*,
    2007, and Cameron, Gelbach and Miller, *Robust inference with multiway clustering*, 2011 (the
    sum). Satterthwaite, *An approximate distribution of estimates of variance components*, 1946.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nncli.bias_variance.clusters import mean_variance, rest_variance
from nncli.bias_variance.statistics import Name
from nncli.bias_variance.totals import Totals

F64 = NDArray[np.float64]
LEVEL = 0.95


@dataclass(frozen=True)
class Spread:
    """The variance of an estimate, by where it comes from.

    Attributes:
        units: Variance of the mean over units.
        examples: Variance of the mean over examples.
        rest: What both contain.
        unit_freedom: Degrees of freedom of `units`.
        example_freedom: Degrees of freedom of `examples`.
    """

    units: float
    examples: float
    rest: float
    unit_freedom: float
    example_freedom: float

    @property
    def variance(self) -> float:
        """The variance of the estimate: never below that of the examples."""
        return self.examples + max(self.units - self.rest, 0.0)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the variance."""
        parts = self.examples**2 / self.example_freedom
        if self.units > self.rest:
            parts += self.units**2 / self.unit_freedom
        if not parts:
            return self.unit_freedom
        return max(self.variance**2 / parts, min(self.unit_freedom, self.example_freedom))

    def scaled(self, factor: float) -> "Spread":
        """The variance of the estimate times the root of a factor."""
        return replace(
            self,
            units=self.units * factor,
            examples=self.examples * factor,
            rest=self.rest * factor,
        )


@dataclass(frozen=True)
class Estimate:
    """A number and how sure it is.

    Attributes:
        value: The number.
        spread: Where its variance comes from; `None` where it cannot be estimated.
    """

    value: float
    spread: Spread | None

    @property
    def se(self) -> float | None:
        """The standard error."""
        return None if self.spread is None else float(np.sqrt(self.spread.variance))

    def interval(self, level: float = LEVEL) -> tuple[float | None, float | None]:
        """The interval that holds the true value with this probability, over models and examples.

        Args:
            level: The probability.

        Returns:
            Its ends; `None` where the standard error is.
        """
        if self.spread is None or self.se is None:
            return None, None
        half = self.se * student(self.spread.freedom, level)
        return self.value - half, self.value + half


def student(freedom: float, level: float = LEVEL) -> float:
    """How many standard errors a two-sided interval of Student's t reaches to either side.

    Args:
        freedom: Degrees of freedom.
        level: The probability inside.
    """
    from scipy.special import stdtrit  # scipy.stats takes four times as long to import

    return float(stdtrit(freedom, 0.5 + level / 2))


def combine(partitions: Sequence[Totals]) -> dict[Name, Estimate]:
    """Estimates over all partitions.

    Args:
        partitions: The sums of each.

    Returns:
        For each quantity the mean over partitions, with its variance.
    """
    return {name: _estimate(name, partitions) for name in partitions[0].values}


def combine_spreads(
    units: Sequence[tuple[float, float]], examples: Sequence[tuple[float, float]], rest: float
) -> Spread:
    """The variance of a sum of independent estimates.

    Args:
        units: For each the variance over units, and its degrees of freedom.
        examples: For each the variance over examples, and its degrees of freedom.
        rest: What both contain, of all together.
    """
    return Spread(
        units=sum(variance for variance, _ in units),
        examples=sum(variance for variance, _ in examples),
        rest=rest,
        unit_freedom=_freedom(units),
        example_freedom=_freedom(examples),
    )


def _freedom(parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of variances."""
    total = sum(variance for variance, _ in parts)
    if not total:
        return min(freedom for _, freedom in parts)
    return total**2 / sum(variance**2 / freedom for variance, freedom in parts)


def _estimate(name: Name, partitions: Sequence[Totals]) -> Estimate:
    value = float(np.mean([one.values[name].mean() for one in partitions]))
    n, clusters = partitions[0].n, partitions[0].clusters
    groups = n if clusters is None else int(clusters.max()) + 1
    if any(name not in one.unit_sums for one in partitions) or groups < 2:
        return Estimate(value, None)
    units, rest, means = [], [], []
    for one in partitions:
        sums = one.unit_sums[name] / n
        units.append(float(np.var(sums, ddof=1)) / one.units)
        rest.append(_rest(one, name))
        means.append(float(sums.mean()))
    values = np.mean([one.values[name] for one in partitions], axis=0)
    examples, example_freedom = mean_variance(values, clusters)
    spread = Spread(
        units=_over_partitions(units, means),
        examples=examples,
        rest=float(np.mean(rest)) / len(partitions),
        unit_freedom=sum(one.units - 1 for one in partitions) / len(partitions),
        example_freedom=example_freedom,
    )
    return Estimate(value, spread)


def _rest(one: Totals, name: Name) -> float:
    """The variance of the mean that is neither of units nor of examples."""
    n, units = one.n, one.units
    if one.clusters is not None:
        return rest_variance(one.cluster_sums[name], np.bincount(one.clusters))
    sums = one.unit_sums[name] / n
    mean = float(sums.mean())
    left = (
        one.squares[name]
        - n * float((sums**2).sum())
        - units * one.mean_squares[name]
        + n * units * mean**2
    )
    return max(left, 0.0) / ((units - 1) * (n - 1)) / (units * n)


def _over_partitions(units: Sequence[float], means: Sequence[float]) -> float:
    """The variance of the mean over partitions of the same data.

    Each partition is a sample of its own, so the variance of its mean is known from its own models;
    but the partitions are made of the same examples and vary together. The part that they do not
    share is what they differ by, and only that is averaged out:
    mean V_p - (P - 1)/P S^2, never below what independent partitions would have.

    Args:
        units: For each partition the variance of its mean.
        means: For each partition the mean.
    """
    count = len(units)
    if count == 1:
        return units[0]
    mean = float(np.mean(units))
    apart = float(np.var(means, ddof=1))
    return max(mean - (count - 1) / count * apart, mean / count)
