"""What goes into each activation, and what comes out, over a region: proved and reached."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nncli.verification.backward import below
from nncli.verification.domains import Domain, domain_of
from nncli.verification.falsifying import moved, starting_points
from nncli.verification.intervals import Interval, intervals
from nncli.verification.network import Network
from nncli.verification.properties import Region
from nncli.verification.tightening import Effort, relaxations, tightened

STARTS, STEPS = 8, 40
PORTION = 200  # outputs that are attacked at once, at most
HELD = 4  # numbers of float64 for each point, and number of the network


@dataclass(frozen=True)
class Layer:
    """Bounds of one layer.

    Attributes:
        name: Its label in the network, made unique; `output` for the last.
        low: (n,) at most every value over the region.
        high: (n,) at least every value.
    """

    name: str
    low: Tensor
    high: Tensor


def layer_bounds(network: Network, region: Region, effort: Effort) -> list[Layer]:
    """Bounds of what goes into activations, and of the outputs.

    Args:
        network: The network.
        region: Inputs.
        effort: How hard to try; see `tightened`.

    Returns:
        One for each value that an activation is of, in the order of the network, the outputs last.
    """
    domain = domain_of([region])
    known = tightened(network, domain, effort) if effort.backward else intervals(network, domain)
    parents = dict.fromkeys(network.activation(place).parent for place in network.activations)
    found, taken = [], {"output"}
    for place in parents:
        if place == network.last:
            continue
        name = "input" if place == 0 else network.nodes[place - 1].label or f"place-{place}"
        unique, turn = name, 2
        while unique in taken:
            unique, turn = f"{name}.{turn}", turn + 1
        taken.add(unique)
        found.append(Layer(unique, known[place].low[0], known[place].high[0]))
    return [*found, _outputs(network, domain, known, effort)]


def _outputs(network: Network, domain: Domain, known: list[Interval], effort: Effort) -> Layer:
    """The outputs, by backward passes where these are asked for."""
    last = known[network.last]
    low, high = last.low[0].clone(), last.high[0].clone()
    if effort.backward and network.last:
        lines = relaxations(network, known)
        widest = max(network.sizes)
        portion = max(1, effort.numbers // (2 * widest))
        eye = torch.eye(network.outputs, dtype=low.dtype)
        for chosen in torch.split(torch.arange(network.outputs), portion):
            least = below(network, {network.last: eye[None, chosen]}, domain, known, lines)
            most = below(network, {network.last: -eye[None, chosen]}, domain, known, lines)
            low[chosen] = torch.maximum(low[chosen], least.bound[0])
            high[chosen] = torch.minimum(high[chosen], -most.bound[0])
    return Layer("output", low, high)


def reached_outputs(
    network: Network, region: Region, seed: int, numbers: int = 60_000_000
) -> tuple[Tensor, Tensor]:
    """How small and how great outputs become at points of a region, by projected gradients.

    Args:
        network: The network.
        region: Inputs.
        seed: Of the starts.
        numbers: Numbers of float64 held at once, about.

    Returns:
        The least and the greatest value (m,) that each output was seen to take, in float64.
    """
    generator = torch.Generator().manual_seed(seed)
    least = torch.full((network.outputs,), torch.inf, dtype=torch.float64)
    most = -least
    width = sum(network.sizes)
    portion = max(1, min(PORTION, numbers // (2 * STARTS * HELD * width)))
    for chosen in torch.split(torch.arange(network.outputs), portion):
        count = len(chosen)
        signs = torch.cat([torch.ones(count), -torch.ones(count)]).double()
        x = starting_points(region, 2 * count, STARTS, generator, corners=False)
        for turn in range(STEPS + 1):
            x = x.double().clamp(region.low, region.high).requires_grad_(True)
            outputs = network(x)
            seen = outputs.detach().flatten(0, 1)
            least = torch.minimum(least, seen.amin(dim=0))
            most = torch.maximum(most, seen.amax(dim=0))
            own = signs * outputs[:, torch.arange(2 * count), chosen.repeat(2)]
            if turn == STEPS or not own.requires_grad:
                break
            (slope,) = torch.autograd.grad(own.sum(), x)
            x = moved(x.detach(), slope, region, 0.25 * (1 - turn / STEPS) ** 2 + 1e-3)
    return least, most
