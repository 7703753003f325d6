"""Inputs that stay in their file: an array to whoever takes slices of it, in constant memory."""

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.formats.tensors import Array, TensorFile

LARGE = 1 << 26  # bytes; less is read at once
BLOCK_BYTES = 1 << 26


class StoredRows:
    """Some rows of one float32 tensor, read when they are asked for.

    It stands where an array would: it has a shape, slices give fresh arrays, and NumPy turns it
    into the whole array.

    Args:
        file: The file, which is kept open as long as this is.
        name: The tensor.
        rows: (n,) the rows that are meant, ascending.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, file: TensorFile, name: str, rows: NDArray[np.int64]) -> None:
        self._file = file
        self._name = name
        self._rows = rows
        self.shape = (len(rows), *file.specs[name].shape[1:])
        weakref.finalize(self, file.close)  # nobody closes an array

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: Any) -> Array:
        if isinstance(key, slice) and (key.step or 1) > 0:
            return take_rows(self._file, self._name, self._rows[key])
        chosen: Array = np.asarray(self)[key]
        return chosen

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        whole = take_rows(self._file, self._name, self._rows)
        return whole if dtype is None else whole.astype(dtype, copy=False)


def stored_inputs(file: TensorFile, name: str, rows: NDArray[np.int64]) -> StoredRows | None:
    """Inputs that can stay in their file: large, and float32, at most images with channels first.

    Args:
        file: The file; it is opened once more and may be closed.
        name: The tensor of inputs.
        rows: (n,) the rows that are meant, ascending.

    Returns:
        The rows, or `None` if they are to be read at once.
    """
    spec = file.specs[name]
    fit = spec.dtype == "F32" and len(spec.shape) > 1 and 0 not in spec.shape
    if not fit or len(rows) * spec.size // spec.shape[0] <= LARGE:
        return None
    again = file.reopened()
    return None if again is None else StoredRows(again, name, rows)


def take_rows(file: TensorFile, name: str, rows: NDArray[np.int64]) -> Array:
    """Read some rows of a tensor, ascending; nothing behind the last of them is read.

    The memory is that of the rows and of one block.

    Args:
        file: The file.
        name: The tensor.
        rows: (n,) rows, ascending.

    Returns:
        (n, ...) the rows.
    """
    if not len(rows) or rows[-1] - rows[0] + 1 == len(rows):
        start = int(rows[0]) if len(rows) else 0
        return file.rows(name, start, start + len(rows))
    spec = file.specs[name]
    step = max(1, BLOCK_BYTES * spec.shape[0] // max(spec.size, 1))
    taken: Array | None = None
    done = 0
    for start in range(int(rows[0]), int(rows[-1]) + 1, step):
        here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + step)]
        if len(here):
            block = file.rows(name, start, int(here[-1]) + 1)
            if taken is None:
                taken = np.empty((len(rows), *block.shape[1:]), block.dtype)
            taken[done : done + len(here)] = block[here - start]
            done += len(here)
    assert taken is not None
    return taken
