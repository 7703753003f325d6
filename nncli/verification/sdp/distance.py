"""How far outputs can be from a point, in the Euclidean norm: a quadratic question.

The largest of `|f(x) - target|^2` over a box of inputs, bounded from above. The squares may be
replaced by their chords over the intervals of the outputs, which makes the question linear and is
where the search begins; linear bounds can do no more.

References:
    Dathathri et al. 2020, section 6.2: a decoder reconstructs an image from all latent codes near
    its own.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nncli.verification.domains import Domain
from nncli.verification.intervals import Interval
from nncli.verification.network import Network
from nncli.verification.sdp.lagrangian import SHARES, Square, problem
from nncli.verification.sdp.search import Plan, climb
from nncli.verification.sdp.start import linear_start
from nncli.verification.slopes import ascend
from nncli.verification.tightening import Effort, tightened

STEPS = 20  # of gradient, for the slopes of linear bounds


@dataclass(frozen=True)
class Distance:
    """Upper bounds of a squared distance.

    Attributes:
        linear: By chords and linear bounds.
        bound: By the semidefinite search, certified; nowhere above the other.
    """

    linear: float
    bound: float


def farthest(network: Network, domain: Domain, target: Tensor, plan: Plan) -> Distance:
    """The greatest squared distance of outputs from a point, bounded from above.

    Args:
        network: The network; ReLU is its only activation.
        domain: One box of inputs.
        target: (m,) float64, the point.
        plan: How to search; `enough` is of bounds of minus the squared distance.

    Returns:
        The bounds, with all rounding taken into account.

    Raises:
        ValueError: There are several boxes, or other activations.
    """
    known = tightened(network, domain, Effort(steps=STEPS // 2))
    square = _square(network, domain, known, target)
    share = torch.ones(1, 1, len(target), dtype=torch.float64)
    none = {network.last: torch.zeros(1, 1, len(target), dtype=torch.float64)}
    posed = problem(network, none, domain, known, square)
    chords = {network.last: square.slope(share)}
    slopes = ascend(network, chords, domain, known, steps=STEPS).choice
    start = linear_start(posed, chords, domain, known, slopes)
    start = {**start, SHARES: share}
    linear = climb(posed, start, Plan(steps=0, seed=plan.seed)).bound
    found = climb(posed, start, plan).bound
    return Distance(-float(linear), -float(torch.maximum(linear, found)))


def _square(network: Network, domain: Domain, known: list[Interval], target: Tensor) -> Square:
    """The squares, with intervals of the outputs by linear bounds."""
    each = torch.eye(len(target), dtype=torch.float64)
    rows = {network.last: torch.cat([each, -each])[None]}
    both = ascend(network, rows, domain, known, steps=STEPS).bound[0]
    whole = known[network.last]
    low = torch.maximum(both[: len(target)], whole.low[0])
    high = torch.minimum(-both[len(target) :], whole.high[0])
    return Square(network.last, target, low, high)
