"""Datasets as pictures: some examples of each class, and how many there are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.figures.pictures import Gallery, GalleryRow, Histogram, Histograms

Array = NDArray[Any]

EACH = 10  # images of a class
MOST_CLASSES = 20
BINS = 40


def gallery(
    x: Array | None,
    y: Array | None,
    *,
    source: str,
    class_names: Sequence[str] | None = None,
    each: int = EACH,
) -> Gallery | Histograms:
    """Some images of each class with the number of examples; for numbers, their histogram.

    Args:
        x: (n, channels, height, width) images in [0, 1], or whatever else the inputs are.
        y: (n,) classes or targets, `None` where there are none.
        source: The name of the data, for the title and for errors.
        class_names: Names of the classes.
        each: How many images of a class.

    Returns:
        A gallery, its images empty where the inputs are none; a histogram for targets that are no
        classes.

    Raises:
        ArtifactError: There is neither an image nor a class or target to draw.
    """
    images = x if x is not None and x.ndim == 4 and x.shape[1] in (1, 3) else None
    if y is not None and y.dtype.kind == "f":
        count, edges = np.histogram(y[np.isfinite(y)], BINS)
        note = f"{len(y):,}, s {np.std(y):.3g}"
        return Histograms(source, "target", (Histogram("targets", edges, count, note),))
    if y is None and images is None:
        raise ArtifactError(
            f"`{source}` has neither images nor classes: there is nothing to draw",
            hint=f"`nncli show {source}` lists what there is",
        )
    labels = np.zeros(len(images), np.int64) if y is None and images is not None else y
    assert labels is not None
    values, counts = np.unique(labels, return_counts=True)
    rows = []
    for value, count in list(zip(values.tolist(), counts.tolist(), strict=True))[:MOST_CLASSES]:
        places = np.flatnonzero(labels == value)[:each]
        shown = tuple(_upright(images[at]) for at in places) if images is not None else ()
        rows.append(GalleryRow(_name(value, class_names, y is None), shown, count))
    said = [f"n = {len(labels):,}"]
    if len(values) > MOST_CLASSES:
        said.append(f"{len(values) - MOST_CLASSES:,} more classes not drawn")
    return Gallery(source, tuple(rows), "; ".join(said))


def _name(value: int, class_names: Sequence[str] | None, unlabelled: bool) -> str:
    if unlabelled:
        return "all"
    return class_names[value] if class_names and value < len(class_names) else str(value)


def _upright(image: Array) -> Array:
    """(channels, height, width) as (height, width) or (height, width, 3), cut to [0, 1]."""
    found = image[0] if image.shape[0] == 1 else np.moveaxis(image, 0, -1)
    return np.clip(found, 0.0, 1.0)
