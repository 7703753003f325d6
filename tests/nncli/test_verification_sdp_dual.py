"""The search for multipliers reaches what their dual allows, which is written out by hand."""

import itertools
from collections.abc import Mapping

import pytest
import torch
from semidefinite_problems import Posed, box, sampled
from torch import Tensor
from verification_networks import chain, normal

from nncli.verification.network import Sum
from nncli.verification.sdp.certificate import certified
from nncli.verification.sdp.quadratic_form import frame, quadratic
from nncli.verification.sdp.search import Plan, climb
from nncli.verification.sdp.sweeps import begin, sweep, value

pytestmark = pytest.mark.usefixtures("one_thread")


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
