"""Putting weights into a network, after making sure that they belong there."""

import re
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nncli.checkpoints.state_dicts import Shape, StateDict, find_state_dict, spell
from nncli.errors import MismatchError, NncliWarning, closest
from nncli.formats.tensors import TensorFile
from nncli.formats.torch_files import TorchFile

SHOWN = 3
# torch.nn.LSTM and its kin keep all layers in one module: `weight_ih_l0`, `weight_ih_l1`
LAYERED = re.compile(r"(weight|bias)_(ih|hh)_l(\d+)$")


def load_weights(module: nn.Module, file: TensorFile, *, arch: str) -> None:
    """Put the weights of a file into a network.

    Everything is compared by name and shape before the first number is read.

    Args:
        module: The network; becomes float64 if all weights are.
        file: The file.
        arch: What the network was built from, for messages.

    Raises:
        MismatchError: Weights are missing, superfluous or of another shape.
        ArtifactError: There are none in the file, or they cannot be read.

    Warns:
        NncliWarning: Something was taken off the names, left out or matched by its place.
    """
    own = module.state_dict()
    expected = {name: tuple(one.shape) for name, one in own.items()}
    state = find_state_dict(file, expected)
    state = _matched_by_order(state, expected)
    _demand_fit(state, own, module, arch)
    _demand_shapes(state, expected, arch)
    kinds = {file.specs[state.names[name]].dtype for name in state.names if name in own}
    if kinds & {"F64"} and not kinds & {"F32", "F16", "BF16"}:
        module.double()
        own = module.state_dict()
    with torch.no_grad():
        for name, full in state.names.items():
            if name in own:
                own[name].copy_(torch.from_numpy(file.read(full)))


def _demand_shapes(state: StateDict, expected: Mapping[str, Shape], arch: str) -> None:
    wrong = [
        f"`{name}` is {spell(state.shape(name))} in the file and {spell(expected[name])} there"
        for name in expected
        if name in state.names and state.shape(name) != expected[name]
    ]
    if wrong:
        raise MismatchError(
            f"the weights of `{state.file.name}` do not fit `{arch}`: {_listed(wrong, '; ')}",
            hint="give the `--arch` that the weights were trained with",
        )


def _demand_fit(state: StateDict, own: Mapping[str, Tensor], module: nn.Module, arch: str) -> None:
    """Refuse missing and superfluous weights; counters and indices may be either."""
    trained = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    shared = {own[name].data_ptr() for name in own if name in state.names}
    missing = [
        name
        for name, one in own.items()
        if name not in state.names and (one.data_ptr() not in shared or not one.numel())
    ]
    fatal = [name for name in missing if name in trained or own[name].is_floating_point()]
    extra = [name for name in state.names if name not in own]
    heavy = [name for name in extra if _is_weight(state, name)]
    if fatal:
        near = closest(fatal[0], extra) if extra else "nothing in it is left over"
        raise MismatchError(
            f"`{state.file.name}` lacks weights of `{arch}`: {_listed(fatal)}; of "
            f"`{fatal[0]}`, {near}",
            hint=f"it holds {state.told()}; give the `--arch` that it was trained with",
        )
    if heavy:
        raise MismatchError(
            f"`{state.file.name}` holds weights that `{arch}` has no place for: {_listed(heavy)}",
            hint=f"the network has {_listed(list(own))}; give the `--arch` of the whole network",
        )
    for what, names in (("lacks", missing), ("holds more than is needed:", extra)):
        if names:
            warnings.warn(
                f"`{state.file.name}` {what} {_listed(names)}; these are no weights, so it does "
                "not matter",
                NncliWarning,
                stacklevel=2,
            )


def _is_weight(state: StateDict, name: str) -> bool:
    spec = state.file.specs[state.names[name]]
    return bool(spec.shape) and not spec.dtype.startswith(("I", "U", "BOOL"))


def _listed(names: Sequence[str], between: str = ", ") -> str:
    shown = [one if " " in one else f"`{one}`" for one in names[:SHOWN]]
    rest = len(names) - len(shown)
    return between.join(shown) + (f" and {rest} more" if rest else "")


def _matched_by_order(state: StateDict, expected: Mapping[str, Shape]) -> StateDict:
    """Rename weights that have other names but are, layer by layer, of the same shapes.

    So the weights of somebody's own `fc1`, `fc2` can be read as `block.0`, `head`. It is done only
    if no name agrees at all and every layer does, and it is said.
    """
    if not expected or any(name in expected for name in state.names):
        return state
    found = _layers({name: state.shape(name) for name in state.names})
    if not isinstance(state.file, TorchFile):  # such files have lost the order of the layers
        found = sorted(found, key=lambda layer: _natural(layer[0]))
    wanted = _layers(expected)
    if [leaves.keys() for _, leaves in found] != [leaves.keys() for _, leaves in wanted]:
        return state
    names: dict[str, str] = {}
    for (_, theirs), (_, ours) in zip(found, wanted, strict=True):
        for leaf, name in ours.items():
            if expected[name] != state.shape(theirs[leaf]):
                return state
            names[name] = state.names[theirs[leaf]]
    pairs = [f"{full} as {name}" for name, full in names.items()]
    warnings.warn(
        f"`{state.file.name}` names its weights in its own way, they were matched by their order "
        f"and shapes: {_listed(pairs)}",
        NncliWarning,
        stacklevel=2,
    )
    return StateDict(state.file, state.key, names)


def _layers(shapes: Mapping[str, Shape]) -> list[tuple[str, dict[str, str]]]:
    """Weights by the module that holds them: its path, and for each leaf the full name."""
    layers: dict[str, dict[str, str]] = {}
    for name in shapes:
        path, _, leaf = LAYERED.sub(r"\3.\1_\2", name).rpartition(".")
        layers.setdefault(path, {})[leaf] = name
    return list(layers.items())


def _natural(path: str) -> list[tuple[int, str]]:
    """A sorting key under which `layer.2` comes before `layer.10`."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path)
    ]
