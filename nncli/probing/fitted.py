"""Readers that have been fitted: what they consist of, and what they answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nncli.probing import nearest, perceptron
from nncli.probing.features import F64, Scaling

Arrays = dict[str, F64]


def affine(arrays: Mapping[str, F64], x: F64) -> F64:
    """Answers (n, K) of `weight` (d, K) and `bias` (K,) to rows (n, d)."""
    found: F64 = x @ arrays["weight"] + arrays["bias"]
    return found


ANSWERS: dict[str, Callable[[Mapping[str, F64], F64], F64]] = {
    "linear": affine,
    "ridge": affine,
    "knn": nearest.neighbour_answers,
    "prototype": nearest.prototype_answers,
    "mass-mean": affine,
    "mlp": perceptron.answers,
}


@dataclass(frozen=True)
class Fitted:
    """A reader that has been fitted.

    Attributes:
        reader: Its name in `READERS`.
        arrays: What it consists of.
        penalty: What it was fitted with, where it has one.
        note: What should be known of the fit.
    """

    reader: str
    arrays: Arrays
    penalty: float | None = None
    note: str | None = None

    def answers(self, x: F64) -> F64:
        """Answers (n, outputs): logits, log-probabilities, scores, or numbers."""
        return ANSWERS[self.reader](self.arrays, x)

    def of_raw_features(self, scaling: Scaling) -> "Fitted":
        """The same reader of the activations as they were captured."""
        if set(self.arrays) == {"weight", "bias"}:
            weight, bias = scaling.to_features(self.arrays["weight"], self.arrays["bias"])
            return Fitted(self.reader, {"weight": weight, "bias": bias}, self.penalty, self.note)
        told = {"mean": scaling.mean, "factor": scaling.factor}
        if scaling.directions is not None:
            told["directions"] = scaling.directions
        return Fitted(self.reader, {**self.arrays, **told}, self.penalty, self.note)

    def answers_to_raw(self, x: NDArray[np.floating]) -> F64:
        """Answers of a reader that came from `of_raw_features`."""
        if "mean" not in self.arrays:
            return self.answers(x.astype(np.float64))
        told = self.arrays
        scaling = Scaling(told["mean"], told["factor"], told.get("directions"))
        return self.answers(scaling.apply(x))
