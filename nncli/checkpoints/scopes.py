"""Which value of a graph is the output of which module it was made from."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where a node of a graph stood in the network.

    Attributes:
        calls: The calls of modules it was in, the outermost first: a key of the call, and the path
            of the module.
        needs: Names of the values it takes.
        makes: Names of the tensors it makes.
    """

    calls: dict[str, str]
    needs: tuple[str, ...]
    makes: tuple[str, ...]


def finished_modules(places: Sequence[Place], results: Sequence[str]) -> list[tuple[str, ...]]:
    """Find the nodes whose result is the output of a module.

    The output of a call of a module is the last tensor from inside it that somebody outside needs.

    Args:
        places: The nodes, in order.
        results: Names of the results of the graph.

    Returns:
        For each node the paths of the modules whose output it makes, the innermost first.
    """
    users: dict[str, list[int]] = {}
    for number, place in enumerate(places):
        for name in place.needs:
            users.setdefault(name, []).append(number)
    last: dict[str, int] = {}
    for number, place in enumerate(places):
        for call in place.calls:
            outside = any(
                call not in places[user].calls
                for name in place.makes
                for user in users.get(name, ())
            )
            if outside or not set(results).isdisjoint(place.makes):
                last[call] = number
    finished = []
    for number, place in enumerate(places):
        done = [path for call, path in place.calls.items() if path and last.get(call) == number]
        finished.append(tuple(reversed(done)))
    return finished
