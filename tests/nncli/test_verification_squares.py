"""Quadratic conditions: squares complete exactly, every bound holds, and semidefinite ones gain."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction as F

import pytest
import torch
from torch import Tensor
from verification_networks import chain, normal

from nncli.errors import ArtifactError
from nncli.verification.asking import property_of
from nncli.verification.certifying.checking import check
from nncli.verification.certifying.exact_text import exact_text, read_exact
from nncli.verification.domains import Domain
from nncli.verification.exact import Asked, ExactCase, Limits, Linear, Near, Products
from nncli.verification.intervals import intervals
from nncli.verification.maps import Dense
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.portfolio import decide
from nncli.verification.relaxation import lines
from nncli.verification.replaying import violates
from nncli.verification.sdp.posing import posed
from nncli.verification.squares import completed, with_squares, without_squares
from nncli.verification.stages import Setting
from nncli.verification.standing import Answer

pytestmark = pytest.mark.usefixtures("one_thread")

METHODS = ("ibp", "crown", "alpha-crown", "sdp")


def box(inputs: int, seed: int, reach: int = 10) -> Limits:
    rng = random.Random(seed)
    low = tuple(F(-rng.randint(0, reach), 10) for _ in range(inputs))
    return Limits(low, tuple(one + F(rng.randint(1, reach), 10) for one in low))


def ends(where: Limits) -> tuple[Tensor, Tensor]:
    """The limits in float64."""
    low, high = ([float(one) for one in limits] for limits in (where.low, where.high))
    return torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64)


def points(where: Limits, count: int = 3000) -> Tensor:
    """Random points of a box, and corners."""
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(count, len(where.low), generator=generator, dtype=torch.float64)
    low, high = ends(where)
    return low + torch.cat([share, share.round()]) * (high - low)


def distance(target: Sequence[F], limit: F) -> Linear:
    """`|Y - target|^2 > limit`."""
    return Linear(
        (),
        tuple((place, -2 * at) for place, at in enumerate(target) if at),
        sum((at * at for at in target), F(0)) - limit,
        True,
        tuple((~place, ~place, F(1)) for place in reversed(range(len(target)))),
    )


def value(condition: Linear, x: Tensor, y: Tensor) -> Tensor:
    """The left side of a condition at points, in float64."""
    total = float(condition.constant) + torch.zeros(len(x), dtype=torch.float64)
    total += sum(float(factor) * x[:, place] for place, factor in condition.inputs)
    total += sum(float(factor) * y[:, place] for place, factor in condition.outputs)
    for one, other, factor in condition.products:
        first, second = (x[:, at] if at >= 0 else y[:, ~at] for at in (one, other))
        total += float(factor) * first * second
    return total


def asked(network: Network, where: Limits, *conditions: Linear, near: Near | None = None) -> Asked:
    case = ExactCase(where, conditions, near)
    return property_of("q", [case], inputs=network.inputs, outputs=network.outputs)


def answer(network: Network, question: Asked, method: str, *, record: bool = False) -> Answer:
    def confirm(x: Tensor) -> bool:
        return violates(question, x, network(x[None])[0])

    return decide(network, question, confirm, Setting(method, 60, record=record))


def random_products(rng: random.Random, variables: Sequence[int], count: int) -> Products:
    found = {}
    for _ in range(count):
        one, other = sorted((rng.choice(variables), rng.choice(variables)))
        found[one, other] = F(rng.choice([-4, -3, -1, 1, 2, 5]), rng.randint(1, 3))
    return tuple((one, other, factor) for (one, other), factor in sorted(found.items()))


@pytest.mark.parametrize("seed", range(40))
def test_squares_and_the_rest_are_the_condition_itself(seed: int) -> None:
    rng = random.Random(seed)
    variables = [0, 1, ~0, ~1, ~2]
    products = random_products(rng, variables, rng.randint(1, 8))
    condition = Linear(
        ((0, F(2)), (1, F(-1, 3))), ((0, F(1)), (2, F(-3, 2))), F(1, 7), True, products
    )
    found = completed(condition)
    assert len(found.squares) <= len(variables)
    assert found.rest.strict
    for _ in range(5):
        at = {one: F(rng.randint(-9, 9), rng.randint(1, 4)) for one in variables}

        def linear(one: Linear) -> F:
            total = one.constant + sum(factor * at[place] for place, factor in one.inputs)  # noqa: B023
            return total + sum(factor * at[~place] for place, factor in one.outputs)  # noqa: B023

        whole = linear(condition)
        whole += sum((factor * at[one] * at[other] for one, other, factor in products), F(0))
        parts = linear(found.rest)
        for weight, form in found.squares:
            inner = form.constant + sum(factor * at[one] for one, factor in form.factors)
            parts += weight * inner**2
        assert parts == whole


def test_a_distance_is_one_square_for_each_coordinate() -> None:
    found = completed(distance([F(1, 3), F(0), F(-2)], F(5)))
    assert {
        (weight, form.factors, form.constant) for weight, form in found.squares
    } == {
        (1, ((~0, F(1)),), F(-1, 3)),
        (1, ((~1, F(1)),), F(0)),
        (1, ((~2, F(1)),), F(2)),
    }  # fmt: skip
    assert (found.rest.inputs, found.rest.outputs, found.rest.constant) == ((), (), -5)


@pytest.mark.parametrize("seed", range(10))
def test_the_lines_of_a_square_hold_on_the_interval(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    both = (10.0 ** (4 * seed - 20)) * normal(generator, 2, 1, 50)
    low, high = both.amin(dim=0), both.amax(dim=0)
    line = lines("square", low, high)
    assert line.under is not None
    for share in (0.0, 0.3, 0.5, 0.9, 1.0):
        for at, down, under, up, over in zip(
            (low + share * (high - low)).clamp(low, high)[0].tolist(),
            *(one[0, 0].tolist() for one in (line.below, line.under, line.above, line.over)),
            strict=True,
        ):
            exact = F(at) ** 2
            assert F(down) * F(at) + F(under) <= exact <= F(up) * F(at) + F(over)


def test_the_interval_of_a_square_holds_zero_only_where_it_can() -> None:
    low = torch.tensor([[-1.0, 0.5, -3.0, 0.0]], dtype=torch.float64)
    high = torch.tensor([[2.0, 1.5, -2.0, 0.0]], dtype=torch.float64)
    network = Network(4, (Activation(0, "square", 4),), (4,))
    found = intervals(network, Domain(low, high))[1]
    torch.testing.assert_close(found.low, torch.tensor([[0.0, 0.25, 4.0, 0.0]]).double())
    torch.testing.assert_close(found.high, torch.tensor([[4.0, 2.25, 9.0, 0.0]]).double())
    assert float(found.low[0, 1]) <= 0.25
    assert float(found.high[0, 1]) >= 2.25


def test_a_network_puts_out_its_squares_after_its_outputs() -> None:
    network = chain([3, 6, 4], 0)
    products = ((~3, ~3, F(2)), (~1, ~0, F(1)), (0, 0, F(-1)), (~2, 1, F(3)))
    condition = Linear(((2, F(1)),), ((0, F(1)),), F(0), True, tuple(sorted(products)))
    question = asked(network, box(3, 0), condition)
    whole = with_squares(network, question.squares)
    x = points(box(3, 0), 50)
    y = network(x)
    found = whole(x)
    torch.testing.assert_close(found[:, :4], y)
    (violation,) = question.violations
    assert violation.inputs is not None
    rows = found @ violation.outputs.T + x @ violation.inputs.T + violation.constants
    torch.testing.assert_close(rows[:, 0], value(condition, x, y))
    assert without_squares(whole).nodes[:-1] == network.nodes
    assert with_squares(network, None) is network
    assert without_squares(network) is network


def rotation(size: int, seed: int) -> Tensor:
    return torch.linalg.qr(normal(torch.Generator().manual_seed(seed), size, size))[0]


@pytest.mark.parametrize("seed", range(3))
def test_the_farthest_output_of_a_rotation_has_a_closed_form(seed: int) -> None:
    """|Q x + b - t|^2 = |x + Q'(b - t)|^2: the farther end of each input on its own."""
    generator = torch.Generator().manual_seed(seed)
    turned, bias, target = rotation(5, seed), normal(generator, 5), normal(generator, 5)
    network = Network(5, (Sum((0,), (Dense(turned),), bias),), (5,))
    where = box(5, seed)
    shifted = turned.T @ (bias - target)
    low, high = ends(where)
    exact = float(torch.maximum((low + shifted) ** 2, (high + shifted) ** 2).sum())
    question = asked(network, where, distance([F(one) for one in target.tolist()], F(0)))
    assert exact <= -answer(network, question, "sdp").bound <= exact * 1.0001
    assert -answer(network, question, "alpha-crown").bound > exact * 1.01


