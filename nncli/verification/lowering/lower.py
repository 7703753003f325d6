"""A network as sums of linear maps and functions of single numbers."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nncli.checkpoints.graph import Step
from nncli.checkpoints.program import Program
from nncli.errors import ArtifactError
from nncli.forward import Batch, first_tensor, run
from nncli.verification.lowering import (
    arithmetic,
    linear,
    moves,
    piecewise,
    softmax,
    unrolled,
    windows,
)
from nncli.verification.lowering.builder import Builder, identity
from nncli.verification.lowering.dispatch import Dispatch
from nncli.verification.lowering.folding import folded
from nncli.verification.lowering.tape import Tape
from nncli.verification.lowering.tracked import Tracked, tracked_example, value_of
from nncli.verification.lowering.values import Value
from nncli.verification.lowering.work import Mark, Marked, Work
from nncli.verification.network import Activation, Network

TABLES = (arithmetic, linear, moves, piecewise, softmax, unrolled, windows)
HANDLERS = {name: one for table in TABLES for name, one in table.HANDLERS.items()}
SETTLING = (
    arithmetic.SETTLING
    | linear.SETTLING
    | piecewise.SETTLING
    | windows.SETTLING
    | unrolled.SETTLING
)
MARKED = (*arithmetic.MARKED, *moves.MARKED)


class Recorded(NamedTuple):
    """A lowered network whose original was taken down.

    Attributes:
        whole: Before it was folded: what the values of the tape are of.
        network: After.
        places: Where the nodes of the first that are left stand in the second.
        traced: (m,) where the outputs stand on the tape, -1 for constants.
    """

    whole: Network
    network: Network
    places: dict[int, int]
    traced: Tensor | None


def lower(
    network: nn.Module, shape: Sequence[int], *, source: str, drop_softmax: bool = False
) -> Network:
    """Write a network as linear maps and ReLU, sigmoid and tanh.

    The network runs once, on one example of which only the shape is known. All weights are taken to
    float64, which holds their stored numbers exactly. What is computed from weights alone (the
    factors of batch norm, `1 - slope` of a leaky ReLU, the weights of means, biases that a constant
    shift goes through) is rounded to float64 once, by about one part in 10^16: what is verified is
    the network with those constants. Changes between types of floating point count for nothing, as
    numbers are real ones here. Any scaling of inputs that the network does itself is part of it.

    Args:
        network: The network, in evaluation mode. It stays as it is.
        shape: Shape of one example.
        source: The file, for errors.
        drop_softmax: Leave out a softmax, or its logarithm, over all outputs. That keeps their
            order, and nothing else: only for properties that compare outputs with each other.

    Returns:
        The network on flat vectors.

    Raises:
        ArtifactError: It has an operator that cannot be written so, or its course depends on the
            input; the operator and the layer or node it belongs to are named.
        MismatchError: It cannot take such an example.
    """
    return folded(_lowered(network, shape, source, None, drop_softmax=drop_softmax)[0])[0]


def recorded(network: nn.Module, shape: Sequence[int], tape: Tape, *, source: str) -> Recorded:
    """Lower a network, and take down what it does itself; see `lower`.

    Args:
        network: The network.
        shape: Shape of one example.
        tape: Takes down its operators.
        source: The file, for errors.

    Returns:
        The network, and how its nodes and its outputs are those of the original.

    Raises:
        ArtifactError: Also if what the network does is not known to the tape.
        MismatchError: It cannot take such an example.
    """
    whole, traced = _lowered(network, shape, source, tape, drop_softmax=False)
    return Recorded(whole, *folded(whole), traced)


def _lowered(
    network: nn.Module,
    shape: Sequence[int],
    source: str,
    tape: Tape | None,
    *,
    drop_softmax: bool,
) -> tuple[Network, Tensor | None]:
    """The network before it is folded, and where its outputs stand on the tape."""
    builder = Builder(torch.Size(shape).numel())
    handlers = HANDLERS if tape is None else tape.taking(HANDLERS)
    work = Work(builder, handlers, SETTLING, MARKED, f"`{source}`", tape)
    double = as_double(network)
    dispatch = Dispatch(work)
    with torch.no_grad(), labelled(double, work, source), dispatch:
        answer = first_tensor(run(double, Batch(0, tracked_example(work, shape), None)))
    answer = dispatch.seen(answer)
    if not isinstance(answer, Tracked):
        raise ArtifactError(f"what `{source}` puts out does not depend on the input")
    value = value_of(answer)
    if isinstance(value, Marked):
        if not (value.mark.is_softmax and drop_softmax):
            raise _refusal_of_end(work, value.mark)
        value = value.value
    if isinstance(value, Tensor):
        raise ArtifactError(f"what `{source}` puts out does not depend on the input")
    _finish(builder, value, answer.store.label)
    traced = None if value.traced is None else value.traced.flatten()
    assert tape is None or traced is not None, "all outputs are taken down"
    return Network(builder.inputs, tuple(builder.nodes), tuple(shape)), traced


def _refusal_of_end(work: Work, mark: Mark) -> ArtifactError:
    if not mark.is_softmax:
        return work.refusal(mark.message)
    if work.tape is not None:
        return ArtifactError(
            f"{work.where} ends in a softmax, whose results float32 may round to the same number",
            hint="`--float-margin` needs the network up to there; without it, outputs are compared "
            "as real numbers, whose order a softmax keeps",
        )
    return ArtifactError(
        mark.message,
        hint="at the end it is left out for properties that only compare outputs with each other, "
        "as it keeps their order; this one does more, so verify the network up to there",
    )


def as_double(network: nn.Module) -> nn.Module:
    """A copy of a network with weights of float64, on the CPU."""
    made = copy.deepcopy(network).to("cpu", torch.float64).requires_grad_(False)
    if isinstance(made, Program):
        made._inputs = tuple(
            replace(one, dtype=torch.float64) if one.dtype.is_floating_point else one
            for one in made._inputs
        )
    return made


def _finish(builder: Builder, value: Value, label: str) -> None:
    """Make the output the last node, and a sum."""
    builder.label = label
    place = builder.place(value)
    is_last = place == len(builder.nodes)
    if place and not (is_last and not isinstance(builder.nodes[-1], Activation)):
        builder.sum((place,), (identity(builder.size(place)),))


@contextmanager
def labelled(network: nn.Module, work: Work, source: str) -> Iterator[None]:
    """Note which layer, or which node of a graph, is running."""
    if isinstance(network, Program):
        network._steps = tuple(_noting(one, work) for one in network._steps)
        yield
        return
    stack: list[tuple[str, str]] = []

    def enter(path: str) -> Callable[..., None]:
        def note(module: nn.Module, given: Any) -> None:
            stack.append((work.builder.label, work.where))
            work.builder.label, work.where = path, f"`{source}`: `{path}`"

        return note

    def leave(module: nn.Module, given: Any, answer: Any) -> None:
        work.builder.label, work.where = stack.pop()

    handles = []
    for path, module in network.named_modules():
        if path:
            handles.append(module.register_forward_pre_hook(enter(path)))
            handles.append(module.register_forward_hook(leave))
    try:
        yield
    finally:
        for one in handles:
            one.remove()


def _noting(step: Step, work: Work) -> Step:
    """A step that says that it is running."""
    where = step.label.rpartition(" (")[0] or step.label
    name = step.layers[0] if step.layers else where.rpartition("`: ")[2].strip("`")

    def call(*given: Any, **named: Any) -> Any:
        work.builder.label, work.where = name, where
        return step.function(*given, **named)

    return replace(step, function=call)
