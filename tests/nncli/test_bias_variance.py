"""The parts of the risk by their definitions, and what they do not depend on."""

import math

import numpy as np
import pytest
from scipy import stats
from seeded_ensembles import (
    CLASSES,
    NAMES,
    NUMBERS,
    REFERENCE,
    Y,
    Z,
    brute,
    found,
    jackknifed,
    log_softmax,
    seeded_ensemble,
    softmax,
    values,
)

from nncli.bias_variance.answers import first_largest, reading
from nncli.errors import UsageError


def test_all_losses_agree_with_the_reference_values():
    assert values(Z, Y) == pytest.approx(REFERENCE, abs=1e-12)


def test_hard_answers_have_twice_the_variance_of_kohavi_and_wolpert():
    how = reading("logits", 3, on="hard", losses=(), regression=False)
    hard = values(Z, Y, how)
    assert hard["squared", "variance"] == pytest.approx(0.30972222222222223, abs=1e-12)
    assert ("cross-entropy", "risk") not in hard


@pytest.mark.parametrize("loss", ["squared", "cross-entropy", "zero-one", "kohavi-wolpert"])
def test_risk_is_bias_and_variance_at_every_example(loss):
    result = found(Z, Y)
    parts = {metric: result.at_examples((loss, metric)) for metric in ("risk", "bias", "variance")}
    assert np.allclose(parts["risk"], parts["bias"] + parts["variance"], atol=1e-13)


def test_the_variance_of_cross_entropy_is_the_divergence_from_the_average_model():
    logs = log_softmax(Z)
    average = softmax(logs.mean(axis=0))
    divergence = (average * (np.log(average) - logs)).sum(axis=2).mean(axis=0)
    result = found(Z, Y)
    assert np.allclose(result.at_examples(("cross-entropy", "variance_plugin")), divergence)


@pytest.mark.parametrize("name", NAMES)
def test_each_quantity_and_its_pseudo_values_are_those_of_the_definition(name):
    z, y = seeded_ensemble(seed=3, k=5, n=60, c=4)
    result = found(z, y, CLASSES.of(4))
    whole, pseudo = jackknifed(lambda models: brute(z, y, models, name), 5)
    expected = pseudo.mean(axis=0) if name[0] == "cross-entropy" else whole
    assert np.allclose(result.at_examples(name), expected, atol=1e-12)
    (totals,) = result.totals
    assert np.allclose(totals.unit_sums[name], pseudo.sum(axis=1), atol=1e-9)


def test_copies_of_one_model_have_no_variance_and_only_examples_make_them_unsure():
    z = np.repeat(Z[:1], 7, axis=0)
    result = found(z, Y)
    for loss in ("squared", "zero-one", "kohavi-wolpert"):
        assert result.estimates[loss, "variance"].value == 0.0
        assert result.estimates[loss, "variance"].se == pytest.approx(0.0, abs=1e-12)
    assert result.estimates["cross-entropy", "variance"].value == pytest.approx(0, abs=1e-14)
    wrong = (z[0].argmax(axis=1) != Y).astype(float)
    risk = result.estimates["zero-one", "risk"]
    assert risk.se == pytest.approx(wrong.std(ddof=1) / math.sqrt(len(Y)))


def test_two_models_have_half_their_squared_distance_and_no_error():
    result = found(Z[:2], Y)
    p = softmax(Z[:2])
    half = 0.5 * ((p[0] - p[1]) ** 2).sum(axis=1).mean()
    assert result.estimates["squared", "variance"].value == pytest.approx(half)
    assert result.estimates["squared", "variance"].se is None
    assert result.estimates["squared", "risk"].se is not None


@pytest.mark.parametrize("change", ["classes", "models", "constants", "examples"])
def test_what_cannot_matter_does_not(change):
    random = np.random.default_rng(6)
    z, y = Z, Y
    if change == "classes":
        order = np.array([2, 0, 1])
        z, y = Z[:, :, order], np.argsort(order)[Y]
    elif change == "models":
        z = Z[random.permutation(10)]
    elif change == "constants":
        z = Z + random.standard_normal((10, 400, 1))
    else:
        order = random.permutation(400)
        z, y = Z[:, order], Y[order]
    # a vote of equals that goes to the first class goes to another when classes are relabelled
    how = {"ties": "average" if change == "classes" else "first"}
    ours, theirs = found(Z, Y, **how).estimates, found(z, y, **how).estimates
    for name, one in ours.items():
        assert theirs[name].value == pytest.approx(one.value, abs=1e-12)
        assert theirs[name].se == pytest.approx(one.se, rel=1e-6)


def test_blocks_make_no_difference(monkeypatch):
    from nncli.bias_variance import decomposition

    whole = found(Z, Y)
    monkeypatch.setattr(decomposition, "BLOCK", 100)
    monkeypatch.setattr(decomposition, "READ_BYTES", 1500)
    parts = found(Z, Y)
    for name, one in whole.estimates.items():
        assert parts.estimates[name].value == pytest.approx(one.value, rel=1e-12)
        assert parts.estimates[name].se == pytest.approx(one.se, rel=1e-9)
    assert np.array_equal(parts.main, whole.main)


