"""Networks of `verify_families.py` over time: unrolled controllers, and windows of sensors."""

from itertools import product

import numpy as np
import torch
from onnx import helper
from torch import nn
from verify_family_cases import Case, model


def unrolled():
    """A recurrent controller in a loop with its plant, unrolled: where the state is in the end."""
    cases = []
    for name, activation, size, steps in (("relu", "Relu", 12, 6), ("tanh", "Tanh", 8, 5)):
        for seed in range(2):
            generator = np.random.default_rng(40 + seed)
            plant = np.array([[1.0, 0.1], [-0.1, 0.95]])
            drive = np.array([[0.0], [0.3]])
            weights = {
                "plant": plant.T,
                "drive": drive.T,
                "kept": generator.normal(size=(size, size)) / size**0.5 * 0.6,
                "seen": generator.normal(size=(2, size)),
                "bias": generator.normal(size=size) * 0.3,
                "told": generator.normal(size=(size, 1)) * 0.5,
            }
            nodes, state, hidden = [], "X", None
            for step in range(steps):

                def add(kind, given, made, step=step, nodes=nodes):
                    nodes.append(helper.make_node(kind, given, [f"{made}{step}"]))
                    return f"{made}{step}"

                total = add("Add", [add("MatMul", [state, "seen"], "s"), "bias"], "t")
                if hidden:
                    total = add("Add", [add("MatMul", [hidden, "kept"], "k"), total], "u")
                hidden = add(activation, [total], "h")
                force = add("MatMul", [add("MatMul", [hidden, "told"], "f"), "drive"], "d")
                state = add("Add", [add("MatMul", [state, "plant"], "p"), force], "x")
            network = model(nodes, [1, 2], 2, {k: w.astype(np.float32) for k, w in weights.items()})

            def final(x, weights=weights, activation=activation, steps=steps):
                hidden = 0.0
                for _ in range(steps):
                    total = x @ weights["seen"] + weights["bias"] + hidden
                    out = np.maximum(total, 0) if activation == "Relu" else np.tanh(total)
                    hidden = out @ weights["kept"]
                    x = x @ weights["plant"] + out @ weights["told"] @ weights["drive"]
                return x

            side = np.linspace(-1, 1, 301)
            ends = final(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2))
            box = np.full(2, -1.0), np.full(2, 1.0)
            for room, expected in ((-0.01, "violated"), (0.02, ""), (0.2, "")):
                for place, how in product((0, 1), (">=", "<=")):
                    edge = (
                        ends[:, place].max() + room if how == ">=" else ends[:, place].min() - room
                    )
                    ways = ((box, ((place, how, float(edge)),)),)
                    cases.append(
                        Case(
                            f"{name}{seed}_{place}{'a' if how == '>=' else 'b'}_{room}",
                            network,
                            ways,
                            expected,
                        )
                    )
    return cases


def windows():
    """Convolution and pooling over a window of sensors: how much a noisy sensor moves an answer."""
    torch.manual_seed(9)
    net = nn.Sequential(
        nn.Conv2d(1, 10, (10, 1)), nn.ReLU(), nn.MaxPool2d((2, 1)), nn.Conv2d(10, 10, (3, 1)),
        nn.ReLU(), nn.Flatten(), nn.Linear(10 * 2 * 20, 64), nn.ReLU(), nn.Linear(64, 1),
    )  # fmt: skip
    wear = torch.rand(3000, 1)
    times = torch.linspace(0, 1, 18)[None, None, :, None]
    rates = torch.randn(1, 1, 1, 20)
    x = (wear[:, :, None, None] + 0.2 * times) * rates + 0.05 * torch.randn(3000, 1, 18, 20)
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(200):
        chosen = torch.randint(3000, (128,))
        loss = nn.functional.mse_loss(net(x[chosen]), wear[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    held = {k: one.detach().numpy() for k, one in net.state_dict().items()}
    nodes = [
        helper.make_node("Conv", ["X", "0.weight", "0.bias"], ["a"], kernel_shape=[10, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 1], strides=[2, 1]),
        helper.make_node("Conv", ["c", "3.weight", "3.bias"], ["d"], kernel_shape=[3, 1]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "6.weight", "6.bias"], ["g"], transB=1),
        helper.make_node("Relu", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "8.weight", "8.bias"], ["y"], transB=1),
    ]
    network = model(nodes, [1, 1, 18, 20], 1, held)
    cases = []
    for number, (sensors, noise, moved) in enumerate(product((1, 5, 20), (0.02, 0.1), (0.02, 0.1))):
        one = x[number].numpy()[0].astype(np.float64)
        reach = np.zeros((18, 20))
        reach[:, :sensors] = noise
        box = (one - reach).ravel(), (one + reach).ravel()
        answer = float(net(x[number : number + 1]).detach())
        ways = tuple((box, ((0, how, answer + s * moved),)) for how, s in ((">=", 1), ("<=", -1)))
        cases.append(Case(f"window_{sensors}_{noise}_{moved}", network, ways))
    return cases