@pytest.mark.parametrize("seed", range(4))
def test_the_farthest_output_of_a_linear_network_is_at_a_corner(seed: int) -> None:
    network = chain([6, 9], seed)
    where = box(6, seed)
    corners = torch.cartesian_prod(*torch.stack(ends(where), dim=1))
    exact = float((network(corners) ** 2).sum(dim=1).max())
    question = asked(network, where, distance([F(0)] * 9, F(0)))
    bounds = [-answer(network, question, method).bound for method in METHODS]
    assert bounds == sorted(bounds, reverse=True)
    assert exact <= bounds[-1] <= exact * 1.1
    for limit, verdict in ((F(exact * 1.0001), "verified"), (F(exact * 0.9999), "violated")):
        one = asked(network, where, distance([F(0)] * 9, limit))
        assert answer(network, one, "auto").verdict == verdict


def farthest_of_a_layer(network: Network, where: Limits, target: Tensor) -> float:
    """The greatest distance over a box of two inputs, behind one layer of ReLUs.

    In every cell of the arrangement of the ReLUs' lines the square is convex, so the greatest value
    is at a corner of a cell: where two of the lines, or of the edges of the box, meet.
    """
    first = network.nodes[0]
    assert isinstance(first, Sum)
    weight = first.maps[0].apply(torch.eye(2, dtype=torch.float64)).T
    rows = [(*row, float(bias)) for row, bias in zip(weight.tolist(), first.bias, strict=True)]
    for place in (0, 1):
        for limit in (where.low[place], where.high[place]):
            rows.append((float(place == 0), float(place == 1), -float(limit)))
    found = []
    for one, other in itertools.combinations(torch.tensor(rows, dtype=torch.float64), 2):
        both = torch.stack([one, other])
        if abs(float(torch.linalg.det(both[:, :2]))) > 1e-12:
            found.append(torch.linalg.solve(both[:, :2], -both[:, 2]))
    x = torch.stack(found)
    low, high = ends(where)
    x = x[((x >= low - 1e-9) & (x <= high + 1e-9)).all(dim=1)].clamp(low, high)
    return float(((network(x) - target) ** 2).sum(dim=1).max())


