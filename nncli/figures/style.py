"""How our figures look: quiet axes, colours that everybody can tell apart, room for the words."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito 2008, "Color universal design", less the yellow, which is too light for lines
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
DASHES = ("-", (0, (4, 1.6)), (0, (1, 1.2)), (0, (4, 1.2, 1, 1.2)))
SEQUENTIAL = "viridis"
INK, GREY, FAINT = "#222222", "#6b6b6b", "#dddddd"
LETTER = 0.078  # inches that a letter of the caption takes, more or less

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


def new_figure(width: float, height: float, title: str, caption: str) -> Figure:
    """An empty figure with a title above and a caption below.

    Args:
        width: Inches.
        height: Inches of what is between title and caption.
        title: One line, cut in the middle if it is too long.
        caption: Wrapped to the width.

    Returns:
        The figure; its layout leaves the room that the words need.
    """
    lines = textwrap.wrap(caption, max(int(width / LETTER), 30)) if caption else []
    top, bottom = 0.36, 0.16 * len(lines) + (0.06 if lines else 0.0)
    whole = height + top + bottom
    figure = Figure(figsize=(width, whole), layout="constrained")
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0.0, bottom / whole, 1.0, height / whole), w_pad=0.06, h_pad=0.06)  # type: ignore[call-arg]
    figure.text(
        0.08 / width,
        1 - 0.1 / whole,
        shortened(title, int(width / 0.098)),
        size=11,
        weight="bold",
        va="top",
    )
    if lines:
        figure.text(0.08 / width, 0.07 / whole, "\n".join(lines), size=7.5, color=GREY, va="bottom")
    return figure


def shortened(text: str, most: int) -> str:
    """Text of at most so many letters, cut in the middle; what cannot be printed is a `?`."""
    text = "".join(one if one.isprintable() else "?" for one in text)
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
