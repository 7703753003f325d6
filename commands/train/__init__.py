"""`nncli train`: small reference networks to study, in series over seeds and parts of the data."""

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.errors import NoAnswerError
from nncli.options.progress import progress
from nncli.options.threads import cores
from nncli.parameters import Choice, Finite, Radius, Selection

if TYPE_CHECKING:
    pass

POSITIVE = Finite(min=0, min_open=True)


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
@options.count("--epochs", "Passes over the data, in place of --steps.")
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
@options.count("--batch-size", "Examples per update.", default=64)
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
@options.count("--attack-steps", "Steps of the attack, PGD.  [default: 7]")
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
@options.count("--threads", "Threads of each network's linear algebra.", default=1)
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
    from nncli.commands.train.planning import plan
    from nncli.commands.train.series import make_folder, train_one
    from nncli.formats.series import write_manifest
    from nncli.training import Member, side_by_side

    series = plan(make_folder(output), parts[1], **given)
    chosen = parts[0] if parts[1] > 1 else (None,)
    members = [Member(seed, part) for part in chosen for seed in seeds]
    there = {member: series.has(member) for member in members}  # all, before the first is trained
    missing = [member for member in members if not there[member]]
    jobs = jobs or max(1, cores() // threads)
    done = side_by_side(partial(train_one, series), missing, jobs=jobs, threads=threads)
    shown = progress(done, label="training", total=len(missing), unit="network")
    diverged = sorted(f"{member} ({reason})" for member, reason in shown if reason)
    write_manifest(series.folder, overwrite=series.overwrite)
    if diverged:
        raise NoAnswerError(
            f"{len(diverged)} of {len(members)} networks diverged: {', '.join(diverged)}",
            hint="try a smaller `--learning-rate`; networks that did not diverge are kept",
        )
