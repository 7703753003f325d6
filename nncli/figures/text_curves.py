"""Curves in characters: braille dots between axes, a name at the end of each curve."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from nncli.figures.braille import Canvas
from nncli.figures.curve_pictures import Curves, Mark, Panel
from nncli.figures.text_parts import axis_numbers, cut, hue, number, styled
from nncli.figures.text_points import point_lines

F64 = NDArray[np.float64]

HEIGHT = 12
LONGEST_NAME = 26
ZERO_SHARE = 0.12  # of a symlog axis, from 0 to the first place beyond


def curve_lines(picture: Curves, width: int) -> list[Text]:
    """Draw panels one below the other.

    Args:
        picture: The panels.
        width: Characters of a line.

    Returns:
        The lines.
    """
    lines: list[Text] = []
    for panel in picture.panels:
        lines += [Text(), styled(panel.y_label, "bold")]
        if panel.note:
            lines.append(styled(f"  ({panel.note})"))
        elif picture.joined:
            lines += _panel(picture, panel, width)
        else:
            lines += point_lines(picture, panel, width)
    return lines


def _panel(picture: Curves, panel: Panel, width: int) -> list[Text]:
    names = [cut(line.label, LONGEST_NAME) for line in panel.lines]
    height = max(HEIGHT, min(len(panel.lines), 2 * HEIGHT))
    log = picture.y_scale == "log"
    heights = [np.log10(line.y) if log else line.y for line in panel.lines]
    low, high = _range(_heights(picture, panel))
    at = (0, height // 2, height - 1)
    values = [high - (high - low) * row / (height - 1) for row in at]
    ticks = dict(zip(at, _numbers(values, log=log), strict=True))
    left = max(map(len, ticks.values()))
    right = max(map(len, names)) + 1
    canvas = Canvas(max(width - left - right - 3, 20), height)
    places = np.unique(np.concatenate([line.x for line in panel.lines]))
    for owner, line in enumerate(panel.lines):
        share = (heights[owner] - low) / (high - low)
        canvas.curve(_across(line.x, places, picture.scale), share, owner)
    labels = _end_labels(heights, names, low, high, height)
    drawn = []
    for row, text in enumerate(canvas.rows()):
        shown = styled(f"{ticks.get(row, ''):>{left}} {'┤' if row in ticks else '│'}")
        for character, owner in zip(text, canvas.owner[row], strict=True):
            style = hue(panel.lines[owner].colour) if owner >= 0 else ""
            shown.append(character, style)
        if row in labels:
            name = labels[row]
            shown.append(f" {names[name]}", hue(panel.lines[name].colour))
        drawn.append(shown)
    axis, below = _x_axis(picture, panel, places, canvas.width)
    drawn.append(styled(" " * left + " └" + axis))
    drawn.append(styled(" " * (left + 2) + below))
    drawn.append(styled(" " * (left + 2) + picture.x_label, "dim"))
    drawn += [styled(" " * (left + 2) + _said(one), "dim") for one in panel.marks]
    return drawn


def _heights(picture: Curves, panel: Panel) -> list[F64]:
    """The values that decide on the range of a panel: those of all panels that share it."""
    several = [one for one in picture.panels if one.common] if panel.common else [panel]
    values = [line.y for one in several if not one.note for line in one.lines]
    return [np.log10(one) for one in values] if picture.y_scale == "log" else values


def _said(mark: Mark) -> str:
    """What stands at a mark on the axis."""
    between = ""
    if mark.low is not None and mark.high is not None:
        between = f" ({number(mark.low, 4)} to {number(mark.high, 4)})"
    return f"{_sign(mark)} {mark.label}: {number(mark.at, 4)}{between}"


def _sign(mark: Mark) -> str:
    return "△" if mark.colour is None else "▲"


def _numbers(values: Sequence[float], *, log: bool) -> list[str]:
    return [number(10**one) for one in values] if log else axis_numbers(values)


def _range(heights: Sequence[F64]) -> tuple[float, float]:
    values = np.concatenate(heights)
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    if high > low:
        return low, high
    pad = abs(low) * 0.1 or 1.0
    return low - pad, high + pad


def _across(x: F64, places: F64, scale: str) -> F64:
    """Places on the axis as shares of its length."""
    low, high = float(places[0]), float(places[-1])
    if high == low:
        return np.full(len(x), 0.5)
    if scale == "linear":
        return (x - low) / (high - low)
    positive = places[places > 0]
    start, end = np.log(positive[0]), np.log(positive[-1])
    share: F64 = (np.log(np.maximum(x, positive[0])) - start) / (end - start)
    if scale == "log":
        return share
    return np.where(x > 0, ZERO_SHARE + (1 - ZERO_SHARE) * share, 0.0)


def _end_labels(
    heights: Sequence[F64], names: list[str], low: float, high: float, height: int
) -> dict[int, int]:
    """For each row the curve whose name stands there: the one that ends nearest, all in order."""
    ends = []
    for place, values in enumerate(heights):
        finite = values[np.isfinite(values)]
        if names[place] and finite.size:
            ends.append((float((high - finite[-1]) / (high - low) * (height - 1)), place))
    ends.sort()
    rows: dict[int, int] = {}
    for rank, (wanted, place) in enumerate(ends):
        free = max(round(wanted), max(rows, default=-1) + 1)
        rows[min(free, height - (len(ends) - rank))] = place
    return rows


def _x_axis(picture: Curves, panel: Panel, places: F64, width: int) -> tuple[str, str]:
    """The axis with ticks and marks, and the names of the ticks that find room below it."""
    axis, below = ["─"] * width, [" "] * width
    at = np.minimum((_across(places, places, picture.scale) * width).astype(int), width - 1)
    free = 0
    order = range(len(places)) if len(places) <= 12 else _even(len(places))
    for place in order:
        if picture.categories:
            name = cut(picture.categories[int(places[place])], 16)
        else:
            name = number(float(places[place]), 4)
        start = min(max(int(at[place]) - len(name) // 2, 0), width - len(name))
        axis[at[place]] = "┬"
        if start >= free:
            below[start : start + len(name)] = name
            free = start + len(name) + 1
    for mark in panel.marks:
        share = float(_across(np.array([mark.at]), places, picture.scale)[0])
        if 0 <= share <= 1:
            axis[min(int(share * width), width - 1)] = _sign(mark)
    return "".join(axis), "".join(below).rstrip()


def _even(count: int) -> list[int]:
    return sorted({round(share * (count - 1)) for share in np.linspace(0, 1, 6)})
