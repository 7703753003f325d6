"""Examples of each class as one mosaic, and a bar for how many there are."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nncli.figures.pictures import Gallery, GalleryRow
from nncli.figures.style import COLOURS, new_figure, shortened

GAP = 0.08  # of an image, between images


def gallery_figure(picture: Gallery) -> Figure:
    """Draw rows of images and the number of examples behind each.

    Args:
        picture: The rows.

    Returns:
        The figure.
    """
    rows = picture.rows
    most = max(len(row.images) for row in rows)
    cell = 0.42
    height = max(cell * len(rows), 1.2) + 0.45
    bars = 2.2 if len(rows) > 1 or not most else 0.0
    said = [f"the first {most} of each class" if len(rows) > 1 else f"the first {most}"]
    caption = "; ".join(filter(None, [picture.caption, *(said if most else ())]))
    figure = new_figure(
        max(cell * most + 0.9, 0.9) + max(bars, 0.4), height, picture.title, caption
    )
    parts = [part for part in (cell * most, bars) if part]
    grid = figure.add_gridspec(1, len(parts), width_ratios=parts)
    if most:
        _draw_images(figure.add_subplot(grid[0, 0]), rows, most)
    if bars:
        _draw_counts(figure.add_subplot(grid[0, len(parts) - 1]), rows, named=not most)
    return figure


def mosaic(rows: tuple[GalleryRow, ...], most: int) -> np.ndarray:
    """All images as one, white between them: one object in a PDF, however many there are.

    Args:
        rows: The rows of images, all of one height and width.
        most: Images in the longest row.

    Returns:
        (height, width, 3) in [0, 1].
    """
    first = next(row.images[0] for row in rows if row.images)
    high, wide = first.shape[:2]
    scale = -(-32 // max(high, wide))  # small images are enlarged, so that gaps can be narrow
    gap = max(round(GAP * scale * max(high, wide)), 1)
    step = scale * high + gap, scale * wide + gap
    whole = np.ones((step[0] * len(rows) - gap, step[1] * most - gap, 3))
    for down, row in enumerate(rows):
        for across, image in enumerate(row.images):
            colour = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
            large = np.repeat(np.repeat(colour, scale, axis=0), scale, axis=1)
            top, left = down * step[0], across * step[1]
            whole[top : top + large.shape[0], left : left + large.shape[1]] = large
    return whole


def _draw_images(axes: Axes, rows: tuple[GalleryRow, ...], most: int) -> None:
    whole = mosaic(rows, most)
    axes.imshow(whole, interpolation="nearest")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks([])
    step = (whole.shape[0] + 1) / len(rows)
    axes.set_yticks(
        [(place + 0.5) * step - 1 for place in range(len(rows))],
        [shortened(row.name, 24) for row in rows],
    )
    axes.set_ylabel("class")


def _draw_counts(axes: Axes, rows: tuple[GalleryRow, ...], *, named: bool) -> None:
    counts = [row.count for row in rows]
    bars = axes.barh(range(len(rows)), counts, color=COLOURS[0], alpha=0.75, height=0.72)
    axes.bar_label(bars, [f"{one:,}" for one in counts], padding=3, size=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1.25 * max(counts))
    axes.set_xlabel("examples")
    axes.grid(axis="y", visible=False)
    axes.set_yticks(range(len(rows)), [shortened(row.name, 24) for row in rows] if named else [])
    axes.locator_params(axis="x", nbins=3)
    axes.tick_params(axis="y", length=0)
