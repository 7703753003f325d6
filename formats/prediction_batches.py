"""Columns of one block of the long form as numbers."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nncli.errors import ArtifactError, MismatchError
from nncli.formats.arrow_columns import array_of
from nncli.formats.text_values import shown

Array = NDArray[Any]
Codes = NDArray[np.int64]


def encoded(column: pa.Array) -> tuple[Codes, int]:
    """Number the distinct values of a column, null being one of them.

    Args:
        column: Any column.

    Returns:
        (rows,) numbers below the second result.
    """
    if not pa.types.is_dictionary(column.type):
        if column.null_count == len(column):
            return np.zeros(len(column), np.int64), 1
        column = pc.dictionary_encode(column, null_encoding="encode")
        found: Codes = array_of(column.indices).astype(np.int64)
        return found, len(column.dictionary)
    # one more than there is, for null; and of a dictionary only what these rows use
    used = array_of(column.indices)
    if column.null_count:
        used = np.nan_to_num(used, nan=len(column.dictionary))
    low, high = int(used.min()), int(used.max())
    if low == high:
        return np.zeros(len(used), np.int64), 1
    return used.astype(np.int64), len(column.dictionary) + 1


def matrix(column: pa.Array, name: str, source: str, start: int) -> Array:
    """A column of numbers (rows,), or of equally long lists of numbers (rows, C).

    Args:
        column: The column; text is read as JSON lists, as CSV has them.
        name: What it is called, for errors.
        source: The file, for errors.
        start: The number of the first row, for errors.

    Returns:
        The numbers, in the type they are stored in.

    Raises:
        ArtifactError: A cell is empty or no number.
        MismatchError: The lists have different lengths.
    """
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise ArtifactError(f"row {start + row} of `{source}` has no `{name}`")
    if pa.types.is_string(column.type):
        column = _parsed(column.to_pylist(), name, source, start)
    lists = (pa.types.is_fixed_size_list, pa.types.is_list, pa.types.is_large_list)
    if not any(is_list(column.type) for is_list in lists):
        return _numbers(column, name, source)
    flat = column.flatten()
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
    else:
        lengths = array_of(pc.list_value_length(column))
        width = int(lengths[0])
        if (lengths != width).any():
            row = int(np.argmax(lengths != width))
            raise MismatchError(
                f"`{name}` in `{source}` has {lengths[row]} numbers in row {start + row}, "
                f"{width} in row {start}"
            )
    return _numbers(flat, name, source).reshape(len(column), width)


def _parsed(texts: list[str], name: str, source: str, start: int) -> pa.Array:
    """Texts that hold JSON lists, as an array of lists."""
    found = []
    for row, text in enumerate(texts):
        try:
            found.append(json.loads(text))
        except ValueError as error:
            raise ArtifactError(
                f"row {start + row} of `{source}` has the `{name}` `{shown(text)}`, which is "
                "neither a number nor a list of numbers",
                hint="classes are numbers, counted from 0",
            ) from error
    try:
        return pa.array(found)
    except pa.ArrowException as error:
        raise ArtifactError(f"`{name}` in `{source}` is no list of numbers: {error}") from error


def _numbers(column: pa.Array, name: str, source: str) -> Array:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise ArtifactError(f"`{name}` in `{source}` is {kind}, not numbers")
    return array_of(column)
