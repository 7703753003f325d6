"""Shape metrics, Bures similarity and cut canonical correlations: closed forms and limits."""

import sys
import warnings

import numpy as np
import pytest

from nncli.errors import NncliWarning
from nncli.similarity import (
    METRICS,
    bures,
    cca,
    compare,
    layer_of,
    linear_cka,
    procrustes,
    procrustes_angular,
    pwcca,
    shape_metric,
    svcca,
)
from nncli.similarity.algebra import nuclear
from nncli.similarity.centring import centre
from nncli.similarity.work import working


@pytest.fixture
def tall(case):
    return case("tall")


@pytest.fixture
def wide(case):
    return case("wide")


def centred(x):
    return x - x.mean(0)


def partly_whitened(x, alpha):
    """X (alpha I + (1 - alpha) (X'X)^(-1/2)) of unit norm, from the inverse root itself."""
    x = centred(x)
    squares, vectors = np.linalg.eigh(x.T @ x)
    live = squares > 1e-13 * squares[-1]
    squares = squares / squares[live].mean()
    x = x / np.sqrt((np.linalg.norm(x) ** 2) / live.sum())
    inverse = (vectors[:, live] / np.sqrt(squares[live])) @ vectors[:, live].T
    z = x @ (alpha * np.eye(x.shape[1]) + (1 - alpha) * inverse)
    return z / np.linalg.norm(z)


@pytest.mark.parametrize("alpha", [0.01, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("name", ["tall", "square"])
def test_the_shape_metric_is_the_angle_of_partly_whitened_matrices(name, alpha, case):
    pair = case(name)
    a, b = (partly_whitened(one, alpha) for one in pair)
    expected = np.arccos(np.linalg.svd(a.T @ b, compute_uv=False).sum())
    assert shape_metric(*pair, alpha=alpha) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["tall", "wide"])
def test_alpha_one_is_the_angular_procrustes_distance_and_its_neighbours_are_near(name, case):
    pair = case(name)
    whole = procrustes_angular(*pair)
    assert shape_metric(*pair, alpha=1.0) == whole
    assert shape_metric(*pair, alpha=1 - 1e-9) == pytest.approx(whole, abs=1e-7)


def test_alpha_zero_counts_canonical_correlations(tall, case):
    x, y = tall
    q, r = (np.linalg.qr(centred(one))[0] for one in (x, y))
    nuclear = np.linalg.svd(q.T @ r, compute_uv=False).sum()
    assert shape_metric(x, y, alpha=0.0) == pytest.approx(
        np.arccos(nuclear / np.sqrt(32 * 48)), abs=1e-9
    )
    x, y = case("square")
    assert shape_metric(x, y, alpha=0.0) == pytest.approx(np.arccos(cca(x, y)), abs=1e-9)
    mapped = y @ np.random.default_rng(1).standard_normal((40, 40))
    assert shape_metric(x, mapped, alpha=0.0) == pytest.approx(
        shape_metric(x, y, alpha=0.0), abs=1e-9
    )


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_repeated_and_constant_columns_do_not_matter_to_a_whitened_shape(alpha, tall):
    x, y = tall
    dead = np.hstack([x, np.full((200, 3), 7.0)])
    assert shape_metric(dead, y, alpha=alpha) == pytest.approx(
        shape_metric(x, y, alpha=alpha), abs=1e-9
    )
    spun = np.hstack([x, x @ np.random.default_rng(0).standard_normal((32, 4))])
    expected = np.arccos(
        np.linalg.svd(
            partly_whitened(spun, alpha).T @ partly_whitened(y, alpha), compute_uv=False
        ).sum()
    )
    assert shape_metric(spun, y, alpha=alpha) == pytest.approx(expected, abs=1e-8)


def test_shape_metrics_obey_the_triangle_inequality(tall, latent_pair):
    layers = [tall[0], tall[1], *latent_pair(200, 3, 20, 7, seed=1)]
    for alpha in (0.0, 0.2, 0.8):
        away = np.array([[shape_metric(x, y, alpha=alpha) for y in layers] for x in layers])
        assert (away[:, None, :] <= away[:, :, None] + away[None] + 1e-7).all()


def test_full_whitening_of_too_few_examples_is_noted(wide):
    names = ["shape-metric:alpha=0", "shape-metric:alpha=0.5"]
    whole, part = compare([layer_of(wide[0], "x")], [layer_of(wide[1], "y")], names)
    assert whole.score.value == pytest.approx(0.0, abs=1e-7)
    assert whole.score.note == "as many dimensions as centred examples: the same whatever the data"
    assert (whole.score.extra, part.score.note) == ({"dims_a": 39, "dims_b": 39}, None)
    assert part.score.value > 0.1


def test_the_bures_similarity_is_the_root_fidelity_of_gram_matrices(wide):
    from scipy.linalg import sqrtm

    x, y = (centred(one[:30]) for one in wide)
    k, other = (one @ one.T / np.linalg.norm(one) ** 2 for one in (x, y))
    root = np.real(sqrtm(k + 1e-14 * np.eye(30)))
    fidelity = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0)).sum()
    assert bures(x, y) == pytest.approx(fidelity, rel=1e-5)


