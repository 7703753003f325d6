"""Verdicts agree with an exact oracle on hundreds of random networks, and bounds lie below it.

The oracle is a mixed-integer programme written here, from the modules' own weights with big-M from
plain interval arithmetic; another enumerates all sign patterns, a linear programme each.
"""

import itertools
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from torch import Tensor, nn

from nncli.verification.asking import property_of
from nncli.verification.exact import Asked, ExactCase, Limits, Linear
from nncli.verification.lowering import lower
from nncli.verification.portfolio import decide
from nncli.verification.replaying import violates
from nncli.verification.stages import Setting

Numbers = NDArray[np.float64]
METHODS = ("input-split", "relu-split", "milp")
UNCERTAIN = 1e-5  # the oracle's own tolerance


class Lines:
    """Variables and constraints `low <= row . v <= high`, collected bit by bit."""

    def __init__(self, low: Numbers, high: Numbers) -> None:
        self.low, self.high, self.binary = list(low), list(high), [0] * len(low)
        self.rows: list[tuple[dict[int, float], float]] = []  # at most

    def variable(self, low: float, high: float, binary: int = 0) -> int:
        self.low.append(low)
        self.high.append(high)
        self.binary.append(binary)
        return len(self.low) - 1

    def at_most(self, row: dict[int, float], limit: float) -> None:
        self.rows.append((row, limit))

    def solve(self, goal: int) -> tuple[float, Numbers]:
        count = len(self.low)
        matrix = np.zeros((len(self.rows), count))
        for at, (row, _) in enumerate(self.rows):
            for place, factor in row.items():
                matrix[at, place] = factor
        cost = np.zeros(count)
        cost[goal] = 1
        found = milp(
            cost,
            integrality=np.array(self.binary),
            bounds=Bounds(np.array(self.low), np.array(self.high)),
            constraints=LinearConstraint(matrix, -np.inf, np.array([one for _, one in self.rows])),
            options={"mip_rel_gap": 1e-9},
        )
        assert found.status == 0
        return float(found.fun), found.x


def relu_variables(lines: Lines, weight: Numbers, bias: Numbers, before: list[int]) -> list[int]:
    """Variables for relu(W v + b), with binary ones for all that may change sign."""
    low, high = (np.array(one)[before] for one in (lines.low, lines.high))
    middle = weight @ ((low + high) / 2) + bias
    spread = np.abs(weight) @ ((high - low) / 2)
    found = []
    for row, added, least, most in zip(weight, bias, middle - spread, middle + spread, strict=True):
        z = lines.variable(max(least, 0.0), max(most, 0.0))
        found.append(z)
        terms = dict(zip(before, row, strict=True))
        lines.at_most({**terms, z: -1.0}, -added)
        if least >= 0:
            lines.at_most({**{k: -v for k, v in terms.items()}, z: 1.0}, added)
        elif most > 0:
            a = lines.variable(0, 1, 1)
            lines.at_most({**{k: -v for k, v in terms.items()}, z: 1.0, a: -least}, added - least)
            lines.at_most({z: 1.0, a: -most}, 0.0)
    return found


def least_margin(
    layers: list[nn.Linear], low: Numbers, high: Numbers, conditions: list[tuple[Numbers, float]]
) -> float:
    """The least that the greatest of `-(c . y + k)` can be over a box."""
    lines = Lines(low, high)
    before = list(range(len(low)))
    for layer in layers[:-1]:
        before = relu_variables(lines, *weights(layer), before)
    weight, bias = weights(layers[-1])
    goal = lines.variable(-np.inf, np.inf)
    for factors, constant in conditions:
        row = -(factors @ weight)
        lines.at_most(
            {**dict(zip(before, row, strict=True)), goal: -1.0}, float(factors @ bias + constant)
        )
    return lines.solve(goal)[0]


def weights(layer: nn.Linear) -> tuple[Numbers, Numbers]:
    return layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()


def network_of(sizes: list[int], seed: int) -> tuple[nn.Sequential, list[nn.Linear]]:
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for into, out in itertools.pairwise(sizes):
        layer = nn.Linear(into, out)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(out, into, generator=generator) * 1.6 / into**0.5)
            layer.bias.copy_(torch.randn(out, generator=generator) * 0.4)
        layers.append(layer)
    parts = [part for one in layers for part in (one, nn.ReLU())]
    return nn.Sequential(*parts[:-1]).eval(), layers


def question_of(
    low: Tensor, high: Tensor, cases: list[list[tuple[Tensor, float]]], outputs: int
) -> Asked:
    """None of some cases, each of conditions `c . y + k >= 0` that hold at once."""
    box = Limits(tuple(map(Fraction, low.tolist())), tuple(map(Fraction, high.tolist())))
    exact = [
        ExactCase(
            box,
            tuple(
                Linear((), tuple(enumerate(map(Fraction, factors.tolist()))), Fraction(constant))
                for factors, constant in case
            ),
        )
        for case in cases
    ]
    return property_of("case", exact, inputs=len(low), outputs=outputs)


def verdict(module: nn.Module, shape: tuple[int, ...], question: Asked, method: str) -> str:
    network = lower(module, shape, source="case")
    answer = decide(
        network, question, lambda x: violates(question, x, network(x)), Setting(method, 30.0)
    )
    assert answer.bound <= answer.attacked
    return answer.verdict


PAIRS = (
    ("input-split", "milp"),
    ("auto", "crown"),
    ("input-split", "milp"),
    ("relu-split",),
    ("milp", "ibp"),
)
SHAPES = ([2, 6, 2], [3, 8, 3], [2, 5, 5, 2], [4, 8, 8, 2], [3, 8, 8, 8, 2], [5, 8, 3])


