"""How linear readers are fitted, and how their penalty is chosen."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.probing import logistic, ridge
from nncli.probing.cross_entropy import Link, summed_loss
from nncli.probing.features import F64, Training
from nncli.probing.fitted import Fitted
from nncli.probing.settings import CHOOSING, FINAL, Settings
from nncli.probing.targets import Target

Values = NDArray[Any]


def fit_linear(
    data: Training,
    several: Sequence[Values],
    target: Target,
    penalty: float | None,
    settings: Settings,
) -> list[Fitted]:
    """Logistic regressions of several vectors of values, with one penalty."""
    strength = float(penalty or settings.penalties[0])
    each = np.full(len(several), strength)
    y = np.stack([_given(target, one) for one in several])
    told: dict[str, Any] = {"tolerance": settings.tolerance, **_told(data, target)}
    found = logistic.solve(data.x, y, each, **told)
    return [_linear(found, place, strength) for place in range(len(several))]


def _told(data: Training, target: Target) -> dict[str, Any]:
    return {"spectrum": data.spectrum, "link": _link(target), "outputs": target.outputs}


def _link(target: Target) -> Link:
    return "softmax" if target.kind == "classes" else "sigmoid"


def _given(target: Target, values: Values) -> Values:
    """Values as the solver takes them: classes (n,), or labels (K, n)."""
    return values if target.kind == "classes" else target.encoded(values).T


def _linear(found: logistic.Solution, place: int, penalty: float) -> Fitted:
    note = None if found.converged else "not converged"
    arrays = {"weight": found.weight[place], "bias": found.bias[place]}
    return Fitted("linear", arrays, penalty, note)


def choose_linear(data: Training, values: Values, target: Target, settings: Settings) -> Fitted:
    """Go from the strongest penalty to the weakest, each fold from where it was.

    Weaker penalties, which take by far the most work, are not tried once the loss has risen twice
    in a row.
    """
    y, parts = _given(target, values)[None], list(data.parts())
    without = [*parts, slice(0, 0)]
    narrow: Any = data.x.astype(np.float32)
    told = _told(data, target)
    losses: list[float] = []
    last = best = None
    for penalty in sorted(settings.penalties, reverse=True):
        each = np.full(len(without), penalty)
        last = logistic.solve(
            narrow, y, each, without=without, start=last, tolerance=CHOOSING, **told
        )
        losses.append(_held_out_loss(data, y[0], last, _link(target)))
        if best is None or losses[-1] < min(losses[:-1]):
            best = last.only(-1)
        if rising(losses):
            break
    assert best is not None, "there is a penalty"
    del last, narrow
    final = logistic.solve(data.x, y, best.penalty, start=best, tolerance=FINAL, **told)
    penalty = float(best.penalty[0])
    fitted = _linear(final, 0, penalty)
    return Fitted(fitted.reader, fitted.arrays, penalty, fitted.note or _edge(penalty, settings))


def _held_out_loss(data: Training, y: Values, found: logistic.Solution, link: Link) -> float:
    """The loss of each problem on the fold that it has left out, in nats, summed."""
    return sum(
        summed_loss(data.x[part] @ found.weight[place] + found.bias[place], y[..., part], link)
        for place, part in enumerate(data.parts())
    )


def rising(losses: list[float]) -> bool:
    """Whether the last two of some losses rose, each above the one before."""
    return len(losses) > 2 and losses[-3] < losses[-2] < losses[-1]


def _edge(penalty: float, settings: Settings) -> str | None:
    if len(settings.penalties) < 3:
        return None
    if penalty == min(settings.penalties):
        return "the weakest penalty was the best"
    return "the strongest penalty was the best" if penalty == max(settings.penalties) else None


def fit_ridge(
    data: Training,
    several: Sequence[Values],
    target: Target,
    penalty: float | None,
    settings: Settings,
) -> list[Fitted]:
    """Ridge regressions of several vectors of values, with one penalty."""
    y = np.concatenate([_squared(target, one) for one in several], axis=1)
    strength = float(penalty or settings.penalties[0])
    weights, bias = ridge.fit(data.x, y, [strength])
    k = target.outputs
    return [
        Fitted(
            "ridge",
            {"weight": weights[0][:, at : at + k], "bias": bias[0][at : at + k]},
            strength,
        )
        for at in range(0, y.shape[1], k)
    ]


def _squared(target: Target, values: Values) -> F64:
    """What squares are summed of, (n, K): labels are -1/2 and 1/2, so that 0 divides answers."""
    return target.encoded(values) - (0.5 if target.kind == "labels" else 0.0)


def choose_ridge(data: Training, values: Values, target: Target, settings: Settings) -> Fitted:
    """The penalty with the least squared error on the folds, and its fit on all rows."""
    errors, whole = ridge.cross_validate(data, _squared(target, values), settings.penalties)
    penalty = settings.penalties[int(errors.sum(axis=1).argmin())]
    weights, bias = whole.fit([penalty])
    arrays = {"weight": weights[0], "bias": bias[0]}
    return Fitted("ridge", arrays, penalty, _edge(penalty, settings))
