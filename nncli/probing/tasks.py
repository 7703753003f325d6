"""What is probed, how much is done, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.probing.features import F64, Index, Scaling, Training
from nncli.probing.fitted import Fitted
from nncli.probing.targets import Target


@dataclass(frozen=True)
class Effort:
    """How much is done beside the fit.

    Attributes:
        controls: Control tasks and shuffles, each; 0 for none.
        orders: Orders of the online code; 0 for no code length.
        resamples: Draws of the bootstrap.
        seed: Of all of them.
        metrics: What is reported; empty for the usual one of the target.
    """

    controls: int = 5
    orders: int = 3
    resamples: int = 1000
    seed: int = 0
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """Rows on which readers are scored.

    Attributes:
        name: Of the split.
        x: (n, d) raw rows, or as readers see them for the part that was standardised with them.
        values: For each target its values, (n, ...).
        group: (n,) which rows are drawn together.
        types: (n,) of the control task; `None` where there is none.
    """

    name: str
    x: F64
    values: tuple[NDArray[Any], ...]
    group: Index
    types: Index | None = None


@dataclass(frozen=True)
class Task:
    """A layer with its two sides.

    Attributes:
        x: (n, d) rows, those of the training part first, by fold; changed by `probe`.
        rounding: The unit of rounding of the numbers as stored.
        train: Rows of the training part.
        folds: Bounds of its folds.
        targets: What is read.
        values: For each target its values, (n, ...).
        group: (n,) which rows are of one group.
        types: (n,) of the control task.
        shifted: Further parts, raw.
    """

    x: F64
    rounding: float
    train: int
    folds: tuple[int, ...]
    targets: tuple[Target, ...]
    values: tuple[NDArray[Any], ...]
    group: Index
    types: Index
    shifted: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Read:
    """What a reader answers, and what it is.

    Attributes:
        about: Layer, position, target, kind, classes, reader, ...; JSON values.
        values: (n, ...) the true values of the examples it answers.
        examples: (n,) their places in the capture.
        answers: (n, K).
        arrays: What it consists of, for the activations as they were captured.
    """

    about: Mapping[str, Any]
    values: NDArray[Any]
    examples: Index
    answers: F64
    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Outcome:
    """What one reader reads of one target.

    Attributes:
        target: The target.
        label: The reader as it was asked for.
        reader: The reader, fitted; of what readers see. `None` where each episode has its own.
        scaling: What readers see of raw rows.
        rows: The rows of the table, less what they have in common.
        answers: (n, K) answers to the rows of the test part.
        examples: The places of the examples of the test part.
    """

    target: Target
    label: str
    reader: Fitted | None
    scaling: Scaling
    rows: list[dict[str, Any]] = field(default_factory=list)
    answers: F64 = field(default_factory=lambda: np.empty((0, 0)))
    examples: Index = field(default_factory=lambda: np.empty(0, np.int64))

    def raw(self) -> Fitted | None:
        """The reader, of the activations as they were captured."""
        return None if self.reader is None else self.reader.of_raw_features(self.scaling)

    def read(self, where: Mapping[str, Any]) -> Read | None:
        """What was read at a place, and all it takes to read it elsewhere."""
        fitted = self.raw()
        if fitted is None:
            return None
        about = {
            **where,
            "features": len(self.scaling.mean),
            "target": self.target.name,
            "kind": self.target.kind,
            "classes": list(self.target.classes),
            "reader": self.label,
            "penalty": fitted.penalty,
        }
        values = self.target.values[self.examples]
        return Read(about, values, self.examples, self.answers, fitted.arrays)


@dataclass(frozen=True)
class Reading:
    """One target of one layer.

    Attributes:
        task: The layer.
        target: The target.
        values: (n, ...) its values.
        data: The training part as readers see it.
        effort: What is done beside the fit.
    """

    task: Task
    target: Target
    values: NDArray[Any]
    data: Training
    effort: Effort

    @property
    def known(self) -> NDArray[Any]:
        """The values of the training part."""
        return self.values[: self.task.train]

    @cached_property
    def seen(self) -> Index | None:
        """(K,) how often the training part has each class; `None` for other targets."""
        if self.target.kind != "classes":
            return None
        return np.bincount(self.known, minlength=self.target.outputs)
