"""Columns from Python values and arrays, and arrays from columns, by way of their bytes.

`pyarrow.array` looks whether what it is given comes from pandas, and imports pandas for that where
it is installed, as `to_numpy` does: a third of a second for a table of one row. Here numbers and
texts are put into the buffers of Arrow's format and taken out of them directly. Everything else is
left to pyarrow.

References:
    Arrow columnar format, https://arrow.apache.org/docs/format/Columnar.html
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

FLOATS, WHOLE = (float, np.floating), (int, np.integer)
ARRAYS = [np.dtype(one) for one in ("?", "b", "B", "h", "H", "i", "I", "q", "Q", "e", "f", "d")]
LARGEST_WHOLE = 2**53  # that float64 holds, and all before it
LARGEST_TEXT = 2**31 - 1  # bytes of a column whose offsets have 32 bits


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """A column.

    Args:
        values: Its values; `None` is null.
        kind: Its type.

    Returns:
        The same as `pyarrow.array(values, kind)`.

    Raises:
        pyarrow.ArrowException: A value is not of the type.
    """
    try:
        if kind == pa.string():
            return _texts(values)
        if kind in (pa.float64(), pa.int64()):
            return _numbers(values, kind)
        if kind == pa.bool_() and all(one is None or isinstance(one, bool) for one in values):
            bits = [_validity(values), _bits([bool(one) for one in values])]
            return pa.Array.from_buffers(kind, len(values), bits)
    except (TypeError, OverflowError, UnicodeError):
        pass  # pyarrow says what is wrong, or knows better
    return pa.array(values, kind)


def column_of(values: NDArray[Any], absent: NDArray[np.bool_] | None = None) -> pa.Array:
    """A column from an array, which shares its memory where it can.

    Args:
        values: Shape (n,).
        absent: (n,) which of them are null.

    Returns:
        The same as `pyarrow.array(values, mask=absent)`, of objects and texts as of their list.

    Raises:
        pyarrow.ArrowException: The values are of no one type.
    """
    if values.ndim == 1 and values.dtype.isnative and values.dtype in ARRAYS:
        valid = None if absent is None else _bits(~absent)
        bits = values.dtype == np.bool_
        held = _bits(values) if bits else pa.py_buffer(np.ascontiguousarray(values))
        return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [valid, held])
    if values.dtype.kind not in "OU":
        return pa.array(values, mask=absent)
    given = values.tolist()
    known = [one for one in given if one is not None]
    if absent is None and known and all(isinstance(one, str) for one in known):
        return column(given, pa.string())
    return pa.array(given, mask=absent)


def repeated(value: Any, kind: pa.DataType, count: int) -> pa.Array:
    """A column that holds one value in every row."""
    return pa.repeat(column([value], kind)[0], count)


def array_of(values: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """The numbers of a column; NaN stands for null, as far as there is a null.

    Args:
        values: The column.

    Returns:
        The same as `values.to_numpy(zero_copy_only=False)`; one piece shares memory.
    """
    if isinstance(values, pa.ChunkedArray):
        parts = [array_of(one) for one in values.chunks]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else values.to_numpy()
    kind = values.type
    whole = pa.types.is_integer(kind)
    if not (whole or pa.types.is_floating(kind)):
        return np.asarray(values.to_numpy(zero_copy_only=False))
    letter = "f" if not whole else "i" if pa.types.is_signed_integer(kind) else "u"
    held = np.dtype(f"{letter}{kind.bit_width // 8}")
    if not len(values):
        return np.empty(0, held)
    valid, buffer = values.buffers()
    found = np.frombuffer(buffer, held, len(values), values.offset * held.itemsize)
    if not values.null_count:
        return found
    found = found.astype(np.float64 if whole else held)
    bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
    found[bits[values.offset : values.offset + len(values)] == 0] = np.nan
    return found


def _numbers(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    whole = [one for one in values if one is not None and not isinstance(one, FLOATS)]
    if not all(isinstance(one, WHOLE) and type(one) is not bool for one in whole):
        raise TypeError("not all are numbers")
    if kind == pa.float64() and any(abs(int(one)) > LARGEST_WHOLE for one in whole):
        raise OverflowError("a whole number that float64 may not hold")
    code = "d" if kind == pa.float64() else "q"
    held = array(code, [0 if one is None else one for one in values])
    return pa.Array.from_buffers(kind, len(values), [_validity(values), pa.py_buffer(held)])


def _texts(values: Sequence[Any]) -> pa.Array:
    if not all(one is None or isinstance(one, str) for one in values):
        raise TypeError("not all are texts")
    texts = [b"" if one is None else one.encode() for one in values]
    offsets = list(accumulate(map(len, texts), initial=0))
    if offsets[-1] > LARGEST_TEXT:
        raise OverflowError("the texts are too long")
    buffers = [_validity(values), pa.py_buffer(array("i", offsets)), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    """Whether each value is there; `None` if all are."""
    there = [one is not None for one in values]
    return None if all(there) else _bits(there)


def _bits(values: Sequence[bool] | NDArray[np.bool_]) -> pa.Buffer:
    """A bit for each value, the lowest first."""
    return pa.py_buffer(np.packbits(np.array(values, dtype=bool), bitorder="little").tobytes())
