"""The header of a safetensors file: read with suspicion, written in one way only.

The layout is 8 bytes of header length, a JSON header, then the tensors back to back. The official
library maps files and takes no pipes, loses the order of metadata entries between runs, and knows
no bfloat16 without torch; this module is what is needed beside it. Its output equals the library's
byte for byte where there is no metadata, which a test holds on to.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nncli.errors import ArtifactError
from nncli.formats.sources import HEADER_LIMIT, Source

# bits of one number, in the order of the official library, which writes the last type first
BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
RANK = list(BITS)
MOST_ITEMS = 2**60  # what an array can address, also where another of its dimensions is 0
MOST_DIMENSIONS = 64  # what NumPy can count


@dataclass(frozen=True)
class TensorSpec:
    """What a header says of one tensor: its type (`F32`, `BF16`, `I64`, ...) and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the tensor (0 for text, which only .npz holds)."""
        return BITS.get(self.dtype, 0) * math.prod(self.shape) // 8


@dataclass(frozen=True)
class Header:
    """A header that has been checked against its file.

    Attributes:
        specs: The tensors, in the order of their bytes.
        offsets: Where each begins, in bytes from the start of the file.
        metadata: The `__metadata__` strings.
    """

    specs: dict[str, TensorSpec]
    offsets: dict[str, int]
    metadata: dict[str, str]


def read_header(source: Source) -> Header:
    """Read and check the header of a safetensors file.

    Args:
        source: The opened file.

    Returns:
        The header; every tensor in it lies wholly inside the file, without holes or overlaps.

    Raises:
        ArtifactError: The file is cut short, or the header contradicts itself or the file.
    """
    source.file.seek(0)
    length = int.from_bytes(source.file.read(8), "little")
    if length > min(HEADER_LIMIT, max(source.size - 8, 0)):
        raise _broken(
            source, f"its header claims {length:,} bytes, {max(source.size - 8, 0):,} are there"
        )
    try:
        text = source.file.read(length).decode("utf-8")
        raw = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise _broken(source, f"its header is no JSON ({error})") from error
    if not isinstance(raw, dict):
        raise _broken(source, "its header is no JSON object")
    metadata = raw.pop("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())):
        raise _broken(source, "its metadata is no JSON object of strings")
    tensors = {name: _tensor(source, name, one) for name, one in raw.items()}
    return _placed(source, 8 + length, tensors, metadata)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _tensor(source: Source, name: str, raw: Any) -> tuple[TensorSpec, int, int]:
    try:
        spec = TensorSpec(raw["dtype"], tuple(raw["shape"]))
        begin, end = raw["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        wanted = "`dtype`, `shape` and two `data_offsets`"
        raise _broken(source, f"its header does not give `{name}` {wanted}") from error
    if not isinstance(spec.dtype, str) or spec.dtype not in BITS:
        raise _broken(source, f"`{name}` has the unknown type `{spec.dtype}`")
    numbers = (*spec.shape, begin, end)
    if not all(type(one) is int and one >= 0 for one in numbers):
        raise _broken(source, f"`{name}` has a shape or place that is no whole number")
    addressed = math.prod(one or 1 for one in spec.shape)
    if len(spec.shape) > MOST_DIMENSIONS or addressed > MOST_ITEMS:
        raise _broken(source, f"`{name}` has a shape that no array can have")
    if end - begin != spec.size:
        raise _broken(
            source, f"`{name}` needs {spec.size:,} bytes and its header gives it {end - begin:,}"
        )
    return spec, begin, end


def _placed(
    source: Source,
    start: int,
    tensors: Mapping[str, tuple[TensorSpec, int, int]],
    metadata: dict[str, str],
) -> Header:
    ordered = sorted(tensors, key=lambda name: tensors[name][1:])
    reached = 0
    for name in ordered:
        _, begin, end = tensors[name]
        if begin != reached:
            raise _broken(source, f"`{name}` begins at byte {begin:,}, expected {reached:,}")
        reached = end
    there = source.size - start
    if reached > there:
        missing = reached - there
        raise ArtifactError(
            f"`{source.name}` is cut short: {missing:,} of {reached:,} bytes of tensors missing",
            hint="did the command or the copy that made it fail?",
        )
    if reached < there:
        raise _broken(source, f"{there - reached:,} bytes follow its last tensor")
    return Header(
        specs={name: tensors[name][0] for name in ordered},
        offsets={name: start + tensors[name][1] for name in ordered},
        metadata=metadata,
    )


def _broken(source: Source, what: str) -> ArtifactError:
    return ArtifactError(
        f"`{source.name}` is no sound safetensors file: {what}",
        hint="did the command or the copy that made it fail?",
    )


def write_header(
    specs: Mapping[str, TensorSpec], metadata: Mapping[str, str]
) -> tuple[bytes, dict[str, int]]:
    """Lay out a file before its tensors are known.

    Args:
        specs: The tensors by name.
        metadata: Strings for `__metadata__`; keys are sorted, so equal input gives equal bytes.

    Returns:
        The header with its length in front, and where each tensor begins in the file, in the
        order of the bytes.
    """
    order = sorted(specs, key=lambda name: (-RANK.index(specs[name].dtype), name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    begin, places = 0, {}
    for name in order:
        spec = specs[name]
        places[name] = begin
        header[name] = {
            "dtype": spec.dtype,
            "shape": list(spec.shape),
            "data_offsets": [begin, begin + spec.size],
        }
        begin += spec.size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    return len(text).to_bytes(8, "little") + text, {n: start + at for n, at in places.items()}
