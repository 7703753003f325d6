"""Properties of networks as they run in float32, by way of the real numbers that proofs are about.

What a network gives in float32 is off by a bounded amount from the real function of its stored
weights (`nncli.verification.float32`). A condition `c . y + k >= 0` that holds for an output in
float32 therefore holds for the real one with `k` raised by `sum_i |c_i| e_i`. So the property with
raised constants, over a region that holds every float32 input there is to consider, is proved for
real numbers like any other, and then no input can violate the property itself in float32.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nncli.errors import ArtifactError
from nncli.forward import Batch, run
from nncli.verification.clock import Clock, OutOfTime
from nncli.verification.exact import Asked
from nncli.verification.float32.errors import Traced, traced
from nncli.verification.float32.original import Original
from nncli.verification.properties import Violation
from nncli.verification.queries import queries
from nncli.verification.tightening import Effort

WAY_OUT = "leave out `--float-margin`: then verdicts are about real numbers"


@dataclass(frozen=True)
class Strengthened:
    """A property with room for the rounding of float32.

    Attributes:
        question: The property; its exact cases, which counterexamples meet, are as they were.
        margin: The most that a constant was raised by; infinite where float32 may overflow, and the
            property is as it was.
    """

    question: Asked
    margin: float

    @property
    def is_provable(self) -> bool:
        """Whether a proof of it says anything of float32."""
        return self.margin < float("inf")


def demand_single(network: nn.Module, shape: Sequence[int], name: str) -> None:
    """Refuse a network that does not compute in float32.

    Args:
        network: The network.
        shape: Shape of one example.
        name: What it is called.

    Raises:
        ArtifactError: It has weights of another type, or takes numbers to half precision.
        MismatchError: It cannot take such an example.
    """
    for path, one in (*network.named_parameters(), *network.named_buffers()):
        if one.is_floating_point() and one.dtype != torch.float32:
            raise ArtifactError(
                f"`{name}` has weights of {_told(one)} (`{path}`), and `--float-margin` is about "
                "networks in float32",
                hint=WAY_OUT,
            )
    with torch.inference_mode(), _Watching(name):
        run(network, Batch(0, torch.zeros(1, *shape), None))


class _Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees what `torch.autocast` does, which leaves numbers of float64 alone."""

    def __init__(self, name: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.name = name

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to skip it, torch would import the compiler

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, list | tuple) else (made,):
            if isinstance(one, Tensor) and one.is_floating_point() and one.element_size() < 4:
                raise ArtifactError(
                    f"`{self.name}` takes numbers to {_told(one)}, and `--float-margin` is about "
                    "networks in float32",
                    hint=WAY_OUT,
                )
        return made


def _told(one: Tensor) -> str:
    return str(one.dtype).removeprefix("torch.")


def strengthened_in_time(
    question: Asked, original: Original, numbers: int, seconds: float
) -> Strengthened:
    """Strengthen a property by linear bounds; if they take too long, by interval arithmetic.

    Args:
        question: The property.
        original: What the network does.
        numbers: Numbers of float64 held at once, about.
        seconds: What linear bounds may take.

    Returns:
        See `strengthened`.
    """
    clock = Clock(seconds)
    try:
        effort = Effort(numbers=numbers // 4, pause=clock.check)
        return strengthened(question, original, effort)
    except OutOfTime:
        return strengthened(question, original, Effort(backward=False))


def strengthened(question: Asked, original: Original, effort: Effort) -> Strengthened:
    """Raise the constants of a property by what float32 may be off.

    Args:
        question: The property.
        original: What the network does.
        effort: How hard to try for the intervals that errors are proportional to.

    Returns:
        The property of real numbers that implies the one of float32.

    Raises:
        ArtifactError: It speaks of more than linear functions of outputs.
    """
    if question.squares is not None:
        raise ArtifactError(
            f"`{question.name}` speaks of products; `--float-margin` is about linear conditions",
            hint=WAY_OUT,
        )
    wide = replace(question, violations=tuple(_widened(one) for one in question.violations))
    found: dict[int, Violation] = {}
    margin = 0.0
    for query in queries(wide):
        rounding = traced(original, query.region, effort)
        for place in query.numbers:
            one = wide.violations[place]
            raised = _raised(rounding, one.outputs)
            margin = max(margin, float(raised.max()) if len(raised) else 0.0)
            constants = torch.nextafter(one.constants + raised, torch.tensor(torch.inf).double())
            found[place] = replace(one, constants=constants)
    if not margin < float("inf"):
        return Strengthened(question, float("inf"))
    violations = _in_order(found, len(question.violations))
    return Strengthened(replace(question, violations=violations), margin)


def _in_order(found: Mapping[int, Violation], count: int) -> tuple[Violation, ...]:
    return tuple(found[place] for place in range(count))


def _widened(one: Violation) -> Violation:
    """With the float32 numbers that stand for limits which have none between them."""
    region = one.region
    low = torch.minimum(region.low, region.inner_low)
    high = torch.maximum(region.high, region.inner_high)
    return replace(one, region=replace(region, low=low, high=high))


def _raised(run: Traced, factors: Tensor) -> Tensor:
    """(R,) how far conditions with factors (R, m) of the outputs may be off."""
    places = run.original.lowered.traced
    assert places is not None, "it was taken down"
    return run.of_sums(places, factors)
