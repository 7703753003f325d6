"""The readers there are: what each can read, and how it is fitted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import UsageError
from nncli.probing import mass_mean, nearest, perceptron
from nncli.probing.features import F64, Training
from nncli.probing.fitted import Arrays, Fitted
from nncli.probing.linear_readers import choose_linear, choose_ridge, fit_linear, fit_ridge
from nncli.probing.settings import Chosen, Settings, chosen
from nncli.probing.targets import Kind, Target

Values = NDArray[Any]
Fit = Callable[[Training, Sequence[Values], Target, float | None, Settings], list[Fitted]]
Choose = Callable[[Training, Values, Target, Settings], Fitted]


@dataclass(frozen=True)
class Reader:
    """A kind of reader.

    Attributes:
        summary: What it is.
        kinds: The targets it can read.
        fit: Fits several vectors of values at a penalty.
        choose: Fits one, with the penalty that inner cross-validation chooses.
        probabilistic: Whether answers are logits, so that they have a log-loss and a code length.
        penalised: Whether it has a penalty.
    """

    summary: str
    kinds: tuple[Kind, ...]
    fit: Fit
    choose: Choose
    probabilistic: bool = False
    penalised: bool = field(default=False)


def _simple(
    name: str, make: Callable[[F64, Values, Target, Settings], Arrays]
) -> tuple[Fit, Choose]:
    """A reader without a penalty."""

    def fit(
        data: Training,
        several: Sequence[Values],
        target: Target,
        penalty: float | None,
        settings: Settings,
    ) -> list[Fitted]:
        return [Fitted(name, make(data.x, one, target, settings)) for one in several]

    def choose(data: Training, values: Values, target: Target, settings: Settings) -> Fitted:
        return fit(data, [values], target, None, settings)[0]

    return fit, choose


def _fit_mlp(
    data: Training,
    several: Sequence[Values],
    target: Target,
    penalty: float | None,
    settings: Settings,
) -> list[Fitted]:
    strength = float(penalty or settings.penalties[0])
    return [
        Fitted(
            "mlp",
            perceptron.fit(
                data.x,
                target.encoded(one),
                kind=target.kind,
                hidden=settings.hidden,
                penalty=strength,
                seed=settings.seed,
            ),
            strength,
        )
        for one in several
    ]


def _choose_mlp(data: Training, values: Values, target: Target, settings: Settings) -> Fitted:
    """The penalty that does best on the first fold, which is left out; all folds cost too much."""
    held = next(data.parts())
    rest = np.r_[0 : held.start, held.stop : len(data)]
    tried = sorted(settings.penalties)[:: max(1, len(settings.penalties) // 3)]
    y = target.encoded(values)
    losses = []
    for penalty in tried:
        one = _fit_mlp(data.some(rest), [values[rest]], target, penalty, settings)[0]
        losses.append(perceptron.loss(one.answers(data.x[held]), y[held], target.kind))
    best = tried[int(np.argmin(losses))]
    return _fit_mlp(data, [values], target, best, settings)[0]


READERS: dict[str, Reader] = {
    "linear": Reader(
        "multinomial logistic regression, L2",
        ("classes", "labels"),
        fit_linear,
        choose_linear,
        probabilistic=True,
        penalised=True,
    ),
    "ridge": Reader(
        "least squares, L2, in closed form",
        ("numbers", "classes", "labels"),
        fit_ridge,
        choose_ridge,
        penalised=True,
    ),
    "knn": Reader(
        "vote of the nearest training examples",
        ("classes", "numbers"),
        *_simple("knn", nearest.neighbours),
        probabilistic=True,
    ),
    "prototype": Reader(
        "nearest class mean, by cosine", ("classes",), *_simple("prototype", nearest.prototypes)
    ),
    "mass-mean": Reader(
        "difference of the means of a class and the rest",
        ("classes",),
        *_simple("mass-mean", mass_mean.directions),
    ),
    "mlp": Reader(
        "one hidden layer",
        ("classes", "numbers", "labels"),
        _fit_mlp,
        _choose_mlp,
        probabilistic=True,
        penalised=True,
    ),
}


def choose_readers(texts: Sequence[str], target: Target, base: Settings) -> tuple[Chosen, ...]:
    """The readers of a target, each once; the usual one where none is named.

    Raises:
        UsageError: There is no such reader or setting, or it cannot read the target.
    """
    usual = "ridge" if target.kind == "numbers" else "linear"
    found = [chosen(text, list(READERS), base) for text in texts or (usual,)]
    for one in found:
        _demand_fit(one.reader, target)
        if one.settings.way > target.outputs:
            raise UsageError(
                f"`--reader {one.label}` wants {one.settings.way} classes, "
                f"`{target.name}` has {target.outputs}"
            )
    return tuple({one.label: one for one in found}.values())


def _demand_fit(reader: str, target: Target) -> None:
    if target.kind not in READERS[reader].kinds:
        fit = [name for name, one in READERS.items() if target.kind in one.kinds]
        raise UsageError(
            f"`--reader {reader}` does not read `{target.name}`, which is {target.kind}",
            hint=f"{', '.join(fit)} do",
        )
