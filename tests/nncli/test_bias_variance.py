import itertools
import math

import numpy as np
import pytest
from scipy import stats

from nncli.bias_variance.answers import first_largest, reading
from nncli.bias_variance.decomposition import Task, decompose
from nncli.bias_variance.ensembles import grow
from nncli.bias_variance.intervals import student
from nncli.errors import ArtifactError, UsageError

CLASSES = reading("logits", 3, on=None, losses=(), regression=False)
NUMBERS = reading("pred", None, on=None, losses=(), regression=True)


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def softmax(z):
    return np.exp(log_softmax(z))


def seeded_ensemble(seed=11, k=10, n=400, c=3):
    """Ten models, hard examples and noise of each model; what the reference values are of."""
    r = np.random.default_rng(seed)
    y = r.integers(0, c, n)
    base = r.standard_normal((n, c))
    base[np.arange(n), y] += 1.0
    noise = r.standard_normal((k, n, c)) * (0.2 + r.random((1, n, 1)))
    return 2.0 * (base[None] + noise), y


def seeded_nested(seed=13, n=300, p=10, f=5):
    """Hits (n, outer seed, inner seed) that vary at both levels."""
    r = np.random.default_rng(seed)
    mu = 1.5 * r.standard_normal((n, 1, 1)) + 1.0
    z = mu + 0.6 * r.standard_normal((n, p, 1)) + 0.8 * r.standard_normal((n, p, f))
    return (z > 0).astype(np.int8)


def found(z, y, how=CLASSES, ensemble=None, **more):
    ensemble = ensemble or grow([0] * len(z), [], range(len(z)))
    task = Task(ensemble, how, len(y), np.asarray(y), lambda a, b: z[:, a:b], **more)
    return decompose(task)


def values(*arguments, **more):
    return {name: one.value for name, one in found(*arguments, **more).estimates.items()}


Z, Y = seeded_ensemble()

# by the public code of Zhong et al. (squared, plug-in KL, nested) and an independent oracle
REFERENCE = {
    ("squared", "risk"): 0.6030320727103958,
    ("squared", "bias"): 0.4726968545767587,
    ("squared", "variance"): 0.13033521813363713,
    ("cross-entropy", "risk"): 1.2138869753364256,
    ("cross-entropy", "bias"): 0.9078726198517938,
    ("cross-entropy", "variance"): 0.30601435548463196,
    ("cross-entropy", "bias_plugin"): 0.9405424415725211,
    ("cross-entropy", "variance_plugin"): 0.27334453376390455,
    ("zero-one", "risk"): 0.4015,
    ("zero-one", "bias"): 0.3475,
    ("zero-one", "variance"): 0.054,
    ("zero-one", "unbiased_variance"): 0.1125,
    ("zero-one", "biased_variance"): 0.0585,
    ("zero-one", "disagreement"): 0.20825,
    ("kohavi-wolpert", "risk"): 0.4015,
    ("kohavi-wolpert", "bias"): 0.24663888888888894,
    ("kohavi-wolpert", "variance"): 0.1548611111111111,
}


def test_all_losses_agree_with_the_reference_values():
    assert values(Z, Y) == pytest.approx(REFERENCE, abs=1e-12)


def test_nested_seeds_agree_with_the_reference_values():
    hits = seeded_nested().reshape(300, 50).T.astype(float)
    outer, inner = np.repeat(range(10), 5).tolist(), np.tile(range(5), 10).tolist()
    names = [str(k) for k in range(50)]
    tree = grow([0] * 50, [("seed", outer), ("seed2", inner)], names)
    assert values(hits, np.ones(300), NUMBERS, tree) == pytest.approx(
        {
            ("squared", "risk"): 0.2739333333333333,
            ("squared", "bias"): 0.17518222222222218,
            ("squared", "variance"): 0.07710000000000002 + 0.021651111111111114,
            ("squared", "variance_seed"): 0.021651111111111114,
            ("squared", "variance_seed2"): 0.07710000000000002,
        },
        abs=1e-12,
    )
    # of two classes, half the squared loss of indicators is the squared loss of hits
    how = reading("pred", None, on=None, losses=("kohavi-wolpert",), regression=False).of(2)
    again = values(hits.astype(int), np.ones(300, int), how, tree)
    assert again["kohavi-wolpert", "bias"] == pytest.approx(0.17518222222222218, abs=1e-12)
    assert again["kohavi-wolpert", "variance_seed"] == pytest.approx(0.021651111111, abs=1e-11)


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


