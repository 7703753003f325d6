"""Pictures drawn in characters, for a terminal and for logs.

Colours only repeat what the characters say: a number, a shade, or a name beside a curve.
"""

import textwrap

from rich.text import Text

from nncli.figures.curve_pictures import Curves
from nncli.figures.pictures import (
    Gallery,
    Heatmaps,
    Histograms,
    Picture,
    Populations,
    Reliability,
)
from nncli.figures.text_bars import gallery_lines, histogram_lines, reliability_lines
from nncli.figures.text_curves import curve_lines
from nncli.figures.text_grids import heatmap_lines
from nncli.figures.text_parts import cut, styled
from nncli.figures.text_populations import population_lines


def drawn(picture: Picture, *, width: int = 80, colour: bool = False) -> Text:
    """Draw a picture in characters.

    Args:
        picture: What it shows.
        width: Characters of a line.
        colour: Use colours.

    Returns:
        Lines of text with styles, a newline at the end of each.
    """
    lines = [styled(cut(picture.title, width), "bold"), *_lines(picture, width, colour=colour)]
    if picture.caption:
        lines += [Text(), *(styled(one, "dim") for one in textwrap.wrap(picture.caption, width))]
    whole = Text()
    for line in lines:
        whole.append_text(line).append("\n")
    if colour:
        return whole
    return Text("".join(f"{line.rstrip()}\n" for line in whole.plain.splitlines()))


def _lines(picture: Picture, width: int, *, colour: bool) -> list[Text]:
    if isinstance(picture, Heatmaps):
        return heatmap_lines(picture, width, colour=colour)
    if isinstance(picture, Curves):
        return curve_lines(picture, width)
    if isinstance(picture, Reliability):
        return reliability_lines(picture, width)
    if isinstance(picture, Histograms):
        return histogram_lines(picture, width)
    if isinstance(picture, Populations):
        return population_lines(picture, width)
    assert isinstance(picture, Gallery)
    return gallery_lines(picture, width, colour=colour)
