"""Curves: one panel a quantity, means with bands, single runs thin."""

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from nncli.figures.curve_pictures import Curves, Line, Panel
from nncli.figures.style import (
    COLOURS,
    DASHES,
    GREY,
    add_legend,
    empty_panel,
    new_figure,
    place_panels,
    shortened,
)

MOST_TICKS = 10
LETTERS_ACROSS = 42  # of names of ticks, on the axis of one panel
MOST_MARKED = 30
MOST_LEGEND = 30
LABEL_LETTERS = 40
DODGE = 0.16  # between points of one place, where places are 1 apart
MARK_DASHES = ((0, (5, 3)), (0, (1, 1.6)))


def curve_figure(picture: Curves) -> Figure:
    """Draw panels of curves with one legend.

    Args:
        picture: The panels.

    Returns:
        The figure.
    """
    panels = picture.panels
    across = 2 if len(panels) == 4 else min(len(panels), 3)
    labels = _labels(picture)
    beside = bool(labels) and (len(labels) > 4 or max(map(len, labels)) > 24 or len(panels) > 1)
    rows = -(-len(panels) // across)
    letters = min(max((len(one) for one in labels), default=0), LABEL_LETTERS)
    right = 0.075 * letters + 0.6 if beside else 0.0
    width = 3.4 * across + 1.0 + right
    height = max(2.7 * rows + 0.3, 0.18 * min(len(labels), MOST_LEGEND) + 0.6 if beside else 0.0)
    rest = len(labels) - MOST_LEGEND
    said = [f"{rest} more lines not in the legend"] if rest > 0 else []
    caption = "; ".join(filter(None, [*said, picture.caption, picture.band]))
    figure = new_figure(width, height, picture.title, caption, right=right)
    hues = _hues(picture)
    handles: dict[str, Artist] = {}
    drawn = list(place_panels(figure, len(panels), across))
    for axes, panel in zip(drawn, panels, strict=True):
        axes.set_ylabel(panel.y_label)
        axes.set_xlabel(picture.x_label)
        if panel.note:
            empty_panel(axes, panel.note)
            continue
        if picture.joined:
            _draw(axes, panel, hues, handles)
        else:
            _draw_points(axes, panel, hues, handles)
        _scale(axes, picture, panel)
        _draw_marks(axes, panel, hues, handles)
    _share_range([one for one, panel in zip(drawn, panels, strict=True) if panel.common])
    if handles:
        shown = list(handles)[:MOST_LEGEND]
        names = [shortened(one, LABEL_LETTERS) for one in shown]
        lines = [handles[one] for one in shown]
        if beside:
            add_legend(figure, lines, names, right=True)
        else:
            figure.axes[0].legend(lines, names, loc="best")
    return figure


def _hues(picture: Curves) -> list[str]:
    """A colour for each line; along one scale if they are ordered or too many to tell apart."""
    from matplotlib.colors import to_hex

    count = 1 + max((line.colour for one in picture.panels for line in one.lines), default=0)
    if count <= len(COLOURS) and not (picture.ordered and count > 3):
        return list(COLOURS[:count])
    scale = colormaps["viridis"]
    return [to_hex(scale(0.92 * place / max(count - 1, 1))) for place in range(count)]


def _labels(picture: Curves) -> list[str]:
    """What the legend says, the curves first."""
    lines = [line.label for panel in picture.panels for line in panel.lines]
    marks = [mark.label for panel in picture.panels for mark in panel.marks]
    return [one for one in dict.fromkeys([*lines, *marks]) if one]


def _draw(axes: Axes, panel: Panel, hues: list[str], handles: dict[str, Artist]) -> None:
    for line in panel.lines:
        hue, dash = hues[line.colour], DASHES[line.style % len(DASHES)]
        for x, y in line.runs:
            axes.plot(x, y, color=hue, ls=dash, lw=0.6, alpha=0.35)
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=hue, alpha=0.16, lw=0)
        marked = len(line.x) <= MOST_MARKED
        (drawn,) = axes.plot(
            line.x, line.y, color=hue, ls=dash, lw=1.7, marker="o" if marked else None, ms=3.2
        )
        if line.label:
            handles.setdefault(line.label, drawn)


