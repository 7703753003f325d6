"""NumPy's own files: the arrays of an .npz, or the one of an .npy."""

import zipfile
import zlib
from typing import IO

import numpy as np

from nncli.errors import ArtifactError
from nncli.formats.safetensors_header import TensorSpec
from nncli.formats.sources import Source
from nncli.formats.tensors import DTYPE_OF, Array, TensorFile, read_into


class NumpyFile(TensorFile):
    """The arrays of an .npz, or the one of an .npy under the name `array`.

    An .npy is read by slices; an array of an archive is unpacked whole when it is first asked for,
    and the last one is kept. Text arrays are read too, with the type `STR`.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source, {})
        self.specs = {}
        self._start = 0
        self._kept: tuple[str, Array] | None = None
        self._archive = None if source.format == "npy" else zipfile.ZipFile(source.file)
        if self._archive is None:
            self.specs["array"] = self._spec("array", source.file)
            self._start = source.file.tell()
            self._demand_whole(source)
        else:
            for member in self._archive.namelist():
                with self._archive.open(member) as file:
                    name = member.removesuffix(".npy")
                    self.specs[name] = self._spec(name, file)

    def _spec(self, name: str, file: IO[bytes]) -> TensorSpec:
        try:
            first = np.lib.format.read_magic(file) == (1, 0)
            form = np.lib.format
            read = form.read_array_header_1_0 if first else form.read_array_header_2_0
            shape, by_columns, dtype = read(file)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"`{name}` in `{self.name}` is no sound array: {error}") from error
        if dtype.hasobject:
            raise ArtifactError(
                f"`{name}` in `{self.name}` holds Python objects, which are never unpickled",
                hint="save it as a plain numeric or text array",
            )
        if self._archive is None and ((by_columns and len(shape) > 1) or dtype.kind == "U"):
            raise ArtifactError(
                f"`{self.name}` is stored by columns or holds text, which is not read from .npy",
                hint="save it with `np.savez` instead",
            )
        found = "STR" if dtype.kind == "U" else DTYPE_OF.get(dtype.newbyteorder("<"))
        if found is None:
            raise ArtifactError(f"`{name}` in `{self.name}` has the type {dtype}, which has no use")
        self._dtype = dtype
        return TensorSpec(found, shape)

    def _demand_whole(self, source: Source) -> None:
        missing = self._start + self.specs["array"].size - source.size
        if missing > 0:
            raise ArtifactError(f"`{self.name}` is cut short: {missing:,} bytes missing")

    def rows(self, name: str, start: int, stop: int) -> Array:
        """Rows `start` to `stop` of one array, as a fresh array."""
        if self._archive is not None:
            return np.array(self._unpacked(name)[start:stop])
        shape = self.specs[name].shape
        array = np.empty((max(min(stop, shape[0]) - start, 0), *shape[1:]), self._dtype)
        row = self.specs[name].size // shape[0] if shape[0] else 0
        read_into(self._source, array, self._start + start * row)
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def _scalar(self, name: str) -> Array:
        return self._unpacked(name) if self._archive is not None else np.load(self._source.file)

    def _unpacked(self, name: str) -> Array:
        if self._kept is None or self._kept[0] != name:
            self._kept = None
            self._kept = name, self._unpack(name)
        return self._kept[1]

    def _unpack(self, name: str) -> Array:
        assert self._archive is not None
        try:
            with self._archive.open(f"{name}.npy") as file:
                array: Array = np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ArtifactError(f"`{name}` in `{self.name}` is damaged: {error}") from error
        return array.astype(array.dtype.newbyteorder("="), copy=False)
