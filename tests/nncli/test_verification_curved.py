"""Searches that divide what goes into curved activations prove what holds, and nothing else.

Oracles are written out here: points, intervals of halved boxes, and 60 digits (mpmath).
"""

from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from verification_networks import chain

from nncli.verification.asking import property_of
from nncli.verification.branches import Branches, Setting, halves, neuron_index, root
from nncli.verification.cells import decide_cell
from nncli.verification.choices import Choice
from nncli.verification.clock import Clock
from nncli.verification.curves import NARROW, divisible, division, gaps
from nncli.verification.dividing import costs, divided
from nncli.verification.domains import domain_of
from nncli.verification.exact import Asked, ExactCase, Limits, Linear
from nncli.verification.maps import Dense
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.portfolio import decide
from nncli.verification.queries import Query, queries, rows_of_violations
from nncli.verification.relaxation import Slopes
from nncli.verification.relu_splitting import split_relus
from nncli.verification.slopes import chosen_bound
from nncli.verification.splits import lower_half, signed, upper_half
from nncli.verification.stages import Setting as How
from nncli.verification.tightening import tightened
from nncli.verification.trees import Tree

Numbers = NDArray[np.float64]
KINDS = {
    "sigmoid": ["sigmoid"],
    "tanh": ["tanh"],
    "mixed": ["relu", "tanh", "sigmoid"],
}
NUMPY = {
    "sigmoid": lambda y: 1 / (1 + np.exp(-y)),
    "tanh": np.tanh,
    "relu": lambda y: np.maximum(y, 0),
}


def nothing(x: Tensor) -> bool:
    return False


def never_below(limit: float, count: int) -> Asked:
    """The output stays above a limit on [-1, 1]^count."""
    box = Limits((Fraction(-1),) * count, (Fraction(1),) * count)
    condition = Linear((), ((0, Fraction(-1)),), Fraction(limit))
    return property_of("case", [ExactCase(box, (condition,))], inputs=count, outputs=1)


def query_of(question: Asked) -> Query:
    (found,) = queries(question)
    return found


def setting_of(network: Network, question: Asked) -> Setting:
    query = query_of(question)
    domain, rows = domain_of([query.region]), rows_of_violations(query)
    return Setting(network, query, rows, domain, tightened(network, domain), 5, lambda: None)


