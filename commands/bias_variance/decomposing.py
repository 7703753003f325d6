"""Every ensemble decomposed: which models and examples are in it, and its training errors."""

from typing import TYPE_CHECKING, Any

from nncli.options.progress import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncli.bias_variance.cells import Arrangement, Cell
    from nncli.bias_variance.report import Result, Training, Units
    from nncli.formats.prediction_raters import Raters
    from nncli.formats.prediction_sets import PredictionSet


def decompose_all(
    found: "PredictionSet",
    arrangement: "Arrangement",
    rated: "Raters | None",
    asked: dict[str, Any],
) -> "tuple[list[Result], Units, int]":
    """Every cell decomposed."""
    from nncli.bias_variance.report import Units

    results: list[Result] = []
    classes, clipped = 1, 0
    cells = progress(
        arrangement.cells, label="decomposing", total=len(arrangement.cells), unit="ensemble"
    )
    for cell in cells:
        result, classes = _result(found, cell, arrangement, rated, asked)
        results.append(result)
        clipped += result.found.clipped
    _warn(asked, clipped)
    units = Units(asked["unit"] == "bits", asked["class_mean"], classes)
    return results, units, clipped


def _result(
    found: "PredictionSet",
    cell: "Cell",
    arrangement: "Arrangement",
    rated: "Raters | None",
    asked: dict[str, Any],
) -> "tuple[Result, int]":
    """One cell decomposed, and how many classes there are."""
    from nncli.bias_variance.answers import reading
    from nncli.bias_variance.clusters import codes_of
    from nncli.bias_variance.curves import Point
    from nncli.bias_variance.decomposition import Task, decompose
    from nncli.bias_variance.report import Result
    from nncli.formats.prediction_joins import join, number_of_classes, targets_of

    told = ", ".join(f"{name} {value}" for name, value in cell.key.items())
    own = [found.respondents[place] for place in cell.members]
    joined = join(own, what=f" at {told}" if told else "")
    regression = joined.is_regression(found.score) and asked["on"] != "hard" and rated is None
    how = reading(
        found.score,
        found.width,
        on=asked["on"],
        losses=asked["losses"],
        regression=regression,
    )
    classes = how.classes or number_of_classes(joined)
    source = own[0].sheets[0][0].name
    target, raters = targets_of(joined, found.score, classes, regression, rated, source=source)
    task = Task(
        ensemble=cell.ensemble,
        reading=how.of(classes),
        n=len(joined.ids),
        target=target,
        block=joined.block,
        itemsize=found.itemsize,
        raters=raters,
        clusters=None if joined.cluster is None else codes_of(joined.cluster),
        ties=asked["ties"],
    )
    at = cell.key.get(arrangement.axis) if arrangement.axis else None
    models = tuple(str(sorted(_identity(one.facts))) for one in own)
    point = Point(float("nan") if at is None else float(at), models, joined.ids, decompose(task))
    return Result(cell, point), classes


def _identity(facts: dict[str, Any]) -> "Sequence[tuple[str, str]]":
    """What tells models apart, whatever they were shown."""
    beside = ("split", "perturbation", "strength", "file")
    return [(name, str(value)) for name, value in facts.items() if name not in beside]


def _warn(asked: dict[str, Any], clipped: int) -> None:
    import warnings

    from nncli.errors import NncliWarning

    if asked["on"] == "logits":
        warnings.warn(
            "squared losses of logits cannot be compared between models of different scale",
            NncliWarning,
            stacklevel=2,
        )
    if clipped:
        warnings.warn(
            f"{clipped} probabilities were below 1e-15, which stands for them in cross-entropy",
            NncliWarning,
            stacklevel=2,
        )


def training_errors(
    trained: "Sequence[Any]", results: "Sequence[Result]", models: "Sequence[dict[str, Any]]"
) -> "Training | None":
    """The training errors, from the series, else from what was answered to the training data.

    The latter are errors of training only if models saw all of those data, with true labels.
    """
    import numpy as np

    from nncli.bias_variance.cells import with_shape
    from nncli.bias_variance.report import Training, training_of_cells

    if not trained:
        whole = not any(one.get("part") or one.get("label_noise") for one in models)
        return training_of_cells(results) if whole else None
    facts = [with_shape(one) for series in trained for one in series.facts]
    return Training(facts, np.concatenate([one.errors for one in trained]))
