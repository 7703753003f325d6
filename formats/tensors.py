"""Tensors in files: safetensors read by slices and written as rows come; .npz and .npy read.

Reading goes through `pread` into fresh arrays, not through a memory map: the memory of a command is
the slices it holds, and a file that shrinks under us is an error, not a bus error.
"""

import math
import os
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.formats.entry import KEY, Entry
from nncli.formats.output import Output, demand_tensor_suffix, failure, open_output
from nncli.formats.safetensors_header import Header, TensorSpec, read_header, write_header
from nncli.formats.sources import Source, open_source, unreadable

Array = NDArray[Any]

NUMPY_OF = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype("<u1"),
    "I8": np.dtype("<i1"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "F16": np.dtype("<f2"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "F32": np.dtype("<f4"),
    "C64": np.dtype("<c8"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
}
DTYPE_OF = {kind: name for name, kind in NUMPY_OF.items()}
COPY_CHUNK = 1 << 22
READ_CHUNK = 1 << 30  # a single call reads less than 2 GiB


def spec_of(array: Array) -> TensorSpec:
    """The spec of an array, for `create_tensors`.

    Raises:
        ArtifactError: safetensors has no such type.
    """
    try:
        return TensorSpec(DTYPE_OF[array.dtype.newbyteorder("<")], array.shape)
    except KeyError:
        raise ArtifactError(f"safetensors has no type for {array.dtype}") from None


class TensorFile:
    """Tensors of one file, read whole or by rows; a context manager.

    Attributes:
        name: The file as given.
        specs: Type and shape of each tensor, in the order of the file.
        entry: What the file says of itself, `None` for a foreign file.
        metadata: All strings of the header.
    """

    specs: dict[str, TensorSpec]

    def __init__(self, source: Source, metadata: Mapping[str, str]) -> None:
        self._source = source
        self.name = source.name
        self.metadata = dict(metadata)
        text = self.metadata.get(KEY)
        self.entry = Entry.from_json(text, source=source.name) if text is not None else None

    def __enter__(self) -> "TensorFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    @property
    def digest(self) -> str:
        """The SHA-256 of the file, as `sha256:<hex>`."""
        return self._source.digest

    def reopened(self) -> "TensorFile | None":
        """The same file once more, for whoever reads on after this one is closed.

        Returns:
            The file; `None` where rows cannot be read one by one.
        """
        return None

    def read(self, name: str) -> Array:
        """The whole of one tensor; bfloat16 is widened, exactly, to float32."""
        return self._load(name, 0, self.specs[name].shape)

    def rows(self, name: str, start: int, stop: int) -> Array:
        """Rows `start` to `stop` of the first dimension of one tensor, as a fresh array."""
        shape = self.specs[name].shape
        start, stop, _ = slice(start, stop).indices(shape[0])
        return self._load(name, start, (max(stop - start, 0), *shape[1:]))

    def _load(self, name: str, start: int, shape: tuple[int, ...]) -> Array:
        """An array of some shape that begins at row `start` of a tensor."""
        raise NotImplementedError

    def _read_items(self, name: str, array: Array, first: int, start: int) -> None:
        """Fill an array from row `start` on, where row 0 is at byte `first` of the file."""
        shape = self.specs[name].shape
        row = math.prod(shape[1:]) * array.itemsize
        read_into(self._source, array, first + start * row)


class _Safetensors(TensorFile):
    def __init__(self, source: Source, header: Header) -> None:
        super().__init__(source, header.metadata)
        self.specs = header.specs
        self._offsets = header.offsets

    def reopened(self) -> TensorFile:
        """The same file once more."""
        return _Safetensors(
            self._source.reopened(), Header(self.specs, self._offsets, self.metadata)
        )

    def _load(self, name: str, start: int, shape: tuple[int, ...]) -> Array:
        spec = self.specs[name]
        narrow = np.dtype("<u2") if spec.dtype == "BF16" else NUMPY_OF.get(spec.dtype)
        if narrow is None:
            raise ArtifactError(
                f"`{name}` in `{self.name}` is {spec.dtype}, which this command cannot read",
                hint="cast it to float32 or float16 first",
            )
        array = np.empty(shape, narrow)
        self._read_items(name, array, self._offsets[name], start)
        return widened(array) if spec.dtype == "BF16" else array


def widened(half: Array) -> Array:
    """The float32 numbers of bfloat16 bits, exactly.

    Args:
        half: uint16, of any shape.

    Returns:
        float32 of the same shape.
    """
    wide = np.asarray(half, np.uint32)
    return np.left_shift(wide, 16, out=np.empty_like(wide)).view(np.float32)


def narrowed(full: Array) -> Array:
    """The bfloat16 bits nearest to float32 numbers, ties to even, as torch rounds.

    Args:
        full: float32, of any shape.

    Returns:
        uint16 of the same shape.
    """
    bits = np.ascontiguousarray(full, np.float32).view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    return np.where(np.isnan(full), 0x7FC0, rounded).astype(np.uint16).reshape(full.shape)


def read_into(source: Source, array: Array, offset: int) -> None:
    """Fill an array from a place in the file; a short read is an error, never zeros."""
    view = array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
    handle, done = source.file.fileno(), 0
    while done < len(view):
        try:
            got = os.preadv(handle, [view[done : done + READ_CHUNK]], offset + done)
        except OSError as error:
            raise unreadable(source.name, error) from error
        if not got:
            raise ArtifactError(f"`{source.name}` became shorter while it was read")
        done += got


def open_tensors(source: str | Source) -> TensorFile:
    """Open a file of tensors: safetensors, .npz or .npy, from disk or from a pipe.

    Args:
        source: The name as given (`-` for standard input), or a source that is already open.

    Returns:
        The file; closing it closes the source.

    Raises:
        ArtifactError: It is something else, cut short or damaged.
    """
    opened = open_source(source) if isinstance(source, str) else source
    try:
        if opened.format == "safetensors":
            return _Safetensors(opened, read_header(opened))
        if opened.format in ("npz", "npy"):
            from nncli.formats.numpy_files import NumpyFile

            return NumpyFile(opened)
        raise opened.expected("a file of tensors (safetensors, .npz or .npy)")
    except BaseException:
        opened.close()
        raise


class TensorWriter:
    """Writes a safetensors file whose sizes are known, rows in any order of tensors.

    Into a file, rows go straight to their place. A pipe cannot seek, so for one everything is laid
    out in an unlinked temporary file and copied at the end.
    """

    def __init__(
        self, output: Output, specs: Mapping[str, TensorSpec], metadata: Mapping[str, str]
    ) -> None:
        self._output = output
        self._specs = dict(specs)
        header, self._starts = write_header(specs, metadata)
        self._next = dict(self._starts)
        self._file: BinaryIO = tempfile.TemporaryFile() if output.in_place else output.file  # noqa: SIM115
        self._put(header, 0)

    def __enter__(self) -> "TensorWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._finish()
                self._output.commit()
        finally:
            self._output.discard()
            if self._output.in_place:
                self._file.close()

    def append(self, name: str, rows: Array) -> None:
        """Write the next rows of one tensor.

        Args:
            name: The tensor.
            rows: An array of the tensor's type whose trailing dimensions are the tensor's; float32
                for a bfloat16 tensor, which is rounded here.

        Raises:
            ValueError: The rows do not fit the size given at the start.
            ArtifactError: They could not be written.
        """
        spec = self._specs[name]
        if spec.dtype == "BF16" and rows.dtype == np.float32:
            rows = narrowed(rows)
        wanted = np.dtype("<u2") if spec.dtype == "BF16" else NUMPY_OF[spec.dtype]
        fit = rows.shape[1:] == spec.shape[1:] and rows.dtype.newbyteorder("<") == wanted
        start = self._next[name]
        if not fit or start + rows.nbytes > self._starts[name] + spec.size:
            raise ValueError(f"{rows.dtype} rows {rows.shape} of `{name}` do not fit {spec}")
        whole = np.ascontiguousarray(rows, wanted).reshape(-1)
        self._put(whole.view(np.uint8).data, start)
        self._next[name] = start + rows.nbytes

    def write(self, name: str, array: Array) -> None:
        """Write the whole of one tensor (a scalar too)."""
        self.append(name, array.reshape(self._specs[name].shape or (1,)))

    def _put(self, data: bytes | memoryview, offset: int) -> None:
        view, done = memoryview(data), 0
        try:
            while done < len(view):
                done += os.pwrite(self._file.fileno(), view[done:], offset + done)
        except OSError as error:
            raise failure(self._output.target, error) from error

    def _finish(self) -> None:
        for name, spec in self._specs.items():
            if self._next[name] != self._starts[name] + spec.size:
                raise ValueError(f"`{name}` is not complete")
        if self._output.in_place:
            self._file.seek(0)
            while chunk := self._file.read(COPY_CHUNK):
                self._output.write(chunk)


def create_tensors(
    target: str,
    specs: Mapping[str, TensorSpec],
    entry: Entry,
    *,
    overwrite: bool = False,
) -> TensorWriter:
    """Begin a safetensors file whose rows come later.

    Args:
        target: A path, or `-` for standard output.
        specs: Type and shape of every tensor.
        entry: The metadata entry.
        overwrite: Replace a file that nncli did not write.

    Returns:
        A context manager; the file appears when it is left without an error.

    Raises:
        ArtifactError: The output cannot be written.
        UsageError: Its suffix promises another format.
    """
    demand_tensor_suffix(target)
    output = open_output(target, kind=entry.kind, overwrite=overwrite)
    try:
        return TensorWriter(output, specs, {KEY: entry.to_json()})
    except BaseException:
        output.discard()
        raise


def write_tensors(
    target: str, arrays: Mapping[str, Array], entry: Entry, *, overwrite: bool = False
) -> None:
    """Write arrays as a safetensors file.

    Args:
        target: A path, or `-` for standard output.
        arrays: The tensors by name.
        entry: The metadata entry.
        overwrite: Replace a file that nncli did not write.

    Raises:
        ArtifactError: The output cannot be written, or a type is unknown to safetensors.
    """
    specs = {name: spec_of(array) for name, array in arrays.items()}
    with create_tensors(target, specs, entry, overwrite=overwrite) as writer:
        for name, array in arrays.items():
            writer.write(name, array)
