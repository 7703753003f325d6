"""`nncli verify`: prove what networks cannot do, or show the input that does it."""

from typing import TYPE_CHECKING, Any

import click

from nncli import options
from nncli.errors import NoAnswerError, UsageError
from nncli.options.demands import demand_one_stdin, demand_other_output, typed
from nncli.options.threads import set_threads
from nncli.parameters import Choice

if TYPE_CHECKING:
    from nncli.commands.verify.questions import Questions

METHODS = (
    "auto",
    "attack",
    "ibp",
    "crown",
    "alpha-crown",
    "input-split",
    "contradiction",
    "sdp",
    "relu-split",
    "milp",
)


@click.command("verify", cls=options.Command)
@click.argument("checkpoints", type=options.artifact, nargs=-1)
@click.option(
    "--vnnlib",
    "vnnlibs",
    type=options.artifact,
    multiple=True,
    metavar="FILE",
    help="A property in VNN-LIB (repeatable): the file describes what must not happen.",
)
@click.option(
    "--specification",
    "specifications",
    type=options.artifact,
    multiple=True,
    metavar="FILE",
    help="A property in plain words (repeatable): `input 0 in [0, 1]`, `y[2] is largest`, "
    "`always |y - x| <= 0.5`.",
)
@click.option(
    "--instances",
    type=options.artifact,
    metavar="FILE",
    help="A list of networks, properties and time-outs (CSV), in place of CHECKPOINTS.",
)
@options.data
@options.split
@options.limit
@options.arch
@click.option(
    "--epsilon",
    "epsilons",
    multiple=True,
    metavar="E",
    help="How far inputs may be from each example of --data: `0.1`, `8/255`, or a file with a "
    "number for each feature (repeatable).",
)
@click.option(
    "--output-change",
    metavar="D",
    help="Ask that outputs move by at most D (l2) within --epsilon, not that classes are kept.",
)
@click.option(
    "--norm",
    type=Choice(["linf", "l2", "l1"]),
    default="linf",
    show_default=True,
    help="Norm of the neighbourhoods.",
)
@options.truth
@click.option(
    "--limits",
    type=(float, float),
    metavar="LOW HIGH",
    help="Least and greatest that inputs can be.  [default: 0 1 where the data lie in it]",
)
@click.option(
    "--method",
    type=Choice(METHODS),
    default="auto",
    show_default=True,
    help="All stages, cheap ones first (auto), or one with what it rests on.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for each property.",
)
@click.option(
    "--max-memory",
    type=click.FloatRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    metavar="GB",
    help="Memory beyond that of the program and the network, about.",
)
@click.option(
    "--counterexamples",
    type=options.artifact,
    metavar="FILE",
    help="Write the inputs that violate as a dataset (safetensors).",
)
@click.option(
    "--certificate",
    type=options.artifact,
    metavar="FILE",
    help="Write what makes the proofs quick to check (safetensors).",
)
@click.option(
    "--check",
    type=options.artifact,
    metavar="FILE",
    help="Prove again from a certificate, of which nothing is believed, and nothing else.",
)
@click.option(
    "--bounds",
    type=options.artifact,
    metavar="FILE",
    help="Write proved bounds of what goes into each activation (safetensors).",
)
@click.option(
    "--ranges",
    type=options.artifact,
    metavar="FILE",
    help="Write a table of what each output can be: proved, and reached by attacks.",
)
@click.option(
    "--results",
    type=options.artifact,
    metavar="FILE",
    help="Write `sat`, `unsat`, ... as in competitions, with the counterexample; lists as CSV.",
)
@click.option(
    "--lipschitz",
    is_flag=True,
    help="Write how fast outputs can change, everywhere or within --epsilon, in place of verdicts.",
)
@click.option(
    "--float-margin",
    is_flag=True,
    help="Prove it of outputs in float32, by leaving room for what they may be off.",
)
@click.option("--timings", is_flag=True, help="Add columns with the seconds of each stage.")
@options.seed
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    is_eager=True,
    callback=set_threads,
    help="Threads of the linear algebra: more only help with wide networks.",
)
@options.output
@options.table_format
@options.overwrite
def command(*, checkpoints: tuple[str, ...], **given: Any) -> None:
    """Prove that CHECKPOINTS cannot violate a property, or find the input that does.

    Exit code 0: all properties hold. 1: some are violated. 4: some are undecided, none violated.
    With --check 0: all proofs are accepted. 1: some are rejected.

    \b
    Examples:
      nncli verify checkpoint.safetensors --limit 3 --truth answer --epsilon 0.0001
      nncli verify checkpoint.safetensors --specification never.txt --timings -f csv
      nncli verify checkpoint.safetensors --specification never.txt -o verdicts.parquet
    """
    from nncli.commands.verify.checking import check_all
    from nncli.commands.verify.deciding import decide_all
    from nncli.commands.verify.examples import near
    from nncli.commands.verify.rates import write_rates

    if given["check"]:
        _demand_only_check(checkpoints, given)
        questions = _asked(checkpoints, given) if _ways(given) else None
        if not check_all(checkpoints, questions, given):
            click.get_current_context().exit(1)
        return
    if given["lipschitz"]:
        _demand_examples(checkpoints, given)
        write_rates(near(checkpoints, given), given)
        return
    _demand_one_question(checkpoints, given)
    verdicts = decide_all(_asked(checkpoints, given), given)
    if "violated" in verdicts:
        click.get_current_context().exit(1)
    if set(verdicts) - {"verified"}:
        undecided = sum(one != "verified" for one in verdicts)
        hint = "try another `--method`"
        if "timeout" in verdicts:
            hint = "give them more time with `--timeout`"
        elif given["method"] in ("sdp", "milp"):
            hint = "try another `--method`, or more `--max-memory` if that is what it lacked"
        elif given["float_margin"]:
            hint = "without `--float-margin`, what holds by less than rounding may be proved"
        raise NoAnswerError(f"{undecided} of {len(verdicts)} properties are undecided", hint=hint)


