"""The examples that blocks of predictions speak of: their places, and their labels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nncli.errors import ArtifactError, MismatchError
from nncli.formats.arrow_columns import array_of
from nncli.formats.prediction_batches import Codes, matrix

Array = NDArray[Any]


class ExampleIndex:
    """The identifiers of one split, by the order of their first rows.

    Attributes:
        ids: The identifiers so far.
        found: Where the examples taken last are among those of all splits.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self.ids: pa.Array = pa.nulls(0)
        self._places: Codes = np.empty(0, np.int64)
        self._next: dict[int, int] = {}
        self.found: Codes = self._places

    def places(self) -> Codes:
        """Where the examples are among those of all splits."""
        return self._places

    def take(self, ids: pa.Array, member: int | None, start: int, after: int) -> int:
        """Find the places of some rows.

        Members mostly answer the same examples in the same order, so what comes next is tried
        before anything is searched.

        Args:
            ids: The identifiers in the rows.
            member: Whose rows they are; `None` for rows of several.
            start: The number of the first row, for errors.
            after: The place that a new example gets.

        Returns:
            How many of them are new.
        """
        if pa.types.is_dictionary(ids.type):
            ids = ids.cast(ids.type.value_type)
        if ids.null_count:
            row = ids.is_null().to_pylist().index(True)
            raise ArtifactError(f"row {start + row} of `{self._source}` has no `example_id`")
        at = self._next.get(member, 0) if member is not None else 0
        if member is not None:
            self._next[member] = at + len(ids)
        if len(self.ids) and self.ids.slice(at, len(ids)).equals(ids):
            self.found = self._places[at : at + len(ids)]
            return 0
        return self._search(ids, after)

    def _search(self, ids: pa.Array, after: int) -> int:
        known = self.ids if len(self.ids) else ids.slice(0, 0)
        local = pc.index_in(ids, value_set=known)
        new = pc.unique(ids.filter(local.is_null())) if local.null_count else ids.slice(0, 0)
        if len(new):
            self.ids = pa.concat_arrays([known, new])
            self._places = np.concatenate([self._places, after + np.arange(len(new))])
            local = pc.index_in(ids, value_set=self.ids)
        self.found = self._places[array_of(local).astype(np.int64)]
        return len(new)


class LabelStore:
    """The label of each example, the same in all its rows."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._empty: int | None = None
        self._label: Array | None = None
        self._known = np.zeros(0, np.bool_)

    def take(self, column: pa.Array, place: Codes, start: int, id_of: Callable[[int], Any]) -> None:
        """Take the labels of some rows.

        Args:
            column: The labels.
            place: (rows,) the examples.
            start: The number of the first row in the file, for errors.
            id_of: The identifier of an example, for errors.

        Raises:
            ArtifactError: An example has two labels.
            MismatchError: Soft labels have different lengths.
        """
        if column.null_count == len(column):
            self._empty = start if self._empty is None else self._empty
            return
        if column.null_count:
            row = start + column.is_null().to_pylist().index(True)
            raise ArtifactError(f"row {row} of `{self._source}` has no `label`")
        given = matrix(column, "label", self._source, start)
        label = self._room(given, int(place.max()) + 1)
        fresh = np.flatnonzero(~self._known[place])[::-1]  # so that the first of equals stays
        label[place[fresh]] = given[fresh]
        self._known[place] = True
        same = (given == label[place]).reshape(len(given), -1).all(axis=1)
        same |= np.isnan(given.astype(np.float64)).reshape(len(given), -1).any(axis=1)
        if not same.all():
            row = int(np.argmin(same))
            raise ArtifactError(
                f"example `{id_of(int(place[row]))}` in `{self._source}` has two labels: "
                f"{label[place[row]]} and, in row {start + row}, {given[row]}",
                hint="do the rows come from different data? give each a `split` of its own",
            )

    def _room(self, given: Array, wanted: int) -> Array:
        """The labels so far, with room for all that are wanted."""
        if self._label is None:
            self._label = np.zeros((0, *given.shape[1:]), given.dtype)
        if self._label.shape[1:] != given.shape[1:]:
            raise MismatchError(f"`label` in `{self._source}` has different lengths")
        kind = np.result_type(self._label, given)
        if wanted > len(self._label) or kind != self._label.dtype:
            size = max(wanted, len(self._label))
            grown = np.zeros((size, *given.shape[1:]), kind)
            grown[: len(self._label)] = self._label
            self._known = np.append(self._known, np.zeros(size - len(self._known), np.bool_))
            self._label = grown
        return self._label

    def finish(self, count: int) -> Array | None:
        """(N,) or (N, C) labels of all examples, `None` if no row has one."""
        if self._label is None:
            return None
        if self._empty is not None:
            raise ArtifactError(f"row {self._empty} of `{self._source}` has no `label`")
        return self._label[:count]


class ClusterStore:
    """The group of each example (a patient, a document), the same in all its rows."""

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self._source = source
        self._numbers: dict[Any, int] = {}
        self._codes = np.full(0, -1)

    def take(self, column: pa.Array, place: Codes, start: int, id_of: Callable[[int], Any]) -> None:
        """Take the groups of some rows; see `LabelStore.take`.

        Raises:
            ArtifactError: A row has none, or an example two.
        """
        if column.null_count:
            row = start + column.is_null().to_pylist().index(True)
            raise ArtifactError(f"row {row} of `{self._source}` has no `{self.name}`")
        if not pa.types.is_dictionary(column.type):
            column = pc.dictionary_encode(column)
        named = [
            self._numbers.setdefault(one, len(self._numbers))
            for one in column.dictionary.to_pylist()
        ]
        given = np.array(named, np.int64)[array_of(column.indices)]
        wanted = int(place.max()) + 1
        if wanted > len(self._codes):
            self._codes = np.append(self._codes, np.full(wanted - len(self._codes), -1))
        fresh = np.flatnonzero(self._codes[place] < 0)[::-1]  # so that the first of equals stays
        self._codes[place[fresh]] = given[fresh]
        same = given == self._codes[place]
        if not same.all():
            row = int(np.argmin(same))
            names = list(self._numbers)
            raise ArtifactError(
                f"example `{id_of(int(place[row]))}` in `{self._source}` has two values of "
                f"`{self.name}`: {names[self._codes[place[row]]]} and, in row {start + row}, "
                f"{names[given[row]]}",
                hint="`--cluster` names a column of the examples, not of the models",
            )

    def finish(self, count: int) -> Array:
        """(N,) the groups of all examples, by name."""
        found: Array = np.array(list(self._numbers))[self._codes[:count]]
        return found
