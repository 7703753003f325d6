"""Curved activations in a search: what their lines cost, and where to divide what goes into them.

References:
    Shi et al. 2024, Neural network verification with branch-and-bound for general nonlinearities.
"""

import torch
from torch import Tensor

from nncli.verification.network import FUNCTIONS
from nncli.verification.relaxation import Slopes, lines

NARROW = 1e-4  # of what goes in: there lines are nearer than rounding in the search
MARGIN = 0.1  # of the width: so near to an end a division at 0 would leave nearly the whole
SHARES = (1 / 6, 1 / 2, 5 / 6)  # of the width: where lines are compared with the function


def divisible(low: Tensor, high: Tensor) -> Tensor:
    """Where an interval is wide enough for a division to gain."""
    return (high - low > NARROW) & (high - low).isfinite()


def gaps(function: str, low: Tensor, high: Tensor, slopes: Slopes) -> tuple[Tensor, Tensor]:
    """How far the lines are from a curved activation, in the mean over intervals.

    Args:
        function: Its name.
        low: (B, n).
        high: (B, n).
        slopes: (B, 1, n) those of the lines, or the rule of CROWN.

    Returns:
        (B, n) for the upper and for the lower lines.
    """
    line = lines(function, low, high, slopes)
    over, under = torch.zeros_like(low), torch.zeros_like(low)
    for share in SHARES:
        y = low + share * (high - low)
        value = FUNCTIONS[function](y)
        over += line.above[:, 0] * y + line.over[:, 0] - value
        under += value - line.below[:, 0] * y
    if line.under is not None:
        under -= len(SHARES) * line.under[:, 0]
    return over / len(SHARES), under / len(SHARES)


def division(function: str, low: Tensor, high: Tensor) -> Tensor:
    """Where to divide intervals: at the bend of an S-shaped function, else in the middle.

    Args:
        function: Its name.
        low: (K,).
        high: (K,).
    """
    middle = low + (high - low) / 2
    if function == "square":
        return middle
    bent = torch.minimum(-low, high) > MARGIN * (high - low)
    return torch.where(bent, 0.0, middle)
