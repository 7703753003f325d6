"""The cases of `verify_families.py`: networks as ONNX, properties as VNN-LIB, all from seeds."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn


@dataclass(frozen=True)
class Case:
    """A case.

    Attributes:
        name: The name of its files.
        network: The ONNX model.
        ways: The ways to violate the property: a box (low, high), and conditions that all hold,
            each an output, a relation, and another output (`int`) or a number (`float`).
        expected: `verified` or `violated`, where it is known beforehand.
    """

    name: str
    network: object
    ways: tuple
    expected: str = ""

    @property
    def middle(self):
        (low, high), _ = self.ways[0]
        return (low + high) / 2

    @property
    def text(self):
        """The property in VNN-LIB."""
        (low, _), _ = self.ways[0]
        conditions = [one for _, rows in self.ways for one in rows]
        count = 1 + max(max(i, j if isinstance(j, int) else 0) for i, _, j in conditions)
        count = max(count, outputs_of(self.network))
        lines = [f"(declare-const X_{i} Real)" for i in range(len(low))]
        lines += [f"(declare-const Y_{i} Real)" for i in range(count)]
        boxes = {id(box) for box, _ in self.ways}
        if len(boxes) == 1:
            lines += [f"(assert {one})" for one in limits(self.ways[0][0])]
            if len(self.ways) == 1:
                lines += [f"(assert {relation(one)})" for one in self.ways[0][1]]
            else:
                told = (f"(and {' '.join(map(relation, rows))})" for _, rows in self.ways)
                lines.append("(assert (or\n  " + "\n  ".join(told) + "\n))")
        else:
            told = (
                f"(and {' '.join(limits(box))} {' '.join(map(relation, rows))})"
                for box, rows in self.ways
            )
            lines.append("(assert (or\n  " + "\n  ".join(told) + "\n))")
        return "\n".join(lines) + "\n"

    def margin(self, x, y):
        """How far a point violates the property: not negative if it does."""
        best = -np.inf
        for (low, high), rows in self.ways:
            outside = max(float((low - x).max()), float((x - high).max()))
            if outside > 1e-6 * (1 + np.abs(x).max()):
                continue
            gaps = [
                (y[i] - (y[j] if isinstance(j, int) else j)) * (1 if how == ">=" else -1)
                for i, how, j in rows
            ]
            best = max(best, min(gaps))
        return best

    def points(self, generator, count):
        """Points of the boxes, corners among them."""
        for place in range(count):
            (low, high), _ = self.ways[generator.integers(len(self.ways))]
            share = generator.random(len(low))
            yield low + (share.round() if place % 3 == 0 else share) * (high - low)


def limits(box):
    low, high = box
    for i, (least, most) in enumerate(zip(low, high, strict=True)):
        yield f"(>= X_{i} {float(least)!r})"
        yield f"(<= X_{i} {float(most)!r})"


def relation(one):
    i, how, j = one
    return f"({how} Y_{i} {f'Y_{j}' if isinstance(j, int) else repr(float(j))})"


def outputs_of(model):
    return int(
        np.prod([max(1, one.dim_value) for one in model.graph.output[0].type.tensor_type.shape.dim])
    )


def model(nodes, shape, outputs, weights, version=13):
    """An ONNX model of one input and one output (1, outputs)."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, [1, outputs])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    opset = [helper.make_opsetid("", version)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


def dense(layers, activation="Relu"):
    """An ONNX model of dense layers [(weight (out, in), bias)], as `MatMul` and `Add` or `Gemm`."""
    nodes, weights, given = [], {}, "X"
    for place, (weight, bias) in enumerate(layers):
        weights |= {f"w{place}": weight.astype(np.float32), f"b{place}": bias.astype(np.float32)}
        nodes.append(
            helper.make_node("Gemm", [given, f"w{place}", f"b{place}"], [f"h{place}"], transB=1)
        )
        given = f"h{place}"
        if place < len(layers) - 1:
            nodes.append(helper.make_node(activation, [given], [f"a{place}"]))
            given = f"a{place}"
    return model(nodes, [1, layers[0][0].shape[1]], len(layers[-1][1]), weights)


def trained(sizes, x, y, *, steps=600, seed=0, classes=False, activation=nn.ReLU):
    """The dense layers of a network fitted to targets."""
    torch.manual_seed(seed)
    parts = []
    for before, after in pairwise(sizes):
        parts += [nn.Linear(before, after), activation()]
    net = nn.Sequential(*parts[:-1])
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    x, y = torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y)
    for _ in range(steps):
        chosen = torch.randint(len(x), (256,))
        found = net(x[chosen])
        loss = (nn.functional.cross_entropy if classes else nn.functional.mse_loss)(
            found, y[chosen] if classes else y[chosen].float()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return [
        (
            one.weight.detach().numpy().astype(np.float64),
            one.bias.detach().numpy().astype(np.float64),
        )
        for one in net
        if isinstance(one, nn.Linear)
    ]


def applied(layers, x):
    """What dense layers with ReLU give for rows."""
    for place, (weight, bias) in enumerate(layers):
        x = x @ weight.T + bias
        if place < len(layers) - 1:
            x = np.maximum(x, 0)
    return x