def points(network: Network, count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(count, network.inputs, generator=generator, dtype=torch.float64)
    return 2 * torch.cat([share, share.round()]) - 1


def layers(network: Network) -> list[tuple[Numbers, Numbers, str]]:
    found = []
    for place, node in enumerate(network.nodes):
        if isinstance(node, Sum):
            (one,) = node.maps
            assert isinstance(one, Dense)
            after = network.nodes[place + 1] if place + 1 < len(network.nodes) else None
            name = after.function if isinstance(after, Activation) else ""
            found.append((one.weight.numpy(), node.bias.numpy(), name))
    return found


def minimum(network: Network, width: float = 1e-2) -> tuple[float, float]:
    """The least output on [-1, 1]^2 lies between these, by intervals of halved boxes."""
    low, high = -np.ones((1, network.inputs)), np.ones((1, network.inputs))
    best, done = np.inf, np.inf
    while len(low):
        best = min(best, float(network(torch.from_numpy((low + high) / 2)).min()))
        a, b = low, high
        for weight, bias, name in layers(network):
            up, down = np.maximum(weight, 0), np.minimum(weight, 0)
            a, b = a @ up.T + b @ down.T + bias, b @ up.T + a @ down.T + bias
            if name:
                a, b = NUMPY[name](a), NUMPY[name](b)
        kept = a[:, 0] < best - width
        done = min([done, *a[~kept, 0].tolist()])
        low, high = low[kept], high[kept]
        each, along = np.arange(len(low)), (high - low).argmax(axis=1)
        middle = (low + high)[each, along] / 2
        first, second = high.copy(), low.copy()
        first[each, along] = second[each, along] = middle
        low, high = np.concatenate([low, second]), np.concatenate([first, high])
    return min(done, best) - 1e-9, best


def random_branch(setting: Setting, x: Tensor, seed: int) -> tuple[Branches, Tensor]:
    """A branch after random divisions, each in the half of more points, and those in it."""
    generator = torch.Generator().manual_seed(seed)
    network = setting.network
    values = network.values(x)
    branch = root(setting, torch.tensor([0]))
    for _ in range(6):
        which = int(torch.randint(len(network.activations), (1,), generator=generator))
        place = network.activations[which]
        node = network.activation(place)
        column = int(torch.randint(node.size, (1,), generator=generator))
        own = values[node.parent][:, column]
        picked = int(torch.randint(len(own), (1,), generator=generator))
        at = 0.0 if node.function == "relu" else float(own[picked])
        neuron = torch.tensor([neuron_index(branch, (place, column))])
        both = halves(branch, neuron, at=torch.tensor([at], dtype=torch.float64))
        upper = bool((own >= at).sum() * 2 >= len(own))
        branch = both[:1] if upper else both[1:]
        held = own >= at if upper else own <= at
        values = [one[held] for one in values]
    return branch, values[0]


def random_choice(setting: Setting, branch: Branches, seed: int, size: float) -> Choice:
    """Slopes and multipliers of any size, of both signs."""
    generator = torch.Generator().manual_seed(seed)
    slopes, multipliers = {}, {}
    for place, sign in branch.signs.items():
        drawn = torch.rand(2, 1, 1, sign.shape[1], generator=generator, dtype=torch.float64)
        steep = {"sigmoid": 0.25}.get(setting.network.activation(place).function, 1.0)
        slopes[place] = Slopes(steep * drawn[0], steep * drawn[1])
        drawn = torch.randn(1, 1, sign.shape[1], generator=generator, dtype=torch.float64)
        multipliers[place] = size * drawn
    return Choice(slopes, multipliers)


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_of_branches_hold_at_their_points_whatever_the_slopes_and_multipliers(
    kind: str,
) -> None:
    used = 0
    for seed in range(40):
        network = chain([3, 5, 5, 1], seed, KINDS[kind])
        setting = setting_of(network, never_below(0.0, 3))
        branch, inside = random_branch(setting, points(network, 1000, seed), seed)
        if not len(inside):
            continue
        least = float(network(inside).min())
        for turn, size in enumerate((0.0, 0.1, 1.0, 30.0)):
            choice = random_choice(setting, branch, 10 * seed + turn, size)
            bound = setting.bound(Branches(**{**vars(branch), "choice": choice}))
            assert float(bound.bound) <= least
            offset = (bound.factors[0] @ inside[:, :, None])[:, 0, 0] + bound.offset[0]
            assert bool((offset <= network(inside)[:, 0] + 1e-9 * (1 + size)).all())
            used += bool(sum((one != 0).sum() for one in branch.signs.values()))
    assert used > 100


@pytest.mark.parametrize("kind", KINDS)
def test_multipliers_raise_the_bound_of_a_branch(kind: str) -> None:
    gained = 0
    for seed in range(8):
        network = chain([3, 5, 5, 1], seed, KINDS[kind])
        setting = setting_of(network, never_below(0.0, 3))
        branch, inside = random_branch(setting, points(network, 1000, seed), seed)
        without = setting.improved(Branches(**{**vars(branch), "signs": {}}))
        found = setting.improved(branch)
        gained += bool(found.margin > without.margin + 1e-4)
        if len(inside):
            assert float(found.margin) <= float(network(inside).min())
    assert gained >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_what_points_violate_is_never_proved_and_what_holds_by_little_is(kind: str) -> None:
    proved = 0
    for seed in range(1, 4):
        network = chain([2, 3, 3, 1], seed, KINDS[kind])
        low, reached = minimum(network)
        for limit, most in ((reached + 1e-9, 15), (reached + 1e-3, 15), (low - 0.1, 200)):
            query = query_of(never_below(limit, 2))
            known = tightened(network, domain_of([query.region]))
            found = split_relus(network, query, known, nothing, Clock(), most=most)
            assert not (found.proved and limit >= reached)
            proved += found.proved
    assert proved >= 2


def test_a_counterexample_that_a_search_meets_is_told() -> None:
    network = chain([2, 4, 4, 1], 3, ["tanh"])
    _, reached = minimum(network)
    query = query_of(never_below(reached + 0.02, 2))
    known = tightened(network, domain_of([query.region]))
    confirm = lambda x: float(network(x)) <= reached + 0.02  # noqa: E731
    found = split_relus(network, query, known, confirm, Clock(), most=3000)
    assert found.counterexample is not None
    assert float(network(found.counterexample)) <= reached + 0.02


@pytest.mark.parametrize(
    ("kind", "seed", "gap"), [("sigmoid", 2, 0.1), ("tanh", 4, 0.3), ("mixed", 5, 0.1)]
)
def test_divisions_decide_what_slopes_leave_open(kind: str, seed: int, gap: float) -> None:
    wide = 8 if kind == "sigmoid" else 6
    network = chain([24, wide, wide, 1], seed, KINDS[kind], scale=wide / 4)
    x = points(network, 200, 1).requires_grad_(True)
    for _ in range(100):
        (slope,) = torch.autograd.grad(network(x).sum(), x)
        x = (x - 0.05 * slope.sign()).clamp(-1, 1).detach().requires_grad_(True)
    question = never_below(float(network(x).detach().min()) - gap, 24)
    assert decide(network, question, nothing, How("alpha-crown", 60.0)).verdict == "unknown"
    for method in ("relu-split", "auto"):
        assert decide(network, question, nothing, How(method, 60.0)).verdict == "verified"


def test_children_are_never_bounded_worse_with_the_slopes_of_their_parent() -> None:
    network = chain([3, 6, 6, 1], 2, ["tanh"])
    setting = setting_of(network, never_below(0.0, 3))
    parent = setting.improved(root(setting, torch.tensor([0])))
    for neuron in range(12):
        for at in (-0.4, 0.0, 0.7):
            where = torch.tensor([at], dtype=torch.float64)
            both = halves(parent, torch.tensor([neuron]), at=where)
            bound = setting.bound(both).bound
            assert bool((bound >= setting.bound(parent).bound - 1e-12).all())


def test_divided_neurons_cover_the_interval_and_take_the_slopes_of_their_own() -> None:
    network = chain([3, 6, 6, 1], 2, ["relu", "tanh"])
    setting = setting_of(network, never_below(0.0, 3))
    parent = setting.improved(root(setting, torch.tensor([0])))
    relu, tanh = network.activations
    tree = Tree()
    tree.plant(1)
    neuron = neuron_index(parent, (tanh, 2))
    both = divided(setting, parent, torch.tensor([neuron]), tree)  # type: ignore[arg-type]
    at = tree.at[0]
    low, high = parent.limits[tanh]
    assert float(low[0, 2]) < at < float(high[0, 2])
    assert float(both.limits[tanh][0][0, 2]) == at == float(both.limits[tanh][1][1, 2])
    assert both.limits[tanh][1][0, 2] == high[0, 2]
    assert both.limits[tanh][0][1, 2] == low[0, 2]
    assert both.signs[tanh][:, 2].tolist() == [1, -1]
    slopes, whole = both.choice.slopes[tanh], parent.choice.slopes[tanh]
    assert slopes.below is not None
    assert whole.below is not None
    others = torch.arange(6) != 2
    assert bool((slopes.below[:, :, others] == whole.below[:, :, others]).all())
    assert not bool((slopes.below[:, :, 2] == whole.below[:, :, 2]).any())
    assert bool((both.signs[relu] == 0).all())


def test_a_search_divides_relus_at_0_alone() -> None:
    network = chain([3, 6, 6, 1], 4, ["relu", "tanh"])
    low, _ = minimum(chain([2, 6, 6, 1], 4, ["relu", "tanh"]))
    setting = setting_of(network, never_below(low - 0.3, 3))
    branch = setting.improved(root(setting, torch.tensor([0])))
    relu, _ = network.activations
    for column in range(6):
        tree = Tree()
        tree.plant(1)
        neuron = torch.tensor([neuron_index(branch, (relu, column))])
        divided(setting, branch, neuron, tree)  # type: ignore[arg-type]
        assert tree.at == [0.0] * 3


def test_a_cell_of_curved_activations_is_left_open_and_names_relus_alone() -> None:
    network = chain([3, 6, 6, 1], 4, ["tanh", "relu"])
    setting = setting_of(network, never_below(-50.0, 3))
    branch = root(setting, torch.tensor([0]))
    cell = decide_cell(setting, branch)
    assert not cell.proved
    assert cell.neuron is not None
    assert network.activation(cell.neuron[0]).function == "relu"
    curved = chain([3, 6, 6, 1], 4, ["tanh"])
    setting = setting_of(curved, never_below(-50.0, 3))
    assert decide_cell(setting, root(setting, torch.tensor([0]))).neuron is None


def test_sides_are_kept_in_the_order_in_which_they_were_divided() -> None:
    sign = torch.tensor([0.0, 1.0, -1.0, 2.0, -2.0], dtype=torch.float64)
    assert upper_half(sign).tolist() == [1, 1, -2, 2, -2]
    assert lower_half(sign).tolist() == [-1, 2, -1, 2, -2]


def test_factors_of_terms_have_the_sign_of_what_was_divided() -> None:
    network = chain([2, 5, 1], 0, ["tanh"])
    sign = torch.tensor([[0.0, 1.0, -1.0, 2.0, -2.0]], dtype=torch.float64)
    for held, due in ((3.0, [0, 3, -3, 3, -3]), (-3.0, [0, 0, 0, -3, 3])):
        multipliers = {2: torch.full((1, 1, 5), held, dtype=torch.float64)}
        assert signed(network, multipliers, {2: sign})[2].flatten().tolist() == due


def exactly(value: object) -> mpmath.mpf:
    return mpmath.mpf(float(value))  # type: ignore[arg-type]


@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
def test_the_rounding_of_multipliers_is_taken_off_where_terms_cancel(function: str) -> None:
    """One input point, so that a bound differs from the value by rounding and lines alone."""
    compared = 0
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        scale = 10.0 ** float(torch.randint(0, 9, (1,), generator=generator))
        weight = scale * torch.randn(4, 3, generator=generator, dtype=torch.float64)
        last = torch.randn(1, 4, generator=generator, dtype=torch.float64)
        x = torch.randn(3, generator=generator, dtype=torch.float64)
        bias = -(weight @ x) + 0.1 * torch.randn(4, generator=generator, dtype=torch.float64)
        network = Network(
            3,
            (
                Sum((0,), (Dense(weight),), bias),
                Activation(1, function, 4),
                Sum((2,), (Dense(last),), torch.zeros(1, dtype=torch.float64)),
            ),
            (3,),
        )
        with mpmath.workdps(60):
            before = [
                sum((exactly(a) * exactly(b) for a, b in zip(row, x, strict=True)), exactly(c))
                for row, c in zip(weight, bias, strict=True)
            ]
            after = [
                mpmath.tanh(y) if function == "tanh" else 1 / (1 + mpmath.exp(-y)) for y in before
            ]
            value = sum(exactly(a) * b for a, b in zip(last[0], after, strict=True))
        question = property_of(
            "point",
            [
                ExactCase(
                    Limits(*(tuple(Fraction(float(one)) for one in x),) * 2),
                    (Linear((), ((0, Fraction(-1)),), Fraction(0)),),
                )
            ],
            inputs=3,
            outputs=1,
        )
        setting = setting_of(network, question)
        branch = root(setting, torch.tensor([0]))
        for column in range(4):
            room = scale * 10.0 ** -float(torch.randint(3, 17, (1,), generator=generator))
            at = float(before[column]) + room * float(torch.randn(1, generator=generator))
            both = halves(branch, torch.tensor([column]), at=torch.tensor([at], dtype=x.dtype))
            branch = both[:1] if before[column] >= exactly(at) else both[1:]
        assert bool((branch.limits[2][0] <= branch.limits[2][1]).all())
        choice = random_choice(setting, branch, seed, 10.0 ** float(seed % 8))
        bound = float(setting.bound(Branches(**{**vars(branch), "choice": choice})).bound)
        assert exactly(bound) <= value
        compared += bound > -float("inf")
    assert compared > 50


def test_costs_are_those_of_lines_and_vanish_where_nothing_is_left_to_divide() -> None:
    network = chain([3, 6, 6, 1], 2, ["tanh"])
    setting = setting_of(network, never_below(0.0, 3))
    branch = setting.improved(root(setting, torch.tensor([0])))
    trail: dict[int, Tensor] = {}
    scores = costs(setting, branch, setting.bound(branch, trail), trail)
    assert scores.shape == (1, 13)
    assert bool((scores >= 0).all())
    assert bool((scores > 0).any())
    for low, high in branch.limits.values():
        middle = (low + high) / 2
        low.copy_(middle), high.copy_(middle + NARROW / 2)
    trail = {}
    scores = costs(setting, branch, setting.bound(branch, trail), trail)
    assert not bool(scores.any())


@pytest.mark.parametrize("function", ["sigmoid", "tanh", "square"])
def test_gaps_are_means_of_the_distance_of_lines(function: str) -> None:
    low = torch.tensor([[-3.0, 0.5, -2.0]], dtype=torch.float64)
    high = torch.tensor([[1.0, 2.5, -1.9]], dtype=torch.float64)
    over, under = gaps(function, low, high, Slopes())
    assert bool((over > 0).all())
    assert bool((under > 0).all())
    half = [
        sum(gaps(function, a, b, Slopes()))  # type: ignore[arg-type]
        for a, b in pairwise((low, (low + high) / 2, high))
    ]
    assert bool((half[0] + half[1] < over + under).all())


def test_intervals_are_divided_at_the_bend_or_in_the_middle() -> None:
    low = torch.tensor([-3.0, -1.0, 1.0, -100.0], dtype=torch.float64)
    high = torch.tensor([1.0, 5.0, 3.0, 2.0], dtype=torch.float64)
    assert division("tanh", low, high).tolist() == [0.0, 0.0, 2.0, -49.0]
    assert division("square", low, high).tolist() == [-1.0, 2.0, 2.0, -49.0]
    assert divisible(low, high).all()
    wide = torch.tensor([torch.inf], dtype=torch.float64)
    assert not divisible(-wide, wide).any()
    assert not divisible(low, low).any()


def test_bounds_without_signs_are_those_of_no_division() -> None:
    network = chain([3, 5, 1], 0, ["sigmoid"])
    setting = setting_of(network, never_below(0.0, 3))
    branch = root(setting, torch.tensor([0]))
    choice = random_choice(setting, branch, 0, 100.0)
    known, rows = setting.intervals(branch), setting.rows(branch)
    with_them = setting.bound(Branches(**{**vars(branch), "choice": choice})).bound
    slopes = Choice(choice.slopes)
    without = chosen_bound(network, rows, setting.domain(branch), known, slopes).bound
    assert float(with_them) == pytest.approx(float(without), abs=1e-12)
