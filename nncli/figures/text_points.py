"""Points with their intervals in characters: a row for each, on a common scale."""

import numpy as np
from rich.text import Text

from nncli.figures.curve_pictures import Curves, Line, Panel
from nncli.figures.text_parts import axis_numbers, cut, hue, number, styled

LONGEST_NAME = 26
LONGEST_SCALE = 60


def point_lines(picture: Curves, panel: Panel, width: int) -> list[Text]:
    """Draw a panel whose points are not joined.

    Args:
        picture: The picture it is of, which names the places.
        panel: The panel.
        width: Characters of a line.

    Returns:
        For each place and line a row: names, a mark at the value on its interval, and the value;
        below them the scale, `│` where 0 is.
    """
    names = [_place(picture, x) for x in _places(panel)]
    labels = [cut(line.label, LONGEST_NAME) for line in panel.lines]
    left = max(map(len, names)) + 2
    middle = max(map(len, labels)) + 2 if any(labels) else 0
    log = picture.y_scale == "log"
    low, high = _range(panel, log=log)
    count = max(min(width - left - middle - 12, LONGEST_SCALE), 12)
    rows = []
    for name, x in zip(names, _places(panel), strict=True):
        for label, line in zip(labels, panel.lines, strict=True):
            at = np.flatnonzero(line.x == x)
            if not len(at):
                continue
            head = name if line is panel.lines[0] else ""
            row = styled(f"{head:<{left}}{label:<{middle}}")
            scale = _scale(line, int(at[0]), (low, high, count), log=log)
            value = float(line.y[at[0]])
            shown = f"{value:.4g}" if np.isfinite(value) else "none"
            rows.append(row.append(scale, hue(line.colour)).append(f" {shown:>9}"))
    ends = axis_numbers([low, high]) if not log else [number(10**low), number(10**high)]
    axis = f"{ends[0]}{ends[1]:>{count - len(ends[0])}}"
    return [*rows, styled(" " * (left + middle) + axis, "dim")]


def _places(panel: Panel) -> list[float]:
    return [float(one) for one in np.unique(np.concatenate([line.x for line in panel.lines]))]


def _place(picture: Curves, x: float) -> str:
    return cut(picture.categories[int(x)], LONGEST_NAME) if picture.categories else number(x, 4)


def _range(panel: Panel, *, log: bool) -> tuple[float, float]:
    """The ends of the scale; 0 is on it unless it is logarithmic."""
    ends = [one for line in panel.lines for one in (line.y, line.low, line.high) if one is not None]
    values = np.concatenate(ends)
    values = values[np.isfinite(values)]
    values = np.log10(values) if log else np.append(values, 0.0)
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low, low + 1.0)


def _scale(line: Line, at: int, scale: tuple[float, float, int], *, log: bool) -> str:
    low, high, count = scale

    def column(value: float) -> int:
        placed = np.log10(value) if log else value
        return min(max(round((placed - low) / (high - low) * (count - 1)), 0), count - 1)

    cells = [" "] * count
    if low <= 0 <= high and not log:
        cells[column(0.0)] = "│"
    if line.low is not None and line.high is not None and np.isfinite(line.low[at]):
        first, last = column(float(line.low[at])), column(float(line.high[at]))
        cells[first : last + 1] = "─" * (last + 1 - first)
        cells[first], cells[last] = "├", "┤"
    if np.isfinite(line.y[at]):
        cells[column(float(line.y[at]))] = "●"
    return "".join(cells)
