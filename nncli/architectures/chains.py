"""Plain chains of layers: the mlp and the cnn."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from nncli.architectures.inputs import fitted
from nncli.architectures.spec import Spec

ACTIVATION_MODULES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "leaky-relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "identity": nn.Identity,
}


def dense_block(spec: Spec, inputs: int, outputs: int, *, flatten: bool) -> nn.Sequential:
    """A linear map, the normalisation and the activation of a spec."""
    parts: list[tuple[str, nn.Module]] = [("flatten", nn.Flatten())] if flatten else []
    parts.append(("linear", nn.Linear(inputs, outputs)))
    if spec.norm == "batch":
        parts.append(("norm", nn.BatchNorm1d(outputs)))
    if spec.norm == "layer":
        parts.append(("norm", nn.LayerNorm(outputs)))
    parts.append(("act", ACTIVATION_MODULES[spec.act]()))
    return nn.Sequential(OrderedDict(parts))


def conv_block(spec: Spec, inputs: int, outputs: int) -> nn.Sequential:
    """A 3x3 convolution that keeps the size, the normalisation and the activation of a spec."""
    parts: list[tuple[str, nn.Module]] = [("conv", nn.Conv2d(inputs, outputs, 3, padding=1))]
    if spec.norm == "batch":
        parts.append(("norm", nn.BatchNorm2d(outputs)))
    if spec.norm == "layer":  # over channels and places of one example
        parts.append(("norm", nn.GroupNorm(1, outputs)))
    parts.append(("act", ACTIVATION_MODULES[spec.act]()))
    return nn.Sequential(OrderedDict(parts))


class Chain(nn.Module):
    """An mlp or a cnn: its leaf modules, in order of registration, are applied one after another.

    Args:
        spec: A spec of family `mlp` or `cnn`.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        shape, blocks = spec.input_shape, []
        for kind, number in spec.layers:
            if kind == "conv":
                blocks.append(conv_block(spec, shape[0], number))
                shape = (number, *shape[1:])
            elif kind == "pool":
                blocks.append(nn.Sequential(OrderedDict(pool=nn.MaxPool2d(number))))
                shape = (shape[0], shape[1] // number, shape[2] // number)
            else:
                flat = torch.Size(shape).numel()
                blocks.append(dense_block(spec, flat, number, flatten=len(shape) > 1))
                shape = (number,)
        self.block = nn.ModuleList(blocks)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(torch.Size(shape).numel(), spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map a batch (n, ...) to outputs (n, outputs)."""
        x = fitted(x, self.spec, self.head.weight.dtype)
        for block in self.block:
            x = block(x)
        outputs: Tensor = self.head(self.flatten(x))
        return outputs
