"""Searches end, keep to their time, and their parts do what they say."""

import ctypes
import time
from fractions import Fraction

import pytest
import torch
from torch import Tensor
from verification_networks import chain

from nncli.verification.asking import property_of
from nncli.verification.branches import Branches, halves, neuron_index, root
from nncli.verification.branches import Setting as Ground
from nncli.verification.cells import decide_cell
from nncli.verification.clock import Clock, OutOfTime
from nncli.verification.domains import Domain, domain_of
from nncli.verification.exact import Asked, ExactCase, Limits, Linear, Near
from nncli.verification.input_splitting import split_inputs
from nncli.verification.intervals import intervals
from nncli.verification.maps import Dense
from nncli.verification.milp import silenced, solve_exactly
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.portfolio import decide
from nncli.verification.queries import Query, queries, rows_of_violations
from nncli.verification.relu_splitting import split_relus
from nncli.verification.stages import Setting
from nncli.verification.tightening import tightened


def never_below(limit: float, count: int, radius: float = 1.0) -> Asked:
    box = Limits((Fraction(-radius),) * count, (Fraction(radius),) * count)
    condition = Linear((), ((0, Fraction(-1)),), Fraction(limit))
    return property_of("case", [ExactCase(box, (condition,))], inputs=count, outputs=1)


def nothing(x: Tensor) -> bool:
    return False


def lowest(network: Network, radius: float = 1.0) -> float:
    share = torch.rand(20_000, network.inputs, generator=torch.Generator().manual_seed(1)).double()
    share = torch.cat([share, share.round()])
    return float(network(radius * (2 * share - 1)).min())


@pytest.mark.parametrize("functions", [["sigmoid"], ["tanh"], ["relu", "sigmoid"]])
def test_curved_networks_that_no_sign_can_settle_end_as_unknown(functions: list[str]) -> None:
    network = chain([25, 6, 6, 1], 0, functions)
    question = never_below(lowest(network) - 0.02, 25)
    for method in ("relu-split", "milp"):
        answer = decide(network, question, nothing, Setting(method, 60.0))
        assert answer.verdict == "unknown"


@pytest.mark.parametrize("method", ["auto", "input-split", "relu-split", "milp"])
def test_a_search_ends_soon_after_its_deadline(method: str) -> None:
    network = chain([30, 60, 60, 60, 1], 1)
    question = never_below(lowest(network) - 0.1, 30)
    begun = time.process_time()
    answer = decide(network, question, nothing, Setting(method, 1.0))
    assert answer.verdict in ("timeout", "unknown")
    assert time.process_time() - begun < 3.0


def test_the_attack_takes_a_tenth_of_the_time_at_most() -> None:
    network = chain([400, 300, 300, 10], 2)
    box = Limits((Fraction(-1),) * 400, (Fraction(1),) * 400)
    cases = [
        ExactCase(box, (Linear((), ((one, Fraction(1)),), Fraction(-1000)),)) for one in range(10)
    ]
    question = property_of("many", cases, inputs=400, outputs=10)
    answer = decide(network, question, nothing, Setting("attack", 2.0))
    assert answer.seconds["attack"] < 0.2 + 0.3  # a step more than that


def query_of(question: Asked) -> Query:
    (found,) = queries(question)
    return found


def ground(network: Network, question: Asked) -> Ground:
    query = query_of(question)
    domain = domain_of([query.region])
    known = tightened(network, domain)
    rows = rows_of_violations(query)
    return Ground(network, query, rows, domain, known, 0, lambda: None)


def test_halves_fix_one_neuron_both_ways_and_leave_all_others() -> None:
    network = chain([3, 5, 4, 1], 3)
    setting = ground(network, never_below(-9.0, 3))
    start = root(setting, torch.tensor([0]))
    first, second = network.activations
    column = int(torch.nonzero((start.limits[second][0] < 0) & (start.limits[second][1] > 0))[0, 1])
    both = halves(start, torch.tensor([neuron_index(start, (second, column))]))
    assert len(both) == 2
    assert both.signs[second][:, column].tolist() == [1, -1]
    assert float(both.limits[second][0][0, column]) == 0
    assert float(both.limits[second][1][1, column]) == 0
    for place in (first, second):
        other = torch.ones(start.signs[place].shape[1], dtype=torch.bool)
        other[column] = place != second
        for side in range(2):
            was, now = start.limits[place][side], both.limits[place][side]
            assert bool((now[:, other] == was[:, other]).all())
        assert bool((both.signs[place][:, other] == 0).all())


@pytest.mark.parametrize("seed", range(6))
def test_a_branch_with_no_open_neuron_is_decided_by_the_programme_alone(seed: int) -> None:
    """Every pattern of signs: together they prove what holds, and one of them finds what fails."""
    network = chain([2, 5, 1], seed)
    least = lowest(network)
    for limit, holds in ((least - 0.05, True), (least + 0.01, False)):
        setting = ground(network, never_below(limit, 2))
        waiting, proved = [root(setting, torch.tensor([0]))], True
        (place,) = network.activations
        for column in range(5):
            low, high = (one[0, column] for one in waiting[0].limits[place])
            if low < 0 < high:
                index = torch.tensor([column])
                waiting = [half for one in waiting for half in _two(halves(one, index))]
        for branch in waiting:
            cell = decide_cell(setting, branch)
            assert cell.neuron is None
            proved &= cell.proved
            if not cell.proved and not holds:
                assert cell.witness is not None
        assert proved == holds


