"""Single measures on two arrays: closed forms, other libraries, what chance gives."""

import numpy as np
import pytest

from nncli.similarity import (
    angular_cka,
    cca_r2,
    cka_lange,
    compare,
    debiased_cka,
    gulp,
    layer_of,
    linear_cka,
    linear_r2,
    procrustes,
    procrustes_angular,
    procrustes_size_shape,
    pwcca,
    svcca,
)

pytestmark = pytest.mark.filterwarnings("ignore::nncli.errors.NncliWarning")  # of saturation


def mixed(rng, x):
    return x @ rng.standard_normal((x.shape[1],) * 2)


def test_pwcca_is_invariant_to_a_linear_map_of_the_second_side_alone(case):
    x, y = case("tall")
    rng = np.random.default_rng(1)
    assert pwcca(x, mixed(rng, y)) == pytest.approx(pwcca(x, y), abs=1e-9)
    assert abs(pwcca(mixed(rng, x), y) - pwcca(x, y)) > 1e-4


def test_cka_without_diagonals_of_independent_data_is_as_little_as_chance_gives():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 60)), rng.standard_normal((40, 80))
    shuffled = [y[rng.permutation(40)] for _ in range(200)]
    sizes = []
    for one in (x, y):
        gram = (one - one.mean(0)) @ (one - one.mean(0)).T
        sizes.append(np.trace(gram) / np.linalg.norm(gram - np.diag(np.diag(gram))))
    for measure, mean in ((debiased_cka, 0.0), (cka_lange, sizes[0] * sizes[1] / (40 * 39))):
        found = [measure(x, one) for one in shuffled]
        assert np.mean(found) == pytest.approx(mean, abs=4 * np.std(found) / np.sqrt(200))
    assert linear_cka(x, y) > 0.5  # where the biased one is far from it


def test_angles_of_three_layers_obey_the_triangle_inequality(case):
    layers = [one for name in ("tall", "square", "null") for one in case(name)]
    for measure in (angular_cka, procrustes_angular):
        away = np.array([[measure(x, y) for y in layers] for x in layers])
        assert (away[:, None, :] <= away[:, :, None] + away[None] + 1e-7).all()


def test_gulp_is_the_squared_difference_of_the_predictions_of_ridge_regressions(case):
    from sklearn.linear_model import Ridge

    x, y = (one - one.mean(0) for one in case("tall"))
    fitted = [
        Ridge(alpha=0.01, fit_intercept=False).fit(one, np.eye(200)).predict(one)
        for one in (x / np.linalg.norm(x), y / np.linalg.norm(y))
    ]
    assert gulp(x, y) == pytest.approx(np.linalg.norm(fitted[0] - fitted[1]) ** 2, abs=1e-9)


def test_linear_r2_is_what_least_squares_with_an_intercept_explains(case):
    from sklearn.linear_model import LinearRegression

    x, y = case("tall")
    for one, other in ((x, y), (y, x)):
        fitted = LinearRegression().fit(other, one).predict(other)
        explained = 1 - ((one - fitted) ** 2).sum() / ((one - one.mean(0)) ** 2).sum()
        assert linear_r2(one, other) == pytest.approx(explained, abs=1e-10)


def test_linear_r2_is_invariant_to_a_linear_map_of_the_predictor_alone(case):
    x, y = case("tall")
    rng = np.random.default_rng(1)
    assert linear_r2(x, mixed(rng, y)) == pytest.approx(linear_r2(x, y), abs=1e-9)
    assert abs(linear_r2(mixed(rng, x), y) - linear_r2(x, y)) > 1e-4


def test_squared_canonical_correlations_of_independent_data_are_as_many_as_chance_gives(case):
    # their mean is max(r1, r2) / (n - 1) for independent normal data
    x, y = case("null")
    rng = np.random.default_rng(0)
    mean = np.mean([cca_r2(x, y[rng.permutation(len(y))]) for _ in range(30)])
    assert mean == pytest.approx(48 / 199, abs=3e-3)


def test_linear_cka_of_independent_data_is_the_mean_of_its_permutations(case):
    # the exact mean over row permutations: sqrt(bx by) / (n - 1), b = tr(K)^2 / tr(K^2)
    x, y = case("null")
    rng = np.random.default_rng(0)
    mean = np.mean([linear_cka(x, y[rng.permutation(len(y))]) for _ in range(60)])

    def spread(one):
        squares = np.linalg.svd(one - one.mean(0), compute_uv=False) ** 2
        return squares.sum() ** 2 / (squares**2).sum()

    assert mean == pytest.approx(np.sqrt(spread(x) * spread(y)) / (len(x) - 1), abs=2e-3)


def test_procrustes_is_the_residual_of_the_best_rotation(case):
    from scipy.linalg import orthogonal_procrustes

    x, y = case("square")
    x, y = (one - one.mean(0) for one in (x, y))
    rotation, _ = orthogonal_procrustes(x, y)
    residual = np.linalg.norm(x @ rotation - y)
    assert procrustes_size_shape(x, y) == pytest.approx(residual, rel=1e-10)
    x, y = (one / np.linalg.norm(one) for one in (x, y))
    rotation, _ = orthogonal_procrustes(x, y)
    assert procrustes(x, y) == pytest.approx(np.linalg.norm(x @ rotation - y) ** 2, abs=1e-10)


def test_the_size_and_shape_distance_is_the_bures_distance_of_gram_matrices(case):
    from scipy.linalg import sqrtm

    x, y = (one[:30] - one[:30].mean(0) for one in case("wide"))
    k, other = x @ x.T, y @ y.T
    root = np.real(sqrtm(k + 1e-13 * np.eye(30)))
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0)).sum()
    assert procrustes_size_shape(x, y) == pytest.approx(
        np.sqrt(np.trace(k) + np.trace(other) - 2 * shared), rel=1e-5
    )


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_size_and_shape_distance_scales_with_the_features(scale, case):
    x, y = case("tall")
    near = procrustes_size_shape(x, y)
    assert procrustes_size_shape(scale * x, scale * y) == pytest.approx(scale * near, rel=1e-9)


def test_canonical_correlations_are_cosines_of_the_angles_between_the_column_spaces(case):
    from scipy.linalg import subspace_angles

    x, y = (one - one.mean(0) for one in case("tall"))
    assert svcca(x, y, variance=1.0) == pytest.approx(
        np.cos(subspace_angles(x, y)).mean(), abs=1e-10
    )


def test_a_vector_is_one_feature(case):
    x, y = (one[:, 0] for one in case("tall"))
    correlation = np.corrcoef(x, y)[0, 1]
    assert linear_cka(x, y) == pytest.approx(correlation**2, abs=1e-12)
    assert pwcca(x, y) == pytest.approx(abs(correlation), abs=1e-12)


@pytest.mark.parametrize("name", ["cca", "cca-r2", "pwcca", "svcca:variance=1"])
def test_subspaces_that_must_meet_are_noted_with_how_many_directions_they_share(name):
    """12 + 10 dimensions in the 19 that 20 centred examples have: 3 are in both."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 12)), rng.standard_normal((20, 10))
    (found,) = compare([layer_of(x, "x")], [layer_of(y, "y")], [name])
    assert found.score.note.startswith("3 of 10 correlations are 1 whatever the data")
    (enough,) = compare([layer_of(x, "x")], [layer_of(y[:, :7], "y")], [name])
    assert enough.score.note is None
