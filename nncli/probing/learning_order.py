"""From which step on a layer says what it will say in the end, and whether the first come first."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nncli.populations import convergence
from nncli.populations.trajectories import Trajectory

STEP = "step"
ASKED = ("target", "reader", "split", "metric")


def learning_order(
    rows: Sequence[Mapping[str, Any]], factors: Sequence[str], level: float
) -> Iterator[dict[str, Any]]:
    """When each layer has learnt, by what is read off it.

    A score counts from its baseline, which knows nothing, to what it is at the last step of its
    run: the share of this way is 0 there and 1 here, whether more is better or less. A layer has
    learnt from the first recorded step on at which the share stays at a level. What ends at its
    baseline has learnt nothing, and has no step.

    Args:
        rows: Scores of captures of several steps, with `layer`, `target`, `reader`, `split`,
            `metric`, `value`, `baseline` and the factors. Layers come in the order of the network.
        factors: What captures differ in, `step` among them.
        level: The share of the way.

    Yields:
        For each run, target, reader, split, metric and layer: `step` (None where it is not known),
        and over the runs `correlation` and `p`, see `populations.convergence`.

    References:
        Raghu, Gilmer, Yosinski, Sohl-Dickstein 2017, SVCCA (bottom-up convergence).
    """
    runs = [name for name in factors if name != STEP]
    asked: dict[tuple[Any, ...], dict[tuple[Any, ...], list[Mapping[str, Any]]]] = {}
    for row in rows:
        run = tuple(row.get(name) for name in runs)
        own = asked.setdefault(tuple(row[name] for name in ASKED), {})
        own.setdefault(run, []).append(row)
    for question, by_run in asked.items():
        found = [
            _trajectory(mine, dict(zip(runs, run, strict=True)), str(question[-1]))
            for run, mine in by_run.items()
        ]
        alike: dict[tuple[str, ...], list[Trajectory]] = {}
        for each in found:  # networks of other layers learn in an order of their own
            alike.setdefault(each.layers, []).append(each)
        for own_layers in alike.values():
            order = convergence(own_layers, level)
            for each, steps in zip(own_layers, order.steps.tolist(), strict=True):
                for layer, step in zip(order.layers, steps, strict=True):
                    yield {
                        **each.run,
                        "layer": layer,
                        **dict(zip(ASKED, question, strict=True)),
                        "step": None if math.isnan(step) else int(step),
                        "correlation": order.correlation,
                        "p": order.p,
                    }


def _trajectory(rows: Sequence[Mapping[str, Any]], run: dict[str, Any], metric: str) -> Trajectory:
    """The shares of the way of one run."""
    layers = tuple(dict.fromkeys(str(row["layer"]) for row in rows))
    steps = sorted({int(row[STEP]) for row in rows})
    values = np.full((len(layers), len(steps)), np.nan)
    bases = np.full_like(values, np.nan)
    for row in rows:
        place = layers.index(str(row["layer"])), steps.index(int(row[STEP]))
        values[place] = np.nan if row["value"] is None else row["value"]
        bases[place] = np.nan if row["baseline"] is None else row["baseline"]
    way = values[:, -1:] - bases[:, -1:]
    way[way == 0] = np.nan
    shares = (values - bases) / way
    return Trajectory(run, metric, layers, np.array(steps, dtype=np.int64), shares, steps[-1])