def _two(both: Branches) -> tuple[Branches, Branches]:
    return both[:1], both[1:]


def test_signs_that_contradict_each_other_are_a_proof() -> None:
    """y_1 = x and y_2 = -x - 1 cannot both be active."""
    weight = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    bias = torch.tensor([0.0, -1.0], dtype=torch.float64)
    out = torch.ones(1, 2, dtype=torch.float64)
    network = Network(
        1,
        (
            Sum((0,), (Dense(weight),), bias),
            Activation(1, "relu", 2),
            Sum((2,), (Dense(out),), torch.zeros(1, dtype=torch.float64)),
        ),
        (1,),
    )
    setting = ground(network, never_below(5.0, 1, 2.0))  # false nearly everywhere
    start = root(setting, torch.tensor([0]))
    both_active = halves(halves(start, torch.tensor([0]))[:1], torch.tensor([1]))[:1]
    assert decide_cell(setting, both_active).proved
    one_active = halves(start, torch.tensor([0]))[:1]
    assert not decide_cell(setting, one_active).proved


@pytest.mark.parametrize("seed", range(3))
def test_searches_agree_whatever_memory_they_may_use(seed: int) -> None:
    network = chain([4, 8, 8, 1], seed)
    question = never_below(lowest(network) - 0.5, 4)
    query = query_of(question)
    known = tightened(network, domain_of([query.region]))
    found = [
        split_relus(network, query, known, nothing, Clock(60.0), numbers=numbers).proved
        for numbers in (6_000, 30_000_000)
    ]
    exact = solve_exactly(network, query, known, nothing, Clock(60.0))
    assert found == [exact.proved] * 2
    assert not solve_exactly(network, query, known, nothing, Clock(60.0), numbers=10).proved


def test_an_input_that_cannot_be_halved_any_more_is_left_alone() -> None:
    """Two inputs, of which one is two neighbouring numbers wide."""
    network = chain([2, 4, 1], 4)
    low = torch.tensor([1.0, -1.0], dtype=torch.float64)
    high = torch.tensor([1.0 + 2.0**-52, 1.0], dtype=torch.float64)
    box = Limits(tuple(map(Fraction, low.tolist())), tuple(map(Fraction, high.tolist())))
    free = torch.linspace(-1, 1, 5001, dtype=torch.float64)
    least = float(network(torch.stack([torch.ones_like(free), free], 1)).min())
    for limit, proved in ((least - 1e-2, True), (least, False)):
        condition = Linear((), ((0, Fraction(-1)),), Fraction(limit))
        question = property_of("thin", [ExactCase(box, (condition,))], inputs=2, outputs=1)
        found = split_inputs(network, query_of(question), nothing, Clock(60.0))
        assert found.proved == proved


def test_time_that_is_up_is_told() -> None:
    network = chain([4, 8, 1], 5)
    query = query_of(never_below(lowest(network) - 0.01, 4))
    known = intervals(network, domain_of([query.region]))
    with pytest.raises(OutOfTime):
        split_inputs(network, query, nothing, Clock(-1.0))
    for search in (split_relus, solve_exactly):
        with pytest.raises(OutOfTime):
            search(network, query, known, nothing, Clock(-1.0))


@pytest.mark.parametrize(("norm", "touches"), [(1, 0.2), (2, 0.2 * 2**0.5 / 2)])
def test_a_box_is_apart_from_a_ball_only_beyond_its_radius(norm: int, touches: float) -> None:
    """The corner nearest to the origin is at (t, t): 2 t away in l1, sqrt(2) t in l2."""
    corner = torch.tensor([[touches / 2] * 2 if norm == 1 else [touches] * 2]).double()
    for scale, apart in ((0.999999, False), (1.000001, True)):
        domain = Domain(
            corner * scale, corner * scale + 1, torch.zeros(1, 2).double(),
            torch.tensor([0.2], dtype=torch.float64), norm,
        )  # fmt: skip
        assert bool(domain.apart) == apart


def test_what_compiled_code_prints_does_not_reach_the_output(
    capfd: pytest.CaptureFixture[str],
) -> None:
    library = ctypes.CDLL(None)
    with silenced():
        library.puts(b"a line of the solver")
    library.puts(b"a line of ours")
    library.fflush(None)
    assert capfd.readouterr().out == "a line of ours\n"


@pytest.mark.parametrize("norm", [1, 2])
def test_halving_boxes_meets_the_counterexamples_at_the_edge_of_a_ball(norm: int) -> None:
    network = chain([4, 8, 8, 1], norm, ["tanh"])
    x = torch.randn(100_000, 4, generator=torch.Generator().manual_seed(0)).double()
    outputs = network(x / torch.linalg.vector_norm(x, norm, dim=1, keepdim=True))
    limit = float(outputs.min()) + 1e-3 * float(outputs.max() - outputs.min())
    box, near = (
        Limits((Fraction(-1),) * 4, (Fraction(1),) * 4),
        Near((Fraction(0),) * 4, Fraction(1), norm),
    )
    case = ExactCase(box, (Linear((), ((0, Fraction(-1)),), Fraction(limit)),), near)
    query = queries(property_of("ball", [case], inputs=4, outputs=1))[0]

    def violates(point: Tensor) -> bool:
        within = float(torch.linalg.vector_norm(point, norm)) <= 1
        return within and float(network(point)) <= limit

    found = split_inputs(network, query, violates, Clock(), most=2000)
    assert found.counterexample is not None
    assert violates(found.counterexample)
