"""Semidefinite bounds begin at those of CROWN, are far better, and never pass the truth."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import cache

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from nncli.verification.clock import Clock
from nncli.verification.domains import Domain
from nncli.verification.intervals import Interval
from nncli.verification.maps import Dense
from nncli.verification.neighbourhoods import robustness
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.portfolio import decide
from nncli.verification.sdp.certificate import certified, proof
from nncli.verification.sdp.lagrangian import Multipliers, Problem, problem
from nncli.verification.sdp.quadratic_form import Quadratic, frame, quadratic
from nncli.verification.sdp.search import Plan, climb
from nncli.verification.sdp.start import linear_start
from nncli.verification.sdp.sweeps import begin, sweep, value
from nncli.verification.slopes import Ascent, Choice, ascend, chosen_bound
from nncli.verification.stages import Setting
from nncli.verification.tightening import tightened


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def chain(sizes: list[int], seed: int, scale: float = 1.5) -> Network:
    generator = torch.Generator().manual_seed(seed)
    nodes: list[Sum | Activation] = []
    for layer, (into, out) in enumerate(itertools.pairwise(sizes)):
        weight = scale * normal(generator, out, into) / into**0.5
        nodes.append(Sum((len(nodes),), (Dense(weight),), 0.3 * normal(generator, out)))
        if layer < len(sizes) - 2:
            nodes.append(Activation(len(nodes), "relu", out))
    return Network(sizes[0], tuple(nodes), (sizes[0],))


def residual(seed: int) -> Network:
    """relu(A x + a) -> relu(B h + b) + h + D x -> C, with a sum of sums on the way."""
    generator = torch.Generator().manual_seed(seed)
    identity = Dense(torch.eye(7, dtype=torch.float64))
    nodes = (
        Sum((0,), (Dense(normal(generator, 7, 4)),), normal(generator, 7)),
        Activation(1, "relu", 7),
        Sum((2,), (Dense(0.6 * normal(generator, 7, 7)),), normal(generator, 7)),
        Activation(3, "relu", 7),
        Sum((4, 2), (Dense(0.5 * normal(generator, 7, 7)), identity), normal(generator, 7)),
        Sum((5, 0), (identity, Dense(normal(generator, 7, 4))), normal(generator, 7)),
        Activation(6, "relu", 7),
        Sum((7,), (Dense(0.5 * normal(generator, 3, 7)),), normal(generator, 3)),
    )
    return Network(4, nodes, (4,))


def box(inputs: int, seed: int, radius: float = 0.7) -> Domain:
    generator = torch.Generator().manual_seed(seed)
    centre = normal(generator, 1, inputs)
    radii = radius * torch.rand(1, inputs, generator=generator, dtype=torch.float64)
    radii[:, 0] = 0  # an input that cannot change
    return Domain(centre - radii, centre + radii)


def sampled(network: Network, domain: Domain, count: int = 4000) -> Tensor:
    """(m,) the least outputs at random points and corners."""
    generator = torch.Generator().manual_seed(9)
    share = torch.rand(count, network.inputs, generator=generator, dtype=torch.float64)
    share = torch.cat([share, share.round()])
    return network(domain.low + share * (domain.high - domain.low)).amin(dim=0)


class Posed:
    """The outputs of a network over a box, their linear bounds, and the problem of them."""

    def __init__(self, network: Network, domain: Domain, steps: int = 10) -> None:
        self.network, self.domain = network, domain
        self.known: list[Interval] = tightened(network, domain)
        outputs = network.outputs
        self.rows = {network.last: torch.eye(outputs, dtype=torch.float64)[None]}
        self.linear: Ascent = ascend(network, self.rows, domain, self.known, steps=steps)
        self.problem: Problem = problem(network, self.rows, domain, self.known)
        self.start: Multipliers = linear_start(
            self.problem, self.rows, domain, self.known, self.linear.choice
        )

    def bound(self, plan: Plan) -> Tensor:
        return climb(self.problem, self.start, plan).bound


POSED: list[Callable[[], Posed]] = [
    *(lambda seed=seed: Posed(chain([4, 9, 8, 3], seed), box(4, seed)) for seed in range(4)),  # type: ignore[misc]
    *(lambda seed=seed: Posed(residual(seed), box(4, seed, 0.4)) for seed in range(3)),  # type: ignore[misc]
]


@pytest.mark.parametrize("posed", POSED)
@pytest.mark.parametrize("slopes", ["crown", "alpha-crown"])
def test_the_bound_of_the_start_is_the_linear_bound(
    posed: Callable[[], Posed], slopes: str
) -> None:
    one = posed()
    choice = Choice() if slopes == "crown" else one.linear.choice
    start = linear_start(one.problem, one.rows, one.domain, one.known, choice)
    linear = chosen_bound(one.network, one.rows, one.domain, one.known, choice).bound[0]
    found = climb(one.problem, start, Plan(steps=0)).bound
    torch.testing.assert_close(found, linear, rtol=0, atol=1e-9)


@pytest.mark.parametrize("posed", POSED)
def test_bounds_lie_between_linear_bounds_and_the_truth_and_are_better(
    posed: Callable[[], Posed],
) -> None:
    one = posed()
    found = one.bound(Plan(steps=100))
    linear, least = one.linear.bound[0], sampled(one.network, one.domain)
    assert bool((found >= linear - 1e-9).all())
    assert bool((found <= least).all())
    gap = least - linear
    wide = gap > 0.05
    assert bool(((found - linear)[wide] > 0.3 * gap[wide]).all())


def exact_minimum(network: Network, domain: Domain, row: int) -> float:
    """The least output over a box: one linear programme for each pattern of active ReLUs."""
    layers = [one for one in network.nodes if isinstance(one, Sum)]
    matrices = []
    for one in layers:
        (first,) = one.maps
        matrices.append((first.apply(torch.eye(first.inputs).double()).T.numpy(), one.bias.numpy()))
    hidden = [len(bias) for _, bias in matrices[:-1]]
    limits = list(zip(domain.low[0].tolist(), domain.high[0].tolist(), strict=True))
    best = float("inf")
    for pattern in itertools.product((0.0, 1.0), repeat=sum(hidden)):
        signs = iter(pattern)
        through, offset = np.eye(network.inputs), np.zeros(network.inputs)
        left, right = [], []
        for weight, bias in matrices[:-1]:
            through, offset = weight @ through, weight @ offset + bias
            active = np.array([next(signs) for _ in bias])
            left.append((1 - 2 * active)[:, None] * through)  # active: -y <= 0; else y <= 0
            right.append(-(1 - 2 * active) * offset)
            through, offset = active[:, None] * through, active * offset
        weight, bias = matrices[-1]
        found = linprog(
            (weight @ through)[row], A_ub=np.vstack(left), b_ub=np.hstack(right), bounds=limits
        )
        if found.status == 0:
            best = min(best, float(found.fun + (weight @ offset + bias)[row]))
    return best


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sizes", [[3, 5, 1], [3, 4, 3, 1]])
def test_bounds_are_below_and_near_the_exact_minimum_of_tiny_networks(
    sizes: list[int], seed: int
) -> None:
    one = Posed(chain(sizes, seed + 20), box(3, seed, 1.5))
    true = exact_minimum(one.network, one.domain, 0)
    found = float(one.bound(Plan(steps=200)))
    assert found <= true + 1e-7  # the tolerance of the linear programme
    assert found >= float(one.linear.bound) - 1e-9
    assert true - found <= max(0.5 * (true - float(one.linear.bound)), 1e-4)


def lagrangian_by_hand(
    one: Posed, multipliers: Mapping[int, Tensor], row: int, z: Tensor
) -> Tensor:
    """The Lagrangian at one z, from its definition, for a chain of three layers."""
    weights = []
    for node in one.network.nodes:
        if isinstance(node, Sum):
            (first,) = node.maps
            weights.append((first.apply(torch.eye(first.inputs).double()).T, node.bias))
    taken = 0
    values = []
    x = z.new_zeros(0)
    total = z.new_zeros(())
    for place in (0, *one.network.activations):
        radius = one.problem.radius[place]
        free = torch.nonzero(radius > 0).flatten()
        own = one.problem.centre[place].clone()
        own[free] = own[free] + radius[free] * z[taken : taken + len(free)]
        taken += len(free)
        if place:
            given = one.known[one.network.activation(place).parent]
            low, high = given.low[0], given.high[0]
            weight, bias = weights[len(values) - 1]
            y = weight @ x + bias
            own = torch.where(low >= 0, y, own)
            m = multipliers[place][:, row]
            chord = high / (high - low)
            under = own - y
            facts = torch.stack(
                [own * (y - own), under, own, chord * (y - low) - own, under * (-low - under)]
            )
            bent = (low < 0) & (high > 0)
            total = total - (m * facts)[:, bent].sum()
        values.append(own)
        x = own
    weight, bias = weights[-1]
    return total + weight[row] @ x + bias[row]


def test_the_written_out_form_is_the_lagrangian() -> None:
    one = Posed(chain([4, 6, 6, 2], 3), box(4, 1))
    generator = torch.Generator().manual_seed(0)
    random = {place: normal(generator, *m.shape).abs() for place, m in one.start.items()}
    ring = frame(one.problem)
    assert ring.variables == one.problem.variables
    for row in range(2):
        form = quadratic(one.problem, ring, random, row)
        torch.testing.assert_close(form.bend, form.bend.T)
        for _ in range(5):
            z = normal(generator, ring.variables)
            by_form = form.constant + form.slope @ z + z @ form.bend @ z / 2
            torch.testing.assert_close(by_form, lagrangian_by_hand(one, random, row, z))


def forms_by_hand(one: Posed, row: int) -> tuple[Tensor, Tensor]:
    """The Lagrangian is affine in its multipliers: symmetric matrices in (1, z), by multiplier."""
    zeros = {place: torch.zeros_like(m) for place, m in one.start.items()}
    count = one.problem.variables
    units = torch.eye(count, dtype=torch.float64)

    def matrix(multipliers: Mapping[int, Tensor]) -> Tensor:
        def at(z: Tensor) -> Tensor:
            return lagrangian_by_hand(one, multipliers, row, z)

        middle = at(0 * units[0])
        up, down = (torch.stack([at(sign * z) for z in units]) for sign in (1, -1))
        found = torch.zeros(count + 1, count + 1, dtype=torch.float64)
        found[0, 0] = 2 * middle
        found[0, 1:] = found[1:, 0] = (up - down) / 2
        for j, k in itertools.combinations(range(count), 2):
            both = at(units[j] + units[k]) - up[j] - up[k] + middle
            found[j + 1, k + 1] = found[k + 1, j + 1] = both
        found[1:, 1:] += torch.diag(up + down - 2 * middle)
        return found

    none, forms = matrix(zeros), []
    for place, m in one.start.items():
        for fact in range(5):
            for neuron in range(m.shape[2]):
                single = {each: other.clone() for each, other in zeros.items()}
                single[place][fact, row, neuron] = 1
                forms.append(matrix(single) - none)
    return none, torch.stack(forms)


def slow_dual(one: Posed, row: int, steps: int = 1500) -> float:
    """The best dual bound by plain ascent through exact eigenvalues, all multipliers at once."""
    none, forms = forms_by_hand(one, row)
    start = torch.cat([m[:, row].flatten() for m in one.start.values()])
    least = torch.cat(
        [torch.tensor([-1e9, 0, 0, 0, 0]).repeat_interleave(m.shape[2]) for m in one.start.values()]
    )
    weights = torch.full((len(none),), 0.3, dtype=torch.float64)
    moved = torch.cat([start, weights]).requires_grad_(True)
    lowest = torch.cat([least.double(), torch.full((len(none),), -1e9).double()])
    mean, square = torch.zeros_like(moved), torch.zeros_like(moved)
    best = -float("inf")
    for step in range(1, steps + 1):
        m, k = moved[: len(start)], moved[len(start) :]
        whole = none + torch.tensordot(m, forms, 1)
        corner = torch.cat([whole[0, :1] - whole[0, 0], whole[0, 1:]])
        arrow = torch.cat([corner[None], whole[1:]])
        eigenvalue = torch.linalg.eigvalsh(arrow + torch.diag(k))[0].clamp_max(0)
        pressed = torch.cat([k[:1] - eigenvalue, (k[1:] - eigenvalue).clamp_min(0)])
        bound = whole[0, 0] / 2 - pressed.sum() / 2
        best = max(best, float(bound.detach()))
        (slope,) = torch.autograd.grad(bound, moved)
        with torch.no_grad():
            mean.lerp_(slope, 0.1)
            square.lerp_(slope**2, 0.01)
            scale = (square / (1 - 0.99**step)).sqrt() + 1e-9
            rate = 0.03 * 0.001 ** (step / steps)
            moved.addcdiv_(mean / (1 - 0.9**step), scale, value=rate)
            moved.copy_(torch.maximum(moved, lowest))
    return best


def test_the_search_reaches_the_optimum_of_the_dual() -> None:
    one = Posed(chain([3, 5, 4, 1], 7, scale=2.0), box(3, 2, 1.5))
    found, slow = float(one.bound(Plan(steps=400))), slow_dual(one, 0)
    linear, least = float(one.linear.bound), float(sampled(one.network, one.domain))
    assert least - linear > 0.2
    assert abs(found - slow) <= 0.02 * (least - linear)


def test_vectors_reach_the_least_value_that_the_certificate_proves() -> None:
    """Of the same multipliers: the primal value by vectors, the dual one by eigenvalues."""
    one = Posed(chain([4, 9, 8, 3], 1), box(4, 1))
    found = climb(one.problem, one.start, Plan(steps=60))
    at = begin(one.problem, 8, torch.Generator().manual_seed(5))
    for _ in range(800):
        sweep(one.problem, found.multipliers, at)
    by_vectors = value(one.problem, found.multipliers, at)
    proved = certified(one.problem, frame(one.problem), found.multipliers, at.weights)
    assert bool((proved <= by_vectors + 1e-9).all())
    torch.testing.assert_close(proved, by_vectors, rtol=0, atol=2e-3)


@pytest.mark.parametrize("seed", range(10))
def test_no_multipliers_whatever_prove_more_than_the_truth(seed: int) -> None:
    one = Posed(chain([4, 9, 8, 3], seed), box(4, seed), steps=0)
    generator = torch.Generator().manual_seed(seed)
    least = sampled(one.network, one.domain)
    found = climb(one.problem, one.start, Plan(steps=30))
    for size in (0.0, 0.1, 10.0):
        tampered = {
            place: m + size * normal(generator, *m.shape) for place, m in found.multipliers.items()
        }
        pressed = {
            place: w + size * normal(generator, *w.shape) for place, w in found.weights.items()
        }
        bound = certified(one.problem, frame(one.problem), tampered, pressed)
        assert bool((bound <= least).all())


def test_multipliers_that_are_no_numbers_prove_nothing() -> None:
    one = Posed(chain([4, 9, 8, 3], 1), box(4, 1))
    broken = {place: torch.full_like(m, torch.nan) for place, m in one.start.items()}
    pressed = {place: r.expand(3, -1) for place, r in one.problem.radius.items()}
    assert not bool((certified(one.problem, frame(one.problem), broken, pressed) > -1e300).any())


@pytest.mark.parametrize("seed", range(10))
def test_a_quadratic_function_is_bounded_from_below_over_the_cube(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    half = normal(generator, 6, 6)
    form = Quadratic(normal(generator, 1)[0], normal(generator, 6), half + half.T, 0.0)
    corners = torch.tensor(list(itertools.product((-1.0, 0.0, 1.0), repeat=6))).double()
    values = form.constant + corners @ form.slope + ((corners @ form.bend) * corners).sum(1) / 2
    for weights in (torch.zeros(6), torch.full((6,), 5.0), torch.full((6,), 50.0)):
        assert proof(form, weights.double(), None)[0] <= float(values.min())


def test_the_bound_of_a_convex_quadratic_is_its_minimum_from_below() -> None:
    """2 z^2 + z + 1 is least at -1/4, where it is 7/8."""
    form = Quadratic(
        torch.tensor(1.0).double(), torch.ones(1).double(), torch.full((1, 1), 4.0).double(), 0.0
    )
    found = proof(form, torch.zeros(1).double(), None)[0]
    assert 0.875 - 1e-6 < found <= 0.875


def test_rounding_is_taken_off_where_terms_cancel() -> None:
    """f = relu(1e8 x + 0.1) - relu(1e8 x + 0.1) is 0; no bound may be above it."""
    big = torch.tensor([[1e8], [1e8]], dtype=torch.float64)
    down = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    nodes = (
        Sum((0,), (Dense(big),), torch.tensor([0.1, 0.1], dtype=torch.float64)),
        Activation(1, "relu", 2),
        Sum((2,), (Dense(down),), torch.zeros(2, dtype=torch.float64)),
    )
    for low in (0.1, -0.4):
        start = torch.tensor([[low]], dtype=torch.float64)
        one = Posed(Network(1, nodes, (1,)), Domain(start, start + 0.7))
        assert bool((one.bound(Plan(steps=30)) <= 0).all())


def test_a_network_without_open_signs_is_bounded_by_its_corner() -> None:
    network = chain([6, 4], 0)
    one = Posed(network, box(6, 3))
    found = one.bound(Plan(steps=5))
    torch.testing.assert_close(found, one.linear.bound[0], rtol=0, atol=1e-9)
    assert bool((found <= sampled(network, one.domain)).all())


def test_the_same_seed_gives_the_same_bound() -> None:
    one = Posed(chain([4, 9, 8, 3], 2), box(4, 2))
    assert one.bound(Plan(steps=40)).tolist() == one.bound(Plan(steps=40)).tolist()


def test_rows_that_are_good_enough_are_left_alone() -> None:
    one = Posed(chain([4, 9, 8, 3], 1), box(4, 1))
    far, near = one.bound(Plan(steps=200)), sampled(one.network, one.domain)
    enough = torch.tensor([float(one.linear.bound[0, 0]) - 1, float("inf"), float(far[2]) - 0.05])
    found = one.bound(Plan(steps=200, enough=enough.double()))
    assert float(found[1]) == pytest.approx(float(far[1]), abs=1e-3)
    assert bool((found[[0, 2]] > enough[[0, 2]]).all())
    assert bool((found <= near).all())


def test_time_that_is_up_leaves_the_linear_bound() -> None:
    one = Posed(chain([4, 9, 8, 3], 1), box(4, 1))
    found = one.bound(Plan(steps=10_000, clock=Clock(0.0)))
    torch.testing.assert_close(found, one.linear.bound[0], rtol=0, atol=1e-9)


@cache
def adversarially_trained(seed: int) -> tuple[Network, Tensor, Tensor]:
    """A network trained on worst corners of boxes around 2 classes of points, and the points."""
    generator = torch.Generator().manual_seed(seed)
    centres = normal(generator, 2, 12)
    y = torch.arange(200) % 2
    x = centres[y] + 0.5 * normal(generator, 200, 12)
    weights = [normal(generator, a, b) / b**0.5 for a, b in ((24, 12), (24, 24), (2, 24))]
    for one in weights:
        one.requires_grad_(True)

    def loss(points: Tensor) -> Tensor:
        hidden = torch.relu(torch.relu(points @ weights[0].T) @ weights[1].T)
        return torch.nn.functional.cross_entropy(hidden @ weights[2].T, y)

    for _ in range(150):
        moved = x.clone()
        for _ in range(3):
            moved.requires_grad_(True)
            (slope,) = torch.autograd.grad(loss(moved), moved)
            moved = torch.clamp(moved.detach() + 0.2 * slope.sign(), x - 0.4, x + 0.4)
        slopes = torch.autograd.grad(loss(moved), weights)
        with torch.no_grad():
            for one, slope in zip(weights, slopes, strict=True):
                one.sub_(0.3 * slope)
    nodes: list[Sum | Activation] = []
    for one in weights:
        zeros = torch.zeros(len(one), dtype=torch.float64)
        nodes.append(Sum((len(nodes),), (Dense(one.detach()),), zeros))
        nodes.append(Activation(len(nodes), "relu", len(one)))
    return Network(12, tuple(nodes[:-1]), (12,)), x, y


def test_most_of_the_gap_is_closed_where_training_was_adversarial() -> None:
    network, x, y = adversarially_trained(0)
    right = network(x).argmax(dim=1) == y
    shares = []
    for place in torch.nonzero(right).flatten()[:6].tolist():
        domain = Domain(x[place : place + 1] - 0.4, x[place : place + 1] + 0.4)
        known = tightened(network, domain)
        row = torch.tensor([[[-1.0, 1.0]]], dtype=torch.float64) * (2 * y[place] - 1)
        rows = {network.last: row}
        linear = ascend(network, rows, domain, known, steps=50)
        posed = problem(network, rows, domain, known)
        start = linear_start(posed, rows, domain, known, linear.choice)
        bound = float(climb(posed, start, Plan(steps=100)).bound)
        least = float(_attacked(network, row[0, 0], domain).min())
        low = float(linear.bound)
        assert low - 1e-9 <= bound <= least
        if least - low > 0.05:
            shares.append((bound - low) / (least - low))
    assert len(shares) >= 4
    assert np.mean(shares) > 0.5


def _attacked(network: Network, row: Tensor, domain: Domain) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(200, network.inputs, generator=generator, dtype=torch.float64).round()
    points = domain.low + share * (domain.high - domain.low)
    for _ in range(20):
        points.requires_grad_(True)
        (slope,) = torch.autograd.grad((network(points) @ row).sum(), points)
        moved = points.detach() - 0.2 * slope.sign()
        points = torch.minimum(torch.maximum(moved, domain.low), domain.high)
    return network(points) @ row


def test_the_stage_decides_what_linear_bounds_leave_open() -> None:
    network, x, y = adversarially_trained(0)
    right = torch.nonzero(network(x).argmax(dim=1) == y).flatten()[:10].tolist()
    verdicts: dict[str, set[int]] = {"alpha-crown": set(), "sdp": set(), "auto": set()}
    for place in right:
        asked = robustness(str(place), x[place].float(), int(y[place]), "0.4", outputs=2)
        for method, found in verdicts.items():
            answer = decide(network, asked, lambda point: False, Setting(method, 20.0))
            if answer.verdict == "verified":
                found.add(place)
            if method == "sdp" and answer.stage == "sdp":
                assert answer.bound > 0
                assert "sdp" in answer.seconds
    assert verdicts["alpha-crown"] <= verdicts["sdp"] <= verdicts["auto"]
    assert len(verdicts["sdp"]) > len(verdicts["alpha-crown"])


def test_other_activations_and_several_boxes_are_refused() -> None:
    network = Network(2, (Activation(0, "tanh", 2),), (2,))
    rows = {1: torch.eye(2, dtype=torch.float64)[None]}
    domain = box(2, 0)
    with pytest.raises(ValueError, match="ReLU"):
        problem(network, rows, domain, tightened(network, domain))
    chained = chain([2, 3, 2], 0)
    both = Domain.joined([domain, domain])
    with pytest.raises(ValueError, match="one box"):
        problem(chained, {3: rows[1]}, both, tightened(chained, both))
