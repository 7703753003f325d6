"""A node of an ONNX graph, as the operators see it."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nncli.errors import ArtifactError


@dataclass(frozen=True)
class Node:
    """What a node says besides its inputs.

    Attributes:
        label: The file and the node, for errors.
        kind: The operator, such as `Conv`.
        attributes: Numbers, texts, lists; tensors as torch tensors.
        version: The version of the operator set.
        results: How many results are wanted.
        batch: The batch size the graph was made for, `None` for any.
    """

    label: str
    kind: str
    attributes: dict[str, Any]
    version: int
    results: int = 1
    batch: int | None = None

    def get(self, key: str, default: Any = None) -> Any:
        """An attribute, or its default."""
        return self.attributes.get(key, default)

    def whole_numbers(self, key: str, given: Tensor | None = None) -> list[int] | None:
        """Whole numbers that older operators have as an attribute and newer ones as an input."""
        if given is not None:
            return [int(one) for one in given.reshape(-1).tolist()]
        found = self.attributes.get(key)
        if found is None:
            return None
        return [int(found)] if isinstance(found, int) else [int(one) for one in found]

    def refuse(self, what: str) -> ArtifactError:
        """The error that says that this form of the operator is not supported."""
        return ArtifactError(
            f"{self.label}: nncli cannot run `{self.kind}` {what}",
            hint="run it with ONNX Runtime, and give nncli the activations as .npz or safetensors",
        )


def only(node: Node, key: str, *allowed: Any) -> None:
    """Refuse a node unless an attribute is absent or has one of some values."""
    value = node.get(key)
    if value is not None and value not in allowed:
        raise node.refuse(f"with `{key}` {value}")
