"""One digest over named arrays and texts, for content that comes in many containers."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK_BYTES = 1 << 24


def content_digest(content: Mapping[str, Array | tuple[str, ...] | None]) -> str:
    """Digest arrays and texts by name, type, shape and values; the same on every machine.

    Returns:
        `sha256:<hex>`.
    """
    digest = hashlib.sha256()
    for name, value in content.items():
        if value is None:
            continue
        if isinstance(value, tuple) or value.dtype.kind == "U":
            _add_text(digest, name, value)
        else:
            _add_array(digest, name, value)
    return f"sha256:{digest.hexdigest()}"


def _add_text(digest: "hashlib._Hash", name: str, texts: Array | tuple[str, ...]) -> None:
    digest.update(json.dumps([name, "text", len(texts)]).encode() + b"\n")
    for text in texts:
        encoded = str(text).encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)


def _add_array(digest: "hashlib._Hash", name: str, array: Any) -> None:
    """Add values in the order of C, little-endian, by blocks: inputs may lie in a file."""
    kind = array.dtype.newbyteorder("<")
    digest.update(json.dumps([name, kind.str, *array.shape]).encode() + b"\n")
    rows = max(1, BLOCK_BYTES // max(1, math.prod(array.shape[1:]) * kind.itemsize))
    for start in range(0, len(array), rows):
        block = np.ascontiguousarray(array[start : start + rows], kind)
        digest.update(block.reshape(-1).view(np.uint8).data)
