"""The names of layers in an ONNX graph: those of its nodes, and of the modules it was made from.

Exporters leave a trace of the modules: the older one of PyTorch in the names of the nodes
(`/block.0/linear/Gemm`), the newer one in a list beside each node. So a network has the same layers
as ONNX that it has in PyTorch.
"""

import ast
from collections.abc import Iterable, Sequence
from typing import Any

from nncli.checkpoints.names import Names
from nncli.checkpoints.scopes import Place, finished_modules

SCOPES = "pkg.torch.onnx.name_scopes"
SIZES = ("Shape", "Size")


def layer_names(
    nodes: Sequence[Any], inputs: Iterable[str], results: Sequence[str], names: Names
) -> list[tuple[str, ...]]:
    """Name what each node puts out.

    Args:
        nodes: The nodes, in order.
        inputs: Names of the inputs of the graph.
        results: Names of its results.
        names: The paths given so far; the new ones are added.

    Returns:
        For each node the paths of the layers it finishes, its own first; none for nodes that
        compute sizes or do not depend on the inputs.
    """
    data = set(inputs)
    places, titles = [], []
    for number, node in enumerate(nodes):
        computes = not data.isdisjoint(node.input) and node.op_type not in SIZES
        data.update(node.output if computes else ())
        scopes = scopes_of(node)
        places.append(
            Place(
                calls={scope: scope for scope in scopes},
                needs=tuple(node.input),
                makes=tuple(node.output) if computes else (),
            )
        )
        titles.append(own_name(node, number, scopes) if computes else "")
    paths: dict[str, str] = {}
    found = []
    for title, modules in zip(titles, finished_modules(places, results), strict=True):
        for module in modules:
            paths.setdefault(module, names.layer(module))
        own = (names.layer(title),) if title else ()
        found.append((*own, *(paths[module] for module in modules)))
    return found


def title_of(node: Any, number: int) -> str:
    """The name of a node, or one made from its operator and place."""
    return str(node.name or f"{node.op_type.lower()}_{number}")


def own_name(node: Any, number: int, scopes: Sequence[str]) -> str:
    """The name of a node below the module that it is in."""
    title = title_of(node, number)
    return title if title.startswith("/") or not scopes else f"{scopes[-1]}/{title}"


def scopes_of(node: Any) -> list[str]:
    """The paths of the modules that a node was in, the outermost first, as far as it tells."""
    for one in node.metadata_props:
        if one.key == SCOPES:
            try:
                found = ast.literal_eval(one.value)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return []
            return [str(path) for path in found[1:-1]] if isinstance(found, list) else []
    if not node.name.startswith("/"):
        return []
    parts = [part for part in node.name.split("/")[:-1] if part]
    return [".".join(parts[: end + 1]) for end in range(len(parts))]
