"""What predictions are made of: members that answer, the frame they share, and the columns.

| column | type | meaning |
|---|---|---|
| example_id | int64 or string | the example |
| model_id | dictionary string | the checkpoint |
| seed, step, ... | int64, float64 or string | the factors of its series |
| split | dictionary string | train, test or all |
| perturbation | dictionary string | what was done to the example; null when clean |
| strength | float64 | radius of the attack, severity of the corruption; null when clean |
| label | int32, or float64 (regression) | the true answer, if there is one |
| logits, or pred (regression) | fixed_size_list<float32, C>, or float64 | the answer |
| loss | float64 | cross-entropy in nats, or squared error; null without a label |
| certified_class | int32 | smoothed: the class that is certain; null where none is |
| certified_radius | float64 | smoothed: the distance up to which it is certain |
| others | | further columns of the dataset |

A member is one model under one perturbation. The dense form holds `logits` [K, N, C] (or `pred`
[K, N]), `loss` [K, N], `label` [N], `example_id` [N] and `seed` [K, 2] (-1 where there is none);
who the members are stands in the fact `members` of its entry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nncli.errors import ArtifactError, closest
from nncli.formats.arrow_columns import column_of, repeated

Array = NDArray[Any]
Scalar = int | float | str

KIND = "predictions"
NAME = pa.dictionary(pa.int32(), pa.string())
RESERVED = ("example_id", "model_id", "split", "perturbation", "strength", "label", "loss")
SCORES = ("logits", "probs", "logprobs", "scores", "pred")
CERTIFIED = {"certified_class": pa.int32(), "certified_radius": pa.float64()}
SCALARS = ("p_correct", "correct")
"""What stands for an answer where nothing else does: the probability of, or a hit on, the label."""


@dataclass(frozen=True)
class Member:
    """One model under one perturbation.

    Attributes:
        model_id: The name of the checkpoint, unique among the models.
        factors: What tells it from the others of its series: seed, step, ...
        perturbation: What is done to the examples, its strength in the name; `None` when clean.
        strength: Radius of an attack, severity of a corruption.
    """

    model_id: str
    factors: Mapping[str, Scalar] = field(default_factory=dict)
    perturbation: str | None = None
    strength: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The member as the entry of a file says it."""
        return {
            "model_id": self.model_id,
            "factors": dict(self.factors),
            "perturbation": self.perturbation,
            "strength": self.strength,
        }


@dataclass(frozen=True)
class Frame:
    """What the predictions of all members share.

    Attributes:
        example_id: (n,) identifiers.
        label: (n,) int64 classes or float64 targets, `None` where there are none.
        split: `train`, `test` or `all`.
        width: Numbers in one answer: the classes, or `None` for one predicted number.
        columns: Further columns of the data, (n,) each.
        certified: Whether some members come with certificates.
    """

    example_id: Array
    label: Array | None
    split: str
    width: int | None
    columns: Mapping[str, Array] = field(default_factory=dict)
    certified: bool = False

    def __len__(self) -> int:
        return len(self.example_id)

    @property
    def score(self) -> str:
        """What the answers are called: `logits` or `pred`."""
        return "pred" if self.width is None else "logits"


def long_schema(frame: Frame, members: Sequence[Member]) -> pa.Schema:
    """The columns of the long form, in order."""
    whole = frame.label is None or frame.label.dtype.kind in "iu"
    answer = pa.float64() if frame.width is None else pa.list_(pa.float32(), frame.width)
    fields = {
        "example_id": _type_of(frame.example_id),
        "model_id": NAME,
        **{_free(name): kind for name, kind in _factor_types(members).items()},
        "split": NAME,
        "perturbation": NAME,
        "strength": pa.float64(),
        "label": pa.int32() if whole else pa.float64(),
        frame.score: answer,
        "loss": pa.float64(),
        **(CERTIFIED if frame.certified else {}),
    }
    for name, values in frame.columns.items():
        fields[name if name not in fields else f"data_{name}"] = _type_of(values)
    return pa.schema(list(fields.items()))


def _factor_types(members: Sequence[Member]) -> dict[str, pa.DataType]:
    """The type of each factor; seed is always there, and first."""
    names = dict.fromkeys(["seed", *(name for one in members for name in one.factors)])
    known = {name: [one.factors[name] for one in members if name in one.factors] for name in names}
    return {name: _type_of(np.array(values or [0])) for name, values in known.items()}


def _free(name: str) -> str:
    return f"factor_{name}" if name in (*RESERVED, *SCORES) else name


def _type_of(values: Array) -> pa.DataType:
    kinds = {"i": pa.int64(), "u": pa.int64(), "f": pa.float64(), "b": pa.bool_()}
    return kinds.get(values.dtype.kind, pa.string())


def long_rows(frame: Frame, member: Member, part: slice) -> dict[str, Any]:
    """Columns of some rows but for the answers, by name: arrays, or one value for all rows."""
    factors = {_free(name): value for name, value in member.factors.items()}
    columns: dict[str, Any] = {
        **factors,
        "example_id": frame.example_id[part],
        "model_id": member.model_id,
        "split": frame.split,
        "perturbation": member.perturbation,
        "strength": member.strength,
        "label": None if frame.label is None else frame.label[part],
    }
    taken = {*columns, "seed", frame.score, "loss", *(CERTIFIED if frame.certified else ())}
    for name, values in frame.columns.items():
        columns[name if name not in taken else f"data_{name}"] = values[part]
    return columns


def column(value: Any, kind: pa.DataType, rows: int) -> pa.Array:
    """A column of some type.

    Args:
        value: An array, one value for all rows, or `None` for nulls.
        kind: The type.
        rows: How many rows.

    Returns:
        The column.
    """
    if value is None:
        return pa.nulls(rows, kind)
    if isinstance(value, np.ma.MaskedArray):
        return column_of(value.data, np.ma.getmaskarray(value)).cast(kind)
    if not isinstance(value, np.ndarray):
        return _repeated(value, kind, rows).cast(kind)
    if pa.types.is_fixed_size_list(kind):
        flat = column_of(np.ascontiguousarray(value, np.float32).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, kind.list_size)
    return column_of(value).cast(kind)


def _repeated(value: Scalar, kind: pa.DataType, rows: int) -> pa.Array:
    """One value in every row, as text where the column is text."""
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return repeated(str(value), pa.string(), rows)
    return repeated(value, pa.int64() if isinstance(value, int) else pa.float64(), rows)


def score_of(names: Sequence[str], source: str) -> str:
    """Which column or tensor holds the answers.

    Args:
        names: All of them.
        source: The file, for errors.

    Returns:
        One of `SCORES`, or of `SCALARS` where there is none of those.

    Raises:
        ArtifactError: There is none, or more than one.
    """
    found = [name for name in SCORES if name in names]
    found = found or [name for name in SCALARS if name in names][:1]
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
