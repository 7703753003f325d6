"""The dense form of predictions: one tensor [members, examples, classes], read in pieces."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError, closest
from nncli.formats.activations import decode_text
from nncli.formats.prediction_columns import SCALARS, score_of
from nncli.formats.safetensors_header import read_header
from nncli.formats.sources import Source
from nncli.formats.tensors import NUMPY_OF, TensorFile, open_tensors, read_into

Array = NDArray[Any]
FLAT = ("pred", *SCALARS)  # answers that are one number


@dataclass(frozen=True)
class DenseFile:
    """A dense file that is open.

    Attributes:
        file: Its tensors.
        score: What the answers are, one of `SCORES`.
        members: What is known of each of the K members.
        ids: (N,) identifiers.
        label: (N,) or (N, C), or `None`.
        split: The split that the file names.
        part: Gives the answers of a member to the examples from one place up to another,
            unchecked.
        cluster: (N,) the groups that examples come in, `None` if they were not asked for.
    """

    file: TensorFile
    score: str
    members: tuple[dict[str, Any], ...]
    ids: Array
    label: Array | None
    split: str | None
    part: Callable[[int, int, int], Array]
    cluster: Array | None = None


def open_dense(source: Source, cluster: str | None = None) -> DenseFile:
    """Open the dense form.

    Args:
        source: A safetensors or .npz file; it is closed with the result.
        cluster: The tensor that says in what groups examples come.

    Returns:
        The file.

    Raises:
        ArtifactError: It holds no predictions, or tensors that do not fit one another.
    """
    pieces = source if source.format == "safetensors" else None
    file = open_tensors(source)
    try:
        score = score_of(list(file.specs), file.name)
        shape = file.specs[score].shape
        if len(shape) != (2 if score in FLAT else 3):
            wanted = "[members, examples]" if score in FLAT else "[members, examples, classes]"
            raise ArtifactError(f"`{score}` in `{file.name}` is {list(shape)}, expected {wanted}")
        if not shape[0] or not shape[1]:
            raise ArtifactError(f"`{score}` in `{file.name}` is {list(shape)}: there is nothing")
        ids = decode_text(file.read("example_id")) if "example_id" in file.specs else None
        ids = np.arange(shape[1]) if ids is None else ids
        label = file.read("label") if "label" in file.specs else None
        groups = None if cluster is None else _clusters(file, cluster)
        for name, found in (("example_id", ids), ("label", label), (str(cluster), groups)):
            if found is not None and len(found) != shape[1]:
                raise ArtifactError(
                    f"`{file.name}` answers {shape[1]} examples, `{name}` has {len(found)}"
                )
        _refuse_twice(ids, file.name)
        members = _members(file, shape[0])
        part = _pieces(pieces, score, shape) or _slices(file, score)
        return DenseFile(file, score, members, ids, label, _split(file), part, groups)
    except BaseException:
        file.close()
        raise


def _clusters(file: TensorFile, name: str) -> Array:
    if name not in file.specs:
        raise ArtifactError(f"`{file.name}` has no tensor `{name}`; {closest(name, file.specs)}")
    found = decode_text(file.read(name))
    if found.ndim != 1:
        raise ArtifactError(
            f"`{name}` in `{file.name}` is {list(found.shape)}, expected [examples]"
        )
    return found


def _pieces(
    source: Source | None, score: str, shape: tuple[int, ...]
) -> Callable[[int, int, int], Array] | None:
    """Reads just what is asked for, where the file lets one."""
    if source is None:
        return None
    header = read_header(source)
    kind = NUMPY_OF.get(header.specs[score].dtype)
    if kind is None:  # bfloat16, which is widened elsewhere
        return None
    width = int(np.prod(shape[2:], dtype=np.int64))

    def part(member: int, start: int, stop: int) -> Array:
        found = np.empty((stop - start, *shape[2:]), kind)
        first = (member * shape[1] + start) * width * kind.itemsize
        read_into(source, found, header.offsets[score] + first)
        return found

    return part


def _slices(file: TensorFile, score: str) -> Callable[[int, int, int], Array]:
    def part(member: int, start: int, stop: int) -> Array:
        found: Array = file.rows(score, member, member + 1)[0, start:stop]
        return found

    return part


def _members(file: TensorFile, count: int) -> tuple[dict[str, Any], ...]:
    """Who the members are: by our own entry, else by what foreign files may say."""
    told = file.entry.facts.get("members") if file.entry else None
    if isinstance(told, list) and len(told) == count:
        return tuple({**one.pop("factors", {}), **one} for one in (dict(one) for one in told))
    names = _names(file, count) or [str(place) for place in range(count)]
    members: list[dict[str, Any]] = [{"model_id": name} for name in names]
    for name in ("seed", "partition", "part"):
        if name in file.specs and file.specs[name].shape[:1] == (count,):
            rows = file.read(name).reshape(count, -1)
            for member, row in zip(members, rows.tolist(), strict=True):
                given = zip((name, "seed2"), row, strict=False)
                member.update({key: int(value) for key, value in given if value >= 0})
    return tuple(members)


def _names(file: TensorFile, count: int) -> list[str] | None:
    try:
        found = json.loads(file.metadata.get("model_id", "null"))
    except ValueError:
        return None
    if isinstance(found, list) and len(found) == count and len(set(map(str, found))) == count:
        return [str(one) for one in found]
    return None


def _split(file: TensorFile) -> str | None:
    facts = file.entry.facts.get("data") if file.entry else None
    found = facts.get("split") if isinstance(facts, dict) else file.metadata.get("split")
    return None if found is None else str(found)


def _refuse_twice(ids: Array, source: str) -> None:
    found, counts = np.unique(ids, return_counts=True)
    if len(found) < len(ids):
        raise ArtifactError(f"example `{found[counts > 1][0]}` is twice in `{source}`")
