"""Digits that a network learns from, digits that it is tried on, and seven people who read those.

The people are made up: some are good, some are not, and all of them err more on digits that are
written faintly or look like another one. What a network finds hard is another matter.

    python readers.py few.npz cases.npz ratings.parquet
"""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nncli.formats.datasets import load

LEARNT = 400
SKILL = np.array([-3.4, -3.0, -2.6, -2.2, -1.8, -1.4, -1.0])  # log odds of an error, usual digit
READINGS = 5  # each digit is read by five of the seven


def main(few: str, cases: str, ratings: str) -> None:
    """Write the three files."""
    data, chance = load("digits"), np.random.default_rng(0)
    x, y = data.x.reshape(len(data.x), -1).astype(np.float64), data.y
    order = chance.permutation(len(y))
    seen, rest = order[:LEARNT], np.sort(order[LEARNT:])
    np.savez(few, x=x[seen].astype(np.float32), y=y[seen])
    np.savez(cases, x=x[rest].astype(np.float32), y=y[rest], example_id=rest)

    means = np.stack([x[y == digit].mean(axis=0) for digit in range(10)])
    far = ((x[rest, None] - means) ** 2).sum(axis=2)
    own = far[np.arange(len(rest)), y[rest]]
    far[np.arange(len(rest)), y[rest]] = np.inf
    like, near = far.argmin(axis=1), own - far.min(axis=1)
    faint = -x[rest].sum(axis=1)
    hard = 0.8 * standard(near) + 1.2 * standard(faint)
    rows = []
    for place, case in enumerate(rest):
        for reader in chance.permutation(len(SKILL))[:READINGS]:
            wrong = chance.random() < 1 / (1 + np.exp(-(SKILL[reader] + hard[place])))
            rows.append((case, f"reader-{reader}", like[place] if wrong else y[case]))
    names = ("example_id", "rater_id", "label")
    pq.write_table(pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))), ratings)


def standard(values: np.ndarray) -> np.ndarray:
    """Values with mean 0 and standard deviation 1."""
    return (values - values.mean()) / values.std()


if __name__ == "__main__":
    main(*sys.argv[1:])
