"""Layers of a capture side by side, as features of some of its examples."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nncli.probing.designs import Capture
from nncli.probing.rows import gather
from nncli.probing.study import matrix_of

F64 = NDArray[np.float64]


def side_by_side(capture: Capture, layers: Sequence[str], places: NDArray[np.int64]) -> F64:
    """Features of examples from several layers.

    Args:
        capture: The activations.
        layers: Which layers; positions of tokens and places of maps are features.
        places: (n,) which examples, each once.

    Returns:
        (n, d) all features of all layers.

    Raises:
        ArtifactError: A number is not finite.
    """
    return np.concatenate(
        [gather(matrix_of(capture, one, "flatten")[0], places) for one in layers], axis=1
    )
