"""The cases of `verify_families.py`: networks as ONNX, properties as VNN-LIB, all from seeds."""

import operator
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

RELATIONS = {"<=": operator.le, ">=": operator.ge}


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


# networks


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


# formulas


def satisfiable(clauses):
    """Whether a formula has a solution: unit propagation and splitting."""

    def solve(clauses):
        while True:
            units = {clause[0] for clause in clauses if len(clause) == 1}
            if any(-one in units for one in units):
                return False
            if not units:
                break
            left = []
            for clause in clauses:
                if units.isdisjoint(clause):
                    shorter = tuple(one for one in clause if -one not in units)
                    if not shorter:
                        return False
                    left.append(shorter)
            clauses = left
        if not clauses:
            return True
        counts = {}
        for clause in clauses:
            for one in clause:
                counts[one] = counts.get(one, 0) + 4.0 ** -len(clause)
        best = max(counts, key=lambda one: (counts[one] + counts.get(-one, 0), one))
        return solve([*clauses, (best,)]) or solve([*clauses, (-best,)])

    return solve([tuple(one) for one in clauses])


def formula_network(clauses, count):
    """Y_0 = 1 - the clauses missed, Y_1 = how far inputs are from 0 and 1: one layer of ReLUs."""
    rows, biases = [], []
    for clause in clauses:
        row = np.zeros(count)
        for one in clause:
            row[abs(one) - 1] = -np.sign(one)
        rows.append(row)
        biases.append(1 - sum(one < 0 for one in clause))
    first = np.vstack([rows, np.eye(count), 2 * np.eye(count)])
    bias = np.concatenate([biases, np.zeros(count), -np.ones(count)])
    second = np.zeros((2, len(bias)))
    second[0, : len(clauses)] = -1
    second[1, len(clauses) : len(clauses) + count] = 1
    second[1, len(clauses) + count :] = -1
    return dense([(first, bias), (second, np.array([1.0, 0.0]))])


def deep_formula_network(clauses, count):
    """- sum over clauses of relu(0.6 - the greatest literal): not negative only at a solution."""

    def literal(one, width=count):
        row = np.zeros(width)
        row[abs(one) - 1] = np.sign(one)
        return row, float(one < 0)

    first, second, third = [], [], []
    size = len(clauses)
    for place, clause in enumerate(clauses):
        (a, p), (b, q), (c, r) = (literal(clause[k % len(clause)]) for k in range(3))
        first += [(a - b, p - q), (b, q), (c, r)]
        greater, last = np.zeros(3 * size), np.zeros(3 * size)
        greater[3 * place : 3 * place + 2], last[3 * place + 2] = 1, 1
        second += [(greater - last, 0.0), (last, 0.0)]
        most = np.zeros(2 * size)
        most[2 * place : 2 * place + 2] = -1
        third.append((most, 0.6))
    layers = [
        (np.array([w for w, _ in one]), np.array([b for _, b in one]))
        for one in (first, second, third)
    ]
    return dense([*layers, (-np.ones((1, size)), np.zeros(1))])


def random_clauses(generator, count, clauses, planted=None):
    found = []
    while len(found) < clauses:
        which = generator.choice(count, 3, replace=False) + 1
        signs = generator.choice([-1, 1], 3)
        clause = tuple(int(one) for one in which * signs)
        if planted is None or any(planted[abs(one) - 1] == (one > 0) for one in clause):
            found.append(clause)
    return found


def resolved_clauses(generator, count, clauses):
    """An unsatisfiable formula: clauses of a contradiction, widened by variables one by one."""
    found = [(1,), (-1,)]
    while len(found) < clauses:
        weights = 1 / np.array([len(one) for one in found])
        place = int(generator.choice(len(found), p=weights / weights.sum()))
        free = [one + 1 for one in range(count) if one + 1 not in map(abs, found[place])]
        if free:
            new = int(generator.choice(free))
            found.append((*found[place], -new))
            found[place] = (*found[place], new)
    return found


def wide_clauses(generator, count, clauses):
    """A satisfiable formula of clauses of all lengths."""
    truth, found = generator.random(count) < 0.5, set()
    while len(found) < clauses:
        which = generator.choice(count, generator.integers(1, max(2, count)), replace=False)
        signs = generator.random(len(which)) < 0.5
        if (truth[which] == signs).any():
            found.add(tuple(int(i + 1 if s else -i - 1) for i, s in zip(which, signs, strict=True)))
    return sorted(found)


