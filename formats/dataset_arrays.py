"""Datasets in files of arrays: safetensors, .npz and .npy; only the chosen rows become memory."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.formats.array_roles import ROLES, UNDIVIDED, find_parts, warn_left_out
from nncli.formats.dataset_rows import (
    FACTOR_PREFIX,
    Rows,
    demand_length,
    join_rows,
)
from nncli.formats.entry import demand_kind
from nncli.formats.labels import Labels, name_classes, read_labels
from nncli.formats.splits import PARTS, choose_rows, parts_of
from nncli.formats.tensors import TensorFile

Array = NDArray[Any]

TAKEN = ("x", "mask", "example_id", "text")
BLOCK_BYTES = 1 << 26


def read_arrays(file: TensorFile, split: str, limit: int | None) -> Rows:
    """Read the rows of a split from a file of arrays.

    Args:
        file: The opened file.
        split: `train`, `test` or `all`.
        limit: At most this many rows, the first ones of the split.

    Returns:
        The rows.

    Raises:
        ArtifactError: The file is another artifact, has no inputs, two arrays for one role, or
            arrays of different lengths.
    """
    demand_kind(file.entry, "dataset", source=file.name)
    parts = find_parts(file)
    if UNDIVIDED in parts:
        return _read_undivided(file, parts[UNDIVIDED], split, limit)
    return _read_own_split(file, parts, split, limit)


def _read_undivided(
    file: TensorFile, roles: Mapping[str, str], split: str, limit: int | None
) -> Rows:
    count = _count(file, roles)
    labels = None
    if "y" in roles:
        names = file.entry.facts.get("class_names") if file.entry else None
        raw = file.read(roles["y"])
        labels = read_labels(raw, column=roles["y"], source=file.name, names=names)
    rows = choose_rows(
        count,
        classes=labels.strata if labels else None,
        own=file.read(roles["split"]).astype(np.str_) if "split" in roles else None,
        split=split,
        limit=limit,
        source=file.name,
    )
    return _take_part(file, roles, rows, labels, offset=0)


def _read_own_split(
    file: TensorFile, parts: Mapping[str, Mapping[str, str]], split: str, limit: int | None
) -> Rows:
    """The parts stand one after the other: training, validation, test."""
    order = [part for part in PARTS if part in parts]
    counts = {part: _count(file, parts[part]) for part in order}
    labels = _labels_of_parts(file, parts, counts)
    offset, left, found = 0, limit, []
    for part in order:
        if part in parts_of(split, order):
            rows = np.arange(counts[part], dtype=np.int64)[:left]
            found.append(_take_part(file, parts[part], rows, labels[part], offset=offset))
            left = None if left is None else left - len(rows)
        offset += counts[part]
    classes = max((one.classes for one in labels.values() if one and one.classes), default=None)
    joined = join_rows([one for one in found if len(one.places)], source=file.name)
    return replace(joined, classes=classes) if joined.classes is not None else joined


def _labels_of_parts(
    file: TensorFile,
    parts: Mapping[str, Mapping[str, str]],
    counts: Mapping[str, int],
) -> dict[str, Labels | None]:
    """Labels of each part, numbered by the classes of all parts."""
    raw = {part: file.read(parts[part]["y"]) for part in counts if "y" in parts[part]}
    names = name_classes(raw.values())
    found: dict[str, Labels | None] = dict.fromkeys(counts)
    for part, column in raw.items():
        found[part] = read_labels(column, column=parts[part]["y"], source=file.name, names=names)
    return found


def _count(file: TensorFile, roles: Mapping[str, str]) -> int:
    """Rows of a part, which every array of it with a role must have."""
    leading = roles["x"] if "x" in roles else roles["text"]
    for role in {"x", "text", "y", "mask", "example_id", "split"} & roles.keys():
        if not file.specs[roles[role]].shape:
            raise ArtifactError(f"`{roles[role]}` in `{file.name}` is a single number")
    count = file.specs[leading].shape[0]
    for role in ("text", "y", "mask", "example_id", "split"):
        if role in roles:
            length = file.specs[roles[role]].shape[0]
            demand_length(roles[role], length, leading, count, source=file.name)
    return count


def _take_part(
    file: TensorFile,
    roles: Mapping[str, str],
    rows: NDArray[np.int64],
    labels: Labels | None,
    *,
    offset: int,
) -> Rows:
    count = file.specs[roles["x" if "x" in roles else "text"]].shape[0]
    others = {name: roles[name] for name in roles if name not in ROLES.values()}
    factors = {
        name: stored for name, stored in others.items() if file.specs[stored].shape[:1] == (count,)
    }
    warn_left_out(file, (stored for name, stored in others.items() if name not in factors))
    taken = {role: take_rows(file, roles[role], rows) for role in roles if role in TAKEN}
    text = taken.pop("text", None)
    return Rows(
        places=rows + offset,
        y=labels.values[rows] if labels else None,
        classes=labels.classes if labels else None,
        class_names=labels.class_names if labels else None,
        text=tuple(text.tolist()) if text is not None else None,
        factors={
            name.removeprefix(FACTOR_PREFIX): take_rows(file, stored, rows)
            for name, stored in factors.items()
        },
        nchw=file.entry is not None,
        entry=file.entry,
        **taken,
    )


def take_rows(file: TensorFile, name: str, rows: NDArray[np.int64]) -> Array:
    """Read some rows of a tensor, ascending; nothing behind the last of them is read.

    The memory is that of the rows and of one block.
    """
    if not len(rows) or rows[-1] - rows[0] + 1 == len(rows):
        return (
            file.rows(name, int(rows[0]), int(rows[-1]) + 1) if len(rows) else file.rows(name, 0, 0)
        )
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
