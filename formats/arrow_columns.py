"""Columns from Python values, by way of their bytes.

`pyarrow.array` looks whether what it is given comes from pandas, and imports pandas for that where
it is installed: a third of a second for a table of one row. Here numbers and texts are put into the
buffers of Arrow's format directly. Everything else is left to pyarrow.

References:
    Arrow columnar format, https://arrow.apache.org/docs/format/Columnar.html
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa

FLOATS, WHOLE = (float, np.floating), (int, np.integer)
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


def _bits(values: Sequence[bool]) -> pa.Buffer:
    """A bit for each value, the lowest first."""
    return pa.py_buffer(np.packbits(np.array(values, dtype=bool), bitorder="little").tobytes())
