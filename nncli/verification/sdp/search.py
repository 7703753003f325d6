"""The search for multipliers: from those of a linear bound upwards, by Adam.

At each step the vectors follow the multipliers by a sweep, and the multipliers take a step along
what the vectors miss of the facts. No eigenvalue enters: what makes a bound of the multipliers is
the certificate, which is tried now and then.
"""

from dataclasses import dataclass, field
from math import cos, pi

import torch
from torch import Tensor

from nncli.verification.clock import Clock
from nncli.verification.network import Sum
from nncli.verification.sdp.certificate import proved
from nncli.verification.sdp.lagrangian import DEPTH, SHARES, SLOPE, Multipliers, Problem
from nncli.verification.sdp.quadratic_form import frame
from nncli.verification.sdp.sweeps import begin, shake, slopes, sweep, value

BETAS = (0.5, 0.99)
LAST = 0.02  # of the step size is left at the end
SHAKEN = 4  # steps from one addition of noise to the next
SETTLING = 8  # sweeps before a certificate
LONG = 20  # times that, where the last bounds of a large problem are close to enough
SURE, BACK, HOPE = 0.4, 2, 2.0  # see `hopeless`: a share, looks back, later by earlier gains
CHEAP = 300  # variables up to which a certificate takes less than the steps between two
PACE = 1e-10  # seconds a certificate takes, about, for each cube of the number of variables


@dataclass(frozen=True)
class Plan:
    """How to search.

    Attributes:
        steps: Steps of Adam.
        rate: Their size at first, relative to the multipliers at the start.
        rank: Length of the vectors.
        noise: Added to the vectors at each step, which would else stay in a plane.
        every: Steps between certificates.
        enough: Bounds above this are good enough.
        seed: Of the noise.
        clock: The time; when it is up, the best bounds so far count.
        give_up: (R,) by how much rows may miss what is enough; to stop when one will miss it by
            more, as it seems. By default none.
        quick: Whether to leave out the depths of ReLUs of the input, which take long.
    """

    steps: int = 200
    rate: float = 0.1
    rank: int = 8
    noise: float = 0.03
    every: int = 25
    enough: float | Tensor = float("inf")
    seed: int = 0
    clock: Clock = field(default_factory=Clock)
    give_up: Tensor | None = None
    quick: bool = False


@dataclass(frozen=True)
class Found:
    """What the search has found.

    Attributes:
        bound: (R,) certified lower bounds, minus infinity without one; nowhere below that of the
            start, where the variables are few.
        multipliers: Those of the bounds.
        weights: Of the variables (R, n) by place, as the certificate takes them.
        reached: (R,) what the vectors came to in the end where a bound is not good enough, which
            proves nothing.
    """

    bound: Tensor
    multipliers: Multipliers
    weights: dict[int, Tensor]
    reached: Tensor


def climb(
    problem: Problem, start: Multipliers, plan: Plan, linear: Multipliers | None = None
) -> Found:
    """Raise the bounds of rows, each row with its own multipliers.

    Args:
        problem: The rows, in float64.
        start: Multipliers to begin with.
        plan: How to search.
        linear: Multipliers of the linear bounds, for the size of steps; by default the start.

    Returns:
        The best certified bounds.
    """
    search = _Search(problem, start, plan, start if linear is None else linear)
    for turn in range(1, plan.steps + 1):
        if plan.clock.left < search.reserve * len(search.rows) or not len(search.rows):
            break
        search.step(turn)
        if turn % plan.every == 0 and turn < plan.steps:
            search.look()
            if plan.give_up is not None and search.hopeless(turn / plan.steps, plan.give_up):
                break
    if len(search.rows):
        search.end()
    return search.found


