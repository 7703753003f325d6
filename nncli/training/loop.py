"""The training loop: an endless shuffled stream of batches, one update each."""

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from nncli import attacks
from nncli.errors import NoAnswerError
from nncli.training.evaluation import Examples, losses_of, outputs_of
from nncli.training.intervals import robust_loss
from nncli.training.optimizers import optimizers_for
from nncli.training.recipe import ATTACK, BLUR, MODULE, ORDER, Adversary, Recipe, substream


def train(
    module: nn.Module, examples: Examples, recipe: Recipe, *, seed: int, stops: Collection[int]
) -> Iterator[int]:
    """Train a network in place, pausing where somebody wants to look at it.

    What happens depends on the arguments alone: the order of the batches, the attack, the noise
    and whatever the module itself draws (dropout) have random numbers of their own, derived from
    the seed.

    Args:
        module: The network with its initial weights; ends trained.
        examples: The training data.
        recipe: How to train.
        seed: The seed.
        stops: Steps to pause after, from 0 (nothing done yet) to `recipe.steps`.

    Yields:
        Each stop, when the network has had that many updates.

    Raises:
        NoAnswerError: The loss is not finite any more.
        UsageError: Intervals are to go through a network that they cannot.
    """
    generator = torch.Generator().manual_seed(substream(seed, ORDER))
    batches = shuffled(len(examples), recipe.batch_size, generator)
    attack = attack_with(recipe.adversary, module, seed=substream(seed, ATTACK))
    blur = noise_of(recipe.noise, seed=substream(seed, BLUR))
    optimizers = optimizers_for(module, recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(substream(seed, MODULE))
        module.train()
        for step in range(recipe.steps + 1):
            if step in stops:
                yield step
            if step == recipe.steps:
                return
            batch = attack(blur(examples[next(batches)]))
            for optimizer in optimizers:
                optimizer.gradient.zero_()
            loss = _loss(module, batch, recipe, step)
            if not math.isfinite(loss.item()):
                raise NoAnswerError(f"the loss is {loss.item()} at step {step}")
            loss.backward()  # type: ignore[no-untyped-call]
            for optimizer in optimizers:
                optimizer.step()


def _loss(module: nn.Module, batch: Examples, recipe: Recipe, step: int) -> Tensor:
    """The mean loss that the next update descends."""
    losses = losses_of(outputs_of(module, batch), batch.y)
    if recipe.intervals is None:
        return losses.mean()
    return robust_loss(module, batch, losses, recipe.intervals, step / recipe.steps)


def shuffled(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Rows of one batch after another, without end.

    The rows are shuffled anew for every pass over the data; a batch that reaches over the end of
    a pass takes its rest from the next, so that all batches have the same size.

    Args:
        n: Number of examples, at least 1.
        batch_size: Size of a batch; n where it is larger.
        generator: Source of the order.

    Yields:
        Row numbers (min(batch_size, n),).
    """
    size = min(batch_size, n)
    rest = torch.empty(0, dtype=torch.int64)
    while True:
        if len(rest) < size:
            rest = torch.cat([rest, torch.randperm(n, generator=generator)])
        yield rest[:size]
        rest = rest[size:]


def attack_with(
    adversary: Adversary | None, module: nn.Module, *, seed: int
) -> Callable[[Examples], Examples]:
    """The attack of an adversary on a network, in evaluation mode; no adversary does nothing.

    Args:
        adversary: Whose ball and steps to use.
        module: The network that is attacked as it is at the time of the call.
        seed: Seed of the random starts.

    Returns:
        A function that replaces the inputs of a batch.
    """
    if adversary is None:
        return lambda batch: batch
    generator = torch.Generator().manual_seed(seed)
    sizes = (adversary.step_size,) * adversary.steps

    def perturb(batch: Examples) -> Examples:
        mode = module.training
        module.eval()  # or the attack would move the running statistics of batch normalisation
        x = attacks.pgd(
            module,
            batch.x,
            batch.y,
            epsilon=adversary.epsilon,
            norm=adversary.norm,
            step_sizes=sizes,
            box=adversary.box,
            generator=generator,
            loss=losses_of,
        )
        module.train(mode)
        return replace(batch, x=x)

    return perturb


def noise_of(sigma: float, *, seed: int) -> Callable[[Examples], Examples]:
    """Normal noise on inputs, drawn anew for every batch; no noise does nothing.

    Args:
        sigma: Standard deviation, in units of the input.
        seed: Seed of the noise.

    Returns:
        A function that replaces the inputs of a batch.
    """
    if not sigma:
        return lambda batch: batch
    generator = torch.Generator().manual_seed(seed)

    def blur(batch: Examples) -> Examples:
        noise = torch.randn(batch.x.shape, generator=generator, dtype=batch.x.dtype)
        return replace(batch, x=batch.x + sigma * noise)

    return blur