def test_the_bures_similarity_is_what_procrustes_distances_are_made_of(tall, wide):
    # the reference value of the squared distance
    assert bures(*tall) == pytest.approx(1 - 0.1638588359 / 2, abs=1e-10)
    assert np.cos(procrustes_angular(*tall)) == pytest.approx(bures(*tall), abs=1e-12)
    assert 2 - 2 * bures(*wide) == pytest.approx(procrustes(*wide), abs=1e-14)


def test_rv_is_the_correlation_of_gram_matrices_and_another_name_of_linear_cka(tall):
    k, other = (centred(one) @ centred(one).T for one in tall)
    expected = np.vdot(k, other) / np.sqrt(np.vdot(k, k) * np.vdot(other, other))
    assert METRICS["rv"].function(*tall) == pytest.approx(expected, abs=1e-12)
    assert METRICS["rv"].function(*tall) == linear_cka(*tall)


def principal(x, k):
    u, s, vt = np.linalg.svd(centred(x), full_matrices=False)
    return u[:, :k], s[:k, None] * vt[:k]


def test_svcca_of_twenty_directions_is_the_published_recipe(tall):
    # what the notebook of google/svcca gives on these data
    assert svcca(*tall, variance=1.0, max_rank=20) == pytest.approx(0.5878026685, abs=1e-8)


@pytest.mark.parametrize(("variance", "limit", "kept"), [(0.99, 17, (14, 17)), (0.99, 5, (5, 5))])
def test_the_smaller_cut_of_svcca_counts(variance, limit, kept, tall):
    q, r = (principal(one, k)[0] for one, k in zip(tall, kept, strict=True))
    expected = np.linalg.svd(q.T @ r, compute_uv=False).mean()
    assert svcca(*tall, variance=variance, max_rank=limit) == pytest.approx(expected, abs=1e-10)
    a, b = (layer_of(one, "x") for one in tall)
    found = compare([a], [b], [f"svcca:max-rank={limit}"])[0].score
    assert (found.extra["dims_a"], found.extra["dims_b"]) == kept


@pytest.mark.parametrize("limit", [1, 8, 30, 100])
def test_pwcca_of_few_directions_weighs_by_all_features(limit, tall):
    x, y = tall
    (q, own), (r, _) = principal(x, limit), principal(y, limit)
    left, correlations, _ = np.linalg.svd(q.T @ r, full_matrices=False)
    weights = np.abs(left.T @ own).sum(1)
    expected = weights @ correlations / weights.sum()
    assert pwcca(x, y, max_rank=limit) == pytest.approx(expected, abs=1e-10)
    found = compare([layer_of(x, "x")], [layer_of(y, "y")], [f"pwcca:max-rank={limit}"])[0].score
    assert found.extra["reverse"] == pytest.approx(pwcca(y, x, max_rank=limit), abs=1e-10)


def test_few_directions_are_not_saturated_by_few_examples(wide):
    x, y = wide
    with warnings.catch_warnings():
        warnings.simplefilter("error", NncliWarning)
        assert 0 < pwcca(x, y, max_rank=10) < 1
    with pytest.warns(NncliWarning, match="too few"):
        assert pwcca(x, y) == 1.0


