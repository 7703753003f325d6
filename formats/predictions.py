"""Reading predictions: the long form and the dense form, checked, as members by examples.

Rows of the long form may come in any order: they are joined by key. Nothing is repaired silently.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import MismatchError, NncliWarning
from nncli.formats.entry import Entry, demand_kind
from nncli.formats.prediction_checks import demand_sound
from nncli.formats.prediction_columns import KIND
from nncli.formats.prediction_dense import DenseFile, open_dense
from nncli.formats.prediction_tables import LongRows, read_long
from nncli.formats.sources import Source, open_source
from nncli.formats.tensors import TensorFile

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples of one split in some order, shared by the members that answer them.

    Attributes:
        ids: (n,) identifiers.
        label: (n,) or (n, C), or `None`.
        split: The name of the split, if the file says one.
        cluster: (n,) the groups they come in, where these were asked for.
    """

    ids: Array
    label: Array | None
    split: str | None
    cluster: Array | None = None


@dataclass(frozen=True)
class Sheet:
    """The answers of one member to the examples of one split in one file.

    Attributes:
        member: The place of the member in the file.
        examples: What it answers.
        part: Gives its answers to the examples from one place up to another; checked.
    """

    member: int
    examples: Examples
    part: Callable[[int, int], Array]


@dataclass(frozen=True)
class Predictions:
    """What K members answer to N examples; a context manager that closes the file.

    Attributes:
        name: The file as given.
        digest: Its SHA-256.
        entry: What it says of itself, `None` for a foreign file.
        score: What the answers are: `logits`, `probs`, `logprobs`, `scores`, `pred`, `p_correct`
            or `correct`.
        members: For each member what is known of it: model_id, seed, perturbation, factors.
        example_id: (N,) identifiers.
        label: (N,) classes or targets, (N, C) soft labels, or `None`.
        answers: Gives the answers (N, C), or (N,) for single numbers, of the member at a place;
            checked.
        file: The dense file they are read from, `None` if they are in memory.
        sheets: The same, member by member and split by split, whatever each of them answers.
    """

    name: str
    digest: str
    entry: Entry | None
    score: str
    members: tuple[dict[str, Any], ...]
    example_id: Array
    label: Array | None
    answers: Callable[[int], Array]
    file: TensorFile | None = None
    sheets: tuple[Sheet, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.members)

    def __enter__(self) -> "Predictions":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, if there is one."""
        if self.file is not None:
            self.file.close()


def open_predictions(
    source: str | Source,
    *,
    renormalise: bool = False,
    common: bool = True,
    cluster: str | None = None,
) -> Predictions:
    """Read predictions.

    Args:
        source: The name as given (`-` for standard input), or a source that is already open.
        renormalise: Divide probabilities by their sum in place of refusing them for it.
        common: Keep the examples that every member answers; otherwise only the sheets of the
            result are to be used.
        cluster: The column that says in what groups examples come.

    Returns:
        The predictions. Those of a long file are in memory (or in a temporary file where they are
        large); a dense file is read piece by piece.

    Raises:
        ArtifactError: It holds no predictions, a member answers an example twice, an example has
            two labels, or an answer is not finite or no probability.
        MismatchError: Members answer with different numbers of classes, or no example is answered
            by all.

    Warns:
        NncliWarning: Examples that some member does not answer are left out, or probabilities do
            not quite sum to 1.
    """
    opened = open_source(source) if isinstance(source, str) else source
    if opened.format in ("safetensors", "npz"):
        dense = open_dense(opened, cluster)
        try:
            return _of_dense(dense, renormalise)
        except BaseException:
            dense.file.close()
            raise
    with opened:
        digest = opened.digest if opened.folder is None else ""
        rows = read_long(opened, renormalise=renormalise, cluster=cluster)
        return _of_long(rows, opened.name, digest, common)


def _of_long(rows: LongRows, name: str, digest: str, common: bool) -> Predictions:
    demand_kind(rows.entry, KIND, source=name)
    kept = _answered_by_all(rows, name) if common else np.empty(0, np.int64)

    def answers(member: int) -> Array:
        place, found = rows.rows[member]
        taken: Array = found[np.searchsorted(place, kept)]
        return taken

    told = name, digest, rows.entry, rows.score, rows.members, rows.ids[kept]
    label = None if rows.label is None else rows.label[kept]
    return Predictions(*told, label, answers, sheets=tuple(_long_sheets(rows)))


def _answered_by_all(rows: LongRows, source: str) -> NDArray[np.int64]:
    """The places of the examples that every member answers."""
    count = np.zeros(len(rows.ids), np.int64)
    for place, _ in rows.rows:
        count[place] += 1
    whole = count == len(rows.members)
    if not whole.any():
        raise MismatchError(f"no example in `{source}` is answered by every model")
    if not whole.all():
        every = np.arange(len(count))
        missing = (np.setdiff1d(every, place) for place, _ in rows.rows)
        member, lacks = next(
            (one, found) for one, found in zip(rows.members, missing, strict=True) if len(found)
        )
        warnings.warn(
            f"{(~whole).sum()} of {len(whole)} examples in `{source}` are left out: not every "
            f"model answers them (`{member['model_id']}` lacks `{rows.ids[lacks[0]]}`)",
            NncliWarning,
            stacklevel=4,
        )
    return np.flatnonzero(whole)


def _long_sheets(rows: LongRows) -> list[Sheet]:
    shared: dict[int, list[tuple[NDArray[np.int64], Examples]]] = {}
    sheets = []
    for member, (place, answers) in enumerate(rows.rows):
        codes = rows.split[place]
        for code in np.unique(codes).tolist():
            here = slice(None) if (codes == code).all() else np.flatnonzero(codes == code)
            known = shared.setdefault(code, [])
            own, found = place[here], answers[here]
            examples = next((one for at, one in known if np.array_equal(at, own)), None)
            if examples is None:
                label = None if rows.label is None else rows.label[own]
                cluster = None if rows.cluster is None else rows.cluster[own]
                examples = Examples(rows.ids[own], label, rows.splits[code], cluster)
                known.append((own, examples))
            sheets.append(Sheet(member, examples, _slicing(found)))
    return sheets


def _slicing(found: Array) -> Callable[[int, int], Array]:
    return lambda start, stop: found[start:stop]


def _of_dense(dense: DenseFile, renormalise: bool) -> Predictions:
    file = dense.file
    demand_kind(file.entry, KIND, source=file.name)

    def part(member: int, start: int, stop: int) -> Array:
        model = dense.members[member]["model_id"]
        return demand_sound(
            dense.part(member, start, stop),
            dense.score,
            lambda row: f"`{model}` to example `{dense.ids[start + row]}`",
            source=file.name,
            renormalise=renormalise,
        )

    examples = Examples(dense.ids, dense.label, dense.split, dense.cluster)
    told = file.name, file.digest, file.entry, dense.score, dense.members, dense.ids, dense.label
    count = len(dense.ids)
    sheets = tuple(
        Sheet(k, examples, lambda a, b, k=k: part(k, a, b))  # type: ignore[misc]
        for k in range(len(dense.members))
    )
    return Predictions(*told, lambda member: part(member, 0, count), file, sheets)