@pytest.mark.parametrize("classes", [1, 2, 10, 40])
def test_the_answer_is_the_first_of_the_largest_scores(classes):
    scores = np.random.default_rng(0).integers(0, 4, (3, 50, classes)).astype(np.float32)
    assert (first_largest(scores) == scores.argmax(axis=2)).all()


@pytest.mark.parametrize("score", ["probs", "logprobs"])
def test_probabilities_and_their_logarithms_are_as_good_as_logits(score):
    how = reading(score, 3, on=None, losses=(), regression=False)
    given = softmax(Z) if score == "probs" else log_softmax(Z)
    assert values(given, Y, how) == pytest.approx(values(Z, Y), abs=1e-12)


def test_a_probability_of_0_counts_as_1e_15_and_is_counted():
    how = reading("probs", 2, on=None, losses=("cross-entropy",), regression=False)
    p = np.array([[[1.0, 0.0]], [[0.5, 0.5]]])
    result = found(p, [1], how)
    assert result.clipped == 1
    risk = result.estimates["cross-entropy", "risk"].value
    assert risk == pytest.approx((-math.log(1e-15) + math.log(2)) / 2)


def test_a_regression_is_split_by_its_textbook_formulas():
    random = np.random.default_rng(7)
    answers, y = random.standard_normal((6, 40)), random.standard_normal(40)
    spread = answers.var(axis=0, ddof=1).mean()
    risk = ((answers - y) ** 2).mean()
    assert values(answers, y, NUMBERS) == pytest.approx(
        {("squared", "risk"): risk, ("squared", "bias"): risk - spread,
         ("squared", "variance"): spread}
    )  # fmt: skip


def test_soft_labels_give_the_noise_that_no_model_can_know():
    random = np.random.default_rng(8)
    t = random.dirichlet(np.ones(3), 400)
    result = found(Z, t)
    at = {name: result.at_examples(name) for name in result.estimates}
    assert np.allclose(at["squared", "noise"], 1 - (t**2).sum(axis=1))
    assert np.allclose(at["cross-entropy", "noise"], stats.entropy(t, axis=1))
    assert np.allclose(at["zero-one", "noise"], 1 - t.max(axis=1))
    # the risk is the mean loss over labels drawn from t
    p, logs, eye = softmax(Z), log_softmax(Z), np.eye(3)
    each = [((p - eye[c]) ** 2).sum(axis=2).mean(axis=0) for c in range(3)]
    assert np.allclose(at["squared", "risk"], (t * np.array(each).T).sum(axis=1))
    assert np.allclose(at["cross-entropy", "risk"], -(t * logs.mean(axis=0)).sum(axis=1))
    hit = np.take_along_axis(np.broadcast_to(t, (10, 400, 3)), Z.argmax(2)[..., None], 2)
    assert np.allclose(at["zero-one", "risk"], 1 - hit[..., 0].mean(axis=0))
    for loss in ("squared", "cross-entropy", "zero-one", "kohavi-wolpert"):
        parts = at[loss, "noise"] + at[loss, "bias"] + at[loss, "variance"]
        assert np.allclose(at[loss, "risk"], parts)


def test_certain_soft_labels_are_hard_labels():
    soft, hard = values(Z, np.eye(3)[Y]), values(Z, Y)
    assert {n: v for n, v in soft.items() if n[1] != "noise"} == pytest.approx(hard, abs=1e-12)
    assert [v for n, v in soft.items() if n[1] == "noise"] == pytest.approx([0, 0, 0, 0])


def test_scatter_among_few_raters_is_corrected_for_their_number():
    random = np.random.default_rng(9)
    t = random.dirichlet(np.ones(3), 2000)
    drawn = [random.multinomial(1, t) for _ in range(3)]
    z = random.standard_normal((4, 2000, 3))
    result = found(z, np.mean(drawn, axis=0), raters=np.full(2000, 3))
    exact = found(z, t)
    for metric in ("risk", "noise", "bias", "variance"):
        truth = exact.estimates["squared", metric].value
        assert result.estimates["squared", metric].value == pytest.approx(truth, abs=0.02)
    assert (
        1 - (np.mean(drawn, axis=0) ** 2).sum(1).mean()
        < 0.8 * exact.estimates["squared", "noise"].value
    )


def test_losses_that_answers_do_not_have_are_refused():
    with pytest.raises(UsageError, match="no cross-entropy loss of `scores`"):
        reading("scores", 3, on=None, losses=("cross-entropy",), regression=False)
    with pytest.raises(UsageError, match="`--on logits` does not fit answers that are `probs`"):
        reading("probs", 3, on="logits", losses=(), regression=False)
