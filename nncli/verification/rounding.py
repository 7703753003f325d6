"""How far floating point may be from real arithmetic, known beforehand.

A sum of K products in float64 differs from the exact one by at most `growth(K)` times the sum of
their absolute values, in whatever order it is added up. Bounds are widened by that, so that they
hold for the real-arithmetic function of the stored weights.

That model is silent on products too small for floating point, each of which is off by up to 2^-1075
whatever its size. Such an error is multiplied by a value of the network at most. Values beyond
`LARGEST` count as infinite, which proves nothing; so with fewer than 2^70 operations these errors
add up to less than `TINY`, which every bound gives away.

References:
    Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1.
"""

UNIT = 2.0**-53  # of float64: the greatest relative error of one operation
LARGEST = 2.0**300  # nothing is proved about networks with greater values
TINY = 2.0**-700  # more than all products that are too small can add up to


def growth(terms: int) -> float:
    """The factor of a sum of some number of products, with room for its own rounding.

    Args:
        terms: Products.

    Returns:
        A little over K u / (1 - K u).
    """
    share = (terms + 4) * UNIT
    return 1.01 * share / (1 - share)
