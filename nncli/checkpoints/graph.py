"""A network as data: inputs, weights, and calls in order."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nncli.errors import ArtifactError

DEVICE = "@device"  # the name under which a step finds the device that the examples are on
ROWS = "@rows"  # and how many there are


@dataclass(frozen=True)
class Value:
    """A reference to something that the graph has computed, by name."""

    name: str


@dataclass(frozen=True)
class Step:
    """One call.

    Attributes:
        label: What the user knows it by, for errors: the node's name and operator.
        function: What is called.
        positional: Arguments; `Value`s in them, also in lists, stand for what was computed.
        results: Names of the results; empty ones are dropped.
        keywords: Arguments by name.
        spread: Whether the function returns several values, named one by one.
        layers: Modules whose output the first result is, the innermost first.
    """

    label: str
    function: Callable[..., Any]
    positional: tuple[Any, ...]
    results: tuple[str, ...]
    keywords: dict[str, Any] = field(default_factory=dict)
    spread: bool = False
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Input:
    """An input of a graph.

    Attributes:
        name: Its name.
        shape: Its dimensions, the batch first; `None` where it may be anything.
        dtype: Its type.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: torch.dtype

    @property
    def whole_shape(self) -> tuple[int, ...] | None:
        """The shape of one example, `None` if a dimension may be anything."""
        sizes = tuple(one for one in self.shape[1:] if one is not None)
        return sizes if len(sizes) == len(self.shape) - 1 else None


@dataclass(frozen=True)
class Weight:
    """A tensor that belongs to a graph.

    Attributes:
        tensor: The numbers.
        path: The dotted name it has in the module.
        kind: `parameter`, `buffer`, or `constant`, which is no part of the state dict.
    """

    tensor: Tensor
    path: str
    kind: str


@dataclass(frozen=True)
class Graph:
    """What a program is made of.

    Attributes:
        inputs: What it takes, the examples first.
        outputs: Names of its results.
        steps: The calls, in order.
        weights: The tensors that belong to it, by their name in the graph.
    """

    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]
    weights: dict[str, Weight]


def demand_sound(graph: Graph, *, source: str) -> None:
    """Refuse a graph in which something is used before it is computed.

    Raises:
        ArtifactError: The first name that nothing before it computes, and who needs it.
    """
    known = {DEVICE, ROWS, *graph.weights, *(one.name for one in graph.inputs)}
    for step in graph.steps:
        for name in references((step.positional, list(step.keywords.values()))):
            if name not in known:
                raise ArtifactError(
                    f"{step.label} needs `{name}`, which nothing before it computes"
                )
        known.update(step.results)
    for name in graph.outputs:
        if name not in known:
            raise ArtifactError(f"`{source}` does not compute its result `{name}`")


def references(argument: Any) -> list[str]:
    """The names of the values an argument refers to, also inside lists and tuples."""
    if isinstance(argument, Value):
        return [argument.name]
    if isinstance(argument, list | tuple):
        return [name for one in argument for name in references(one)]
    return []


def filled(argument: Any, world: dict[str, Any]) -> Any:
    """An argument with its references replaced by what they stand for."""
    if isinstance(argument, Value):
        return world[argument.name]
    if isinstance(argument, list | tuple):
        return type(argument)(filled(one, world) for one in argument)
    return argument
