"""The order in which layers learn."""

from typing import Any

import pytest

from nncli.probing import learning_order

STEPS = (0, 10, 20, 40)
BASE = 0.1
SCORES = {  # shares of the way from 0.1 to the end: conv 0, .9, 1, 1; head 0, .25, .5, 1
    "conv": (0.1, 0.82, 0.9, 0.9),
    "head": (0.1, 0.3, 0.5, 0.9),
    "dead": (0.1, 0.2, 0.3, 0.1),
}


def rows(
    scores: dict[str, tuple[float, ...]], *, seed: int = 0, **more: Any
) -> list[dict[str, Any]]:
    told = {"target": "@label", "reader": "linear", "split": "test", "metric": "accuracy", **more}
    return [
        {"seed": seed, "step": step, "layer": layer, "value": value, "baseline": BASE, **told}
        for layer, values in scores.items()
        for step, value in zip(STEPS, values, strict=True)
    ]


def steps_of(found: list[dict[str, Any]]) -> dict[str, int | None]:
    return {row["layer"]: row["step"] for row in found}


@pytest.mark.parametrize(
    ("level", "conv", "head"), [(0.2, 10, 10), (0.5, 10, 20), (0.85, 10, 40), (0.95, 20, 40)]
)
def test_a_layer_has_learnt_from_the_step_that_has_a_share_of_the_way(
    level: float, conv: int, head: int
) -> None:
    found = list(learning_order(rows(SCORES), ["seed", "step"], level))
    assert steps_of(found) == {"conv": conv, "head": head, "dead": None}


def test_scores_that_fall_count_by_the_same_way() -> None:
    falling = {name: tuple(2 * BASE - one for one in values) for name, values in SCORES.items()}
    up = steps_of(list(learning_order(rows(SCORES), ["seed", "step"], 0.9)))
    down = steps_of(list(learning_order(rows(falling, metric="mse"), ["seed", "step"], 0.9)))
    assert up == down


def test_a_layer_that_falls_back_has_not_learnt_before() -> None:
    scores = {"conv": (0.9, 0.1, 0.9, 0.9)}
    (found,) = learning_order(rows(scores), ["seed", "step"], 0.9)
    assert found["step"] == 20


def test_runs_share_one_correlation_and_questions_have_their_own() -> None:
    own = {name: SCORES[name] for name in ("conv", "head")}
    both = [*rows(own), *rows(own, seed=1), *rows(own, reader="knn")]
    found = list(learning_order(both, ["seed", "step"], 0.9))
    assert [(row["reader"], row["seed"], row["layer"]) for row in found] == [
        ("linear", 0, "conv"),
        ("linear", 0, "head"),
        ("linear", 1, "conv"),
        ("linear", 1, "head"),
        ("knn", 0, "conv"),
        ("knn", 0, "head"),
    ]
    assert [row["correlation"] for row in found] == pytest.approx([1.0] * 6)
    assert {row["p"] for row in found} == {0.5}  # one of the two orders of two layers
