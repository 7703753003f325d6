"""`nncli predict`: what networks answer to examples, clean, corrupted, attacked or smoothed."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin
from nncli.options.progress import progress
from nncli.parameters import Choice, Radius

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nncli.formats.datasets import Dataset
    from nncli.formats.prediction_columns import Frame, Member
    from nncli.origins import Origin
    from nncli.perturbing import Change
    from nncli.predicting import Answers

SAMPLES = 1000
FORMATS = ["auto", "parquet", "safetensors", "csv", "jsonl", "json", "table", "markdown"]


@click.command("predict", cls=options.Command)
@click.argument("checkpoints", type=options.artifact, nargs=-1, required=True)
@options.data
@options.split
@options.limit
@options.arch
@click.option(
    "--attack",
    type=Choice(["fgsm", "pgd", "autopgd"]),
    help="Move each example to where the loss is high: one step (fgsm), 20 projected ones (pgd), "
    "or 100 that find their own size (autopgd).",
)
@click.option(
    "--epsilon",
    "epsilons",
    type=Radius(),
    multiple=True,
    metavar="E",
    help="Radius of the attack in units of the input (repeatable; 0 is clean).",
)
@click.option(
    "--norm",
    type=Choice(["linf", "l2"]),
    default="linf",
    show_default=True,
    help="Norm of the attack.",
)
@options.target
@click.option(
    "--corruption",
    "corruptions",
    type=Choice("nncli.corruptions:CORRUPTIONS"),
    multiple=True,
    help="Corrupt the images: gaussian-noise, blur, rotate, ... (repeatable).",
)
@click.option(
    "--severity",
    "severities",
    type=click.IntRange(0, 5),
    multiple=True,
    metavar="S",
    help="Severity of the corruptions, 1 to 5 (repeatable; 0 is clean).  [default: 3]",
)
@click.option(
    "--smoothing",
    "sigmas",
    type=click.FloatRange(min=0),
    multiple=True,
    metavar="SIGMA",
    help="Answer with the mean probabilities under normal noise of this standard deviation, and "
    "certify how far the answer holds (repeatable; 0 is clean).",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Draws of that noise.  [default: 1000]",
)
@options.seed
@options.device
@options.batch_size
@options.threads
@options.output
@click.option(
    "-f",
    "--format",
    "table_format",
    type=Choice(FORMATS),
    default="auto",
    show_default=True,
    help="Format of the output: a long table, or dense tensors (safetensors); auto goes by the "
    "suffix, a terminal (text) or a pipe (Parquet).",
)
@options.overwrite
def command(
    *,
    checkpoints: tuple[str, ...],
    data: str,
    split: str,
    limit: int | None,
    arch: str | None,
    samples: int | None,
    seed: int,
    device: str,
    batch_size: int | None,
    threads: int | None,
    output: str,
    table_format: str,
    overwrite: bool,
    **perturbation: Any,
) -> None:
    """Keep what each of CHECKPOINTS answers to each example, and how wrong that is.

    CHECKPOINTS are files, Hugging Face folders, or series (a folder with a manifest.parquet, or the
    manifest), whose members come with their seed, step and other factors as columns. Writes
    predictions: a table with a row for each model and example (example_id, model_id, seed, split,
    perturbation, label, logits, loss, ...), or with -o FILE.safetensors dense tensors, logits
    [models, examples, classes]. Where labels are floats, pred stands for logits.

    \b
    Examples:
      nncli predict checkpoint.safetensors --split test -o predictions.parquet
      nncli predict runs/ -o predictions.safetensors
      nncli predict checkpoint.safetensors --attack pgd --epsilon 0 --epsilon 0.1 -o robust.parquet
      nncli predict checkpoint.safetensors --corruption blur --severity 1 --severity 5 -f csv
      nncli predict checkpoint.safetensors --smoothing 0.1 --samples 100 -o smooth.parquet
    """
    from nncli.checkpoints import expand
    from nncli.errors import UsageError
    from nncli.formats.datasets import load
    from nncli.formats.prediction_writers import create_predictions, demand_target
    from nncli.origins import data_facts, model_facts, survey

    demand_one_stdin(*checkpoints, data)
    changes = _changes(**perturbation)
    if samples is not None and not perturbation["sigmas"]:
        raise UsageError("`--samples` needs noise", hint="for example `--smoothing 0.1`")
    demand_target(output, table_format, overwrite=overwrite)
    members = expand(checkpoints)
    examples = load(data, split=split, limit=limit)
    origins = survey(members, arch, device)
    frame = replace(_frame(origins[0], examples), certified=any(perturbation["sigmas"]))
    answering = _members(origins, changes)
    entry = lineage.entry(
        "predictions",
        inputs=[*origins, examples],
        seed=seed if perturbation["corruptions"] or perturbation["sigmas"] else None,
        models=[model_facts(one, lineage.portable) for one in origins],
        data=data_facts(examples, limit, lineage.portable),
        class_names=examples.class_names,
    )
    with create_predictions(
        output, frame, answering, entry, format=table_format, overwrite=overwrite
    ) as writer:
        answered = _answers(
            origins, changes, examples, batch_size=batch_size, seed=seed, samples=samples or SAMPLES
        )
        for member, answers in zip(answering, answered, strict=True):
            _demand_width(member, answers, frame, answering[0])
            writer.write(member, answers.values, answers.losses, answers.certified)


def _changes(
    *,
    attack: str | None,
    epsilons: tuple[float, ...],
    norm: str,
    target: int | str | None,
    corruptions: tuple[str, ...],
    severities: tuple[int, ...],
    sigmas: tuple[float, ...],
) -> "list[Change]":
    """What is done to the examples, in order; nothing where nothing is asked for."""
    from typing import cast

    from nncli.attacks import Norm
    from nncli.errors import UsageError
    from nncli.perturbing import CLEAN, SMOOTHING, Change

    given = {"--attack": attack, "--corruption": corruptions, "--smoothing": sigmas}
    told = [f"`{name}`" for name, value in given.items() if value]
    if len(told) > 1:
        raise UsageError(f"{' and '.join(told)} exclude each other", hint="run it once for each")
    if attack and not epsilons:
        raise UsageError(f"`--attack {attack}` needs a radius", hint="for example `--epsilon 0.1`")
    if target is not None and not attack:
        raise UsageError("`--target` needs an attack", hint="for example `--attack pgd`")
    if epsilons and not attack:
        raise UsageError("`--epsilon` needs an attack", hint="for example `--attack pgd`")
    if severities and not corruptions:
        raise UsageError("`--severity` needs a corruption", hint="for example `--corruption blur`")
    if not all(map(math.isfinite, sigmas)):
        raise UsageError("the standard deviation of noise is a finite number")
    if attack:
        found = [Change(attack, radius, cast(Norm, norm), target) for radius in epsilons]
    elif sigmas:
        found = [Change(SMOOTHING, sigma) for sigma in sigmas]
    else:
        found = [Change(name, one) for name in corruptions for one in severities or (3,)]
    # every change of strength 0 is the same one, and nothing is done twice
    return list(dict.fromkeys(one if one.strength else CLEAN for one in found)) or [CLEAN]


def _frame(first: "Origin", examples: "Dataset") -> "Frame":
    """What all predictions share; how many classes there are, the first model says."""
    from nncli.feeding import device_of, inputs_of
    from nncli.formats.prediction_columns import Frame
    from nncli.forward import take
    from nncli.predicting import predict

    model = first.load()
    example = take(inputs_of(model, examples), 0, 1, device_of(model))
    answers = predict(model.module, [example], examples.y, name=model.name, data=examples.name)
    width = answers.values.shape[1] if answers.values.ndim == 2 else None
    ids, y = examples.example_id, examples.y
    return Frame(ids, y, examples.split, width, examples.factors)


def _members(origins: "Sequence[Origin]", changes: "Sequence[Change]") -> "list[Member]":
    """Every model under every change, model by model."""
    from nncli.checkpoint_names import short_names
    from nncli.formats.prediction_columns import Member

    names = short_names([lineage.without_descriptor(one.name) for one in origins])
    return [
        Member(name, origin.factors, change.label, change.strength or None)
        for name, origin in zip(names, origins, strict=True)
        for change in changes
    ]


def _answers(
    origins: "Sequence[Origin]",
    changes: "Sequence[Change]",
    examples: "Dataset",
    *,
    batch_size: int | None,
    seed: int,
    samples: int,
) -> "Iterator[Answers]":
    """The answers of every model under every change, one model in memory at a time."""
    from nncli.feeding import automatic_batch_size, device_of, inputs_of
    from nncli.forward import batches, take
    from nncli.perturbing import SMOOTHING, demand_changeable, perturber
    from nncli.predicting import predict
    from nncli.smoothing import Smoothing
    from nncli.tracing import trace

    for origin in origins:
        model = origin.load()
        network, device, inputs = model.module, device_of(model), inputs_of(model, examples)
        size = batch_size
        if size is None:
            size = automatic_batch_size(trace(network, take(inputs, 0, 2, device)), device)
        for change in changes:
            demand_changeable(change, inputs, examples.y, source=examples.name)
            label = f"{model.name} {change.label or ''}".strip()
            parts = progress(
                batches(inputs, size, device),
                label=label,
                total=-(-len(inputs) // size),
                unit="batch",
            )
            change_batch = perturber(network, change, inputs, seed=seed)
            smooth = change.name == SMOOTHING and change.strength > 0
            yield predict(
                network,
                parts,
                examples.y,
                perturb=change_batch,
                smoothing=Smoothing(change.strength, samples, seed) if smooth else None,
                name=model.name,
                data=examples.name,
            )


def _demand_width(member: "Member", answers: "Answers", frame: "Frame", first: "Member") -> None:
    """Refuse a model that knows other classes than the first one."""
    from nncli.errors import MismatchError

    width = answers.values.shape[1] if answers.values.ndim == 2 else None
    if width != frame.width:
        raise MismatchError(
            f"`{member.model_id}` answers with {width or 1} numbers, `{first.model_id}` with "
            f"{frame.width or 1}",
            hint="predictions of one file have the same classes: run it for each kind",
        )
