"""Predictions into files: long Parquet, a row for each model and example, or dense safetensors.

What they hold is described in `nncli.formats.prediction_columns`.
"""

from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from nncli.formats.activations import encode_text
from nncli.formats.entry import Entry
from nncli.formats.prediction_columns import (
    KIND,
    Array,
    Frame,
    Member,
    column,
    long_rows,
    long_schema,
)
from nncli.formats.safetensors_header import TensorSpec
from nncli.formats.tables import TableWriter, create_table, demand_table
from nncli.formats.tensors import create_tensors, spec_of
from nncli.formats.writable import demand_tensors

Certificate = tuple[Array, Array]

GROUP_BYTES = 1 << 24
GROUP_ROWS = 1 << 16


class PredictionWriter:
    """Takes the answers of one member after another; a context manager that commits on success."""

    def __enter__(self) -> "PredictionWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        raise NotImplementedError

    def write(
        self,
        member: Member,
        answers: Array,
        losses: Array | None,
        certificate: Certificate | None = None,
    ) -> None:
        """Take the answers of the next member to all examples.

        Args:
            member: Which one.
            answers: (n, C) float32 logits, or (n,) float64 predictions.
            losses: (n,) float64, `None` without labels.
            certificate: (n,) classes, -1 where none is certain, and (n,) radii.

        Raises:
            ArtifactError: They could not be written.
        """
        raise NotImplementedError


def create_predictions(
    target: str,
    frame: Frame,
    members: Sequence[Member],
    entry: Entry,
    *,
    format: str = "auto",
    overwrite: bool = False,
) -> PredictionWriter:
    """Begin a file of predictions.

    Args:
        target: A path, or `-` for standard output.
        frame: What all members share.
        members: Who will answer, in order.
        entry: The metadata entry; what the answers are, and in the dense form whose, is added to
            its facts.
        format: `safetensors`, or a format of tables; `auto` goes by the suffix.
        overwrite: Replace a file that nncli did not write.

    Returns:
        The writer, a context manager; the file appears when it is left without an error.

    Raises:
        ArtifactError: The output cannot be written.
        UsageError: Suffix and format contradict each other.
    """
    told = {"score": frame.score, "classes": frame.width, "n": len(frame)}
    full = replace(entry, facts={**entry.facts, **told})
    if is_dense(target, format):
        who = [one.to_dict() for one in members]
        full = replace(full, facts={**full.facts, "members": who})
        return _Dense(target, frame, members, full, overwrite)
    schema = long_schema(frame, members)
    table = create_table(target, schema, full, format=format, overwrite=overwrite)
    return _Long(table, frame, schema)


def demand_target(target: str, format: str, *, overwrite: bool = False) -> None:
    """Refuse an output of predictions before the work.

    Args:
        target: A path, or `-` for standard output.
        format: As for `create_predictions`.
        overwrite: Replace a file that nncli did not write.

    Raises:
        ArtifactError: The output cannot be written.
        UsageError: Suffix and format contradict each other.
    """
    if is_dense(target, format):
        demand_tensors(target, kind=KIND, overwrite=overwrite)
    else:
        demand_table(target, kind=KIND, format=format, overwrite=overwrite)


def is_dense(target: str, format: str) -> bool:
    """Whether predictions are to go into the dense form."""
    by_suffix = format == "auto" and target.lower().endswith(".safetensors")
    return format == "safetensors" or by_suffix


class _Long(PredictionWriter):
    """Row groups hold one member each."""

    def __init__(self, table: TableWriter, frame: Frame, schema: pa.Schema) -> None:
        self._table, self._frame, self._schema = table, frame, schema
        self._group = max(1, min(GROUP_ROWS, GROUP_BYTES // (4 * (frame.width or 2))))

    def __enter__(self) -> "_Long":
        self._table.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._table.__exit__(*error)

    def write(
        self,
        member: Member,
        answers: Array,
        losses: Array | None,
        certificate: Certificate | None = None,
    ) -> None:
        """Write as many row groups as it takes."""
        certified = _masked(certificate)
        for start in range(0, len(self._frame), self._group):
            part = slice(start, min(start + self._group, len(self._frame)))
            rows = long_rows(self._frame, member, part)
            rows[self._frame.score] = answers[part]
            rows["loss"] = None if losses is None else losses[part]
            rows |= {name: values[part] for name, values in certified.items()}
            count = part.stop - part.start
            arrays = [column(rows.get(one.name), one.type, count) for one in self._schema]
            self._table.write(pa.table(arrays, schema=self._schema))


class _Dense(PredictionWriter):
    """Member-major, so that a reader can take one member at a time."""

    def __init__(
        self, target: str, frame: Frame, members: Sequence[Member], entry: Entry, overwrite: bool
    ) -> None:
        seeds = [[one.factors.get(name, -1) for name in ("seed", "seed2")] for one in members]
        whole = {"example_id": encode_text(frame.example_id), "seed": np.array(seeds, np.int64)}
        if frame.label is not None:
            whole["label"] = frame.label
        specs = {name: spec_of(values) for name, values in whole.items()}
        shape = (len(members), len(frame))
        if frame.width is None:
            specs[frame.score] = TensorSpec("F64", shape)
        else:
            specs[frame.score] = TensorSpec("F32", (*shape, frame.width))
        if frame.label is not None:
            specs["loss"] = TensorSpec("F64", shape)
        if frame.certified:
            specs |= {"certified_class": TensorSpec("I64", shape)}
            specs |= {"certified_radius": TensorSpec("F64", shape)}
        self._certified, self._n = frame.certified, len(frame)
        self._score = frame.score
        self._tensors = create_tensors(target, specs, entry, overwrite=overwrite)
        self._whole = whole

    def __enter__(self) -> "_Dense":
        self._tensors.__enter__()
        for name, values in self._whole.items():
            self._tensors.write(name, values)
        return self

    def __exit__(self, *error: Any) -> None:
        self._tensors.__exit__(*error)

    def write(
        self,
        member: Member,
        answers: Array,
        losses: Array | None,
        certificate: Certificate | None = None,
    ) -> None:
        """Write one row of each tensor."""
        self._tensors.append(self._score, answers[None])
        if losses is not None:
            self._tensors.append("loss", losses[None])
        if self._certified:
            classes, radii = certificate or (np.full(self._n, -1), np.zeros(self._n))
            self._tensors.append("certified_class", classes[None])
            self._tensors.append("certified_radius", radii[None])


def _masked(certificate: Certificate | None) -> dict[str, Any]:
    """The columns of a certificate, empty where nothing is certain."""
    if certificate is None:
        return {}
    classes, radii = certificate
    none = classes < 0
    return {
        "certified_class": np.ma.masked_array(classes, none),
        "certified_radius": np.ma.masked_array(radii, none),
    }
