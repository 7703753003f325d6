"""Training errors of checkpoints, as their series record them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.formats.describe_tables import read_rows
from nncli.formats.entry import Entry
from nncli.formats.sources import open_source


@dataclass(frozen=True)
class TrainingErrors:
    """What a series says of its members.

    Attributes:
        name: The series as given.
        digest: The SHA-256 of its manifest.
        entry: What it says of itself.
        facts: For each member its factors and architecture.
        errors: (m,) shares of the training examples that it gets wrong.
    """

    name: str
    digest: str
    entry: Entry | None
    facts: tuple[dict[str, Any], ...]
    errors: NDArray[np.float64]


def read_training_errors(name: str) -> TrainingErrors:
    """Read the training errors of a series.

    Args:
        name: The folder of `nncli train`, its manifest, or any table with `train_accuracy`.

    Returns:
        The errors; of models trained under attack or with noise, those under it.

    Raises:
        ArtifactError: It is no table, or has no training accuracy.
    """
    with open_source(name) as source:
        read = read_rows(source)
    rows = read.data.to_pylist()
    clean, under = (
        "train_accuracy",
        {"epsilon": "train_robust_accuracy", "noise": "train_noisy_accuracy"},
    )
    errors = []
    for place, row in enumerate(rows):
        own = [row.get(name) for factor, name in under.items() if row.get(factor)]
        accuracy = next((one for one in own if one is not None), row.get(clean))
        if accuracy is None:
            raise ArtifactError(
                f"row {place} of `{name}` has no `{clean}`, so no training error",
                hint="name the folder of `nncli train`, or a table with that column",
            )
        errors.append(1.0 - float(accuracy))
    facts = tuple(dict(row) for row in rows)
    return TrainingErrors(read.name, read.digest, read.entry, facts, np.array(errors))