@pytest.mark.parametrize("seed", range(140))
def test_verdicts_are_those_of_a_mixed_integer_programme(seed: int) -> None:
    generator = torch.Generator().manual_seed(1000 + seed)
    sizes = SHAPES[seed % len(SHAPES)]
    module, layers = network_of(sizes, seed)
    centre = torch.randn(sizes[0], generator=generator)
    radius = 0.15 * 2 ** (seed % 4) * torch.rand(sizes[0], generator=generator)
    low, high = (centre - radius).double(), (centre + radius).double()
    count = 1 + seed % 2  # of conditions that hold at once
    # limits near to what the middle reaches, so that a good part of the cases are close calls
    outputs = module(((low + high) / 2).float()).detach().double()
    cases = [
        [
            (factors, float(-factors @ outputs) - 0.1 * (seed % 5))
            for factors in torch.randn(count, sizes[-1], generator=generator).double()
        ]
        for _ in range(1 + seed % 3)
    ]
    least = min(
        least_margin(layers, low.numpy(), high.numpy(), [(c.numpy(), k) for c, k in case])
        for case in cases
    )
    question = question_of(low, high, cases, sizes[-1])
    if abs(least) < UNCERTAIN:
        wanted: tuple[str, ...] = ("verified", "violated", "unknown")
    else:
        wanted = ("verified",) if least > 0 else ("violated",)
    for method in PAIRS[seed % len(PAIRS)]:
        found = verdict(module, (sizes[0],), question, method)
        assert found in wanted or (method in ("crown", "ibp") and found == "unknown"), (
            method,
            least,
        )


def enumerated(layers: list[nn.Linear], low: Numbers, high: Numbers, factors: Numbers) -> float:
    """The least `factors . y`, by a linear programme for each pattern of signs."""
    count = len(low)
    best = np.inf
    waiting: list[tuple[int, Numbers, Numbers, list[Numbers], list[float]]] = [
        (0, np.eye(count), np.zeros(count), [], [])
    ]
    bounds = np.c_[low, high]
    while waiting:
        depth, slope, value, rows, limits = waiting.pop()
        weight, bias = weights(layers[depth])
        slope, value = weight @ slope, weight @ value + bias
        if depth == len(layers) - 1:
            solved = linprog(factors @ slope, rows or None, limits or None, bounds=bounds)
            if solved.status == 0:
                best = min(best, float(solved.fun + factors @ value))
            continue
        for signs in itertools.product((0.0, 1.0), repeat=len(value)):
            on = np.array(signs)
            more = [*rows, *(((1 - 2 * on)[:, None]) * slope)]
            added = [*limits, *((2 * on - 1) * value)]
            solved = linprog(np.zeros(count), np.array(more), added, bounds=bounds)
            if solved.status == 0:
                waiting.append((depth + 1, on[:, None] * slope, on * value, more, added))
    return best


@pytest.mark.parametrize("seed", range(6))
def test_margins_lie_below_the_minimum_over_all_sign_patterns_and_meet_it(seed: int) -> None:
    sizes = [2, 4, 1] if seed % 2 else [2, 2, 2, 1]
    module, layers = network_of(sizes, 40 + seed)
    low, high = torch.full((2,), -0.75).double(), torch.full((2,), 1.25).double()
    least = enumerated(layers, low.numpy(), high.numpy(), np.ones(1))
    assert least == pytest.approx(
        least_margin(layers, low.numpy(), high.numpy(), [(-np.ones(1), 0.0)]), abs=1e-6
    )
    factors = -torch.ones(1, dtype=torch.float64)
    for step, wanted in ((-1e-6, "verified"), (1e-6, "violated")):
        question = question_of(low, high, [[(factors, least + step)]], 1)
        for method in METHODS:
            assert verdict(module, (2,), question, method) == wanted


class Residual(nn.Module):
    """x -> relu(A x) + B x, and then out."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        x = self.activation(self.two(self.activation(x))) + x
        out: Tensor = self.three(self.activation(x))
        return out


class Pooled(nn.Module):
    """A convolution, the maximum of neighbours, and out."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv1d(1, 2, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool1d(self.one(x), 2)
        out: Tensor = self.two(nn.functional.leaky_relu(x.flatten(1), 0.2))
        return out


KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "residual": (lambda: Residual(nn.ReLU()), (3,)),
    "leaky": (lambda: Residual(nn.LeakyReLU(0.1)), (3,)),
    "clipped": (lambda: Residual(nn.ReLU6()), (3,)),
    "pooled": (Pooled, (1, 5)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_other_networks_are_decided_as_a_fine_grid_of_points_says(kind: str, seed: int) -> None:
    torch.manual_seed(seed)
    make, shape = KINDS[kind]
    module = make().eval()
    count = int(np.prod(shape))
    centre = torch.randn(count).double()
    low, high = centre - 0.5, centre + 0.5
    ticks = torch.linspace(0, 1, 21 if count == 3 else 7, dtype=torch.float64)
    grid = low + torch.cartesian_prod(*[ticks] * count) * (high - low)
    with torch.no_grad():
        outputs = module(grid.float().reshape(-1, *shape)).double()
    least = float((outputs[:, 0] - outputs[:, 1]).min())
    factors = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    spread = float((outputs[:, 0] - outputs[:, 1]).std())
    for method in METHODS if seed % 2 else ("auto",):
        reached = question_of(low, high, [[(factors, least + 0.02 * spread)]], 2)
        assert verdict(module, shape, reached, method) == "violated"
        missed = question_of(low, high, [[(factors, least - spread)]], 2)
        assert verdict(module, shape, missed, method) == "verified"
