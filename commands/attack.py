"""`nncli attack`: how near to examples networks err, and how the error grows with the radius."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.errors import MismatchError, UsageError
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin, demand_other_output
from nncli.options.progress import progress
from nncli.parameters import FARTHEST, Choice, Radius

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncli.attacks.assessing import Assessment
    from nncli.attacks.attack import Attack
    from nncli.formats.datasets import Dataset
    from nncli.formats.entry import Entry
    from nncli.origins import Origin

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
    from nncli.formats.datasets import load
    from nncli.origins import survey

    inputs = (*checkpoints, data, *([source] if source else []))
    demand_one_stdin(*inputs)
    _demand_outputs(given, inputs)
    given["radii"] = _radii(**given)
    members = expand(checkpoints)
    examples = load(data, split=split, limit=limit)
    _demand_classes(examples, given["truth"])
    origins = survey(members, arch, device)
    other = survey(expand([source]), arch, device) if source else []
    if len(other) > 1:
        raise UsageError(f"`{source}` is a series", hint="name one of its checkpoints")
    _write(_Run(examples, origins, other[0] if other else None, limit, given))


@dataclass(frozen=True)
class _Run:
    """What one call measures."""

    examples: "Dataset"
    origins: "Sequence[Origin]"
    source: "Origin | None"
    limit: int | None
    given: dict[str, Any]

    @property
    def attacks(self) -> "list[Attack]":
        """The attacks, each once."""
        from nncli.attacks.attack import Attack

        names = ("norm", "steps", "restarts", "losses", "schedule", "target", "seed")
        settings = {name: self.given[name] for name in names}
        return [Attack(name, **settings) for name in dict.fromkeys(self.given["names"])]

    def entry(self, kind: str, **facts: Any) -> "Entry":
        """The entry of an output."""
        from nncli.origins import data_facts, model_facts

        source = [self.source] if self.source else []
        return lineage.entry(
            kind,
            inputs=[*self.origins, *source, self.examples],
            seed=self.given["seed"],
            models=[model_facts(one, lineage.portable) for one in self.origins],
            data=data_facts(self.examples, self.limit, lineage.portable),
            **facts,
        )


def _demand_classes(examples: "Dataset", truth: str) -> None:
    """Refuse data without neighbours to attack with, or without classes."""
    if examples.x is None or examples.x.dtype.kind != "f":
        raise MismatchError(
            f"`{examples.name}` holds texts or token ids, which have no neighbours to attack with"
        )
    if examples.y is None and truth == "label":
        hint = "`--truth answer` counts answers that change"
        raise MismatchError(
            f"`{examples.name}` has no labels that answers could differ from", hint=hint
        )
    if examples.y is not None and examples.y.dtype.kind != "i":
        hint = "`nncli predict --attack` moves predicted numbers"
        raise MismatchError(f"`{examples.name}` has numbers for labels, no classes", hint=hint)


def _demand_outputs(given: dict[str, Any], inputs: tuple[str, ...]) -> None:
    """Refuse outputs in one place, or in the place of an input."""
    places = [given[name] for name in ("output", "per_example", "adversarial") if given[name]]
    if len(set(places)) < len(places):
        raise UsageError("two outputs cannot go to one place", hint="name a file for each")
    for place in places:
        demand_other_output(place, inputs)


def _demand_one(run: _Run) -> None:
    """Refuse a dataset of the points of several attacks, or one that cannot be written."""
    from nncli.formats.output import TABLE_SUFFIXES, TENSOR_SUFFIXES, demand_suffix
    from nncli.formats.writable import demand_writable

    target = run.given["adversarial"]
    if target and len(run.origins) * len(run.attacks) > 1:
        raise UsageError(
            "`--adversarial` is for one network and one attack", hint="run it for each"
        )
    if target:
        others = (*TABLE_SUFFIXES, *TENSOR_SUFFIXES[1:])
        demand_suffix(target, "a safetensors file", others=others)
        demand_writable(target, kind="dataset", overwrite=run.given["overwrite"])


def _write(run: _Run) -> None:
    """Measure every network under every attack, and write what was asked for."""
    from contextlib import ExitStack

    from nncli.attacks.summary import label_of
    from nncli.checkpoint_names import short_names
    from nncli.formats.robustness_tables import curve_schema, factor_columns, nearest_schema
    from nncli.formats.tables import create_table, from_rows

    _demand_one(run)
    x = run.examples.x
    assert x is not None
    given, columns = run.given, factor_columns([one.factors for one in run.origins])
    names = short_names([lineage.without_descriptor(one.name) for one in run.origins])
    curve = curve_schema(columns)
    near = nearest_schema(columns, text_ids=run.examples.example_id.dtype.kind == "U")
    entry, replaced = run.entry("table"), {"overwrite": given["overwrite"]}
    with ExitStack() as stack:
        form = given["table_format"]
        opened = create_table(given["output"], curve, entry, format=form, **replaced)
        table, nearest = stack.enter_context(opened), None
        if given["per_example"]:
            opened = create_table(given["per_example"], near, entry, **replaced)
            nearest = stack.enter_context(opened)
        for name, origin in zip(names, run.origins, strict=True):
            for place, attack in enumerate(run.attacks):
                own = {columns[key]: value for key, value in origin.factors.items()}
                keys = {"model_id": name, **own, "attack": label_of(attack), "norm": attack.norm}
                found = _assess(run, origin, attack, name)
                rows = found.rows(x, linear=not place)
                table.write(from_rows((keys | row for row in rows), curve))
                if nearest:
                    ids = run.examples.example_id[found.counted].tolist()
                    known = zip(ids, found.nearest(), strict=True)
                    named = ({"example_id": one, **keys, **row} for one, row in known)
                    nearest.write(from_rows(named, near))
                if given["adversarial"]:
                    _write_adversarial(run, found)


def _assess(run: _Run, origin: "Origin", attack: "Attack", name: str) -> "Assessment":
    """Measure one network under one attack, and warn where it may look too robust."""
    import warnings

    from nncli.attacks.assessing import assess
    from nncli.attacks.measuring import Plan, clean_answers
    from nncli.errors import NncliWarning
    from nncli.feeding import automatic_batch_size, device_of, inputs_of
    from nncli.forward import batches, take
    from nncli.tracing import trace

    examples, model = run.examples, origin.load()
    network, device, inputs = model.module, device_of(model), inputs_of(model, examples)
    size = run.given["batch_size"]
    if size is None:
        size = automatic_batch_size(trace(network, take(inputs, 0, 2, device)), device)

    def stream() -> "Any":
        return progress(
            batches(inputs, size, device),
            label=f"{name} {attack.name}",
            total=-(-len(inputs) // size),
            unit="batch",
        )

    y, names = examples.y, {"name": model.name, "data": examples.name}
    answers = clean_answers(network, stream(), y, attack, **names)
    plan = Plan.of(attack, inputs.x, run.given["radii"], refinements=run.given["refine"])
    source = run.source.load().module if run.source else None
    found = assess(
        network,
        stream,
        answers if y is None or run.given["truth"] == "answer" else y,
        plan,
        queries=run.given["queries"],
        source=source,
        data=examples.name,
    )
    for sign in found.doubts:
        text = f"`{name}` may be less robust than it looks under {attack.name}: {sign}"
        warnings.warn(text, NncliWarning, stacklevel=2)
    return found


def _radii(
    *, epsilons: tuple[float, ...], radii: tuple[float, float, int] | None, **_: Any
) -> tuple[float, ...]:
    """The radii that were asked for, rising; none where the data decide."""
    from nncli.attacks.epsilons import log_grid

    if epsilons and radii:
        raise UsageError("`--radii` and `--epsilon` exclude each other")
    if radii:
        low, high, count = radii
        if not (0 < low < high <= FARTHEST and count > 1):
            raise UsageError(
                f"`--radii {low:g} {high:g} {count}` is no grid",
                hint=f"0 < LOW < HIGH <= {FARTHEST:g}, and N >= 2",
            )
        return log_grid(low, high, count)
    found = tuple(sorted({one for one in epsilons if one}))
    if epsilons and not found:
        raise UsageError("`--epsilon 0` is no attack", hint="it is always in the table")
    return found


def _write_adversarial(run: _Run, found: "Assessment") -> None:
    """The strongest points within the largest radius, as a dataset."""
    from nncli.formats.dataset_writers import write_dataset

    examples, known, rows = run.examples, found.found, found.counted
    y = found.y if examples.y is None else examples.y
    factors = {name: one[rows] for name, one in examples.factors.items()}
    write_dataset(
        run.given["adversarial"],
        known.strongest,
        y[rows],
        example_id=examples.example_id[rows],
        factors=factors | found.factors,
        entry=run.entry("dataset", class_names=examples.class_names),
        overwrite=run.given["overwrite"],
    )
