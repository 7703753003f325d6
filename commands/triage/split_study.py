"""What `nncli triage split` reads, and the tables that it writes."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from nncli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from nncli.formats.case_features import CaseFeatures
    from nncli.formats.example_columns import ExampleColumns
    from nncli.formats.rated_predictions import RatedPredictions
    from nncli.formats.split_tables import MistakePrices
    from nncli.triage.splits import Split, World
    from nncli.triage.world import People, Terms

PRICES = ("algorithm_error", "human_error", "algorithm_case", "human_reading")


@dataclass(frozen=True)
class SplitStudy:
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

    def schema(self) -> "pa.Schema":
        """The columns of the table."""
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
        """What people say of the cases."""
        from nncli.triage.world import People

        one = self.cases
        return People(one.counts, one.human_error, one.label, self.asked["readers"])

    def terms(self) -> "Terms":
        """What is to be made small."""
        from nncli.triage.costs import Prices
        from nncli.triage.world import Terms

        given = {one: self.asked[f"cost_{one}"] for one in PRICES}
        prices = Prices(**{name: value for name, value in given.items() if value is not None})
        kinds = None if self.kinds is None else self.kinds.matrix
        return Terms(self.asked["loss"], prices if self.priced else None, kinds)

    def found(self, place: int) -> "Found":
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
        return Found(world, choose_splits(world), reader)

    def rows(self, found: "Found") -> list[dict[str, Any]]:
        """The table of one model."""
        from nncli.triage.split_rows import subgroup_rows, summary_rows

        told = {"draws": self.asked["resamples"], "seed": self.asked["seed"]}
        rows = summary_rows(found.world, found.splits, priced=self.priced, **told)
        more = subgroup_rows(found.world, found.splits, self.columns, priced=self.priced)
        return [*rows, *more]


class Found(NamedTuple):
    """One model."""

    world: "World"
    splits: "list[Split]"
    reader: "NDArray[Any] | None"


def open_study(predictions: tuple[str, ...], asked: dict[str, Any], stack: ExitStack) -> SplitStudy:
    """Read everything, and divide the cases."""
    import numpy as np

    from nncli.formats.case_features import open_case_features
    from nncli.formats.case_groups import demand_groups
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
        column = _column(table, asked["groups"], cases)
        demand_groups(column, asked["groups"], cases.ids, source=asked["columns"])
        named = [str(one) for one in column]
        together = np.unique(named, return_inverse=True)[1].astype(np.int64)
    told = {"report": asked["report_share"], "folds": asked["folds"], "seed": asked["seed"]}
    _demand_possible(asked, cases)
    return SplitStudy(
        cases=cases,
        asked=asked,
        features=_features(features, asked["layers"], cases),
        columns={one: _column(table, one, cases) for one in asked["fairness"]},
        kinds=kinds,
        together=together,
        fold=divide_cases(len(cases), together, source=cases.ratings.name, **told),
        inputs=[*found.files, cases.ratings, *(one for one in (features, table, kinds) if one)],
    )


def _demand_possible(asked: dict[str, Any], cases: "RatedPredictions") -> None:
    """Refuse what cannot be done with these files, before the work.

    Raises:
        UsageError: Readings are needed and not known, or every price is 0.
    """
    votes = f"--readers {asked['readers']}" if asked["readers"] > 1 else None
    wanting = "--effort" if asked["effort"] else votes
    if wanting and cases.counts is None:
        raise UsageError(
            f"`{wanting}` needs readings or counts of them: a share of readers who err does not "
            "say how they vote"
        )
    prices = [asked[f"cost_{one}"] for one in PRICES]
    usual = [1.0, 1.0, 0.0, 0.0]  # of mistakes and of work, where nothing is said
    if not any(one if told is None else told for told, one in zip(prices, usual, strict=True)):
        raise UsageError("every price is 0, so that every split costs the same")


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


def _curve(study: SplitStudy, found: Found, name: str) -> "Iterator[pa.Table]":
    """All splits of one model."""
    from nncli.formats.split_tables import curve_schema, curve_table
    from nncli.triage.split_curves import curves_of

    schema = curve_schema(several=study.several, priced=study.priced)
    made = curves_of(found.world, found.splits, priced=study.priced)
    for columns, split in zip(made, found.splits, strict=True):
        yield curve_table(columns, schema, {"order": split.order.name, "model_id": name})


def _assignment(study: SplitStudy, found: Found, name: str) -> "Iterator[pa.Table]":
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


def _effort(study: SplitStudy, found: Found, name: str) -> "Iterator[pa.Table]":
    """Error against the share automated at equal effort."""
    from nncli.formats.split_tables import effort_schema
    from nncli.formats.tables import from_rows
    from nncli.triage.effort_rows import effort_rows

    pools = study.people().pools(study.asked["most_readers"])
    assert pools is not None  # or it was refused before the work
    told = {"per_case": study.asked["budget"]}
    rows = effort_rows(found.world, found.splits, pools, found.reader, **told)
    schema = effort_schema(several=study.several)
    yield from_rows([{"model_id": name, **row} for row in rows], schema)


WRITERS = {"curve": _curve, "assignment": _assignment, "effort": _effort}
