"""Files of `torch.save` and `torch.export`: their tensors, read without torch and without code.

A file of `torch.save` is a pickle and storages: in a zip archive, or, before torch 1.6, one after
the other. The pickle is followed without its calls (`nncli.formats.pickles`), the storages are
uncompressed, so tensors are read by slices like those of any other file.
"""

import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from nncli.errors import ArtifactError
from nncli.formats.pickled_tensors import Contents, StoredTensor, contents
from nncli.formats.pickles import read_pickle
from nncli.formats.safetensors_header import BITS, MOST_DIMENSIONS, MOST_ITEMS, TensorSpec
from nncli.formats.sources import Source
from nncli.formats.tensors import NUMPY_OF, Array, TensorFile, read_into, widened

FORMATS = ("torch", "pickle", "torch-export")
LONGEST_LIST = 100_000_000  # bytes of the list of weights in an exported program
UNSOUND = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    OSError,
    RuntimeError,  # an encrypted member, JSON nested without end, an unknown compression
    zipfile.BadZipFile,
    zlib.error,
)
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
ITEM_SIZE = {**{name: max(bits // 8, 1) for name, bits in BITS.items()}, "C128": 16}
EXPORT_DTYPES = {
    1: "U8",
    2: "I8",
    3: "I16",
    4: "I32",
    5: "I64",
    6: "F16",
    7: "F32",
    8: "F64",
    10: "C64",
    11: "C128",
    12: "BOOL",
    13: "BF16",
    28: "U16",
    29: "F8_E4M3",
    30: "F8_E5M2",
    34: "U32",
    35: "U64",
}


@dataclass
class Inside:
    """What such a file holds.

    Attributes:
        contents: Its tensors, plain values and foreign names.
        places: For each storage its first byte in the file and its length in bytes.
        order: `<` or `>`, the byte order of the storages.
        notes: What a reader should know.
    """

    contents: Contents
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    order: Literal["<", ">"] = "<"
    notes: tuple[str, ...] = ()


class TorchFile(TensorFile):
    """The tensors of a torch file; views are read as what they show.

    Attributes:
        inside: What else the file holds.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source, {})
        self.inside = look_inside(source)
        self._stored = self.inside.contents.tensors
        self.specs = {name: one.spec for name, one in self._stored.items()}

    def _load(self, name: str, start: int, shape: tuple[int, ...]) -> Array:
        stored = self._stored[name]
        dtype = stored.spec.dtype
        narrow = np.dtype("<u2") if dtype == "BF16" else NUMPY_OF.get(dtype)
        if narrow is None or stored.storage is None:
            raise ArtifactError(f"`{name}` in `{self.name}` is {dtype}, which cannot be read")
        first = stored.offset + start * (stored.stride[0] if stored.stride else 0)
        place = self.inside.places[stored.storage][0] + first * narrow.itemsize
        raw = np.empty(_span(shape, stored.stride) * narrow.itemsize, np.uint8)
        read_into(self._source, raw, place)
        flat = raw.view(narrow.newbyteorder(self.inside.order))
        steps = tuple(step * narrow.itemsize for step in stored.stride)
        view = np.lib.stride_tricks.as_strided(flat, shape, steps, writeable=False)
        array = np.array(view, dtype=narrow)
        return widened(array) if dtype == "BF16" else array


def _span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Elements from the first to behind the last that a view shows."""
    if not math.prod(shape):
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))


def look_inside(source: Source) -> Inside:
    """Find the tensors and all else in a torch file or a pickle.

    Args:
        source: The opened file, of one of `FORMATS`.

    Returns:
        What it holds, every tensor checked to lie wholly inside its storage.

    Raises:
        ArtifactError: The file is cut short, or contradicts itself.
    """
    try:
        if source.format == "pickle":
            found = _pickle(source)
        else:
            with zipfile.ZipFile(source.file) as archive:
                export = source.format == "torch-export"
                found = _export(source, archive) if export else _archive(source, archive)
    except UNSOUND as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArtifactError(
            f"`{source.name}` is no sound torch file: {reason}",
            hint="did the command or the copy that made it fail?",
        ) from error
    for name, stored in found.contents.tensors.items():
        _demand_inside(source, name, stored, found.places)
    return found


def _archive(source: Source, archive: zipfile.ZipFile) -> Inside:
    members = {one.filename: one for one in archive.infolist()}
    main = min((name for name in members if name.endswith("data.pkl")), key=len)
    root = main.removesuffix("data.pkl")
    with archive.open(main) as file:
        found = contents(read_pickle(file))
    notes = []
    if any(name.startswith(f"{root}code/") for name in members):
        notes.append("holds a TorchScript program, which is not run")
    order = b"little"
    if f"{root}byteorder" in members:
        with archive.open(f"{root}byteorder") as file:
            order = file.read(8)
    places = {
        name.removeprefix(f"{root}data/"): _place(source, one)
        for name, one in members.items()
        if name.startswith(f"{root}data/")
    }
    return Inside(found, places, ">" if order == b"big" else "<", tuple(notes))


def _place(source: Source, member: zipfile.ZipInfo) -> tuple[int, int]:
    """Where the bytes of an uncompressed member lie in the file."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"`{member.filename}` is compressed")
    source.file.seek(member.header_offset)
    head = source.file.read(30)
    lengths = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    return member.header_offset + 30 + lengths, member.file_size


def _pickle(source: Source) -> Inside:
    source.file.seek(0)
    first = read_pickle(source.file)
    if first.value != LEGACY_MAGIC:
        return Inside(contents(first))
    version, settings = read_pickle(source.file), read_pickle(source.file)
    del version, settings
    found = contents(read_pickle(source.file))
    keys = read_pickle(source.file).value
    sizes = {str(one.storage): one for one in found.tensors.values()}
    places, position = {}, source.file.tell()
    for key in map(str, keys if isinstance(keys, list) else ()):
        source.file.seek(position)
        count = int.from_bytes(source.file.read(8), "little")
        if key not in sizes:
            raise ValueError(f"storage `{key}` belongs to no tensor")
        size = count * ITEM_SIZE.get(sizes[key].spec.dtype, 1)
        places[key] = position + 8, min(size, max(source.size - position - 8, 0))
        position += 8 + size
    return Inside(found, places)


def _export(source: Source, archive: zipfile.ZipFile) -> Inside:
    """The weights of an exported program, which lie raw beside a list of them (torch >= 2.9)."""
    found, places = Contents(), {}
    lists = [name for name in archive.namelist() if name.endswith("_weights_config.json")]
    for name in lists:
        folder = name.rsplit("/", 1)[0]
        if archive.getinfo(name).file_size > LONGEST_LIST:
            raise ValueError("its list of weights is too long")
        for weight, said in json.loads(archive.read(name))["config"].items():
            if said.get("use_pickle") or not said.get("tensor_meta"):
                continue
            key = f"{folder}/{said['path_name']}"
            stored = _exported(key, said["tensor_meta"], archive.getinfo(key).file_size)
            found.tensors[weight] = stored
            places[key] = _place(source, archive.getinfo(key))
    notes = () if lists else ("its weights are stored as an older torch did, and are not listed",)
    return Inside(found, places, notes=("holds a program, which is not run", *notes))


def _exported(key: str, said: dict[str, Any], size: int) -> StoredTensor:
    dtype = EXPORT_DTYPES.get(said["dtype"], f"TYPE{said['dtype']}")
    shape, stride = (tuple(int(one["as_int"]) for one in said[of]) for of in ("sizes", "strides"))
    offset = int(said["storage_offset"]["as_int"])
    if min((0, offset, *shape, *stride)) < 0 or len(shape) != len(stride):
        raise ValueError(f"`{key}` has a shape or place that cannot be")
    count = size // ITEM_SIZE.get(dtype, 1)
    return StoredTensor(TensorSpec(dtype, shape), key, count, offset, stride)


def _demand_inside(
    source: Source, name: str, stored: StoredTensor, places: dict[str, tuple[int, int]]
) -> None:
    if stored.storage is None:
        return
    shape = stored.spec.shape
    if len(stored.stride) != len(shape) or len(shape) > MOST_DIMENSIONS:
        raise ArtifactError(f"`{name}` in `{source.name}` has a shape and strides that cannot be")
    if math.prod(max(one, 1) for one in shape) > MOST_ITEMS:
        raise ArtifactError(f"`{name}` in `{source.name}` is larger than any array can be")
    size = ITEM_SIZE.get(stored.spec.dtype, 1)
    needed = (stored.offset + _span(shape, stored.stride)) * size
    there = places.get(stored.storage, (0, 0))[1]
    if needed > there:
        raise ArtifactError(
            f"`{name}` in `{source.name}` needs {needed:,} bytes of its storage, {there:,} are "
            "there",
            hint="did the command or the copy that made it fail?",
        )


def shared_names(file: TorchFile) -> Iterator[tuple[str, str]]:
    """The tensors that show the very numbers of an earlier one, each with that one."""
    seen: dict[object, str] = {}
    for name, stored in file.inside.contents.tensors.items():
        if stored.storage is None:
            continue
        place = stored.storage, stored.offset, stored.spec, stored.stride
        if place in seen:
            yield name, seen[place]
        seen.setdefault(place, name)
