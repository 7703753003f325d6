"""Two-level lattices of `verify_families.py`, whose values are known."""

import numpy as np
from verify_family_cases import Case, dense


def lattice(count, sets, generator):
    """max over sets of min over their linear functions, by pairs of ReLUs layer by layer."""
    slopes, offsets = generator.normal(size=(count, 2)), generator.normal(size=count)
    chosen = [generator.choice(count, max(2, count // 2), replace=False) for _ in range(sets)]
    width = 1 << int(np.ceil(np.log2(len(chosen[0]))))
    places = np.concatenate([np.resize(one, width) for one in chosen])
    matrix, bias = slopes[places], offsets[places]
    layers, total = [], len(places)

    def halved(sign):  # min or max of neighbours a, b from relu(a-b), relu(b), relu(-b)
        nonlocal matrix, bias, total
        half = total // 2
        first, second = np.zeros((half, total)), np.zeros((half, total))
        first[np.arange(half), 2 * np.arange(half)] = 1
        second[np.arange(half), 2 * np.arange(half) + 1] = 1
        spread = np.vstack([sign * (first - second), second, -second])
        layers.append((spread @ matrix, spread @ bias))
        one = np.eye(half)
        matrix, bias, total = np.hstack([sign * one, one, -one]), np.zeros(half), half

    while total > sets:
        halved(-1)
    if total & (total - 1):
        size = 1 << int(np.ceil(np.log2(total)))
        again = np.zeros((size, total))
        again[np.arange(size), np.arange(size) % total] = 1
        matrix, bias, total = again @ matrix, again @ bias, size
    while total > 1:
        halved(1)
    layers.append((matrix, bias))
    functions = (slopes, offsets, chosen)
    return layers, functions


def lattices():
    """Two-level lattices of two inputs; the least and the greatest value are known from a grid."""
    cases = []
    for size in (8, 16, 24):
        for seed in range(2):
            generator = np.random.default_rng(100 * size + seed)
            layers, (slopes, offsets, chosen) = lattice(size, size, generator)
            network = dense(layers)
            side = np.linspace(-2, 2, 401)
            points = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
            values = points @ slopes.T + offsets
            grid = np.max([values[:, one].min(1) for one in chosen], 0)
            low, high = float(grid.min()), float(grid.max())
            room = 0.02 * float(
                np.linalg.norm(slopes, axis=1).max()
            )  # beyond any point of the grid
            box = np.full(2, -2.0), np.full(2, 2.0)
            for tag, condition, expected in (
                ("above", (0, ">=", high + room), "verified"),
                ("reached", (0, ">=", high - 1e-3), "violated"),
                ("below", (0, "<=", low - room), "verified"),
            ):
                cases.append(
                    Case(f"lattice{size}_{seed}_{tag}", network, ((box, (condition,)),), expected)
                )
    return cases
