"""Certificates of searches that divide what goes into curved activations."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor
from verification_networks import chain

from nncli.verification.asking import property_of
from nncli.verification.certifying.checking import check
from nncli.verification.certifying.parts import Part
from nncli.verification.exact import Asked, ExactCase, Limits, Linear
from nncli.verification.network import Network
from nncli.verification.portfolio import decide
from nncli.verification.stages import Setting

Case = tuple[Network, float, Asked, Sequence[Part]]


def never_below(limit: float, count: int) -> Asked:
    box = Limits((Fraction(-1),) * count, (Fraction(1),) * count)
    condition = Linear((), ((0, Fraction(-1)),), Fraction(limit))
    return property_of("case", [ExactCase(box, (condition,))], inputs=count, outputs=1)


def reached(network: Network) -> float:
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(300, network.inputs, generator=generator, dtype=torch.float64) - 1
    for _ in range(100):
        x = x.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(network(x).sum(), x)
        x = (x - 0.05 * slope.sign()).clamp(-1, 1)
    return float(network(x.detach()).min())


@pytest.fixture(
    scope="module",
    params=[
        (["tanh"], 4, 0.3, 6),
        (["relu", "tanh", "sigmoid"], 5, 0.1, 6),
    ],
    ids=["tanh", "mixed"],
)
def proved(request: pytest.FixtureRequest) -> Case:
    functions, seed, gap, wide = request.param
    network = chain([24, wide, wide, 1], seed, functions, scale=wide / 4)
    least = reached(network)
    question = never_below(least - gap, 24)
    how = Setting("relu-split", 60.0, record=True)
    answer = decide(network, question, lambda x: False, how)
    assert answer.verdict == "verified"
    return network, least, question, answer.proof


def tree_part(parts: Sequence[Part]) -> Part:
    (found,) = (one for one in parts if one.method == "relu-split")
    return found


def changed(part: Part, **tensors: Tensor) -> list[Part]:
    named = {name.replace("_", "."): one for name, one in tensors.items()}
    return [replace(part, tensors={**part.tensors, **named})]


def test_a_proof_by_divisions_is_accepted_and_says_where_they_are(proved: Case) -> None:
    network, _, question, parts = proved
    assert check(network, question, parts) is None
    assert check(network, question, [one.narrowed() for one in parts]) is None
    at = tree_part(parts).tensors["tree.at"]
    assert bool((at != 0).any())


def test_no_tree_proves_what_a_point_violates(proved: Case) -> None:
    network, least, _, parts = proved
    part = tree_part(parts)
    assert check(network, never_below(least + 0.01, 24), parts) is not None
    false = never_below(least + 0.2, 24)
    generator = torch.Generator().manual_seed(0)
    tensors = part.tensors
    at, place = tensors["tree.at"], tensors["tree.place"]
    splits = {name: one for name, one in tensors.items() if "split." in name}
    spoilt = [
        {"tree.at": at + torch.randn(at.shape, generator=generator, dtype=at.dtype)},
        {"tree.at": torch.full_like(at, 1e6)},
        {"tree.place": place.flip(0).clamp_min(0)},
        {name: torch.full_like(one, -1e30) for name, one in splits.items()},
    ]
    for change in spoilt:
        assert check(network, false, [replace(part, tensors={**tensors, **change})]) is not None


def test_trees_whose_divisions_are_no_numbers_or_miss_are_refused(proved: Case) -> None:
    network, _, question, parts = proved
    part = tree_part(parts)
    at, place, child = (part.tensors[f"tree.{name}"] for name in ("at", "place", "child"))
    inner = child >= 0
    for bad in (torch.nan, torch.inf):
        assert check(network, question, changed(part, tree_at=torch.where(inner, bad, at)))
    beyond = torch.where(inner, 10_000, place)
    assert check(network, question, changed(part, tree_place=beyond)) is not None
    loop = torch.where(inner, torch.zeros_like(child), child)
    assert check(network, question, changed(part, tree_child=loop)) is not None


def test_a_tree_that_divides_a_relu_elsewhere_than_at_0_is_refused() -> None:
    network = chain([4, 3, 3, 1], 1, ["relu", "tanh"])
    question = never_below(-50.0, 4)
    tensors = {
        "tree.place": torch.tensor([1, -1, -1]),
        "tree.at": torch.tensor([0.0, 0.0, 0.0], dtype=torch.float64),
        "tree.child": torch.tensor([1, -1, -1]),
    }
    part = Part("relu-split", (0,), tensors)
    assert check(network, question, [part]) is None
    moved = torch.tensor([0.25, 0.0, 0.0], dtype=torch.float64)
    assert check(network, question, changed(part, tree_at=moved)) is not None
    curved = torch.tensor([4, -1, -1])
    assert check(network, question, changed(part, tree_at=moved, tree_place=curved)) is None
