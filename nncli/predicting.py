"""What a network answers to examples, and how wrong that is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nncli import attacks, corruptions
from nncli.errors import ArtifactError, MismatchError
from nncli.forward import Batch, first_tensor, run

Array = NDArray[Any]
Perturb = Callable[[Batch, Tensor | None], Batch]

ATTACKS = {
    "fgsm": "one step up the gradient of the loss",
    "pgd": "20 projected steps up the gradient of the loss, from the example itself",
}
PGD_STEPS = 20


@dataclass(frozen=True)
class Answers:
    """What one network answers.

    Attributes:
        values: (n, C) float32 logits, or (n,) float64 predicted numbers.
        losses: (n,) float64: cross-entropy in nats, or squared error; `None` without labels.
    """

    values: Array
    losses: Array | None


def predict(
    network: nn.Module,
    stream: Iterable[Batch],
    y: Array | None,
    *,
    perturb: Perturb | None = None,
    name: str,
    data: str,
) -> Answers:
    """Run a network over examples.

    Args:
        network: The network, in evaluation mode.
        stream: Batches, in order.
        y: (n,) int64 classes or float64 targets of all examples, if there are any.
        perturb: What is done to each batch, given its labels, before the network sees it.
        name: What the network is called, for errors.
        data: What the data are called, for errors.

    Returns:
        The answers in the order of the examples.

    Raises:
        MismatchError: The network does not put out one vector an example, or one number where the
            labels are numbers; or a label is no class of it.
        ArtifactError: An answer is NaN or infinite; its row is named.
    """
    values, losses = [], []
    for batch in stream:
        labels = None if y is None else torch.tensor(y[batch.start : batch.start + len(batch)])
        given = batch if perturb is None else perturb(batch, labels)
        with torch.inference_mode():
            answers = outputs_of(network, given).cpu()
        answers = _shaped(answers, labels, name=name)
        _demand_finite(answers, batch.start, name=name, data=data)
        if labels is not None:
            losses.append(losses_of(answers, labels, batch.start, name=name, data=data))
        values.append(answers.numpy())
    return Answers(np.concatenate(values), np.concatenate(losses) if losses else None)


def outputs_of(network: nn.Module, batch: Batch) -> Tensor:
    """The outputs of a network, one row an example.

    Raises:
        MismatchError: The network puts out no tensor, or one without a row for each example.
    """
    outputs = first_tensor(run(network, batch))
    if outputs is None or outputs.shape[:1] != (len(batch.x),):
        told = "no tensor" if outputs is None else f"{tuple(outputs.shape)}"
        raise MismatchError(f"the network answers {len(batch.x)} examples with {told}")
    return outputs[: len(batch)]


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


def attacker(
    network: nn.Module, attack: str, *, epsilon: float, norm: attacks.Norm, box: attacks.Box | None
) -> Perturb:
    """An attack on a network as something done to batches.

    Args:
        network: The network, in evaluation mode.
        attack: A key of `ATTACKS`.
        epsilon: Radius of the ball, in units of the input.
        norm: `linf` or `l2`.
        box: Lowest and highest valid input, `None` for no limit.

    Returns:
        The function; it needs labels.
    """

    def perturb(batch: Batch, labels: Tensor | None) -> Batch:
        assert labels is not None
        missing = len(batch.x) - len(labels)  # a filled batch repeats its last example
        y = torch.cat([labels, labels[-1:].expand(missing)]).to(batch.x.device)
        numbers = y.is_floating_point()
        loss = attacks.squared_error if numbers else attacks.cross_entropy

        def model(x: Tensor) -> Tensor:
            outputs = first_tensor(run(network, replace(batch, x=x)))
            assert outputs is not None
            return outputs

        given: dict[str, Any] = {"epsilon": epsilon, "norm": norm, "box": box, "loss": loss}
        y = y.to(batch.x.dtype) if numbers else y
        if attack == "fgsm":
            return replace(batch, x=attacks.fgsm(model, batch.x, y, **given))
        sizes = attacks.constant_schedule(epsilon, PGD_STEPS)
        return replace(batch, x=attacks.pgd(model, batch.x, y, step_sizes=sizes, **given))

    return perturb


def corrupter(corruption: str, severity: int, *, seed: int) -> Perturb:
    """A corruption as something done to batches; it depends on the place of an example only.

    Args:
        corruption: A key of `nncli.corruptions.CORRUPTIONS`.
        severity: 1 to 5.
        seed: Seed of the noise.

    Returns:
        The function.
    """

    def perturb(batch: Batch, labels: Tensor | None) -> Batch:
        x = batch.x.cpu().numpy()
        changed = corruptions.corrupt(x, corruption, severity, seed=seed, start=batch.start)
        return replace(batch, x=torch.from_numpy(changed).to(batch.x.device))

    return perturb


def demand_images(x: Array, *, data: str) -> None:
    """Refuse to corrupt what is no image.

    Raises:
        MismatchError: The inputs are not (n, channels, height, width) with values in [0, 1].
    """
    if x.ndim == 4 and x.dtype == np.float32 and attacks.valid_box(torch.from_numpy(x)):
        return
    raise MismatchError(
        f"corruptions are for images with values from 0 to 1; `{data}` has {list(x.shape[1:])} an "
        f"example, from {x.min():g} to {x.max():g}",
        hint="store images as bytes, or as (n, channels, height, width) scaled to [0, 1]",
    )


def demand_numbers(x: Array, y: Array | None, *, data: str) -> None:
    """Refuse to attack what has no gradient.

    Raises:
        MismatchError: The inputs are token ids, or there are no labels.
    """
    if x.dtype.kind != "f":
        raise MismatchError(f"`{data}` holds token ids, which have no neighbours to attack with")
    if y is None:
        raise MismatchError(f"`{data}` has no labels, which an attack drives the network away from")
