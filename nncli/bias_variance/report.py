"""The table of a decomposition: a row for each point of the curve, loss and quantity."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.bias_variance.answers import CROSS_ENTROPY, LOSSES, SQUARED, ZERO_ONE
from nncli.bias_variance.cells import Arrangement, Cell
from nncli.bias_variance.curves import Peak, Point, Share, bias_share, peak, threshold
from nncli.bias_variance.decomposition import Decomposition
from nncli.bias_variance.intervals import Estimate

Row = dict[str, Any]
FEW = "two models: no model can be left out, so the error is unknown"
ALONE = "one example, or one group of them: the error is unknown"
FEWEST_PLACES = 3  # of a curve that has a peak


@dataclass(frozen=True)
class Units:
    """What numbers are multiplied by.

    Attributes:
        bits: Cross-entropy in bits, not nats.
        class_mean: Squared loss averaged over classes, of which there are `classes`.
        classes: How many classes there are.
    """

    bits: bool = False
    class_mean: bool = False
    classes: int = 1

    def factor(self, loss: str) -> float:
        """What the numbers of a loss are multiplied by."""
        if loss == CROSS_ENTROPY and self.bits:
            return float(1 / np.log(2))
        return 1 / self.classes if loss == SQUARED and self.class_mean else 1.0


@dataclass(frozen=True)
class Result:
    """A cell and what came of it.

    Attributes:
        cell: The cell.
        point: Its decomposition, and what it shares with others.
    """

    cell: Cell
    point: Point

    @property
    def found(self) -> Decomposition:
        """The decomposition."""
        return self.point.found


@dataclass(frozen=True)
class Training:
    """The training errors of models.

    Attributes:
        facts: What is recorded of each.
        errors: (m,) their errors on what they were trained on.
    """

    facts: Sequence[Mapping[str, Any]]
    errors: NDArray[np.float64]

    def of(self, key: Mapping[str, Any]) -> NDArray[np.float64]:
        """The errors of the models of a cell."""
        same = [
            all(facts[name] == value for name, value in key.items() if name in facts)
            and any(name in facts for name in key)
            for facts in self.facts
        ]
        return self.errors[np.array(same, np.bool_)] if same else self.errors[:0]


def training_of_cells(results: Sequence[Result]) -> Training | None:
    """Training errors, from the answers to the training data, where models were trained on all.

    Args:
        results: All cells; those of the split `train` count.

    Returns:
        The errors of the ensembles, `None` where there is no such cell.
    """
    seen = [one for one in results if one.cell.key.get("split") == "train"]
    seen = [one for one in seen if not one.cell.key.get("perturbation")]
    seen = [one for one in seen if (ZERO_ONE, "risk") in one.found.estimates]
    if not seen:
        return None
    beside = ("split", "perturbation", "strength")
    facts = [{k: v for k, v in one.cell.key.items() if k not in beside} for one in seen]
    errors = [one.found.estimates[ZERO_ONE, "risk"].value for one in seen]
    return Training(facts, np.array(errors))


def rows_of(
    arrangement: Arrangement,
    results: Sequence[Result],
    units: Units,
    *,
    training: Training | None = None,
    interpolated: float = 0.0,
) -> list[Row]:
    """The table.

    Args:
        arrangement: The cells.
        results: What came of each, in their order.
        units: What numbers are multiplied by.
        training: The training errors, where they are known.
        interpolated: The training error that counts as none.

    Returns:
        Rows with the columns of the cells and `loss`, `metric`, `value`, `se`, `low`, `high`,
        `models`, `n`, `note`: for each cell every quantity, and `bias_share` under a shift; for
        each curve `variance_peak`, and `interpolation_threshold` where it is known.
    """
    rows = []
    for one in results:
        rows += list(_of_cell(one, units))
        clean = _clean(one, results)
        if clean is not None:
            rows += list(_shares(one, clean))
        if training is not None:
            rows += list(_trained(one, training))
    for curve in _curves(arrangement, results):
        rows += list(_peaks(curve, arrangement, training, interpolated))
    return rows


def _row(key: Mapping[str, Any], loss: str, metric: str, estimate: Estimate, by: float) -> Row:
    low, high = estimate.interval()
    return {
        **key,
        "loss": loss,
        "metric": metric,
        "value": estimate.value * by,
        "se": None if estimate.se is None else estimate.se * by,
        "low": None if low is None else low * by,
        "high": None if high is None else high * by,
    }


def _of_cell(one: Result, units: Units) -> Iterable[Row]:
    counts = _counts(one)
    order = {name: place for place, name in enumerate(LOSSES)}
    for (loss, metric), estimate in sorted(
        one.found.estimates.items(), key=lambda item: order[item[0][0]]
    ):
        row = _row(one.cell.key, loss, metric, estimate, units.factor(loss))
        few = min(tree.units for tree in one.cell.ensemble.trees) < 3
        note = None
        if estimate.se is None:
            note = FEW if few else ALONE
        yield {**row, **counts, "note": note}


def _counts(one: Result) -> dict[str, int | None]:
    """How many models, examples, and groups of examples."""
    clusters = one.found.totals[0].clusters
    groups = None if clusters is None else int(clusters.max()) + 1
    return {"models": one.found.models, "n": one.found.n, "clusters": groups}


def _clean(one: Result, results: Sequence[Result]) -> Result | None:
    """The same ensemble on inputs that are not shifted, if there is one."""
    key = one.cell.key
    if not {"split", "perturbation", "strength"} & set(key) or key.get("split") == "train":
        return None
    clean = {"perturbation": None, "strength": 0.0}
    wanted = {name: clean.get(name, value) for name, value in key.items()}
    if wanted == key and "split" in key:
        wanted["split"] = "test"
    if wanted == key:
        return None
    return next((other for other in results if other.cell.key == wanted), None)


def _shares(one: Result, clean: Result) -> Iterable[Row]:
    counts = _counts(one)
    for loss in dict.fromkeys(loss for loss, _ in one.found.estimates):
        share: Share = bias_share(one.point, clean.point, loss)
        row = _row(one.cell.key, loss, "bias_share", share.estimate, 1.0)
        if share.clear:
            yield {**row, **counts, "note": None}
            continue
        nothing = dict.fromkeys(("value", "se", "low", "high"))
        yield {**row, **nothing, **counts, "note": "no clear extra loss to divide"}


def _trained(one: Result, training: Training) -> Iterable[Row]:
    errors = training.of(one.cell.key)
    if len(errors) and one.cell.key.get("split") in (None, "test"):
        counts = {"models": len(errors), "n": None}
        values = dict.fromkeys(("se", "low", "high"))
        mean = float(errors.mean())
        told = {"loss": ZERO_ONE, "metric": "training_error", "value": mean}
        yield {**one.cell.key, **told, **values, **counts, "note": None}


def _curves(arrangement: Arrangement, results: Sequence[Result]) -> Iterable[list[Result]]:
    """Results that differ in the place along the axis alone."""
    axis = arrangement.axis
    if axis is None:
        return
    found: dict[tuple[Any, ...], list[Result]] = {}
    for one in results:
        key = one.cell.key
        beside = {axis} | ({"perturbation"} if axis == "strength" else set())
        rest = tuple(value for name, value in key.items() if name not in beside)
        if key[axis] is not None:
            found.setdefault(rest, []).append(one)
    for curve in found.values():
        if len(curve) >= FEWEST_PLACES:
            yield sorted(curve, key=lambda one: one.point.at)


def _peaks(
    curve: Sequence[Result],
    arrangement: Arrangement,
    training: Training | None,
    interpolated: float,
) -> Iterable[Row]:
    axis = str(arrangement.axis)
    key = {**curve[0].cell.key, axis: None}
    if axis == "strength" and "perturbation" in key:
        key["perturbation"] = None
    nothing = {"se": None, "models": None, "n": None, "note": None}
    points = [one.point for one in curve]
    for loss in dict.fromkeys(loss for loss, _ in curve[0].found.estimates):
        top: Peak = peak(points, (loss, "variance"))
        note = None if top.inside else "at an end of the curve: it may lie beyond"
        told = {"loss": loss, "metric": "variance_peak", "value": top.at}
        yield {**key, **nothing, **told, "low": top.low, "high": top.high, "note": note}
    if training is None:
        return
    known = [(one.point.at, training.of(one.cell.key)) for one in curve]
    errors = [(at, float(found.mean())) for at, found in known if len(found)]
    if not errors:
        return
    place = threshold([at for at, _ in errors], [error for _, error in errors], interpolated)
    note = None if place is not None else "the training error never stays that low"
    told = {"loss": ZERO_ONE, "metric": "interpolation_threshold", "value": place}
    yield {**key, **nothing, "low": None, "high": None, **told, "note": note}


def per_example(one: Result, units: Units) -> dict[str, Any]:
    """The decomposition at each example, as columns.

    Args:
        one: A cell and what came of it.
        units: What numbers are multiplied by.

    Returns:
        `<loss>_<metric>` for risk, bias, variance and noise, and with classes `main`, the vote of
        the models, and `p_main`, the share that it got.
    """
    columns: dict[str, Any] = {}
    for loss, metric in one.found.estimates:
        name = f"{loss}_{metric}".replace("-", "_")
        columns[name] = one.found.at_examples((loss, metric)) * units.factor(loss)
    if one.found.main is not None:
        columns |= {"main": one.found.main, "p_main": one.found.share}
    return columns