@pytest.mark.parametrize("seed", range(3))
def test_the_farthest_output_behind_relus_is_found_and_proved(seed: int) -> None:
    network, where = chain([2, 9, 5], seed), box(2, seed, 20)
    target = [F(seed, 3), F(-1), F(0), F(1, 7), F(2)]
    centre = torch.tensor([float(one) for one in target], dtype=torch.float64)
    exact = farthest_of_a_layer(network, where, centre)
    assert exact >= float(((network(points(where)) - centre) ** 2).sum(dim=1).max()) - 1e-9
    question = asked(network, where, distance(target, F(0)))
    bounds = [-answer(network, question, method).bound for method in METHODS]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] >= exact
    assert bounds[-2] - bounds[-1] >= 0.2 * (bounds[-2] - exact)
    for limit, verdict in ((F(exact * 1.001), "verified"), (F(exact * 0.999), "violated")):
        one = asked(network, where, distance(target, limit))
        assert answer(network, one, "auto").verdict == verdict


@pytest.mark.parametrize("seed", range(2))
def test_quadratic_forms_of_any_sign_are_never_proved_beyond_what_is_reached(seed: int) -> None:
    rng = random.Random(seed)
    network, where = chain([3, 7, 6, 3], seed), box(3, seed)
    variables = [~0, ~1, ~2, *([0, 1] if seed % 2 else [])]
    products = random_products(rng, variables, 4)
    open_end = Linear(((0, F(1)),), ((1, F(1, 2)),), F(0), True, products)
    x = points(where)
    most = float(value(open_end, x, network(x)).max())
    above, under = (F(most) + gap * (1 + abs(F(most))) for gap in (F(3, 10), F(-1, 10)))
    bounds = []
    question = asked(network, where, replace(open_end, constant=-under))
    for method in METHODS:
        found = answer(network, question, method)
        assert found.verdict != "verified"
        bounds.append(found.bound)
    assert bounds == sorted(bounds)
    assert bounds[-1] <= float(under) - most
    assert answer(network, question, "auto").verdict == "violated"
    question = asked(network, where, replace(open_end, constant=-above))
    found = answer(network, question, "auto", record=True)
    assert found.verdict == "verified"
    assert found.bound <= found.attacked
    assert check(network, question, found.proof) is None


