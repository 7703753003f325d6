"""What stages leave behind for a certificate."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nncli.verification.certifying.leaves import Branching
from nncli.verification.certifying.parts import EFFORT, Part, choice_tensors, tree_tensors
from nncli.verification.slopes import Choice
from nncli.verification.trees import Tree

if TYPE_CHECKING:
    from nncli.verification.standing import Standing


def record_lines(standing: "Standing") -> None:
    """Keep that linear bounds over the intervals of now have excluded violations.

    Args:
        standing: What is known of the query, the bounds noted.
    """
    done = [place for place, decider in enumerate(standing.deciders) if decider == "crown"]
    if done:
        hints = {EFFORT: torch.tensor(standing.effort)}
        standing.parts.append(Part("crown", _numbers(standing, done), hints))


def record_slopes(standing: "Standing", rows: Tensor, choice: Choice) -> None:
    """Keep the slopes of rows that have just excluded violations.

    Args:
        standing: What is known of the query, the bounds noted.
        rows: (K,) the rows that were bounded.
        choice: Their slopes (1, K, n).
    """
    query = standing.query
    owners = query.owner[rows]
    done = [place for place in torch.unique(owners).tolist() if float(standing.margins[place]) > 0]
    if not done:
        return
    kept = torch.isin(owners, torch.tensor(done))
    tensors = {name: one[:, kept] for name, one in choice_tensors(choice).items()}
    tensors[EFFORT] = torch.tensor(standing.effort)
    standing.parts.append(Part("alpha-crown", _numbers(standing, done), tensors))


def record_tree(standing: "Standing", method: str, which: Tensor, tree: Tree) -> None:
    """Keep the tree of a search that has excluded violations.

    Args:
        standing: What is known of the query.
        method: The search.
        which: (K,) places of the violations, in the order of the roots.
        tree: Where regions were divided.
    """
    tensors = tree_tensors(tree.done())
    if isinstance(tree, Branching):
        tensors |= tree.tensors()
    tensors[EFFORT] = torch.tensor(standing.effort)
    standing.parts.append(Part(method, _numbers(standing, which.tolist()), tensors))


def proof_of(standings: "Sequence[Standing]") -> tuple[Part, ...]:
    """The parts of the proof of a property that is verified.

    Args:
        standings: How each of its queries stands.
    """
    found = []
    for standing in standings:
        kept = list(standing.parts)
        told = {number for part in kept for number in part.violations}
        for method in dict.fromkeys(standing.deciders):
            numbers = tuple(
                number
                for number, decider in zip(standing.query.numbers, standing.deciders, strict=True)
                if decider == method and number not in told
            )
            if numbers:
                found.append(Part(method, numbers))
        found += kept
    return tuple(found)


def _numbers(standing: "Standing", places: Sequence[int]) -> tuple[int, ...]:
    """Violations by their places in the property."""
    return tuple(standing.query.numbers[place] for place in places)
