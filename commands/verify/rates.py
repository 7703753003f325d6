"""`--lipschitz`: how fast outputs can change, and how far that keeps examples in their class."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nncli.options import lineage
from nncli.options.progress import progress

if TYPE_CHECKING:
    from nncli.commands.verify.questions import Questions, Task
    from nncli.verification.network import Network

POINTS = 64  # examples at which gradients are taken
NEAR = 8  # points of a neighbourhood at which they are


def write_rates(questions: "Questions", given: dict[str, Any]) -> None:
    """Write the bounds of all tasks.

    Args:
        questions: Neighbourhoods of examples; without `--epsilon`, of no extent.
        given: The options.
    """
    from nncli.formats.tables import create_table, from_rows
    from nncli.formats.verdict_tables import RATES

    entry = lineage.entry("table", inputs=questions.inputs, seed=given["seed"], **questions.facts)
    with create_table(
        given["output"],
        RATES,
        entry,
        format=given["table_format"],
        overwrite=given["overwrite"],
    ) as table:
        for row in progress(_rows(questions, given), label="bound", total=questions.count):
            table.write(from_rows([row], RATES))


def _rows(questions: "Questions", given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    norm, everywhere = given["norm"], {}
    for task in questions.tasks:
        network = task.subject.network
        if task.subject.digest not in everywhere:
            everywhere = {task.subject.digest: _everywhere(network, given)}
        constant, sampled = everywhere[task.subject.digest]
        local = bool(given["epsilons"])
        found = _local(task, constant, given) if local else _at(task, constant, given)
        yield {
            "model_id": task.subject.name,
            "instance": lineage.without_descriptor(task.asked.name),
            **task.keys,
            "epsilon": task.keys["epsilon"] if local else None,
            "norm": norm,
            "lipschitz": constant,
            "sampled": sampled,
            **found,
            "numerics": "float64, rounding bounded",
            "seed": given["seed"],
        }


def _everywhere(network: "Network", given: dict[str, Any]) -> tuple[float, float]:
    """A constant that holds everywhere, and the greatest gradient that was seen."""
    import torch

    from nncli.formats.datasets import load
    from nncli.verification.lipschitz import jacobian, product_bound, sampled_bound

    norm = given["norm"]
    constant = product_bound(network, norm)
    found = jacobian(network, torch.eye(network.outputs, dtype=torch.float64))
    if found is not None:
        constant = min(constant, found.norm(norm))
    x = load(given["data"], split=given["split"], limit=given["limit"]).x
    assert x is not None
    points = torch.from_numpy(x[:POINTS]).flatten(1).double()
    return constant, sampled_bound(network, points, norm)


def _at(task: "Task", constant: float, given: dict[str, Any]) -> dict[str, Any]:
    """Of an example: its margin, and the distance within which it is not used up."""
    from nncli.verification.lipschitz import certified_radius, jacobian, margin_rows

    network = task.subject.network
    rows = margin_rows(network.outputs, task.label or 0)
    margins = _margins(task, rows)
    found = jacobian(network, rows)
    rates = None if found is None else found.rates(given["norm"])
    radius = certified_radius(margins, rates, constant, given["norm"])
    return {"margin": float(margins.amin()), "radius": radius}


def _local(task: "Task", constant: float, given: dict[str, Any]) -> dict[str, Any]:
    """Of a neighbourhood: the constant within it, and the distance up to its border."""
    import torch

    from nncli.verification.domains import domain_of
    from nncli.verification.falsifying import starting_points
    from nncli.verification.lipschitz import (
        certified_radius,
        jacobian,
        margin_rows,
        sampled_bound,
    )
    from nncli.verification.tightening import tightened

    network, norm = task.subject.network, given["norm"]
    region = task.asked.violations[0].region
    known = tightened(network, domain_of([region]))
    rows = margin_rows(network.outputs, task.label or 0)
    margins = _margins(task, rows)
    whole = jacobian(network, torch.eye(network.outputs, dtype=torch.float64), known)
    best = constant if whole is None else min(constant, whole.norm(norm))
    found = jacobian(network, rows, known)
    rates = None if found is None else found.rates(norm)
    radius = min(certified_radius(margins, rates, best, norm), task.keys["epsilon"])
    generator = torch.Generator().manual_seed(given["seed"])
    points = starting_points(region, 1, NEAR, generator, corners=False)[:, 0]
    return {
        "lipschitz": best,
        "sampled": sampled_bound(network, points, norm),
        "margin": float(margins.amin()),
        "radius": radius,
    }


def _margins(task: "Task", rows: Any) -> Any:
    """(R,) the least that margins can be at the example itself, rounding included."""
    from dataclasses import replace

    from nncli.verification.domains import domain_of
    from nncli.verification.intervals import intervals, least_of_rows

    assert task.point is not None
    network, region = task.subject.network, task.asked.violations[0].region
    point = task.point.flatten().double()
    domain = domain_of([replace(region, low=point, high=point, ball=None)])
    known = intervals(network, domain)
    return least_of_rows({network.last: rows[None]}, known)[0]
