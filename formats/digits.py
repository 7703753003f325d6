"""The embedded data: handwritten digits, so that every command can be tried without a download.

1,797 grey images of 8x8 pixels with 17 levels: the test file of the UCI "Optical Recognition of
Handwritten Digits" as carried by scikit-learn (E. Alpaydin & C. Kaynak 1998, UCI Machine Learning
Repository, https://doi.org/10.24432/C50P49), licensed CC BY 4.0.
"""

from pathlib import Path

import numpy as np

from nncli.formats.dataset_rows import Rows
from nncli.formats.splits import choose_rows

NAME = "digits"
WHITE = 16


def read_digits(split: str, limit: int | None) -> Rows:
    """Read rows of the digits.

    Args:
        split: `train` (1,347 rows), `test` (450) or `all`.
        limit: At most this many rows, the first ones of the split.

    Returns:
        The rows; x is (n, 1, 8, 8) float32, the grey levels divided by 16.
    """
    with np.load(Path(__file__).with_name("digits.npz")) as stored:
        pixels, classes = stored["x"], stored["y"].astype(np.int64)
    rows = choose_rows(
        len(pixels), classes=classes, own=None, split=split, limit=limit, source=NAME
    )
    x = pixels[rows].astype(np.float32) / np.float32(WHITE)
    return Rows(places=rows, x=x, y=classes[rows], classes=10, nchw=True)
