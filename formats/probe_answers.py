"""What probes answer, as predictions and as fitted readers in files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import UsageError
from nncli.formats.activations import Activations
from nncli.formats.entry import Entry
from nncli.formats.prediction_columns import Frame, Member
from nncli.formats.prediction_writers import create_predictions, demand_target
from nncli.formats.probes import KIND, StoredProbe, write_probes
from nncli.formats.writable import demand_tensors

Array = NDArray[Any]
Losses = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Reading:
    """A reader, what it reads, and what it answers.

    Attributes:
        about: Layer, position, target, kind, classes, reader, ...; see `StoredProbe`.
        factors: What its capture differs in from the others.
        values: (n,) the true values of the examples it answers.
        examples: (n,) their places in the capture.
        answers: (n, K).
        arrays: What it consists of.
    """

    about: Mapping[str, Any]
    factors: Mapping[str, Any]
    values: Array
    examples: Array
    answers: Array
    arrays: Mapping[str, Array]

    @classmethod
    def of(cls, capture: str, factors: Mapping[str, Any], read: Any) -> "Reading":
        """What a probe read in a capture: an object with the other attributes."""
        about = {**read.about, "capture": capture}
        return cls(about, factors, read.values, read.examples, read.answers, read.arrays)


def demand_outputs(
    predictions: str | None,
    probes: str | None,
    kinds: Sequence[str],
    *,
    rows_are_examples: bool,
    overwrite: bool,
) -> None:
    """Refuse outputs that cannot be, before the work.

    Args:
        predictions: Where predictions go, if they are wanted.
        probes: Where fitted readers go.
        kinds: Of the targets.
        rows_are_examples: And not positions.
        overwrite: Replace files that nncli did not write.

    Raises:
        UsageError: The targets have no predictions, or a suffix is that of something else.
        ArtifactError: A file cannot be written.
    """
    if predictions:
        if len(kinds) > 1 or kinds[0] == "labels":
            raise UsageError("`--predictions` are of one target, of classes or numbers")
        if not rows_are_examples:
            raise UsageError("`--predictions` have one answer an example, not one a position")
        demand_target(predictions, "auto", overwrite=overwrite)
    if probes:
        demand_tensors(probes, kind=KIND, overwrite=overwrite)


def write_answers(
    target: str,
    readings: Sequence[Reading],
    capture: Activations,
    entry: Entry,
    losses: Losses,
    *,
    several: bool,
    overwrite: bool,
) -> None:
    """Write what readers answer as predictions, a member each.

    Args:
        target: The file.
        readings: The readers, all of the same target and examples.
        capture: Whose examples they are.
        entry: The metadata entry.
        losses: The loss of answers (n, K) to values (n,).
        several: Whether the names of members need that of their capture.
        overwrite: Replace a file that nncli did not write.
    """
    first = readings[0]
    ids = np.arange(capture.n) if capture.example_id is None else capture.example_id
    number = first.about["kind"] == "numbers"
    width = None if number else len(first.about["classes"])
    values = np.asarray(first.values, np.float64 if number else np.int64)
    frame = Frame(ids[first.examples], values, "test", width)
    members = [_member(one, several=several) for one in readings]
    with create_predictions(target, frame, members, entry, overwrite=overwrite) as writer:
        for member, one in zip(members, readings, strict=True):
            answers = one.answers[:, 0] if number else one.answers.astype(np.float32)
            writer.write(member, answers, losses(one.answers, values))


def _member(one: Reading, *, several: bool) -> Member:
    position = one.about.get("position")
    layer = str(one.about["layer"]) + ("" if position is None else f"@{position}")
    parts = [layer, str(one.about["reader"])]
    name = "/".join([str(one.about["capture"]), *parts] if several else parts)
    told = {name: value for name, value in one.factors.items() if value is not None}
    told |= {"layer": one.about["layer"], "reader": one.about["reader"]}
    return Member(name, told if position is None else {**told, "position": position})


def write_readers(
    target: str,
    readings: Sequence[Reading],
    capture: Activations,
    train: Sequence[int],
    entry: Entry,
    *,
    overwrite: bool,
) -> None:
    """Write fitted readers, with the identifiers of the examples they were fitted on.

    Args:
        target: The file.
        readings: The readers.
        capture: Whose examples they were fitted on.
        train: The places of these.
        entry: The metadata entry.
        overwrite: Replace a file that nncli did not write.
    """
    ids = None if capture.example_id is None else capture.example_id[list(train)]
    probes = [StoredProbe(one.about, one.arrays) for one in readings]
    write_probes(target, probes, ids, entry, overwrite=overwrite)
