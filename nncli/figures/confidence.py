"""Predictions as reliability diagrams: accuracy against confidence."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncli.calibration import (
    BINS,
    expected_calibration_error,
    reliability_bins,
    softmax,
    top_confidence,
)
from nncli.errors import ArtifactError
from nncli.figures.pictures import Reliability, ReliabilityPanel

Array = NDArray[Any]

MOST_PANELS = 12
NOT_FACTORS = (
    "model_id",
    "seed",
    "seed2",
    "sample",
    "part",
    "partition",
    "perturbation",
    "strength",
)

PROBABILITIES: dict[str, Callable[[Array], Array]] = {
    "logits": softmax,
    # rounding may leave a probability a little above 1, which the reader has tolerated
    "probs": lambda answers: np.minimum(answers.astype(np.float64), 1.0),
    "logprobs": lambda answers: np.minimum(np.exp(answers.astype(np.float64)), 1.0),
}


def reliability(
    members: Sequence[Mapping[str, Any]],
    answers: Callable[[int], Array],
    label: Array | None,
    *,
    score: str,
    source: str,
    bins: int = BINS,
) -> Reliability:
    """Compare accuracy with confidence, for each perturbation and over all models.

    Args:
        members: What is known of each of the K members: `model_id`, `perturbation`.
        answers: Gives the answers (n, classes) of a member.
        label: (n,) true classes.
        score: What the answers are: `logits`, `probs` or `logprobs`.
        source: The name of the predictions, for the title and for errors.
        bins: How many bins.

    Returns:
        One diagram a perturbation and, if they are not too many, a step, an epsilon, ...

    Raises:
        ArtifactError: There are no probabilities to be had, or no true classes.
    """
    if score not in PROBABILITIES:
        raise ArtifactError(
            f"`{source}` holds `{score}`, which say no confidence: a reliability diagram needs "
            "logits or probabilities"
        )
    if label is None or label.ndim != 1 or label.dtype.kind not in "iu":
        raise ArtifactError(
            f"`{source}` has no true class for each example, so no answer is right or wrong",
            hint="predict on data with labels",
        )
    parts = _parts(members)
    panels = []
    for name, places in parts.items():
        pairs = [top_confidence(PROBABILITIES[score](answers(at)), label) for at in places]
        panels.append(_panel(name, pairs, bins))
    caption = (
        f"ECE: mean gap between accuracy and confidence over {bins} bins of equal width [a, b), "
        f"the last one closed; confidence: the largest probability; n = {len(label):,}"
    )
    models = max(len(places) for places in parts.values())
    if models > 1:
        caption += f"; answers of {models} models together"
    return Reliability(source, tuple(panels), caption)


def _parts(members: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Members that belong together: they differ in their seed only."""
    factors = [
        name
        for name in dict.fromkeys(name for member in members for name in member)
        if name not in NOT_FACTORS and len({str(one.get(name)) for one in members}) > 1
    ]
    parts = _by(members, factors)
    return parts if len(parts) <= MOST_PANELS else _by(members, [])


def _by(members: Sequence[Mapping[str, Any]], factors: Sequence[str]) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = {}
    for place, member in enumerate(members):
        said = [f"{name} {_short(member.get(name))}" for name in factors]
        perturbation = str(member.get("perturbation") or "clean")
        disturbed = len({str(one.get("perturbation")) for one in members}) > 1
        title = ", ".join([*said, *([perturbation] if disturbed else [])])
        parts.setdefault(title, []).append(place)
    return parts


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _panel(title: str, pairs: list[tuple[Array, Array]], bins: int) -> ReliabilityPanel:
    confidence, hit = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    whole = reliability_bins(confidence, hit, bins=bins)
    single = [reliability_bins(*pair, bins=bins) for pair in pairs] if len(pairs) > 1 else []
    return ReliabilityPanel(
        title,
        whole.edges,
        whole.count,
        whole.confidence,
        whole.accuracy,
        expected_calibration_error(whole),
        tuple(one.accuracy for one in single),
        tuple(expected_calibration_error(one) for one in single),
    )
