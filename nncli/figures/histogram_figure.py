"""Small histograms, one a tensor, each on its own axes."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nncli.figures.pictures import Histogram, Histograms
from nncli.figures.style import COLOURS, GREY, empty_panel, new_figure, place_panels, shortened


def histogram_figure(picture: Histograms) -> Figure:
    """Draw the histograms in rows.

    Args:
        picture: The histograms.

    Returns:
        The figure.
    """
    count = len(picture.panels)
    across = min(count, 4 if count > 6 else 3)
    rows = -(-count // across)
    width = max(2.35 * across + 0.2, 4.4)
    caption = "; ".join(filter(None, ["line: the mean", picture.caption]))
    figure = new_figure(width, 1.65 * rows, picture.title, caption)
    for axes, panel in zip(place_panels(figure, count, across), picture.panels, strict=True):
        axes.set_title(shortened(panel.name, 26), size=8.5, pad=14)
        axes.text(0.0, 1.03, panel.note, transform=axes.transAxes, size=7, color=GREY, va="bottom")
        _draw(axes, panel)
    for axes in figure.axes[-across:]:
        axes.set_xlabel(picture.x_label)
    figure.supylabel("share of the numbers", size=9)
    return figure


def _draw(axes: Axes, panel: Histogram) -> None:
    if not panel.edges.size:
        empty_panel(axes, "no finite value")
        return
    shares = panel.count / max(panel.count.sum(), 1)
    axes.stairs(shares, panel.edges, fill=True, color=COLOURS[0], alpha=0.75)
    centres = (panel.edges[:-1] + panel.edges[1:]) / 2
    mean = float((centres * shares).sum())
    axes.axvline(mean, color=COLOURS[1], lw=1)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    axes.locator_params(axis="x", nbins=4)
    axes.locator_params(axis="y", nbins=3)
    axes.tick_params(labelsize=7.5)
    axes.grid(axis="x", visible=False)
    axes.set_ymargin(0.05)
