"""How the models of an ensemble hang together: partitions of the data, and seeds within seeds.

Models of one partition were trained on disjoint parts, and so are independent. Models of different
partitions share examples, and are never pooled: what is estimated is estimated in each partition,
and averaged. Within a partition models form a tree: parts or outer seeds, and in each of them inner
seeds (fine-tunings of one pretraining, say), to any depth. The outermost level are the *units*,
which are independent of one another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError, UsageError

F64 = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Tree:
    """The models of one partition.

    Attributes:
        models: (n,) places of the models, ordered so that those of a branch are neighbours.
        branches: For each level but the outermost, innermost first, where the children of each
            node begin among the nodes below.
        units: How many outermost nodes there are.
    """

    models: Codes
    branches: tuple[Codes, ...]
    units: int

    @property
    def flat(self) -> bool:
        """Whether every model is a unit."""
        return not self.branches


@dataclass(frozen=True)
class Ensemble:
    """Models that answer the same examples.

    Attributes:
        trees: One for each partition.
        levels: What the levels are called, outermost first; empty if models are just models.
    """

    trees: tuple[Tree, ...]
    levels: tuple[str, ...] = ()

    @property
    def models(self) -> int:
        """How many models there are in all partitions."""
        return sum(len(one.models) for one in self.trees)


def grow(
    partition: Sequence[Any],
    levels: Sequence[tuple[str, Sequence[Any]]],
    names: Sequence[str],
    *,
    where: str = "",
) -> Ensemble:
    """Arrange models by what is recorded of them.

    Args:
        partition: For each model the partition it belongs to.
        levels: Outermost first, the name of each level and its value for each model; a level in
            which nothing differs is passed over.
        names: What the models are called, for errors.
        where: Which of several ensembles this is, for errors, such as ` at width 64`.

    Returns:
        The ensemble.

    Raises:
        UsageError: There is but one model, or but one unit.
        ArtifactError: Two models are the same node, or a branch has a single child where others
            have more.
    """
    _demand_two(len(names), where)
    kept = [(name, list(values)) for name, values in levels if len(set(values)) > 1]
    groups = _grouped(partition, range(len(names)))
    trees = [_tree(one, kept, names, where) for one in groups]
    kept = [one for place, one in enumerate(kept) if any(place in used for _, used in trees)]
    depths = {used for _, used in trees}
    if len(depths) > 1:
        raise ArtifactError(
            f"partitions{where} are not divided alike: some have several of what others have once"
        )
    return Ensemble(tuple(one for one, _ in trees), tuple(name for name, _ in kept))


def _demand_two(count: int, where: str) -> None:
    if count < 2:
        raise UsageError(
            f"there is one model{where}: variance is between models, two or more are needed",
            hint="predictions of several seeds or parts: `nncli train --part 1..4/4 -o runs/`, "
            "`nncli predict runs/`",
        )


def _grouped(values: Sequence[Any], places: Sequence[int]) -> list[list[int]]:
    """Places of equal values, by first appearance."""
    found: dict[Any, list[int]] = {}
    for place in places:
        found.setdefault(values[place], []).append(place)
    return list(found.values())


def _tree(
    places: list[int],
    levels: Sequence[tuple[str, list[Any]]],
    names: Sequence[str],
    where: str,
) -> tuple[Tree, tuple[int, ...]]:
    """The tree of one partition, and which levels it has."""
    nodes, sizes = [places], list[list[int]]()
    used: list[int] = []
    for place, (name, values) in enumerate(levels):
        children = [_grouped(values, node) for node in nodes]
        counts = {len(one) for one in children}
        last = place == len(levels) - 1
        if counts == {1} and not last:
            continue
        if counts == {1} and used:
            continue
        if 1 in counts and len(counts) > 1:
            alone = next(one[0][0] for one in children if len(one) == 1)
            raise ArtifactError(
                f"`{names[alone]}`{where} is alone with its `{name}`, where others have several",
                hint="a variance within needs two or more in each: leave those models out",
            )
        used.append(place)
        sizes.append([len(one) for one in children])
        nodes = [node for one in children for node in one]
    if levels and any(len(node) > 1 for node in nodes):
        _refuse_equals(next(node for node in nodes if len(node) > 1), levels, names, where)
    if not sizes:
        sizes, nodes = [[len(places)]], [[one] for one in places]
    units = sizes[0][0]
    _demand_two(units, where)
    branches = [np.concatenate([[0], np.cumsum(one)[:-1]]).astype(np.int64) for one in sizes[1:]]
    models = np.array([node[0] for node in nodes], np.int64)
    return Tree(models, tuple(reversed(branches)), units), tuple(used)


def _refuse_equals(
    node: list[int], levels: Sequence[tuple[str, list[Any]]], names: Sequence[str], where: str
) -> None:
    told = ", ".join(f"{name} {values[node[0]]}" for name, values in levels)
    raise ArtifactError(
        f"`{names[node[0]]}` and `{names[node[1]]}`{where} have the same {told}",
        hint="what tells them apart? `--by` keeps them apart (`--by file`, `--by arch`), "
        "`--nested` names the levels of seeds",
    )


def collapse(values: F64, branch: Codes) -> F64:
    """The mean over the children of each node.

    Args:
        values: (..., nodes, B).
        branch: Where the children of each parent begin.

    Returns:
        (..., parents, B).
    """
    counts = children(branch, values.shape[-2])
    total: F64 = np.add.reduceat(values, branch, axis=-2)
    return total / counts[:, None]


def children(branch: Codes, below: int) -> Codes:
    """How many children each node has.

    Args:
        branch: Where they begin.
        below: How many there are in all.
    """
    return np.diff(np.append(branch, below))
