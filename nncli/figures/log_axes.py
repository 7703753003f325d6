"""Curves on logarithmic axes: on request, and without the values that have no place there."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nncli.errors import ArtifactError, UsageError
from nncli.figures.curve_pictures import F64, Curves, Line, Panel
from nncli.figures.pictures import Picture


def on_log_axes(picture: Picture, axes: Sequence[str], *, source: str) -> Picture:
    """Take a logarithmic scale for some axes of a picture.

    Args:
        picture: Any picture.
        axes: Which axes, `x` or `y`; none changes nothing.
        source: What is drawn, for errors.

    Returns:
        The picture. Where x has 0 beside positive places it keeps a place for it; values of y that
        are not positive are left out, and counted in the caption.

    Raises:
        UsageError: The picture has no curves.
        ArtifactError: x has names or negative numbers for its places.
    """
    if not axes:
        return picture
    if not isinstance(picture, Curves):
        raise UsageError(f"`--log` does not fit `{source}`, whose picture has no curves")
    if "x" in axes:
        picture = replace(picture, scale=_scale(picture, source))
    return _log_y(picture) if "y" in axes else picture


def _scale(picture: Curves, source: str) -> str:
    if picture.categories is not None:
        raise ArtifactError(f"x in the picture of `{source}` has names, not numbers: no `--log x`")
    places = np.concatenate([line.x for panel in picture.panels for line in panel.lines])
    if places.min() < 0 or places.max() <= 0:
        raise ArtifactError(f"`{picture.x_label}` in `{source}` is not positive: no `--log x`")
    return "symlog" if places.min() == 0 else "log"


def _log_y(picture: Curves) -> Curves:
    left = sum(
        int((line.y <= 0).sum()) for panel in picture.panels for line in panel.lines
    )  # NaN is not counted twice
    panels = tuple(_positive_panel(one) for one in picture.panels)
    said = f"left out, because not positive: {left:,} of the values" if left else ""
    caption = "; ".join(filter(None, [picture.caption, said]))
    return replace(picture, panels=panels, y_scale="log", caption=caption)


def _positive_panel(panel: Panel) -> Panel:
    lines = tuple(_positive(one) for one in panel.lines)
    values = np.concatenate([one.y for one in lines]) if lines else np.empty(0)
    if not np.isfinite(values).any():
        return replace(panel, lines=lines, note=panel.note or "no positive values")
    floor = float(np.nanmin(values)) / 2  # where a band goes that reaches down to 0
    return replace(panel, lines=tuple(_raised(one, floor) for one in lines))


def _positive(line: Line) -> Line:
    runs = tuple((x, _masked(y)) for x, y in line.runs)
    return replace(line, y=_masked(line.y), runs=runs)


def _masked(values: F64) -> F64:
    return np.where(values > 0, values, np.nan)


def _raised(line: Line, floor: float) -> Line:
    if line.low is None or line.high is None:
        return line
    there = np.isfinite(line.y)
    low = np.where(there, np.maximum(line.low, np.minimum(floor, line.y)), np.nan)
    return replace(line, low=low, high=np.where(there, line.high, np.nan))
