"""Room for answers: memory as far as it goes, then a file that disappears by itself."""

import tempfile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MEMORY = 1 << 29


class Spool:
    """Keeps arrays; what is beyond its memory goes to an unlinked temporary file.

    A context manager; what it has kept stays valid when it is left.

    Args:
        memory: Bytes that stay in memory.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._left = memory
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()  # what is mapped stays until nobody holds it

    @property
    def spilled(self) -> bool:
        """Whether something is on disk."""
        return self._file is not None

    def release(self, array: Array) -> None:
        """Count the memory of an array that was kept as free again; nobody may hold it."""
        self._left += array.nbytes

    def keep(self, array: Array) -> Array:
        """An array equal to the one given, in memory or on disk.

        Args:
            array: Any array.

        Returns:
            It, or a copy that is mapped from the file.
        """
        self._left -= array.nbytes
        if self._left >= 0 or not array.size:
            return array
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed on exit
        self._file.seek(0, 2)
        start = self._file.tell()
        np.ascontiguousarray(array).tofile(self._file)
        self._file.flush()
        return np.memmap(self._file, array.dtype, mode="r", offset=start, shape=array.shape)
