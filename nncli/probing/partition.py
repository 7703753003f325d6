"""Which examples a reader is fitted on and which it is scored on; nothing is on both sides.

What belongs together stays together: examples of one group, examples whose activations are the
same, and all rows of one example.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError

F64 = NDArray[np.float64]
Index = NDArray[np.int64]

SAME = 1e-6  # two rows are one example if they agree to this, relative to the spread of the layer
PROJECTIONS = 3
SLACK = 0.05  # of its size, that a side may have too much so that classes come out even


@dataclass(frozen=True)
class Partition:
    """The two sides, and the folds of the first.

    Attributes:
        train: Examples that readers are fitted on, ordered by fold.
        test: Examples that they are scored on, in the order of the capture.
        folds: Bounds of the folds in `train`.
        group: (examples,) which ones stay together, of all examples of the capture.
    """

    train: Index
    test: Index
    folds: tuple[int, ...]
    group: Index


def duplicates(
    read: Callable[[], Iterable[NDArray[np.floating]]], place: int, same: Index
) -> Index:
    """Tell apart examples whose activations differ in one more layer.

    Rows are projected on random directions; those whose projections agree to a millionth of their
    spread, in all layers, are taken for the same example seen twice.

    Args:
        read: Gives the rows of the layer, in blocks, (rows, d).
        place: Which layer it is.
        same: (n,) the same number for examples that were the same so far.

    Returns:
        (n,) the same number for examples that still are.
    """
    for values in _projections(read(), place).T:
        same = _refine(same, values)
    return same


def _projections(blocks: Iterable[NDArray[np.floating]], place: int) -> F64:
    directions: F64 | None = None
    found = []
    for block in blocks:
        flat = block.reshape(len(block), -1).astype(np.float64)
        if directions is None:
            draw = np.random.default_rng([place, 0x6475])
            directions = draw.standard_normal((flat.shape[1], PROJECTIONS))
        found.append(flat @ directions)
    return np.concatenate(found)


def _refine(same: Index, values: F64) -> Index:
    """Split groups where the sorted values leave a gap."""
    order = np.lexsort((values, same))
    gap = np.diff(values[order]) > SAME * values.std()
    fresh = (np.diff(same[order]) > 0) | gap
    numbers = np.empty_like(same)
    numbers[order] = np.concatenate([[0], np.cumsum(fresh)])
    return numbers


def together(columns: Sequence[Sequence[Any] | NDArray[Any]]) -> Index:
    """Join examples that share a value in any column.

    Args:
        columns: A value an example each.

    Returns:
        (n,) numbers from 0 on, the same for examples that hang together.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    codes = [np.unique(np.asarray(one), return_inverse=True)[1] for one in columns]
    n, offset = len(codes[0]), 0
    left, right = [], []
    for code in codes:
        left.append(np.arange(n))
        right.append(n + offset + code)
        offset += int(code.max()) + 1
    edges = np.concatenate(left), np.concatenate(right)
    size = n + offset
    graph = coo_matrix((np.ones(len(edges[0]), np.int8), edges), shape=(size, size))
    found = connected_components(graph, directed=False)[1][:n]
    return _by_first(found)


def _by_first(numbers: NDArray[Any]) -> Index:
    """Renumber by first occurrence."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def divide(
    group: Index,
    classes: Index | None,
    *,
    usable: NDArray[np.bool_],
    share: float,
    folds: int,
    seed: int,
    source: str,
) -> Partition:
    """Divide examples into a training part with folds, and a test part.

    Groups are dealt in random order, those of rare classes first, each to the side that lacks its
    classes most, so that all sides have the classes in nearly the same shares.

    Args:
        group: (n,) which examples stay together.
        classes: (n,) the classes, `None` for numbers.
        usable: (n,) the examples that have a target.
        share: Of the examples, for the test part.
        folds: How many folds the training part has.
        seed: Of the order.
        source: The capture, for errors.

    Returns:
        The partition.

    Raises:
        ArtifactError: There are too few groups.
    """
    examples = np.flatnonzero(usable)
    numbers, own = np.unique(group[examples], return_inverse=True)
    if len(numbers) < folds + 1:
        raise ArtifactError(
            f"`{source}` has {len(numbers)} group{'s' * (len(numbers) > 1)} of examples that "
            f"differ, too few for a test part and {folds} folds",
            hint="examples with the same activations in every layer, or of one group, stay "
            "together; `--folds` asks for fewer",
        )
    counts = _counts(own, None if classes is None else classes[examples])
    chance = np.random.default_rng([seed, 0x7370])
    shares = np.array([share, *([(1 - share) / folds] * folds)])
    side = _deal(counts, shares, chance)
    of = side[own]
    parts = [examples[of == one] for one in range(folds + 1)]
    bounds = np.concatenate([[0], np.cumsum([len(one) for one in parts[1:]])])
    return Partition(np.concatenate(parts[1:]), parts[0], tuple(bounds.tolist()), group)


def _counts(own: Index, classes: Index | None) -> F64:
    """Examples of each class in each group, (groups, classes)."""
    kinds = np.zeros(len(own), np.int64) if classes is None else classes
    found = np.zeros((int(own.max()) + 1, int(kinds.max()) + 1))
    np.add.at(found, (own, kinds), 1)
    return found


def _deal(counts: F64, shares: F64, chance: np.random.Generator) -> Index:
    """The side of each group: where its classes are missing most, among those that are not full.

    A class with fewer examples than there are sides misses one most on the largest side, always:
    many of them would all go there.
    """
    total, sizes = counts.sum(axis=0), counts.sum(axis=1)
    room = shares * total.sum() * (1 + SLACK) + (total >= len(shares)).sum()
    # large groups first, which fit nowhere later; then the rare classes, which need care
    rarity = np.where(counts > 0, total, np.inf).min(axis=1)
    order = np.lexsort((chance.random(len(counts)), rarity, -sizes))
    lacking, side = shares[:, None] * total, np.empty(len(counts), np.int64)
    luck = chance.random((len(counts), len(shares))) * 1e-9
    for one in order:
        mine = counts[one]
        here = np.flatnonzero(mine)
        need = (lacking[:, here] / total[here]) @ mine[here] + luck[one]
        full = room < sizes[one]
        side[one] = int((need if full.all() else np.where(full, -np.inf, need)).argmax())
        lacking[side[one], here] -= mine[here]
        room[side[one]] -= sizes[one]
    return _fill(side, counts, len(shares))


def _fill(side: Index, counts: F64, sides: int) -> Index:
    """Give every side a group at least."""
    sizes = np.bincount(side, minlength=sides)
    for empty in np.flatnonzero(sizes == 0):
        rich = int(sizes.argmax())
        moved = min(np.flatnonzero(side == rich), key=lambda one: counts[one].sum())
        side[moved] = empty
        sizes[rich] -= 1
        sizes[empty] += 1
    return side
