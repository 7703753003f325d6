"""Tensors as pictures: spectra of activations, histograms of weights."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.figures.curve_pictures import Curves, Line, Panel
from nncli.figures.pictures import Histogram, Histograms
from nncli.spectra import Spectrum
from nncli.tensor_statistics import Statistics, summarise

Array = NDArray[Any]
Blocks = Callable[[], Iterable[Array]]

SHARE = 0.9
MOST_BINS = 60


def spectra(found: Sequence[Spectrum], *, source: str) -> Curves:
    """Cumulative variance over principal components, one curve a layer.

    Args:
        found: The spectra, in the order of the network.
        source: The name of the activations, for the title.

    Returns:
        The curves; the legend says how many components hold 90 % of the variance.

    Raises:
        ArtifactError: Every layer is constant.
    """
    drawn = [one for one in found if one.shares.size]
    if not drawn:
        raise ArtifactError(
            f"every layer of `{source}` is constant over its examples: there is no variance"
        )
    lines = tuple(
        Line(
            f"{one.name} ({one.components_for(SHARE)} of {len(one.shares)})",
            np.arange(1, len(one.shares) + 1, dtype=np.float64),
            one.cumulative,
            colour=place,
        )
        for place, one in enumerate(drawn)
    )
    said = [f"in brackets: components that hold {SHARE:.0%} of the variance"]
    constant = [one.name for one in found if not one.shares.size]
    if constant:
        said.append(f"constant, not drawn: {', '.join(constant)}")
    rows = {(one.rows, one.n) for one in drawn}
    said += [f"{used:,} of {n:,} rows, evenly spread" for used, n in sorted(rows) if used < n]
    said += [f"n = {n:,}" for n in sorted({n for used, n in rows if used == n})]
    return Curves(
        source,
        "principal components",
        (Panel("cumulative share of the variance", lines),),
        scale="log" if max(len(one.shares) for one in drawn) > 20 else "linear",
        ordered=True,
        caption="; ".join(said),
    )


def weight_histograms(tensors: Mapping[str, Blocks], *, source: str, rest: int = 0) -> Histograms:
    """Histograms of the numbers of tensors, each read twice in blocks.

    Args:
        tensors: For each name what gives its blocks anew.
        source: The name of the checkpoint, for the title.
        rest: How many tensors are left out, for the caption.

    Returns:
        A histogram a tensor, its bins between its extremes: the square root of its numbers, but
        8 to 60.
    """
    panels = tuple(_histogram(name, blocks) for name, blocks in tensors.items())
    more = f"; {rest:,} more tensors not drawn, `--layer` chooses" if rest else ""
    return Histograms(source, "value", panels, f"s: standard deviation{more}")


def _histogram(name: str, blocks: Blocks) -> Histogram:
    found = summarise(blocks())
    if found.minimum is None or found.maximum is None:
        return Histogram(name, np.empty(0), np.zeros(0, np.int64), _note(found))
    low, high = found.minimum, found.maximum
    bins = int(np.clip(np.sqrt(found.count), 8, MOST_BINS))
    if low == high:  # a single value stands in the middle
        pad, bins = abs(low) * 0.1 or 0.5, 21
        low, high = low - pad, high + pad
    edges = np.linspace(low, high, bins + 1)
    count = np.zeros(bins, np.int64)
    for block in blocks():
        values = (np.abs(block) if block.dtype.kind == "c" else block).astype(np.float64).ravel()
        count += np.histogram(values[np.isfinite(values)], edges)[0]
    return Histogram(name, edges, count, _note(found))


def _note(found: Statistics) -> str:
    said = [f"{found.count:,}"]
    if found.minimum is not None and found.minimum == found.maximum:
        said.append(f"all {found.minimum:g}")
    elif found.std is not None:
        said.append(f"s {found.std:.3g}")
    said += [f"{found.nan:,} NaN"] if found.nan else []
    said += [f"{found.infinite:,} infinite"] if found.infinite else []
    return ", ".join(said)
