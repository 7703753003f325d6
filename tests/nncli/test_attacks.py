"""Attacks: what must hold always, and linear models, where the worst case is known."""

import pytest
import torch
from torch import nn

from nncli.attacks import (
    NORMS,
    constant_schedule,
    cross_entropy,
    fgsm,
    pgd,
    squared_error,
    valid_box,
)

EPSILON = 0.1


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_problem(*, n=40, shape=(1, 4, 4), classes=3, dtype=torch.float32):
    random = generator(7)
    x = torch.rand((n, *shape), generator=random, dtype=dtype)
    y = torch.randint(classes, (n,), generator=random)
    torch.manual_seed(7)
    features = x[0].numel()
    net = nn.Sequential(nn.Flatten(), nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, classes))
    return net.to(dtype), x, y


def distance(a, b, norm):
    return torch.linalg.vector_norm(
        (a - b).flatten(1).double(), ord=float("inf") if norm == "linf" else 2, dim=1
    )


def attack(name, model, x, y, norm, *, epsilon=EPSILON, box=(0.0, 1.0), **more):
    if name == "fgsm":
        return fgsm(model, x, y, epsilon=epsilon, norm=norm, box=box, **more)
    steps = constant_schedule(epsilon, 10)
    return pgd(
        model, x, y, epsilon=epsilon, step_sizes=steps, norm=norm, box=box, generator=generator(),
        **more,
    )  # fmt: skip


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fgsm", "pgd"])
@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.3, 5.0])
def test_perturbed_inputs_stay_in_the_ball_and_in_the_box(name, norm, epsilon):
    net, x, y = random_problem()
    x[0], x[1] = 0, 1  # corners of the box
    found = attack(name, net, x, y, norm, epsilon=epsilon)
    assert (distance(found, x, norm) <= epsilon * (1 + 1e-5) + 1e-6).all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.dtype == x.dtype
    assert not found.requires_grad


@pytest.mark.parametrize("norm", NORMS)
def test_pgd_is_stronger_than_fgsm_which_is_stronger_than_nothing(norm):
    net, x, y = random_problem(n=200)
    clean = cross_entropy(net(x), y)
    one = cross_entropy(net(attack("fgsm", net, x, y, norm)), y)
    many = cross_entropy(net(attack("pgd", net, x, y, norm)), y)
    assert many.mean() >= one.mean() >= clean.mean()
    assert (many >= clean).all()


@pytest.mark.parametrize("norm", NORMS)
def test_more_restarts_never_lower_the_loss(norm):
    net, x, y = random_problem()
    once = cross_entropy(net(attack("pgd", net, x, y, norm)), y)
    often = cross_entropy(net(attack("pgd", net, x, y, norm, restarts=4)), y)
    assert (often >= once).all()


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_on_a_linear_model_the_margin_drops_by_epsilon_times_the_dual_norm(name, norm, dual):
    torch.manual_seed(0)
    model = nn.Linear(6, 2).double()
    x = torch.randn(30, 6, generator=generator(), dtype=torch.float64)
    y = torch.arange(30) % 2
    weight = model.weight[1] - model.weight[0]  # margin of class 1 over class 0
    sign = 2.0 * y - 1

    def margin(points):
        outputs = model(points)
        return sign * (outputs[:, 1] - outputs[:, 0])

    drop = EPSILON * torch.linalg.vector_norm(weight, ord=dual)
    steps = constant_schedule(EPSILON, 10)
    found = (
        fgsm(model, x, y, epsilon=EPSILON, norm=norm, box=None)
        if name == "fgsm"
        else pgd(model, x, y, epsilon=EPSILON, step_sizes=steps, norm=norm, box=None)
    )
    torch.testing.assert_close(margin(found), margin(x) - drop, rtol=0, atol=1e-9)
    from_random_starts = attack("pgd", model, x, y, norm, box=None)
    assert (margin(from_random_starts) >= margin(x) - drop - 1e-9).all()


def test_equal_generators_give_equal_points_and_others_do_not():
    net, x, y = random_problem()
    steps = constant_schedule(EPSILON, 2)
    a, b, c = (
        pgd(net, x, y, epsilon=EPSILON, step_sizes=steps, generator=generator(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("norm", NORMS)
def test_random_starts_fill_the_ball_evenly(norm):
    # With a loss that is 0 everywhere but at the start, the worst point is the start itself.
    x = torch.zeros(4000, 3)
    starts = pgd(
        lambda points: points,
        x,
        torch.zeros(4000),
        epsilon=2.0,
        step_sizes=(),
        norm=norm,
        box=None,
        generator=generator(),
        loss=lambda outputs, y: outputs.abs().sum(1),
    )
    radius = distance(starts, x, norm)
    # The share of the ball within r is (r / epsilon)^3; 0.024 is 3 standard errors.
    for r in (0.8, 1.2, 1.6):
        assert (radius <= r).double().mean() == pytest.approx((r / 2) ** 3, abs=0.024)


def test_the_l2_attack_survives_gradients_whose_square_underflows():
    def weak(points):
        return 1e-30 * points

    x = torch.full((1, 4), 0.5)
    found = fgsm(weak, x, torch.zeros(1), epsilon=0.2, norm="l2", loss=lambda o, y: o.sum(1))
    torch.testing.assert_close(found, torch.full((1, 4), 0.6))


def test_where_the_gradient_is_zero_nothing_moves():
    x = torch.full((2, 3), 0.5)
    for norm in NORMS:
        found = fgsm(
            lambda p: 0 * p, x, torch.zeros(2), epsilon=0.1, norm=norm, loss=lambda o, y: o.sum(1)
        )
        assert torch.equal(found, x)


def test_parameters_and_mode_of_the_model_are_left_alone():
    net, x, y = random_problem()
    before = [p.detach().clone() for p in net.parameters()]
    for name in ("fgsm", "pgd"):
        attack(name, net.train(), x, y, "linf")
    assert net.training
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_regression_targets_are_attacked_through_the_squared_error():
    model = nn.Linear(2, 1)
    x, y = torch.rand(5, 2), torch.zeros(5)
    found = fgsm(model, x, y, epsilon=0.1, box=None, loss=squared_error)
    assert (squared_error(model(found), y) >= squared_error(model(x), y)).all()


def test_the_steps_of_the_schedule_have_the_length_they_promise():
    assert constant_schedule(0.2, 5) == pytest.approx((0.1,) * 5)


def test_the_valid_box_is_that_of_images_or_none():
    assert valid_box(torch.tensor([0.0, 0.5, 1.0])) == (0.0, 1.0)
    assert valid_box(torch.tensor([-0.1, 0.5])) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": -1.0}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"epsilon": 0.1, "norm": "l1"}, "norm"),
        ({"epsilon": 0.1, "box": (0.4, 1.0)}, "outside the box"),
    ],
)
def test_impossible_balls_are_refused(settings, message):
    net, x, y = random_problem()
    with pytest.raises(ValueError, match=message):
        fgsm(net, x, y, **settings)


def test_restarts_without_a_generator_are_refused():
    net, x, y = random_problem()
    with pytest.raises(ValueError, match="generator"):
        pgd(net, x, y, epsilon=0.1, step_sizes=(0.1,), restarts=2)