def _files(given: dict[str, Any]) -> bool:
    return bool(given["vnnlibs"] or given["specifications"])


def _asked(checkpoints: tuple[str, ...], given: dict[str, Any]) -> "Questions":
    """What is asked."""
    from nncli.commands.verify.examples import near
    from nncli.commands.verify.questions import from_files, from_instances

    if given["instances"]:
        return from_instances(given)
    return from_files(checkpoints, given) if _files(given) else near(checkpoints, given)


def _ways(given: dict[str, Any]) -> list[str]:
    """The options that ask something."""
    asked = {
        "--instances": bool(given["instances"]),
        "--vnnlib or --specification": _files(given),
        "--epsilon": bool(given["epsilons"]),
    }
    return [name for name, one in asked.items() if one]


def _demand_examples(checkpoints: tuple[str, ...], given: dict[str, Any]) -> None:
    """Refuse what has no meaning where rates of change are asked for."""
    useless = typed(
        "vnnlibs", "specifications", "instances", "method", "timeout", "counterexamples",
        "certificate", "bounds", "ranges", "results", "timings", "float_margin", "output_change",
    )  # fmt: skip
    if useless:
        raise UsageError(
            f"`--lipschitz` is about networks and examples of `--data`; it has no `{useless[0]}`"
        )
    if not checkpoints:
        raise UsageError("no checkpoint is given")
    demand_one_stdin(*checkpoints)
    demand_other_output(given["output"], checkpoints)


def _demand_only_check(checkpoints: tuple[str, ...], given: dict[str, Any]) -> None:
    """Refuse what a check has no use for."""
    useless = typed(
        "method", "timeout", "counterexamples", "certificate", "bounds", "ranges", "results",
        "timings", "lipschitz",
    )  # fmt: skip
    if useless:
        raise UsageError(
            f"`--check` proves from what is in the certificate; `{useless[0]}` is for proofs anew"
        )
    if _ways(given):
        _demand_one_question(checkpoints, given)
    elif asking := typed(
        "data", "split", "limit", "norm", "truth", "limits", "float_margin", "output_change"
    ):
        raise UsageError(
            f"`{asking[0]}` asks nothing without `--epsilon`",
            hint="`--check` alone checks all that the certificate proves",
        )
    demand_one_stdin(given["check"], *checkpoints)
    demand_other_output(given["output"], (given["check"], *checkpoints))


def _demand_one_question(checkpoints: tuple[str, ...], given: dict[str, Any]) -> None:
    """Refuse a call that asks nothing, or in two ways."""
    ways = _ways(given)
    if given["output_change"] is not None and not given["epsilons"]:
        other = f"; it has no `{ways[0]}`" if ways else ""
        raise UsageError(
            f"`--output-change` is about inputs near examples of `--data`{other}",
            hint="`--epsilon 0.1` says how near",
        )
    if not ways:
        raise UsageError(
            "nothing is asked of the network",
            hint="`--epsilon 0.1` asks whether examples of `--data` keep their class within 0.1; "
            "or name a property with `--vnnlib`, `--specification` or `--instances`",
        )
    if len(ways) > 1:
        raise UsageError(f"`{ways[0]}` and `{ways[1]}` exclude each other")
    if given["instances"] and checkpoints:
        raise UsageError("`--instances` names its own networks", hint="leave out CHECKPOINTS")
    if not given["instances"] and not checkpoints:
        raise UsageError("no checkpoint is given")
    inputs = (*checkpoints, *given["vnnlibs"], *given["specifications"])
    demand_one_stdin(*inputs)
    for name in ("bounds", "ranges"):
        if given[name] and given["float_margin"]:
            raise UsageError(f"`--{name}` is about real numbers; it has no `--float-margin`")
    beside = ("counterexamples", "certificate", "bounds", "ranges", "results")
    for place in (given["output"], *(given[name] for name in beside)):
        if place:
            demand_other_output(place, inputs)
