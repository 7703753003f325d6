"""The smallest radius where it is known: linear programs, closed forms, searches of everything."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, linprog
from torch import nn

from nncli.attacks.attack import Attack
from nncli.attacks.ball import distance
from nncli.attacks.linear_steps import crossing
from nncli.attacks.measuring import Plan, measure
from nncli.forward import Batch

RANDOM = np.random.default_rng(5)
FEATURES, CLASSES, N = 12, 5, 40


class Linear(nn.Module):
    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x):
        return x @ self.weight.T + self.bias


def problem(kind=torch.float32):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(CLASSES, FEATURES, generator=generator, dtype=torch.float64).to(kind)
    bias = torch.randn(CLASSES, generator=generator, dtype=torch.float64).to(kind)
    x = torch.rand(N, FEATURES, generator=generator, dtype=torch.float64).to(kind)
    x[:, :3] = x[:, :3].round()  # some features lie at the edge of the box
    network = Linear(weight, bias)
    return network, x, network(x).argmax(1).detach()


def gaps(network, x, label):
    """For each other class the slope of its logit less that of the label, and what it must rise."""
    weight, bias = (one.detach().double().numpy() for one in (network.weight, network.bias))
    logits = weight @ x + bias
    for other in set(range(len(bias))) - {label}:
        yield weight[other] - weight[label], logits[label] - logits[other]


def nearest_linf(slope, rise, x, box):
    """Least t such that slope . s >= rise, |s| <= t, x + s in the box."""
    size, one = len(x), np.ones((len(x), 1))
    rows = np.vstack([
        np.hstack([-slope[None], [[0.0]]]), np.hstack([np.eye(size), -one]),
        np.hstack([-np.eye(size), -one]),
    ])  # fmt: skip
    limits = [(None, None) if box is None else (box[0] - v, box[1] - v) for v in x]
    solved = linprog(
        np.append(np.zeros(size), 1.0), rows, np.append(-rise, np.zeros(2 * size)),
        bounds=[*limits, (0, None)],
    )  # fmt: skip
    return solved.fun if solved.status == 0 else np.inf


def nearest_l2(slope, rise, x, box):
    """By the conditions of Karush, Kuhn and Tucker: s = clip(multiplier * slope) to the box."""
    low, high = (-np.inf, np.inf) if box is None else (box[0] - x, box[1] - x)

    def left(multiplier):
        return slope @ np.clip(multiplier * slope, low, high) - rise

    if left(1e6) < 0:
        return np.inf
    return np.linalg.norm(np.clip(brentq(left, 0, 1e6, xtol=1e-14) * slope, low, high))


REFERENCES = {"linf": nearest_linf, "l2": nearest_l2}


def radii(network, x, y, *, norm, box, **settings):
    attack = Attack(settings.pop("name", "pgd"), norm=norm, steps=4, **settings)
    plan = Plan(attack, (0.01, 0.1, 0.5, 4.0), box, refinements=1)
    return measure(network, Batch(x=x, mask=None, start=0), y, plan)


@pytest.mark.parametrize("box", [None, (0.0, 1.0)])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["pgd", "autopgd"])
def test_the_smallest_radius_of_every_example_of_a_linear_network_is_exact(norm, box, name):
    network, x, y = problem()
    found = radii(network, x, y, norm=norm, box=box, name=name).radius
    pairs = zip(x.double().numpy(), y.tolist(), strict=True)
    nearest = REFERENCES[norm]
    expected = [
        min(nearest(slope, rise, one, box) for slope, rise in gaps(network, one, label))
        for one, label in pairs
    ]
    assert np.isfinite(expected).sum() > N / 2
    np.testing.assert_allclose(found, expected, rtol=3e-4, atol=1e-6)


def test_towards_one_class_of_two_it_is_exact_too():
    network, x, _ = problem()
    network = Linear(network.weight[:2].detach(), network.bias[:2].detach())
    y = network(x).argmax(1)
    found = radii(network, x, y, norm="l2", box=None, target=1)
    driven = (y == 0).numpy()
    assert driven.sum() > N / 4
    points = x.double().numpy()[driven]
    expected = [nearest_l2(*next(gaps(network, one, 0)), one, None) for one in points]
    np.testing.assert_allclose(found.radius[driven], expected, rtol=1e-4)


def test_on_circles_it_is_that_of_a_search_over_all_angles():
    weight = torch.tensor([[1.0, 0.2], [-0.5, 1.0], [-0.4, -1.0]])
    network = Linear(weight, torch.tensor([0.1, 0.0, -0.2]))
    x = torch.from_numpy(RANDOM.standard_normal((30, 2)).astype(np.float32))
    y = network(x).argmax(1)
    plan = Plan(Attack("pgd", norm="sphere", steps=4), (0.1, 8.0), None, refinements=1)
    found = measure(network, Batch(x=x, mask=None, start=0), y, plan).radius
    angle = torch.linspace(0, 2 * torch.pi, 40_001, dtype=torch.float64)
    around = torch.stack([angle.cos(), angle.sin()], 1)
    for at, (one, label) in enumerate(zip(x.double(), y, strict=True)):
        points = around * one.norm()
        wrong = network(points.float()).argmax(1) != label
        expected = (points[wrong] - one).norm(dim=1).min() if wrong.any() else np.inf
        assert found[at] == pytest.approx(float(expected), abs=1e-3)


class Bent(nn.Module):
    """Rises slowly in the first feature, and fast in both beyond a bend."""

    def forward(self, x):
        first, second = x.T
        rise = 0.2 * first - 1 + torch.relu(first + 3 * second - 0.5)
        return torch.stack([torch.zeros_like(rise), rise], 1)


def test_behind_a_bend_steps_from_the_nearest_error_known_are_exact():
    x = torch.from_numpy(RANDOM.uniform(-0.2, 0.1, (30, 2)).astype(np.float32))
    y = torch.zeros(30, dtype=torch.int64)
    found = radii(Bent(), x, y, norm="l2", box=None).radius
    expected = (1.5 - x.numpy() @ [1.2, 3.0]) / np.hypot(1.2, 3.0)  # beyond the bend, by far
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_one_step_remains_one_step():
    network, x, y = problem()
    one = radii(network, x, y, norm="l2", box=(0.0, 1.0), name="fgsm").radius
    many = radii(network, x, y, norm="l2", box=(0.0, 1.0)).radius
    assert (one >= many * (1 - 1e-3)).all()
    assert (one > many * 1.01).any()


@pytest.mark.parametrize("norm", ["linf", "l2", "sphere"])
def test_a_crossing_is_where_the_function_has_risen_by_so_much(norm):
    x = torch.from_numpy(RANDOM.uniform(0, 1, (50, 7)))
    slope = torch.from_numpy(RANDOM.standard_normal((50, 7)))
    slope[:, 2] = 0
    rise, box = (
        torch.full((50,), 0.3, dtype=torch.float64),
        None if norm == "sphere" else (0.0, 1.0),
    )
    point = crossing(x, slope, rise, norm, box)
    moved = distance(point, x, norm) > 0
    assert moved.float().mean() > 0.6
    risen = ((point - x) * slope).sum(1)[moved]
    torch.testing.assert_close(risen, rise[moved], rtol=1e-9, atol=1e-12)
    if norm == "sphere":
        torch.testing.assert_close(point.norm(dim=1), x.norm(dim=1), rtol=1e-12, atol=0)
    else:
        assert point.min() >= 0
        assert point.max() <= 1


def test_where_the_function_never_rises_so_far_the_input_is_left_as_it_is():
    x, slope = torch.full((2, 3), 0.5), torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    for norm in ("linf", "l2"):
        point = crossing(x, slope, torch.tensor([1.6, 0.1]), norm, (0.0, 1.0))
        assert torch.equal(point, x)
