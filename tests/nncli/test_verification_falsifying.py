"""Attacks: what is tried, from where, and what is said of it."""

import pytest
import torch
from torch import Tensor

from nncli.verification.clock import Clock
from nncli.verification.falsifying import falsify
from nncli.verification.maps import Dense
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.properties import Region, Violation
from nncli.verification.queries import Query

INPUTS = 6


def matrix(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def edge() -> Network:
    """Y_0 = 0.05 - relu(X_0 + X_1 + X_2 + X_3 - 3.9), constant but for a 1e-7th of the box.

    Y_1 = X_4 and Y_2 = X_5.
    """
    first = matrix([[1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]])
    nodes = (
        Sum((0,), (Dense(first[:1]),), matrix([[-3.9]])[0]),
        Activation(1, "relu", 1),
        Sum((2, 0), (Dense(matrix([[-1], [0], [0]])), Dense(first * matrix([[0], [1], [1]]))),
            matrix([[0.05, 0, 0]])[0]),
    )  # fmt: skip
    return Network(INPUTS, nodes, (INPUTS,))


def at_most(limits: list[float]) -> Query:
    """Violations: output k is at most a limit, one for each limit."""
    low = -torch.ones(INPUTS, dtype=torch.float64)
    region = Region(low, -low, low, -low)
    violations = tuple(
        Violation(region, -torch.eye(3, dtype=torch.float64)[[k]], None, matrix([[limit]])[0], "")
        for k, limit in enumerate(limits)
    )
    return Query(region, violations, tuple(range(len(limits))))


def happens(network: Network, query: Query, x: Tensor) -> bool:
    return bool((query.reached(x, network(x)) <= 0).any())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("numbers", [1000, 30_000_000])
def test_what_is_constant_but_at_an_edge_is_found_there(seed: int, numbers: int) -> None:
    network, query = edge(), at_most([0.0])
    found = falsify(
        network,
        query,
        lambda x: happens(network, query, x),
        Clock(60.0),
        seed=seed,
        rounds=1,
        numbers=numbers,
    )
    assert found.counterexample is not None
    assert float(found.counterexample[:4].sum()) >= 3.95


@pytest.mark.parametrize("rounds", [0, 1, 2])
@pytest.mark.parametrize("numbers", [1000, 30_000_000])
def test_what_is_reached_is_the_least_margin_of_those_that_are_tried(
    rounds: int, numbers: int
) -> None:
    """The least of X_4 and X_5 is -1, a margin of 0.5 and 1 to what may not be reached."""
    which = torch.tensor([2, 1])
    found = falsify(
        edge(),
        at_most([-1.0, -1.5, -2.0]),
        lambda x: False,
        Clock(60.0),
        rounds=rounds,
        open_violations=which,
        numbers=numbers,
    )
    assert found.counterexample is None
    assert found.nearest[0] == float("inf")
    torch.testing.assert_close(found.nearest[1:], matrix([[0.5, 1.0]])[0], atol=1e-6, rtol=0.0)


def test_a_brief_attack_tries_what_is_nearest_first() -> None:
    """In the middle the outputs are 0.05, 0 and 0: the last violation is the nearest."""
    tried = []

    def confirm(x: Tensor) -> bool:
        tried.append(x)
        return True

    found = falsify(edge(), at_most([-9.0, -0.9, -0.1]), confirm, Clock(60.0), rounds=0)
    assert len(tried) == 1
    assert found.counterexample is not None
    assert float(found.counterexample[5]) <= -0.1


def test_the_same_seed_tries_the_same_points() -> None:
    query = at_most([-1.0, -1.5, -2.0])
    found = [
        falsify(edge(), query, lambda x: False, Clock(60.0), seed=seed, rounds=1).nearest
        for seed in (3, 3)
    ]
    assert torch.equal(*found)
