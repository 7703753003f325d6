"""A network that came as a graph (ONNX, torch.export), run step by step.

The graph is data: a list of steps, each a function from a fixed table. The layers that the graph
still knows by name are modules here, so that hooks capture and change their outputs as in any
network, and the weights are parameters, so that `torch.func` and optimisers see them.

A graph that can do one batch size only is fed in portions of that size, the last one filled up,
all of them one step at a time: so hooks see the batch as a whole, whatever its size.
"""

import warnings
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from nncli.checkpoints.graph import (
    DEVICE,
    ROWS,
    Graph,
    Step,
    Weight,
    demand_sound,
    filled,
    references,
)
from nncli.checkpoints.program_inputs import (
    completed,
    does_any_batch,
    joined,
    portions,
    rejoined,
)
from nncli.errors import MismatchError, NncliWarning


class Layer(nn.Module):
    """A named place in a graph; what comes in goes out."""

    def forward(self, value: Any) -> Any:
        """Return the value."""
        return value


class Program(nn.Module):
    """A graph as a module; a call gives its first result.

    Args:
        graph: The graph.

    Attributes with an underscore belong to the class: all other names are left to the layers.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._inputs, self._outputs, self._steps = graph.inputs, graph.outputs, graph.steps
        self._paths = {name: one.path for name, one in graph.weights.items()}
        self._batch_size: int | None = None
        for path in dict.fromkeys(layer for step in graph.steps for layer in step.layers):
            module_at(self, path)
        for one in graph.weights.values():
            _hold(self, one)
        self._expired = _last_uses(graph.steps, keep=graph.outputs)

    def forward(self, x: Tensor) -> Any:
        """Run the graph on examples (n, ...).

        Raises:
            MismatchError: The data do not fit, or a step fails on them.
        """
        return self._run(x, None)

    def _run(self, x: Tensor, mask: Tensor | None) -> Any:
        """Run the graph on examples (n, ...) and their mask (n, length)."""
        rows = x.shape[0]
        weights = {name: self._weight(path) for name, path in self._paths.items()}
        given = completed(self._inputs, x, mask)
        worlds = [
            weights
            | {wanted.name: part for wanted, part in zip(self._inputs, parts, strict=True)}
            | {DEVICE: x.device, ROWS: parts[0].shape[0]}
            for parts in portions(given, self._batch_size)
        ]
        for step, expired in zip(self._steps, self._expired, strict=True):
            self._take(step, worlds, rows)
            for world in worlds:
                for name in expired:
                    world.pop(name, None)
        return joined([world[self._outputs[0]] for world in worlds], rows, self._batch_size)

    def _take(self, step: Step, worlds: list[dict[str, Any]], rows: int) -> None:
        """Do one step in every portion, and let its first result pass through its layers."""
        results = [_called(step, world) for world in worlds]
        for path in step.layers:
            firsts = [found[0] for found in results]
            changed = self.get_submodule(path)(joined(firsts, rows, self._batch_size))
            for found, first in zip(
                results, rejoined(changed, firsts, rows, self._batch_size), strict=True
            ):
                found[0] = first
        for world, found in zip(worlds, results, strict=True):
            world.update(
                (name, one) for name, one in zip(step.results, found, strict=False) if name
            )

    def _weight(self, path: str) -> Tensor:
        owner, _, leaf = path.rpartition(".")
        return getattr(self.get_submodule(owner), leaf)  # type: ignore[no-any-return]


class MaskedProgram(Program):
    """A graph that takes the examples and a mask."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Any:
        """Run the graph on examples (n, length) and their mask (n, length), True at real tokens.

        Raises:
            MismatchError: The data do not fit, or a step fails on them.
        """
        return self._run(x, mask)


def program(graph: Graph, *, source: str) -> Program:
    """The module of a graph: one that takes a mask if the graph does.

    Args:
        graph: The graph.
        source: The file, for the error.

    Returns:
        The module. Where the graph was made for one batch size, it is found out whether it does
        others too.

    Raises:
        ArtifactError: It contradicts itself, or does not run.

    Warns:
        NncliWarning: It has several results.
    """
    demand_sound(graph, source=source)
    masked = any("mask" in one.name for one in graph.inputs[1:])
    found = (MaskedProgram if masked else Program)(graph).eval()
    declared = next(iter(graph.inputs[0].shape), None)
    if declared and not does_any_batch(found._run, graph.inputs, declared, source=source):
        found._batch_size = declared
    if len(graph.outputs) > 1:
        warnings.warn(
            f"`{source}` has {len(graph.outputs)} results; `{graph.outputs[0]}`, the first, counts",
            NncliWarning,
            stacklevel=2,
        )
    return found


def _called(step: Step, world: dict[str, Any]) -> list[Any]:
    try:
        result = step.function(
            *filled(step.positional, world),
            **{key: filled(one, world) for key, one in step.keywords.items()},
        )
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise MismatchError(
            f"{step.label} failed on these data: {str(error).splitlines()[0]}",
            hint="do the examples have the shape that the network was exported for?",
        ) from error
    return list(result) if step.spread else [result]


def module_at(root: nn.Module, path: str) -> nn.Module:
    """The module at a dotted path, made (a `Layer` at every level) where it is missing."""
    module = root
    for part in path.split(".") if path else ():
        if part not in module._modules:
            module.add_module(part, Layer())
        module = module.get_submodule(part)
    return module


def _hold(root: nn.Module, weight: Weight) -> None:
    """Keep a weight under its dotted name."""
    owner, _, leaf = weight.path.rpartition(".")
    module = module_at(root, owner)
    if weight.kind == "parameter":
        module.register_parameter(leaf, nn.Parameter(weight.tensor))
    else:
        module.register_buffer(leaf, weight.tensor, persistent=weight.kind == "buffer")


def _last_uses(steps: Sequence[Step], keep: Sequence[str]) -> list[list[str]]:
    """For each step, the names that nothing after it needs: they are forgotten, to save memory."""
    last: dict[str, int] = {}
    for place, step in enumerate(steps):
        for name in (*references((step.positional, list(step.keywords.values()))), *step.results):
            last[name] = place
    expired: list[list[str]] = [[] for _ in steps]
    for name, place in last.items():
        if name not in keep:
            expired[place].append(name)
    return expired
