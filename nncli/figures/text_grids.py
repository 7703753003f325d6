"""Heat maps in characters: numbers on colours, or shades where there is no colour."""

import textwrap

import numpy as np
from rich.text import Text

from nncli.figures.pictures import Grid, Heatmaps
from nncli.figures.text_parts import cut, on, shade, styled, viridis

LONGEST_NAME = 24
NUMBER = 8  # characters of a cell with its number
LEGEND_STEPS = 16


def heatmap_lines(picture: Heatmaps, width: int, *, colour: bool) -> list[Text]:
    """Draw grids one below the other.

    Args:
        picture: The grids.
        width: Characters of a line.
        colour: Show values by colours rather than by shades.

    Returns:
        The lines.
    """
    lines = _dim(f"rows: {picture.row_label}, columns: {picture.column_label}", width)
    for grid in picture.panels:
        lines += [Text(), *_grid_lines(grid, width, colour=colour)]
    return lines


def _grid_lines(grid: Grid, width: int, *, colour: bool) -> list[Text]:
    names = [cut(name, LONGEST_NAME) for name in grid.rows]
    margin = max(map(len, names)) + 2
    cell = _cell_width(grid, width - margin)
    numbered = cell >= NUMBER
    lines = [styled(cut(grid.scale, width), "bold"), _legend(grid, colour=colour)]
    lines += _headings(grid, margin, cell, width)
    step = -(-grid.values.shape[1] // max((width - margin) // cell, 1))
    values = _thinned(grid.values, step)
    for name, row in zip(names[::step], values, strict=True):
        line = styled(f"{name:>{margin - 2}}  ")
        for value in row:
            line.append(_cell(grid, float(value), cell, numbered=numbered, colour=colour))
        lines.append(line)
    if step > 1:
        lines += _dim(f"each cell is the mean of {step} × {step}", width)
    reasons = list(dict.fromkeys(grid.notes.values()))
    if np.isnan(grid.values).any():
        lines += _dim(f"– none: {'; '.join(reasons) or 'not compared'}", width)
    return lines


def _dim(text: str, width: int) -> list[Text]:
    return [styled(one, "dim") for one in textwrap.wrap(text, width)]


def _cell_width(grid: Grid, room: int) -> int:
    """As wide as the names of the columns need if that fits, else for a number, else 2, else 1."""
    count = len(grid.columns)
    longest = max(len(cut(name, LONGEST_NAME)) for name in grid.columns)
    for wide in (max(longest + 2, NUMBER), NUMBER, 2):
        if count * wide <= room:
            return wide
    return 1


def _legend(grid: Grid, *, colour: bool) -> Text:
    line = styled(f"{grid.low:g} ")
    for place in range(LEGEND_STEPS):
        share = (place + 0.5) / LEGEND_STEPS
        likeness = 1 - share if grid.alike == "low" else share
        line.append(styled(" ", on(viridis(likeness))) if colour else styled(shade(likeness)))
    return line.append(f" {grid.high:g}")


def _headings(grid: Grid, margin: int, cell: int, width: int) -> list[Text]:
    """Names above the columns, or numbers with a list of what they stand for."""
    names = [cut(name, LONGEST_NAME) for name in grid.columns]
    if max(map(len, names)) + 1 <= cell:
        return [styled(" " * margin + "".join(f"{name:^{cell}}" for name in names))]
    if grid.columns == grid.rows:
        said = "columns: the same names as the rows, in the same order"
    else:
        said = "columns: " + ", ".join(f"{place} {name}" for place, name in enumerate(names, 1))
    if len(said) > 2 * width:
        said = f"columns: 1 {names[0]} to {len(names)} {names[-1]}"
    lines = _dim(said, width)
    if cell < 2:
        return lines
    head = ""
    for place in range(1, len(names) + 1):
        shown = str(place) if cell >= 3 or place % 5 == 0 else ""
        head = head[: place * cell - len(shown)].ljust(place * cell - len(shown)) + shown
    return [*lines, styled(" " * margin + head)]


def _thinned(values: np.ndarray, step: int) -> np.ndarray:
    """Means of blocks of `step` by `step` values, NaN left out."""
    if step == 1:
        return values
    rows, columns = (-(-size // step) for size in values.shape)
    found = np.full((rows, columns), np.nan)
    for row in range(rows):
        for column in range(columns):
            block = values[row * step : (row + 1) * step, column * step : (column + 1) * step]
            there = block[np.isfinite(block)]
            if there.size:
                found[row, column] = there.mean()
    return found


def _cell(grid: Grid, value: float, width: int, *, numbered: bool, colour: bool) -> Text:
    if not np.isfinite(value):
        return styled(f"{'–':^{width}}" if width > 1 else "–", "dim")
    share = min(max((value - grid.low) / ((grid.high - grid.low) or 1.0), 0.0), 1.0)
    likeness = 1 - share if grid.alike == "low" else share
    text = f"{value:.2f}".replace("-0.00", "0.00") if abs(value) < 100 else f"{value:.3g}"
    if colour:
        return styled(f"{text:^{width}}" if numbered else " " * width, on(viridis(likeness)))
    if numbered:
        return styled(f"{shade(likeness) * 2 + ' ' + text:^{width}}")
    return styled(shade(likeness) * width)