def _draw_points(axes: Axes, panel: Panel, hues: list[str], handles: dict[str, Artist]) -> None:
    """Points with their intervals, those of one place side by side, and where 0 is."""
    middle = (len(panel.lines) - 1) / 2
    for place, line in enumerate(panel.lines):
        hue, x = hues[line.colour], line.x + DODGE * (place - middle)
        if line.low is not None and line.high is not None:
            axes.vlines(x, line.low, line.high, color=hue, lw=1.7, alpha=0.5)
        (drawn,) = axes.plot(x, line.y, color=hue, ls="", marker="o", ms=4.5)
        if line.label:
            handles.setdefault(line.label, drawn)
    axes.axhline(0.0, color="0.5", lw=0.8)


def _draw_marks(axes: Axes, panel: Panel, hues: list[str], handles: dict[str, Artist]) -> None:
    """Lines at places that mean something; an interval lies on the lower edge."""
    for mark in panel.marks:
        hue = GREY if mark.colour is None else hues[mark.colour]
        dash = MARK_DASHES[mark.colour is None]
        axes.axvline(mark.at, color=hue, lw=1.1, ls=dash, zorder=1)
        if mark.low is not None and mark.high is not None:
            edge = axes.get_xaxis_transform()
            axes.plot(
                [mark.low, mark.high], [0.012, 0.012], color=hue, lw=4, alpha=0.55,
                transform=edge, solid_capstyle="butt", zorder=1,
            )  # fmt: skip
        handles.setdefault(mark.label, Line2D([], [], color=hue, lw=1.1, ls=dash))


def _scale(axes: Axes, picture: Curves, panel: Panel) -> None:
    places = np.unique(np.concatenate([line.x for line in panel.lines]))
    if picture.categories is not None:
        _name_places(axes, picture.categories)
    elif picture.scale == "symlog":
        axes.set_xscale("symlog", linthresh=float(places[places > 0][0]), linscale=0.4)
    else:
        axes.set_xscale(picture.scale)
    if picture.categories is None and picture.scale != "linear":
        _tick_at(axes, places)
    if picture.y_scale == "log":
        _scale_y(axes)
    elif picture.joined:
        _bound_shares(axes, panel.lines)


def _share_range(several: list[Axes]) -> None:
    """One range of values for panels whose values are of one kind."""
    ranges = [one.get_ylim() for one in several if one.lines or one.collections]
    for one in several if ranges else []:
        one.set_ylim(min(low for low, _ in ranges), max(high for _, high in ranges))


def _scale_y(axes: Axes) -> None:
    """A logarithmic axis, with 1, 2 and 5 of each power of ten where there are few powers."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    few = high / low < 300
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _name_places(axes: Axes, names: tuple[str, ...]) -> None:
    step = -(-len(names) // 40)
    shown = [shortened(one, 24) for one in names[::step]]
    axes.set_xticks(range(0, len(names), step), shown)
    if sum(map(len, shown)) > 34:
        axes.tick_params(axis="x", rotation=40 if len(shown) <= 14 else 90)
        if len(shown) <= 14:
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")


def _tick_at(axes: Axes, places: np.ndarray) -> None:
    """Few places on a logarithmic axis are named themselves, not the powers of ten near them."""
    if len(places) <= MOST_TICKS:
        axes.xaxis.set_major_locator(FixedLocator(_with_room(places)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _with_room(places: np.ndarray) -> list[float]:
    """The places whose names do not run into one another, from the last one on."""
    positive = places[places > 0]
    decades = np.log10(positive[-1] / positive[0]) or 1.0
    shown: list[float] = []
    for place in positive[::-1].tolist():
        letters = len(f"{place:g}") if not shown else len(f"{place:g}{shown[-1]:g}") / 2
        if not shown or np.log10(shown[-1] / place) * LETTERS_ACROSS >= decades * (letters + 0.4):
            shown.append(place)
    return [*([0.0] if places[0] == 0 else []), *shown[::-1]]


def _bound_shares(axes: Axes, lines: tuple[Line, ...]) -> None:
    """Shares end at 0 and 1: the axis does not promise more."""
    values = np.concatenate([line.y for line in lines])
    values = values[np.isfinite(values)]
    low, high = axes.get_ylim()
    if values.size and values.min() >= 0 and 0.5 <= values.max() <= 1:
        axes.set_ylim(max(low, 0.0), min(high, 1.0 + 0.02 * (1.0 - max(low, 0.0))))
