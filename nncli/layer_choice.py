"""Which layers of a network to keep: those asked for, or the blocks it is made of."""

import warnings
from collections.abc import Iterator, Sequence

from torch import nn

from nncli.errors import ArtifactError, MismatchError, NncliWarning
from nncli.layer_names import matches, select_layers
from nncli.reductions import MAPS, TOKENS, VECTOR, masked
from nncli.tracing import Layer

MOST = 64
# they put out what they are given, in another shape at most
PASSING = (
    "identity",
    "dropout",
    "dropout1d",
    "dropout2d",
    "flatten",
    "unflatten",
    "reshape",
    "cast",
)
LISTS = (nn.ModuleList, nn.ModuleDict)


def choose_layers(
    network: nn.Module, layers: Sequence[Layer], globs: Sequence[str], *, source: str
) -> list[Layer]:
    """Choose layers by name.

    Args:
        network: The network.
        layers: Its layers, from `trace`.
        globs: Patterns (`nncli.layer_names.matches`) over the names of layers, or of modules (all
            calls of them); none means `default_layers`.
        source: What the network is called, for errors.

    Returns:
        The chosen layers in the order of the network.

    Raises:
        ArtifactError: A pattern matches nothing, only modules that are never called, or only
            layers without a row for each example.

    Warns:
        NncliWarning: The default had to leave layers out.
    """
    if not globs:
        return default_layers(network, layers)
    usable = [one for one in layers if one.axis is not None]
    for glob in globs:
        if not any(_matches(one, glob) for one in usable):
            _explain(network, layers, glob, source)
    return [one for one in usable if any(_matches(one, glob) for glob in globs)]


def _matches(layer: Layer, glob: str) -> bool:
    return matches(layer.name, glob) or matches(layer.module, glob)


def _explain(network: nn.Module, layers: Sequence[Layer], glob: str, source: str) -> None:
    """Raise the error that says why a pattern matches no usable layer."""
    for layer in layers:
        if _matches(layer, glob):
            raise ArtifactError(
                f"layer `{layer.name}` of `{source}` puts out {layer.shape} whatever the number of "
                "examples: it has no row for each",
                hint="`--list-layers` shows the layers that have",
            )
    for path, _ in network.named_modules():
        if path and matches(path, glob):
            raise ArtifactError(
                f"module `{path}` of `{source}` is never called in a forward pass, or returns no "
                "tensor",
                hint="a list of blocks is no layer, its items are: see `--list-layers`",
            )
    select_layers([one.name for one in layers if one.axis is not None], [glob], source=source)


def default_layers(network: nn.Module, layers: Sequence[Layer]) -> list[Layer]:
    """The blocks of a network, and what stands beside them (embedding, head).

    Lists of modules and sequences of modules are opened: their items are blocks, and a block is not
    opened further. Another module is opened if there is such a list or sequence inside it. What
    only drops out or changes the shape is left out. Of more than 64, 64 are taken at even
    distances, the first and the last among them. A network without modules of its own has its
    output.

    Args:
        network: The network.
        layers: Its layers, from `trace`.

    Returns:
        The chosen layers in the order of the network.

    Warns:
        NncliWarning: There were more than 64.
    """
    called = {one.module for one in layers if one.module}
    units = set(_units(network, "", called))
    usable = [one for one in layers if one.axis is not None]
    chosen = [one for one in usable if one.module in units and not _passes(one)]
    if not chosen:
        return [one for one in usable if not one.module] or usable[-1:]
    if len(chosen) <= MOST:
        return chosen
    warnings.warn(
        f"{len(chosen)} layers: {MOST} of them are taken, at even distances; "
        "`--layer` chooses others",
        NncliWarning,
        stacklevel=2,
    )
    return [chosen[round(place * (len(chosen) - 1) / (MOST - 1))] for place in range(MOST)]


def _passes(layer: Layer) -> bool:
    """Whether a layer passes on what it is given; places in a graph go by their names."""
    names = {layer.kind.lower(), layer.module.rpartition(".")[2].lower()}
    return layer.parameters == 0 and not names.isdisjoint(PASSING)


def _units(module: nn.Module, path: str, called: set[str]) -> Iterator[str]:
    """The paths at which opening stops, below one module."""
    listing = isinstance(module, LISTS) or type(module) is nn.Sequential
    for name, child in module.named_children():
        place = f"{path}.{name}" if path else name
        block = listing and place in called
        if not block and (place not in called or _holds_list(child)):
            yield from _units(child, place, called)
        else:
            yield place


def _holds_list(module: nn.Module) -> bool:
    """Whether a list or sequence of modules is somewhere inside, or is the module itself."""
    return any(isinstance(one, LISTS) or type(one) is nn.Sequential for one in module.modules())


def demand_reducible(layers: Sequence[Layer], how: str, tokens: int | None, *, source: str) -> None:
    """Refuse a reduction that a layer has not.

    Args:
        layers: The layers to keep.
        how: A key of `nncli.reductions.REDUCTIONS`.
        tokens: Tokens that the mask of the data speaks of, `None` without a mask.
        source: What the network is called, for errors.

    Raises:
        MismatchError: `last` or `cls` of maps; or positions that the mask does not speak of.
    """
    for layer in layers:
        if layer.layout == MAPS and how in ("last", "cls"):
            raise MismatchError(
                f"layer `{layer.name}` of `{source}` puts out maps {layer.shape}, which have no "
                f"{'last' if how == 'last' else 'first'} position",
                hint="use `--reduce mean` or `positions`, or leave it out with `--layer`",
            )
        positional = how in ("mean", "last", "cls", "positions") and layer.layout != VECTOR
        if positional and tokens and not masked(layer.shape, layer.layout, tokens):
            there = f"{layer.shape[0]} tokens" if layer.layout == TOKENS else "maps"
            raise MismatchError(
                f"layer `{layer.name}` of `{source}` has {there}, the mask of the data has "
                f"{tokens}: which positions are padding is not known",
                hint="use `--reduce none`, or leave it out with `--layer`",
            )
