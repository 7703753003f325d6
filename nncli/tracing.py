"""The layers of a network: which modules are called, in what order, with what shapes.

A layer is one call of one module. Its name is the path of the module (`block.0`, `head`); a module
that is called several times in a forward pass has a layer for each call (`act:1`, `act:2`). The
whole network is the layer `output` (of what is put in: `input`), unless a module has that name.

Of a module that returns several tensors the first counts (`nncli.forward.first_tensor`).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from nncli.forward import Batch, first_tensor, run
from nncli.reductions import layout_of

PLACES = ("output", "input")
INPUT_NAMES = ("hidden_states", "x", "input", "inputs", "input_ids", "inputs_embeds")
# in PyTorch what these put out has its channels before its one dimension of positions
ONE_DIMENSIONAL = (
    nn.Conv1d,
    nn.ConvTranspose1d,
    nn.BatchNorm1d,
    nn.InstanceNorm1d,
    nn.MaxPool1d,
    nn.AvgPool1d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveMaxPool1d,
)
Seen = Callable[[str, int, Tensor], None]


@dataclass(frozen=True)
class Layer:
    """One call of one module.

    Attributes:
        name: The path of the module; with `:1`, `:2`, ... if there are several calls.
        module: The path of the module; the empty text is the whole network.
        call: Which call of the module in a forward pass, from 1.
        kind: The class of the module.
        parameters: Numbers in its parameters.
        shape: Shape of the activation for one example, without the batch.
        axis: Which dimension of the activation counts the examples; `None` if none does.
        layout: `vector`, `tokens` or `maps`; see `nncli.reductions`.
    """

    name: str
    module: str
    call: int
    kind: str
    parameters: int
    shape: tuple[int, ...]
    axis: int | None
    layout: str

    @property
    def size(self) -> int:
        """Numbers in the activation of one example."""
        return torch.Size(self.shape).numel()


@contextmanager
def watched(modules: Mapping[str, nn.Module], at: str, seen: Seen) -> Iterator[None]:
    """Report what passes through modules while the context is open.

    Args:
        modules: The modules by path.
        at: `output`, or `input` for what they are given.
        seen: Called with the path, the number of the call, from 1, and the tensor, at once: later
            modules may change it in place.
    """
    calls: Counter[str] = Counter()

    def note(path: str, value: Any) -> None:
        calls[path] += 1
        tensor = first_tensor(value, INPUT_NAMES) if at == "input" else first_tensor(value)
        if tensor is not None:
            seen(path, calls[path], tensor)

    with ExitStack() as hooks:
        for path, module in modules.items():
            hooks.callback(_hook(module, path, at, note).remove)
        yield


def _hook(module: nn.Module, path: str, at: str, note: Callable[[str, Any], None]) -> Any:
    if at == "input":

        def before(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            note(path, [*given, named])

        return module.register_forward_pre_hook(before, with_kwargs=True)

    def after(module: nn.Module, given: tuple[Any, ...], answer: Any) -> None:
        note(path, answer)

    return module.register_forward_hook(after)


def trace(network: nn.Module, batch: Batch, *, at: str = "output") -> list[Layer]:
    """Find the layers of a network by running it on one example, then on two.

    The dimension that grows from 1 to 2 counts the examples, wherever it stands.

    Args:
        network: The network, in evaluation mode.
        batch: At least one example; of a single one, the first dimension is taken to count.
        at: `output` or `input`.

    Returns:
        The layers in the order in which they are done (at `input`: begun).

    Raises:
        MismatchError: The network cannot take the data.
    """
    parts = [_part(batch, rows) for rows in (1, 2) if rows <= len(batch)]
    shapes = [_shapes(network, part, at) for part in parts]
    calls = Counter(path for path, _ in shapes[0])
    modules = dict(network.named_modules())
    layers = []
    for (path, call), shape in shapes[0].items():
        if len(parts) > 1:
            axis = _batch_axis(shape, shapes[1].get((path, call), shape))
        else:
            axis = 0 if shape[:1] == (1,) else None
        rest = shape if axis is None else shape[:axis] + shape[axis + 1 :]
        title, module = path or at, modules[path]
        layers.append(
            Layer(
                name=f"{title}:{call}" if calls[path] > 1 else title,
                module=path,
                call=call,
                kind=type(module).__name__,
                parameters=sum(one.numel() for one in module.parameters()),
                shape=rest,
                axis=axis,
                layout=layout_of(rest, channels_first=isinstance(module, ONE_DIMENSIONAL)),
            )
        )
    whole = [one for one in layers if one.module or at not in modules]
    if at == "input":
        return _with_layouts(whole[::-1], modules)[::-1]
    return _with_layouts(whole, modules)


def _with_layouts(layers: Sequence[Layer], modules: Mapping[str, nn.Module]) -> list[Layer]:
    """Tell channels x positions from tokens x features, which have two dimensions both.

    A module without parameters of its own (an activation, a block) is laid out like its neighbour,
    if it has the same shape: at `output` the layer done before it, at `input` the one begun after.
    """
    found: list[Layer] = []
    for layer in layers:
        own = next(modules[layer.module].parameters(recurse=False), None)
        like = bool(found) and own is None and found[-1].shape == layer.shape
        found.append(replace(layer, layout=found[-1].layout) if like else layer)
    return found


def _part(batch: Batch, rows: int) -> Batch:
    mask = None if batch.mask is None else batch.mask[:rows]
    return Batch(batch.start, batch.x[:rows], mask)


def _shapes(network: nn.Module, batch: Batch, at: str) -> dict[tuple[str, int], tuple[int, ...]]:
    shapes: dict[tuple[str, int], tuple[int, ...]] = {}

    def seen(path: str, call: int, tensor: Tensor) -> None:
        shapes[path, call] = tuple(tensor.shape)

    with torch.inference_mode(), watched(dict(network.named_modules()), at, seen):
        run(network, batch)
    return shapes


def _batch_axis(one: Sequence[int], two: Sequence[int]) -> int | None:
    """The dimension that is 1 for one example and 2 for two, all others being equal."""
    grown = [axis for axis in range(len(one)) if len(one) == len(two) and one[axis] != two[axis]]
    if len(grown) == 1 and (one[grown[0]], two[grown[0]]) == (1, 2):
        return grown[0]
    return None
