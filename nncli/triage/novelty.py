"""How unlike the cases that were seen a case is: four scores from its features alone.

Each has a function that says what it consists of, for features standardised on the cases seen, and
one that scores others.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nncli.calibration import softmax
from nncli.triage.crossfitting import Fitting
from nncli.triage.doubts import entropy_of
from nncli.triage.shares import choose_shares, fit_shares

F64 = NDArray[np.float64]
Arrays = Mapping[str, F64]

BLOCK = 1 << 22  # numbers of a block of distances
NEIGHBOURS = 10
MEMBERS = 10
TARGETS, UNITS = 32, 256  # outputs of the random network; random units of the model of it
NOISE = 0.1  # variance of the noise, relative to the variance of the answers


def fit_neighbours(fitting: Fitting) -> dict[str, F64]:
    """Keep the cases seen."""
    rows = fitting.training.x
    return {"cases": rows, "k": np.array([float(min(NEIGHBOURS, len(rows)))])}


def neighbour_distance(arrays: Arrays, x: F64) -> F64:
    """Distance to the k-th nearest case seen.

    Args:
        arrays: From `fit_neighbours`.
        x: (n, d).

    Returns:
        (n,) 0 on, in standard deviations of a feature.

    References:
        Sun, Ming, Zhu, Li (2022), Out-of-distribution detection with deep nearest neighbors (who
        bring features to length 1, which standardised ones must not be).
    """
    known, k = arrays["cases"], int(arrays["k"][0])
    squares = np.einsum("nd,nd->n", known, known)
    found = np.empty(len(x))
    step = max(1, BLOCK // len(known))
    for at in range(0, len(x), step):
        rows = x[at : at + step]
        apart = squares - 2 * rows @ known.T
        near = np.partition(apart, k - 1, axis=1)[:, k - 1]
        found[at : at + step] = near + np.einsum("nd,nd->n", rows, rows)
    distance: F64 = np.sqrt(np.maximum(found, 0))
    return distance


def fit_mahalanobis(fitting: Fitting) -> dict[str, F64]:
    """Means of the classes that most readers say, and what makes the rest round."""
    rows, label = fitting.training.x, fitting.opinions.plurality
    present = np.unique(label)
    means = np.stack([rows[label == one].mean(axis=0) for one in present])
    rest = rows - means[np.searchsorted(present, label)]
    covariance = rest.T @ rest / len(rest)
    shrinkage = ledoit_wolf_shrinkage(rest, covariance)
    width = len(covariance)
    covariance *= 1 - shrinkage
    covariance[np.diag_indices(width)] += shrinkage * np.einsum("nd,nd->", rest, rest) / rest.size
    values, vectors = np.linalg.eigh(covariance)
    kept = values > max(values[-1], 0) * width * np.finfo(float).eps
    whitening = vectors[:, kept] / np.sqrt(values[kept])
    return {"whitening": whitening, "means": means @ whitening}


def ledoit_wolf_shrinkage(rows: F64, covariance: F64) -> float:
    """How far a covariance is best drawn towards a multiple of the identity.

    Args:
        rows: (n, d) of mean 0.
        covariance: (d, d) their second moments.

    Returns:
        A share from 0 to 1.

    References:
        Ledoit, Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices.
    """
    n, d = rows.shape
    squares = np.einsum("nd,nd->n", rows, rows)
    norm = float((covariance**2).sum())
    mean = float(np.trace(covariance)) / d
    off = norm - d * mean**2
    noise = (float((squares**2).sum()) / n - norm) / n
    return min(max(noise, 0.0) / off, 1.0) if off > 0 else 1.0


def mahalanobis(arrays: Arrays, x: F64) -> F64:
    """Squared distance to the nearest class mean, in the metric of the spread within classes.

    Args:
        arrays: From `fit_mahalanobis`.
        x: (n, d).

    Returns:
        (n,) 0 on.

    References:
        Lee, Lee, Lee, Shin (2018), A simple unified framework for detecting out-of-distribution
        samples and adversarial attacks.
    """
    rows = x @ arrays["whitening"]
    found = np.full(len(x), np.inf)
    for one in arrays["means"]:
        found = np.minimum(found, ((rows - one) ** 2).sum(axis=1))
    return found


def fit_ensemble(fitting: Fitting) -> dict[str, F64]:
    """Linear classifiers of what readers say, each fitted on a random half of the groups."""
    data, shares, settings = fitting.training, fitting.opinions.shares, fitting.settings
    classifier = (
        fitting.classifier
        if fitting.reader == "linear"
        else choose_shares(data, shares, settings.penalties)
    )
    chance = np.random.default_rng([settings.seed, 0x656E])
    _, own = np.unique(fitting.group, return_inverse=True)
    groups = int(own.max()) + 1
    half = np.array([chance.permutation(groups) < max(groups // 2, 1) for _ in range(MEMBERS)])
    penalty = float(classifier.penalty or settings.penalties[0]) / 2  # of a sum of half the cases
    found = fit_shares(data, shares, penalty, list(half[:, own]))
    return {name: np.stack([one.arrays[name] for one in found]) for name in ("weight", "bias")}


def ensemble_disagreement(arrays: Arrays, x: F64) -> F64:
    """Jensen-Shannon divergence of the answers: the entropy of their mean less their mean entropy.

    Args:
        arrays: From `fit_ensemble`: weights (members, d, C) and intercepts (members, C).
        x: (n, d).

    Returns:
        (n,) in nats, 0 where all agree.

    References:
        Lakshminarayanan, Pritzel, Blundell (2017), Simple and scalable predictive uncertainty
        estimation using deep ensembles.
    """
    each = [
        softmax(x @ weight + bias)
        for weight, bias in zip(arrays["weight"], arrays["bias"], strict=True)
    ]
    mean = np.mean(each, axis=0)
    own = np.mean([entropy_of(one) for one in each], axis=0)
    found: F64 = np.maximum(entropy_of(mean) - own, 0)
    return found


def fit_distillation(fitting: Fitting) -> dict[str, F64]:
    """A random network, and a ridge regression of its noisy answers on other random units."""
    rows = fitting.training.x
    n, d = rows.shape
    chance = np.random.default_rng([fitting.settings.seed, 0x7264])
    units = min(UNITS, max(n // 2, 1))
    scale = 1 / np.sqrt(d)
    net = {
        "first": chance.standard_normal((d, UNITS)) * scale,
        "second": chance.standard_normal((UNITS, TARGETS)) / np.sqrt(UNITS),
        "units": chance.standard_normal((d, units)) * scale,
        "shifts": chance.standard_normal(units),
    }
    answers, known = _answers(net, rows), _units(net, rows)
    net["spread"] = np.array([max(float(answers.std(axis=0).mean()), 1e-12)])
    net["mean"] = answers.mean(axis=0)
    gram = known.T @ known
    inverse = np.linalg.inv(gram + NOISE * np.eye(len(gram)))
    net["model"] = inverse @ (known.T @ ((answers - net["mean"]) / net["spread"]))
    net["scatter"] = inverse @ gram @ inverse
    return net


def _answers(net: Arrays, x: F64) -> F64:
    found: F64 = np.tanh(x @ net["first"]) @ net["second"]
    return found


def _units(net: Arrays, x: F64) -> F64:
    """Random rectified units and a constant one, (n, units + 1)."""
    found = np.maximum(x @ net["units"] + net["shifts"], 0)
    return np.concatenate([found, np.ones((len(x), 1))], axis=1)


def distillation_error(arrays: Arrays, x: F64) -> F64:
    """How far a model of a random network is from it, over the noise that it was fitted with.

    The model is linear in random units, so the expectation is exact: the squared discrepancy, which
    grows with what was never seen, and the variance that the noise leaves, which falls as
    1 / count with how often the like was.

    Args:
        arrays: From `fit_distillation`.
        x: (n, d).

    Returns:
        (n,) squared error, mean over outputs, in units of the variance of the answers.

    References:
        Burda, Edwards, Storkey, Klimov (2019), Exploration by random network distillation; the
        noise is from Exploration by random distribution distillation.
    """
    known = _units(arrays, x)
    answers = (_answers(arrays, x) - arrays["mean"]) / arrays["spread"]
    discrepancy = ((known @ arrays["model"] - answers) ** 2).mean(axis=1)
    counted = np.einsum("nu,uv,nv->n", known, arrays["scatter"], known, optimize=True)
    found: F64 = discrepancy + NOISE * counted
    return found
