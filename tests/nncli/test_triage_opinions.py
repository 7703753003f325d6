"""Who will differ about what: targets, regressions of shares, scores, and worlds of known truth."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from nncli.errors import ArtifactError
from nncli.probing.features import Training
from nncli.probing.settings import Settings
from nncli.triage import novelty
from nncli.triage.crossfitting import Fitting, groups_of, plan_of
from nncli.triage.foresight import Design, Model, cross_fit, fit_all
from nncli.triage.judging import Effort, findings
from nncli.triage.opinions import opinions_of, single_reader_errors, uncertainty_of
from nncli.triage.rank_correlation import drawn_spearman, spearman
from nncli.triage.shares import choose_shares, fit_shares
from nncli.triage.uncertainty import EXTRA, SCORES, About

RANDOM = np.random.default_rng(0)
ABOUT = About("disagreement", "linear", "regression", None)


def counts_of(readings, classes):
    return np.array([np.bincount(one, minlength=classes) for one in readings])


def test_a_reader_is_held_against_the_consensus_of_the_others():
    pools = [[0, 0, 1], [0, 1], [2, 2, 2, 2], [0, 0, 1, 1], [0, 1, 2]]
    found = single_reader_errors(counts_of(pools, 3))
    expected = []
    for pool in pools:
        wrong = []
        for place, one in enumerate(pool):
            others = np.bincount(np.delete(pool, place), minlength=3)
            tied = np.flatnonzero(others == others.max())
            wrong.append(1 - (one in tied) / len(tied))
        expected.append(np.mean(wrong))
    assert found == pytest.approx(expected)
    assert found[1] == 1.0  # of two who differ, each is alone


def test_raters_missing_at_random_leave_the_target_where_it_is():
    chance = np.random.default_rng(1)
    shares = chance.dirichlet(np.ones(3), 4000)
    truth = (1 - (shares**2).sum(axis=1)).mean()
    found = {}
    for name, sizes in (("whole", np.full(4000, 12)), ("gaps", chance.integers(2, 6, 4000))):
        counts = np.stack([chance.multinomial(n, p) for n, p in zip(sizes, shares, strict=True)])
        found[name] = opinions_of(counts, "disagreement", None, threshold=None, source="s").value
    error = found["gaps"].std() / np.sqrt(4000)
    assert found["gaps"].mean() == pytest.approx(truth, abs=4 * error)
    assert found["whole"].mean() == pytest.approx(truth, abs=4 * error)


def test_the_threshold_is_the_median_or_what_leaves_somebody_above():
    def told(pools):
        return opinions_of(counts_of(pools, 2), "disagreement", None, threshold=None, source="s")

    split, whole = [0, 1], [0, 0]
    assert told([whole] * 6 + [split] * 4).threshold == 0.0
    found = told([whole] * 3 + [split] * 7)  # the median is the largest value there is
    assert found.threshold == 0.0
    assert found.disagree.sum() == 7


def test_readers_who_agree_everywhere_leave_nothing_to_foresee():
    with pytest.raises(ArtifactError, match=r"agree on every case \(5\)"):
        opinions_of(counts_of([[1, 1]] * 5, 2), "entropy", None, threshold=None, source="s")


@pytest.mark.parametrize("target", ["disagreement", "entropy", "variance"])
def test_the_uncertainty_of_the_mean_opinion_is_at_least_the_mean_uncertainty(target):
    shares, grades = RANDOM.dirichlet(np.ones(4), 200), np.array([0.0, 1.0, 2.0, 5.0])
    mean = uncertainty_of(target, shares.mean(axis=0)[None], grades)[0]
    assert mean > uncertainty_of(target, shares, grades).mean()


def standardised(n, d, folds=4):
    x = np.random.default_rng(2).standard_normal((n, d))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    bounds = np.linspace(0, n, folds + 1).astype(int)
    return Training(x, tuple(bounds.tolist()))


@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_shares_of_one_class_each_are_logistic_regression(penalty):
    data = standardised(150, 4)
    y = (data.x[:, 0] + RANDOM.standard_normal(150) > 0).astype(int) + (data.x[:, 1] > 1)
    (found,) = fit_shares(data, np.eye(3)[y], penalty, [np.ones(150, bool)])
    peer = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=5000).fit(data.x, y)
    shown = np.exp(found.answers(data.x))
    shown /= shown.sum(axis=1, keepdims=True)
    assert shown == pytest.approx(peer.predict_proba(data.x), abs=2e-4)


def test_shares_are_what_as_many_readings_are():
    data = standardised(60, 3)
    counts = RANDOM.multinomial(6, [0.5, 0.3, 0.2], 60)
    (found,) = fit_shares(data, counts / 6, 0.5, [np.ones(60, bool)])
    rows = np.repeat(data.x, 3, axis=0)
    peer = LogisticRegression(C=2.0, tol=1e-10, max_iter=5000)
    peer.fit(rows, np.tile([0, 1, 2], 60), sample_weight=(counts / 6).reshape(-1))
    shown = np.exp(found.answers(data.x))
    shown /= shown.sum(axis=1, keepdims=True)
    assert shown == pytest.approx(peer.predict_proba(data.x), abs=2e-4)


def test_shares_of_noise_get_the_strongest_penalty_and_those_of_a_law_a_weak_one():
    data = standardised(300, 3)
    settings = Settings()
    noise = RANDOM.dirichlet(np.ones(2), 300)
    assert choose_shares(data, noise, settings.penalties).penalty >= 100
    law = 1 / (1 + np.exp(-3 * data.x[:, 0]))
    shares = np.column_stack([1 - law, law])
    assert choose_shares(data, shares, settings.penalties).penalty <= 0.1


def test_rank_correlations_are_those_of_scipy_with_ties_and_with_draws():
    scores = np.round(RANDOM.standard_normal((2, 80)), 1)
    outcome = np.round(scores[0] + RANDOM.standard_normal(80))
    expected = [spearmanr(one, outcome).statistic for one in scores]
    assert spearman(scores, outcome) == pytest.approx(expected)
    found = drawn_spearman(scores, outcome, group=None, resamples=3, seed=5)
    chance = np.random.default_rng([5, 0x7472])
    for place, rows in enumerate(chance.integers(80, size=(3, 80))):
        expected = [spearmanr(one[rows], outcome[rows]).statistic for one in scores]
        assert found[:, place] == pytest.approx(expected)


def fitting_of(x, counts, **settings):
    opinions = opinions_of(counts, "disagreement", None, threshold=None, source="s")
    parts = np.array_split(np.arange(len(x)), 4)
    told = {"reader": "linear", "settings": Settings(**settings)}
    return Fitting.of(x, opinions, np.arange(len(x)), parts, **told)


def pools(n, classes=2, seed=3):
    return np.random.default_rng(seed).multinomial(4, np.full(classes, 1 / classes), n)


def test_the_shrinkage_of_a_covariance_is_ledoit_and_wolfs():
    rows = RANDOM.standard_normal((40, 12)) @ np.diag(np.linspace(0.2, 2, 12))
    rows -= rows.mean(axis=0)
    expected, shrinkage = ledoit_wolf(rows, assume_centered=True)
    covariance = rows.T @ rows / 40
    assert novelty.ledoit_wolf_shrinkage(rows, covariance) == pytest.approx(shrinkage)
    assert expected.shape == (12, 12)


def test_mahalanobis_distance_is_the_least_over_class_means():
    x = RANDOM.standard_normal((60, 3))
    fitting = fitting_of(x, pools(60))
    rows, label = fitting.training.x, fitting.opinions.plurality
    means = np.stack([rows[label == one].mean(axis=0) for one in (0, 1)])
    covariance, _ = ledoit_wolf(rows - means[label], assume_centered=True)
    inverse = np.linalg.inv(covariance)
    new = RANDOM.standard_normal((10, 3))
    expected = [min((one - m) @ inverse @ (one - m) for m in means) for one in new]
    found = novelty.mahalanobis(novelty.fit_mahalanobis(fitting), new)
    assert found == pytest.approx(expected)


def test_neighbours_are_those_of_scikit_learn():
    fitting = fitting_of(RANDOM.standard_normal((50, 4)), pools(50))
    new = RANDOM.standard_normal((9, 4))

    peer = NearestNeighbors(n_neighbors=10).fit(fitting.training.x)
    found = novelty.neighbour_distance(novelty.fit_neighbours(fitting), new)
    assert found == pytest.approx(peer.kneighbors(new)[0][:, -1])


@pytest.mark.parametrize("name", EXTRA)
def test_cases_far_from_those_seen_score_higher(name):
    chance = np.random.default_rng(4)
    x = chance.standard_normal((400, 6))
    yes = chance.binomial(4, 1 / (1 + np.exp(-x[:, 1])))
    fitting = fitting_of(x, np.column_stack([4 - yes, yes]))
    arrays = SCORES[name].fit(fitting, ABOUT)
    far = x[:200].copy()
    far[:, 0] += 12
    near, away = (
        SCORES[name].of(arrays, fitting.scaling.apply(one), ABOUT) for one in (x[:200], far)
    )
    assert np.median(away) > 1.2 * np.median(near)


def test_what_noise_leaves_of_distillation_falls_as_one_over_how_often_the_like_was_seen():
    def left(copies):
        x = np.tile(np.random.default_rng(5).standard_normal((20, 3)), (copies, 1))
        net = novelty.fit_distillation(fitting_of(x, pools(len(x))))
        known = novelty._units(net, x[:20])
        return np.einsum("nu,uv,nv->n", known, net["scatter"], known).mean()

    assert left(64) / left(256) == pytest.approx(4, rel=0.1)


def world(n, hidden, seed=0, raters=3):
    """Cases of which people see more than the features hold, by so much."""
    chance = np.random.default_rng(seed)
    x, unseen = chance.standard_normal((n, 2)), np.sign(chance.standard_normal(n))
    logit = 1.5 * x[:, 0] + hidden * unseen * np.maximum(x[:, 1], 0)
    yes = chance.binomial(raters, 1 / (1 + np.exp(-logit)))
    features = np.column_stack([x, x**2, np.abs(x)])  # enough for a linear model to be right
    return features, np.column_stack([raters - yes, yes])


def judged(x, counts, *, names=("dup", "uvc"), about=ABOUT, group=None, **effort):
    opinions = opinions_of(counts, about.target, None, threshold=None, source="s")
    plan = plan_of(groups_of(x, group), opinions.disagree, 5, 0, "x")
    design = Design(names, about, Settings())
    foresight = cross_fit(x, opinions, plan, design)
    found = findings(foresight, opinions, plan.group, about, Effort(**{"resamples": 0, **effort}))
    rows = {(one["score"], one.get("against"), one["metric"], one["at"]): one for one in found.rows}
    return rows, found.curve


def test_where_people_see_more_direct_prediction_wins_and_the_classifier_says_too_much():
    rows, _ = judged(*world(1500, 4.0))
    gap = rows["dup", "uvc", "auroc", None]
    assert gap["low"] > 0.05
    assert gap["p"] < 1e-6
    assert rows["uvc", None, "bias", None]["low"] > 0.1
    bias = rows["dup", None, "bias", None]
    assert bias["low"] < 0 < bias["high"]
    slope = rows["dup", None, "slope", None]
    assert slope["low"] < 1 < slope["high"]


def test_where_nothing_is_hidden_the_classifier_is_no_worse_and_hardly_biased():
    rows, _ = judged(*world(2000, 0.0))
    assert rows["dup", "uvc", "auroc", None]["value"] < 0.003
    assert abs(rows["uvc", None, "bias", None]["value"]) < 0.02


def test_a_classifier_of_disagreement_tells_it_apart_as_well():
    about = ABOUT._replace(direct="classification")
    rows, _ = judged(*world(1000, 4.0), about=about)
    assert rows["dup", "uvc", "auroc", None]["low"] > 0.05
    assert abs(rows["dup", None, "bias", None]["value"]) < 0.01


def test_no_case_is_scored_by_a_model_that_saw_its_group():
    # the features are noise, and the target is that of the group: known to who has seen it
    chance = np.random.default_rng(6)
    group = np.repeat(np.arange(60), 20)
    x = np.repeat(chance.standard_normal((60, 40)), 20, axis=0)
    x += 0.1 * chance.standard_normal(x.shape)
    split = np.repeat(chance.integers(0, 2, 60), 20)
    counts = np.where(split[:, None] > 0, [2, 2], [4, 0])
    told = {"about": ABOUT._replace(reader="knn")}
    alone, _ = judged(x, counts, **told)
    together, _ = judged(x, counts, group=group, **told)
    assert alone["dup", None, "auroc", None]["value"] > 0.95
    assert together["dup", None, "auroc", None]["value"] < 0.65


def test_intervals_of_the_difference_cover_the_difference_of_the_world():
    # scores are taken as they are: a fixed one of each kind, on samples of one world
    def sample(n, seed):
        chance = np.random.default_rng(seed)
        rate = chance.beta(1, 2, n)
        yes = chance.binomial(4, rate)
        scores = np.stack([rate * (1 - rate), rate]) + 0.1 * chance.standard_normal((2, n))
        return scores, np.column_stack([4 - yes, yes])

    from nncli.triage.foresight import Foresight

    def rows_of(n, seed, resamples):
        scores, counts = sample(n, seed)
        opinions = opinions_of(counts, "disagreement", None, threshold=0.0, source="s")
        foresight = Foresight(("dup", "uvc"), scores, (True, True))
        effort = Effort((0.2,), resamples, seed)
        found = findings(foresight, opinions, np.arange(n), ABOUT, effort)
        return {(one["score"], one.get("against"), one["metric"]): one for one in found.rows}

    truth = rows_of(40_000, 0, 0)
    wanted = [
        ("dup", "uvc", "auroc"),
        ("dup", "uvc", "spearman"),
        ("dup", None, "bias"),
        ("dup", None, "slope"),
        ("dup", None, "consensus-error"),
    ]
    runs, hits = 80, np.zeros(len(wanted))
    for seed in range(runs):
        found = rows_of(250, seed + 1, 120)
        hits += [found[one]["low"] <= truth[one]["value"] <= found[one]["high"] for one in wanted]
    assert hits.mean() / runs == pytest.approx(0.95, abs=0.025)
    assert (hits / runs > 0.95 - 0.02 - 2 * 0.0245).all(), hits / runs


def test_referring_nobody_leaves_all_errors_and_referring_at_random_a_share_of_them():
    rows, curve = judged(*world(500, 2.0), points=3)
    error = single_reader_errors(world(500, 2.0)[1]).mean()
    found = {(one["metric"], one["score"], one["referred"]): one["value"] for one in curve}
    assert found["consensus-error", "dup", 0.0] == pytest.approx(error)
    assert found["consensus-error", "dup", 1.0] == pytest.approx(0, abs=1e-12)
    assert found["consensus-error", "random", 0.25] == pytest.approx(0.75 * error)
    assert found["caught", "random", 0.5] == pytest.approx(0.5)
    assert found["caught", "dup", 0.5] > 0.5
    assert rows["dup", None, "caught", 0.1]["value"] < rows["dup", None, "caught", 0.3]["value"]


def test_a_stored_model_scores_as_the_one_that_was_fitted():
    x, counts = world(300, 1.0)
    opinions = opinions_of(counts, "disagreement", None, threshold=None, source="s")
    plan = plan_of(np.arange(300), opinions.disagree, 4, 0, "x")
    made = fit_all(x, opinions, plan, Design(("dup", "uvc", *EXTRA), ABOUT, Settings()))
    again = Model.of_arrays(made.about._asdict(), made.scaling_arrays(), made.arrays)
    for name, score in made.scores(x[:20]).items():
        assert again.scores(x[:20])[name] == pytest.approx(score)


def test_equal_disagreement_ties_whatever_the_number_of_readers():
    pools = [[0, 0, 1], [0, 0, 1, 1], [0, 1, 1], [0, 0], [0, 1]]  # two thirds, three times
    found = opinions_of(
        counts_of(pools, 2), "disagreement", None, threshold=0.66666666667, source="s"
    )
    assert len(set(found.value[:3])) == 1
    assert found.disagree.tolist() == [False, False, False, False, True]


def test_more_features_than_cases_and_features_that_never_vary_are_no_obstacle():
    chance = np.random.default_rng(7)
    x = np.column_stack([chance.standard_normal((80, 200)), np.ones(80)])
    yes = chance.binomial(4, 1 / (1 + np.exp(-3 * x[:, 0])))
    counts = np.column_stack([4 - yes, yes])
    rows, _ = judged(x, counts, names=("dup", "uvc", *EXTRA))
    assert all(np.isfinite(rows[name, None, "auroc", None]["value"]) for name in SCORES)
    opinions = opinions_of(counts, "disagreement", None, threshold=None, source="s")
    plan = plan_of(np.arange(80), opinions.disagree, 4, 0, "x")
    made = fit_all(x, opinions, plan, Design(("uvc", *EXTRA), ABOUT, Settings()))
    assert all(np.isfinite(one).all() for one in made.scores(x[:5]).values())
