"""Reading predictions: the long form and the dense form, checked, as members by examples.

Rows of the long form may come in any order: they are joined by key. Nothing is repaired silently.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError, NncliWarning, closest
from nncli.formats.activations import decode_text
from nncli.formats.entry import Entry, demand_kind
from nncli.formats.prediction_columns import KIND, SCORES
from nncli.formats.sources import Source, open_source
from nncli.formats.tables import Table, read_table
from nncli.formats.tensors import TensorFile, open_tensors

Array = NDArray[Any]

SUM_WARNED = 1e-5
SUM_REFUSED = 1e-3


@dataclass(frozen=True)
class Predictions:
    """What K members answer to N examples; a context manager that closes the file.

    Attributes:
        name: The file as given.
        digest: Its SHA-256.
        entry: What it says of itself, `None` for a foreign file.
        score: What the answers are: `logits`, `probs`, `logprobs`, `scores` or `pred`.
        members: For each member what is known of it: model_id, seed, perturbation, factors.
        example_id: (N,) identifiers.
        label: (N,) classes or targets, (N, C) soft labels, or `None`.
        answers: Gives the answers (N, C), or (N,) for `pred`, of the member at a place; checked.
        file: The dense file they are read from, `None` if they are in memory.
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


def open_predictions(source: str | Source) -> Predictions:
    """Read predictions.

    Args:
        source: The name as given (`-` for standard input), or a source that is already open.

    Returns:
        The predictions. Those of a long file are in memory; a dense file is read member by member.

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
        file = open_tensors(opened)
        try:
            return _read_dense(file)
        except BaseException:
            file.close()
            raise
    return _read_long(read_table(opened))


def _read_long(table: Table) -> Predictions:
    from nncli.formats.prediction_tables import read_rows

    demand_kind(table.entry, KIND, source=table.name)
    score = _score_of(table.data.column_names, table.name)
    rows = read_rows(table.data, score, source=table.name)
    models = [one["model_id"] for one in rows.members]
    demand_sound(
        rows.answers,
        score,
        lambda row: f"`{models[rows.member[row]]}` to example `{rows.ids[rows.example[row]]}`",
        source=table.name,
    )
    kept = rows.answered_by_all(source=table.name)
    return Predictions(
        name=table.name,
        digest=table.digest,
        entry=table.entry,
        score=score,
        members=rows.members,
        example_id=rows.ids[kept],
        label=None if rows.label is None else rows.label[kept],
        answers=lambda member: rows.answers[rows.grid[member, kept]],
    )


def _score_of(names: Sequence[str], source: str) -> str:
    found = [name for name in SCORES if name in names]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(f"`{one}`" for one in found)
        raise ArtifactError(
            f"`{source}` has {listed}: which are the answers?", hint="drop all but one of them"
        )
    raise ArtifactError(
        f"`{source}` holds no predictions: it has none of {', '.join(SCORES)}; "
        f"{closest('logits', names)}"
    )


def _read_dense(file: TensorFile) -> Predictions:
    demand_kind(file.entry, KIND, source=file.name)
    score = _score_of(list(file.specs), file.name)
    shape = file.specs[score].shape
    if len(shape) != (2 if score == "pred" else 3):
        wanted = "[members, examples]" if score == "pred" else "[members, examples, classes]"
        raise ArtifactError(f"`{score}` in `{file.name}` is {list(shape)}, expected {wanted}")
    ids = decode_text(file.read("example_id")) if "example_id" in file.specs else None
    ids = np.arange(shape[1]) if ids is None else ids
    label = file.read("label") if "label" in file.specs else None
    for name, found in (("example_id", ids), ("label", label)):
        if found is not None and len(found) != shape[1]:
            raise ArtifactError(
                f"`{file.name}` answers {shape[1]} examples, `{name}` has {len(found)}"
            )
    _refuse_twice(ids, file.name)

    members = _dense_members(file, shape[0])

    def answers(member: int) -> Array:
        found: Array = file.rows(score, member, member + 1)[0]
        model = members[member]["model_id"]
        demand_sound(
            found, score, lambda row: f"`{model}` to example `{ids[row]}`", source=file.name
        )
        return found

    told = file.name, file.digest, file.entry
    return Predictions(*told, score, members, ids, label, answers, file)


def _dense_members(file: TensorFile, count: int) -> tuple[dict[str, Any], ...]:
    told = file.entry.facts.get("members") if file.entry else None
    if isinstance(told, list) and len(told) == count:
        return tuple({**one.pop("factors", {}), **one} for one in (dict(one) for one in told))
    return tuple({"model_id": str(place)} for place in range(count))


def _refuse_twice(ids: Array, source: str) -> None:
    found, counts = np.unique(ids, return_counts=True)
    if len(found) < len(ids):
        raise ArtifactError(f"example `{found[counts > 1][0]}` is twice in `{source}`")


def demand_sound(answers: Array, score: str, place: Callable[[int], str], *, source: str) -> None:
    """Refuse answers that are no numbers, and probabilities that are none.

    Args:
        answers: (rows, C) or (rows,).
        score: One of `SCORES`.
        place: What a row is called in the error.
        source: The file, for the error.

    Raises:
        ArtifactError: An answer is NaN or infinite, or no probabilities; the first row is named.

    Warns:
        NncliWarning: Probabilities do not quite sum to 1.
    """
    # a log-probability may be that of 0
    sound = ~np.isnan(answers) if score == "logprobs" else np.isfinite(answers)
    _demand(sound, answers, place, source)
    if score not in ("probs", "logprobs"):
        return
    probs = np.exp(answers.astype(np.float64)) if score == "logprobs" else answers
    _demand((probs >= 0) & (probs <= 1 + SUM_REFUSED), answers, place, source)
    off = np.abs(probs.sum(axis=1, dtype=np.float64) - 1)
    worst = int(off.argmax())
    if off[worst] > SUM_REFUSED:
        raise ArtifactError(
            f"the probabilities of {place(worst)} in `{source}` sum to {1 + off[worst]:g} or "
            f"{1 - off[worst]:g}, not to 1",
            hint="are they logits? then call the column `logits`",
        )
    if off[worst] > SUM_WARNED:
        warnings.warn(
            f"probabilities in `{source}` are up to {off[worst]:.1g} off a sum of 1",
            NncliWarning,
            stacklevel=2,
        )


def _demand(
    sound: NDArray[np.bool_], answers: Array, place: Callable[[int], str], source: str
) -> None:
    if not sound.all():
        row = int(np.argmin(sound.reshape(len(sound), -1).all(axis=1)))
        raise ArtifactError(
            f"the answer of {place(row)} in `{source}` holds {answers[row][~sound[row]].flat[0]}",
            hint="did the training diverge?",
        )
