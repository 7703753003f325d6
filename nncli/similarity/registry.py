"""The measures that `nncli compare` knows, as a dictionary to be read."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from nncli.similarity.cca import (
    cca,
    cca_grid,
    cca_r2,
    cca_r2_grid,
    pwcca,
    pwcca_grid,
    svcca,
    svcca_grid,
)
from nncli.similarity.cka import angular_cka, angular_cka_grid, linear_cka, linear_cka_grid
from nncli.similarity.procrustes import (
    procrustes,
    procrustes_angular,
    procrustes_angular_grid,
    procrustes_grid,
    procrustes_size_shape,
    procrustes_size_shape_grid,
)
from nncli.similarity.regression import gulp, gulp_grid, linear_r2, linear_r2_grid
from nncli.similarity.scores import Grid
from nncli.similarity.unbiased_cka import (
    cka_lange,
    cka_lange_grid,
    debiased_cka,
    debiased_cka_grid,
)

SHIFT, SCALE, PERMUTATION = "shift", "scale", "permutation"
ROTATION, LINEAR = "rotation", "linear"


@dataclass(frozen=True)
class Metric:
    """One measure of how alike two layers are.

    Attributes:
        name: The name on the command line and in tables.
        what: One line of which quantity it is, convention included.
        kind: `similarity` (larger is more alike) or `distance`.
        low: The least value there is.
        high: The largest value there is; infinite for a distance without a bound.
        symmetric: Whether exchanging the two layers changes nothing.
        invariances: What may be done to either layer without changing the value: `shift` (add a
            constant row), `scale` (multiply all by one number), `permutation` (of features),
            `rotation` (any orthogonal map of features), `linear` (any invertible map of features).
        paper: Where it comes from.
        function: The measure on two arrays (n, d1) and (n, d2).
        grid: The measure on many pairs of layers, the work of each layer done once.
        columns: Columns it adds to the table.
    """

    name: str
    what: str
    kind: str
    low: float
    high: float
    symmetric: bool
    invariances: frozenset[str]
    paper: str
    function: Callable[..., float]
    grid: Grid
    columns: tuple[str, ...] = ()

    def summary(self) -> dict[str, str | float | bool]:
        """What a reader of its values should know, as one row of a table."""
        return {
            "metric": self.name,
            "what": self.what,
            "kind": self.kind,
            "low": self.low,
            "high": self.high,
            "symmetric": self.symmetric,
            "unchanged_by": ", ".join(sorted(self.invariances)),
            "paper": self.paper,
        }


_ALL = (
    Metric(
        name="linear-cka",
        what="linear centred kernel alignment with the biased HSIC (the RV coefficient)",
        kind="similarity",
        low=0.0,
        high=1.0,
        symmetric=True,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION, ROTATION}),
        paper="Kornblith et al. 2019",
        function=linear_cka,
        grid=linear_cka_grid,
    ),
    Metric(
        name="debiased-cka",
        what="linear CKA with the unbiased HSIC of Song et al. throughout; may be negative",
        kind="similarity",
        low=-1.0,
        high=1.0,
        symmetric=True,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION, ROTATION}),
        paper="Song et al. 2012; Nguyen et al. 2021",
        function=debiased_cka,
        grid=debiased_cka_grid,
    ),
    Metric(
        name="cka-lange",
        what="linear CKA without the diagonals of the centred Gram matrices; may be negative",
        kind="similarity",
        low=-1.0,
        high=1.0,
        symmetric=True,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION, ROTATION}),
        paper="Lange et al. 2023",
        function=cka_lange,
        grid=cka_lange_grid,
    ),
    Metric(
        name="angular-cka",
        what="arccos of linear-cka, in radians",
        kind="distance",
        low=0.0,
        high=math.pi / 2,
        symmetric=True,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION, ROTATION}),
        paper="Williams et al. 2021",
        function=angular_cka,
        grid=angular_cka_grid,
    ),
    Metric(
        name="svcca",
        what="mean canonical correlation of what holds 99 % (--variance) of the variance",
        kind="similarity",
        low=0.0,
        high=1.0,
        symmetric=True,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION, ROTATION}),
        paper="Raghu et al. 2017",
        function=svcca,
        grid=svcca_grid,
        columns=("dims_a", "dims_b"),
    ),
    Metric(
        name="pwcca",
        what="canonical correlations weighted by what they make up of A; `reverse`: of B",
        kind="similarity",
        low=0.0,
        high=1.0,
        symmetric=False,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION}),
        paper="Morcos et al. 2018",
        function=pwcca,
        grid=pwcca_grid,
        columns=("reverse", "dims_a", "dims_b"),
    ),
    Metric(
        name="cca",
        what="mean canonical correlation, over the smaller rank",
        kind="similarity",
        low=0.0,
        high=1.0,
        symmetric=True,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION, ROTATION, LINEAR}),
        paper="Hotelling 1936; Raghu et al. 2017",
        function=cca,
        grid=cca_grid,
        columns=("dims_a", "dims_b"),
    ),
    Metric(
        name="cca-r2",
        what="mean squared canonical correlation, over the smaller rank",
        kind="similarity",
        low=0.0,
        high=1.0,
        symmetric=True,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION, ROTATION, LINEAR}),
        paper="Yanai 1974",
        function=cca_r2,
        grid=cca_r2_grid,
        columns=("dims_a", "dims_b"),
    ),
    Metric(
        name="procrustes",
        what="squared Procrustes distance of centred matrices of unit Frobenius norm",
        kind="distance",
        low=0.0,
        high=2.0,
        symmetric=True,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION, ROTATION}),
        paper="Schönemann 1966; Ding et al. 2021",
        function=procrustes,
        grid=procrustes_grid,
    ),
    Metric(
        name="procrustes-angular",
        what="arccos of the nuclear norm of X'Y of centred matrices of unit norm, in radians",
        kind="distance",
        low=0.0,
        high=math.pi / 2,
        symmetric=True,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION, ROTATION}),
        paper="Williams et al. 2021",
        function=procrustes_angular,
        grid=procrustes_angular_grid,
    ),
    Metric(
        name="procrustes-size-shape",
        what="Procrustes distance of centred matrices without scaling, not squared",
        kind="distance",
        low=0.0,
        high=math.inf,
        symmetric=True,
        invariances=frozenset({SHIFT, PERMUTATION, ROTATION}),
        paper="Williams et al. 2021",
        function=procrustes_size_shape,
        grid=procrustes_size_shape_grid,
    ),
    Metric(
        name="linear-r2",
        what="share of the variance of A that a least-squares fit on B explains; `reverse`: of B",
        kind="similarity",
        low=0.0,
        high=1.0,
        symmetric=False,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION, ROTATION}),
        paper="Kornblith et al. 2019",
        function=linear_r2,
        grid=linear_r2_grid,
        columns=("reverse", "dims_a", "dims_b"),
    ),
    Metric(
        name="gulp",
        what="squared GULP distance, total variance 1 and a ridge penalty of 0.01",
        kind="distance",
        low=0.0,
        high=math.inf,
        symmetric=True,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION, ROTATION}),
        paper="Boix-Adsera et al. 2022",
        function=gulp,
        grid=gulp_grid,
        columns=("dims_a", "dims_b"),
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
DEFAULT = "linear-cka"
