"""Models whose bias and variance have reference values, and the definitions of the parts."""

import itertools

import numpy as np

from nncli.bias_variance.answers import reading
from nncli.bias_variance.decomposition import Task, decompose
from nncli.bias_variance.ensembles import grow

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
