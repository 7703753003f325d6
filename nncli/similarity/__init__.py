"""How alike two representations of the same examples are, layer by layer.

The measures take two arrays, examples in rows: `linear_cka(x, y)`. Grids of layers, from memory or
from files, go through `compare`, which does the work of a layer once.
"""

from nncli.similarity.cca import cca, cca_r2, pwcca, svcca
from nncli.similarity.cka import linear_cka
from nncli.similarity.grid import Comparison, all_pairs, compare, same_named
from nncli.similarity.layers import Layer, layer_of
from nncli.similarity.procrustes import procrustes
from nncli.similarity.reduction import REDUCTIONS, Raw, reduce
from nncli.similarity.registry import METRICS, Metric
from nncli.similarity.scores import Score, Settings

__all__ = [
    "METRICS",
    "REDUCTIONS",
    "Comparison",
    "Layer",
    "Metric",
    "Raw",
    "Score",
    "Settings",
    "all_pairs",
    "cca",
    "cca_r2",
    "compare",
    "layer_of",
    "linear_cka",
    "procrustes",
    "pwcca",
    "reduce",
    "same_named",
    "svcca",
]
