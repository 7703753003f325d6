"""Scores of how far readers will differ about a case, fitted on some and asked of others.

*Direct* prediction (DUP) fits the disagreement of readers itself. Uncertainty *via classification*
(UVC) fits a classifier to what readers say, and takes the uncertainty of its answer. The rest know
nothing of disagreement: they say how unlike the cases they were fitted on a case is.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncli.calibration import softmax
from nncli.probing.fitted import Fitted
from nncli.triage import novelty
from nncli.triage.crossfitting import CLASSIFIERS, REGRESSORS, Fitting
from nncli.triage.opinions import uncertainty_of

F64 = NDArray[np.float64]
Arrays = Mapping[str, F64]


class About(NamedTuple):
    """What a fitted score needs to know beside its arrays; JSON values.

    Attributes:
        target: What is foreseen.
        reader: The kind of model.
        direct: `regression` or `classification`.
        grades: The classes as numbers, where they are.
    """

    target: str
    reader: str
    direct: str
    grades: tuple[float, ...] | None


class Score(NamedTuple):
    """A score.

    Attributes:
        summary: What it is.
        fit: Gives what it consists of, for features as `Fitting` standardises them.
        of: Gives the scores (n,) of such features (n, d).
        scaled: Whether it estimates the target itself, and not some quantity of its own.
    """

    summary: str
    fit: Callable[[Fitting, About], dict[str, F64]]
    of: Callable[[Arrays, F64, About], F64]
    scaled: bool = False


def _fit_direct(fitting: Fitting, about: About) -> dict[str, F64]:
    made = fitting.regression() if about.direct == "regression" else fitting.classification()
    return dict(made.arrays)


def _direct(arrays: Arrays, x: F64, about: About) -> F64:
    if about.direct == "regression":
        found: F64 = Fitted(REGRESSORS[about.reader], dict(arrays)).answers(x)[:, 0]
        return found
    shares: F64 = softmax(Fitted(CLASSIFIERS[about.reader], dict(arrays)).answers(x))[:, 1]
    return shares


def _fit_classifier(fitting: Fitting, about: About) -> dict[str, F64]:
    return dict(fitting.classifier.arrays)


def class_shares(arrays: Arrays, x: F64, about: About) -> F64:
    """What the classifier of `uvc` answers, (n, C)."""
    return softmax(Fitted(CLASSIFIERS[about.reader], dict(arrays)).answers(x))


def _via_classification(arrays: Arrays, x: F64, about: About) -> F64:
    grades = None if about.grades is None else np.array(about.grades)
    return uncertainty_of(about.target, class_shares(arrays, x, about), grades)


SCORES: dict[str, Score] = {
    "dup": Score("direct prediction of the target", _fit_direct, _direct, scaled=True),
    "uvc": Score(
        "uncertainty of a classifier of what readers say",
        _fit_classifier,
        _via_classification,
        scaled=True,
    ),
    "ensemble-disagreement": Score(
        "Jensen-Shannon divergence of classifiers fitted on halves of the cases, in nats",
        lambda fitting, about: novelty.fit_ensemble(fitting),
        lambda arrays, x, about: novelty.ensemble_disagreement(arrays, x),
    ),
    "knn-distance": Score(
        "distance to the 10th nearest case, features standardised",
        lambda fitting, about: novelty.fit_neighbours(fitting),
        lambda arrays, x, about: novelty.neighbour_distance(arrays, x),
    ),
    "mahalanobis": Score(
        "squared distance to the nearest class mean, within-class covariance shrunk",
        lambda fitting, about: novelty.fit_mahalanobis(fitting),
        lambda arrays, x, about: novelty.mahalanobis(arrays, x),
    ),
    "random-distillation": Score(
        "expected squared error of a model of a random network's noisy answers",
        lambda fitting, about: novelty.fit_distillation(fitting),
        lambda arrays, x, about: novelty.distillation_error(arrays, x),
    ),
}
EXTRA = tuple(name for name, one in SCORES.items() if not one.scaled)
