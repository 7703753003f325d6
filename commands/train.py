"""`nncli train`: small reference networks to study, in series over seeds and parts of the data."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.errors import ArtifactError, MismatchError, NoAnswerError, UsageError
from nncli.options import lineage
from nncli.options.progress import progress
from nncli.options.threads import cores
from nncli.parameters import Choice, Finite, Radius

if TYPE_CHECKING:
    from nncli.formats.datasets import Dataset
    from nncli.formats.entry import Entry
    from nncli.training import Arrays, Member, Task

FLIPS = "flips.parquet"
POSITIVE = Finite(min=0, min_open=True)


class Selection(click.ParamType[Any]):
    """A text that a function of `nncli.selections` reads."""

    name = "selection"

    def __init__(self, reader: str) -> None:
        self.reader = reader

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        from nncli import selections

        reader: Callable[[str], Any] = getattr(selections, self.reader)
        try:
            return reader(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


def count(flag: str, text: str, **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that takes a positive whole number."""
    return click.option(flag, type=click.IntRange(min=1), metavar="N", help=text, **more)


@dataclass(frozen=True)
class Series:
    """What the members of a series and their files have in common.

    Attributes:
        task: What is trained.
        stops: Steps to keep, the last one included.
        folder: Where the files go.
        entry: The entry of a checkpoint, less what is particular to it.
        overwrite: Whether files that are something else are replaced.
    """

    task: "Task"
    stops: tuple[int, ...]
    folder: Path
    entry: "Entry"
    overwrite: bool

    def path(self, member: "Member", step: int) -> Path:
        """Where a member's checkpoint after a step goes."""
        return self.folder / member.file(None if step == self.task.recipe.steps else step)

    def has(self, member: "Member") -> bool:
        """Whether all checkpoints of a member are there; an error if anything else is."""
        from nncli.formats.series import is_there

        found = [
            is_there(self.path(member, step), self.entry_of(member, step), overwrite=self.overwrite)
            for step in self.stops
        ]
        return all(found)

    def entry_of(self, member: "Member", step: int) -> "Entry":
        """The entry of a checkpoint, less its metrics; its command makes this checkpoint alone."""
        words = [*self.entry.command, "--seed", str(member.seed)]
        if member.part is not None:
            words += ["--part", f"{member.part}/{self.task.parts}"]
        if step != self.task.recipe.steps:
            words += ["--save-steps", str(step)]
        facts = self.entry.facts | {"factors": self.task.factors(member, step)}
        return replace(self.entry, command=tuple(words), seed=member.seed, facts=facts)


