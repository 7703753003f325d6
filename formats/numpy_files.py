"""NumPy's own files: the arrays of an .npz, or the one of an .npy."""

import math
import zipfile
from threading import Lock
from typing import IO, Any

import numpy as np

from nncli.errors import ArtifactError
from nncli.formats.safetensors_header import TensorSpec
from nncli.formats.sources import Source
from nncli.formats.tensors import DTYPE_OF, Array, TensorFile

ONLY = "array"  # the name that the one array of an .npy goes by


class NumpyFile(TensorFile):
    """The arrays of an .npz, or the one of an .npy under the name `array`.

    An .npy is read by slices unless it is stored by columns or holds text. Any other array is
    unpacked whole when it is first asked for, and the last one is kept. Text has the type `STR`.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source, {})
        self.specs = {}
        self._kept: tuple[str, Array] | None = None
        self._turn = Lock()  # several threads may read, but only one array is unpacked
        self._flat: tuple[int, np.dtype[Any]] | None = None
        self._archive = zipfile.ZipFile(source.file) if source.format == "npz" else None
        if self._archive is None:
            self._note(ONLY, source.file, source.size)
            return
        for member in self._archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in self.specs:
                raise self._unsound(name, "it appears twice")
            try:
                file = self._archive.open(member)
            except Exception as error:  # a damaged archive fails in many ways
                raise self._unsound(name, error) from error
            with file:
                self._note(name, file, member.file_size)

    def _note(self, name: str, file: IO[bytes], size: int) -> None:
        """Note an array whose header agrees with the bytes there are."""
        try:
            form = np.lib.format
            first = form.read_magic(file) == (1, 0)
            read = form.read_array_header_1_0 if first else form.read_array_header_2_0
            shape, by_columns, dtype = read(file)
        except Exception as error:  # the header is a Python literal, and parsers fail in many ways
            raise self._unsound(name, error) from error
        if dtype.hasobject:
            raise ArtifactError(
                f"`{name}` in `{self.name}` holds Python objects, which are never unpickled",
                hint="save it as a plain numeric or text array",
            )
        missing = file.tell() + math.prod(shape) * dtype.itemsize - size
        if missing > 0 or min(shape, default=0) < 0:
            raise self._unsound(name, f"cut short, {missing:,} bytes missing")
        found = "STR" if dtype.kind == "U" else DTYPE_OF.get(dtype.newbyteorder("<"))
        if found is None:
            raise ArtifactError(
                f"`{name}` in `{self.name}` is {dtype}, which nncli cannot use",
                hint="save it as a plain numeric or text array",
            )
        if self._archive is None and found != "STR" and not (by_columns and len(shape) > 1):
            self._flat = file.tell(), dtype
        self.specs[name] = TensorSpec(found, shape)

    def reopened(self) -> "NumpyFile | None":
        """The same file once more, if its rows can be read one by one."""
        return None if self._flat is None else NumpyFile(self._source.reopened())

    def _load(self, name: str, start: int, shape: tuple[int, ...]) -> Array:
        if self._flat is None:
            with self._turn:
                unpacked = self._unpacked(name)
                return unpacked[start : start + shape[0]].copy() if shape else unpacked.copy()
        first, dtype = self._flat
        array = np.empty(shape, dtype)
        self._read_items(name, array, first, start)
        return array.astype(dtype.newbyteorder("="), copy=False)

    def _unpacked(self, name: str) -> Array:
        if self._kept is None or self._kept[0] != name:
            self._kept = None  # so that two are never in memory
            self._kept = name, self._unpack(name)
        return self._kept[1]

    def _unpack(self, name: str) -> Array:
        try:
            if self._archive is None:
                self._source.file.seek(0)
                array = np.lib.format.read_array(self._source.file, allow_pickle=False)
            else:
                with self._archive.open(f"{name}.npy") as file:
                    array = np.lib.format.read_array(file, allow_pickle=False)
        except MemoryError:
            raise
        except Exception as error:  # a damaged archive fails in the ways of its decompressor
            raise self._unsound(name, error) from error
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def _unsound(self, name: str, why: object) -> ArtifactError:
        return ArtifactError(
            f"`{name}` in `{self.name}` is no sound array: {' '.join(str(why).split())}",
            hint="did the command or the copy that made it fail?",
        )
