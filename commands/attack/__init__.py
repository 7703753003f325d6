"""`nncli attack`: how near to examples networks err, and how the error grows with the radius."""

from typing import Any

import click

from nncli import options
from nncli.errors import UsageError
from nncli.options.demands import demand_one_stdin
from nncli.parameters import Choice, Radius

POSITIVE = click.IntRange(min=1)


@click.command("attack", cls=options.Command)
@click.argument("checkpoints", type=options.artifact, nargs=-1, required=True)
@options.data
@options.split
@options.limit
@options.arch
@click.option(
    "--attack",
    "names",
    type=Choice(["fgsm", "pgd", "autopgd"]),
    multiple=True,
    default=("pgd",),
    show_default=True,
    help="One step up the gradient (fgsm), projected steps (pgd), or steps that find their own "
    "size (autopgd); repeatable.",
)
@click.option(
    "--norm",
    type=Choice(["linf", "l2", "sphere"]),
    default="linf",
    show_default=True,
    help="Norm of the ball; sphere is l2 along the sphere around the origin through each example.",
)
@click.option(
    "--epsilon",
    "epsilons",
    type=Radius(),
    multiple=True,
    metavar="E",
    help="Radius to attack at, in units of the input (repeatable).  [default: 15, by the data]",
)
@click.option(
    "--radii",
    type=(float, float, int),
    metavar="LOW HIGH N",
    help="N radii on a logarithmic grid, in place of --epsilon.",
)
@click.option(
    "--loss",
    "losses",
    type=Choice(["cross-entropy", "margin", "dlr", "targeted-dlr"]),
    multiple=True,
    help="What the attack drives up (repeatable).  [default: cross-entropy, margin; autopgd dlr]",
)
@options.truth
@options.target
@click.option(
    "--steps", type=POSITIVE, metavar="N", help="Steps a start.  [default: pgd 20, autopgd 100]"
)
@click.option(
    "--restarts",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="N",
    help="Random starts after the one at the example itself.",
)
@click.option(
    "--schedule",
    type=Choice(["constant", "linear", "halving"]),
    default="constant",
    show_default=True,
    help="Lengths of the steps of pgd: constant, linear or halving.",
)
@click.option(
    "--refine",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    metavar="N",
    help="Bisections of each example's smallest epsilon between two radii.",
)
@click.option(
    "--black-box",
    "queries",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    metavar="N",
    help="Queries of the random search that checks the gradients; 0 for none.",
)
@click.option(
    "--transfer-from",
    "source",
    type=options.artifact,
    metavar="CHECKPOINT",
    help="Attack this network and see whether the others err too, as another check.",
)
@click.option(
    "--per-example",
    type=options.artifact,
    metavar="FILE",
    help="Write the smallest epsilon of each example as a table.",
)
@click.option(
    "--adversarial",
    type=options.artifact,
    metavar="FILE",
    help="Write the strongest points within the largest radius as a dataset (safetensors).",
)
@options.seed
@options.device
@options.batch_size
@options.threads
@options.output
@options.table_format
@options.overwrite
def command(
    *,
    checkpoints: tuple[str, ...],
    data: str,
    split: str,
    limit: int | None,
    arch: str | None,
    source: str | None,
    device: str,
    **given: Any,
) -> None:
    """Say how near to examples each of CHECKPOINTS errs, and how errors grow with that.

    CHECKPOINTS are files, Hugging Face folders or series. Writes a table with the columns model_id,
    attack, norm, label, epsilon, metric, value, low, high, n and note: error, robust accuracy and
    loss against epsilon, the error that the gradients predict (linear-response), and the exponent
    of the power law that the error follows. Warns where gradients are hidden.

    \b
    Examples:
      nncli attack checkpoint.safetensors --split test --limit 50 -o robustness.parquet
      nncli attack checkpoint.safetensors --limit 9 --attack autopgd --epsilon 0.1 -f csv
      nncli attack checkpoint.safetensors --radii 0.02 0.2 5 --adversarial hard.safetensors
      nncli attack checkpoint.safetensors --limit 50 --per-example nearest.csv -f csv
    """
    from nncli.checkpoints import expand
    from nncli.commands.attack.assessing import write
    from nncli.commands.attack.runs import Run, demand_classes, demand_outputs, radii_of
    from nncli.formats.datasets import load
    from nncli.origins import survey

    inputs = (*checkpoints, data, *([source] if source else []))
    demand_one_stdin(*inputs)
    demand_outputs(given, inputs)
    given["radii"] = radii_of(**given)
    members = expand(checkpoints)
    examples = load(data, split=split, limit=limit)
    demand_classes(examples, given["truth"])
    origins = survey(members, arch, device)
    other = survey(expand([source]), arch, device) if source else []
    if len(other) > 1:
        raise UsageError(f"`{source}` is a series", hint="name one of its checkpoints")
    write(Run(examples, origins, other[0] if other else None, limit, given))
