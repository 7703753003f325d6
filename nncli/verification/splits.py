"""Divisions of what goes into an activation: `y >= c` in one half, `y <= c` in the other.

The sign of a ReLU is the case c = 0. What a division says of y enters a bound by a term of
Lagrange: `m (c - y)` is not positive in a half if the factor m is not negative where `y >= c`, and
not positive where `y <= c`. So the least value of a row and that term is a bound of the row there.

A curved activation may be divided on both sides, one after the other. Then m may have either sign:
where it is positive c is the lower end of the interval, where negative the upper one. (Two factors
of different signs are never better than their sum.) The ends of any interval that holds in the
branch will do for c, so nothing is kept beside the intervals and which sides were divided.

References:
    Wang et al. 2021, Beta-CROWN. Shi et al. 2024, Neural network verification with branch-and-bound
    for general nonlinearities (GenBaB).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from nncli.verification.network import Network

BOTH = 2  # with the sign of the side that was divided first, where both sides were


def upper_half(sign: Tensor) -> Tensor:
    """What 1, -1 (divided below, above) and 0 become where y >= c: multipliers keep their sign."""
    return torch.where(sign == 0, 1.0, torch.where(sign == -1, -BOTH, sign))


def lower_half(sign: Tensor) -> Tensor:
    """What they become where y <= c."""
    return -upper_half(-sign)


def least(sign: Tensor) -> Tensor:
    """(B, 1, n) the least that multipliers (B, R, n) may be, before they take the sign (B, n)."""
    return torch.where(sign.abs() == BOTH, -torch.inf, 0.0).to(sign.dtype)[:, None]


def signed(
    network: Network, multipliers: Mapping[int, Tensor], signs: Mapping[int, Tensor]
) -> dict[int, Tensor]:
    """The factors m of the terms, valid whatever the multipliers are.

    Args:
        network: The network.
        multipliers: (B, R, n) by the place of an activation.
        signs: (B, n) by the same place.
    """
    found = {}
    for place, one in multipliers.items():
        sign = signs[place]
        if network.activation(place).function == "relu":  # divided once, at 0
            found[place] = one.clamp_min(0) * sign[:, None]
        else:
            found[place] = torch.maximum(one, least(sign)) * sign.sign()[:, None]
    return found
