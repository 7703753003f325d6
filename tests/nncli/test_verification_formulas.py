"""Formulas as networks: solutions are found, and that there is none is proved and checked."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from nncli.verification.asking import property_of
from nncli.verification.certifying.checking import check
from nncli.verification.exact import Asked, ExactCase, Limits, Linear
from nncli.verification.maps import Dense
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.portfolio import decide
from nncli.verification.replaying import violates
from nncli.verification.stages import Setting
from nncli.verification.standing import Answer

Clauses = list[tuple[int, ...]]


def has_solution(clauses: Clauses, count: int) -> bool:
    """By trying all."""
    signs = np.array(list(product([False, True], repeat=count)))
    met = np.ones(len(signs), dtype=bool)
    for clause in clauses:
        met &= np.any([signs[:, abs(one) - 1] == (one > 0) for one in clause], axis=0)
    return bool(met.any())


def network_of(clauses: Clauses, count: int) -> Network:
    """Y_0 is 1 less what clauses miss, Y_1 the sum of distances of inputs from 0 and 1."""
    literals = torch.zeros(len(clauses), count, dtype=torch.float64)
    missed = torch.ones(len(clauses), dtype=torch.float64)
    for row, clause in enumerate(clauses):
        for one in clause:
            literals[row, abs(one) - 1] = -1 if one > 0 else 1
            missed[row] -= int(one < 0)
    each = torch.eye(count, dtype=torch.float64)
    first = torch.cat([literals, each, 2 * each])
    bias = torch.cat([missed, torch.zeros(count), -torch.ones(count)])
    second = torch.zeros(2, len(bias), dtype=torch.float64)
    second[0, : len(clauses)] = -1
    second[1, len(clauses) :] = torch.cat([torch.ones(count), -torch.ones(count)])
    nodes = (
        Sum((0,), (Dense(first),), bias),
        Activation(1, "relu", len(bias)),
        Sum((2,), (Dense(second),), torch.tensor([1.0, 0.0], dtype=torch.float64)),
    )
    return Network(count, nodes, (count,))


def question_of(count: int) -> Asked:
    """Never all clauses met at corners: Y_0 >= 1 and Y_1 <= 0."""
    box = Limits((Fraction(0),) * count, (Fraction(1),) * count)
    met = Linear((), ((0, Fraction(1)),), Fraction(-1))
    corner = Linear((), ((1, Fraction(-1)),))
    return property_of("formula", [ExactCase(box, (met, corner))], inputs=count, outputs=2)


def random_clauses(seed: int, count: int, clauses: int) -> Clauses:
    generator = np.random.default_rng(seed)
    found: Clauses = []
    for _ in range(clauses):
        which = generator.choice(count, 3, replace=False) + 1
        found.append(tuple(int(one) for one in which * generator.choice([-1, 1], 3)))
    return found


def widened_contradiction(seed: int, count: int, clauses: int) -> Clauses:
    """No solution: `x` and `not x`, each widened to two clauses by another variable, many times."""
    generator = np.random.default_rng(seed)
    found: Clauses = [(1,), (-1,)]
    while len(found) < clauses:
        place = int(generator.choice(len(found), p=_short_first(found)))
        new = int(
            generator.choice(
                [one for one in range(1, count + 1) if abs(one) not in map(abs, found[place])]
            )
        )
        found.append((*found[place], -new))
        found[place] = (*found[place], new)
    return found


def _short_first(clauses: Clauses) -> NDArray[np.float64]:
    weights = 1.0 / np.array([len(one) ** 2 for one in clauses])
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def decided(clauses: Clauses, count: int, method: str = "auto", *, record: bool = False) -> Answer:
    network, question = network_of(clauses, count), question_of(count)

    def confirm(x: Tensor) -> bool:
        return violates(question, x, network(x))

    return decide(network, question, confirm, Setting(method, 60.0, record=record))


@pytest.mark.parametrize("method", ["auto", "input-split"])
@pytest.mark.parametrize("ratio", [3.0, 4.3, 6.0])
def test_a_formula_is_violated_where_it_has_a_solution(ratio: float, method: str) -> None:
    for seed in range(4):
        clauses = random_clauses(seed, 12, round(12 * ratio))
        answer = decided(clauses, 12, method)
        assert answer.verdict == ("violated" if has_solution(clauses, 12) else "verified")
        if answer.counterexample is not None:
            truth = answer.counterexample.tolist()
            assert set(truth) <= {0.0, 1.0}
            assert all(any(truth[abs(one) - 1] == (one > 0) for one in each) for each in clauses)


def test_formulas_of_many_variables_are_decided_by_halving_boxes() -> None:
    assert decided(widened_contradiction(0, 80, 120), 80).stage == "input-split"
    clauses = random_clauses(5, 50, 260)  # far beyond 4.27 clauses a variable
    assert decided(clauses, 50).verdict == "verified"


def test_that_a_formula_has_no_solution_is_proved_again_from_its_tree() -> None:
    clauses = widened_contradiction(1, 30, 60)
    network, question = network_of(clauses, 30), question_of(30)
    proof = decided(clauses, 30, record=True).proof
    assert check(network, question, list(proof)) is None
    met = network_of(clauses[1:], 30)  # has a solution: the same tree proves nothing of it
    assert check(met, question, list(proof)) is not None
