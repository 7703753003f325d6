"""Bars in characters: reliability diagrams, histograms, counts of classes; and small images."""

import numpy as np
from numpy.typing import NDArray
from rich.style import Style
from rich.text import Text

from nncli.figures.pictures import Gallery, GalleryRow, Histograms, Reliability, ReliabilityPanel
from nncli.figures.text_parts import HUES, bar, cut, number, shade, styled

LEVELS = " ▁▂▃▄▅▆▇█"
LONGEST_NAME = 30
IMAGES_ACROSS = 5
LARGEST_IMAGE = 28  # pixels across


def reliability_lines(picture: Reliability, width: int) -> list[Text]:
    """Draw a bar for each bin of confidence: its length the accuracy, a mark at the confidence."""
    lines: list[Text] = []
    for panel in picture.panels:
        lines += [Text(), *_reliability_panel(panel, width)]
    return lines


def _reliability_panel(panel: ReliabilityPanel, width: int) -> list[Text]:
    title = f"{panel.title}: ECE {panel.ece:.3f}" if panel.title else f"ECE {panel.ece:.3f}"
    if panel.member_ece:
        title += f" (each model {min(panel.member_ece):.3f} to {max(panel.member_ece):.3f})"
    long = max(min(width - 44, 60), 20)
    lines = [
        styled(title, "bold"),
        styled(
            f"{'confidence':<14}{'accuracy, │ at the mean confidence':<{long}}"
            f"{'accuracy':>9}{'mean conf.':>11}{'n':>8}",
            "dim",
        ),
    ]
    for place in range(len(panel.count)):
        edges = f"{panel.edges[place]:.2f} to {panel.edges[place + 1]:.2f}"
        if not panel.count[place]:
            lines.append(styled(f"{edges:<14}{'':<{long}}{'':>20}{0:>8}", "dim"))
            continue
        accuracy, confidence = float(panel.accuracy[place]), float(panel.confidence[place])
        cells = list(bar(accuracy, long - 1))
        mark = min(int(confidence * (long - 1)), long - 2)
        line = styled(f"{edges:<14}")
        line.append("".join(cells[:mark]), HUES[0]).append("│", HUES[1])
        line.append("".join(cells[mark + 1 :]), HUES[0])
        line.append(f" {accuracy:>9.3f}{confidence:>11.3f}{panel.count[place]:>8,}")
        lines.append(line)
    return lines


def histogram_lines(picture: Histograms, width: int) -> list[Text]:
    """Draw a histogram as one line: columns of eight heights between the extremes."""
    names = [cut(one.name, LONGEST_NAME) for one in picture.panels]
    margin = max(map(len, names)) + 2
    long = max(min(width - margin - 48, 60), 16)
    lines = [Text()]
    for name, one in zip(names, picture.panels, strict=True):
        line = styled(f"{name:<{margin}}")
        if one.edges.size:
            heights = _regrouped(one.count, long)
            drawn = "".join(LEVELS[level] for level in _levels(heights))
            low, high = number(float(one.edges[0])), number(float(one.edges[-1]))
            line.append(f"{low:>9} ").append(drawn, HUES[0]).append(f" {high:<9}")
        else:
            line.append(f"{'no finite value':^{long + 20}}")
        lines.append(line.append(f" {one.note}", "dim"))
    return lines


def _regrouped(count: NDArray[np.int64], long: int) -> NDArray[np.float64]:
    """The same histogram in another number of bins, each count spread evenly over its bin."""
    edges = np.linspace(0, len(count), long + 1)
    whole = np.concatenate([[0], np.cumsum(count)])
    return np.diff(np.interp(edges, np.arange(len(count) + 1), whole))


def _levels(heights: NDArray[np.float64]) -> list[int]:
    """Heights as levels 0 to 8; whatever is there at all shows."""
    top = heights.max() or 1.0
    return [0 if one <= 0 else max(1, round(8 * one / top)) for one in heights]


def gallery_lines(picture: Gallery, width: int, *, colour: bool) -> list[Text]:
    """Draw an image of each class, and a bar for how many examples each has."""
    lines: list[Text] = []
    with_images = [row for row in picture.rows if row.images]
    if with_images:
        lines.append(styled("the first image of each class", "dim"))
    for start in range(0, len(with_images), IMAGES_ACROSS):
        lines += [Text(), *_image_row(with_images[start : start + IMAGES_ACROSS], width, colour)]
    names = [cut(row.name, LONGEST_NAME) for row in picture.rows]
    margin = max(map(len, names)) + 2
    most = max(row.count for row in picture.rows)
    long = max(min(width - margin - 10, 40), 10)
    lines.append(Text())
    for name, row in zip(names, picture.rows, strict=True):
        line = styled(f"{name:<{margin}}").append(bar(row.count / most, long), HUES[0])
        lines.append(line.append(f" {row.count:,}"))
    return lines


def _image_row(rows: list[GalleryRow], width: int, colour: bool) -> list[Text]:
    across = width // IMAGES_ACROSS - 2
    pixels = min(across if colour else across // 2, LARGEST_IMAGE)
    images = [_shrunk(row.images[0], pixels) for row in rows]
    drawn = [_half_blocks(one) if colour else _shades(one) for one in images]
    wide = [len(one[0].plain) for one in drawn]
    head = Text("  ").join(
        styled(f"{cut(row.name, size):<{size}}", "bold")
        for row, size in zip(rows, wide, strict=True)
    )
    lines = [head]
    for place in range(max(map(len, drawn))):
        parts = [
            one[place] if place < len(one) else Text(" " * size)
            for one, size in zip(drawn, wide, strict=True)
        ]
        lines.append(Text("  ").join(parts))
    return lines


def _shrunk(image: NDArray[np.float64], pixels: int) -> NDArray[np.float64]:
    """An image (height, width[, 3]) of at most so many pixels across, by means of blocks."""
    step = -(-image.shape[1] // max(pixels, 1))
    if step == 1:
        return image
    rows = [image[at : at + step].mean(axis=0) for at in range(0, image.shape[0], step)]
    columns = [
        np.stack([row[at : at + step].mean(axis=0) for at in range(0, image.shape[1], step)])
        for row in rows
    ]
    return np.stack(columns)


def _shades(image: NDArray[np.float64]) -> list[Text]:
    """Two characters a pixel, light for large values."""
    grey = image if image.ndim == 2 else image.mean(axis=2)
    return [Text("".join(shade(float(one)) * 2 for one in row)) for row in grey]


def _half_blocks(image: NDArray[np.float64]) -> list[Text]:
    """Two pixels a character, one above the other, in their own colours."""
    colours = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    bytes_ = np.round(np.clip(colours, 0, 1) * 255).astype(int)
    if len(bytes_) % 2:
        bytes_ = np.concatenate([bytes_, np.zeros_like(bytes_[:1])])
    lines = []
    for upper, lower in zip(bytes_[::2], bytes_[1::2], strict=True):
        line = Text()
        for one, other in zip(upper, lower, strict=True):
            line.append("▀", Style(color=_hex(one), bgcolor=_hex(other)))
        lines.append(line)
    return lines


def _hex(colour: NDArray[np.int64]) -> str:
    red, green, blue = colour.tolist()
    return f"#{red:02x}{green:02x}{blue:02x}"
