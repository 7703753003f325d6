"""What a network answers to examples, and how wrong that is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nncli import attacks
from nncli.errors import ArtifactError, MismatchError
from nncli.forward import Batch, first_tensor, run
from nncli.smoothing import Certificate, Smoothing, joined, smoothed

Array = NDArray[Any]
Perturb = Callable[[Batch, Tensor | None], Batch]


@dataclass(frozen=True)
class Answers:
    """What one network answers.

    Attributes:
        values: (n, C) float32 logits, or (n,) float64 predicted numbers.
        losses: (n,) float64: cross-entropy in nats, or squared error; `None` without labels.
        certificate: What is certain of a smoothed classifier; `None` without smoothing.
    """

    values: Array
    losses: Array | None
    certificate: Certificate | None = None

    @property
    def certified(self) -> tuple[Array, Array] | None:
        """The classes and radii of the certificate."""
        found = self.certificate
        return None if found is None else (found.classes, found.radii)


def predict(
    network: nn.Module,
    stream: Iterable[Batch],
    y: Array | None,
    *,
    perturb: Perturb | None = None,
    smoothing: Smoothing | None = None,
    name: str,
    data: str,
) -> Answers:
    """Run a network over examples.

    Args:
        network: The network, in evaluation mode.
        stream: Batches, in order.
        y: (n,) int64 classes or float64 targets of all examples, if there are any.
        perturb: What is done to each batch, given its labels, before the network sees it.
        smoothing: Answer with the mean of the probabilities under noise, as its logarithms.
        name: What the network is called, for errors.
        data: What the data are called, for errors.

    Returns:
        The answers in the order of the examples.

    Raises:
        MismatchError: The network does not put out one vector an example, or one number where the
            labels are numbers; or a label is no class of it.
        ArtifactError: An answer is NaN or infinite; its row is named.
    """
    values, losses, certificates = [], [], []
    for batch in stream:
        labels = None if y is None else torch.tensor(y[batch.start : batch.start + len(batch)])
        given = batch if perturb is None else perturb(batch, labels)
        if smoothing is None:
            with torch.inference_mode():
                answers = _shaped(outputs_of(network, given).cpu(), labels, name=name)
        else:
            means, certificate = smoothed(network, given, smoothing, name=name)
            answers = means.float()
            certificates.append(certificate)
        _demand_finite(answers, batch.start, name=name, data=data)
        if labels is not None:
            losses.append(losses_of(answers, labels, batch.start, name=name, data=data))
        values.append(answers.numpy())
    found = Answers(np.concatenate(values), np.concatenate(losses) if losses else None)
    return replace(found, certificate=joined(certificates)) if certificates else found


def outputs_of(network: nn.Module, batch: Batch) -> Tensor:
    """The outputs of a network, one row an example.

    Raises:
        MismatchError: The network puts out no tensor, or one without a row for each example.
    """
    outputs = first_tensor(run(network, batch))
    if outputs is None or outputs.shape[:1] != (len(batch),):
        told = "no tensor" if outputs is None else f"{tuple(outputs.shape)}"
        raise MismatchError(f"the network answers {len(batch)} examples with {told}")
    return outputs


def _shaped(outputs: Tensor, labels: Tensor | None, *, name: str) -> Tensor:
    """Logits (rows, C) in float32, or, where labels are numbers, predictions (rows,) in float64.

    Without labels, a single output is taken for a predicted number.
    """
    shape = tuple(outputs.shape[1:])
    one = shape in ((), (1,))
    if one if labels is None else labels.is_floating_point():
        if not one:
            raise MismatchError(
                f"`{name}` answers an example with {shape}, the data have one number to predict",
                hint="classes are integers or text: are the labels stored as floats?",
            )
        return outputs.reshape(-1).double()
    if len(shape) != 1:
        raise MismatchError(
            f"`{name}` answers an example with {shape or 'one number'}, expected a logit for each "
            "class",
            hint="`nncli capture` keeps what has positions, for instance the answers of a language "
            "model; embeddings without a classifier have no classes",
        )
    return outputs.float()


def _demand_finite(values: Tensor, start: int, *, name: str, data: str) -> None:
    finite = torch.isfinite(values)
    if not finite.all():
        row = int(finite.reshape(len(values), -1).all(dim=1).logical_not().nonzero()[0])
        bad = float(values[row][finite[row].logical_not()].flatten()[0])
        raise ArtifactError(
            f"`{name}` answers row {start + row} of `{data}` with {bad}",
            hint="did the training diverge, or is the checkpoint damaged?",
        )


def losses_of(answers: Tensor, labels: Tensor, start: int, *, name: str, data: str) -> Array:
    """Losses in float64: cross-entropy in nats for classes, squared error for numbers.

    Args:
        answers: (rows, C) logits, or (rows,) predictions.
        labels: (rows,) classes or targets.
        start: The place of the first row in the data, for the error.
        name: What the network is called, for the error.
        data: What the data are called, for the error.

    Returns:
        (rows,) losses.

    Raises:
        MismatchError: A label is no class of the network.
    """
    if labels.is_floating_point():
        squared: Array = attacks.squared_error(answers, labels.double()).numpy()
        return squared
    if int(labels.max()) >= answers.shape[1]:
        row = int((labels >= answers.shape[1]).nonzero()[0])
        raise MismatchError(
            f"row {start + row} of `{data}` has the label {int(labels[row])}, `{name}` answers "
            f"with {answers.shape[1]} classes, counted from 0",
            hint="is it the right `--data`, and the right checkpoint?",
        )
    losses: Array = functional.cross_entropy(answers.double(), labels, reduction="none").numpy()
    return losses
