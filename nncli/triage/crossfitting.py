"""Models of cases that are fitted on some and asked about others, so that none is seen twice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.probing.features import F64, Index, Scaling, Training, rotate, standardise
from nncli.probing.fitted import Fitted
from nncli.probing.partition import divide, duplicates, together
from nncli.probing.readers import READERS
from nncli.probing.settings import Settings
from nncli.probing.targets import Target
from nncli.triage.opinions import Opinions
from nncli.triage.shares import choose_shares

ROUNDING = float(np.finfo(np.float32).eps)  # of stored activations, whatever their type
CLASSIFIERS = {"linear": "linear", "knn": "knn", "mlp": "mlp"}
REGRESSORS = {"linear": "ridge", "knn": "knn", "mlp": "mlp"}


@dataclass(frozen=True)
class Plan:
    """Which cases are in which fold.

    Attributes:
        parts: For each fold its cases.
        group: (n,) which cases are never in two folds.
    """

    parts: tuple[Index, ...]
    group: Index

    @property
    def fold(self) -> Index:
        """(n,) the fold of each case."""
        found = np.empty(sum(map(len, self.parts)), np.int64)
        for place, part in enumerate(self.parts):
            found[part] = place
        return found

    def rounds(self) -> Iterator[tuple[list[Index], Index]]:
        """For each fold the other folds, and its own cases."""
        for place, part in enumerate(self.parts):
            yield [one for at, one in enumerate(self.parts) if at != place], part


def groups_of(x: NDArray[np.floating], column: Sequence[object] | None) -> Index:
    """Which cases stay together: those of one group, and those whose features are the same.

    Args:
        x: (n, d) features.
        column: The group of each case.

    Returns:
        (n,) numbers from 0 on.
    """
    same = duplicates(lambda: [x], 0, np.zeros(len(x), np.int64))
    return together([same, *([[str(one) for one in column]] if column is not None else [])])


def plan_of(group: Index, disagree: NDArray[np.bool_], folds: int, seed: int, source: str) -> Plan:
    """Divide cases into folds in which about as many are disagreed about.

    Args:
        group: (n,) which cases are never in two folds.
        disagree: (n,) whether readers disagree.
        folds: How many, at least 3: models choose their penalty within those they are fitted on.
        seed: Of the division.
        source: The features, for errors.

    Returns:
        The plan.

    Raises:
        ArtifactError: There are too few groups.
    """
    count = len(np.unique(group))
    if count < folds:
        raise ArtifactError(
            f"`{source}` has {count} independent cases that two people or more have read, too few "
            f"for {folds} folds",
            hint="`--folds` asks for fewer; cases of one group, or with the same features, count "
            "as one",
        )
    usable = np.ones(len(group), bool)
    told = {"usable": usable, "share": 1 / folds, "folds": folds - 1}
    found = divide(group, disagree.astype(np.int64), seed=seed, source=source, **told)  # type: ignore[arg-type]
    bounds = found.folds
    rest = [found.train[a:b] for a, b in pairwise(bounds)]
    return Plan((np.sort(found.test), *(np.sort(one) for one in rest)), group)


class Histogram(Target):
    """Classes of which each case has shares, and not one alone."""

    def encoded(self, values: NDArray[np.float64]) -> F64:
        """The shares (n, C) as they are."""
        return values


def target_of_shares(shares: F64) -> Histogram:
    """Rater histograms (n, C) as what a classifier is fitted to."""
    names = tuple(str(one) for one in range(shares.shape[1]))
    return Histogram("readers", "classes", shares, names, np.ones(len(shares), bool))


@dataclass(frozen=True, eq=False)
class Fitting:
    """Cases that models are fitted on.

    Attributes:
        training: Their features, standardised, by fold.
        scaling: What that did.
        opinions: What readers say of them, in the same order.
        group: (n,) which of them belong together.
        reader: The kind of model.
        settings: What models are told.
    """

    training: Training
    scaling: Scaling
    opinions: Opinions
    group: Index
    reader: str
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def of(
        cls,
        x: NDArray[np.floating],
        opinions: Opinions,
        group: Index,
        parts: list[Index],
        *,
        reader: str,
        settings: Settings,
    ) -> "Fitting":
        """Take the rows of some folds.

        Args:
            x: (n, d) features of all cases.
            opinions: Of all cases.
            group: (n,) of all cases.
            parts: The folds.
            reader: The kind of model.
            settings: What models are told.
        """
        places = np.concatenate(parts)
        rows = x[places].astype(np.float64)
        scaling = standardise(rows, len(rows), ROUNDING)
        rows, scaling, spectrum = rotate(rows, len(rows), scaling)
        bounds = np.concatenate([[0], np.cumsum([len(one) for one in parts])])
        training = Training(rows, tuple(bounds.tolist()), spectrum)
        return cls(training, scaling, opinions.some(places), group[places], reader, settings)

    @cached_property
    def classifier(self) -> Fitted:
        """A classifier of what readers say, fitted to how they divide over classes."""
        shares = self.opinions.shares
        if self.reader == "linear":
            return choose_shares(self.training, shares, self.settings.penalties)
        reader = READERS[CLASSIFIERS[self.reader]]
        return reader.choose(self.training, shares, target_of_shares(shares), self.settings)

    def regression(self) -> Fitted:
        """A regression of the target."""
        value = self.opinions.value
        target = Target("target", "numbers", value, ("target",), np.ones(len(value), bool))
        return READERS[REGRESSORS[self.reader]].choose(self.training, value, target, self.settings)

    def classification(self) -> Fitted:
        """A classifier of whether readers disagree."""
        value = self.opinions.disagree.astype(np.int64)
        known = np.ones(len(value), bool)
        target = Target("target", "classes", value, ("agree", "disagree"), known)
        return READERS[CLASSIFIERS[self.reader]].choose(self.training, value, target, self.settings)
