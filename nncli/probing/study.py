"""One layer of a capture probed as it is divided, and at each of its positions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nncli.errors import MismatchError
from nncli.probing.designs import Capture, Design
from nncli.probing.features import F64
from nncli.probing.pipeline import probe
from nncli.probing.rows import Layer, expanded, gather, rounding
from nncli.probing.tasks import Effort, Outcome, Part, Task
from nncli.similarity.structure.captured import layers_of


@dataclass(frozen=True)
class Elsewhere:
    """A further capture on which readers are scored.

    Attributes:
        name: Of the split.
        capture: The activations.
        start: Where its examples begin in the values of the targets.
        allowed: (n,) whether an example is none of the training part, which is known by its id.
    """

    name: str
    capture: Capture
    start: int
    allowed: NDArray[np.bool_]


@dataclass(frozen=True)
class Place:
    """A layer, or one position of it."""

    layer: str
    position: int | None


def probe_layer(
    capture: Capture,
    name: str,
    plan: Sequence[Design],
    effort: Effort,
    *,
    reduction: str,
    per_position: bool = False,
    elsewhere: Sequence[Elsewhere] = (),
) -> Iterator[tuple[Place, list[Outcome]]]:
    """Fit readers on one layer of a capture, or on each of its positions.

    Args:
        capture: The activations.
        name: The layer.
        plan: Targets and sides.
        effort: What is done beside.
        reduction: What becomes of positions.
        per_position: A probe for each position.
        elsewhere: Captures on which readers are scored too.

    Yields:
        The place, and its outcomes in the order of the targets.

    Raises:
        MismatchError: Examples have different numbers of positions, or another capture lacks the
            layer.
    """
    layer, each = matrix_of(capture, name, "positions" if per_position else reduction)
    others = [(one, *_same_layer(one.capture, name, layer, each, reduction)) for one in elsewhere]
    for position in range(each) if per_position else [None]:
        found: list[tuple[int, Outcome]] = []
        for design in plan:
            task = _task(layer, each, position, design)
            shifted = tuple(_part(one, other, each, position, design) for one, other in others)
            kept = tuple(one for one in shifted if len(one.x))
            made = [
                replace(one, examples=design.partition.test)
                for one in probe(replace(task, shifted=kept), design.readers, effort)
            ]
            order = [
                at for at, told in zip(design.places, design.readers, strict=True) for _ in told
            ]
            found += zip(order, made, strict=True)
        outcomes = [one for _, one in sorted(found, key=lambda pair: pair[0])]
        yield Place(name, position), outcomes


def matrix_of(capture: Capture, name: str, reduction: str) -> tuple[Layer, int]:
    """A layer as a matrix, and how many of its rows are of one example.

    Raises:
        MismatchError: Examples have different numbers of rows.
    """
    (layer,) = layers_of([capture], [[name]], reduction)[0]
    if layer.n % capture.n or not layer.each:
        raise MismatchError(
            f"examples of `{capture.name}` have different numbers of tokens in `{name}`",
            hint="`--reduce mean` takes the mean over the tokens that are not masked",
        )
    return layer, layer.n // capture.n


def _same_layer(
    capture: Capture, name: str, layer: Layer, each: int, reduction: str
) -> tuple[Layer]:
    if name not in capture.layers:
        raise MismatchError(f"`{capture.name}` has no layer `{name}`")
    other, own = matrix_of(capture, name, "positions" if each > 1 else reduction)
    if (other.d, own) != (layer.d, each):
        raise MismatchError(
            f"`{name}` has {layer.d} features in what readers are fitted on, {other.d} in "
            f"`{capture.name}`"
        )
    return (other,)


def _task(layer: Layer, each: int, position: int | None, design: Design) -> Task:
    sides = design.partition
    examples = np.concatenate([sides.train, sides.test])
    rows = expanded(examples, each, position)
    times = len(rows) // len(examples)
    return Task(
        x=gather(layer, rows),
        rounding=rounding(layer),
        train=len(sides.train) * times,
        folds=tuple(bound * times for bound in sides.folds),
        targets=design.targets,
        values=tuple(np.repeat(one.values[examples], times, axis=0) for one in design.targets),
        group=np.repeat(sides.group[examples], times),
        types=np.repeat(design.types[examples], times),
    )


def _part(one: Elsewhere, layer: Layer, each: int, position: int | None, design: Design) -> Part:
    n = one.capture.n
    known = design.targets[0].known[one.start : one.start + n]
    examples = np.flatnonzero(known & one.allowed)
    rows = expanded(examples, each, position)
    times = len(rows) // max(len(examples), 1)
    x: F64 = gather(layer, rows)
    values = tuple(np.repeat(t.values[one.start + examples], times, axis=0) for t in design.targets)
    return Part(one.name, x, values, np.repeat(examples, times))
