"""Columns of a table to arrays, with the row named where one cannot be read."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from nncli.errors import ArtifactError
from nncli.formats.arrow_columns import array_of
from nncli.formats.column_roles import is_text

Array = NDArray[Any]


def demand_values(column: pa.ChunkedArray, name: str, *, source: str, places: Any = None) -> None:
    """Refuse a column with empty cells.

    Raises:
        ArtifactError: There is one; its row is named.
    """
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        raise ArtifactError(
            f"row {row if places is None else places[row]} of `{source}` has no `{name}`",
            hint="fill it in, or drop such rows; only factor columns may have empty cells",
        )


def to_values(column: pa.ChunkedArray) -> Array:
    """A column without empty cells as a vector of numbers or text."""
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_text(column.type):
        return np.array(column.to_pylist(), np.str_)
    if types.is_decimal(column.type):
        column = column.cast(pa.float64())
    return array_of(column)


def to_factor(column: pa.ChunkedArray) -> Array:
    """A column of single values; empty cells become NaN, in text and dates empty text."""
    if types.is_temporal(column.type):
        column = column.cast(pa.string())
    if column.null_count == 0:
        return to_values(column)
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_text(column.type):
        return to_values(column.fill_null(""))
    if types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return array_of(column.cast(pa.float64(), safe=False))


def stack_columns(
    data: pa.Table, names: tuple[str, ...], *, source: str, places: Array
) -> NDArray[np.float32]:
    """Columns of numbers side by side: (n, len(names)) float32.

    Raises:
        ArtifactError: A cell is empty.
    """
    stacked = np.empty((data.num_rows, len(names)), np.float32)
    with np.errstate(over="ignore"):  # infinite then, and refused where all inputs are checked
        for index, name in enumerate(names):
            demand_values(data[name], name, source=source, places=places)
            stacked[:, index] = to_values(data[name])
    return stacked


def to_tensor(column: pa.ChunkedArray, name: str, *, source: str, places: Array) -> Array:
    """A column of lists or tensors of one size as one array (n, ...), chunk by chunk.

    Raises:
        ArtifactError: A row is empty, holds an empty value, or has another size than the first.
    """
    demand_values(column, name, source=source, places=places)
    tensor: Array | None = None
    start = 0
    for chunk in column.chunks:
        if not len(chunk):
            continue
        here = places[start : start + len(chunk)]
        values, shape = _flatten(chunk, name, source, here)
        if tensor is None:
            tensor = np.empty((len(column), *shape), values.dtype)
        if shape != tensor.shape[1:]:
            raise _ragged(name, source, here[0], list(shape), list(tensor.shape[1:]))
        tensor[start : start + len(chunk)] = values.reshape(len(chunk), *shape)
        start += len(chunk)
    return tensor if tensor is not None else np.empty((0, 1))


def _flatten(
    chunk: pa.Array, name: str, source: str, places: Array
) -> tuple[Array, tuple[int, ...]]:
    """The values of all rows one after the other, and the shape of a row."""
    if isinstance(chunk, pa.FixedShapeTensorArray):
        tensor = chunk.to_numpy_ndarray()
        return tensor.reshape(-1), tensor.shape[1:]
    if isinstance(chunk, pa.ExtensionArray):
        chunk = chunk.storage
    rows, shape = len(chunk), []
    while hasattr(chunk.type, "value_type"):
        if chunk.null_count:
            raise _hole(chunk, rows, name, source, places)
        lengths = array_of(pc.list_value_length(chunk))
        if lengths.min(initial=lengths[0]) != lengths.max(initial=lengths[0]):
            at = int(np.argmax(lengths != lengths[0]))
            row = places[at * rows // len(lengths)]
            raise _ragged(name, source, row, int(lengths[at]), int(lengths[0]))
        shape.append(int(lengths[0]))
        chunk = chunk.flatten()
        if not len(chunk):
            return np.empty(0), tuple(shape)
    if chunk.null_count:
        raise _hole(chunk, rows, name, source, places)
    return array_of(chunk), tuple(shape)


def _hole(chunk: pa.Array, rows: int, name: str, source: str, places: Array) -> ArtifactError:
    at = pc.index(chunk.is_null(), True).as_py()
    return ArtifactError(
        f"row {places[at * rows // len(chunk)]} of `{source}` has an empty value in `{name}`",
        hint="fill it in, or drop such rows",
    )


def _ragged(name: str, source: str, row: Any, found: Any, expected: Any) -> ArtifactError:
    return ArtifactError(
        f"`{name}` in `{source}` is ragged: row {row} has the size {found}, "
        f"the first row {expected}",
        hint="cut or pad all rows to one size; for token ids add a column `mask`",
    )
