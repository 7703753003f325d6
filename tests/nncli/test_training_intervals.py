"""Interval bound propagation: against the verifier's intervals, attacks, and points of the ball."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from nncli import attacks
from nncli.architectures import build
from nncli.errors import UsageError
from nncli.formats.datasets import load
from nncli.training import Arrays, Choices, Examples, Intervals, Member, Recipe, Task, snapshots
from nncli.training.intervals import (
    ball,
    bounded_losses,
    certified_accuracy,
    demand_intervals,
    layers_of,
    robust_loss,
    through,
    worst_margins,
)
from nncli.training.loop import train
from nncli.verification.domains import domain_of
from nncli.verification.intervals import intervals
from nncli.verification.lowering import lower
from nncli.verification.properties import Region

BOX = (0.0, 1.0)
CHAINS = [
    ("mlp:6-8-7-3", (6,)),
    ("mlp:6-8-3,act=tanh", (6,)),
    ("mlp:6-8-3,act=sigmoid", (6,)),
    ("mlp:6-8-3,act=leaky-relu", (6,)),
    ("cnn:1x6x6-c3-c2-5-3", (1, 6, 6)),
]
POOLED = ("cnn:1x6x6-c3-p-c2-5-3", (1, 6, 6))


def a_batch(shape, n=5, classes=3):
    random = torch.Generator().manual_seed(4)
    x = torch.rand((n, *shape), generator=random)
    return Examples(x, torch.randint(classes, (n,), generator=random))


@pytest.mark.parametrize(("arch", "shape"), CHAINS)
def test_intervals_are_those_of_the_verifier(arch, shape):
    for ours, theirs in intervals_both_ways(arch, shape):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_pools_lose_nothing_while_the_verifier_writes_them_with_differences():
    (low, least), (high, greatest) = intervals_both_ways(*POOLED)
    assert bool((low >= least - 1e-5).all())
    assert bool((high <= greatest + 1e-5).all())


def intervals_both_ways(arch, shape):
    """Lower, then upper limits of the outputs: ours and those of the lowered network."""
    module, batch = build(arch, seed=1), a_batch(shape)
    low, high = ball(batch.x, 0.1, BOX)
    network = lower(module, shape, source=arch, drop_softmax=False)
    sides = zip(low.flatten(1).double(), high.flatten(1).double(), strict=True)
    last = intervals(network, domain_of([Region(*both, *both) for both in sides]))[-1]
    ours = through(layers_of(module), low, high)
    return [(ours[0].double(), last.low), (ours[1].double(), last.high)]


@pytest.mark.parametrize(("arch", "shape"), [*CHAINS, POOLED, ("mlp:6-8-3,act=elu", (6,))])
def test_no_point_of_the_ball_has_a_smaller_margin_or_a_greater_loss(arch, shape):
    module, batch = build(arch, seed=2), a_batch(shape)
    margins = worst_margins(module, batch, 0.2, BOX)
    losses = bounded_losses(module, batch, 0.2, BOX)
    low, high = ball(batch.x, 0.2, BOX)
    random = torch.Generator().manual_seed(0)
    points = [low + (high - low) * torch.rand(low.shape, generator=random) for _ in range(50)]
    attacked = attacks.pgd(
        module, batch.x, batch.y, epsilon=0.2, norm="linf", step_sizes=(0.05,) * 10, box=BOX
    )
    for x in (*points, attacked):
        outputs = module(x)
        own = outputs.gather(1, batch.y[:, None])
        assert bool((own - outputs >= margins - 1e-5).all())
        loss = functional.cross_entropy(outputs, batch.y, reduction="none")
        assert bool((loss <= losses + 1e-5).all())


def test_margins_of_a_linear_network_are_exact():
    module, batch = build("mlp:6-3", seed=0), a_batch((6,))
    found = worst_margins(module, batch, 0.1, None)
    weight, own = module.head.weight, batch.y
    for row, label in enumerate(own.tolist()):
        for other in range(3):
            difference = weight[label] - weight[other]
            corner = batch.x[row] - 0.1 * difference.sign()
            expected = module(corner[None])[0]
            torch.testing.assert_close(found[row, other], expected[label] - expected[other])


def test_a_ball_of_no_radius_has_the_loss_of_its_centre():
    module, batch = build("cnn:1x6x6-c3-p-5-3", seed=0), a_batch((1, 6, 6))
    losses = functional.cross_entropy(module(batch.x), batch.y, reduction="none")
    torch.testing.assert_close(bounded_losses(module, batch, 0.0, BOX), losses)


def test_flat_examples_are_given_the_shape_that_the_network_takes():
    module, batch = build("cnn:1x6x6-c3-5-3", seed=0), a_batch((1, 6, 6))
    flat = Examples(batch.x.flatten(1), batch.y)
    shaped = worst_margins(module, batch, 0.1, BOX)
    torch.testing.assert_close(worst_margins(module, flat, 0.1, BOX), shaped)


def test_the_schedule_goes_from_the_clean_loss_to_the_mixture_in_a_straight_line():
    module, batch = build("mlp:6-8-3", seed=0), a_batch((6,))
    clean = functional.cross_entropy(module(batch.x), batch.y, reduction="none")
    how = Intervals(0.2, BOX, kappa=0.5, ramp=0.5)

    def mixed(kappa, epsilon):
        return (
            kappa * clean.mean() + (1 - kappa) * bounded_losses(module, batch, epsilon, BOX).mean()
        )

    for progress, expected in (
        (0.0, clean.mean()),
        (0.25, mixed(0.75, 0.1)),
        (0.5, mixed(0.5, 0.2)),
        (1.0, mixed(0.5, 0.2)),
    ):
        found = robust_loss(module, batch, clean, how, progress)
        torch.testing.assert_close(found, expected)


def test_certified_accuracy_counts_examples_whose_margins_are_all_positive():
    module = nn.Sequential(nn.Linear(1, 2))
    module[0].weight.data = torch.tensor([[1.0], [-1.0]])
    module[0].bias.data.zero_()
    # the margin of class 0 is 2 x; a radius of 0.1 takes 0.2 of it
    x = torch.tensor([[0.05], [0.11], [0.5], [-0.5]])
    examples = Examples(x, torch.tensor([0, 0, 0, 0]))
    assert certified_accuracy(module, examples, Intervals(0.1)) == 0.5
    assert certified_accuracy(module, examples[slice(0)], Intervals(0.1)) is None


def test_training_by_intervals_certifies_what_other_training_does_not():
    arrays = (load("digits", split=split) for split in ("train", "test"))
    data = [Arrays(one.x, one.y) for one in arrays]
    how = {"steps": 300, "batch_size": 64, "optimizer": "adam", "learning_rate": 2e-3}
    shares = {}
    for name, ball_of in (("none", None), ("ibp", Intervals(0.1, BOX))):
        task = Task("mlp:64-32-10", Recipe(**how, intervals=ball_of), *data)
        module = build(task.arch, seed=0)
        for _ in train(module, data[0].tensors(), task.recipe, seed=0, stops=[300]):
            pass
        shares[name] = certified_accuracy(module, data[1].tensors(), Intervals(0.1, BOX))
    assert shares["none"] < 0.1
    assert shares["ibp"] > 0.3


def test_certified_accuracies_are_in_the_metrics_and_the_defence_among_the_factors():
    batch = a_batch((6,), n=30)
    arrays = Arrays(batch.x.numpy(), batch.y.numpy())
    recipe = Recipe(10, 8, "adam", 0.01, intervals=Intervals(0.1, BOX))
    task = Task("mlp:6-8-3", recipe, arrays, arrays)
    (last,) = snapshots(task, Member(0), [10])
    for split in ("train", "test"):
        certified = last.metrics[f"{split}_certified_accuracy"]
        assert 0 <= certified <= last.metrics[f"{split}_accuracy"]
    factors = task.factors(Member(0), 10)
    assert (factors["epsilon"], factors["norm"], factors["defence"]) == (0.1, "linf", "ibp")
    described = {"epsilon": 0.1, "box": [0.0, 1.0], "kappa": 0.5, "ramp": 0.5}
    assert task.hyperparameters()["intervals"] == described


def test_networks_that_are_no_chains_of_known_layers_are_refused_by_name():
    for arch, message in (
        ("mlp:6-8-3,norm=batch", "BatchNorm1d"),
        ("mlp:6-8-3,act=gelu", "GELU"),
        ("rnn:4x2-8-3", "chains of layers"),
    ):
        with pytest.raises(UsageError, match=message):
            demand_intervals(arch, 3, source="data")
    with pytest.raises(UsageError, match="`--defence ibp` needs classes"):
        demand_intervals("mlp:6-1", None, source="data")
    with pytest.raises(UsageError, match="last layer is not linear"):
        layers_of(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"defence": "ibp"}, "`--defence` needs a ball"),
        ({"defence": "ibp", "epsilon": 0.1, "norm": "l2"}, "ball of linf, not of l2"),
        ({"defence": "ibp", "epsilon": 0.1, "attack_steps": 3}, "has no attack"),
    ],
)
def test_choices_that_contradict_intervals_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        Choices(**given).recipe(100, box=BOX)


def test_intervals_take_the_place_of_the_attack():
    recipe = Choices(epsilon=0.1, defence="ibp", norm="linf").recipe(100, box=BOX)
    assert recipe.adversary is None
    assert recipe.intervals == Intervals(0.1, BOX)
    assert Choices(epsilon=0.1, defence="pgd").recipe(100, box=BOX).intervals is None
