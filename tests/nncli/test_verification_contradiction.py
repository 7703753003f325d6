"""Intervals under a supposed violation hold wherever it happens, and close what never happens."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor
from verification_networks import chain

from nncli.verification.asking import property_of
from nncli.verification.branches import Branches, Setting, halves, root, still_open
from nncli.verification.certifying.checking import check
from nncli.verification.certifying.leaves import Branching
from nncli.verification.certifying.parts import Part
from nncli.verification.clock import Clock
from nncli.verification.contradiction import supposed
from nncli.verification.domains import domain_of
from nncli.verification.exact import Asked, ExactCase, Limits, Linear
from nncli.verification.network import Network
from nncli.verification.portfolio import decide
from nncli.verification.queries import queries
from nncli.verification.relu_splitting import searching, split_relus
from nncli.verification.sharpening import Sharpening, begun
from nncli.verification.stages import Setting as How
from nncli.verification.tightening import tightened

ROOM = 30_000_000


def never(network: Network, *limits: float) -> Asked:
    """Never are the first outputs all below their limits."""
    count = network.inputs
    box = Limits((Fraction(-1),) * count, (Fraction(1),) * count)
    conditions = tuple(
        Linear((), ((place, Fraction(-1)),), Fraction(limit)) for place, limit in enumerate(limits)
    )
    case = ExactCase(box, conditions)
    return property_of("case", [case], inputs=count, outputs=network.outputs)


def setting_of(network: Network, question: Asked) -> Setting:
    (query,) = queries(question)
    known = tightened(network, domain_of([query.region]))
    return searching(network, query, known, Clock(60.0))


def points(network: Network, count: int = 40_000) -> Tensor:
    share = torch.rand(count, network.inputs, generator=torch.Generator().manual_seed(1)).double()
    return 2 * torch.cat([share, share.round()]) - 1


def low_outputs(network: Network, share: float) -> list[float]:
    """A limit for each output, below which it is at a share of the points."""
    return torch.quantile(network(points(network))[:20_000], share, dim=0).tolist()


def holds_all(network: Network, branches: Branches, x: Tensor) -> bool:
    values = network.values(x)
    return all(
        bool((values[network.activation(place).parent] >= low[0]).all())
        and bool((values[network.activation(place).parent] <= high[0]).all())
        for place, (low, high) in branches.limits.items()
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("outputs", "function"), [(1, "relu"), (2, "relu"), (1, "sigmoid")])
def test_intervals_hold_wherever_the_violation_happens(
    seed: int, outputs: int, function: str
) -> None:
    network = chain([3, 8, 8, 8, outputs], seed, ["relu", function, "relu"])
    limits = low_outputs(network, 0.05 if outputs == 1 else 0.3)
    x = points(network)
    x = x[(network(x) <= torch.tensor(limits)).all(dim=1)]
    assert len(x) > 20
    setting = setting_of(network, never(network, *limits))
    branches = setting.improved(root(setting, torch.tensor([0])))
    wide = branches.limits
    for _ in range(4):
        assert len(still_open(branches))
        branches = setting.improved(supposed(setting, branches, ROOM))
        assert holds_all(network, branches, x)
        for place, (low, high) in branches.limits.items():
            assert bool((low >= wide[place][0]).all())
            assert bool((high <= wide[place][1]).all())
    shrunk = [
        float((high - low).sum() / (wide[place][1] - wide[place][0]).sum())
        for place, (low, high) in branches.limits.items()
    ]
    assert min(shrunk) < 0.99


@pytest.mark.parametrize("seed", range(4))
def test_intervals_of_a_branch_hold_where_its_signs_do(seed: int) -> None:
    network = chain([3, 8, 8, 1], seed)
    (limit,) = low_outputs(network, 0.2)
    setting = setting_of(network, never(network, limit))
    start = root(setting, torch.tensor([0]))
    place, second = network.activations
    low, high = start.limits[place]
    column = int(((low < 0) & (high > 0))[0].long().argmax())
    x = points(network)
    x = x[network(x)[:, 0] <= limit]
    value = network.values(x)[network.activation(place).parent][:, column]
    both = setting.improved(halves(start, torch.tensor([column])))
    for turn, here in enumerate((value >= 0, value <= 0)):
        branch = setting.improved(supposed(setting, both[turn : turn + 1], ROOM))
        assert holds_all(network, branch, x[here])
    assert second in both.limits


@pytest.mark.parametrize("portion", [1, 3_000, ROOM])
def test_memory_bounds_how_much_is_done_at_once_and_not_what_comes_out(portion: int) -> None:
    network = chain([3, 8, 8, 1], 0)
    setting = setting_of(network, never(network, *low_outputs(network, 0.1)))
    branches = setting.improved(root(setting, torch.tensor([0])))
    whole, parts = (supposed(setting, branches, numbers) for numbers in (ROOM, portion))
    for place, limits in whole.limits.items():
        for one, other in zip(limits, parts.limits[place], strict=True):
            assert torch.allclose(one, other, atol=1e-4)


def hard(share: float, outputs: int = 1) -> tuple[Network, Asked]:
    """What linear bounds leave open by a share of their distance from what is reached.

    Of several outputs, each on its own is never below its limit.
    """
    network = chain([8, 20, 20, outputs], 2)
    least = network(points(network)).amin(dim=0).tolist()
    box = Limits((Fraction(-1),) * 8, (Fraction(1),) * 8)
    cases = []
    for place, reached in enumerate(least):
        condition = Linear((), ((place, Fraction(-1)),), Fraction(reached))
        asked = property_of("reached", [ExactCase(box, (condition,))], inputs=8, outputs=outputs)
        gap = -decide(network, asked, lambda x: False, How("alpha-crown", 60.0)).bound
        assert gap > 0.5
        limit = Fraction(reached - (1 - share) * gap)
        cases.append(ExactCase(box, (Linear((), ((place, Fraction(-1)),), limit),)))
    return network, property_of("hard", cases, inputs=8, outputs=outputs)


def test_what_linear_bounds_leave_open_contradicts_itself() -> None:
    network, question = hard(0.15)
    assert decide(network, question, lambda x: False, How("alpha-crown", 60.0)).verdict == "unknown"
    answer = decide(network, question, lambda x: False, How("contradiction", 60.0, record=True))
    assert answer.verdict == "verified"
    assert answer.stage == "contradiction"
    assert check(network, question, answer.proof) is None


def test_a_search_that_supposes_violations_bounds_fewer_branches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, question = hard(0.3)
    (query,) = queries(question)
    known = tightened(network, domain_of([query.region]))

    def searched() -> int:
        tree = Branching()
        found = split_relus(network, query, known, lambda x: False, Clock(60.0), tree=tree)
        assert found.proved
        return found.boxes

    fewer = searched()
    monkeypatch.setattr(Sharpening, "due", lambda self, waiting: None)
    assert fewer < searched() / 2


def test_a_violation_that_happens_is_never_contradicted() -> None:
    """However often it is supposed, and whatever a certificate says of it."""
    for seed in range(2):
        network = chain([3, 5, 5, 1], seed)
        least = float(network(points(network)).min())
        question = never(network, least + 1e-3)
        setting = setting_of(network, question)
        tree = Branching()
        left = begun(setting, torch.tensor([0]), ROOM, tree)
        assert len(left.branches) == 1
        assert len(left.among(torch.tensor([0])).branches) == 1
        tensors = {**{f"tree.{name}": torch.tensor([-1]) for name in ("place", "child")}}
        tensors |= {"tree.at": torch.zeros(1), **tree.tensors()}
        assert tree.supposed
        for change in (lambda one: one, lambda one: one * torch.nan, torch.rand_like):
            hints = {
                name: change(one) if one.is_floating_point() else one
                for name, one in tensors.items()
            }
            assert check(network, question, [Part("contradiction", (0,), hints)]) is not None


def test_roots_left_over_keep_what_their_intervals_rest_on() -> None:
    network, question = hard(0.3, 3)
    setting = setting_of(network, question)
    tree = Branching()
    which = torch.arange(3)
    left = begun(setting, which, ROOM, tree)
    kept = left.among(left.branches.violation[-1:])
    assert kept.branches.node.tolist() == [0]
    assert kept.tree is not None
    told = [int(node) for nodes, _ in kept.tree.supposed for node in nodes]
    last = int(left.branches.node[-1])
    assert len(told) == sum(int((nodes == last).sum()) for nodes, _ in tree.supposed)
    assert set(told) == {0}
    answer = decide(network, question, lambda x: False, How("relu-split", 60.0, record=True))
    assert answer.verdict == "verified"
    assert check(network, question, answer.proof) is None


def test_nothing_is_supposed_of_branches_that_are_empty() -> None:
    network = chain([3, 6, 1], 0)
    setting = setting_of(network, never(network, *low_outputs(network, 0.1)))
    branches = setting.improved(root(setting, torch.tensor([0])))
    (place,) = network.activations
    low, high = (one.clone() for one in branches.limits[place])
    low[0, 0], high[0, 0] = 1.0, -1.0
    crossed = replace(branches, limits={place: (low, high)})
    assert not len(still_open(supposed(setting, crossed, ROOM)))
