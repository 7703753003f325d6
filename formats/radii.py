"""How far each number of an input may be changed: one number for each, in a file."""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from nncli.errors import ArtifactError, MismatchError
from nncli.formats.any_tensors import FORMATS as TENSORS
from nncli.formats.any_tensors import numeric, open_any_tensors
from nncli.formats.exact_numbers import FORMS, brief, exact_number
from nncli.formats.packed_text import packed_text
from nncli.formats.sources import Source, open_source

WANTED = "a number for each input: one tensor, or numbers with commas or blanks between them"


@dataclass(frozen=True)
class Radii:
    """A number for each input.

    Attributes:
        name: The file as given.
        digest: SHA-256 of its bytes.
        shape: The shape of the tensor; of text how many numbers there are.
        values: The numbers in order, exactly: text means what it says, tensors what they store.
    """

    name: str
    digest: str
    shape: tuple[int, ...]
    values: tuple[Fraction, ...]

    def demand_fit(self, shape: tuple[int, ...]) -> None:
        """Refuse another number of radii than inputs have, or another arrangement.

        Args:
            shape: Shape of one input.

        Raises:
            MismatchError: They do not fit.
        """
        if self.shape not in (shape, (math.prod(shape),), (1, *shape)):
            raise MismatchError(
                f"`{self.name}` holds radii of shape {list(self.shape)}, inputs have {list(shape)}",
                hint="give one number for each number of an input, in the order of its flat vector",
            )


def read_radii(name: str) -> Radii:
    """Read radii.

    Args:
        name: A file of one tensor (safetensors, .npy, .npz) or of text, or `-`.

    Returns:
        The radii.

    Raises:
        ArtifactError: It holds something else, or a number that is negative or not finite.
    """
    source = open_source(name)
    if source.format in TENSORS:
        return _of_tensor(source)
    with source:
        return _of_text(source)


def _of_text(source: Source) -> Radii:
    values = []
    for number, line in enumerate(packed_text(source, WANTED).splitlines(), 1):
        for text in re.split(r"[\s,;]+", line.partition("#")[0].strip()):
            if not text:
                continue
            value = exact_number(text)
            if value is None or value < 0:
                wrong = "is no number" if value is None else "is negative"
                where = f"`{source.name}`, line {number}"
                raise ArtifactError(
                    f"{where}: the radius `{brief(text)}` {wrong}, expected {FORMS}"
                )
            values.append(value)
    if not values:
        raise ArtifactError(f"`{source.name}` holds no number, expected {WANTED}")
    return Radii(source.name, source.digest, (len(values),), tuple(values))


def _of_tensor(source: Source) -> Radii:
    with open_any_tensors(source) as file:
        found = list(numeric(file))
        if len(found) != 1:
            listed = ", ".join(f"`{one}`" for one in found[:3])
            count = f"{len(found)} tensors of numbers ({listed})" if found else "no tensor"
            raise ArtifactError(f"`{source.name}` holds {count}, expected {WANTED}")
        array, digest = file.read(found[0]), file.digest
    flat = array.astype(np.float64).reshape(-1)
    if not len(flat):
        raise ArtifactError(f"`{source.name}` holds no number, expected {WANTED}")
    wrong = np.flatnonzero(~(np.isfinite(flat) & (flat >= 0)))
    if len(wrong):
        place = [int(one) for one in np.unravel_index(wrong[0], array.shape)]
        raise ArtifactError(
            f"`{source.name}`: the radius at {place} is {flat[wrong[0]]:g}, expected a number that "
            "is not negative"
        )
    values = tuple(Fraction(float(one)) for one in flat)
    return Radii(source.name, digest, tuple(array.shape), values)
