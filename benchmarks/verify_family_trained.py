"""Networks of `verify_families.py` fitted to data: text, controllers, systems, learned indexes."""

import numpy as np
from verify_family_cases import Case, applied, dense, trained


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
