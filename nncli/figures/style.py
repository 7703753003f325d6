"""How our figures look: quiet axes, colours that everybody can tell apart, room for the words."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

# Okabe and Ito 2008, "Color universal design", less the yellow, which is too light for lines
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
DASHES = ("-", (0, (4, 1.6)), (0, (1, 1.2)), (0, (4, 1.2, 1, 1.2)))
SEQUENTIAL = "viridis"
INK, GREY, FAINT = "#222222", "#6b6b6b", "#dddddd"
TITLE_LETTER, CAPTION_LETTER = 0.092, 0.061  # inches, more or less

SETTINGS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # whole glyphs, few objects
    "svg.fonttype": "path",  # looks the same wherever it is opened
    "svg.hashsalt": "nncli",  # or identifiers would differ from run to run
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "xtick.color": GREY,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": GREY,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save within it: matplotlib reads its settings at both times."""
    with rc_context():
        rcdefaults()  # whatever the user's matplotlibrc says, equal inputs give equal bytes
        rcParams.update(SETTINGS)
        yield


def new_figure(
    width: float, height: float, title: str, caption: str, *, right: float = 0.0, below: float = 0.0
) -> Figure:
    """An empty figure with a title above and a caption below.

    Args:
        width: Inches.
        height: Inches of what is between title and caption.
        title: Wrapped to the width, as is the caption.
        caption: What stands below in small letters.
        right: Inches kept free on the right, for a legend (within the width).
        below: Inches kept free between panels and caption, for a legend (beyond the height).

    Returns:
        The figure; its layout leaves the room that the words need.
    """
    heads = _wrapped(title, width / TITLE_LETTER)
    lines = _wrapped(caption, width / CAPTION_LETTER)
    top = 0.16 + 0.2 * len(heads)
    bottom = 0.16 * len(lines) + (0.14 if lines else 0.0)
    whole = height + below + top + bottom
    figure = Figure(figsize=(width, whole), layout="constrained")
    rect = (0.0, (bottom + below) / whole, 1 - right / width, height / whole)
    layout(figure).set(rect=rect, w_pad=0.06, h_pad=0.06)
    place: dict[str, Any] = {"x": 0.08 / width, "linespacing": 1.15}
    figure.text(y=1 - 0.1 / whole, s="\n".join(heads), size=11, weight="bold", va="top", **place)
    if lines:
        said = "\n".join(lines)
        figure.text(y=0.07 / whole, s=said, size=7.5, color=GREY, va="bottom", **place)
    return figure


def _wrapped(text: str, letters: float) -> list[str]:
    return textwrap.wrap(printable(text), max(int(letters), 24))


def layout(figure: Figure) -> ConstrainedLayoutEngine:
    """The layout of a figure of `new_figure`."""
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    return engine


def add_legend(
    figure: Figure, handles: Sequence[Artist], labels: Sequence[str], *, right: bool
) -> None:
    """A legend in the room that `new_figure` kept free on the right or below."""
    left, bottom, width, height = layout(figure).get()["rect"]
    place = (left + width, bottom + height) if right else (0.0, bottom)
    figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=place,
        borderaxespad=0.6 if right else 0.3,
        handlelength=2.2,
    ).set_in_layout(False)


def printable(text: str) -> str:
    """Text with a `?` for whatever cannot be printed."""
    return "".join(one if one.isprintable() else "?" for one in text)


def shortened(text: str, most: int) -> str:
    """Text of at most so many letters, cut in the middle; what cannot be printed is a `?`."""
    text = printable(text)
    if len(text) <= most:
        return text
    half = max((most - 1) // 2, 1)
    return f"{text[:half]}…{text[-half:]}"


def place_panels(figure: Figure, count: int, across: int) -> list[Axes]:
    """Axes for panels in rows, empty places at the end of the last row left out."""
    rows = -(-count // across)
    grid = figure.add_gridspec(rows, across)
    return [figure.add_subplot(grid[place // across, place % across]) for place in range(count)]


def empty_panel(axes: Axes, note: str) -> None:
    """Say in hatched axes why there is nothing to see."""
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.patch.set(facecolor="#f4f4f4", edgecolor="#bdbdbd", hatch="///")
    axes.text(
        0.5,
        0.5,
        "\n".join(textwrap.wrap(note, 40)),
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=INK,
        backgroundcolor="white",
    )
