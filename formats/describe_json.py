"""A description as one JSON object with the same keys for every input."""

import math
from collections.abc import Mapping
from typing import Any

from nncli.formats.describe import Description

# null stands for what does not apply to an input
KEYS = {
    "name": "the input as given",
    "kind": "the kind of artifact; null for a foreign file",
    "format": "what the bytes are",
    "what": "the same for people",
    "bytes": "size; of a folder, of all files in it",
    "digest": "SHA-256 of the bytes, with --digest",
    "entry": "what the artifact says of itself: command, inputs with their own entries, facts",
    "metadata": "what else the file says of itself",
    "tensors": "name, dtype, shape, numbers, bytes; statistics with --stats",
    "totals": "tensors, numbers, bytes",
    "columns": "name and type; statistics with --stats",
    "rows": "rows of the table",
    "first_rows": "the first rows, one object each",
    "files": "name and bytes of the files in a folder or archive",
    "notes": "what a reader should know",
}


def as_json(
    found: Description, *, digest: str | None = None, statistics: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A description as JSON values.

    Args:
        found: The description.
        digest: The digest of the input, if it was asked for.
        statistics: Statistics by the name of the tensor or column, if they were asked for.

    Returns:
        An object with the keys `KEYS`, ready for `json.dumps(..., allow_nan=False)`.
    """
    numbers = statistics or {}

    def with_statistics(name: str, said: dict[str, Any]) -> dict[str, Any]:
        return {**said, "statistics": numbers[name]} if name in numbers else said

    tensors = columns = files = totals = None
    if found.tensors is not None:
        tensors = [
            with_statistics(
                one.name,
                {
                    "name": one.name,
                    "dtype": one.dtype,
                    "shape": list(one.shape),
                    "numbers": one.numbers,
                    "bytes": one.bytes,
                },
            )
            for one in found.tensors
        ]
        totals = {
            "tensors": len(found.tensors),
            "numbers": sum(one.numbers for one in found.tensors),
            "bytes": sum(one.bytes for one in found.tensors),
        }
    if found.columns is not None:
        columns = [
            with_statistics(one.name, {"name": one.name, "type": one.type}) for one in found.columns
        ]
    if found.files is not None:
        files = [{"name": one.name, "bytes": one.bytes} for one in found.files]
    values = (
        found.name,
        found.kind,
        found.format,
        found.what,
        found.bytes,
        digest,
        _plain(found.entry.to_dict()) if found.entry else None,
        _plain(found.metadata),
        tensors,
        totals,
        columns,
        found.rows,
        None if found.head is None else _plain(found.head.to_pylist()),
        files,
        list(found.notes),
    )
    return dict(zip(KEYS, values, strict=True))


def _plain(value: object) -> Any:
    """JSON values only: no number that JSON cannot say, bytes by their length."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
