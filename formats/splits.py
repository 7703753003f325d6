"""Which rows of a source are its training rows and which its test rows.

A source that says so itself is believed. Any other is divided by one fixed rule: a quarter is the
test split, drawn class by class, by a hash of the row's place. The rule knows no seed, so that
everybody who names the same source means the same rows.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError, UsageError, closest

SPLITS = ("train", "test", "all")
PART_OF = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
PARTS = ("train", "validation", "test")


def demand_split(split: str, limit: int | None) -> None:
    """Refuse a split that there is not, and a limit that leaves nothing.

    Raises:
        UsageError: `split` is none of `SPLITS`, or `limit` is below 1.
    """
    if split not in SPLITS:
        raise UsageError(f"there is no split `{split}`; {closest(split, SPLITS)}")
    if limit is not None and limit < 1:
        raise UsageError(f"`--limit {limit}` leaves no rows", hint="give 1 or more")


def parts_of(split: str, available: Collection[str]) -> list[str]:
    """The parts of a source with its own split that make up a split.

    Args:
        split: One of `SPLITS`.
        available: The parts that the source has, among `PARTS`.

    Returns:
        The parts in the order of their rows: `test` is the test part, or the validation part of a
        source that has no test part; `all` is everything.
    """
    if split == "all":
        return [part for part in PARTS if part in available]
    if split == "test" and "test" not in available:
        split = "validation"
    return [split] if split in available else []


def choose_rows(
    count: int,
    *,
    classes: NDArray[np.int64] | None,
    own: NDArray[np.str_] | None,
    split: str,
    limit: int | None,
    source: str,
) -> NDArray[np.int64]:
    """Choose the rows of a split.

    Args:
        count: Rows of the source.
        classes: The class of each row (count,); `None` divides without strata.
        own: The source's own word on each row (count,), if it has one.
        split: One of `SPLITS`.
        limit: At most this many, the first ones of the split.
        source: The source, for the error.

    Returns:
        The places of the rows, ascending.

    Raises:
        ArtifactError: `own` holds a word that is not in `PART_OF`.
    """
    if own is not None:
        rows = _own_rows(own, split, source)
    elif split == "all":
        return np.arange(count if limit is None else min(count, limit), dtype=np.int64)
    else:
        test = draw_test_rows(count, classes)
        rows = np.flatnonzero(test if split == "test" else ~test)
    return rows[:limit].astype(np.int64, copy=False)


def _own_rows(own: NDArray[np.str_], split: str, source: str) -> NDArray[np.int64]:
    words, which = np.unique(own, return_inverse=True)
    parts = [PART_OF.get(word.lower(), "") for word in words.tolist()]
    if "" in parts:
        row = int(np.flatnonzero(which == parts.index(""))[0])
        raise ArtifactError(
            f"row {row} of `{source}` has the split `{own[row]}`, "
            "expected train, validation or test",
            hint="rename it, or drop those rows",
        )
    wanted = parts_of(split, set(parts))
    return np.flatnonzero(np.isin(parts, wanted)[which]).astype(np.int64)


def draw_test_rows(count: int, classes: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
    """Draw the test rows of a source without a split of its own.

    A quarter of all rows, rounded up, is divided among the classes by largest remainders (of equal
    ones the lower class first); a class gets at least one test row and keeps at least one training
    row if it has two rows, also where that makes the test split larger than a quarter. Classes of
    a single row are pooled. Within a class the rows with the smallest hash of their place are
    drawn.

    Args:
        count: Rows of the source.
        classes: The class of each row (count,), `None` for one stratum.

    Returns:
        A mask (count,), true for test rows.
    """
    strata, several = _stratify(count, classes)
    sizes = np.bincount(strata, minlength=several + 1)
    quotas = _test_quotas(sizes)
    order = np.lexsort((hash_places(count), strata))
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count) - starts[strata[order]]
    drawn: NDArray[np.bool_] = rank < quotas[strata]
    return drawn


def _stratify(count: int, classes: NDArray[np.int64] | None) -> tuple[NDArray[np.int64], int]:
    """Number the classes of two rows or more 0, 1, ...; the next number pools all other rows."""
    if classes is None:
        return np.zeros(count, np.int64), 0
    _, which, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    has_several = sizes > 1
    several = int(has_several.sum())
    return np.where(has_several, np.cumsum(has_several) - 1, several)[which], several


def _test_quotas(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Share out a quarter of the rows; each quota is less than one row off a quarter.

    Args:
        sizes: Rows of each stratum, the pool of single rows last.

    Returns:
        Test rows of each stratum.
    """
    count = int(sizes.sum())
    total = min((count + 3) // 4, count - 1)  # a single row is for training
    quotas = sizes // 4
    quotas[:-1] = np.maximum(quotas[:-1], 1)
    left = total - int(quotas.sum())
    if left > 0:
        by_remainder = np.argsort(-(sizes % 4), kind="stable")
        short = by_remainder[(4 * quotas < sizes)[by_remainder]]
        quotas[short[:left]] += 1
    return quotas


def hash_places(count: int) -> NDArray[np.uint64]:
    """Hash the places 0, ..., count - 1, the same on every machine.

    The finaliser of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
    generators"), a bijection of 64-bit integers, so there are no ties.
    """
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
