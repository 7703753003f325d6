"""`nncli triage split`: how many cases to automate, in which order."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from nncli import options
from nncli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from nncli.formats.case_features import CaseFeatures
    from nncli.formats.example_columns import ExampleColumns
    from nncli.formats.rated_predictions import RatedPredictions
    from nncli.formats.split_tables import MistakePrices
    from nncli.triage.splits import Split, World
    from nncli.triage.world import People, Terms

PRICES = ("algorithm_error", "human_error", "algorithm_case", "human_reading")
OUTPUTS = ("curve", "assignment", "effort")


def _price(name: str, text: str) -> "Callable[[options.F], options.F]":
    flag, price = f"--cost-{name}", click.FloatRange(min=0)
    return click.option(flag, type=price, metavar="MONEY", help=f"Price of {text}.")


def _count(
    name: str, default: int, metavar: str, least: int, text: str
) -> "Callable[[options.F], options.F]":
    told: dict[str, Any] = {
        "type": click.IntRange(min=least),
        "default": default,
        "metavar": metavar,
    }
    return click.option(name, show_default=True, help=text, **told)


def _file(name: str, text: str) -> "Callable[[options.F], options.F]":
    return click.option(name, type=options.artifact, metavar="FILE", help=text)


@click.command("split", cls=options.Command)
@click.argument("predictions", type=options.artifact, nargs=-1, required=True)
@click.option(
    "--human",
    type=options.artifact,
    required=True,
    metavar="RATINGS",
    help="What people say: example_id with rater_id and label, with counts, or human_error.",
)
@_file("--features", "Features or activations for the error models, beside the answers.")
@options.layers
@click.option(
    "--order",
    "wanted",
    type=options.Choice("nncli.triage.splits:ORDERS"),
    multiple=True,
    help="confidence, human-error, difference, random, oracle (repeatable).  [default: all]",
)
@click.option(
    "--loss",
    type=options.Choice(["zero-one", "probability"]),
    default="zero-one",
    show_default=True,
    help="Of the model: an error, or one minus the probability of the right class.",
)
@_count("--readers", 1, "K", 1, "How many people read a case and vote.")
@click.option(
    "--report-share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    metavar="P",
    help="Share of the cases that splits are reported on, and nothing is fitted or chosen on; 1 "
    "for all, with a note.",
)
@_count("--folds", 5, "K", 2, "Folds of the other cases: none is judged by a model that saw it.")
@_file("--columns", "Table with further columns of the cases, by example_id.")
@click.option("--groups", metavar="COLUMN", help="Cases of equal COLUMN are no independent ones.")
@click.option(
    "--fairness",
    multiple=True,
    metavar="COLUMN",
    help="Report the splits for each value of COLUMN too (repeatable).",
)
@_price("algorithm-error", "an error of the model; with --costs a factor")
@_price("human-error", "an error of people; with --costs a factor")
@_price("algorithm-case", "a case that the model answers")
@_price("human-reading", "one reading")
@_file("--costs", "Table with the price of each kind of mistake: label, answer, cost.")
@_file("--curve", "Write all splits of every order.")
@_file("--assignment", "Write who should have which case.")
@_file("--effort", "Write error against the share automated at equal effort.")
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="X",
    help="Readings for each case that --effort spends.",
)
@_count("--most-readers", 9, "K", 1, "Readers that --effort gives to one case at most.")
@_count("--resamples", 1000, "B", 0, "Draws of cases, or groups, for intervals.")
@click.option(
    "--renormalise", is_flag=True, help="Divide probabilities that do not sum to 1 by their sum."
)
@options.seed
@options.threads
@options.output
@options.table_format
@options.overwrite
def command(
    *,
    predictions: tuple[str, ...],
    output: str,
    table_format: str,
    overwrite: bool,
    **asked: Any,
) -> None:
    """Say how many cases to automate, in which order.

    PREDICTIONS are files of `nncli predict`, or any table or tensors like them; RATINGS what people
    say of the same cases. Cases are ordered by the confidence of the model, by the errors that
    people are expected to make, by the expected difference, at random, and by what is known only
    afterwards (the oracle, a bound). The first ones are automated. How many is chosen on some of
    the cases and reported on the others.

    Writes a table with a row for people alone, the model alone, and each order: error, low and high
    (95 %) of its split, the fraction it automates, the gain over the better of both ends, the
    threshold of its score, the area under its curve, normalised so that a random order has 0 and
    the oracle 1, and the optimum of the curve (which knows the report: optimistic).

    \b
    Examples:
      nncli triage split predictions.parquet --human ratings.parquet
      nncli triage split predictions.parquet --human ratings.parquet --curve curve.parquet
      nncli triage split predictions.parquet --human ratings.parquet --assignment who.parquet \\
        --cost-algorithm-error 10 --cost-human-error 10 --cost-human-reading 1
    """
    beside = (asked[one] for one in ("human", "features", "columns", "costs"))
    given = [*predictions, *(one for one in beside if one)]
    options.demand_one_stdin(*given)
    if asked["human"] in predictions:
        raise UsageError(f"`{asked['human']}` cannot be predictions and RATINGS at once")
    targets = {name: asked[name] for name in OUTPUTS if asked[name]}
    for target in (output, *targets.values()):
        options.demand_other_output(target, given)
    import pyarrow as pa

    from nncli.formats.tables import create_table, from_rows, write_table
    from nncli.formats.triage_tables import demand_different, demand_tables

    demand_different(output=output, **targets)
    demand_tables(
        {output: table_format, **dict.fromkeys(targets.values(), "auto")}, overwrite=overwrite
    )
    with ExitStack() as stack:
        study = _study(predictions, asked, stack)
        schema = study.schema()
        entry = options.entry("table", inputs=study.inputs, seed=asked["seed"], **study.told())
        table = stack.enter_context(
            create_table(output, schema, entry, format=table_format, overwrite=overwrite)
        )
        parts: dict[str, list[Any]] = {one: [] for one in targets}
        for place, name in enumerate(study.cases.models):
            found = study.found(place)
            rows = [{"model_id": name, **row} for row in study.rows(found)]
            table.write(from_rows(rows, schema))
            for kind in targets:
                parts[kind] += WRITERS[kind](study, found, name)
        for kind, those in parts.items():
            made = pa.concat_tables(those)
            write_table(targets[kind], made, entry, overwrite=overwrite)


@dataclass(frozen=True)
class _Study:
    """What is to be done, and what it is made from.

    Attributes:
        cases: The cases.
        asked: The options.
        features: (N, d) for error models.
        columns: Values by which splits are reported apart.
        kinds: Prices of kinds of mistakes.
        together: (N,) which cases are no independent ones.
        fold: (N,) which cases are fitted and chosen on together.
        inputs: What was read.
    """

    cases: "RatedPredictions"
    asked: dict[str, Any]
    features: "NDArray[Any] | None"
    columns: "dict[str, list[Any]]"
    kinds: "MistakePrices | None"
    together: "NDArray[Any] | None"
    fold: "NDArray[Any]"
    inputs: list[Any]

    @property
    def several(self) -> bool:
        """Whether there is more than one model."""
        return len(self.cases.models) > 1

    @property
    def priced(self) -> bool:
        """Whether money is to be told."""
        given = (self.asked[f"cost_{one}"] for one in PRICES)
        return self.kinds is not None or any(one is not None for one in given)

    def schema(self) -> Any:
        from nncli.formats.split_tables import split_schema

        subgroups = bool(self.columns)
        return split_schema(several=self.several, priced=self.priced, subgroups=subgroups)

    def told(self) -> dict[str, Any]:
        """Facts of the entry."""
        return {
            "models": list(self.cases.models),
            "unread": self.cases.unread,
            "unanswered": self.cases.unanswered,
            "dropped": self.cases.ratings.dropped,
            "report_share": self.asked["report_share"],
            "loss": self.asked["loss"],
        }

    def people(self) -> "People":
        from nncli.triage.world import People

        one = self.cases
        return People(one.counts, one.human_error, one.label, self.asked["readers"])

    def terms(self) -> "Terms":
        from nncli.triage.costs import Prices
        from nncli.triage.world import Terms

        given = {one: self.asked[f"cost_{one}"] for one in PRICES}
        prices = Prices(**{name: value for name, value in given.items() if value is not None})
        kinds = None if self.kinds is None else self.kinds.matrix
        return Terms(self.asked["loss"], prices if self.priced else None, kinds)

    def found(self, place: int) -> "_Found":
        """The world of one model, and the splits that are chosen in it."""
        from nncli.triage.answers import read_answers
        from nncli.triage.splits import choose_splits
        from nncli.triage.world import build_world

        world, reader = build_world(
            read_answers(self.cases.score, self.cases.answers[place]),
            self.people(),
            self.features,
            self.terms(),
            self.fold,
            together=self.together,
            seed=self.asked["seed"],
            wanted=self.asked["wanted"],
        )
        return _Found(world, choose_splits(world), reader)

    def rows(self, found: "_Found") -> list[dict[str, Any]]:
        """The table of one model."""
        from nncli.triage.split_rows import subgroup_rows, summary_rows

        told = {"draws": self.asked["resamples"], "seed": self.asked["seed"]}
        rows = summary_rows(found.world, found.splits, priced=self.priced, **told)
        more = subgroup_rows(found.world, found.splits, self.columns, priced=self.priced)
        return [*rows, *more]


class _Found(NamedTuple):
    """One model."""

    world: "World"
    splits: "list[Split]"
    reader: "NDArray[Any] | None"


def _study(predictions: tuple[str, ...], asked: dict[str, Any], stack: ExitStack) -> _Study:
    """Read everything, and divide the cases."""
    import numpy as np

    from nncli.formats.case_features import open_case_features
    from nncli.formats.example_columns import read_example_columns
    from nncli.formats.prediction_sets import open_prediction_set
    from nncli.formats.rated_predictions import join_ratings
    from nncli.formats.split_tables import read_mistake_prices
    from nncli.triage.parts import divide_cases

    if not asked["columns"] and (asked["groups"] or asked["fairness"]):
        option = "--groups" if asked["groups"] else "--fairness"
        raise UsageError(f"`{option}` is a column of what?", hint="`--columns TABLE`")
    found = stack.enter_context(
        open_prediction_set(predictions, renormalise=asked["renormalise"], apart=False)
    )
    cases = join_ratings(found, asked["human"])
    table = read_example_columns(asked["columns"])
    features = open_case_features(asked["features"]) if asked["features"] else None
    kinds = read_mistake_prices(asked["costs"], cases.ratings.classes) if asked["costs"] else None
    together = None
    if asked["groups"]:
        named = [str(one) for one in _column(table, asked["groups"], cases)]
        together = np.unique(named, return_inverse=True)[1].astype(np.int64)
    told = {"report": asked["report_share"], "folds": asked["folds"], "seed": asked["seed"]}
    return _Study(
        cases=cases,
        asked=asked,
        features=_features(features, asked["layers"], cases),
        columns={one: _column(table, one, cases) for one in asked["fairness"]},
        kinds=kinds,
        together=together,
        fold=divide_cases(len(cases), together, source=cases.ratings.name, **told),
        inputs=[*found.files, cases.ratings, *(one for one in (features, table, kinds) if one)],
    )


def _column(table: "ExampleColumns | None", name: str, cases: "RatedPredictions") -> list[Any]:
    assert table is not None
    return table.of(name, cases.ids, len(cases), capture=cases.ratings.name)


def _features(
    found: "CaseFeatures | None", layers: tuple[str, ...], cases: "RatedPredictions"
) -> "NDArray[Any] | None":
    """Features of the cases, (N, d), layers side by side."""
    import numpy as np

    if found is None:
        if layers:
            raise UsageError("`--layer` is of what?", hint="`--features ACTIVATIONS`")
        return None
    places = found.places(cases.ids, of=cases.ratings.name)
    if found.capture is None:
        return np.asarray(found.x)[places].reshape(len(places), -1).astype(np.float64)
    from nncli.layer_names import select_layers
    from nncli.triage.features import side_by_side

    names = select_layers(found.capture.layers, layers, source=found.name)
    return side_by_side(found.capture, names, places)


def _curve(study: _Study, found: _Found, name: str) -> "Iterator[pa.Table]":
    """All splits of one model."""
    from nncli.formats.split_tables import curve_schema, curve_table
    from nncli.triage.split_curves import curves_of

    schema = curve_schema(several=study.several, priced=study.priced)
    made = curves_of(found.world, found.splits, priced=study.priced)
    for columns, split in zip(made, found.splits, strict=True):
        yield curve_table(columns, schema, {"order": split.order.name, "model_id": name})


def _assignment(study: _Study, found: _Found, name: str) -> "Iterator[pa.Table]":
    """Who should have which case, by the order that promises most where splits are chosen."""
    import numpy as np

    from nncli.formats.split_tables import assignment_table
    from nncli.triage.parts import REPORT
    from nncli.triage.splits import most_promising

    split = most_promising(found.splits)
    world = found.world
    reported = world.fold == REPORT if not world.optimistic else np.ones(len(world.fold), bool)
    model = name if study.several else None
    routes = split.routes(len(world.fold))
    yield assignment_table(study.cases.ids, routes, split.order.score, reported, model)


def _effort(study: _Study, found: _Found, name: str) -> "Iterator[pa.Table]":
    """Error against the share automated at equal effort."""
    from nncli.formats.split_tables import effort_schema
    from nncli.formats.tables import from_rows
    from nncli.triage.effort_rows import effort_rows

    pools = study.people().pools(study.asked["most_readers"])
    if pools is None:
        raise UsageError(
            "`--effort` needs readings or counts of them: a share of readers who err does not say "
            "how they vote"
        )
    told = {"per_case": study.asked["budget"]}
    rows = effort_rows(found.world, found.splits, pools, found.reader, **told)
    schema = effort_schema(several=study.several)
    yield from_rows([{"model_id": name, **row} for row in rows], schema)


WRITERS = {"curve": _curve, "assignment": _assignment, "effort": _effort}