@click.command("train", cls=options.Command)
@options.arch
@options.data
@click.option(
    "--seed",
    "seeds",
    type=Selection("read_numbers"),
    default="0",
    show_default=True,
    metavar="SEEDS",
    help="Seeds, a network each: `3`, `0..4`, `0,3,7`.",
)
@click.option("--steps", type=click.IntRange(min=0), metavar="N", help="Updates.  [default: 1000]")
@count("--epochs", "Passes over the data, in place of --steps.")
@click.option(
    "--save-steps",
    type=Selection("read_numbers"),
    default=(),
    metavar="STEPS",
    help="Steps to keep as well: `0,10,100`.",
)
@click.option(
    "--optimizer",
    type=Choice(["adam", "adamw", "sgd"]),
    default="adam",
    show_default=True,
    help="Optimizer.",
)
@click.option(
    "--learning-rate",
    type=POSITIVE,
    metavar="RATE",
    help="Learning rate, constant.  [default: 0.001; sgd 0.1]",
)
@click.option("--momentum", type=Finite(0, 1, max_open=True), metavar="M", help="Momentum of sgd.")
@click.option(
    "--weight-decay",
    type=Finite(min=0),
    metavar="DECAY",
    help="Weight decay.  [default: 0; adamw 0.01]",
)
@count("--batch-size", "Examples per update.", default=64, show_default=True)
@click.option(
    "--label-noise",
    type=Finite(0, 1),
    default=0.0,
    metavar="SHARE",
    help="Share of the training labels that are replaced by another class.",
)
@click.option(
    "--part",
    "parts",
    type=Selection("read_parts"),
    default="1/1",
    metavar="PART",
    help="Train on one of several disjoint parts of the data, `2/4`, or on each, `1..4/4`.",
)
@click.option(
    "--data-seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Seed of the label noise and the parts, the same for all networks.",
)
@click.option(
    "--epsilon",
    type=Radius(),
    default=0.0,
    metavar="E",
    help="Robust training: radius of the ball around each example.",
)
@click.option(
    "--defence",
    type=Choice(["pgd", "ibp"]),
    help="What stands for the worst of it: an attack, or a bound by intervals.  [default: pgd]",
)
@click.option("--norm", type=Choice(["linf", "l2"]), help="Norm of it.  [default: linf]")
@count("--attack-steps", "Steps of the attack, PGD.  [default: 7]")
@click.option(
    "--attack-step-size",
    type=POSITIVE,
    metavar="SIZE",
    help="Length of such a step.  [default: 2.5 epsilon / steps]",
)
@click.option(
    "--noise",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SIGMA",
    help="Training with normal noise on the inputs: its standard deviation.",
)
@click.option(
    "--init",
    type=options.artifact,
    metavar="FILE",
    help="Checkpoint to start from, in place of fresh weights.",
)
@options.jobs
@count("--threads", "Threads of each network's linear algebra.", default=1, show_default=True)
@click.option(
    "-o", "--output", type=options.folder, required=True, metavar="FOLDER", help="Where to write."
)
@options.overwrite
def command(
    seeds: tuple[int, ...],
    parts: tuple[tuple[int, ...], int],
    jobs: int | None,
    threads: int,
    output: str,
    **given: Any,
) -> None:
    """Train small reference networks to study.

    Writes a folder: a checkpoint for each seed (`seed-0.safetensors`), each step kept
    (`seed-0-step-10.safetensors`) and each part of the data (`part-1-seed-0.safetensors`), and
    `manifest.parquet`, which lists every checkpoint in the folder with its losses and accuracies.
    A network depends on its own options and seed alone: a run that was interrupted, or that asks
    for more seeds, keeps what is there and trains the rest.

    \b
    Examples:
      nncli train --arch mlp:64-128-64-10 --data digits --seed 0..1 -o runs/
      nncli train --arch mlp:64-32-10 --steps 300 --save-steps 0,10,100 -o trajectory/
      nncli train --arch mlp:64-32-10 --steps 300 --label-noise 0.2 --part 1..2/2 -o parts/
    """
    from nncli.formats.series import write_manifest
    from nncli.training import Member, side_by_side

    series = _plan(_make_folder(output), parts[1], **given)
    chosen = parts[0] if parts[1] > 1 else (None,)
    members = [Member(seed, part) for part in chosen for seed in seeds]
    there = {member: series.has(member) for member in members}  # all, before the first is trained
    missing = [member for member in members if not there[member]]
    jobs = jobs or max(1, cores() // threads)
    done = side_by_side(partial(_train_one, series), missing, jobs=jobs, threads=threads)
    shown = progress(done, label="training", total=len(missing), unit="network")
    diverged = sorted(f"{member} ({reason})" for member, reason in shown if reason)
    write_manifest(series.folder, overwrite=series.overwrite)
    if diverged:
        raise NoAnswerError(
            f"{len(diverged)} of {len(members)} networks diverged: {', '.join(diverged)}",
            hint="try a smaller `--learning-rate`; networks that did not diverge are kept",
        )


def _make_folder(name: str) -> Path:
    if name == "-":
        raise UsageError("a series of checkpoints is a folder", hint="name one: `-o runs/`")
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(f"cannot make the folder `{name}`: {reason}") from error
    return folder


def _plan(
    folder: Path,
    parts: int,
    *,
    arch: str | None,
    data: str,
    save_steps: tuple[int, ...],
    label_noise: float,
    data_seed: int,
    init: str | None,
    overwrite: bool,
    **choices: Any,
) -> Series:
    """Read the inputs and settle everything that the members share."""
    from nncli.attacks import valid_box
    from nncli.training import Choices, Task, demand_fit, demand_intervals

    arch, start, inputs = _architecture(arch, init)
    datasets = _load(data)
    train, test = map(_arrays, datasets)
    demand_fit(arch, train, datasets[0].classes, source=data)
    if parts > len(train.y):
        raise UsageError(f"{len(train.y)} training examples do not make {parts} parts")
    chosen = Choices(**choices)
    if (chosen.epsilon or chosen.noise) and train.x.dtype.kind != "f":
        option = "--epsilon" if chosen.epsilon else "--noise"
        raise UsageError(f"`{option}` needs real numbers", hint=f"`{data}` has token ids")
    if chosen.defence == "ibp":
        demand_intervals(arch, datasets[0].classes, source=data)
    recipe = chosen.recipe(math.ceil(len(train.y) / parts), box=valid_box(train.tensors().x))
    if save_steps and max(save_steps) > recipe.steps:
        raise UsageError(f"step {max(save_steps)} is beyond the last, {recipe.steps}")
    task = Task(arch, recipe, train, test, parts=parts, data_seed=data_seed, start=start)
    if label_noise:
        task = _with_noise(task, datasets[0], label_noise, folder, overwrite=overwrite)
    digests = {"train": datasets[0].digest, "test": datasets[1].digest}
    facts: dict[str, Any] = {
        "arch": lineage.portable(arch),
        "data": {"name": lineage.portable(data), **digests},
        "training": task.hyperparameters() | {kind: one.digest for kind, one in inputs.items()},
    }
    entry = _entry("checkpoint", [*datasets, *inputs.values()], **facts)
    stops = tuple(sorted({*save_steps, recipe.steps}))
    return Series(task, stops, folder, entry, overwrite)


def _entry(kind: str, inputs: list[Any], **facts: Any) -> "Entry":
    """An entry whose command does not say which members are trained and which steps kept."""
    context = click.get_current_context()
    for name in ("seeds", "parts", "save_steps"):
        context.set_parameter_source(name, click.core.ParameterSource.DEFAULT)
    return lineage.entry(kind, inputs=inputs, **facts)


def _architecture(
    arch: str | None, init: str | None
) -> tuple[str, "dict[str, Any] | None", dict[str, Any]]:
    """The architecture, the weights to start from, and the files that they are in."""
    from nncli.architectures import canonical, is_user_code
    from nncli.formats.sources import open_source

    start: dict[str, Any] | None = None
    inputs: dict[str, Any] = {}
    if init is not None:
        from nncli.checkpoints import resolve

        model = resolve(init, arch)
        if model.arch is None:
            raise ArtifactError(f"`{init}` brings a network of its own, which is not trained on")
        arch, inputs["init"] = model.arch, model
        start = {name: one.numpy() for name, one in model.module.state_dict().items()}
    if arch is None:
        raise UsageError("`--arch` is missing", hint="for example `--arch mlp:64-128-64-10`")
    if is_user_code(arch):
        with open_source(arch.rpartition(":")[0]) as code:
            inputs["code"] = code
            assert code.digest  # computed while the file is open
    return canonical(arch), start, inputs


def _load(spec: str) -> tuple["Dataset", "Dataset"]:
    """The training and the test split; a stream, which can be read once only, is spooled first."""
    from nncli.formats.datasets import load
    from nncli.formats.sources import open_source

    if spec != "-" and not Path(spec).is_fifo():
        return load(spec, split="train"), load(spec, split="test")
    with open_source(spec) as source:
        spooled = f"/dev/fd/{source.file.fileno()}"
        train, test = load(spooled, split="train"), load(spooled, split="test")
    return replace(train, name="-"), replace(test, name="-")


def _arrays(dataset: "Dataset") -> "Arrays":
    """The examples, if they are something to train on, in memory."""
    import numpy as np

    from nncli.training import Arrays

    if dataset.x is None or dataset.y is None:
        what = "only text" if dataset.x is None else "no labels"
        raise MismatchError(
            f"`{dataset.name}` has {what}", hint="`train` needs numbers or token ids, and labels"
        )
    return Arrays(np.asarray(dataset.x), dataset.y, dataset.mask)


def _with_noise(
    task: "Task", train: "Dataset", share: float, folder: Path, *, overwrite: bool
) -> "Task":
    """Replace labels, and write beside the checkpoints which ones."""
    import numpy as np
    import pyarrow as pa

    from nncli.formats.tables import write_table
    from nncli.training import with_label_noise

    if train.classes is None:
        raise UsageError("`--label-noise` needs classes", hint=f"`{train.name}` has real targets")
    true = task.train.y
    y = with_label_noise(true, share, classes=train.classes, seed=task.data_seed)
    rows = np.flatnonzero(y != true)
    columns = {"example_id": train.example_id[rows], "label": true[rows], "trained_as": y[rows]}
    entry = replace(_entry("table", [train]), seed=task.data_seed)
    write_table(str(folder / FLIPS), pa.table(columns), entry, overwrite=overwrite)
    return replace(task, train=replace(task.train, y=y), label_noise=share, true_y=true)


def _train_one(series: Series, member: "Member") -> str | None:
    """Train one member and write its checkpoints; runs in a worker process.

    Returns:
        None, or how it diverged.
    """
    from nncli.formats.tensors import write_tensors
    from nncli.training import snapshots

    try:
        for snapshot in snapshots(series.task, member, series.stops):
            entry = series.entry_of(member, snapshot.step)
            entry = replace(entry, facts=entry.facts | {"metrics": snapshot.metrics})
            path = series.path(member, snapshot.step)
            write_tensors(str(path), snapshot.state, entry, overwrite=series.overwrite)
    except NoAnswerError as error:
        return error.message
    return None
