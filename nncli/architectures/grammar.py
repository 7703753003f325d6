"""The grammar of architecture specs: `mlp:64-128-64-10,act=tanh` and its relatives.

A spec is `FAMILY:INPUT-LAYERS-OUTPUTS` and options after commas. It is short enough to type, and
its canonical form (fixed order, defaults left out) is what a checkpoint records of its network.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nncli.architectures.spec import (
    CHOICES,
    EXAMPLES,
    EXPLANATIONS,
    OPTIONS,
    Spec,
    with_defaults,
)
from nncli.errors import UsageError, closest

MOST = 10**9  # a larger integer in a spec is a slip of the finger
TRANSFORMER_PARTS = {"d": "width", "h": "heads", "b": "blocks"}


def parse(text: str) -> Spec:
    """Read an architecture spec.

    Args:
        text: Such as `mlp:64-128-64-10,act=tanh,init=orthogonal`.

    Returns:
        The spec, every option filled in.

    Raises:
        UsageError: Some token is wrong; the error names it and shows a spec that is right.
    """
    body, *options = text.split(",")
    family, colon, layers = body.partition(":")
    if family not in EXAMPLES:
        raise UsageError(
            f"`{text}`: there is no architecture `{family}`; {closest(family, EXAMPLES)}",
            hint=f"for example `{EXAMPLES['mlp']}`, `{EXAMPLES['cnn']}`, or `model.py:Name` for "
            "your own class",
        )
    tokens = layers.split("-") if colon else []
    if len(tokens) < 2 or not all(tokens):
        raise _wrong(text, family, "an input and an output size are needed, joined by `-`")
    spec = READERS[family](text, tokens)
    given: set[str] = set()
    for option in options:
        spec = _with_option(text, spec, option)
        key = option.partition("=")[0]
        if key in given:
            raise UsageError(f"`{text}`: `{key}` is given twice", hint="give each option once")
        given.add(key)
    if spec.cell in ("gru", "lstm") and spec.act:
        raise _misplaced(
            text, f"a cell `{spec.cell}` has no `act`, its gates are fixed", "rnn", "act=relu"
        )
    return with_defaults(spec)


def _wrong(text: str, family: str, what: str) -> UsageError:
    return UsageError(
        f"`{text}`: {what}", hint=f"for example `{EXAMPLES[family]}`: {EXPLANATIONS[family]}"
    )


def _integer(token: str) -> int | None:
    """The positive integer a token is, or `None`."""
    if not (token.isascii() and token.isdigit() and len(token) <= len(str(MOST))):
        return None
    return int(token) if 0 < int(token) <= MOST else None


def _number(text: str, family: str, token: str, what: str) -> int:
    number = _integer(token)
    if number is None:
        raise _wrong(text, family, f"`{token}` is no {what}, a positive integer is expected")
    return number


def _shape(text: str, family: str, token: str, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Read `1x8x8`; `sizes` are the numbers of dimensions there may be."""
    shape = tuple(_integer(part) or 0 for part in token.split("x"))
    if 0 in shape or len(shape) not in sizes:
        raise _wrong(text, family, f"`{token}` is no input shape")
    return shape


def _read_mlp(text: str, tokens: list[str]) -> Spec:
    shape = _shape(text, "mlp", tokens[0], (1, 2, 3))
    *widths, outputs = (_number(text, "mlp", one, "width") for one in tokens[1:])
    return Spec("mlp", shape, None, tuple(("dense", width) for width in widths), outputs)


def _read_cnn(text: str, tokens: list[str]) -> Spec:
    shape = _shape(text, "cnn", tokens[0], (3,))
    height, width = shape[1:]
    layers: list[tuple[str, int]] = []
    for token in tokens[1:-1]:
        kind = "pool" if token == "p" else "conv" if token[0] == "c" else "dense"
        number = 2 if token == "p" else _integer(token.removeprefix("c"))
        if number is None:
            raise _wrong(text, "cnn", f"`{token}` is no layer of a cnn")
        if kind != "dense" and layers and layers[-1][0] == "dense":
            raise _wrong(text, "cnn", f"`{token}` comes after a dense layer")
        if kind == "pool":
            height, width = height // 2, width // 2
        if not (height and width):
            raise _wrong(
                text,
                "cnn",
                f"`{token}` number {layers.count(('pool', 2)) + 1} pools the image away",
            )
        layers.append((kind, number))
    outputs = _number(text, "cnn", tokens[-1], "number of outputs")
    return Spec("cnn", shape, None, tuple(layers), outputs)


