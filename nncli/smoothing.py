"""Randomised smoothing: what a network answers on average under Gaussian noise, and how surely.

The smoothed classifier says the class that the network says most often at x + N(0, sigma^2 I). That
class cannot change within a distance of sigma Phi^-1(p) of x, where p is how often it is said; a
lower bound of p from samples makes a certificate.

References:
    Cohen, Rosenfeld and Kolter, "Certified Adversarial Robustness via Randomized Smoothing", 2019.
    Salman et al., "Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers",
    2019 (the mean of probabilities, which is what the logarithms here are of).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor, nn

from nncli.errors import MismatchError
from nncli.forward import Batch, first_tensor, run

Ints = NDArray[np.int64]
F64 = NDArray[np.float64]

CONFIDENCE = 0.999
"""Probability with which the certificate of an example holds, over the noise that was drawn."""
MOST_SELECTING = 100
ABSTAINS = -1
BLOCK = 8  # draws of noise that are in memory at a time


@dataclass(frozen=True)
class Smoothing:
    """How to smooth.

    Attributes:
        sigma: Standard deviation of the noise, in units of the input.
        samples: Draws that probabilities are estimated from.
        seed: Seed of the noise; that of an example depends on its place in the data alone.
    """

    sigma: float
    samples: int
    seed: int = 0

    @property
    def selecting(self) -> int:
        """Further draws that choose the class to certify: a tenth as many, 100 at most."""
        return min(MOST_SELECTING, -(-self.samples // 10))


@dataclass(frozen=True)
class Certificate:
    """What is certain of the smoothed classifier, an example a row.

    Attributes:
        classes: (n,) classes that it says, `ABSTAINS` where none is certain.
        radii: (n,) l2 distances, in units of the input, within which it says them; 0 where none is.
    """

    classes: Ints
    radii: F64


def joined(parts: Sequence[Certificate]) -> Certificate:
    """The certificates of several batches as one."""
    classes = np.concatenate([one.classes for one in parts])
    return Certificate(classes, np.concatenate([one.radii for one in parts]))


def smoothed(
    network: nn.Module, batch: Batch, how: Smoothing, *, name: str
) -> tuple[Tensor, Certificate]:
    """Run a network on many noisy copies of each example.

    Noisy inputs are not clipped to any range: the certificate is of unclipped noise.

    Args:
        network: A classifier, in evaluation mode.
        batch: The examples, numbers.
        how: How much noise, and how often.
        name: What the network is called, for the error.

    Returns:
        Logarithms (rows, C) in float64 of the probabilities' means over `how.samples` draws, and
        the certificates, with `CONFIDENCE` for each example.

    Raises:
        MismatchError: The network does not answer with one logit for each of several classes.
    """
    noisy = _noisy(batch, how)
    with torch.inference_mode():
        chosen = sum(_votes(_logits(network, next(noisy), name)) for _ in range(how.selecting))
        total, votes = _logits(network, next(noisy), name).log_softmax(1), torch.tensor(0)
        votes = votes + _votes(total)
        for one in noisy:
            found = _logits(network, one, name).log_softmax(1)
            total, votes = torch.logaddexp(total, found), votes + _votes(found)
    assert isinstance(chosen, Tensor)
    certificate = certify(chosen.numpy(), votes.numpy(), how.sigma)
    return total - float(np.log(how.samples)), certificate


def _noisy(batch: Batch, how: Smoothing) -> Iterator[Batch]:
    """The batch with one draw of noise after another; all that select, then all that estimate."""
    sources = [np.random.default_rng([how.seed, batch.start + row]) for row in range(len(batch))]
    left = how.selecting + how.samples
    shape = tuple(batch.x.shape[1:])
    while left > 0:
        count = min(BLOCK, left)
        noise = np.stack([one.standard_normal((count, *shape), np.float32) for one in sources], 1)
        for draw in torch.from_numpy(noise).to(batch.x.device):
            yield replace(batch, x=batch.x + how.sigma * draw)
        left -= count


def _logits(network: nn.Module, batch: Batch, name: str) -> Tensor:
    outputs = first_tensor(run(network, batch))
    if outputs is None or outputs.ndim != 2 or len(outputs) != len(batch) or outputs.shape[1] < 2:
        told = "no tensor" if outputs is None else f"{tuple(outputs.shape)}"
        raise MismatchError(
            f"`{name}` answers {len(batch)} examples with {told}",
            hint="smoothing is for networks with a logit for each of several classes",
        )
    return outputs.cpu().double()


def _votes(scores: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(scores.argmax(1), scores.shape[1])


def certify(
    chosen: Ints, votes: Ints, sigma: float, *, confidence: float = CONFIDENCE
) -> Certificate:
    """Certify the class that most of some votes name, by other votes.

    Args:
        chosen: (n, C) votes that choose the class.
        votes: (n, C) votes that say how probable it is; independent of the former.
        sigma: Standard deviation of the noise.
        confidence: Probability with which the certificate of one example is to hold.

    Returns:
        The class where its probability is above one half with that confidence, and
        sigma Phi^-1(lower bound of the probability).

    Reference:
        Cohen, Rosenfeld and Kolter 2019, CERTIFY.
    """
    classes = chosen.argmax(axis=1)
    named = np.take_along_axis(votes, classes[:, None], axis=1)[:, 0]
    lower = lower_bound(named, votes.sum(axis=1), confidence)
    certain = lower > 0.5
    radii = np.where(certain, sigma * special.ndtri(np.where(certain, lower, 0.5)), 0.0)
    return Certificate(np.where(certain, classes, ABSTAINS).astype(np.int64), radii)


def lower_bound(successes: Ints, trials: Ints, confidence: float) -> F64:
    """The one-sided lower bound of a probability of Clopper and Pearson.

    Args:
        successes: How often it happened.
        trials: How often it could have.
        confidence: Probability, at least, with which the bound is below the truth.

    Returns:
        The bound; 0 where it never happened.
    """
    some = np.maximum(successes, 1)
    bound = special.betaincinv(some, trials - some + 1, 1 - confidence)
    return np.where(successes > 0, bound, 0.0).astype(np.float64)