def single_precision(kind, n=1000, d=800):
    """A pair of float32 layers, centred to the last bit, by what their spectrum is like."""
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((n, 64))

    def noisy():
        seen = np.tanh(latents @ rng.standard_normal((64, d)))
        return seen + 0.2 * rng.standard_normal((n, d))

    def steep(power):
        q = np.linalg.qr(latents @ rng.standard_normal((64, d)) + rng.standard_normal((n, d)))[0]
        return (q * np.arange(1.0, d + 1) ** -power) @ np.linalg.qr(rng.standard_normal((d, d)))[0]

    def stretched():
        return noisy() * np.r_[1000.0, np.ones(d - 1)]

    makers = {
        "noisy": noisy,
        "rectified": lambda: np.maximum(noisy(), 0),
        "independent": lambda: rng.standard_normal((n, d)),
        "low rank": lambda: latents[:, :10] @ rng.standard_normal((10, d)),
        "steep": lambda: steep(1.5),
        "gently steep": lambda: steep(0.4),
        "one long column": stretched,
        "nearly the same": lambda: latents @ map_ + 0.1 * rng.standard_normal((n, d)),
    }
    map_ = rng.standard_normal((64, d))
    return tuple((makers[kind]() + 0.5).astype(np.float32) for _ in range(2))


@pytest.mark.parametrize(
    ("kind", "quick"),
    [
        ("noisy", True),
        ("rectified", True),
        ("gently steep", True),
        ("independent", True),
        ("nearly the same", False),
        ("low rank", False),
        ("steep", False),
        ("one long column", False),
    ],
)
def test_nuclear_norms_in_float32_are_good_to_eight_digits_or_made_again(monkeypatch, kind, quick):
    x, y = single_precision(kind)
    layers = [nuclear_of(one) for one in (x, y)]
    rows = [one.rows(0, len(x)).astype(np.float64) for one in layers]
    norms = np.prod([np.linalg.norm(one) for one in rows])
    expected = np.linalg.svd(rows[0].T @ rows[1], compute_uv=False).sum() / norms
    taken = []
    product = nuclear.over_cross_products

    def watched(*arguments, exact):
        taken.append(exact)
        return product(*arguments, exact=exact)

    monkeypatch.setattr(nuclear, "EXACT_WORK", 0)
    monkeypatch.setattr(nuclear, "over_cross_products", watched)
    with working() as work:
        found = nuclear.nuclear_cosines(layers[:1], layers[1:], [(0, 0)], work)
    assert found[0, 0] == pytest.approx(expected, rel=1e-8)
    assert taken == ([False] if quick else [False, True])


def nuclear_of(x):
    return centre(layer_of(x, "x"))


def test_a_large_float32_layer_beside_itself_keeps_all_digits(monkeypatch):
    monkeypatch.setattr(nuclear, "EXACT_WORK", 0)
    x, _ = single_precision("noisy", 500, 400)
    turn = np.random.default_rng(0).permutation(x.shape[1])
    assert procrustes(x, x[:, turn]) == pytest.approx(0.0, abs=1e-12)
    assert procrustes_angular(x, x[:, turn]) == pytest.approx(0.0, abs=1e-6)


def test_every_pair_is_reported_once_whichever_way_it_goes(monkeypatch):
    monkeypatch.setattr(nuclear, "EXACT_WORK", 0)
    a = [layer_of(single_precision(kind, 500, 400)[0], kind) for kind in ("noisy", "low rank")]
    done = []
    values = [one.score.value for one in compare(a, a, ["procrustes"], advance=done.append)]
    assert sum(done) == 4
    monkeypatch.undo()
    exact = [one.score.value for one in compare(a, a, ["procrustes"])]
    assert values == pytest.approx(exact, abs=1e-8)


@pytest.mark.parametrize("kind", ["noisy", "rectified", "independent", "low rank"])
def test_pwcca_of_large_float32_layers_is_good_to_seven_digits(monkeypatch, kind):
    x, y = single_precision(kind, 900, 200)
    expected = pwcca(x.astype(np.float64), y.astype(np.float64))
    # the package has functions of the names of their modules
    monkeypatch.setattr(sys.modules["nncli.similarity.measures.svcca"], "EXACT_WORK", 0)
    assert pwcca(x, y) == pytest.approx(expected, abs=1e-7)
