"""Loss and accuracy of a network on a data set."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nncli import attacks

BATCH = 512


@dataclass(frozen=True)
class Examples:
    """Inputs and targets.

    Attributes:
        x: Inputs (n, ...), float32, or token ids (n, length).
        y: Classes (n,), int64, or real targets (n,), float32.
        mask: Which tokens count (n, length), or None.
    """

    x: Tensor
    y: Tensor
    mask: Tensor | None = None

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: Tensor | slice) -> "Examples":
        return Examples(self.x[rows], self.y[rows], None if self.mask is None else self.mask[rows])


@dataclass(frozen=True)
class Score:
    """How well a network does.

    Attributes:
        loss: Mean cross-entropy in nats, or mean squared error; None for no examples.
        accuracy: Share of right classes; None for real targets or no examples.
    """

    loss: float | None
    accuracy: float | None


def outputs_of(module: nn.Module, examples: Examples) -> Tensor:
    """The outputs (n, ...) of a network; a mask is handed over only where there is one."""
    if examples.mask is None:
        return module(examples.x)  # type: ignore[no-any-return]
    return module(examples.x, mask=examples.mask)  # type: ignore[no-any-return]


def losses_of(outputs: Tensor, y: Tensor) -> Tensor:
    """Losses (n,): cross-entropy for classes, the squared error for real targets."""
    loss = attacks.squared_error if y.is_floating_point() else attacks.cross_entropy
    return loss(outputs, y)


def evaluate(
    module: nn.Module,
    examples: Examples,
    attack: Callable[[Examples], Examples] | None = None,
) -> Score:
    """Measure a network in evaluation mode.

    Args:
        module: The network; its mode is put back.
        examples: What to measure it on.
        attack: Perturbs each batch first.

    Returns:
        Loss and accuracy.
    """
    if not len(examples):
        return Score(None, None)
    mode = module.training
    module.eval()
    loss, right = 0.0, 0
    classes = not examples.y.is_floating_point()
    for start in range(0, len(examples), BATCH):
        batch = examples[slice(start, start + BATCH)]
        batch = attack(batch) if attack else batch
        with torch.no_grad():
            outputs = outputs_of(module, batch)
            loss += float(losses_of(outputs, batch.y).double().sum())
            right += int((outputs.argmax(1) == batch.y).sum()) if classes else 0
    module.train(mode)
    return Score(loss / len(examples), right / len(examples) if classes else None)
