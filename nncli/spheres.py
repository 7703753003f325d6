"""Concentric spheres: how far errors are at best.

Examples are uniform on a sphere of radius 1 or on one of radius R around the same centre. In many
dimensions even a set of errors of tiny measure is near to almost every point of a sphere: of all
sets of one measure a cap is the farthest away (isoperimetry), and it is not far.

References:
    Gilmer et al., "Adversarial Spheres", 2018.
"""

import math

from scipy import special


def optimal_mean_distance(error: float, dimension: int, radius: float = 1.0) -> float:
    """The largest mean distance to the nearest error that a share of errors allows on a sphere.

    That of a cap; for many dimensions, where one coordinate of a uniform point of the unit sphere
    is normal with variance 1 / dimension.

    Args:
        error: Share of the sphere that is misclassified, 0 < error <= 1.
        dimension: Dimension of the space.
        radius: Radius of the sphere.

    Returns:
        The mean over the sphere of the distance to the cap, 0 inside it; infinite for no errors.

    Raises:
        ValueError: The share is no share.
    """
    if not 0 <= error <= 1:
        raise ValueError(f"a share lies in [0, 1], not {error}")
    if error in (0, 1):
        return math.inf if error == 0 else 0.0
    edge = -float(special.ndtri(error))
    density = math.exp(-(edge**2) / 2) / math.sqrt(2 * math.pi)
    mean = edge * float(special.ndtr(edge)) + density
    return radius * mean / math.sqrt(dimension)
