"""What a picture shows, as plain data: drawn by matplotlib or in characters, tested by neither."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.figures.curve_pictures import Curves

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """One matrix of numbers over two lists of names.

    Attributes:
        title: What the numbers are, such as the name of a metric.
        rows: Names of the rows, the first one at the top.
        columns: Names of the columns, the first one at the left.
        values: (rows, columns); NaN where there is none.
        low: The value at the lower end of the colours.
        high: The value at the upper end.
        alike: Which end means that two things are the same: `high` (similarity), `low` (distance)
            or nothing (`""`).
        notes: Why values are missing, by their place.
        framed: The best match of each row is to be framed.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: F64
    low: float
    high: float
    alike: str = ""
    notes: dict[tuple[int, int], str] = field(default_factory=dict)
    framed: bool = True

    @property
    def scale(self) -> str:
        """What the numbers mean, for the colour bar."""
        if self.alike == "high":
            return f"{self.title} (similarity, {self.high:g} = same)"
        if self.alike == "low":
            return f"{self.title} (distance, {self.low:g} = same)"
        return self.title


@dataclass(frozen=True)
class Heatmaps:
    """Grids side by side, one a metric.

    Attributes:
        title: The title of all.
        row_label: What the rows are.
        column_label: What the columns are.
        panels: The grids.
        caption: What a reader must know.
    """

    title: str
    row_label: str
    column_label: str
    panels: tuple[Grid, ...]
    caption: str = ""


@dataclass(frozen=True)
class Reliability:
    """Accuracy against confidence, one panel for each perturbation.

    Attributes:
        title: The title of all.
        panels: For each its title and its curve.
        caption: What a reader must know, the definitions first.
    """

    title: str
    panels: tuple["ReliabilityPanel", ...]
    caption: str = ""


@dataclass(frozen=True)
class ReliabilityPanel:
    """One reliability diagram.

    Attributes:
        title: What is shown.
        edges: (bins + 1,) ends of the bins.
        count: (bins,) answers in each.
        confidence: (bins,) mean confidence; NaN in an empty bin.
        accuracy: (bins,) share of right answers; NaN in an empty bin.
        ece: Expected calibration error.
        members: Accuracy by bin of each model, if there are several.
        member_ece: Expected calibration error of each.
    """

    title: str
    edges: F64
    count: NDArray[np.int64]
    confidence: F64
    accuracy: F64
    ece: float
    members: tuple[F64, ...] = ()
    member_ece: tuple[float, ...] = ()


@dataclass(frozen=True)
class Histogram:
    """How often values occur.

    Attributes:
        name: Whose values they are.
        edges: (bins + 1,) ends of the bins; empty if there is no finite value.
        count: (bins,) values in each.
        note: Mean, spread and what is missing, in words.
    """

    name: str
    edges: F64
    count: NDArray[np.int64]
    note: str


@dataclass(frozen=True)
class Histograms:
    """One histogram a tensor.

    Attributes:
        title: The title of all.
        x_label: What the values are.
        panels: The histograms.
        caption: What a reader must know.
    """

    title: str
    x_label: str
    panels: tuple[Histogram, ...]
    caption: str = ""


@dataclass(frozen=True)
class Gallery:
    """Examples of a dataset.

    Attributes:
        title: The title of all.
        rows: For each row of pictures its name, its images (height, width) or (height, width, 3)
            in [0, 1], and how many examples it stands for.
        caption: What a reader must know.
    """

    title: str
    rows: tuple["GalleryRow", ...]
    caption: str = ""


@dataclass(frozen=True)
class GalleryRow:
    """One class: its name, some of its images, and how many examples it has."""

    name: str
    images: tuple[NDArray[Any], ...]
    count: int


@dataclass(frozen=True)
class Branch:
    """Where two groups of a tree are joined.

    Attributes:
        ends: The places of the two along the leaves; a group stands in the middle of its two.
        starts: The heights at which they were joined themselves, 0 for a leaf.
        height: The height at which they are joined.
        group: The colour that all leaves below share, -1 if they differ.
    """

    ends: tuple[float, float]
    starts: tuple[float, float]
    height: float
    group: int


@dataclass(frozen=True)
class PopulationPanel:
    """A population by one measure: its tree and its map.

    Attributes:
        title: Which measure and layer, and what came out.
        distance: What the heights and the distances on the map are.
        names: The members, in the order of the leaves.
        groups: (members) the colour of each, an index into the names of the groups.
        clusters: (members) the cluster of each, from 1.
        branches: The joints of the tree, nearest first; nothing if the tree is not known.
        cut: The height at which the tree was cut into clusters, if it was.
        points: (members, 2) places on the map, in units of the distance.
        shares: The share of the variance of the distances that either coordinate shows.
    """

    title: str
    distance: str
    names: tuple[str, ...]
    groups: tuple[int, ...]
    clusters: tuple[int, ...]
    branches: tuple[Branch, ...]
    cut: float | None
    points: F64
    shares: tuple[float | None, float | None]


@dataclass(frozen=True)
class Populations:
    """Trees and maps, one a measure.

    Attributes:
        title: The title of all.
        panels: The trees and maps.
        groups: What the colours are.
        ordered: The groups are in an order, to be shown by the order of colours.
        by_cluster: The colours are the clusters.
        caption: What a reader must know.
    """

    title: str
    panels: tuple[PopulationPanel, ...]
    groups: tuple[str, ...]
    ordered: bool = False
    by_cluster: bool = False
    caption: str = ""


Picture = Heatmaps | Curves | Reliability | Histograms | Gallery | Populations
