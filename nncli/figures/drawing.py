"""Pictures drawn by matplotlib, and figures as bytes that are the same every time."""

import io

from matplotlib.figure import Figure

from nncli.figures.curve_figure import curve_figure
from nncli.figures.curve_pictures import Curves
from nncli.figures.gallery_figure import gallery_figure
from nncli.figures.heatmap_figure import heatmap_figure
from nncli.figures.histogram_figure import histogram_figure
from nncli.figures.pictures import (
    Gallery,
    Heatmaps,
    Histograms,
    Picture,
    Populations,
    Reliability,
)
from nncli.figures.population_figure import population_figure
from nncli.figures.reliability_figure import reliability_figure
from nncli.figures.style import styled

DOTS_PER_INCH = 160


def draw(picture: Picture) -> Figure:
    """Draw a picture.

    Args:
        picture: What it shows.

    Returns:
        A figure of its own, which no global state of matplotlib knows.
    """
    with styled():
        if isinstance(picture, Heatmaps):
            return heatmap_figure(picture)
        if isinstance(picture, Curves):
            return curve_figure(picture)
        if isinstance(picture, Reliability):
            return reliability_figure(picture)
        if isinstance(picture, Histograms):
            return histogram_figure(picture)
        if isinstance(picture, Populations):
            return population_figure(picture)
        assert isinstance(picture, Gallery)
        return gallery_figure(picture)


def encode(figure: Figure, form: str, *, entry: str = "") -> bytes:
    """A figure as the bytes of a file, the same for the same figure.

    Args:
        figure: The figure.
        form: `png`, `svg` or `pdf`.
        entry: Our metadata entry, which PNG and SVG have a place for.

    Returns:
        The file. It names nncli as its maker, and no time.
    """
    metadata: dict[str, dict[str, str | None]] = {
        "png": {"Software": "nncli", **({"nncli": entry} if entry else {})},
        "svg": {"Creator": "nncli", "Date": None, **({"Description": entry} if entry else {})},
        "pdf": {"Creator": "nncli", "CreationDate": None},
    }
    file = io.BytesIO()
    with styled():
        figure.savefig(file, format=form, dpi=DOTS_PER_INCH, metadata=metadata[form])
    return file.getvalue()
