"""The graph of a torch.export program, from its JSON to steps.

The JSON follows `torch/_export/serde/schema.py`.
"""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from nncli.checkpoints.exported_calls import DTYPES, WAY_OUT, argument, function
from nncli.checkpoints.graph import Graph, Input, Step, Value, Weight, references
from nncli.checkpoints.scopes import Place, finished_modules
from nncli.errors import ArtifactError


@dataclass(frozen=True)
class Archive:
    """The parts of a .pt2 file that are read.

    Attributes:
        name: The file, for errors.
        model: The graph, its signature and version, as parsed JSON.
        weights: Tensors by their dotted name.
        constants: Tensors by the name that the signature has for them.
    """

    name: str
    model: dict[str, Any]
    weights: dict[str, Tensor]
    constants: dict[str, Tensor]


def graph_of(archive: Archive) -> Graph:
    """Turn the parsed JSON into steps."""
    model = archive.model["graph_module"]
    graph, signature = model["graph"], model["signature"]
    inputs: list[Input] = []
    weights: dict[str, Weight] = {}
    for one in signature["input_specs"]:
        ((kind, what),) = one.items()
        if kind == "user_input":
            inputs.append(_input(archive, graph, what["arg"]))
        elif kind in ("parameter", "buffer", "tensor_constant"):
            path = what[f"{kind}_name"]
            held = archive.weights if path in archive.weights else archive.constants
            kept = kind if what.get("persistent", kind == "parameter") else "constant"
            weights[what["arg"]["name"]] = Weight(held[path], path, kept)
        else:
            raise ArtifactError(
                f"`{archive.name}` needs an input of kind `{kind}`, which nncli cannot give",
                hint=WAY_OUT,
            )
    outputs = _outputs(archive, signature)
    if not inputs:
        raise ArtifactError(f"`{archive.name}` takes no tensor")
    steps = tuple(
        _step(archive, node, layers)
        for node, layers in zip(graph["nodes"], _layers(graph, outputs), strict=True)
    )
    return Graph(tuple(inputs), outputs, steps, _apart(weights, steps))


def _apart(weights: dict[str, Weight], steps: tuple[Step, ...]) -> dict[str, Weight]:
    """Weights whose names are those of a module too get a `_` behind: rare, but a clash."""
    layers = {path for step in steps for path in step.layers}
    return {
        name: replace(one, path=f"{one.path}_") if one.path in layers else one
        for name, one in weights.items()
    }


def _input(archive: Archive, graph: dict[str, Any], given: dict[str, Any]) -> Input:
    if "as_tensor" not in given:
        raise ArtifactError(
            f"`{archive.name}` takes something besides tensors: {', '.join(given)}",
            hint="export it with the tensor alone as its argument",
        )
    name = given["as_tensor"]["name"]
    meta = graph["tensor_values"][name]
    sizes = tuple(one.get("as_int") for one in meta["sizes"])
    return Input(name, sizes, DTYPES[meta["dtype"]])


def _outputs(archive: Archive, signature: dict[str, Any]) -> tuple[str, ...]:
    """Names of the results, those that only update buffers left out."""
    found = [one["user_output"]["arg"] for one in signature["output_specs"] if "user_output" in one]
    names = tuple(one["as_tensor"]["name"] for one in found if "as_tensor" in one)
    if not names:
        raise ArtifactError(f"`{archive.name}` gives no tensor back")
    return names


def _step(archive: Archive, node: dict[str, Any], layers: tuple[str, ...]) -> Step:
    label = f"`{archive.name}`: `{node.get('name') or node['target']}`"
    given = [(one["kind"], one["name"], argument(label, one["arg"])) for one in node["inputs"]]
    results, spread = _results(label, node["outputs"])
    return Step(
        label=f"{label} ({node['target'].removeprefix('torch.ops.')})",
        function=function(archive.name, node["target"]),
        positional=tuple(value for kind, _, value in given if kind != 2),
        keywords={name: value for kind, name, value in given if kind == 2},
        results=results,
        spread=spread,
        layers=layers,
    )


def _results(label: str, outputs: list[dict[str, Any]]) -> tuple[tuple[str, ...], bool]:
    """Names of the results of a node, and whether they come as a list."""
    if len(outputs) == 1 and "as_tensors" in outputs[0]:
        return tuple(one["name"] for one in outputs[0]["as_tensors"]), True
    names = []
    for one in outputs:
        value = argument(label, one)
        names.append(value.name if isinstance(value, Value) else "")
    return tuple(names), len(names) > 1


def _layers(graph: dict[str, Any], outputs: tuple[str, ...]) -> list[tuple[str, ...]]:
    """For each node, the modules whose output its result is, the innermost first."""
    places = [
        Place(
            calls=_stack(node),
            needs=tuple(
                name for one in node["inputs"] for name in references(argument("", one["arg"]))
            ),
            makes=tuple(one.name for one in _tensors(node["outputs"])),
        )
        for node in graph["nodes"]
    ]
    return finished_modules(places, outputs)


def _tensors(outputs: list[dict[str, Any]]) -> list[Value]:
    """The results of a node that are tensors: sizes are no output of a layer."""
    found = [argument("", one) for one in outputs if "as_tensor" in one or "as_tensors" in one]
    return [one for item in found for one in (item if isinstance(item, list) else [item])]


def _stack(node: dict[str, Any]) -> dict[str, str]:
    """The calls of modules a node is in, the outermost first: a key for the call, and the path."""
    text = node.get("metadata", {}).get("nn_module_stack", "")
    calls = (one.split(",", 2) for one in text.split(";") if one)
    return {call[0]: call[1] for call in calls if len(call) == 3}