def _sequence(text: str, family: str, token: str) -> tuple[tuple[int, ...], int | None]:
    """Read `8x8` (length x features) or `v50x16` (vocabulary x length)."""
    shape = _shape(text, family, token.removeprefix("v"), (2,))
    return ((shape[1],), shape[0]) if token.startswith("v") else (shape, None)


def _read_transformer(text: str, tokens: list[str]) -> Spec:
    shape, vocabulary = _sequence(text, "transformer", tokens[0])
    layers: list[tuple[str, int]] = []
    for token, (letter, kind) in zip(tokens[1:4], TRANSFORMER_PARTS.items(), strict=False):
        number = _integer(token[1:]) if token.startswith(letter) else None
        if number is None:
            raise _wrong(
                text, "transformer", f"`{token}` stands where `{letter}K` ({kind}) belongs"
            )
        layers.append((kind, number))
    if len(tokens) != 5:
        what = f"`{tokens[5]}` is one too many" if len(tokens) > 5 else "the outputs are missing"
        raise _wrong(text, "transformer", what)
    (_, width), (_, heads), _ = layers
    if width % heads:
        raise _wrong(text, "transformer", f"`d{width}` is not a multiple of `h{heads}`")
    outputs = _number(text, "transformer", tokens[4], "number of outputs")
    return Spec("transformer", shape, vocabulary, tuple(layers), outputs)


def _read_rnn(text: str, tokens: list[str]) -> Spec:
    shape, vocabulary = _sequence(text, "rnn", tokens[0])
    *widths, outputs = (_number(text, "rnn", one, "width") for one in tokens[1:])
    if not widths:
        raise _wrong(text, "rnn", "no hidden width is given")
    return Spec("rnn", shape, vocabulary, tuple(("recurrent", one) for one in widths), outputs)


READERS: dict[str, Callable[[str, list[str]], Spec]] = {
    "mlp": _read_mlp,
    "cnn": _read_cnn,
    "transformer": _read_transformer,
    "rnn": _read_rnn,
}


def _with_option(text: str, spec: Spec, option: str) -> Spec:
    """Apply one `key=value` (or the flag `causal`) to a spec."""
    key, equals, value = option.partition("=")
    if key not in OPTIONS:
        raise UsageError(
            f"`{text}`: there is no option `{key}`; {closest(key, OPTIONS, most=len(OPTIONS))}",
            hint=f"options follow the layers: `{EXAMPLES[spec.family]},act=tanh`",
        )
    if key == "causal":
        if equals or spec.family != "transformer":
            raise _misplaced(text, "`causal` is a flag of a transformer", "transformer", "causal")
        return replace(spec, causal=True)
    if key == "gain":
        return replace(spec, gain=_gain(text, value))
    allowed = CHOICES[key].get(spec.family)
    if allowed is None:
        where = next(iter(CHOICES[key]))
        raise _misplaced(
            text, f"a {spec.family} has no `{key}`", where, f"{key}={CHOICES[key][where][0]}"
        )
    if value not in allowed:
        raise UsageError(
            f"`{text}`: `{key}` of a {spec.family} cannot be `{value}`; {closest(value, allowed)}",
            hint=f"`{key}` is one of {', '.join(allowed)}",
        )
    change: dict[str, Any] = {key: value}
    return replace(spec, **change)


def _misplaced(text: str, what: str, family: str, option: str) -> UsageError:
    return UsageError(f"`{text}`: {what}", hint=f"for example `{EXAMPLES[family]},{option}`")


def _gain(text: str, value: str) -> float:
    try:
        gain = float(value)
    except ValueError:
        gain = math.nan
    if not (0 < gain < math.inf):
        raise UsageError(
            f"`{text}`: `gain` cannot be `{value}`, a positive number is expected",
            hint=f"for example `{EXAMPLES['mlp']},init=he,gain=1.4`",
        )
    return gain