def jackknifed(statistic, k):
    """Pseudo-values of a statistic of the models, by leaving out each."""
    whole = statistic(list(range(k)))
    without = np.array([statistic([j for j in range(k) if j != i]) for i in range(k)])
    return whole, k * whole - (k - 1) * without


def brute(z, y, models, name):
    """A quantity of some of the models at each example, by its definition."""
    p, logs, k = softmax(z[models]), log_softmax(z[models]), len(models)
    one_hot, places = np.eye(z.shape[2])[y], np.arange(len(y))
    hard = z[models].argmax(axis=2)
    counts = np.array([[(hard[:, x] == c).sum() for c in range(z.shape[2])] for x in places])
    main = counts.argmax(axis=1)
    squared = ((p - one_hot) ** 2).sum(axis=2).mean(axis=0)
    spread = p.var(axis=0, ddof=1).sum(axis=1)
    kl = -np.log(np.exp(logs.mean(axis=0)).sum(axis=1))
    stray = (hard != main) & (hard != y)
    gini = 0.5 * (1 - ((counts / k) ** 2).sum(axis=1)) * k / (k - 1)
    return {
        ("squared", "risk"): squared,
        ("squared", "variance"): spread,
        ("squared", "bias"): squared - spread,
        ("cross-entropy", "variance"): kl,
        ("zero-one", "bias"): (main != y).astype(float),
        ("zero-one", "unbiased_variance"): (stray * (main == y)).mean(axis=0),
        ("zero-one", "biased_variance"): ((hard == y) * (main != y)).mean(axis=0),
        ("zero-one", "variance"): (hard != y).mean(axis=0) - (main != y),
        ("zero-one", "disagreement"): (hard != main).mean(axis=0),
        ("kohavi-wolpert", "variance"): gini,
        ("kohavi-wolpert", "bias"): (hard != y).mean(axis=0) - gini,
    }[name]


NAMES = [
    *itertools.product(["squared"], ["risk", "variance", "bias"]),
    ("cross-entropy", "variance"),
    *itertools.product(
        ["zero-one"],
        ["bias", "unbiased_variance", "biased_variance", "variance", "disagreement"],
    ),
    *itertools.product(["kohavi-wolpert"], ["variance", "bias"]),
]


@pytest.mark.parametrize("name", NAMES)
def test_each_quantity_and_its_pseudo_values_are_those_of_the_definition(name):
    z, y = seeded_ensemble(seed=3, k=5, n=60, c=4)
    result = found(z, y, CLASSES.of(4))
    whole, pseudo = jackknifed(lambda models: brute(z, y, models, name), 5)
    expected = pseudo.mean(axis=0) if name[0] == "cross-entropy" else whole
    assert np.allclose(result.at_examples(name), expected, atol=1e-12)
    (totals,) = result.totals
    assert np.allclose(totals.unit_sums[name], pseudo.sum(axis=1), atol=1e-9)


def two_way(pseudo, at_examples):
    """Variance and degrees of freedom of the mean, from sums of squares of a two-way table."""
    k, n = pseudo.shape
    rows, columns, mean = pseudo.mean(axis=1), pseudo.mean(axis=0), pseudo.mean()
    left = pseudo - rows[:, None] - columns + mean
    rest = (left**2).sum() / ((k - 1) * (n - 1)) / (k * n)
    units, examples = rows.var(ddof=1) / k, at_examples.var(ddof=1) / n
    variance = examples + max(units - rest, 0)
    parts = examples**2 / (n - 1) + (units > rest) * units**2 / (k - 1)
    return variance, max(variance**2 / parts, k - 1)


@pytest.mark.parametrize("name", NAMES)
def test_standard_errors_count_models_and_examples_once_each(name):
    z, y = seeded_ensemble(seed=4, k=6, n=50)
    estimate = found(z, y).estimates[name]
    whole, pseudo = jackknifed(lambda models: brute(z, y, models, name), 6)
    values = pseudo.mean(axis=0) if name[0] == "cross-entropy" else whole
    variance, freedom = two_way(pseudo, values)
    assert estimate.se == pytest.approx(math.sqrt(variance), rel=1e-9)
    low, high = estimate.interval()
    half = stats.t(freedom).ppf(0.975) * math.sqrt(variance)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-9)


