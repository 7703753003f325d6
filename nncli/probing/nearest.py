"""Readers that look for what is nearest: neighbours that vote, and prototypes of classes."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nncli.probing.features import F64
from nncli.probing.targets import Target

BLOCK = 1 << 22  # numbers of a block of similarities


class HasNeighbours(Protocol):
    """Settings that say how many neighbours vote."""

    @property
    def neighbours(self) -> int:
        """How many."""


def unit(x: F64) -> F64:
    """Rows of length 1; rows of zeros stay."""
    length = np.sqrt(np.einsum("nd,nd->n", x, x))[:, None]
    found: F64 = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
    return found


def neighbours(
    x: F64, values: NDArray[Any], target: Target, settings: HasNeighbours
) -> dict[str, F64]:
    """Keep the training examples: directions (n, d), encoded values (n, K), and how many vote."""
    count = min(settings.neighbours, len(x))
    kind = 0.0 if target.kind == "numbers" else 1.0
    return {
        "directions_of_examples": unit(x),
        "values": target.encoded(values),
        "neighbours": np.array([float(count), kind]),
    }


def neighbour_answers(arrays: Mapping[str, F64], x: F64) -> F64:
    """What the neighbours by cosine similarity say.

    Args:
        arrays: From `neighbours`.
        x: (n, d).

    Returns:
        (n, K) the logarithm of (votes + 1 / K) / (k + 1), or the mean of their numbers. Ties of
        similarity go to the example that comes first.
    """
    known, values = arrays["directions_of_examples"], arrays["values"]
    count, classes = int(arrays["neighbours"][0]), arrays["neighbours"][1] > 0
    rows = unit(x)
    found = np.empty((len(x), values.shape[1]))
    step = max(1, BLOCK // len(known))
    for at in range(0, len(x), step):
        distance = -(rows[at : at + step] @ known.T)
        near = np.argsort(distance, axis=1, kind="stable")[:, :count]
        found[at : at + step] = values[near].mean(axis=1)
    if not classes:
        return found
    log: F64 = np.log((found * count + 1 / values.shape[1]) / (count + 1))
    return log


def prototypes(x: F64, values: NDArray[Any], target: Target, settings: object) -> dict[str, F64]:
    """The mean of each class, (K, d), as a direction; of an absent class zeros."""
    codes = target.encoded(values)
    sums = codes.T @ x
    return {"prototypes": unit(sums), "present": (codes.sum(axis=0) > 0).astype(np.float64)}


def prototype_answers(arrays: Mapping[str, F64], x: F64) -> F64:
    """Cosine similarities (n, K) to the prototypes; -2 for a class without one."""
    found = unit(x) @ arrays["prototypes"].T
    answers: F64 = np.where(arrays["present"] > 0, found, -2.0)
    return answers
