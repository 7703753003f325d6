"""Which of the tensors in a file are the weights of a network, and what they are called there.

A file may be a bare state dict, or keep one under a key beside optimisers and counters, one or two
levels deep, and wrappers of the network may have left their prefix on every name.
"""

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nncli.errors import ArtifactError, NncliWarning
from nncli.formats.tensors import TensorFile
from nncli.formats.torch_files import TorchFile

# where tools put the weights, the likeliest first
KEYS = ("", "state_dict", "model_state_dict", "model_state", "model", "module", "net", "network")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
NO_WEIGHTS = re.compile(r"optim|sched|scaler|(^|[/_])rng|(^|/)(lr|loss|metrics)")
SHOWN = 4

Shape = tuple[int, ...]


@dataclass(frozen=True)
class StateDict:
    """The weights in a file.

    Attributes:
        file: The file.
        key: Where in the file they are, empty for the top.
        names: For each weight its name in the file.
    """

    file: TensorFile
    key: str
    names: dict[str, str]

    def shape(self, name: str) -> Shape:
        """The shape of a weight."""
        return self.file.specs[self.names[name]].shape

    def told(self) -> str:
        """The first weights with their shapes, for messages."""
        shown = [f"`{name}` {spell(self.shape(name))}" for name in list(self.names)[:SHOWN]]
        rest = len(self.names) - len(shown)
        return ", ".join(shown) + (f" and {rest} more" if rest else "")


def spell(shape: Shape) -> str:
    """A shape as people write it."""
    return "x".join(map(str, shape)) or "single number"


def find_state_dict(file: TensorFile, expected: Mapping[str, Shape]) -> StateDict:
    """Find the weights in a file.

    Args:
        file: The tensors.
        expected: Names and shapes that the network has; empty if it is not known.

    Returns:
        The state dict that fits the network best; of equals the one under the usual key.

    Raises:
        ArtifactError: There are no tensors in it.

    Warns:
        NncliWarning: The weights lay under a key, or a prefix was taken off their names.
    """
    groups = _groups(file)
    if not groups:
        raise ArtifactError(
            f"`{file.name}` holds no tensors", hint="`nncli show` tells what is in a file"
        )
    ranked = sorted(groups, key=lambda key: _rank(file, groups[key], key, expected))
    key = ranked[0]
    names = groups[key]
    if key:
        left = _tops(file, key)
        warnings.warn(
            f"`{file.name}`: the weights are those under `{key}`"
            + (f"; left alone: {left}" if left else ""),
            NncliWarning,
            stacklevel=2,
        )
    prefix = common_prefix(names, expected)
    if prefix:
        warnings.warn(
            f"`{file.name}`: `{prefix}` was taken off the names of the weights",
            NncliWarning,
            stacklevel=2,
        )
    return StateDict(file, key, {name.removeprefix(prefix): full for name, full in names.items()})


def _groups(file: TensorFile) -> dict[str, dict[str, str]]:
    """The tensors by the key they lie under; only files of torch have such levels."""
    if not isinstance(file, TorchFile):
        return {"": {name: name for name in file.specs}} if file.specs else {}
    groups: dict[str, dict[str, str]] = {}
    for full in file.specs:
        key, _, name = full.rpartition("/")
        groups.setdefault(key, {})[name] = full
    return {key: names for key, names in groups.items() if not NO_WEIGHTS.search(key)} or groups


def _rank(
    file: TensorFile, names: Mapping[str, str], key: str, expected: Mapping[str, Shape]
) -> tuple[int, int, int]:
    """Smaller is likelier: what fits the network, then the usual keys, then many tensors."""
    prefix = common_prefix(names, expected)
    fitting = sum(
        expected.get(name.removeprefix(prefix)) == file.specs[full].shape
        for name, full in names.items()
    )
    last = key.rpartition("/")[2]
    return -fitting, KEYS.index(last) if last in KEYS else len(KEYS), -len(names)


def common_prefix(names: Iterable[str], expected: Iterable[str]) -> str:
    """The prefix that wrappers put before every name and that the network does not have."""
    left, wanted, prefix = list(names), list(expected), ""
    while True:
        found = next((one for one in PREFIXES if all(name.startswith(one) for name in left)), None)
        if found is None or any(name.startswith(found) for name in wanted):
            return prefix
        prefix += found
        left = [name.removeprefix(found) for name in left]


def _tops(file: TensorFile, key: str) -> str:
    """The keys at the top of a file besides the one that was taken."""
    assert isinstance(file, TorchFile)
    inside = file.inside.contents
    tops = dict.fromkeys(name.partition("/")[0] for name in [*inside.tensors, *inside.values])
    others = [f"`{one}`" for one in tops if one != key.partition("/")[0]]
    return ", ".join(others[:SHOWN]) + (" ..." if len(others) > SHOWN else "")


def suggested_arch(state: StateDict) -> str | None:
    """The spec of the plain mlp that the weights could be, if each layer feeds the next."""
    widths: list[int] = []
    for name in state.names:
        shape = state.shape(name)
        if len(shape) == 2 and name.endswith("weight"):
            outputs, inputs = shape
            if widths and widths[-1] != inputs:
                return None
            widths += [outputs] if widths else [inputs, outputs]
        elif not (len(shape) == 1 and name.endswith("bias")):
            return None
    return "mlp:" + "-".join(map(str, widths)) if widths else None
