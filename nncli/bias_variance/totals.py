"""Sums of statistics over blocks of examples, from which estimates and their errors follow."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nncli.bias_variance.clusters import Codes, sum_over
from nncli.bias_variance.statistics import Name, Statistic

F64 = NDArray[np.float64]


class Totals:
    """What is kept of the statistics of one partition.

    Attributes:
        n: How many examples.
        units: How many units.
        values: For each quantity (n,) the estimate at each example.
        mean_squares: For each quantity the sum over examples of the squared mean pseudo-value.
        unit_sums: For each quantity (U,) the sum over examples of the pseudo-values of each unit.
        squares: For each quantity the sum of all squared pseudo-values.
        clusters: (n,) the group of each example, from 0; `None` if each is its own.
        cluster_sums: For each quantity (U, G) sums over each group of the pseudo-values of each
            unit; empty without groups.
    """

    def __init__(self, n: int, units: int, clusters: Codes | None = None) -> None:
        self.n, self.units, self.clusters = n, units, clusters
        self.cluster_sums: dict[Name, F64] = {}
        self._count = 0 if clusters is None else int(clusters.max()) + 1
        self.values: dict[Name, F64] = {}
        self.mean_squares: dict[Name, float] = {}
        self.unit_sums: dict[Name, F64] = {}
        self.squares: dict[Name, float] = {}

    def add(self, start: int, found: Mapping[Name, Statistic]) -> None:
        """Take a block.

        Args:
            start: The place of its first example.
            found: Its statistics, the same quantities in every block.
        """
        for name, one in found.items():
            stop = start + len(one.value)
            self.values.setdefault(name, np.empty(self.n))[start:stop] = one.value
            if one.pseudo is None:
                continue
            means = one.pseudo.mean(axis=0)
            self.mean_squares[name] = self.mean_squares.get(name, 0.0) + float(means @ means)
            sums = self.unit_sums.setdefault(name, np.zeros(self.units))
            sums += one.pseudo.sum(axis=1)
            flat = np.ascontiguousarray(one.pseudo).reshape(-1)
            self.squares[name] = self.squares.get(name, 0.0) + float(flat @ flat)
            if self.clusters is not None:
                own, there = sum_over(one.pseudo, self.clusters[start:stop])
                if name not in self.cluster_sums:
                    self.cluster_sums[name] = np.zeros((self.units, self._count))
                self.cluster_sums[name][:, there] += own