def test_student_is_that_of_scipy():
    for freedom in (1, 3.5, 100):
        assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom))


def draw(random, k, n, *, model, noise, spread):
    """Models that differ in a shift of all examples (`model`) and at each example (`noise`)."""
    y = random.integers(0, 3, n)
    base = spread * random.standard_normal((n, 3))
    base[np.arange(n), y] += 1.5
    shift = model * random.standard_normal((k, 1, 3))
    return base + shift + noise * random.standard_normal((k, n, 3)), y


COVERED = [
    ("squared", "risk"),
    ("squared", "bias"),
    ("squared", "variance"),
    ("cross-entropy", "bias"),
    ("cross-entropy", "variance"),
    ("kohavi-wolpert", "bias"),
    ("kohavi-wolpert", "variance"),
]


@pytest.mark.parametrize(("k", "model", "noise", "spread"), [(5, 0, 1, 0.5), (10, 0.2, 1, 1)])
def test_intervals_cover_the_truth_in_93_to_97_of_100_samples(k, model, noise, spread):
    random, how = np.random.default_rng(99), {"model": model, "noise": noise, "spread": spread}
    large = [values(*draw(random, 200, 2500, **how)) for _ in range(6)]
    truth = {name: np.mean([one[name] for one in large]) for name in COVERED}
    repeats, inside = 400, dict.fromkeys(COVERED, 0)
    for repeat in range(repeats):
        random = np.random.default_rng(repeat)
        estimates = found(*draw(random, k, 100, **how)).estimates
        for name in COVERED:
            low, high = estimates[name].interval()
            inside[name] += low <= truth[name] <= high
    # quantities of one sample are alike, so their mean is as noisy as one of them: 1.1 points
    assert 0.93 <= sum(inside.values()) / (repeats * len(COVERED)) <= 0.97
    assert min(inside.values()) / repeats >= 0.92
    assert max(inside.values()) / repeats <= 0.98


def test_the_jackknife_takes_away_most_of_the_plug_in_bias():
    random = np.random.default_rng(5)
    name, plugin = ("cross-entropy", "variance"), ("cross-entropy", "variance_plugin")
    truth = values(*draw(random, 400, 3000, model=0, noise=1, spread=1))[name]
    few = [found(*draw(random, 5, 1000, model=0, noise=1, spread=1)).estimates for _ in range(20)]
    assert np.mean([one[plugin].value for one in few]) < 0.85 * truth
    assert np.mean([one[name].value for one in few]) == pytest.approx(truth, rel=0.03)


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


def test_partitions_are_averaged_and_never_pooled():
    tree = grow([0] * 5 + [1] * 5, [("part", [*range(5)] * 2)], [str(k) for k in range(10)])
    together = found(Z, Y, ensemble=tree)
    apart = [found(Z[:5], Y), found(Z[5:], Y)]
    for name, one in together.estimates.items():
        mean = np.mean([half.estimates[name].value for half in apart])
        assert one.value == pytest.approx(mean)
    # what they have in common is not averaged out, what they do not is, at most by half
    name = ("squared", "variance")
    each = np.mean([half.estimates[name].spread.units for half in apart])
    gap = np.var([half.estimates[name].value for half in apart], ddof=1)
    ours = together.estimates[name].spread.units
    assert ours == pytest.approx(max(each - gap / 2, each / 2))


def nested_brute(z):
    """The variances of three levels, (a, b, c, n), by expected mean squares."""
    b, c = z.shape[1:3]
    s3 = z.var(axis=2, ddof=1).mean(axis=(0, 1))
    s2 = z.mean(axis=2).var(axis=1, ddof=1).mean(axis=0) - s3 / c
    s1 = z.mean(axis=(1, 2)).var(axis=0, ddof=1) - s2 / b - s3 / (b * c)
    return s1, s2, s3


