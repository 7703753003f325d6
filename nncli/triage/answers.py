"""What a model answers, as triage needs it: its class, its doubt, and features of the answer."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import UsageError

Array = NDArray[Any]
F64 = NDArray[np.float64]
Index = NDArray[np.int64]

PROBABILITIES = ("logits", "probs", "logprobs")
FLOOR = 1e-6  # log-probabilities below that of it say nothing more to an error model
MOST_CLASSES = 32  # of more the largest log-probabilities stand for all


@dataclass(frozen=True)
class Answers:
    """The answers of one model to N cases.

    Attributes:
        predicted: (N,) the class, `None` where only hits are known.
        probability: (N, C) of each class, `None` where there are none.
        doubt: (N,) lowest where the model is surest: one minus the probability of its class, or
            minus the lead of its score; `None` where the answers do not say.
        hit: (N,) the probability of the right class, where the answers are that alone.
    """

    predicted: Index | None
    probability: F64 | None
    doubt: F64 | None
    hit: F64 | None = None

    def losses(self, label: Index | None, loss: str) -> F64:
        """What each answer costs, 0 to 1.

        Args:
            label: (N,) the right class; `None` where the answers are hits.
            loss: `zero-one`, or `probability`: one minus the probability of the right class.

        Raises:
            UsageError: The answers have no probabilities.
        """
        if self.hit is not None:
            return 1.0 - self.hit
        assert label is not None
        assert self.predicted is not None
        if loss == "zero-one":
            wrong: F64 = (self.predicted != label).astype(np.float64)
            return wrong
        if self.probability is None:
            raise UsageError(
                "`--loss probability` needs probabilities, and these predictions are without",
                hint="leave it out: `--loss zero-one` counts errors",
            )
        found: F64 = 1.0 - self.probability[np.arange(len(label)), label]
        return found

    def features(self) -> F64 | None:
        """(N, d) what an error model can learn from the answers; `None` where that is nothing.

        Logarithms of the probabilities (of the largest ones, where there are many), the entropy,
        and the lead of the first over the second.
        """
        if self.probability is None:
            return None
        logs = np.log(np.maximum(self.probability, FLOOR))
        entropy = -(self.probability * logs).sum(axis=1)
        first = np.sort(self.probability, axis=1)[:, ::-1]
        lead = first[:, 0] - first[:, 1] if first.shape[1] > 1 else first[:, 0]
        if logs.shape[1] > MOST_CLASSES:
            logs = np.log(np.maximum(first[:, :MOST_CLASSES], FLOOR))
        largest = np.log(np.maximum(first[:, 0], FLOOR))
        return np.column_stack([logs, largest, entropy, lead])


def read_answers(score: str, found: Array) -> Answers:
    """What stored answers say.

    Args:
        score: What they are: `logits`, `probs`, `logprobs`, `scores`, `pred`, `p_correct`,
            `correct`.
        found: (N, C), or (N,) for the last three.

    Returns:
        The answers. Of classes that tie the first is the answer.
    """
    if score in ("p_correct", "correct"):
        return Answers(None, None, None, found.astype(np.float64))
    if score == "pred":
        return Answers(found.astype(np.int64), None, None)
    predicted = found.argmax(axis=1).astype(np.int64)
    if score not in PROBABILITIES:
        leading = np.sort(found.astype(np.float64), axis=1)
        lead = leading[:, -1] - (leading[:, -2] if found.shape[1] > 1 else 0.0)
        return Answers(predicted, None, -lead)
    probability = found.astype(np.float64)
    if score == "logits":
        probability = np.exp(probability - probability.max(axis=1, keepdims=True))
        probability /= probability.sum(axis=1, keepdims=True)
    elif score == "logprobs":
        probability = np.exp(probability)
    return Answers(predicted, probability, 1.0 - probability.max(axis=1))
