"""Questions as exact text: what a certificate is about, and what its digest is of.

The text is JSON with sorted keys. Numbers are fractions, as text (`"3/10"`); a condition is
`inputs . x + outputs . y + constant >= 0`, or `> 0` where it is strict; a quadratic one has
`products`, each of two variables (`["y", 0]`) and a factor, which are added. Equal questions about
networks of one shape have equal text, whatever file they come from. Outputs are those of real
numbers, unless `arithmetic` says that they are those of float32.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from nncli.errors import ArtifactError
from nncli.verification.asking import property_of
from nncli.verification.exact import (
    Asked,
    ExactBox,
    ExactCase,
    ExactCondition,
    Limits,
    Linear,
    Near,
    Products,
    Terms,
)
from nncli.verification.wording import number_words, property_words

DAMAGE = (ValueError, KeyError, TypeError, IndexError, ZeroDivisionError, RecursionError)
SINGLE = "float32"
NUMBER = re.compile(r"-?[0-9]{1,4000}(/[0-9]{1,4000})?")


@dataclass(frozen=True)
class Stored:
    """A question read back from its text.

    Attributes:
        question: The question.
        shape: Shape of one example.
        outputs: Outputs of the network.
        single: Whether it is about outputs in float32.
    """

    question: Asked
    shape: tuple[int, ...]
    outputs: int
    single: bool


def exact_text(question: Asked, shape: Sequence[int], outputs: int, *, single: bool = False) -> str:
    """A question about a network as text.

    Args:
        question: The question.
        shape: Shape of one example of the network.
        outputs: Its outputs.
        single: Whether it is about outputs in float32.
    """
    boxes: dict[int, int] = {}
    balls: dict[int, int] = {}
    written_boxes, written_balls, cases = [], [], []
    for case in question.cases:
        if id(case.box) not in boxes:
            boxes[id(case.box)] = len(boxes)
            written_boxes.append(_box(case.box))
        if case.near is not None and id(case.near) not in balls:
            balls[id(case.near)] = len(balls)
            written_balls.append(_ball(case.near))
        cases.append(
            {
                "box": boxes[id(case.box)],
                "ball": None if case.near is None else balls[id(case.near)],
                "conditions": [_condition(one) for one in case.conditions],
            }
        )
    whole = {
        "shape": list(shape),
        "outputs": outputs,
        "boxes": written_boxes,
        "balls": written_balls,
        "violated if all conditions of one of": cases,
    }
    if single:
        whole["arithmetic"] = SINGLE
    return json.dumps(whole, sort_keys=True, separators=(",", ":"))


def digest(text: str) -> str:
    """The SHA-256 of a text."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _box(box: ExactBox) -> dict[str, Any]:
    return {
        "low": [str(one) for one in box.low],
        "high": [str(one) for one in box.high],
        "above": sorted(box.above),
        "below": sorted(box.below),
    }


def _ball(near: Near) -> dict[str, Any]:
    return {
        "centre": [str(one) for one in near.centre],
        "radius": str(near.radius),
        "norm": near.norm,
    }


def _condition(one: ExactCondition) -> dict[str, Any]:
    linear = {
        "inputs": [[place, str(factor)] for place, factor in one.inputs],
        "outputs": [[place, str(factor)] for place, factor in one.outputs],
        "constant": str(one.constant),
        "strict": one.strict,
    }
    if not one.products:
        return linear
    products = [
        [_variable(first), _variable(second), str(factor)] for first, second, factor in one.products
    ]
    return {**linear, "products": products}


def _variable(variable: int) -> list[Any]:
    return ["x", variable] if variable >= 0 else ["y", ~variable]


def read_exact(text: str, name: str, source: str) -> Stored:
    """A question from its text.

    Args:
        text: The text.
        name: What the question is called.
        source: The file it stands in, for errors.

    Returns:
        The question.

    Raises:
        ArtifactError: The text is no question.
    """
    try:
        whole = json.loads(text)
        shape = tuple(_whole(one) for one in whole["shape"])
        outputs = _whole(whole["outputs"])
        arithmetic = whole.get("arithmetic")
        if arithmetic not in (None, SINGLE):
            raise ValueError(f"there is no arithmetic `{str(arithmetic)[:40]}`")
        count = 1
        for size in shape:
            count *= size
        boxes = [_read_box(one, count) for one in whole["boxes"]]
        balls = [_read_ball(one, count) for one in whole["balls"]]
        cases = [
            ExactCase(
                boxes[_whole(one["box"])],
                tuple(_read_condition(each, count, outputs) for each in one["conditions"]),
                None if one["ball"] is None else balls[_whole(one["ball"])],
            )
            for one in whole["violated if all conditions of one of"]
        ]
    except DAMAGE as error:
        raise ArtifactError(
            f"`{source}`: the text of the property `{name}` is damaged: {error}",
            hint="was the file edited by hand? make it again",
        ) from None
    words = property_words(cases, outputs) + _ball_words(cases)
    question = property_of(name, cases, inputs=count, outputs=outputs, words=words)
    return Stored(question, shape, outputs, arithmetic is not None)


