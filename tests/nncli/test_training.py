"""Training: optimizers against PyTorch's, what determines a result, labels, parts, processes."""

import math
import os
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from nncli.architectures import build
from nncli.errors import EnvironmentFault, MismatchError, NoAnswerError, UsageError
from nncli.formats.datasets import load
from nncli.training import (
    OPTIMIZERS,
    Adversary,
    Arrays,
    Choices,
    Examples,
    Member,
    Recipe,
    Task,
    demand_fit,
    evaluate,
    part_rows,
    side_by_side,
    snapshots,
    train,
    with_label_noise,
)
from nncli.training.loop import attack_with, shuffled
from nncli.training.optimizers import LEARNING_RATES, WEIGHT_DECAYS

SMALL = "mlp:6-8-3"


def examples(n=50, *, features=6, classes=3):
    random = torch.Generator().manual_seed(3)
    x = torch.rand((n, features), generator=random)
    return Examples(x, torch.randint(classes, (n,), generator=random))


def recipe(**changes):
    return Recipe(
        **{
            "steps": 30,
            "batch_size": 16,
            "optimizer": "adam",
            "learning_rate": 0.01,
            **changes,
        }
    )


def trained(module, data, how, *, seed=0, stops=None):
    for _ in train(module, data, how, seed=seed, stops=stops or [how.steps]):
        pass
    return {name: one.clone() for name, one in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def digits(**more):
    arrays = (load("digits", split=split) for split in ("train", "test"))
    train_set, test_set = (Arrays(one.x, one.y) for one in arrays)
    return Task("mlp:64-32-10", recipe(steps=200), train_set, test_set, **more)


@pytest.mark.parametrize(
    ("ours", "settings", "theirs"),
    [
        ("sgd", {}, lambda p: torch.optim.SGD(p, 0.01)),
        (
            "sgd",
            {"momentum": 0.9, "weight_decay": 0.1},
            lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, weight_decay=0.1),
        ),
        ("adam", {}, lambda p: torch.optim.Adam(p, 0.01)),
        ("adam", {"weight_decay": 0.1}, lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1)),
        ("adamw", {"weight_decay": 0.1}, lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1)),
    ],
)
def test_the_optimizers_are_those_of_pytorch(ours, settings, theirs):
    data = examples()
    # Full batches, in double precision: nothing but the optimizer can differ.
    data = Examples(data.x.double(), data.y)
    how = recipe(optimizer=ours, batch_size=len(data), **settings)
    found = trained(build(SMALL).double(), data, how)
    module = build(SMALL).double()
    optimizer = theirs(module.parameters())
    for _ in range(how.steps):
        optimizer.zero_grad()
        functional.cross_entropy(module(data.x), data.y).backward()
        optimizer.step()
    for name, value in module.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=1e-7, atol=1e-10)


def test_every_optimizer_has_its_defaults():
    assert OPTIMIZERS.keys() == LEARNING_RATES.keys() == WEIGHT_DECAYS.keys()


def test_frozen_parameters_stay_and_types_may_be_mixed():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen = nn.Linear(6, 4).requires_grad_(False)
            self.wide = nn.Linear(4, 3).double()

        def forward(self, x):
            return self.wide(self.frozen(x).double())

    module = Mixed()
    before = {name: one.clone() for name, one in module.state_dict().items()}
    after = trained(module, examples(), recipe())
    assert torch.equal(before["frozen.weight"], after["frozen.weight"])
    assert not torch.equal(before["wide.weight"], after["wide.weight"])


def test_every_pass_visits_every_example_once_and_all_batches_have_one_size():
    batches = shuffled(10, 4, torch.Generator().manual_seed(0))
    stream = [next(batches) for _ in range(5)]
    assert {len(batch) for batch in stream} == {4}
    first, second = torch.cat(stream).split(10)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()


def test_a_batch_is_never_larger_than_the_data():
    batch = next(shuffled(3, 64, torch.Generator().manual_seed(0)))
    assert sorted(batch.tolist()) == [0, 1, 2]


def test_the_result_depends_on_the_seed_and_on_nothing_around():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = build(SMALL, seed=0)
            self.dropout = nn.Dropout(0.5)

        def forward(self, x):
            return self.dropout(self.net(x))

    torch.manual_seed(1)
    first = trained(Noisy(), examples(), recipe())
    torch.manual_seed(2)
    torch.rand(100)
    state = torch.random.get_rng_state()
    assert same(first, trained(Noisy(), examples(), recipe()))
    assert torch.equal(state, torch.random.get_rng_state())
    assert not same(first, trained(Noisy(), examples(), recipe(), seed=1))


