"""Reliability diagrams: accuracy over confidence, the answers they rest on below."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nncli.figures.pictures import Reliability, ReliabilityPanel
from nncli.figures.style import COLOURS, GREY, new_figure, shortened

MOST_ACROSS = 4


def reliability_figure(picture: Reliability) -> Figure:
    """Draw a reliability diagram and a histogram for each panel.

    Args:
        picture: The panels.

    Returns:
        The figure.
    """
    count = len(picture.panels)
    across = min(count, 3 if count in (3, 5, 6, 9) else MOST_ACROSS)
    rows = -(-count // across)
    height = 4.7 + (0.2 if any(one.title for one in picture.panels) else 0.0)
    thin = "thin: each model" if any(one.members for one in picture.panels) else ""
    caption = "; ".join(filter(None, [picture.caption, thin]))
    figure = new_figure(3.2 * across + 0.7, height * rows, picture.title, caption)
    grid = figure.add_gridspec(2 * rows, across, height_ratios=[3.2, 1] * rows)
    for place, panel in enumerate(picture.panels):
        row, column = divmod(place, across)
        upper = figure.add_subplot(grid[2 * row, column])
        lower = figure.add_subplot(grid[2 * row + 1, column], sharex=upper)
        _draw_curve(upper, panel)
        _draw_counts(lower, panel)
        if column == 0:
            upper.set_ylabel("accuracy (share right)")
            lower.set_ylabel("answers")
    return figure


def _draw_curve(axes: Axes, panel: ReliabilityPanel) -> None:
    there = panel.count > 0
    width = np.diff(panel.edges)
    axes.bar(
        panel.edges[:-1][there],
        panel.accuracy[there],
        width[there],
        align="edge",
        color=COLOURS[0],
        alpha=0.28,
        edgecolor="white",
        lw=0.8,
    )
    for one in panel.members:
        axes.plot(panel.confidence[there], one[there], color=COLOURS[0], lw=0.6, alpha=0.4)
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (4, 3)), label="calibrated")
    _draw_gaps(axes, panel)
    axes.plot(
        panel.confidence[there], panel.accuracy[there], "o-", color=COLOURS[0], lw=1.5, ms=3.5
    )
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.tick_params(labelbottom=False)
    said = f"ECE {panel.ece:.3f}"
    if panel.member_ece:
        said += f" (each model {min(panel.member_ece):.3f} to {max(panel.member_ece):.3f})"
    axes.set_title("\n".join(filter(None, [shortened(panel.title, 40), said])))


def _draw_gaps(axes: Axes, panel: ReliabilityPanel) -> None:
    there = panel.count > 0
    axes.vlines(
        panel.confidence[there],
        panel.confidence[there],
        panel.accuracy[there],
        color=COLOURS[1],
        lw=1.6,
        label="gap",
    )
    axes.legend(loc="lower right", handlelength=1.6)


def _draw_counts(axes: Axes, panel: ReliabilityPanel) -> None:
    axes.bar(
        panel.edges[:-1],
        panel.count,
        np.diff(panel.edges),
        align="edge",
        color=COLOURS[0],
        alpha=0.55,
        edgecolor="white",
        lw=0.8,
    )
    axes.set_xlabel("confidence (largest probability)")
    axes.locator_params(axis="y", nbins=3)
    axes.set_xticks(np.linspace(0, 1, 6))
