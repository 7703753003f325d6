import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import nn

from nncli.errors import MismatchError
from nncli.forward import Inputs, batches, take
from nncli.predicting import predict
from nncli.smoothing import ABSTAINS, Smoothing, certify, lower_bound, smoothed

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((60, 5)).astype(np.float32)
WEIGHT = np.array([[0.4, -1.0, 0.3, 0.0, 0.5], [-0.2, 0.1, 0.9, -0.6, 0.0]])
BIAS = np.array([0.3, -0.1])
DIFFERENCE, SHIFT = WEIGHT[0] - WEIGHT[1], BIAS[0] - BIAS[1]
MARGIN = X.astype(np.float64) @ DIFFERENCE + SHIFT
NORM = float(np.linalg.norm(DIFFERENCE))


def linear(weight=WEIGHT, bias=BIAS):
    network = nn.Linear(5, len(weight))
    with torch.no_grad():
        network.weight.copy_(torch.tensor(weight))
        network.bias.copy_(torch.tensor(bias))
    return network.eval()


def answers(how, network=None, size=60):
    network = network or linear()
    parts = [smoothed(network, one, how, name="net") for one in batches(Inputs(X), size)]
    logprobs = torch.cat([means for means, _ in parts]).numpy()
    classes = np.concatenate([one.classes for _, one in parts])
    return logprobs, classes, np.concatenate([one.radii for _, one in parts])


def test_probabilities_of_a_linear_network_are_gaussian_integrals_of_its_sigmoid():
    sigma, samples = 0.7, 1500
    logprobs, _, _ = answers(Smoothing(sigma, samples))
    assert np.allclose(np.exp(logprobs).sum(axis=1), 1)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    at = special.expit(MARGIN[:, None] + sigma * NORM * nodes)
    weights = weights / weights.sum()
    truth = at @ weights
    spread = np.sqrt((at**2 @ weights - truth**2) / samples)
    assert np.abs((np.exp(logprobs[:, 0]) - truth) / spread).max() < 4


def test_votes_of_a_linear_network_follow_the_normal_distribution_of_its_margin():
    sigma, samples = 0.7, 1500
    # weights so large that every probability is 0 or 1: the mean is the share of votes
    logprobs, _, _ = answers(Smoothing(sigma, samples), linear(1e6 * WEIGHT, 1e6 * BIAS))
    truth = stats.norm.cdf(MARGIN / (sigma * NORM))
    spread = np.sqrt(truth * (1 - truth) / samples) + 1e-9
    assert np.isfinite(logprobs).all()
    assert np.abs((np.exp(logprobs[:, 0]) - truth) / spread).max() < 4


def test_the_radius_of_a_linear_network_tends_to_the_distance_of_its_boundary_from_below():
    distance = np.abs(MARGIN) / NORM
    near = distance < 1  # within two standard deviations of the noise
    short = []
    for samples in (50, 300, 3000):
        _, classes, radii = answers(Smoothing(0.5, samples, seed=1))
        assert (radii <= distance).mean() >= 0.98
        assert ((classes == ABSTAINS) == (radii == 0)).all()
        certain = classes != ABSTAINS
        assert (classes[certain] == (MARGIN[certain] < 0)).all()
        short.append(float((distance - radii)[near].mean()))
    assert short[0] > short[1] > short[2]
    assert short[2] < 0.05


def test_what_is_never_contradicted_is_certain_up_to_the_limit_of_the_samples():
    found = certify(np.array([[10, 0]]), np.array([[1000, 0]]), 0.25)
    assert found.classes.tolist() == [0]
    assert found.radii[0] == pytest.approx(0.25 * stats.norm.ppf(0.001 ** (1 / 1000)), rel=1e-9)


def test_a_class_without_a_clear_majority_is_not_certain():
    # of 100, 65 are not above one half with a confidence of 0.999; 66 are
    votes = np.array([[50, 50], [64, 36], [65, 35], [66, 34], [0, 100]])
    found = certify(np.tile([[10, 0]], (5, 1)), votes, 1.0)
    bounds = [
        stats.binomtest(int(one), 100).proportion_ci(0.998, "exact").low for one in votes[:, 0]
    ]
    assert found.classes.tolist() == [0 if bound > 0.5 else ABSTAINS for bound in bounds]
    assert found.radii[3] == pytest.approx(stats.norm.ppf(bounds[3]))
    assert found.classes[4] == ABSTAINS  # what was chosen is not what was said


def test_the_lower_bound_is_that_of_clopper_and_pearson_and_holds():
    successes = np.array([0, 1, 37, 99, 100])
    wanted = [
        stats.binomtest(int(one), 100, alternative="greater").proportion_ci(0.99, "exact").low
        for one in successes
    ]
    found = lower_bound(successes, np.full(5, 100), 0.99)
    assert found == pytest.approx(wanted, abs=1e-12)
    draws = np.arange(201)
    for p in (0.3, 0.9, 0.99):
        below = lower_bound(draws, np.full(201, 200), 0.95) <= p
        assert stats.binom.pmf(draws, 200, p)[below].sum() >= 0.95


def test_answers_depend_on_the_seed_and_the_place_of_an_example_and_not_on_its_batch():
    how = Smoothing(0.5, 30, seed=3)
    whole, parts, other = answers(how), answers(how, size=7), answers(Smoothing(0.5, 30, seed=4))
    for one, two in zip(whole, parts, strict=True):
        assert np.allclose(one, two, atol=1e-6)
    assert np.abs(whole[0] - other[0]).max() > 0.01


def test_predictions_are_the_smoothed_probabilities_with_their_losses():
    y = (MARGIN < 0).astype(np.int64)
    how = Smoothing(0.5, 40)
    found = predict(linear(), batches(Inputs(X), 7), y, smoothing=how, name="net", data="data")
    logprobs, classes, radii = answers(how)
    assert np.allclose(found.values, logprobs, atol=1e-6)
    assert np.allclose(found.losses, -logprobs[np.arange(60), y], atol=1e-6)
    assert np.array_equal(found.certified[0], classes)
    assert np.array_equal(found.certified[1], radii)
    plain = predict(linear(), batches(Inputs(X), 7), y, name="net", data="data")
    assert plain.certified is None


def test_a_network_without_several_logits_is_refused():
    with pytest.raises(MismatchError, match=r"`net` answers 3 examples with \(3, 1\)"):
        smoothed(linear(WEIGHT[:1], BIAS[:1]), take(Inputs(X), 0, 3), Smoothing(0.1, 5), name="net")