class _Search:
    """The rows that are still open, and the best that was found for all."""

    def __init__(
        self, problem: Problem, start: Multipliers, plan: Plan, linear: Multipliers
    ) -> None:
        self.whole, self.plan, self.frame = problem, plan, frame(problem)
        self.few = problem.variables <= CHEAP
        single = problem.large
        kind = torch.float32 if single else torch.float64
        self.reserve = PACE * float(problem.variables) ** 3 if single else 0.0
        self.rows = torch.arange(problem.rows)
        self.enough = torch.as_tensor(plan.enough, dtype=torch.float64).expand(problem.rows)
        self.lost = torch.zeros(problem.rows, dtype=torch.float64)
        self.trail: list[tuple[Tensor, Tensor]] = []
        self.generator = torch.Generator().manual_seed(plan.seed)
        self.found = Found(
            torch.full((problem.rows,), -torch.inf, dtype=torch.float64),
            {place: one.clone() for place, one in start.items()},
            {place: one.new_zeros(problem.rows, len(one)) for place, one in problem.radius.items()},
            torch.full((problem.rows,), torch.inf, dtype=torch.float64),
        )
        self.problem = problem.cast(kind)
        self.units = {place: one.to(kind) for place, one in _units(problem, linear).items()}
        if plan.quick:
            for place, one in self.units.items():
                if place > 0 and _of_input(problem, place):
                    one[DEPTH] = 0
        self.now = {place: one.to(kind, copy=True) for place, one in start.items()}
        self.means = {place: torch.zeros_like(one) for place, one in self.now.items()}
        self.squares = {place: torch.zeros_like(one) for place, one in self.now.items()}
        self.at = begin(self.problem, plan.rank, self.generator)
        if self.few:  # else it would take longer than all else, for a bound that is known
            self.look()

    def step(self, turn: int) -> None:
        """Move the vectors, then the multipliers."""
        plan = self.plan
        if turn % SHAKEN == 1:
            shake(self.problem, self.at, plan.noise, self.generator)
        sweep(self.problem, self.now, self.at)
        done = max(turn / plan.steps, plan.clock.spent / max(plan.clock.seconds, 1e-9))
        share = (1 + cos(pi * min(done, 1.0))) / 2
        rate = plan.rate * (LAST + (1 - LAST) * share) / (1 - BETAS[0] ** turn)
        for place, slope in slopes(self.problem, self.at).items():
            unit = self.units[place]
            mean, square = self.means[place], self.squares[place]
            mean.lerp_(slope * unit, 1 - BETAS[0])
            square.lerp_((slope * unit) ** 2, 1 - BETAS[1])
            size = (square / (1 - BETAS[1] ** turn)).sqrt_().add_(1e-8)
            now = self.now[place].addcdiv_(unit * mean, size, value=rate)
            if place == SHARES:
                now.clamp_(0, 1)
            else:
                now[SLOPE:].clamp_(min=0)

    def look(self) -> None:
        """Certify what is promising, and go on with what is open."""
        self._settle()
        slack = self._slack()
        self.trail.append((self.rows, slack))
        hopeful = torch.nonzero(self.few | (slack > self.lost[self.rows])).flatten()
        if len(hopeful):
            if not self.few:  # a proof takes longer
                self._settle()
                self._settle()
            self._certify(hopeful, None if self.few else slack[hopeful])
            # what a proof has lost tells when the next is worth its time
            lost = slack + self.enough[self.rows] - self.found.bound[self.rows]
            lost = lost.clamp(max=1.3 * slack.clamp_min(0))
            self.lost[self.rows[hopeful]] = lost[hopeful]
        kept = torch.nonzero(self.found.bound[self.rows] <= self.enough[self.rows]).flatten()
        if len(kept) < len(self.rows):
            self._keep(kept)

    def hopeless(self, done: float, allowed: Tensor) -> bool:
        """Whether some row will not get there: bounds rise ever more slowly.

        Args:
            done: Share of the steps that are done.
            allowed: (R,) by how much rows may miss what is enough.
        """
        if done < SURE or len(self.trail) <= BACK or not len(self.rows):
            return False
        (before, past), (rows, slack) = self.trail[-1 - BACK], self.trail[-1]
        gained = slack - past[torch.searchsorted(before, rows)]
        still = torch.isin(rows, self.rows)
        later = slack + HOPE * gained.clamp_min(0) + allowed[rows]
        return bool((later < 0)[still].any())

    def end(self) -> None:
        """Certify what is open."""
        slack = self._slack()
        for _ in range(LONG if not self.few and bool((slack > 0).any()) else 1):
            self._settle()
        slack = self._slack()
        close = self.few | (slack > 0)
        for which, room in ((close, None), (~close, slack)):
            places = torch.nonzero(which).flatten()
            if len(places):
                self._certify(places, None if room is None else room[places])
        self.found.reached[self.rows] = slack + self.enough[self.rows]

    def _slack(self) -> Tensor:
        """By how much rows are more than enough, if the vectors have settled."""
        reached = value(self.problem, self.now, self.at).double()
        return reached - self.enough[self.rows]

    def _settle(self) -> None:
        for _ in range(SETTLING):
            sweep(self.problem, self.now, self.at)

    def _certify(self, places: Tensor, slack: Tensor | None) -> None:
        """Certificates of some of the open rows; better ones are kept."""
        rows = self.rows[places]
        now = {place: one[:, places].double() for place, one in self.now.items()}
        weights = {place: one[places].double() for place, one in self.at.weights.items()}
        found = proved(self.whole.picked(rows), self.frame, now, weights, slack)
        bound, weights = found.bound, found.weights
        better = bound > self.found.bound[rows]
        rows = rows[better]
        self.found.bound[rows] = bound[better]
        for place, one in now.items():
            self.found.multipliers[place][:, rows] = one[:, better]
        for place, one in weights.items():
            self.found.weights[place][rows] = one[better]

    def _keep(self, kept: Tensor) -> None:
        """Drop rows that are done."""
        self.rows = self.rows[kept]
        self.problem = self.problem.picked(kept)
        for held in (self.now, self.means, self.squares, self.units):
            for place, one in held.items():
                held[place] = one[:, kept].contiguous()
        for other in (
            self.at.values,
            self.at.pulled,
            self.at.weights,
            self.at.origin,
            self.at.stiff,
        ):
            for place, one in other.items():
                other[place] = one[kept].contiguous()


def _of_input(problem: Problem, place: int) -> bool:
    node = problem.network.nodes[problem.neurons[place].parent - 1]
    return isinstance(node, Sum) and 0 in node.parents


def _units(problem: Problem, start: Multipliers) -> dict[int, Tensor]:
    """The size of a step of each multiplier: what those at the start are of the place on average.

    A row may owe nothing to a place at the start, where it takes a share of the average of all.
    """
    counts = {place: one.free.sum().clamp_min(1) for place, one in problem.neurons.items()}
    totals = {place: start[place].abs().sum(dim=(0, 2)) for place in counts}
    overall = sum(totals.values(), torch.zeros(())) / max(1.0, float(sum(counts.values())))
    found = {}
    for place, neurons in problem.neurons.items():
        own = torch.maximum(totals[place] / counts[place], 0.1 * overall)[:, None]
        # products are of values as large as the radius, so that their multipliers are smaller
        radius = problem.radius[place].clamp_min(1e-9)
        wide = torch.maximum(radius, neurons.depth / 2)
        unit = torch.stack(
            [own / radius, *(own.expand(-1, len(radius)) for _ in range(3)), own / wide]
        )
        found[place] = unit * neurons.free
    if SHARES in start:
        found[SHARES] = torch.ones_like(start[SHARES])
    return found
