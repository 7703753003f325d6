"""Scores of disagreement: none of a case that the model behind it has seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.probing.features import Scaling
from nncli.probing.settings import Settings
from nncli.triage.crossfitting import Fitting, Plan
from nncli.triage.doubts import probabilities
from nncli.triage.opinions import Opinions, single_reader_errors, uncertainty_of
from nncli.triage.uncertainty import SCORES, About

F64 = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Design:
    """What is fitted.

    Attributes:
        names: Of the scores.
        about: What scores are told.
        settings: What models are told.
    """

    names: tuple[str, ...]
    about: About
    settings: Settings

    def fitting(
        self, x: NDArray[np.floating], opinions: Opinions, plan: Plan, parts: list[Index]
    ) -> Fitting:
        """The cases of some folds, to fit models on."""
        told: dict[str, Any] = {"reader": self.about.reader, "settings": self.settings}
        return Fitting.of(x, opinions, plan.group, parts, **told)


@dataclass(frozen=True, eq=False)
class Foresight:
    """Scores of cases, none by a model that saw the case.

    Attributes:
        names: Of the scores.
        scores: (S, n).
        scaled: For each score whether it estimates the target itself.
    """

    names: tuple[str, ...]
    scores: F64
    scaled: tuple[bool, ...]

    def beside_answers(
        self, answers: Sequence[NDArray[Any]], score: str, opinions: Opinions
    ) -> "Foresight":
        """With the uncertainty of a classifier that is given, as the score `model`.

        Args:
            answers: For each model (n, C); several are taken together, by their mean probabilities.
            score: What they are: logits, probs or logprobs.
            opinions: What readers say.
        """
        shares = np.mean([probabilities(one, score) for one in answers], axis=0)
        mine = uncertainty_of(opinions.target, shares, opinions.grades)
        scores = np.concatenate([self.scores, mine[None]])
        return Foresight((*self.names, "model"), scores, (*self.scaled, True))

    def columns(self, opinions: Opinions, plan: Plan) -> dict[str, NDArray[Any]]:
        """The scores of each case, and what is known of it, by name."""
        return {
            **dict(zip(self.names, self.scores, strict=True)),
            "target": opinions.value,
            "disagree": opinions.disagree.astype(np.int8),
            "reader_error": single_reader_errors(opinions.counts),
            "raters": opinions.counts.sum(axis=1),
            "fold": plan.fold,
        }


def cross_fit(
    x: NDArray[np.floating],
    opinions: Opinions,
    plan: Plan,
    design: Design,
    *,
    progress: Callable[[Any], Any] = iter,
) -> Foresight:
    """Score every case by models that were fitted on the other folds.

    Args:
        x: (n, d) features.
        opinions: What readers say.
        plan: The folds.
        design: What is fitted.
        progress: Wraps what takes long.

    Returns:
        The scores.
    """
    names = design.names
    scores = np.empty((len(names), len(opinions)))
    for parts, held in progress(list(plan.rounds())):
        fitting = design.fitting(x, opinions, plan, parts)
        rows = fitting.scaling.apply(x[held])
        for place, name in enumerate(names):
            arrays = SCORES[name].fit(fitting, design.about)
            scores[place, held] = SCORES[name].of(arrays, rows, design.about)
    return Foresight(names, scores, tuple(SCORES[name].scaled for name in names))


@dataclass(frozen=True, eq=False)
class Model:
    """Scores fitted on all cases, for new ones.

    Attributes:
        about: What the scores are told.
        scaling: What is done to features.
        arrays: For each score what it consists of.
    """

    about: About
    scaling: Scaling
    arrays: dict[str, dict[str, F64]]

    @classmethod
    def of_arrays(
        cls,
        about: Mapping[str, Any],
        scaling: Mapping[str, F64],
        arrays: Mapping[str, Mapping[str, F64]],
    ) -> "Model":
        """What was stored of a model."""
        told = About(**{**about, "grades": about["grades"] and tuple(about["grades"])})
        done = Scaling(scaling["mean"], scaling["factor"], scaling.get("directions"))
        return cls(told, done, {name: dict(its) for name, its in arrays.items()})

    def scaling_arrays(self) -> dict[str, F64]:
        """What is done to features, as arrays."""
        told = {"mean": self.scaling.mean, "factor": self.scaling.factor}
        if self.scaling.directions is not None:
            told["directions"] = self.scaling.directions
        return told

    def scores(self, x: NDArray[np.floating]) -> dict[str, F64]:
        """The scores (n,) of features (n, d)."""
        rows = self.scaling.apply(x)
        return {name: SCORES[name].of(its, rows, self.about) for name, its in self.arrays.items()}


def fit_all(
    x: NDArray[np.floating],
    opinions: Opinions,
    plan: Plan,
    design: Design,
) -> Model:
    """Fit scores on all cases; see `cross_fit`."""
    fitting = design.fitting(x, opinions, plan, list(plan.parts))
    arrays = {name: SCORES[name].fit(fitting, design.about) for name in design.names}
    return Model(design.about, fitting.scaling, arrays)
