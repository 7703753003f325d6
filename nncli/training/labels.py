"""What is done to the training data before training: wrong labels and disjoint parts."""

import numpy as np
from numpy.typing import NDArray

from nncli.training.recipe import NOISE, PARTITION, substream


def with_label_noise(
    y: NDArray[np.int64], share: float, *, classes: int, seed: int
) -> NDArray[np.int64]:
    """Replace a share of the labels, each by one of the other classes with equal probability.

    Reference:
        Zhang et al., "Understanding deep learning requires rethinking generalization", 2017
        (there a noisy label may be the true one; here it never is, so `share` is the share of
        wrong labels).

    Args:
        y: Classes (n,).
        share: How many, 0 to 1; n times it is rounded to the nearest whole number.
        classes: Number of classes, at least 2.
        seed: Seed of the choice.

    Returns:
        The labels to train on (n,).

    Raises:
        ValueError: The share is no share, or there is no other class.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies in [0, 1], not {share}")
    if classes < 2:
        raise ValueError("labels cannot be replaced where there is one class only")
    random = np.random.default_rng(substream(seed, NOISE))
    rows = random.permutation(len(y))[: round(share * len(y))]
    noisy = y.copy()
    noisy[rows] = (y[rows] + random.integers(1, classes, len(rows))) % classes
    return noisy


def part_rows(n: int, part: int, parts: int, *, seed: int) -> NDArray[np.int64]:
    """The rows of one of several disjoint random parts, of equal size but for one row.

    Args:
        n: Number of rows to divide.
        part: Which part, from 1.
        parts: Number of parts.
        seed: Seed of the division; every part must be asked for with the same.

    Returns:
        Rows in rising order.

    Raises:
        ValueError: There is no such part, or it would be empty.
    """
    if not 1 <= part <= parts:
        raise ValueError(f"there is no part {part} of {parts}")
    if parts > n:
        raise ValueError(f"{n} examples cannot be divided into {parts} parts")
    shuffled = np.random.default_rng(substream(seed, PARTITION)).permutation(n)
    return np.sort(shuffled[part - 1 :: parts]).astype(np.int64)
