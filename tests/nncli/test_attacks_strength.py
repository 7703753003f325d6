"""Named attacks: the set they never leave, what they are at least as strong as, their losses."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from nncli.attacks import KINDS, LOSSES, autopgd, cross_entropy, distance, margin, pgd, towards
from nncli.attacks.attack import SCHEDULES, Attack, random_starts, reaching, strongest, wrong
from nncli.attacks.autopgd import checkpoints
from nncli.attacks.gradient import constant_schedule
from nncli.attacks.random_search import random_search

NAMES = ("fgsm", "pgd", "autopgd")


def problem(*, n=24, shape=(1, 4, 4), classes=5, dtype=torch.float32, seed=3):
    random = torch.Generator().manual_seed(seed)
    x = torch.rand((n, *shape), generator=random, dtype=dtype)
    y = torch.randint(classes, (n,), generator=random)
    features = x[0].numel()
    layers = [nn.Flatten(), nn.Linear(features, 24), nn.ReLU(), nn.Linear(24, classes)]
    network = nn.Sequential(*layers)
    with torch.no_grad():
        for one in network.parameters():
            one.copy_(torch.randn(one.shape, generator=random) * 0.5)
    return network.to(dtype), x, y


def find(attack, network, x, y, epsilon, box):  # noqa: PLR0917
    with torch.no_grad():
        clean = network(x)
    places = np.arange(len(x))
    return strongest(
        attack, network, x, y, clean=clean, epsilon=epsilon, box=box, places=places
    ).detach()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("norm", KINDS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("epsilon", [0.0, 1e-6, 0.05, 0.3, 1e4])
def test_no_attack_leaves_the_ball_the_box_or_the_sphere(name, norm, dtype, epsilon):
    network, x, y = problem(n=8, dtype=dtype)
    x[0], x[1] = 0, 1  # corners of the box; the first is where a sphere is a point
    box = None if norm == "sphere" else (0.0, 1.0)
    attack = Attack(name, norm, steps=4, restarts=1)
    found = find(attack, network, x, y, epsilon, box)
    assert found.dtype == dtype
    assert torch.isfinite(found).all()
    rounding = 0.0 if norm != "sphere" else 16 * torch.finfo(dtype).eps
    size = math.sqrt(x[0].numel())
    assert (distance(found, x, norm) <= epsilon * (1 + rounding) + rounding * size).all()
    if box:
        assert found.min() >= 0
        assert found.max() <= 1
    else:
        lengths = [one.double().flatten(1).norm(dim=1) for one in (found, x)]
        torch.testing.assert_close(*lengths, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("norm", KINDS)
def test_a_radius_for_each_example_is_kept_by_each(norm):
    network, x, y = problem()
    radii = torch.linspace(0, 0.5, len(x), dtype=torch.float64)
    box = None if norm == "sphere" else (0.0, 1.0)
    for name in NAMES:
        found = find(Attack(name, norm, steps=5, restarts=1), network, x, y, radii, box)
        far = distance(found, x, norm)
        assert (far <= radii + 1e-6).all()
        assert torch.equal(found[0], x[0])
        # each is what the attack finds within that radius alone
        alone = find(Attack(name, norm, steps=5), network, x[7:8], y[7:8], float(radii[7]), box)
        same = find(Attack(name, norm, steps=5), network, x, y, radii, box)[7:8]
        torch.testing.assert_close(alone, same)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_autopgd_is_at_least_as_strong_as_pgd_which_is_stronger_than_one_step(norm):
    errors = dict.fromkeys(NAMES, 0.0)
    losses = dict.fromkeys(NAMES, 0.0)
    for seed in range(6):
        network, x, y = problem(n=60, seed=seed)
        with torch.no_grad():
            y = network(x).argmax(1)  # all are right at first
        for name in NAMES:
            attack = Attack(name, norm, losses=("cross-entropy",))
            found = find(attack, network, x, y, 0.05 if norm == "linf" else 0.2, (0.0, 1.0))
            with torch.no_grad():
                outputs = network(found)
            errors[name] += float(wrong(outputs, y).sum())
            losses[name] += float(margin(outputs, y).sum())
    assert errors["autopgd"] >= errors["pgd"] >= errors["fgsm"] > 0
    assert losses["autopgd"] >= losses["pgd"] - 1e-3
    assert losses["pgd"] > losses["fgsm"]


def test_no_attack_makes_an_error_right():
    network, x, y = problem(n=80)
    with torch.no_grad():
        before = wrong(network(x), y)
        assert 0 < before.sum() < len(x)
        for name in NAMES:
            for epsilon in (0.01, 0.3, 3.0):
                found = find(Attack(name, "l2", steps=3), network, x, y, epsilon, (0.0, 1.0))
                assert (wrong(network(found), y) | ~before).all()


def test_autopgd_ends_at_the_optimum_of_a_linear_network():
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 7, generator=random, dtype=torch.float64)
    x = torch.randn(9, 7, generator=random, dtype=torch.float64)
    y = torch.arange(9) % 2
    slope = weight[1] - weight[0]
    for norm, dual in (("linf", 1), ("l2", 2)):
        found = autopgd(lambda p: p @ weight.T, x, y, epsilon=0.3, norm=norm, box=None, loss=margin)
        rise = margin(found @ weight.T, y) - margin(x @ weight.T, y)
        best = 0.3 * torch.linalg.vector_norm(slope, ord=dual)
        torch.testing.assert_close(rise, best.expand(9), rtol=1e-9, atol=0)


def test_autopgd_finds_what_a_step_of_fixed_length_jumps_over():
    # a narrow ridge: the loss rises to 1 at 0.31 and falls on either side
    def ridge(points):
        return -(points - 0.31).abs() * torch.linspace(1, 60, 6)

    x, y = torch.zeros(4, 6), torch.zeros(4)
    given = {"epsilon": 1.0, "box": None, "loss": lambda outputs, y: outputs.sum(1)}
    fixed = pgd(ridge, x, y, step_sizes=constant_schedule(1.0, 100), **given)
    found = autopgd(ridge, x, y, steps=100, **given)
    assert (ridge(found).sum(1) > ridge(fixed).sum(1)).all()
    assert (found - 0.31).abs().max() < 0.005


def test_the_checkpoints_of_100_steps_are_those_of_the_paper():
    # p_0 = 0, p_1 = 0.22, p_(j+1) = p_j + max(p_j - p_(j-1) - 0.03, 0.06), times 100, rounded up
    p = [0.0, 0.22]
    while p[-1] < 1:
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
    wanted = [math.ceil(100 * one - 1e-9) for one in p[1:] if one <= 1]
    assert list(checkpoints(100)) == wanted
    assert checkpoints(1) == {1: 1}


@pytest.mark.parametrize("name", NAMES)
def test_a_target_is_reached_more_often_than_by_any_wrong_answer(name):
    network, x, y = problem(n=80)
    with torch.no_grad():
        clean = network(x)
        least = clean.argmin(1)
        targeted = find(Attack(name, "l2", target="least-likely"), network, x, y, 2.0, (0, 1))
        free = find(Attack(name, "l2"), network, x, y, 2.0, (0, 1))
        reached = [(network(one).argmax(1) == least).sum() for one in (targeted, free, x)]
        to_two = find(Attack(name, "l2", target=2), network, x, y, 2.0, (0, 1))
        assert (network(to_two).argmax(1) == 2).sum() > (clean.argmax(1) == 2).sum()
    assert reached[0] > reached[1]
    assert reached[0] > reached[2] == 0


def test_the_margin_is_positive_exactly_for_errors_and_dlr_is_it_over_a_gap():
    outputs = torch.tensor([[3.0, 1.0, 0.0, -1.0], [0.0, 2.0, 1.0, -5.0], [1.0, 1.5, 4.0, 2.0]])
    y = torch.tensor([0, 2, 1])
    torch.testing.assert_close(margin(outputs, y), torch.tensor([-2.0, 1.0, 2.5]))
    # first less third logit: 3 - 0, 2 - 0, 4 - 1.5
    torch.testing.assert_close(LOSSES["dlr"](outputs, y), torch.tensor([-2 / 3, 1 / 2, 1.0]))
    scaled = LOSSES["dlr"](100 * outputs + 7, y)
    torch.testing.assert_close(scaled, torch.tensor([-2 / 3, 1 / 2, 1.0]))


def test_targeted_losses_are_those_of_the_papers():
    outputs = torch.tensor([[3.0, 1.0, 0.5, -1.0, -4.0]])
    y, target = torch.tensor([0]), torch.tensor([2])
    # -(z_y - z_t) / (z_1 - (z_3 + z_4) / 2)
    expected = torch.tensor([-(3 - 0.5) / (3 - (0.5 - 1) / 2)])
    torch.testing.assert_close(towards("dlr", target)(outputs, y), expected)
    torch.testing.assert_close(towards("margin", target)(outputs, y), torch.tensor([-2.5]))
    entropy = -cross_entropy(outputs, target)
    torch.testing.assert_close(towards("cross-entropy", target)(outputs, y), entropy)
    assert reaching(target)(outputs, y).tolist() == [False]


def test_targeted_dlr_tries_several_classes_and_finds_as_much_as_dlr():
    network, x, y = problem(n=60)
    with torch.no_grad():
        y = network(x).argmax(1)
        shares = [
            wrong(network(find(Attack("autopgd", losses=(loss,), steps=30), network, x, y, 0.06,
                               (0.0, 1.0))), y).double().mean()
            for loss in ("dlr", "targeted-dlr")
        ]  # fmt: skip
    assert shares[1] >= shares[0] > 0


def test_random_starts_depend_on_seed_and_place_and_not_on_the_batch():
    x = torch.zeros(6, 3)
    for norm in KINDS:
        attack = Attack("pgd", norm, restarts=2, seed=5)
        whole = torch.stack(random_starts(attack, x, np.arange(6)))
        part = torch.stack(random_starts(attack, x[2:4], np.arange(2, 4)))
        assert torch.equal(part, whole[:, 2:4])
        assert not torch.equal(whole[0], whole[1])
        assert whole.abs().max() <= 1
        other = torch.stack(random_starts(Attack("pgd", norm, restarts=2), x, np.arange(6)))
        assert not torch.equal(whole, other)
    assert random_starts(Attack("fgsm", restarts=3), x, np.arange(6)) == []


@pytest.mark.parametrize(("norm", "power"), [("linf", 3), ("l2", 3)])
def test_random_starts_fill_the_ball_evenly(norm, power):
    x = torch.zeros(3000, 3)
    (start,) = random_starts(Attack("pgd", norm, restarts=1), x, np.arange(3000))
    far = distance(start, x, norm)
    for r in (0.5, 0.7, 0.9):  # 0.028 is 3 standard errors
        assert (far <= r).double().mean() == pytest.approx(r**power, abs=0.028)


def test_steps_of_every_schedule_can_cross_the_ball():
    for name, lengths in SCHEDULES.items():
        assert sum(lengths(20)) >= 1.9, name
        assert all(one > 0 for one in lengths(20)), name


@pytest.mark.parametrize("norm", KINDS)
@pytest.mark.parametrize("shape", [(1, 6, 6), (20,)])
def test_a_random_search_stays_in_the_ball_and_beats_nothing(norm, shape):
    network, x, y = problem(shape=shape)
    box = None if norm == "sphere" else (0.0, 1.0)
    given = {"norm": norm, "box": box, "loss": margin, "goal": wrong, "queries": 40}
    found = random_search(network, x, y, epsilon=0.2, places=np.arange(len(x)), **given)
    assert (distance(found, x, norm) <= 0.2 + 1e-6).all()
    if box:
        assert 0 <= found.min() <= found.max() <= 1
    with torch.no_grad():
        assert margin(network(found), y).mean() > margin(network(x), y).mean() + 0.1
    part = random_search(network, x[5:], y[5:], epsilon=0.2, places=np.arange(5, len(x)), **given)
    torch.testing.assert_close(part, found[5:])