def test_looking_at_a_network_does_not_change_how_it_goes_on():
    how = recipe(adversary=Adversary(0.1, "linf", 2, 0.1, (0.0, 1.0)))
    data = Arrays(examples().x.numpy(), examples().y.numpy())
    task = Task("mlp:6-8-3,norm=batch", how, data, data)
    seldom = list(snapshots(task, Member(0), [30]))
    often = list(snapshots(task, Member(0), [0, 1, 17, 30]))
    assert [one.step for one in often] == [0, 1, 17, 30]
    assert seldom[-1].metrics == often[-1].metrics
    for name, value in seldom[-1].state.items():
        np.testing.assert_array_equal(value, often[-1].state[name])


def test_step_zero_is_the_initial_network():
    data = Arrays(examples().x.numpy(), examples().y.numpy())
    first = next(snapshots(Task(SMALL, recipe(), data, data), Member(5), [0]))
    initial = build(SMALL, seed=5).state_dict()
    assert all(np.array_equal(first.state[name], initial[name].numpy()) for name in initial)


def test_a_start_replaces_the_fresh_weights():
    start = {name: one.numpy() for name, one in build(SMALL, seed=9).state_dict().items()}
    data = Arrays(examples().x.numpy(), examples().y.numpy())
    task = Task(SMALL, recipe(), data, data, start=start)
    first = next(snapshots(task, Member(0), [0]))
    assert all(np.array_equal(first.state[name], start[name]) for name in start)


def test_a_loss_that_is_not_finite_is_no_answer():
    with pytest.raises(NoAnswerError, match=r"the loss is (nan|inf) at step \d+"):
        trained(build(SMALL), examples(), recipe(optimizer="sgd", learning_rate=1e30))


def test_real_targets_are_fitted_by_least_squares():
    random = np.random.default_rng(0)
    x = random.standard_normal((200, 3)).astype(np.float32)
    weight = np.array([1.0, -2.0, 0.5])
    data = Arrays(x, x @ weight)
    how = recipe(steps=400, optimizer="sgd", learning_rate=0.1)
    last = next(snapshots(Task("mlp:3-1", how, data, data), Member(0), [400]))
    np.testing.assert_allclose(last.state["head.weight"][0], weight, atol=1e-3)
    assert last.metrics["test_loss"] < 1e-6
    assert last.metrics["test_accuracy"] is None


def test_padding_is_masked_from_networks_that_read_tokens():
    random = np.random.default_rng(0)
    x = random.integers(0, 5, (60, 6))
    mask = np.arange(6) < random.integers(2, 7, (60, 1))
    y = x[:, 0] % 2
    other = np.where(mask, x, random.integers(0, 5, x.shape))
    first, second = (
        next(snapshots(Task("transformer:v5x6-d8-h2-b1-2", recipe(), data, data), Member(0), [30]))
        for data in (Arrays(x, y, mask), Arrays(other, y, mask))
    )
    for name, value in first.state.items():
        np.testing.assert_allclose(value, second.state[name], atol=1e-5)


def test_evaluation_is_that_of_pytorch_in_evaluation_mode():
    data = examples(n=1100)  # more than one batch
    module = nn.Sequential(build(SMALL), nn.Dropout(0.9)).train()
    score = evaluate(module, data)
    logits = module[0](data.x)
    assert score.loss == pytest.approx(functional.cross_entropy(logits, data.y).item(), rel=1e-5)
    assert score.accuracy == pytest.approx((logits.argmax(1) == data.y).double().mean().item())
    assert module.training
    assert evaluate(module, data[slice(0)]).loss is None


def test_adversarial_training_makes_networks_robust():
    ball = Adversary(0.1, "linf", 5, 0.05, (0.0, 1.0))
    plain, robust = digits(), digits()
    how = recipe(adversary=ball, steps=200)
    robust = Task(robust.arch, how, robust.train, robust.test)
    score = next(snapshots(robust, Member(0), [200])).metrics
    (last,) = snapshots(plain, Member(0), [200])
    module = build(plain.arch)
    module.load_state_dict({name: torch.from_numpy(one) for name, one in last.state.items()})
    attacked = evaluate(module, plain.test.tensors(), attack_with(ball, module, seed=0))
    assert last.metrics["test_accuracy"] > 0.9
    assert score["test_robust_accuracy"] > attacked.accuracy + 0.1
    assert score["test_robust_accuracy"] <= score["test_accuracy"]


def test_label_noise_replaces_the_share_it_promises_by_other_classes_evenly():
    y = np.repeat(np.arange(4), 3000)
    noisy = with_label_noise(y, 0.25, classes=4, seed=0)
    changed = noisy != y
    assert changed.sum() == 3000
    counts = np.bincount(noisy[changed & (y == 0)], minlength=4)
    assert counts[0] == 0
    # About 250 each; 5 standard deviations of a binomial count.
    assert np.abs(counts[1:] - counts[1:].mean()).max() < 5 * math.sqrt(250)
    assert np.array_equal(noisy, with_label_noise(y, 0.25, classes=4, seed=0))
    assert not np.array_equal(noisy, with_label_noise(y, 0.25, classes=4, seed=1))
    assert np.array_equal(with_label_noise(y, 0, classes=4, seed=0), y)
    assert (with_label_noise(y, 1, classes=4, seed=0) != y).all()


