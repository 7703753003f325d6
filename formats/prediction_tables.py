"""The rows of the long form of predictions, joined by key into members by examples."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nncli.errors import ArtifactError, MismatchError, NncliWarning
from nncli.formats.prediction_columns import SCORES
from nncli.formats.tables import demand_column

Array = NDArray[Any]
Codes = NDArray[np.int64]

MEMBER_KEY = ("model_id", "seed", "seed2", "perturbation", "sample")
EXAMPLE_KEY = ("split", "example_id")


@dataclass(frozen=True)
class JoinedRows:
    """Rows, and which member and example each belongs to.

    Attributes:
        answers: (rows, C) or (rows,).
        member: (rows,) places in `members`.
        example: (rows,) places in `ids`.
        members: What is known of each of the K members.
        ids: (N,) identifiers of the examples, in the order of their first rows.
        label: (N,) or (N, C), or `None`.
        grid: (K, N) the row of each answer, -1 where there is none.
    """

    answers: Array
    member: Codes
    example: Codes
    members: tuple[dict[str, Any], ...]
    ids: Array
    label: Array | None
    grid: Codes

    def answered_by_all(self, *, source: str) -> Codes:
        """The places of the examples that every member answers.

        Raises:
            MismatchError: There are none.

        Warns:
            NncliWarning: There are others.
        """
        whole: NDArray[np.bool_] = np.all(self.grid >= 0, axis=0)
        if not whole.any():
            raise MismatchError(f"no example in `{source}` is answered by every model")
        if not whole.all():
            member, example = np.argwhere(self.grid < 0)[0]
            warnings.warn(
                f"{(~whole).sum()} of {len(whole)} examples in `{source}` are left out: not every "
                f"model answers them (`{self.members[member]['model_id']}` lacks "
                f"`{self.ids[example]}`)",
                NncliWarning,
                stacklevel=2,
            )
        return np.flatnonzero(whole)


def read_rows(data: pa.Table, score: str, *, source: str) -> JoinedRows:
    """Join rows by their key.

    Args:
        data: The table.
        score: The column of the answers.
        source: The file, for errors.

    Returns:
        The rows, in the order of the file.

    Raises:
        ArtifactError: A column of the key is missing, there are no rows, an example is answered
            twice by one member or has two labels, or a cell is empty or no answer.
        MismatchError: Answers have different lengths.
    """
    for name in ("example_id", "model_id"):
        demand_column(data, name, source=source)
    if not data.num_rows:
        raise ArtifactError(f"`{source}` has zero rows")
    data = data.combine_chunks()
    member, first_of = _codes(data, MEMBER_KEY)
    example, first_seen = _codes(data, EXAMPLE_KEY)
    ids = np.array(data.column("example_id").take(first_seen).to_pylist())
    members = _members(data, member, first_of, score)
    grid = np.full((len(first_of), len(ids)), -1, np.int64)
    grid[member, example] = np.arange(data.num_rows)
    again = np.flatnonzero(grid[member, example] != np.arange(data.num_rows))
    if len(again):
        model = members[member[again[0]]]["model_id"]
        raise ArtifactError(
            f"`{model}` answers example `{ids[example[again[0]]]}` twice in `{source}`",
            hint="rows are told apart by " + ", ".join((*EXAMPLE_KEY, *MEMBER_KEY)),
        )
    return JoinedRows(
        answers=_matrix(data, score, source),
        member=member,
        example=example,
        members=members,
        ids=ids,
        label=_labels(data, example, first_seen, ids, source),
        grid=grid,
    )


def _codes(data: pa.Table, names: Sequence[str]) -> tuple[Codes, Codes]:
    """Number the distinct values of some columns by first appearance; and the rows of those."""
    codes = np.zeros(data.num_rows, np.int64)
    for name in names:
        if name in data.column_names:
            each, count = _encoded(data.column(name))
            _, codes = np.unique(codes * count + each, return_inverse=True)
    _, first, which = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[which], first[order]


def _encoded(column: pa.ChunkedArray) -> tuple[Codes, int]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = pc.dictionary_encode(column, null_encoding="encode").combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), len(encoded.dictionary)


def _members(
    data: pa.Table, member: Codes, first_of: Codes, score: str
) -> tuple[dict[str, Any], ...]:
    """What is the same in all rows of a member, and no answer."""
    known: dict[str, list[Any]] = {}
    for name in data.column_names:
        if name in (score, *SCORES, *EXAMPLE_KEY, "label", "loss"):
            continue
        codes, _ = _encoded(data.column(name))
        if name in MEMBER_KEY or (codes == codes[first_of][member]).all():
            known[name] = data.column(name).take(first_of).to_pylist()
    return tuple({name: found[k] for name, found in known.items()} for k in range(len(first_of)))


def _matrix(data: pa.Table, name: str, source: str) -> Array:
    """A column of numbers (rows,), or of equally long lists of numbers (rows, C)."""
    column = data.column(name)
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise ArtifactError(f"row {row} of `{source}` has no `{name}`")
    if pa.types.is_string(column.type):  # as in CSV
        try:
            column = pa.chunked_array([pa.array([json.loads(one) for one in column.to_pylist()])])
        except (ValueError, pa.ArrowException) as error:
            raise ArtifactError(f"`{name}` in `{source}` is no list of numbers: {error}") from error
    if not pa.types.is_fixed_size_list(column.type) and not pa.types.is_list(column.type):
        return np.asarray(column.to_numpy())
    lengths = pc.list_value_length(column).to_numpy()
    if (lengths != lengths[0]).any():
        row = int(np.argmax(lengths != lengths[0]))
        raise MismatchError(
            f"`{name}` in `{source}` has {lengths[row]} numbers in row {row}, {lengths[0]} in row 0"
        )
    flat: Array = pc.list_flatten(column).to_numpy()
    return flat.reshape(data.num_rows, -1)


def _labels(
    data: pa.Table, example: Codes, first_seen: Codes, ids: Array, source: str
) -> Array | None:
    """The label of each example, the same in all its rows."""
    if "label" not in data.column_names or data.column("label").null_count == data.num_rows:
        return None
    given = _matrix(data, "label", source)
    label = given[first_seen]
    same = (given == label[example]).reshape(len(given), -1).all(axis=1)
    if not same.all():
        row = int(np.argmin(same))
        raise ArtifactError(
            f"example `{ids[example[row]]}` in `{source}` has two labels: "
            f"{label[example[row]]} and, in row {row}, {given[row]}",
            hint="do the rows come from different data? give each a `split` of its own",
        )
    return label
