"""How far floating point may be from real arithmetic, known beforehand.

A sum of K products in float64 differs from the exact one by at most `growth(K)` times the sum of
their absolute values, in whatever order it is added up. Bounds are widened by that, so that they
hold for the real-arithmetic function of the stored weights.

References:
    Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1.
"""

UNIT = 2.0**-53  # of float64: the greatest relative error of one operation


def growth(terms: int) -> float:
    """The factor of a sum of some number of products, with room for its own rounding.

    Args:
        terms: Products.

    Returns:
        A little over K u / (1 - K u).
    """
    share = (terms + 4) * UNIT
    return 1.01 * share / (1 - share)
