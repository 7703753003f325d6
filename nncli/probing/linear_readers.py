"""How linear readers are fitted, and how their penalty is chosen."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.probing import logistic, ridge
from nncli.probing.features import F64, Training
from nncli.probing.fitted import Fitted
from nncli.probing.settings import COARSE, FINE, Settings
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
    found = logistic.solve(
        data.x,
        _columns(target, several),
        np.full(len(several), strength),
        spectrum=data.spectrum,
        link=_link(target),
        tolerance=settings.tolerance,
    )
    return [_linear(found, place, strength) for place in range(len(several))]


def _link(target: Target) -> logistic.Link:
    return "softmax" if target.kind == "classes" else "sigmoid"


def _columns(target: Target, several: Sequence[Values]) -> F64:
    """Encoded values as the solver takes them, (outputs, problems, n)."""
    return np.stack([target.encoded(one).T for one in several], axis=1)


def _linear(found: logistic.Solution, place: int, penalty: float) -> Fitted:
    note = None if found.converged else "not converged"
    arrays = {"weight": found.weight[place], "bias": found.bias[place]}
    return Fitted("linear", arrays, penalty, note)


def choose_linear(data: Training, values: Values, target: Target, settings: Settings) -> Fitted:
    """Go from the strongest penalty to the weakest, each fold from where it was.

    Weaker penalties, which take by far the most work, are not tried once the loss has risen twice
    in a row.
    """
    y = _columns(target, [values])
    parts = list(data.parts())
    mask = np.ones((len(parts) + 1, len(data)), bool)
    for place, part in enumerate(parts):
        mask[place, part] = False
    narrow: Any = data.x.astype(np.float32)
    labels: Any = y.astype(np.float32)
    told: dict[str, Any] = {"spectrum": data.spectrum, "link": _link(target)}
    path: list[tuple[float, float, logistic.Solution]] = []
    last = None
    for penalty in sorted(settings.penalties, reverse=True):
        each = np.full(len(mask), penalty)
        last = logistic.solve(narrow, labels, each, mask=mask, start=last, tolerance=COARSE, **told)
        loss = sum(
            logistic.loss(data.x[part], y[:, 0, part], last.weight[place], last.bias[place], **told)
            for place, part in enumerate(parts)
        )
        kept = logistic.Solution(last.weight[-1:], last.bias[-1:], last.value[-1:], True, 0)
        path.append((float(loss), penalty, kept))
        if _rising([one for one, _, _ in path]):
            break
    _, penalty, start = min(path, key=lambda one: one[0])
    final = logistic.solve(data.x, y, np.array([penalty]), start=start, tolerance=FINE, **told)
    fitted = _linear(final, 0, penalty)
    return Fitted(fitted.reader, fitted.arrays, penalty, fitted.note or _edge(penalty, settings))


def _rising(losses: list[float]) -> bool:
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
    y = np.concatenate([target.encoded(one) for one in several], axis=1)
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


def choose_ridge(data: Training, values: Values, target: Target, settings: Settings) -> Fitted:
    """The penalty with the least squared error on the folds, and its fit on all rows."""
    errors, whole = ridge.cross_validate(data, target.encoded(values), settings.penalties)
    penalty = settings.penalties[int(errors.sum(axis=1).argmin())]
    weights, bias = whole.fit([penalty])
    arrays = {"weight": weights[0], "bias": bias[0]}
    return Fitted("ridge", arrays, penalty, _edge(penalty, settings))
