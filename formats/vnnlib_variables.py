"""The inputs and outputs that a VNN-LIB file declares, in both versions of the language."""

import re
from collections.abc import Sequence
from math import prod

from nncli.errors import closest
from nncli.formats.vnnlib_tokens import Tokens

PLAIN = re.compile(r"([XY])_(\d+)")
ELEMENT = re.compile(r"([^\s\[]+)\s*(?:\[([^\]]*)\])?")
REALS = ("real", "float16", "float32", "float64", "bfloat16")
ONE_NETWORK = "one network with one input and one output tensor is read"


class Variables:
    """Variables by what they are called in the text.

    Attributes:
        inputs: Numbers that go in.
        outputs: Numbers that come out.
        shape: Shape of one input, where the file says it.
    """

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.shape: tuple[int, ...] | None = None
        self._declared: dict[str, dict[int, int]] = {"X": {}, "Y": {}}  # index: place of the token
        self._tensors: dict[str, tuple[str, tuple[int, ...]]] = {}  # name: side, shape
        self._places: dict[str, int] = {}  # word: place of an input, or ~place of an output
        self._networks = 0

    @property
    def inputs(self) -> int:
        """Numbers that go in."""
        return len(self._declared["X"])

    @property
    def outputs(self) -> int:
        """Numbers that come out."""
        return len(self._declared["Y"])

    def declare(self, place: int, words: Sequence[object]) -> None:
        """Take down `(declare-const X_0 Real)` or `(declare-fun X_0 () Real)`.

        Args:
            place: Place of the token, for errors.
            words: Name and type.

        Raises:
            ArtifactError: It is not of that form, or declared twice.
        """
        form = "expected `(declare-const X_0 Real)`"
        if len(words) != 2 or not all(isinstance(word, str) for word in words):
            raise self.tokens.error(place, form)
        name, kind = str(words[0]), str(words[1])
        found = PLAIN.fullmatch(name)
        if not found:
            raise self.tokens.error(
                place, f"`{name}` is neither an input `X_0`, `X_1`, ... nor an output `Y_0`, ..."
            )
        self._demand_real(place, name, kind)
        side, index = found[1], int(found[2])
        if index in self._declared[side]:
            raise self.tokens.error(place, f"`{name}` is declared twice")
        self._declared[side][index] = place
        self._places[name] = index if side == "X" else ~index

    def tensor(self, place: int, side: str, words: Sequence[object]) -> None:
        """Take down `(declare-input X Real [1,28,28])`.

        Args:
            place: Place of the token, for errors.
            side: `X` for an input, `Y` for an output.
            words: Name, type with shape, and perhaps the name in the ONNX file.

        Raises:
            ArtifactError: It is not of that form, or there is such a tensor already.
        """
        form = f"expected `(declare-{'input' if side == 'X' else 'output'} {side} Real [1,28,28])`"
        if not 2 <= len(words) <= 3 or not all(isinstance(word, str) for word in words):
            raise self.tokens.error(place, form)
        name = str(words[0])
        found = ELEMENT.fullmatch(str(words[1]))
        shape = _indices(found[2]) if found else None
        if found is None or shape is None or "[" in name:
            raise self.tokens.error(place, form)
        self._demand_real(place, name, found[1])
        if name in self._tensors:
            raise self.tokens.error(place, f"`{name}` is declared twice")
        if self._declared[side]:
            what = "input" if side == "X" else "output"
            raise self.tokens.error(place, f"a second {what} tensor, `{name}`; {ONE_NETWORK}")
        if prod(shape) == 0 or prod(shape) > 1 << 26:
            raise self.tokens.error(place, f"`{name}` has {prod(shape):,} numbers")
        self._tensors[name] = side, shape
        self._declared[side] = dict.fromkeys(range(prod(shape)), place)
        if side == "X":
            self.shape = shape

    def network(self, place: int, name: object) -> None:
        """Take down `(declare-network f ...)`.

        Raises:
            ArtifactError: It is the second one, or has no name.
        """
        self._networks += 1
        if self._networks > 1:
            raise self.tokens.error(place, f"a second network; {ONE_NETWORK}")
        if not isinstance(name, str):
            raise self.tokens.error(place, "expected `(declare-network NAME ...)`")

    def known(self, word: str) -> int | None:
        """Which number a word stands for.

        Args:
            word: `X_3`, or `X[0,3]`.

        Returns:
            Its place among the inputs, or for an output `~place`; `None` if it is none.
        """
        place = self._places.get(word)
        if place is None and self._tensors:
            place = self._element(word)
            if place is not None:
                self._places[word] = place
        return place

    def _element(self, word: str) -> int | None:
        found = ELEMENT.fullmatch(word)
        if found is None or found[1] not in self._tensors:
            return None
        side, shape = self._tensors[found[1]]
        indices = _indices(found[2] or "")
        if indices is not None and shape == () and indices in ((), (0,)):
            return 0 if side == "X" else ~0
        if indices is None or len(indices) != len(shape):
            return None
        place = 0
        for index, size in zip(indices, shape, strict=True):
            if index >= size:
                return None
            place = place * size + index
        return place if side == "X" else ~place

    def unknown(self, place: int, word: str) -> Exception:
        """The error for a word that is neither a number nor declared."""
        if self._tensors:
            shapes = (f"`{one}{_shape_text(shape)}`" for one, (_, shape) in self._tensors.items())
            known = "tensors are " + " and ".join(shapes)
        else:
            names = sorted(self._places, key=lambda one: (one[0], int(one[2:])))
            known = closest(word, names) if names else "nothing is declared before this line"
        return self.tokens.error(place, f"`{word}` is neither a number nor declared; {known}")

    def line_place(self, index: int) -> int:
        """Place of the token that declares an input."""
        return self._declared["X"][index]

    def name_of(self, index: int) -> str:
        """What the file calls an input."""
        for name, (side, shape) in self._tensors.items():
            if side == "X":
                where = []
                for size in reversed(shape):
                    index, rest = divmod(index, size)
                    where.append(rest)
                return name + _shape_text(tuple(reversed(where))) if shape else name
        return f"X_{index}"

    def demand_complete(self) -> None:
        """Refuse a file without inputs or outputs, or with gaps in their numbers.

        Raises:
            ArtifactError: Something is missing.
        """
        for side, what in (("X", "inputs"), ("Y", "outputs")):
            there = self._declared[side]
            if not there:
                hint = f"`(declare-const {side}_0 Real)` declares one"
                raise self.tokens.error(
                    len(self.tokens.words), f"the file declares no {what}", hint=hint
                )
            for index in range(len(there)):
                if index not in there:
                    last = max(there)
                    raise self.tokens.error(
                        there[last], f"`{side}_{last}` is declared, but `{side}_{index}` is not"
                    )

    def _demand_real(self, place: int, name: str, kind: str) -> None:
        if kind.lower() not in REALS:
            raise self.tokens.error(
                place, f"`{name}` is of type `{kind}`, expected `Real`: only real numbers are read"
            )


def _indices(text: str | None) -> tuple[int, ...] | None:
    """The numbers in brackets; `None` if they are none."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else None


def _shape_text(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
