"""A second line above a maximum, beside the one that its ReLU gives.

Of `max(a, b) = a + relu(b - a)` the chord of the ReLU gives one plane above, and the greatest value
that either can have another. The first is good where a and b rise together, the second where they
do not. That one is taken which is lower in the middle of the box of a and b: the one with less
volume below it. Minima are the mirror image.
"""

from collections.abc import Sequence

import torch

from nncli.verification.intervals import Interval
from nncli.verification.network import Network, Sum
from nncli.verification.relaxation import Lines, unstable


def capped(network: Network, place: int, known: Sequence[Interval]) -> Lines | None:
    """Lines of a sum as a function of itself.

    Args:
        network: The network.
        place: The sum.
        known: Intervals (B, n) of all places up to it.

    Returns:
        Constants where they are better than what comes of its terms, the sum itself elsewhere;
        `None` if it is no maximum or minimum.
    """
    node = network.nodes[place - 1]
    if not isinstance(node, Sum) or node.extreme is None:
        return None
    given, excess = known[node.parents[0]], known[network.activation(node.parents[1]).parent]
    own = known[place]
    first = node.extreme.pairs[:, 0]
    bent = unstable(excess.low, excess.high)
    half = node.maps[1].apply(torch.where(bent, excess.high / 2, 0.0))  # of minima negative
    middle = (given.low[:, first] + given.high[:, first]) / 2 + half
    one, none = torch.ones_like(middle)[:, None], torch.zeros_like(middle)[:, None]
    if node.extreme.least:
        better = ((own.low > middle) & (half < 0))[:, None]
        return Lines(
            torch.where(better, 0.0, one), torch.where(better, own.low[:, None], 0.0), one, none
        )
    better = ((own.high < middle) & (half > 0))[:, None]
    return Lines(
        one, none, torch.where(better, 0.0, one), torch.where(better, own.high[:, None], 0.0)
    )
