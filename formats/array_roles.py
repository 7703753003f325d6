"""Which array of a file plays which part in a dataset, by its name.

A file may hold one dataset, or one for each split: `x_train`, `y_train`, `x_test`, `y_test` as in
MNIST's mnist.npz, or `train_images`, `train_labels`, `val_images`, ... as in MedMNIST.
"""

import warnings
from collections.abc import Iterable, Mapping

from nncli.errors import ArtifactError, NncliWarning
from nncli.formats.dataset_rows import FACTOR_PREFIX, MASK_NAMES
from nncli.formats.labels import LABEL_NAMES
from nncli.formats.splits import PART_OF
from nncli.formats.tensors import TensorFile

UNDIVIDED = ""
INPUT_NAMES = (
    "x",
    "X",
    "images",
    "image",
    "data",
    "features",
    "inputs",
    "input_ids",
    "array",
    "arr_0",
)
ROLES = {
    **dict.fromkeys(INPUT_NAMES, "x"),
    **dict.fromkeys(LABEL_NAMES, "y"),
    **dict.fromkeys(MASK_NAMES, "mask"),
    "example_id": "example_id",
    "split": "split",
    "text": "text",
}


def find_parts(file: TensorFile) -> dict[str, dict[str, str]]:
    """Sort the arrays of a file by split and role.

    Returns:
        For each split (`UNDIVIDED` alone for a file with one dataset) the name of the array for
        each role: `x`, `y`, `mask`, `example_id`, `split`, `text`; arrays without a role come
        under their own name.

    Raises:
        ArtifactError: There are no inputs, or two arrays for one role.
    """
    whole = _by_role(file, {name: name for name in file.specs})
    if _is_dataset(whole):
        return {UNDIVIDED: whole}
    named: dict[str, dict[str, str]] = {}
    for name in file.specs:
        part, base = _split_name(name)
        named.setdefault(part, {})[name] = base
    parts = {part: _by_role(file, names) for part, names in named.items() if part != UNDIVIDED}
    if not parts or not all(map(_is_dataset, parts.values())):
        raise ArtifactError(
            f"`{file.name}` holds no inputs; it holds {_listing(file)}",
            hint="call the inputs `x` and the labels `y`, or `x_train`, `y_train`, `x_test`, "
            "`y_test` (further names are in the documentation of data)",
        )
    warn_left_out(file, named.get(UNDIVIDED, {}))
    return parts


def _is_dataset(roles: Mapping[str, str]) -> bool:
    return "x" in roles or "text" in roles


def _by_role(file: TensorFile, names: Mapping[str, str]) -> dict[str, str]:
    """The array for each role, from arrays and what they are called without their split."""
    found: dict[str, str] = {}
    for name, base in names.items():
        role = ROLES.get(base, base)
        if role in found:
            raise ArtifactError(
                f"`{file.name}` holds `{found[role]}` and `{name}`, either could be `{role}`",
                hint=f"keep one, or call the other `{FACTOR_PREFIX}...`",
            )
        found[role] = name
    return found


def _split_name(name: str) -> tuple[str, str]:
    """The split and the rest: `x_train` and `train_x` are the training part of `x`."""
    first, _, rest = name.partition("_")
    if first in PART_OF and rest in ROLES:
        return PART_OF[first], rest
    base, _, last = name.rpartition("_")
    if last in PART_OF and base in ROLES:
        return PART_OF[last], base
    return UNDIVIDED, name


def _listing(file: TensorFile) -> str:
    shown = [f"`{name}` {one.dtype} {list(one.shape)}" for name, one in file.specs.items()]
    more = f" and {len(shown) - 8} more" if len(shown) > 8 else ""
    return ", ".join(shown[:8]) + more if shown else "no arrays"


def warn_left_out(file: TensorFile, names: Iterable[str]) -> None:
    """Tell that some arrays are not used."""
    listed = ", ".join(f"`{name}`" for name in names)
    if listed:
        warnings.warn(
            f"{listed} in `{file.name}` left out: not as many rows as the inputs",
            NncliWarning,
            stacklevel=2,
        )