def test_seeds_may_be_nested_to_any_depth():
    random = np.random.default_rng(10)
    z = random.standard_normal((4, 3, 2, 50))
    z += random.standard_normal((4, 1, 1, 50)) + random.standard_normal((4, 3, 1, 50))
    leaves = list(itertools.product(range(4), range(3), range(2)))
    levels = [(name, [one[i] for one in leaves]) for i, name in enumerate("abc")]
    order = random.permutation(24)
    levels = [(name, [column[i] for i in order]) for name, column in levels]
    tree = grow([None] * 24, levels, [str(k) for k in range(24)])
    result = found(z.reshape(24, 50)[order], np.zeros(50), NUMBERS, tree)
    for name, expected in zip("abc", nested_brute(z), strict=True):
        assert np.allclose(result.at_examples(("squared", f"variance_{name}")), expected)
    total = sum(result.estimates["squared", f"variance_{one}"].value for one in "abc")
    assert result.estimates["squared", "variance"].value == pytest.approx(total)


def test_nested_cross_entropy_splits_the_variance_exactly():
    tree = grow(
        [0] * 10, [("seed", [k // 2 for k in range(10)]), ("seed2", [k % 2 for k in range(10)])],
        [str(k) for k in range(10)],
    )  # fmt: skip
    result = found(Z, Y, ensemble=tree)
    name = "cross-entropy"
    # as it comes, the variance of a nested ensemble is that of all of its models
    assert result.estimates[name, "variance_plugin"].value == pytest.approx(
        REFERENCE[name, "variance_plugin"]
    )
    logs = log_softmax(Z)
    means = logs.reshape(5, 2, 400, 3).mean(axis=1)

    def kl(group):
        return -np.log(np.exp(group.mean(axis=0)).sum(axis=1))

    _, pseudo = jackknifed(lambda seeds: kl(means[seeds]), 5)
    assert np.allclose(result.at_examples((name, "variance")), pseudo.mean(axis=0))
    # two children: twice the variance as it comes, since one alone has none
    inner = np.mean([2 * kl(logs[2 * k : 2 * k + 2]) for k in range(5)], axis=0)
    assert np.allclose(result.at_examples((name, "variance_seed2")), inner)
    assert np.allclose(result.at_examples((name, "variance_seed")), pseudo.mean(axis=0) - inner)


def test_a_vote_of_nested_models_is_that_of_all():
    tree = grow(
        [0] * 10, [("seed", [k // 2 for k in range(10)]), ("seed2", [k % 2 for k in range(10)])],
        [str(k) for k in range(10)],
    )  # fmt: skip
    nested, flat = found(Z, Y, ensemble=tree), found(Z, Y)
    assert np.array_equal(nested.main, flat.main)
    for metric in ("risk", "bias", "variance", "unbiased_variance", "biased_variance"):
        name = ("zero-one", metric)
        assert nested.estimates[name].value == pytest.approx(flat.estimates[name].value)
    z, y = Z, Y
    for metric in ("bias", "unbiased_variance", "biased_variance", "disagreement"):
        name = ("zero-one", metric)
        _, pseudo = jackknifed(
            lambda seeds, name=name: brute(z, y, [2 * s + i for s in seeds for i in (0, 1)], name),
            5,
        )
        assert np.allclose(nested.totals[0].unit_sums[name], pseudo.sum(axis=1), atol=1e-9)


def test_one_model_is_refused():
    with pytest.raises(UsageError, match="one model: variance is between models"):
        grow([0], [], ["a"])
    with pytest.raises(UsageError, match="one model at width 3"):
        grow([0, 1], [("part", [0, 0])], ["a", "b"], where=" at width 3")


def test_models_that_nothing_tells_apart_are_refused():
    with pytest.raises(ArtifactError, match="`a` and `c` have the same seed 0"):
        grow([0] * 4, [("seed", [0, 1, 0, 1])], list("abcd"))


def test_a_branch_of_one_beside_branches_of_several_is_refused():
    with pytest.raises(ArtifactError, match="`c` is alone with its `seed2`"):
        grow([0] * 3, [("seed", [0, 0, 1]), ("seed2", [0, 1, 0])], list("abc"))


def test_a_level_without_choice_is_no_level():
    levels = [("part", [0, 1, 2]), ("seed", [5, 6, 7]), ("seed2", [0, 0, 0])]
    tree = grow([0] * 3, levels, list("abc"))
    assert tree.trees[0].flat
    assert tree.levels == ("part",)


def test_losses_that_answers_do_not_have_are_refused():
    with pytest.raises(UsageError, match="no cross-entropy loss of `scores`"):
        reading("scores", 3, on=None, losses=("cross-entropy",), regression=False)
    with pytest.raises(UsageError, match="`--on logits` does not fit answers that are `probs`"):
        reading("probs", 3, on="logits", losses=(), regression=False)
