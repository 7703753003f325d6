"""What is to be foreseen of a case: how far its readers differ."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.triage import pools
from nncli.triage.doubts import entropy_of

F64 = NDArray[np.float64]
Counts = NDArray[np.int64]
Index = NDArray[np.int64]

TARGETS = {
    "disagreement": "probability that two readers differ, over pairs of the pool; 0 to 1",
    "entropy": "entropy of the answers of the pool in nats, Miller and Madow's; 0 to log classes",
    "variance": "variance of the grades of the pool, r - 1 below; 0 on",
}
DIGITS = 12


@dataclass(frozen=True)
class Opinions:
    """What the readers of N cases say.

    Attributes:
        target: What is to be foreseen, one of `TARGETS`.
        counts: (N, C) readings of each class.
        value: (N,) the target.
        threshold: Above which readers are said to disagree.
        grades: (C,) classes as numbers, `None` where they are names.
    """

    target: str
    counts: Counts
    value: F64
    threshold: float
    grades: F64 | None

    def __len__(self) -> int:
        return len(self.value)

    @property
    def disagree(self) -> NDArray[np.bool_]:
        """(N,) whether readers disagree: the target is above the threshold."""
        return self.value > self.threshold

    @property
    def shares(self) -> F64:
        """(N, C) how the readers of each case divide over classes."""
        found: F64 = self.counts / self.counts.sum(axis=1, keepdims=True)
        return found

    @property
    def plurality(self) -> Index:
        """(N,) the class that most readers of a case say; the lowest of tied ones."""
        found: Index = self.counts.argmax(axis=1)
        return found

    def some(self, places: Index) -> "Opinions":
        """Those of some cases."""
        return replace(self, counts=self.counts[places], value=self.value[places])


def opinions_of(
    counts: Counts,
    target: str,
    grades: F64 | None,
    *,
    threshold: float | None,
    source: str,
) -> Opinions:
    """Compute the target of pools of readers.

    A pool may have any number of readers from two on: disagreement and variance are unbiased, and
    entropy nearly so, whichever readers are missing, as long as that is by chance.

    Args:
        counts: (N, C) readings of each class, at least two of each case.
        target: One of `TARGETS`.
        grades: (C,) the classes as numbers, for variance.
        threshold: Above which readers disagree; by default the median of the target, or where no
            case is above that, the largest value below.
        source: The ratings, for errors.

    Returns:
        The opinions.

    Raises:
        ArtifactError: Readers of every case differ alike, or the threshold has all on one side.
    """
    if target == "variance":
        assert grades is not None
        value = pools.variance(counts, grades)
    else:
        value = pools.disagreement(counts) if target == "disagreement" else pools.entropy(counts)
    value = np.round(value, DIGITS)  # what is equal must tie, whatever the readers it came from
    least, most = float(value.min()), float(value.max())
    if most - least < 1e-12:
        what = "agree on every case" if most < 1e-12 else f"have {target} {most:.4g} in every case"
        raise ArtifactError(
            f"the readers in `{source}` {what} ({len(value)}): there is nothing to foresee",
            hint="cases with fewer than two readings do not count",
        )
    if threshold is None:
        middle = float(np.median(value))
        threshold = middle if (value > middle).any() else float(value[value < middle].max())
    above = int((value > threshold).sum())
    if above in (0, len(value)):
        side = "no case is" if not above else "every case is"
        raise ArtifactError(
            f"{side} above the threshold {threshold:g} of {target} in `{source}`",
            hint=f"{target} is from {least:.4g} to {most:.4g} there",
        )
    return Opinions(target, counts, value, float(threshold), grades)


def uncertainty_of(target: str, shares: F64, grades: F64 | None) -> F64:
    """The target as probabilities of classes have it: U(p).

    Args:
        target: One of `TARGETS`.
        shares: (n, C) probabilities.
        grades: (C,) the classes as numbers, for variance.

    Returns:
        (n,). All three are concave, so that U of the mean opinion is at least the mean U of
        opinions (Jensen): a classifier that does not see why readers differ from case to case says
        too much.
    """
    if target == "entropy":
        return entropy_of(shares)
    if target == "disagreement":
        alike: F64 = 1 - (shares**2).sum(axis=1)
        return alike
    assert grades is not None
    mean = shares @ grades
    spread: F64 = (shares * (grades - mean[:, None]) ** 2).sum(axis=1)
    return spread


def single_reader_errors(counts: Counts) -> F64:
    """How often one reader of a case differs from the consensus of the others.

    Args:
        counts: (N, C) readings of each class, at least two of each case.

    Returns:
        (N,) the mean over readers of the probability that they do not say what most of the others
        do; of tied classes each is the consensus as often.
    """
    readers = counts.sum(axis=1)
    wrong = np.zeros(len(counts))
    for one in range(counts.shape[1]):
        others = counts.copy()
        others[:, one] -= 1
        most = others.max(axis=1)
        tied = (others == most[:, None]).sum(axis=1)
        alike = np.where(others[:, one] == most, 1 / tied, 0.0)
        wrong += counts[:, one] * (1 - alike)
    found: F64 = wrong / readers
    return found