def formulas():
    """Formulas as networks; `violated` is `satisfiable`."""
    generator = np.random.default_rng(7)
    made = {}
    for count, clauses in ((10, 33), (26, 113), (46, 218), (59, 92), (78, 364), (100, 103)):
        made[f"wide_v{count}_c{clauses}"] = count, wide_clauses(generator, count, clauses)
        made[f"resolved_v{count}_c{clauses}"] = count, resolved_clauses(generator, count, clauses)
    for count, ratio in product((12, 20, 30, 50, 75), (3.5, 4.3, 5.5)):
        clauses = round(count * ratio)
        made[f"random_v{count}_c{clauses}"] = count, random_clauses(generator, count, clauses)
    for count in (30, 60, 100):
        truth = generator.random(count) < 0.5
        clauses = round(4.2 * count)
        made[f"planted_v{count}_c{clauses}"] = (
            count,
            random_clauses(generator, count, clauses, truth),
        )
    cases = []
    for name, (count, clauses) in made.items():
        expected = "violated" if satisfiable(clauses) else "verified"
        box = np.zeros(count), np.ones(count)
        conditions = (0, ">=", 1.0), (1, "<=", 0.0)
        cases.append(Case(name, formula_network(clauses, count), ((box, conditions),), expected))
        if count <= 30 and max(map(len, clauses)) <= 3:
            deep = deep_formula_network(clauses, count)
            cases.append(Case(f"deep_{name}", deep, ((box, ((0, ">=", 0.0),)),), expected))
    return cases


# text


def text_classifiers():
    """Sentences as 30 numbers, boxes around a sentence and its variants."""
    cases = []
    for which in range(2):
        generator = np.random.default_rng(which)
        centres = generator.normal(size=(24, 30)) * 0.6
        labels = generator.integers(0, 2, 24)
        place = generator.integers(0, 24, 4000)
        spread = 0.15 + 0.1 * which
        x = centres[place] + generator.normal(size=(4000, 30)) * spread
        layers = trained((30, 128, 2), x, labels[place], seed=which, classes=True, steps=1500)
        network = dense(layers)
        for number, variants in enumerate((3, 6, 12, 25, 50, 100, 200, 400)):
            centre = int(generator.integers(0, 24))
            own = centres[centre] + generator.normal(size=(variants, 30)) * spread
            middle, reach = (own.min(0) + own.max(0)) / 2, 0.35 * (own.max(0) - own.min(0)) / 2
            box = middle - reach, middle + reach
            truth = int(labels[centre])
            cases.append(
                Case(
                    f"text{which}_{number}_{variants}",
                    network,
                    ((box, ((truth, "<=", 1 - truth),)),),
                )
            )
    return cases


# control


def policies():
    """Controllers of cart-pole, lander and pursuit: small boxes, actions that must (not) win."""
    cases = []
    for name, sizes, seed in (
        ("cartpole", (4, 64, 64, 2), 0),
        ("lander", (8, 64, 64, 4), 1),
        ("rejoin", (8, 256, 256, 8), 2),
    ):
        generator = np.random.default_rng(seed)
        x = generator.uniform(-1, 1, (6000, sizes[0]))
        mixed = generator.normal(size=(sizes[0], 12))
        y = np.sin(2 * x @ mixed) @ generator.normal(size=(12, sizes[-1]))
        layers = trained(sizes, x, y, seed=seed, steps=2000)
        network = dense(layers)
        for number, radius in enumerate((0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1)):
            middle = generator.uniform(-0.7, 0.7, sizes[0])
            box = middle - radius, middle + radius
            answer = applied(layers, middle)
            if name != "rejoin":
                best = int(answer.argmax())
                ways = tuple((box, ((j, ">=", best),)) for j in range(sizes[-1]) if j != best)
            else:  # two heads of four: bad if this pair of actions is chosen
                first, second = int(answer[:4].argmin()), 4 + int(answer[4:].argmin())
                ways = tuple(
                    (
                        box,
                        tuple(
                            [(a, ">=", j) for j in range(4) if j != a]
                            + [(b, ">=", j) for j in range(4, 8) if j != b]
                        ),
                    )
                    for a, b in {(first, second), ((first + 1) % 4, second)}
                )
            cases.append(Case(f"{name}_{number}", network, ways))
    return cases


def reachable():
    """Next states of systems: outputs in a polytope, or in one of several boxes."""
    cases = []
    for name, sizes, seed, half in (
        ("oscillator", (3, 64, 64, 64, 3), 3, 0.5),
        ("robot", (5, 64, 64, 64, 5), 4, 0.5),
        ("collision", (14, 64, 64, 64, 13), 5, 0.12),
    ):
        generator = np.random.default_rng(seed)
        x = generator.uniform(-1, 1, (6000, sizes[0]))
        mixed = generator.normal(size=(sizes[0], 16)) / np.sqrt(sizes[0])
        y = np.sin(3 * x @ mixed) @ generator.normal(size=(16, sizes[-1])) / 2
        layers = trained(sizes, x, y, seed=seed, steps=2000)
        network = dense(layers)
        samples = applied(layers, generator.uniform(-half, half, (50_000, sizes[0])))
        box = np.full(sizes[0], -half), np.full(sizes[0], half)
        tops = samples.max(0)
        for number, share in enumerate((0.98, 1.01, 1.03, 1.1, 1.3)):
            conditions = tuple((j, ">=", float(share * tops[j])) for j in range(1))
            cases.append(Case(f"{name}_{number}", network, ((box, conditions),)))
            pairs = tuple(
                (
                    box,
                    (
                        (0, ">=", float(share * 0.6 * tops[0])),
                        (1, side, float(share * 0.6 * edge[1])),
                    ),
                )
                for side, edge in ((">=", tops), ("<=", samples.min(0)))
            )
            cases.append(Case(f"{name}_pair_{number}", network, pairs))
    return cases