def is_ranking(question: Asked) -> bool:
    """Whether all conditions compare two outputs, so that a softmax over them changes nothing."""
    return all(
        not one.inputs
        and not one.products
        and not one.constant
        and len(one.outputs) == 2
        and one.outputs[0][0] != one.outputs[1][0]
        and one.outputs[0][1] == -one.outputs[1][1]
        for case in question.cases
        for one in case.conditions
    )


def _ball_words(cases: Sequence[ExactCase]) -> str:
    balls = {id(case.near): case.near for case in cases if case.near is not None}
    if not balls:
        return ""
    if len(balls) > 1:
        return f" and within {len(balls):,} balls"
    (near,) = balls.values()
    return f" within {number_words(near.radius, 6)} of a centre (l{near.norm})"


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{str(value)[:40]} is no place or number of things")
    return value


def _fraction(value: object) -> Fraction:
    if not isinstance(value, str) or not NUMBER.fullmatch(value):
        raise ValueError(f"{str(value)[:40]} is no exact number")
    return Fraction(value)


def _numbers(values: Sequence[object], count: int) -> tuple[Fraction, ...]:
    if len(values) != count:
        raise ValueError(f"{len(values):,} numbers for {count:,} inputs")
    return tuple(_fraction(one) for one in values)


def _places(values: Sequence[object], count: int) -> frozenset[int]:
    found = frozenset(_whole(one) for one in values)
    if any(one >= count for one in found):
        raise ValueError(f"there are {count:,} inputs")
    return found


def _read_box(one: dict[str, Any], count: int) -> Limits:
    low, high = _numbers(one["low"], count), _numbers(one["high"], count)
    if any(least > most for least, most in zip(low, high, strict=True)):
        raise ValueError("a box is empty")
    return Limits(low, high, _places(one["above"], count), _places(one["below"], count))


def _read_ball(one: dict[str, Any], count: int) -> Near:
    norm, radius = _whole(one["norm"]), _fraction(one["radius"])
    if norm not in (1, 2) or radius < 0:
        raise ValueError(f"there is no ball of radius {radius} in the norm {norm}")
    return Near(_numbers(one["centre"], count), radius, norm)


def _terms(pairs: Sequence[Sequence[Any]], count: int) -> Terms:
    found = tuple((_whole(place), _fraction(factor)) for place, factor in pairs)
    if any(place >= count for place, _ in found) or len({place for place, _ in found}) < len(found):
        raise ValueError("a condition names a place twice, or one that is not there")
    return found


def _read_condition(one: dict[str, Any], inputs: int, outputs: int) -> Linear:
    strict = one["strict"]
    if type(strict) is not bool:
        raise ValueError("`strict` is true or false")
    return Linear(
        _terms(one["inputs"], inputs),
        _terms(one["outputs"], outputs),
        _fraction(one["constant"]),
        strict,
        _products(one.get("products", ()), inputs, outputs),
    )


def _products(triples: Sequence[Sequence[Any]], inputs: int, outputs: int) -> Products:
    found = []
    for first, second, factor in triples:
        pair = sorted(_read_variable(one, inputs, outputs) for one in (first, second))
        found.append((pair[0], pair[1], _fraction(factor)))
    if len({one[:2] for one in found}) < len(found):
        raise ValueError("a condition names a product twice")
    return tuple(found)


def _read_variable(pair: Sequence[Any], inputs: int, outputs: int) -> int:
    side, place = pair[0], _whole(pair[1])
    if len(pair) != 2 or side not in ("x", "y") or place >= (inputs if side == "x" else outputs):
        raise ValueError("a product names a variable that is not there")
    return place if side == "x" else ~place
