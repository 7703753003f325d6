"""What is to be trained: the inputs, and all that the members of a series share."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nncli.errors import ArtifactError, MismatchError, UsageError
from nncli.options import lineage

if TYPE_CHECKING:
    from nncli.commands.train.series import Series
    from nncli.formats.datasets import Dataset
    from nncli.formats.entry import Entry
    from nncli.training import Arrays, Task

FLIPS = "flips.parquet"


def plan(
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
) -> "Series":
    """Read the inputs and settle everything that the members share."""
    from nncli.attacks import valid_box
    from nncli.commands.train.series import Series
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
