"""What semidefinite bounds leave behind: multipliers, of any quality, that prove a bound."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nncli.verification.certifying.parts import EFFORT, Part, choice_tensors
from nncli.verification.intervals import Interval
from nncli.verification.network import Network
from nncli.verification.queries import Query
from nncli.verification.sdp.certificate import certified
from nncli.verification.sdp.lagrangian import FACTS, SHARES
from nncli.verification.sdp.posing import posed, together
from nncli.verification.sdp.quadratic_form import frame
from nncli.verification.slopes import Choice

if TYPE_CHECKING:
    from nncli.verification.sdp.search import Found
    from nncli.verification.standing import Standing

ROWS, DUAL, WEIGHT = "rows", "dual.", "weight."
LARGEST = 1e100  # a multiplier beyond proves nothing


def record_multipliers(
    standing: "Standing", rows: Tensor, margins: Tensor, found: "Found", slopes: Choice
) -> None:
    """Keep what has shown that the margins of rows are positive.

    Args:
        standing: What is known of the query, whose parts are added to.
        rows: (K,) the rows that were bounded.
        margins: (K,) their bounds.
        found: Multipliers of the semidefinite bounds.
        slopes: Slopes of the linear bounds (1, K, n), which are as good for some rows.
    """
    query = standing.query
    by_linear = query.margins(found.bound[None], rows)[0] <= 0
    for method, kept in (
        ("alpha-crown", (margins > 0) & by_linear),
        ("sdp", (margins > 0) & ~by_linear),
    ):
        each = torch.nonzero(kept).flatten()
        if not len(each):
            continue
        if method == "sdp":
            held = {f"{DUAL}{place}": one[:, each] for place, one in found.multipliers.items()}
            held |= {f"{WEIGHT}{place}": one[each] for place, one in found.weights.items()}
        else:
            held = {name: one[:, each] for name, one in choice_tensors(slopes).items()}
        owners = torch.unique(query.owner[rows[each]]).tolist()
        numbers = tuple(query.numbers[place] for place in owners)
        held |= {ROWS: rows[each], EFFORT: torch.tensor(standing.effort)}
        standing.parts.append(Part(method, numbers, held))


def rows_of(tensors: Mapping[str, Tensor], allowed: Tensor) -> Tensor:
    """The rows that what is stored is of, as far as they belong to what is to be proved.

    Args:
        tensors: By name; they may hold anything.
        allowed: (K,) rows of the violations.

    Returns:
        The rows in their stored order; none if some are not allowed, or stored twice.
    """
    rows = tensors.get(ROWS)
    none = allowed[:0]
    if rows is None or rows.ndim != 1:
        return none
    rows = rows.long()
    distinct = len(torch.unique(rows)) == len(rows)
    return rows if distinct and bool(torch.isin(rows, allowed).all()) else none


def certified_rows(
    network: Network,
    query: Query,
    known: Sequence[Interval],
    tensors: Mapping[str, Tensor],
    rows: Tensor,
) -> Tensor:
    """Bounds that multipliers prove, computed anew.

    Args:
        network: The network, of ReLUs.
        query: The violations of one box.
        known: Intervals (1, n) of all places.
        tensors: Multipliers and weights, by name; what is missing or has another shape is 0.
        rows: (K,) the rows they are of.

    Returns:
        (K,) lower bounds of the rows.
    """
    found = []
    for each in together(network, torch.arange(len(rows)), len(rows)):
        whole = posed(network, query, known, rows[each]).problem
        sizes = {place: (FACTS, len(rows), len(one.free)) for place, one in whole.neurons.items()}
        if whole.square is not None:
            sizes[SHARES] = (1, len(rows), len(whole.square.weight))
        multipliers = {
            place: _taken(tensors, f"{DUAL}{place}", size)[:, each] for place, size in sizes.items()
        }
        weights = {
            place: _taken(tensors, f"{WEIGHT}{place}", (len(rows), len(one)))[each]
            for place, one in whole.radius.items()
        }
        bound = certified(whole, frame(whole), multipliers, weights)
        found.append(torch.nan_to_num(bound, -torch.inf, -torch.inf, -torch.inf))
    return torch.cat(found)


def _taken(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor if it has some shape, with numbers that can be worked with; else zeros."""
    found = tensors.get(name)
    if found is None or tuple(found.shape) != shape:
        return torch.zeros(shape, dtype=torch.float64)
    return torch.nan_to_num(found.double(), 0.0, 0.0, 0.0).clamp(-LARGEST, LARGEST)
