"""The members of a series: what is trained, measured and kept of each."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nncli.architectures import build
from nncli.training.evaluation import Examples, evaluate
from nncli.training.intervals import certified_accuracy
from nncli.training.labels import part_rows
from nncli.training.loop import attack_with, noise_of, train
from nncli.training.recipe import CHECK, Recipe, substream


@dataclass(frozen=True)
class Arrays:
    """A data set as arrays, which travel between processes.

    Attributes:
        x: Inputs (n, ...), float32, or token ids (n, length), int64.
        y: Classes (n,), int64, or real targets (n,), float.
        mask: Which tokens count (n, length), or None.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    mask: NDArray[np.bool_] | None = None

    def tensors(self, rows: NDArray[np.int64] | None = None) -> Examples:
        """The data set, or some of its rows, as tensors; real targets become float32."""
        y = self.y.astype(np.float32) if self.y.dtype.kind == "f" else self.y
        chosen = slice(None) if rows is None else rows
        mask = None if self.mask is None else torch.from_numpy(self.mask[chosen])
        return Examples(torch.from_numpy(self.x[chosen]), torch.from_numpy(y[chosen]), mask)


@dataclass(frozen=True)
class Member:
    """What tells one member of a series from the others.

    Attributes:
        seed: Seed of the initial weights, the order of the batches and everything else random.
        part: Which part of the training data it sees, from 1; None for all of it.
    """

    seed: int
    part: int | None = None

    def __str__(self) -> str:
        return f"seed {self.seed}" if self.part is None else f"part {self.part} seed {self.seed}"

    def file(self, step: int | None = None) -> str:
        """The name of its checkpoint after a step, or at the end."""
        name = str(self).replace(" ", "-")
        return f"{name}.safetensors" if step is None else f"{name}-step-{step}.safetensors"


@dataclass(frozen=True)
class Task:
    """What the members of a series share.

    Attributes:
        arch: Architecture spec.
        recipe: How to train.
        train: The training data, with the labels to train on.
        test: The test data; may have no rows.
        label_noise: Share of the labels of `train` that were replaced.
        true_y: The labels before that, if any were.
        parts: Into how many parts the training data is divided.
        data_seed: Seed of the noise and of the division.
        start: A state dict to start from in place of fresh weights.
    """

    arch: str
    recipe: Recipe
    train: Arrays
    test: Arrays
    label_noise: float = 0.0
    true_y: NDArray[Any] | None = None
    parts: int = 1
    data_seed: int = 0
    start: Mapping[str, NDArray[Any]] | None = None

    def rows(self, member: Member) -> NDArray[np.int64] | None:
        """The training rows that a member sees; None for all."""
        if member.part is None:
            return None
        return part_rows(len(self.train.y), member.part, self.parts, seed=self.data_seed)

    def factors(self, member: Member, step: int) -> dict[str, Any]:
        """What tells a checkpoint from others, within the series and between series."""
        adversary, intervals = self.recipe.adversary, self.recipe.intervals
        ball = adversary or intervals
        found: dict[str, Any] = {
            "seed": member.seed,
            "step": step,
            "epsilon": ball.epsilon if ball else 0.0,
            "label_noise": self.label_noise,
            "noise": self.recipe.noise,
        }
        if adversary:
            found["norm"] = adversary.norm
        if intervals:
            found |= {"norm": "linf", "defence": "ibp"}
        if member.part is not None:
            found |= {"part": member.part, "parts": self.parts, "partition": self.data_seed}
        return found

    def hyperparameters(self) -> dict[str, Any]:
        """All that, with a seed and the data, determines a member."""
        found = asdict(self.recipe)
        if not self.recipe.intervals:
            del found["intervals"]
        for name in ("adversary", "intervals"):
            if found.get(name) and found[name]["box"]:
                found[name]["box"] = list(found[name]["box"])
        found["loss"] = "squared error" if self.train.y.dtype.kind == "f" else "cross-entropy"
        if self.label_noise or self.parts > 1:
            found["data_seed"] = self.data_seed
        if self.true_y is not None:
            found["flipped"] = int((self.train.y != self.true_y).sum())
        return found


@dataclass(frozen=True)
class Snapshot:
    """A network at one point of its training.

    Attributes:
        step: Updates so far.
        state: Its state dict.
        metrics: Losses in nats (or mean squared errors) and accuracies by name; None where
            there is nothing to measure.
    """

    step: int
    state: dict[str, NDArray[Any]]
    metrics: dict[str, float | None]


def snapshots(task: Task, member: Member, stops: Collection[int]) -> Iterator[Snapshot]:
    """Train one member.

    Args:
        task: What all members share.
        member: Which one.
        stops: Steps to keep it at; from 0, the initial network, to `task.recipe.steps`.

    Yields:
        The network at each stop.

    Raises:
        NoAnswerError: The loss is not finite any more.
    """
    module = initial_network(task, member)
    examples = task.train.tensors(task.rows(member))
    for step in train(module, examples, task.recipe, seed=member.seed, stops=stops):
        state = {name: one.detach().numpy().copy() for name, one in module.state_dict().items()}
        yield Snapshot(step, state, measure(module, task, member))


def initial_network(task: Task, member: Member) -> nn.Module:
    """A member's network before its first step."""
    module = build(task.arch, seed=member.seed)
    if task.start is not None:
        module.load_state_dict({name: torch.tensor(one) for name, one in task.start.items()})
    return module


def measure(module: nn.Module, task: Task, member: Member) -> dict[str, float | None]:
    """Losses and accuracies of a member on its own training data and on the test data.

    Returns:
        `train_loss`, `train_accuracy`, `test_loss` and `test_accuracy`; with noisy labels also
        `train_true_accuracy`, against the labels before the noise; with an adversary also
        `train_robust_accuracy` and `test_robust_accuracy`, under its attack, with intervals
        `train_certified_accuracy` and `test_certified_accuracy`, or with noise
        `train_noisy_accuracy` and `test_noisy_accuracy`, under one draw of it.
    """
    rows = task.rows(member)
    train_set, test_set = task.train.tensors(rows), task.test.tensors()
    train_score, test_score = evaluate(module, train_set), evaluate(module, test_set)
    found = {
        "train_loss": train_score.loss,
        "train_accuracy": train_score.accuracy,
        "test_loss": test_score.loss,
        "test_accuracy": test_score.accuracy,
    }
    if task.true_y is not None:
        true = Arrays(task.train.x, task.true_y, task.train.mask).tensors(rows)
        found["train_true_accuracy"] = evaluate(module, true).accuracy
    for name, examples in (("train", train_set), ("test", test_set)):
        seed = substream(member.seed, CHECK)
        if task.recipe.adversary is not None:
            attack = attack_with(task.recipe.adversary, module, seed=seed)
            found[f"{name}_robust_accuracy"] = evaluate(module, examples, attack).accuracy
        if task.recipe.intervals is not None:
            share = certified_accuracy(module, examples, task.recipe.intervals)
            found[f"{name}_certified_accuracy"] = share
        if task.recipe.noise:
            noise = noise_of(task.recipe.noise, seed=seed)
            found[f"{name}_noisy_accuracy"] = evaluate(module, examples, noise).accuracy
    return found
