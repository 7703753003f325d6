"""How the examples of captures are divided, once for all layers that are probed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.probing.control_tasks import cells
from nncli.probing.features import Index, standardise
from nncli.probing.partition import Partition, divide, duplicates, together
from nncli.probing.rows import gather, rounding
from nncli.probing.settings import Chosen
from nncli.probing.targets import Target
from nncli.similarity.structure.captured import Captured, layers_of

READ = 256  # examples at once


class Capture(Captured, Protocol):
    """Activations of examples, of which the layers are known."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Their names."""

    @property
    def n(self) -> int:
        """How many examples."""


@dataclass(frozen=True)
class Design:
    """Targets that the same examples have, and how these are divided.

    Attributes:
        targets: The targets, of the examples of the captures first, then of each further one.
        places: Which of the targets asked for they are.
        readers: For each its readers.
        partition: The sides.
        types: (examples,) of the control task.
    """

    targets: tuple[Target, ...]
    places: tuple[int, ...]
    readers: tuple[tuple[Chosen, ...], ...]
    partition: Partition
    types: Index


def groups_of(capture: Capture, columns: Sequence[Sequence[Any]]) -> Index:
    """Which examples stay together: those of one group, and those seen twice.

    Args:
        capture: Of the examples.
        columns: A value an example each, such as its group.

    Returns:
        (n,) numbers.
    """
    same = np.zeros(capture.n, np.int64)
    for place, name in enumerate(capture.layers):
        if capture.shape(name)[0] % capture.n:
            continue  # a row for each token, as many as an example has
        same = duplicates(partial(_examples, capture, name), place, same)
        if int(same.max()) == capture.n - 1:
            break  # no two are alike
    return together([same, *columns])


def _examples(capture: Capture, name: str) -> Iterator[NDArray[Any]]:
    each = capture.shape(name)[0] // capture.n
    for at in range(0, capture.n, READ):
        block = capture.rows(name, at * each, min(at + READ, capture.n) * each)
        yield block.reshape(len(block) // each, -1)


def types_of(capture: Capture, *, least: int, seed: int) -> Index:
    """Types of examples for the control task, by the first layer that has a row for each."""
    for name in capture.layers:
        if capture.shape(name)[0] == capture.n:
            (layer,) = layers_of([capture], [[name]], "flatten")[0]
            x = gather(layer, np.arange(capture.n))
            standardise(x, len(x), rounding(layer))
            return cells(x, capture.n, least=least, seed=seed)
    return np.arange(capture.n)


def designs(
    targets: Sequence[Target],
    readers: Sequence[Sequence[Chosen]],
    group: Index,
    types: Index,
    *,
    share: float,
    folds: int,
    seed: int,
    source: str,
) -> list[Design]:
    """Divide the examples, once for all targets that the same examples have.

    Raises:
        ArtifactError: There are too few examples, or one class in the training part.
    """
    found: list[Design] = []
    n = len(group)
    keys = [one.known[:n].tobytes() for one in targets]
    for key in dict.fromkeys(keys):
        places = tuple(place for place, one in enumerate(keys) if one == key)
        mine = tuple(targets[place] for place in places)
        first = next((one for one in mine if one.kind == "classes"), None)
        partition = divide(
            group,
            None if first is None else first.values[:n],
            usable=mine[0].known[:n],
            share=share,
            folds=folds,
            seed=seed,
            source=source,
        )
        for one in mine:
            _demand_two(one, partition, source)
        told = tuple(tuple(readers[place]) for place in places)
        found.append(Design(mine, places, told, partition, types))
    return found


def _demand_two(target: Target, partition: Partition, source: str) -> None:
    there = np.unique(target.values[partition.train], axis=0)
    if len(there) < 2:
        raise ArtifactError(
            f"the training part of `{source}` has one value of `{target.name}` only",
            hint="fewer, smaller groups, or another `--seed`",
        )
