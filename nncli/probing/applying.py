"""Readers that were fitted before, scored on other activations."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from nncli.errors import MismatchError
from nncli.probing.designs import Capture
from nncli.probing.features import F64, Index
from nncli.probing.fitted import Fitted
from nncli.probing.readers import READERS
from nncli.probing.rows import expanded, gather
from nncli.probing.scoring import METRICS, interval, usual_metric
from nncli.probing.study import matrix_of
from nncli.probing.targets import Kind, Target
from nncli.probing.tasks import Effort, Read


class Stored(Protocol):
    """A reader that was fitted before."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What it reads."""

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """What it consists of."""


@dataclass(frozen=True)
class Application:
    """Stored readers, and what they are scored on.

    Attributes:
        captures: Activations of the same examples.
        readers: Of each capture the readers that are scored on it.
        targets: The values, by the name of the target.
        group: (n,) which examples are drawn together for intervals.
        allowed: (n,) which examples readers were not fitted on.
        effort: Metrics, resamples and seed.
    """

    captures: Sequence[Capture]
    readers: Sequence[Sequence[Stored]]
    targets: Mapping[str, Target]
    group: Index
    allowed: NDArray[np.bool_]
    effort: Effort

    @property
    def train(self) -> list[int]:
        """Nothing is fitted on any example."""
        return []

    def steps(self) -> list[tuple[int, Stored]]:
        """All there is to do: the place of a capture, and a reader."""
        return [(place, one) for place, its in enumerate(self.readers) for one in its]

    def take(self, step: tuple[int, Any]) -> Iterator[tuple[list[dict[str, Any]], list[Read]]]:
        """Score one reader on one capture.

        Yields:
            The rows of the table, and what the reader reads.

        Raises:
            MismatchError: The capture lacks the layer, or it has another width.
        """
        place, one = step
        target = self.targets[str(one.about["target"])]
        rows, answers, examples = _apply(
            self.captures[place],
            one.about,
            one.arrays,
            target,
            self.group,
            allowed=self.allowed,
            effort=self.effort,
        )
        yield rows, [Read(one.about, target.values[examples], examples, answers, one.arrays)]


def coded(values: list[Any], about: Mapping[str, Any], name: str) -> Target:
    """Values of a target in the classes that a stored reader knows.

    Raises:
        MismatchError: A value is none of them.
    """
    kind, classes = cast(Kind, about["kind"]), tuple(about["classes"])
    known = np.array([one is not None and one == one for one in values], bool)  # noqa: PLR0124
    if kind != "classes":
        blank = 0.0 if kind == "numbers" else [0] * len(classes)
        filled = [one if ok else blank for one, ok in zip(values, known, strict=True)]
        return Target(str(about["target"]), kind, np.array(filled, np.float64), classes, known)
    place = {one: at for at, one in enumerate(classes)}
    strange = next((one for one in values if one is not None and str(one) not in place), None)
    if strange is not None:
        raise MismatchError(
            f"`{name}` has the class `{strange}`, which the probe does not know",
            hint=f"it was fitted on {', '.join(classes[:10])}",
        )
    found = [place[str(one)] if ok else 0 for one, ok in zip(values, known, strict=True)]
    return Target(str(about["target"]), kind, np.array(found, np.int64), classes, known)


def _apply(
    capture: Capture,
    about: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    target: Target,
    group: Index,
    *,
    allowed: NDArray[np.bool_],
    effort: Effort,
) -> tuple[list[dict[str, Any]], F64, Index]:
    """Score a stored reader on the examples of a capture that it was not fitted on."""
    name, label = str(about["layer"]), str(about["reader"])
    reader = label.partition(":")[0]
    if name not in capture.layers:
        raise MismatchError(f"`{capture.name}` has no layer `{name}`, which the probe reads")
    position = about.get("position")
    how = "positions" if position is not None else str(about["reduce"])
    layer, each = matrix_of(capture, name, how)
    wide = int(about["features"])
    if layer.d != wide:
        raise MismatchError(
            f"`{name}` of `{capture.name}` has {layer.d} features, the probe reads {wide}"
        )
    examples = np.flatnonzero(target.known & allowed)
    rows = expanded(examples, each, position)
    times = len(rows) // max(len(examples), 1)
    answers = Fitted(reader, dict(arrays)).answers_to_raw(gather(layer, rows))
    values = np.repeat(target.values[examples], times, axis=0)
    groups = np.repeat(group[examples], times)
    found = []
    for metric in effort.metrics or (usual_metric(target),):
        row = {
            "layer": name,
            "position": position,
            "target": target.name,
            "reader": label,
            "split": "applied",
            "metric": metric,
            "penalty": about.get("penalty"),
            "n": len(values),
        }
        told = METRICS[metric]
        able = target.kind in told.kinds and (
            READERS[reader].probabilistic or not told.probabilistic
        )
        if able and len(values):
            statistic = told.of(answers, values, target, None)
            told_by = {"resamples": effort.resamples, "seed": effort.seed}
            score = interval(statistic, groups, proportion=metric == "accuracy", **told_by)
            row |= {"value": score.value, "low": score.low, "high": score.high}
        else:
            row["note"] = f"{reader} has no {metric}" if len(values) else "no example is left"
        found.append(row)
    return found, answers, examples