# lattices


def lattice(count, sets, generator):
    """max over sets of min over their linear functions, by pairs of ReLUs layer by layer."""
    slopes, offsets = generator.normal(size=(count, 2)), generator.normal(size=count)
    chosen = [generator.choice(count, max(2, count // 2), replace=False) for _ in range(sets)]
    width = 1 << int(np.ceil(np.log2(len(chosen[0]))))
    places = np.concatenate([np.resize(one, width) for one in chosen])
    matrix, bias = slopes[places], offsets[places]
    layers, total = [], len(places)

    def halved(sign):  # min or max of neighbours a, b from relu(a-b), relu(b), relu(-b)
        nonlocal matrix, bias, total
        half = total // 2
        first, second = np.zeros((half, total)), np.zeros((half, total))
        first[np.arange(half), 2 * np.arange(half)] = 1
        second[np.arange(half), 2 * np.arange(half) + 1] = 1
        spread = np.vstack([sign * (first - second), second, -second])
        layers.append((spread @ matrix, spread @ bias))
        one = np.eye(half)
        matrix, bias, total = np.hstack([sign * one, one, -one]), np.zeros(half), half

    while total > sets:
        halved(-1)
    if total & (total - 1):
        size = 1 << int(np.ceil(np.log2(total)))
        again = np.zeros((size, total))
        again[np.arange(size), np.arange(size) % total] = 1
        matrix, bias, total = again @ matrix, again @ bias, size
    while total > 1:
        halved(1)
    layers.append((matrix, bias))
    functions = (slopes, offsets, chosen)
    return layers, functions


def lattices():
    """Two-level lattices of two inputs; the least and the greatest value are known from a grid."""
    cases = []
    for size in (8, 16, 24):
        for seed in range(2):
            generator = np.random.default_rng(100 * size + seed)
            layers, (slopes, offsets, chosen) = lattice(size, size, generator)
            network = dense(layers)
            side = np.linspace(-2, 2, 401)
            points = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
            values = points @ slopes.T + offsets
            grid = np.max([values[:, one].min(1) for one in chosen], 0)
            low, high = float(grid.min()), float(grid.max())
            room = 0.02 * float(
                np.linalg.norm(slopes, axis=1).max()
            )  # beyond any point of the grid
            box = np.full(2, -2.0), np.full(2, 2.0)
            for tag, condition, expected in (
                ("above", (0, ">=", high + room), "verified"),
                ("reached", (0, ">=", high - 1e-3), "violated"),
                ("below", (0, "<=", low - room), "verified"),
            ):
                cases.append(
                    Case(f"lattice{size}_{seed}_{tag}", network, ((box, (condition,)),), expected)
                )
    return cases


# learned indexes


def indexes():
    """A learned index: one input, hundreds or thousands of keys each with a range for its place."""
    cases = []
    generator = np.random.default_rng(11)
    keys = np.sort(generator.beta(2, 5, 20_000))
    places = np.linspace(0, 1, len(keys))
    layers = trained((1, 128, 128, 1), keys[:, None], places[:, None], seed=3, steps=3000)
    deep = trained((1, 64, 64, 64, 64, 1), keys[:, None], places[:, None], seed=4, steps=3000)
    for name, net in (("index", layers), ("deep_index", deep)):
        network = dense(net)
        for count, planted in ((1, 0), (100, 0), (1000, 0), (1000, 1), (4000, 0)):
            at = np.sort(generator.choice(len(keys) - 40, count, replace=False))
            ways = []
            for k in at:
                low, high = np.array([keys[k]]), np.array([keys[k + 20]])
                inside = applied(net, np.linspace(low[0], high[0], 33)[:, None])[:, 0]
                slack = 0.01
                box = low, high
                ways.append((box, ((0, "<=", float(inside.min() - slack)),)))
                ways.append((box, ((0, ">=", float(inside.max() + slack)),)))
            if planted:
                spot = int(generator.integers(len(ways)))
                box, ((_, how, limit),) = ways[spot]
                ways[spot] = box, ((0, how, limit + (0.0105 if how == "<=" else -0.0105)),)
            expected = "violated" if planted else ""
            cases.append(Case(f"{name}_{count}_{planted}", network, tuple(ways), expected))
    return cases


# recurrent controllers


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


# windows of time


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


FAMILIES = {
    "formulas": formulas,
    "text": text_classifiers,
    "policies": policies,
    "reachable": reachable,
    "lattices": lattices,
    "indexes": indexes,
    "unrolled": unrolled,
    "windows": windows,
}
