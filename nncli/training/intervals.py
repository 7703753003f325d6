"""Interval bound propagation: a bound of the loss over a ball that can be trained on.

In the arithmetic of the network itself: good for training and for a curve of it, not for a proof,
which `nncli verify` gives.

References:
    Gowal et al., "On the Effectiveness of Interval Bound Propagation for Training Verifiably Robust
    Models", 2018.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nncli.architectures import build
from nncli.architectures.chains import Chain
from nncli.errors import UsageError
from nncli.training.evaluation import BATCH, Examples
from nncli.training.recipe import Intervals

RISING = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.Tanh, nn.Sigmoid, nn.MaxPool2d)
KEPT = (nn.Flatten, nn.Identity)


def demand_intervals(arch: str, classes: int | None, *, source: str) -> None:
    """Refuse what intervals cannot be trained on, before the first step.

    Args:
        arch: Architecture spec.
        classes: Number of classes of the data; None for real targets.
        source: The data as the user named it.

    Raises:
        UsageError: The targets are real, or see `layers_of`.
    """
    if classes is None:
        raise UsageError("`--defence ibp` needs classes", hint=f"`{source}` has real targets")
    layers_of(build(arch, seed=0))


def layers_of(module: nn.Module) -> tuple[nn.Module, ...]:
    """The layers of a chain, in the order in which they are applied.

    Args:
        module: An mlp or a cnn of `nncli.architectures`, or an `nn.Sequential`.

    Returns:
        Its layers; the last is linear.

    Raises:
        UsageError: It is something else, or has a layer whose intervals are not known.
    """
    if not isinstance(module, Chain | nn.Sequential):
        raise UsageError(
            "intervals go through chains of layers",
            hint="`--defence ibp` is for `mlp:...`, `cnn:...` and `nn.Sequential`",
        )
    found = tuple(_leaves(module))
    for layer in found:
        if not isinstance(layer, (nn.Linear, nn.Conv2d, *RISING, *KEPT)):
            raise UsageError(
                f"intervals do not go through {type(layer).__name__}",
                hint="`--defence ibp` takes the activations relu, leaky-relu, elu, tanh and "
                "sigmoid, and no normalisation",
            )
    if not found or not isinstance(found[-1], nn.Linear):
        raise UsageError("the last layer is not linear", hint="`--defence ibp` bounds its margins")
    return found


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if any(True for _ in child.children()):
            yield from _leaves(child)
        elif not isinstance(child, nn.Sequential | nn.ModuleList):  # an empty one
            yield child


def through(layers: Sequence[nn.Module], low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """What layers can give for inputs between two limits.

    Args:
        layers: Layers of `layers_of`.
        low: Least inputs (n, ...).
        high: Greatest inputs (n, ...).

    Returns:
        Least and greatest outputs, each (n, ...).
    """
    for layer in layers:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            middle, radius = layer((low + high) / 2), _spread(layer, (high - low) / 2)
            low, high = middle - radius, middle + radius
        else:
            low, high = layer(low), layer(high)
    return low, high


def _spread(layer: nn.Linear | nn.Conv2d, radius: Tensor) -> Tensor:
    """How far outputs move when each input moves by up to its radius."""
    weight = layer.weight.abs()
    if isinstance(layer, nn.Linear):
        return functional.linear(radius, weight)
    return functional.conv2d(
        radius, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups
    )


def ball(x: Tensor, epsilon: float, box: tuple[float, float] | None) -> tuple[Tensor, Tensor]:
    """The l-infinity ball around inputs (n, ...), within the box of valid inputs."""
    low, high = x - epsilon, x + epsilon
    return (low, high) if box is None else (low.clamp_min(box[0]), high.clamp_max(box[1]))


def worst_margins(
    module: nn.Module, batch: Examples, epsilon: float, box: tuple[float, float] | None
) -> Tensor:
    """Lower bounds of how far the right class is ahead of each class, over balls.

    The last layer is taken together with the differences of its outputs, which is tighter than
    differences of intervals.

    Args:
        module: The network.
        batch: Inputs (n, ...) and classes (n,).
        epsilon: Radius of the l-infinity ball.
        box: Lowest and highest valid input value, None for no limit.

    Returns:
        Margins (n, classes); 0 for the right class itself.

    Raises:
        UsageError: See `layers_of`.
    """
    *body, head = layers_of(module)
    assert isinstance(head, nn.Linear)
    x = batch.x.to(head.weight.dtype)
    if isinstance(module, Chain):
        x = x.reshape(len(x), *module.spec.input_shape)
    low, high = through(body, *ball(x, epsilon, box))
    middle, radius = ((low + high) / 2).flatten(1), ((high - low) / 2).flatten(1)
    outputs = head(middle)
    own = batch.y[:, None]
    differences = head.weight[batch.y][:, None] - head.weight  # (n, classes, features)
    spread = torch.einsum("ncf,nf->nc", differences.abs(), radius)
    margins: Tensor = outputs.gather(1, own) - outputs - spread
    return margins


def bounded_losses(
    module: nn.Module, batch: Examples, epsilon: float, box: tuple[float, float] | None
) -> Tensor:
    """Losses (n,) that no input of the ball exceeds: the cross-entropy of the worst margins."""
    return functional.cross_entropy(
        -worst_margins(module, batch, epsilon, box), batch.y, reduction="none"
    )


def robust_loss(
    module: nn.Module, batch: Examples, clean: Tensor, how: Intervals, progress: float
) -> Tensor:
    """What interval bound propagation descends: a mixture of the clean and the bounded loss.

    While training goes on, the radius grows from 0 to its full size and the share of the clean
    loss falls from 1 to its last value, both in a straight line, up to `how.ramp` of the training.

    Args:
        module: The network.
        batch: Inputs (n, ...) and classes (n,).
        clean: Losses (n,) at the inputs themselves.
        how: Radius, box and schedule.
        progress: Share of the training that is done, 0 to 1.

    Returns:
        The mean loss.

    Raises:
        UsageError: See `layers_of`.
    """
    risen = min(1.0, progress / how.ramp)
    kappa = 1 - (1 - how.kappa) * risen
    worst = bounded_losses(module, batch, how.epsilon * risen, how.box)
    return kappa * clean.mean() + (1 - kappa) * worst.mean()


def certified_accuracy(module: nn.Module, examples: Examples, how: Intervals) -> float | None:
    """The share of examples that intervals show to keep their class in the whole ball.

    Args:
        module: The network; its mode does not matter, for its layers have none.
        examples: Inputs and classes.
        how: Radius and box.

    Returns:
        The share; None for no examples.
    """
    if not len(examples):
        return None
    kept = 0
    with torch.no_grad():
        for start in range(0, len(examples), BATCH):
            batch = examples[slice(start, start + BATCH)]
            margins = worst_margins(module, batch, how.epsilon, how.box)
            margins = margins.scatter(1, batch.y[:, None], torch.inf)
            kept += int((margins > 0).all(dim=1).sum())
    return kept / len(examples)
