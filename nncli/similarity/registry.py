"""The measures that `nncli compare` knows, as a dictionary to be read."""

from collections.abc import Callable
from dataclasses import dataclass

from nncli.similarity.cca import pwcca, pwcca_grid, svcca, svcca_grid
from nncli.similarity.cka import linear_cka, linear_cka_grid
from nncli.similarity.procrustes import procrustes, procrustes_grid
from nncli.similarity.scores import Grid

SHIFT, SCALE, PERMUTATION = "shift", "scale", "permutation"
ROTATION, LINEAR = "rotation", "linear"


@dataclass(frozen=True)
class Metric:
    """One measure of how alike two layers are.

    Attributes:
        name: The name on the command line and in tables.
        title: One line of what it is.
        kind: `similarity` (larger is more alike) or `distance`.
        low: The least value there is.
        high: The largest value there is.
        symmetric: Whether exchanging the two layers changes nothing.
        invariances: What may be done to either layer without changing the value: `shift` (add a
            constant row), `scale` (multiply all by one number), `permutation` (of features),
            `rotation` (any orthogonal map of features), `linear` (any invertible map of features).
        convention: Which of the quantities that go by this name it is.
        paper: Where it comes from.
        function: The measure on two arrays (n, d1) and (n, d2).
        grid: The measure on many pairs of layers, the work of each layer done once.
        columns: Columns it adds to the table.
    """

    name: str
    title: str
    kind: str
    low: float
    high: float
    symmetric: bool
    invariances: frozenset[str]
    convention: str
    paper: str
    function: Callable[..., float]
    grid: Grid
    columns: tuple[str, ...] = ()

    def summary(self) -> dict[str, str | float | bool]:
        """What a reader of its values should know, as one row of a table."""
        return {
            "metric": self.name,
            "what": self.title,
            "kind": self.kind,
            "low": self.low,
            "high": self.high,
            "symmetric": self.symmetric,
            "unchanged_by": ", ".join(sorted(self.invariances)),
            "adds": ", ".join(self.columns),
            "convention": self.convention,
            "paper": self.paper,
        }


_ALL = (
    Metric(
        name="linear-cka",
        title="linear centred kernel alignment (equals the RV coefficient)",
        kind="similarity",
        low=0.0,
        high=1.0,
        symmetric=True,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION, ROTATION}),
        convention="biased HSIC; |X'Y|² / (|X'X| |Y'Y|) of centred columns",
        paper="Kornblith et al. 2019",
        function=linear_cka,
        grid=linear_cka_grid,
    ),
    Metric(
        name="svcca",
        title="mean canonical correlation of the main principal directions",
        kind="similarity",
        low=0.0,
        high=1.0,
        symmetric=True,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION, ROTATION}),
        convention="each side cut at a share of the variance; mean over min(dims_a, dims_b)",
        paper="Raghu et al. 2017",
        function=svcca,
        grid=svcca_grid,
        columns=("dims_a", "dims_b"),
    ),
    Metric(
        name="pwcca",
        title="canonical correlations, weighted by how much of A they make up",
        kind="similarity",
        low=0.0,
        high=1.0,
        symmetric=False,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION}),
        convention="weights from A; `reverse` has the weights from B",
        paper="Morcos et al. 2018",
        function=pwcca,
        grid=pwcca_grid,
        columns=("reverse", "dims_a", "dims_b"),
    ),
    Metric(
        name="procrustes",
        title="squared orthogonal Procrustes distance",
        kind="distance",
        low=0.0,
        high=2.0,
        symmetric=True,
        invariances=frozenset({SHIFT, SCALE, PERMUTATION, ROTATION}),
        convention="2 - 2 |X'Y|_* of centred matrices of unit Frobenius norm",
        paper="Schönemann 1966; Ding et al. 2021",
        function=procrustes,
        grid=procrustes_grid,
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
DEFAULT = "linear-cka"
