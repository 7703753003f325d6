"""Which cases judge which: folds to fit and choose on, and a part that is kept for the report."""

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError

Index = NDArray[np.int64]

REPORT = -1


def deal(units: Index, shares: list[float], chance: np.random.Generator) -> Index:
    """Deal cases to sides at random; those that belong together go to the same one.

    Args:
        units: (n,) numbers, the same for cases that belong together.
        shares: Of each side; they sum to 1.
        chance: Where the order comes from.

    Returns:
        (n,) the side of each case. Every side has one at least, if there are enough to go round.
    """
    numbers, own = np.unique(units, return_inverse=True)
    order = chance.permutation(len(numbers))
    sizes = np.bincount(own)[order]
    middle = (np.cumsum(sizes) - sizes / 2) / len(units)
    side = np.searchsorted(np.cumsum(shares)[:-1], middle, side="right")
    for one in range(len(shares)):  # few and large units leave gaps
        if len(numbers) >= len(shares) and not (side == one).any():
            counts = np.bincount(side, minlength=len(shares))
            side[np.flatnonzero(side == counts.argmax())[-1]] = one
    found = np.empty(len(numbers), np.int64)
    found[order] = side
    return found[own]


def divide_cases(
    n: int, together: Index | None, *, report: float, folds: int, seed: int, source: str
) -> Index:
    """Divide cases into folds, on which a split is chosen, and a part on which it is reported.

    Args:
        n: How many cases.
        together: (n,) the same number for cases that are no independent ones, if there are such.
        report: The share of the part for the report; 1 to choose and report on all cases.
        folds: How many folds the rest has.
        seed: Of the order.
        source: The file, for errors.

    Returns:
        (n,) the fold of each case, from 0 on; `REPORT` in the part that is kept.

    Raises:
        ArtifactError: There are too few cases.
    """
    units = np.arange(n) if together is None else together
    count = len(np.unique(units))
    shares = [1 / folds] * folds if report >= 1 else [report, *([(1 - report) / folds] * folds)]
    if count < len(shares):
        raise ArtifactError(
            f"`{source}` has {count} independent cases that people have read, too few for {folds} "
            "folds" + ("" if report >= 1 else " and a part for the report"),
            hint="`--folds` asks for fewer",
        )
    side = deal(units, shares, np.random.default_rng([seed, 0x7472]))
    return side if report >= 1 else side - 1
