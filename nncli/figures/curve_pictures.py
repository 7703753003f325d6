"""What a picture of curves shows, as plain data; see `pictures`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


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
class Mark:
    """A place along x that means something.

    Attributes:
        label: What it is, for the legend.
        at: Where it is.
        low: The lower end of its interval, if that is known.
        high: The upper end.
        colour: The colour of the line that it belongs to; `None` if it belongs to all.
    """

    label: str
    at: float
    low: float | None = None
    high: float | None = None
    colour: int | None = None


@dataclass(frozen=True)
class Panel:
    """Curves on common axes.

    Attributes:
        y_label: What is drawn, with its unit.
        lines: The curves.
        note: What stands in the place of curves if there are no values.
        marks: Places along x that mean something.
        common: Its values are of one kind with those of the other panels that say so: they are
            drawn over one range.
    """

    y_label: str
    lines: tuple[Line, ...]
    note: str = ""
    marks: tuple[Mark, ...] = ()
    common: bool = False


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
        joined: Points are joined to curves; else each stands alone, with its interval.
        y_scale: `linear`, or `log`, on which nothing but positive values is left.
        band: What the bands and thin lines are, for drawings that have them.
        caption: What else a reader must know.
    """

    title: str
    x_label: str
    panels: tuple[Panel, ...]
    scale: str = "linear"
    categories: tuple[str, ...] | None = None
    ordered: bool = False
    joined: bool = True
    y_scale: str = "linear"
    band: str = ""
    caption: str = ""
