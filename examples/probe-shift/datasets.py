"""The digits by the forms they were written on, corrupted ones, and those of another source.

    python datasets.py [mnist_5k.csv.gz]

The 1,797 digits are fourteen forms one after another: their labels are the same text of 130 digits
fourteen times (0123456789 three times, then 0955650989841...), with a few missing. Another form is
another hand. `train.npz` has three quarters of the images of the first ten forms, `images.npz` the
rest of them, `noise-1.npz`, `noise-3.npz` and `noise-5.npz` that rest with noise added; `hands.npz`
has the other four forms; `mnist.npz` 2,000 digits of MNIST, which other people wrote elsewhere,
brought into the same shape.
"""

import gzip
import sys

import numpy as np
from PIL import Image

from nncli.corruptions import corrupt
from nncli.formats.datasets import load

FORMS = (0, 130, 256, 386, 516, 646, 776, 905, 1029, 1157, 1287, 1415, 1541, 1667, 1797)
OWN = FORMS[10]
MNIST = 2000


def bitmap_counts(image):
    """An image as the digits are: 32 bits high, then how many bits are set in each 4x4 block.

    The makers of the digits did so with what they had scanned; the width is kept in proportion.
    """
    ink = image > 127
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    box = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    width = min(32, max(1, round(box.shape[1] * 32 / box.shape[0])))
    bits = np.zeros((32, 32), bool)
    left = (32 - width) // 2
    bits[:, left : left + width] = np.asarray(Image.fromarray(box).resize((width, 32), 2)) > 127
    return bits.reshape(8, 4, 8, 4).sum(axis=(1, 3)) / 16


def read_mnist(path):
    """2,000 images and their labels, from all over the file, which is sorted by class."""
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    table = table[np.linspace(0, len(table), min(MNIST, len(table)), endpoint=False).astype(int)]
    images = table[:, :-1].reshape(-1, 28, 28)
    return np.stack([bitmap_counts(one) for one in images]), table[:, -1]


def save(name, x, y, example_id):
    """Write a dataset of images (n, 1, 8, 8) with values in [0, 1]."""
    x, y = x.astype(np.float32), y.astype(np.int64)
    np.savez(f"{name}.npz", x=x, y=y, example_id=example_id)


def main(path=None):
    """Write the datasets; MNIST if its file is given."""
    digits = load("digits", split="all")
    x, y, place = digits.x, digits.y, np.arange(len(digits.y))
    own, held = place < OWN, np.random.default_rng(0).random(len(y)) < 0.25
    for name, which in (("train", own & ~held), ("images", own & held), ("hands", ~own)):
        save(name, x[which], y[which], place[which])
    for severity in (1, 3, 5):
        noisy = corrupt(x[own & held], "gaussian-noise", severity)
        save(f"noise-{severity}", noisy, y[own & held], place[own & held])
    if path:
        images, labels = read_mnist(path)
        save("mnist", images[:, None], labels, len(y) + np.arange(len(labels)))


if __name__ == "__main__":
    main(*sys.argv[1:])