def exactly(network: Network, x: Sequence[F]) -> list[F]:
    """The outputs in exact numbers."""
    values = list(x)
    for node in network.nodes:
        if isinstance(node, Activation):
            values = [max(one, F(0)) for one in values]
            continue
        (one,) = node.maps
        assert isinstance(one, Dense)
        values = [
            F(bias) + sum((F(a) * v for a, v in zip(row, values, strict=True)), F(0))
            for row, bias in zip(one.weight.tolist(), node.bias.tolist(), strict=True)
        ]
    return values


@pytest.mark.parametrize("seed", range(8))
def test_no_bound_is_passed_by_the_exact_value_where_terms_cancel(seed: int) -> None:
    """Sizes from 1e-6 to 1e12, targets and weights that float64 does not hold."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    size = 10.0 ** rng.choice([-6, 0, 4, 8])
    first, bias = size * normal(generator, 3, 2), size * 1e4 * normal(generator, 3).abs()
    nodes: tuple[Sum | Activation, ...] = (Sum((0,), (Dense(first),), bias),)
    if seed % 2:
        zeros = torch.zeros(3, dtype=torch.float64)
        last = Sum((2,), (Dense(normal(generator, 3, 3)),), zeros)
        nodes = (*nodes, Activation(1, "relu", 3), last)
    network = Network(2, nodes, (2,))
    low, high = ([F(sign * rng.randint(1, 50), 70) for _ in range(2)] for sign in (-1, 1))
    middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    target = [one + F(size) / 3 for one in exactly(network, middle)]
    weights = [F(rng.choice([1, 2, 9, -3 if seed % 3 else 5]), 7) for _ in range(3)]
    parts = list(zip(weights, target, strict=True))
    condition = Linear(
        (),
        tuple((at, -2 * w * t) for at, (w, t) in enumerate(parts)),
        sum((w * t * t for w, t in parts), F(0)),
        True,
        tuple((~at, ~at, weights[at]) for at in reversed(range(3))),
    )
    most = max(
        sum(w * (y - t) ** 2 for (w, t), y in zip(parts, exactly(network, x), strict=True))
        for x in [*itertools.product(*zip(low, high, strict=True)), middle]
    )
    question = asked(network, Limits(tuple(low), tuple(high)), condition)
    for method in METHODS:
        assert F(-answer(network, question, method).bound) >= most


@pytest.mark.parametrize("method", ["relu-split", "milp"])
def test_methods_for_signs_leave_open_what_they_cannot_prove(method: str) -> None:
    network, where = chain([3, 4, 3], 2), box(3, 2)
    x = points(where)
    most = float((network(x) ** 2).sum(dim=1).max())
    for factor, allowed in ((1.05, {"verified", "unknown"}), (0.9, {"violated", "unknown"})):
        question = asked(network, where, distance([F(0)] * 3, F(most * factor)))
        assert answer(network, question, method).verdict in allowed


def test_semidefinite_bounds_close_most_of_the_gap_of_a_decoder() -> None:
    network = chain([10, 40, 64], 3)
    where = Limits((F(-3, 10),) * 10, (F(3, 10),) * 10)
    target = network(torch.zeros(1, 10, dtype=torch.float64))[0]
    reached = float(((network(points(where)) - target) ** 2).sum(dim=1).max())
    question = asked(network, where, distance([F(one) for one in target.tolist()], F(0)))
    linear, semidefinite = (-answer(network, question, one).bound for one in METHODS[-2:])
    assert reached <= semidefinite <= 2 * reached
    assert linear > 5 * semidefinite


@pytest.fixture(scope="module")
def decoder() -> tuple[Network, Asked, Answer]:
    """A decoder whose outputs stay near those in the middle, and the proof."""
    network = chain([4, 12, 10], 5)
    where = Limits((F(-1, 4),) * 4, (F(1, 4),) * 4)
    target = [F(one) for one in network(torch.zeros(1, 4, dtype=torch.float64))[0].tolist()]
    bound = -answer(network, asked(network, where, distance(target, F(0))), "sdp").bound
    question = asked(network, where, distance(target, F(bound * 1.02)))
    found = answer(network, question, "sdp", record=True)
    assert (found.verdict, found.stage) == ("verified", "sdp")
    return network, question, found


def test_a_semidefinite_proof_passes_its_check_also_when_read_from_text(
    decoder: tuple[Network, Asked, Answer],
) -> None:
    network, question, found = decoder
    text = exact_text(question, (4,), 10)
    again = read_exact(text, "q", "proof").question
    assert exact_text(again, (4,), 10) == text
    assert check(network, again, found.proof) is None


def test_no_proof_passes_for_a_smaller_limit_or_another_network(
    decoder: tuple[Network, Asked, Answer],
) -> None:
    network, question, found = decoder
    (case,) = question.cases
    (condition,) = case.conditions
    assert isinstance(condition, Linear)
    nearer = replace(condition, constant=condition.constant + F(1, 2))
    assert check(network, asked(network, case.box, nearer), found.proof) is not None  # type: ignore[arg-type]
    assert check(chain([4, 12, 10], 6), question, found.proof) is not None


@pytest.mark.parametrize("seed", range(6))
def test_tampered_multipliers_prove_nothing_that_is_false(
    decoder: tuple[Network, Asked, Answer], seed: int
) -> None:
    network, question, found = decoder
    (case,) = question.cases
    (condition,) = case.conditions
    assert isinstance(condition, Linear)
    x = points(case.box)  # type: ignore[arg-type]
    room = -float(value(condition, x, network(x)).max())
    false = replace(condition, constant=condition.constant + F(room * 1.001))
    impossible = asked(network, case.box, false)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    parts = [
        replace(
            part,
            tensors={
                name: one
                if name in ("rows", "effort")
                else 10 ** (seed - 3) * normal(generator, *one.shape) + one
                for name, one in part.tensors.items()
            },
        )
        for part in found.proof
    ]
    assert check(network, impossible, parts) is not None
    without = [replace(part, tensors={}) for part in found.proof]
    assert check(network, question, without) is not None


def test_damaged_products_in_the_text_are_refused() -> None:
    network = chain([2, 3, 2], 0)
    text = exact_text(asked(network, box(2, 0), distance([F(1), F(2)], F(3))), (2,), 2)
    for old, new, words in (
        ('["y",1]', '["y",2]', "names a variable that is not there"),
        ('["y",1]', '["z",1]', "names a variable that is not there"),
        ('["y",1]', '["y",0]', "names a product twice"),
        ('["y",1],"1"', '["y",1],"much"', "is no exact number"),
    ):
        assert old in text
        with pytest.raises(ArtifactError, match=words):
            read_exact(text.replace(old, new), "q", "proof")


def test_counterexamples_are_compared_in_exact_numbers() -> None:
    """|Y|^2 > 25 of the identity at (3, 4) is a tie, and none at the next number."""
    identity = Network(2, (), (2,))
    where = Limits((F(0), F(0)), (F(5), F(5)))
    question = asked(identity, where, distance([F(0), F(0)], F(25)))
    point = torch.tensor([3.0, 4.0], dtype=torch.float64)
    assert not violates(question, point, point)
    assert violates(question, point, torch.nextafter(point, point + 1))


def test_rows_with_squares_are_posed_one_by_one(decoder: tuple[Network, Asked, Answer]) -> None:
    from nncli.verification.queries import queries
    from nncli.verification.tightening import tightened

    network, question, _ = decoder
    whole = with_squares(network, question.squares)
    (query,) = queries(question)
    known = tightened(whole, Domain(query.region.low[None], query.region.high[None]))
    with pytest.raises(ValueError, match="one by one"):
        posed(whole, query, known, torch.tensor([0, 0]))


def test_numbers_too_far_apart_are_refused() -> None:
    network = chain([2, 3, 2], 0)
    tiny = Linear((), (), F(-1), True, ((~0, ~0, F(1, 10**320)),))
    with pytest.raises(ArtifactError, match="too far apart for float64"):
        asked(network, box(2, 0), tiny)
