"""What is done to examples before a network sees them: attacks, corruptions, noise, by name.

The corruption of an example depends on its place in the data, the attack on the example alone, and
neither on the batch it comes in.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nncli import attacks, corruptions
from nncli.attacks.attack import PGD_STEPS, Attack
from nncli.errors import MismatchError
from nncli.forward import Batch, Inputs, first_tensor, run
from nncli.predicting import Perturb

Array = NDArray[Any]


@dataclass(frozen=True)
class Change:
    """One thing done to the examples; nothing is done where the strength is 0.

    Attributes:
        name: A key of `nncli.attacks.attack.ATTACKS` or of `nncli.corruptions.CORRUPTIONS`, or
            `SMOOTHING`.
        strength: Radius of the ball, in units of the input, severity, 1 to 5, or standard
            deviation of the noise that answers are averaged over.
        norm: Norm of the ball; `None` for corruptions.
        target: Class to drive examples to, or `least-likely`; `None` for away from their own.
    """

    name: str = ""
    strength: float = 0
    norm: attacks.Norm | None = None
    target: int | str | None = None

    @property
    def label(self) -> str | None:
        """Its name with its strength, `None` where nothing is done."""
        towards = None if self.target is None else f"to-{self.target}"
        parts = (self.name, towards, self.norm, f"{self.strength:g}")
        return "-".join(part for part in parts if part) if self.strength else None


CLEAN = Change()
SMOOTHING = "smoothing"


def perturber(network: nn.Module, change: Change, inputs: Inputs, *, seed: int) -> Perturb | None:
    """A change as something done to batches.

    Args:
        network: The network that is attacked, in evaluation mode.
        change: What to do.
        inputs: All examples; an attack stays in [0, 1] where all of them do.
        seed: Seed of the noise of corruptions.

    Returns:
        The function; `None` where nothing is done, or where it is done many times: smoothing.
    """
    if not change.strength or change.name == SMOOTHING:
        return None
    if change.norm is None:
        return _corrupter(change, seed)
    return _attacker(network, change, attacks.valid_box(torch.from_numpy(np.asarray(inputs.x))))


def _attacker(network: nn.Module, change: Change, box: attacks.Box | None) -> Perturb:
    def perturb(batch: Batch, labels: Tensor | None) -> Batch:
        assert labels is not None
        assert change.norm is not None
        numbers = labels.is_floating_point()
        y = labels.to(batch.x.device, batch.x.dtype if numbers else None)

        def model(x: Tensor) -> Tensor:
            outputs = first_tensor(run(network, replace(batch, x=x)))
            assert outputs is not None
            return outputs

        given: dict[str, Any] = {
            "epsilon": change.strength,
            "norm": change.norm,
            "box": box,
            "loss": attacks.squared_error if numbers else attacks.cross_entropy,
        }
        if change.target is not None:
            with torch.no_grad():
                target = Attack(change.name, target=change.target).targets(model(batch.x))
            assert target is not None
            given["loss"] = attacks.towards("cross-entropy", target)
        if change.name == "autopgd":
            return replace(batch, x=attacks.autopgd(model, batch.x, y, **given))
        if change.name == "fgsm":
            return replace(batch, x=attacks.fgsm(model, batch.x, y, **given))
        sizes = attacks.constant_schedule(change.strength, PGD_STEPS)
        return replace(batch, x=attacks.pgd(model, batch.x, y, step_sizes=sizes, **given))

    return perturb


def _corrupter(change: Change, seed: int) -> Perturb:
    def perturb(batch: Batch, labels: Tensor | None) -> Batch:
        images, severity = batch.x.cpu().numpy(), int(change.strength)
        x = corruptions.corrupt(images, change.name, severity, seed=seed, start=batch.start)
        return replace(batch, x=torch.from_numpy(x).to(batch.x.device))

    return perturb


def demand_changeable(change: Change, inputs: Inputs, y: Array | None, *, source: str) -> None:
    """Refuse a change that the data do not allow.

    Args:
        change: What is to be done.
        inputs: The examples.
        y: Their labels.
        source: What the data are called, for the error.

    Raises:
        MismatchError: An attack on token ids or without labels, noise on token ids or where labels
            are numbers, or a corruption of anything but images (n, channels, height, width) with
            values in [0, 1]; or a class to drive predicted numbers to.
    """
    if not change.strength:
        return
    if change.target is not None and y is not None and y.dtype.kind == "f":
        raise MismatchError(
            f"`{source}` has numbers for labels, and no class is a target for those"
        )
    if change.name == SMOOTHING:
        if inputs.x.dtype.kind != "f":
            raise MismatchError(f"`{source}` holds token ids, which take no noise")
        if y is not None and y.dtype.kind == "f":
            raise MismatchError(f"`{source}` has numbers for labels; smoothing is for classes")
    elif change.norm is None:
        _demand_images(np.asarray(inputs.x), source)
    elif inputs.x.dtype.kind != "f":
        raise MismatchError(f"`{source}` holds token ids, which have no neighbours to attack with")
    elif y is None:
        raise MismatchError(f"`{source}` has no labels for an attack to drive a network away from")


def _demand_images(x: Array, source: str) -> None:
    if x.ndim == 4 and x.dtype == np.float32 and attacks.valid_box(torch.from_numpy(x)):
        return
    raise MismatchError(
        f"corruptions are for images with values from 0 to 1; `{source}` has {list(x.shape[1:])} "
        f"an example, from {x.min():g} to {x.max():g}",
        hint="store images as bytes, or as (n, channels, height, width) scaled to [0, 1]",
    )
