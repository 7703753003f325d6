"""Features of cases, from a capture or a table, joined to them by identifier."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError, MismatchError
from nncli.formats.activations import Activations, open_activations
from nncli.formats.column_roles import choose_columns
from nncli.formats.columns import stack_columns, to_values
from nncli.formats.datasets import load
from nncli.formats.entry import Entry
from nncli.formats.kinds import described
from nncli.formats.sources import open_source
from nncli.formats.tables import Table, read_table

Array = NDArray[Any]
Index = NDArray[np.int64]
TENSORS = ("safetensors", "npz", "npy")
DESCRIBED = (*TENSORS, "parquet", "arrow-file", "arrow-stream")  # may say what they are
ID, PREDICTIONS = "example_id", "predictions"


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
        The features. Of a table that nncli wrote they are what it says are scores, else its
        numbers, as of a dataset.

    Raises:
        ArtifactError: It is neither.
    """
    source = open_source(name)
    kind = described(source).kind if source.format in DESCRIBED else None
    if kind == PREDICTIONS:
        raise ArtifactError(
            f"`{name}` holds predictions, expected features",
            hint="answers of PREDICTIONS are features by themselves; `nncli capture` makes those "
            "of any network",
        )
    if kind == "table":
        return _of_table(read_table(source))
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


def _of_table(table: Table) -> CaseFeatures:
    """The numbers of a table that nncli wrote."""
    data, name = table.data, table.name
    if ID not in data.column_names:
        raise ArtifactError(
            f"`{name}` has no `{ID}`: its rows are no cases, and features are a row a case",
            hint=f"`nncli show {name}` says what it is",
        )
    ids = to_values(data[ID])
    known, counts = np.unique(ids, return_counts=True)
    if len(known) < len(ids):
        raise ArtifactError(
            f"example `{known[counts > 1][0]}` has several rows in `{name}`, and features are a "
            "row a case"
        )
    told = table.entry.facts.get("scores") if table.entry else None
    names = [str(one) for one in told if one in data.column_names] if told else []
    found = tuple(names) or choose_columns(data.schema, source=name).features
    if not found:
        raise ArtifactError(f"`{name}` has no column of numbers to take for features")
    x = stack_columns(data, found, source=name, places=ids)
    return CaseFeatures(name, table.digest, table.entry, ids, None, x)
