"""Fitted scores of disagreement, as safetensors: the arrays of each score, and what it is told.

A tensor `dup/weight` is the array `weight` of the score `dup`; those under `@scaling` say what is
done to features first. The entry says which scores and which features they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError, MismatchError
from nncli.formats.entry import Entry, demand_kind
from nncli.formats.tensors import open_tensors, write_tensors

KIND = "opinions"
SCALING = "@scaling"
Array = NDArray[Any]
Arrays = dict[str, Array]


@dataclass(frozen=True)
class StoredScores:
    """Fitted scores.

    Attributes:
        name: The file as given.
        digest: Its SHA-256.
        entry: What it says of itself.
        about: What scores are told: target, reader, direct, grades; JSON values.
        features: What they are of: `layers`, a list, or nothing for a table; and the `width`.
        scaling: What is done to features.
        scores: For each score its arrays.
    """

    name: str
    digest: str
    entry: Entry
    about: Mapping[str, Any]
    features: Mapping[str, Any]
    scaling: Arrays
    scores: dict[str, Arrays]

    def demand_width(self, width: int, *, source: str) -> None:
        """Refuse features of another number than those that scores were fitted on.

        Raises:
            MismatchError: They are.
        """
        if width != self.features["width"]:
            raise MismatchError(
                f"`{source}` has {width} features, `{self.name}` was fitted on "
                f"{self.features['width']}"
            )


def write_scores(
    target: str,
    told: Mapping[str, Mapping[str, Any]],
    *,
    scaling: Mapping[str, Array],
    scores: Mapping[str, Mapping[str, Array]],
    entry: Entry,
    overwrite: bool = False,
) -> None:
    """Write fitted scores.

    Args:
        target: A path, or `-`.
        told: The `about` and `features` of `StoredScores`.
        scaling: What is done to features.
        scores: For each score its arrays.
        entry: The metadata entry.
        overwrite: Replace a file that nncli did not write.

    Raises:
        ArtifactError: The file cannot be written.
    """
    arrays = {
        f"{name}/{part}": np.ascontiguousarray(value)
        for name, its in {SCALING: scaling, **scores}.items()
        for part, value in its.items()
    }
    facts = {**{name: dict(its) for name, its in told.items()}, "scores": list(scores)}
    whole = replace(entry, facts={**entry.facts, **facts})
    write_tensors(target, arrays, whole, overwrite=overwrite)


def read_scores(source: str) -> StoredScores:
    """Read fitted scores.

    Args:
        source: The name as given.

    Returns:
        The scores, in memory.

    Raises:
        ArtifactError: The file holds something else, or is damaged.
    """
    with open_tensors(source) as file:
        demand_kind(file.entry, KIND, source=file.name)
        facts = file.entry.facts if file.entry else {}
        names, about, features = (facts.get(one) for one in ("scores", "about", "features"))
        sound = isinstance(names, list) and isinstance(about, dict) and isinstance(features, dict)
        if file.entry is None or not sound:
            raise ArtifactError(
                f"`{file.name}` holds no fitted scores",
                hint="`nncli triage second-opinion --model FILE` writes them",
            )
        arrays: dict[str, Arrays] = {str(one): {} for one in (SCALING, *(names or ()))}
        for name in file.specs:
            score, _, part = name.rpartition("/")
            if score in arrays:
                arrays[score][part] = file.read(name)
        if not all(arrays.values()):
            raise ArtifactError(f"`{file.name}` lacks the tensors of a score that its entry names")
        scaling = arrays.pop(SCALING)
        told = file.name, file.digest, file.entry, about or {}, features or {}
        return StoredScores(*told, scaling, arrays)
