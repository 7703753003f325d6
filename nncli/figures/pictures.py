"""What a picture shows, as plain data: drawn by matplotlib or in characters, tested by neither."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: F64
    low: float
    high: float
    alike: str = ""
    notes: dict[tuple[int, int], str] = field(default_factory=dict)

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
class Line:
    """One curve.

    Attributes:
        label: Its name in the legend.
        x: Places, ascending.
        y: Values; NaN where there is none.
        low: Lower ends of the band, if there is one.
        high: Upper ends of the band.
        runs: The single curves that `y` is the mean of: pairs of x and y.
        style: Which of a panel's kinds of line it is, 0 for the first.
        colour: Which colour it has, 0 for the first.
    """

    label: str
    x: F64
    y: F64
    low: F64 | None = None
    high: F64 | None = None
    runs: tuple[tuple[F64, F64], ...] = ()
    style: int = 0
    colour: int = 0


@dataclass(frozen=True)
class Panel:
    """Curves on common axes.

    Attributes:
        y_label: What is drawn, with its unit.
        lines: The curves.
        note: What stands in the place of curves if there are no values.
    """

    y_label: str
    lines: tuple[Line, ...]
    note: str = ""


@dataclass(frozen=True)
class Curves:
    """Panels of curves over one x.

    Attributes:
        title: The title of all.
        x_label: What x is, with its unit.
        panels: The panels.
        scale: `linear`, `log`, or `symlog` where 0 is among otherwise geometric places.
        categories: The names of the places 0, 1, ... if x is no number.
        ordered: The lines are in an order (depth, width), to be shown by the order of colours.
        band: What the bands and thin lines are, for drawings that have them.
        caption: What else a reader must know.
    """

    title: str
    x_label: str
    panels: tuple[Panel, ...]
    scale: str = "linear"
    categories: tuple[str, ...] | None = None
    ordered: bool = False
    band: str = ""
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


Picture = Heatmaps | Curves | Reliability | Histograms | Gallery
