"""What `nncli triage second-opinion` reads: cases with features, and what people say of them."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nncli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncli.formats.opinion_cases import OpinionCases
    from nncli.formats.opinion_models import StoredScores
    from nncli.triage.crossfitting import Plan
    from nncli.triage.foresight import Design
    from nncli.triage.opinions import Opinions


@dataclass(frozen=True)
class OpinionStudy:
    """Cases that two people or more have read, their features, and what is to be fitted."""

    cases: "OpinionCases"
    x: Any
    features: dict[str, Any]
    opinions: "Opinions"
    plan: "Plan"
    design: "Design"
    inputs: list[Any]


def open_study(features: str | None, asked: dict[str, Any], stack: ExitStack) -> OpinionStudy:
    """Open everything, and bring it to the cases that have all of it."""
    from nncli.formats.case_groups import demand_groups
    from nncli.formats.example_columns import read_example_columns
    from nncli.formats.opinion_cases import open_opinion_cases
    from nncli.probing.settings import Settings
    from nncli.triage.crossfitting import groups_of, plan_of
    from nncli.triage.foresight import Design
    from nncli.triage.opinions import opinions_of
    from nncli.triage.uncertainty import About

    if not asked["ratings"]:
        raise UsageError("what do people say?", hint="`--ratings TABLE`; or `--apply MODEL`")
    if asked["groups"] and not asked["table"]:
        raise UsageError(f"`{asked['groups']}` is a column of what?", hint="`--columns TABLE`")
    cases = open_opinion_cases(features, asked["predictions"], asked["ratings"], stack)
    assert cases.ratings is not None
    x, told = features_of(cases, asked["layers"])
    grades = cases.ratings.values if asked["target"] == "variance" else None
    opinions = opinions_of(
        cases.counts,
        asked["target"],
        grades,
        threshold=asked["threshold"],
        source=cases.ratings.name,
    )
    table = read_example_columns(asked["table"])
    column = None
    if table and asked["groups"]:
        column = table.of(asked["groups"], cases.ids, len(cases.ids), capture=cases.name)
        demand_groups(column, asked["groups"], cases.ids, source=table.name)
    group = groups_of(x, column)
    seed = asked["seed"]
    plan = plan_of(group, opinions.disagree, asked["folds"], seed, cases.name)
    known = None if grades is None else tuple(grades.tolist())
    about = About(asked["target"], asked["reader"], asked["direct"], known)
    names = ("dup", "uvc", *dict.fromkeys(asked["extra"]))
    design = Design(names, about, Settings(seed=seed))
    inputs = [*cases.inputs, *([table] if table else [])]
    return OpinionStudy(cases, x, told, opinions, plan, design, inputs)


def features_of(
    cases: "OpinionCases", layers: "Sequence[str]", stored: "StoredScores | None" = None
) -> tuple[Any, dict[str, Any]]:
    """The features (n, d), and what they are."""
    from nncli.errors import MismatchError
    from nncli.layer_names import select_layers
    from nncli.triage.doubts import log_probabilities_side_by_side
    from nncli.triage.features import side_by_side

    names: list[str] | None = None
    if cases.features is None:
        assert cases.answers is not None
        x = log_probabilities_side_by_side(cases.answers, cases.score)
    elif cases.features.capture is None:
        x = cases.features.x[cases.places].reshape(len(cases.places), -1)
    else:
        capture = cases.features.capture
        names = list(select_layers(capture.layers, layers, source=capture.name))
        wanted = stored.features.get("layers") if stored else None
        if wanted is not None:
            names = [str(one) for one in wanted]
        lacking = [one for one in names if one not in capture.layers]
        if lacking:
            raise MismatchError(f"`{capture.name}` has no layer `{lacking[0]}`")
        x = side_by_side(capture, names, cases.places)
    return x, {"layers": names, "width": x.shape[1]}
