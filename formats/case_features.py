"""Features of cases, from a capture or a table, joined to them by identifier."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError, MismatchError
from nncli.formats.activations import Activations, open_activations
from nncli.formats.datasets import load
from nncli.formats.entry import Entry
from nncli.formats.sources import open_source

Array = NDArray[Any]
Index = NDArray[np.int64]
TENSORS = ("safetensors", "npz", "npy")


@dataclass(frozen=True, eq=False)
class CaseFeatures:
    """Features, a row a case.

    Attributes:
        name: The file as given.
        digest: Its digest.
        entry: What it says of itself.
        ids: (n,) identifiers, `None` where there are none.
        capture: The activations, if it is such.
        x: (n, ...) the inputs of a table or dataset, if it is such.
    """

    name: str
    digest: str
    entry: Entry | None
    ids: Array | None
    capture: Activations | None
    x: Any

    def places(self, ids: Array, *, of: str) -> Index:
        """Where cases are.

        Args:
            ids: (N,) their identifiers.
            of: What the cases are from, for errors.

        Returns:
            (N,) rows.

        Raises:
            MismatchError: A case has no features, or nothing says which row is whose.
        """
        if self.ids is None:
            raise MismatchError(
                f"`{self.name}` does not say which case its rows are of",
                hint="`nncli capture` keeps `@example_id`; a table needs a column `example_id`",
            )
        text = {"U", "O", "S"}
        if (self.ids.dtype.kind in text) != (ids.dtype.kind in text):
            raise MismatchError(
                f"`example_id` is text in one of `{self.name}` and `{of}` and numbers in the other"
            )
        order = np.argsort(self.ids, kind="stable")
        at = np.minimum(np.searchsorted(self.ids, ids, sorter=order), len(order) - 1)
        found: Index = order[at]
        lacks = self.ids[found] != ids
        if lacks.any():
            raise MismatchError(
                f"{lacks.sum()} of {len(ids)} cases of `{of}` have no features in `{self.name}` "
                f"(the first is `{ids[np.argmax(lacks)]}`)"
            )
        return found


def open_case_features(name: str) -> CaseFeatures:
    """Open features.

    Args:
        name: A capture or other tensors, or what `--data` takes.

    Returns:
        The features.

    Raises:
        ArtifactError: It is neither.
    """
    source = open_source(name)
    if source.folder is None and source.format in TENSORS:
        capture = open_activations(source)
        told = capture.name, capture.digest, capture.entry, capture.example_id
        return CaseFeatures(*told, capture, None)
    with source:
        # a stream has been spooled: the loader finds it under the number of its file
        at = str(source.path) if source.path else f"/dev/fd/{source.file.fileno()}"
        data = load(at)
    if data.x is None:
        raise ArtifactError(f"`{name}` is text, which has no features before a network read it")
    return CaseFeatures(source.name, data.digest, data.entry, data.example_id, None, data.x)