def test_impossible_noise_is_refused():
    with pytest.raises(ValueError, match="share"):
        with_label_noise(np.zeros(3, dtype=np.int64), 1.5, classes=2, seed=0)
    with pytest.raises(ValueError, match="one class"):
        with_label_noise(np.zeros(3, dtype=np.int64), 0.5, classes=1, seed=0)


def test_accuracy_on_noisy_labels_and_on_the_true_ones_are_told_apart():
    task = digits()
    y = with_label_noise(task.train.y, 0.3, classes=10, seed=0)
    noisy = Task(
        task.arch, task.recipe, Arrays(task.train.x, y), task.test, 0.3, true_y=task.train.y
    )
    score = next(snapshots(noisy, Member(0), [200])).metrics
    # A network that has learnt the rule and not the noise is right on the true labels.
    assert score["train_true_accuracy"] > score["train_accuracy"] + 0.15
    assert noisy.hyperparameters()["flipped"] == round(0.3 * len(y))


def test_parts_are_disjoint_complete_and_equally_large():
    parts = [part_rows(103, part, 4, seed=0) for part in (1, 2, 3, 4)]
    assert [len(part) for part in parts] == [26, 26, 26, 25]
    assert sorted(np.concatenate(parts)) == list(range(103))
    assert all((np.diff(part) > 0).all() for part in parts)
    assert not np.array_equal(parts[0], part_rows(103, 1, 4, seed=1))
    with pytest.raises(ValueError, match="no part 5"):
        part_rows(103, 5, 4, seed=0)
    with pytest.raises(ValueError, match="cannot be divided"):
        part_rows(3, 1, 4, seed=0)


def test_a_part_is_trained_as_if_it_were_all_the_data():
    task = digits(parts=4, data_seed=2)
    rows = part_rows(len(task.train.y), 3, 4, seed=2)
    alone = Arrays(task.train.x[rows], task.train.y[rows])
    how = recipe(steps=20)
    part, whole = (
        next(snapshots(Task(task.arch, how, *rest), member, [20]))
        for rest, member in (
            ((task.train, task.test, 0.0, None, 4, 2), Member(1, 3)),
            ((alone, task.test), Member(1)),
        )
    )
    assert part.metrics == whole.metrics


@pytest.mark.parametrize(
    ("arch", "message", "hint"),
    [
        (
            "mlp:60-32-10",
            "`mlp:60-32-10` takes 60 inputs, an example of `digits` has 64 (1x8x8)",
            "mlp:64-32-10",
        ),
        (
            "cnn:3x8x8-c4-10",
            "`cnn:3x8x8-c4-10` takes 192 (3x8x8) inputs, an example of `digits` has 64 (1x8x8)",
            "cnn:1x8x8-c4-10",
        ),
        ("rnn:9x9-16-10", "takes 81 (9x9) inputs", "rnn:8x8-16-10"),
        ("mlp:64-32-9", "`mlp:64-32-9` has 9 outputs, `digits` has 10 classes", "mlp:64-32-10"),
        ("transformer:v9x8-d8-h2-b1-10", "token", "transformer:8x8-d8-h2-b1-10"),
    ],
)
def test_an_architecture_that_does_not_fit_is_refused_with_one_that_does(arch, message, hint):
    train_set = digits().train
    with pytest.raises(MismatchError) as caught:
        demand_fit(arch, train_set, 10, source="digits")
    assert message in caught.value.message
    assert f"`--arch {hint}`" in caught.value.hint
    demand_fit(hint, train_set, 10, source="digits")


def test_real_targets_want_one_output_and_spare_classes_are_allowed():
    task = digits()
    real = Arrays(task.train.x, task.train.y.astype(float))
    with pytest.raises(MismatchError, match="10 outputs, `d` has real targets, which take 1"):
        demand_fit("mlp:64-10", real, None, source="d")
    demand_fit("mlp:64-1", real, None, source="d")
    demand_fit("mlp:64-32-12", task.train, 10, source="d")


def test_a_network_of_the_user_that_cannot_take_the_data_is_refused(tmp_path):
    path = tmp_path / "net.py"
    path.write_text("from torch import nn\ndef net(): return nn.Linear(60, 10)\n")
    with pytest.raises(MismatchError, match="cannot take a batch of `digits`, shape 2x1x8x8"):
        demand_fit(f"{path}:net", digits().train, 10, source="digits")


def test_choices_left_open_get_the_defaults_of_the_optimizer():
    assert Choices().recipe(100, box=None) == Recipe(1000, 64, "adam", 1e-3)
    assert Choices(optimizer="sgd", momentum=0.9).recipe(100, box=None).learning_rate == 0.1
    assert Choices(optimizer="adamw").recipe(100, box=None).weight_decay == 0.01
    assert Choices(epochs=3, batch_size=64).recipe(100, box=None).steps == math.ceil(300 / 64)
    assert Choices(epochs=3, batch_size=64).recipe(10, box=None).steps == 3
    ball = Choices(epsilon=0.2, norm="l2").recipe(100, box=(0, 1)).adversary
    assert ball == Adversary(0.2, "l2", 7, pytest.approx(0.5 / 7), (0, 1))


@pytest.mark.parametrize(
    "choices",
    [
        {"steps": 1, "epochs": 1},
        {"momentum": 0.9},
        {"norm": "l2"},
        {"attack_steps": 3},
        {"attack_step_size": 0.1},
    ],
)
def test_choices_that_contradict_each_other_are_refused(choices):
    with pytest.raises(UsageError):
        Choices(**choices).recipe(100, box=None)


def children():
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat") as stat:
                after = stat.read().rpartition(")")[2].split()
        except (OSError, NotADirectoryError):
            continue
        if after[1] == str(os.getpid()) and after[0] != "Z":
            found.append(int(name))
    return found


def test_results_do_not_depend_on_how_many_run_side_by_side():
    def work(item):
        return item * item, torch.get_num_threads()

    for jobs in (1, 2, 9):
        found = dict(side_by_side(work, range(5), jobs=jobs, threads=1))
        assert found == {item: (item * item, 1) for item in range(5)}
    assert list(side_by_side(work, [], jobs=4, threads=1)) == []


def test_processes_may_have_several_threads_though_a_fork_may_not():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    many = "__import__('torch').ones(1_000_000).sum().item()"
    assert eval(many) == 1_000_000  # starts the threads of OpenMP, without which forks are safe
    found = list(side_by_side(eval, [many, many + "+0"], jobs=2, threads=2))
    torch.set_num_threads(before)
    assert [result for _, result in found] == [1_000_000, 1_000_000]


def test_an_error_in_one_process_is_the_error_of_all():
    def work(item):
        if item == 1:
            raise NoAnswerError("one", hint="two")
        time.sleep(30 * item)

    start = time.monotonic()
    with pytest.raises(NoAnswerError) as caught:
        list(side_by_side(work, range(3), jobs=3, threads=1))
    assert caught.value.hint == "two"
    assert time.monotonic() - start < 10


def test_a_process_that_is_killed_is_an_error_not_a_hang():
    with pytest.raises(EnvironmentFault, match="a worker process died"):
        list(side_by_side(lambda item: os._exit(9), range(2), jobs=2, threads=1))


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks processes up in /proc")
def test_whoever_stops_listening_stops_the_work():
    before = set(children())
    results = side_by_side(lambda item: time.sleep(30 * item), range(3), jobs=3, threads=1)
    next(iter(results))
    assert set(children()) - before
    results.close()
    assert not set(children()) - before


def test_noise_on_the_inputs_of_least_squares_is_ridge_regression():
    random = np.random.default_rng(0)
    n, sigma = 200, 0.8
    x = random.standard_normal((n, 4)).astype(np.float32)
    y = x @ np.array([2.0, -1.0, 0.5, 0.0]) + 1 + 0.1 * random.standard_normal(n)
    arrays = Arrays(x, y)
    how = recipe(steps=2500, batch_size=n, optimizer="sgd", learning_rate=0.01, noise=sigma)
    found = next(snapshots(Task("mlp:4-1", how, arrays, arrays), Member(0), [2500]))
    centred = x - x.mean(axis=0)
    solved = [
        np.linalg.solve(centred.T @ centred + extra * np.eye(4), centred.T @ (y - y.mean()))
        for extra in (n * sigma**2, 0)
    ]
    weight = found.state["head.weight"][0]
    # Bishop, "Training with noise is equivalent to Tikhonov regularization", 1995
    assert np.abs(weight - solved[0]).max() < 0.05
    assert np.abs(weight - solved[1]).max() > 0.5
    assert found.metrics["train_noisy_accuracy"] is None


def test_noise_of_training_comes_from_the_seed():
    task = digits()
    one, same, other, none = (
        next(snapshots(Task(task.arch, how, task.train, task.test), Member(seed), [5])).state
        for seed, how in (
            (0, recipe(steps=5, noise=0.3)),
            (0, recipe(steps=5, noise=0.3)),
            (0, recipe(steps=5, noise=0.2)),
            (0, recipe(steps=5)),
        )
    )
    name = next(iter(one))
    assert np.array_equal(one[name], same[name])
    assert not np.array_equal(one[name], other[name])
    assert not np.array_equal(one[name], none[name])
