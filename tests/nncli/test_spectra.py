"""Spectra of layers against scikit-learn's PCA."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from nncli.errors import ArtifactError
from nncli.spectra import flat_layer, spectrum


def layer(x):
    return flat_layer("layer", x.shape, lambda start, stop: x[start:stop])


@pytest.mark.parametrize("shape", [(60, 8), (9, 30), (40, 2, 3, 2)])
def test_shares_of_variance_are_those_of_pca(shape):
    x = np.random.default_rng(0).standard_normal(shape) * np.linspace(1, 3, shape[-1]) + 5
    flat = x.reshape(len(x), -1)
    wanted = PCA(min(flat.shape[1], len(x) - 1)).fit(flat).explained_variance_ratio_
    found = spectrum(layer(x))
    np.testing.assert_allclose(found.shares, wanted, atol=1e-10)
    assert found.cumulative[-1] == pytest.approx(1)


def test_a_mean_far_from_zero_changes_nothing():
    x = np.random.default_rng(1).standard_normal((50, 6)).astype(np.float32)
    near, far = spectrum(layer(x)), spectrum(layer(x + np.float32(1000)))
    np.testing.assert_allclose(near.shares, far.shares, atol=1e-3)


def test_one_direction_holds_everything():
    x = np.outer(np.arange(10.0), np.ones(4))
    assert spectrum(layer(x)).components_for(0.9) == 1


def test_equal_directions_hold_equal_shares():
    found = spectrum(layer(np.vstack([np.eye(10), -np.eye(10)])))
    np.testing.assert_allclose(found.shares, 0.1)
    assert found.components_for(0.9) == 9


def test_a_constant_layer_has_no_components():
    found = spectrum(layer(np.ones((5, 3))))
    assert found.shares.size == 0
    assert found.components_for(0.9) == 0


def test_of_a_large_layer_evenly_spread_rows_stand_for_all():
    x = np.random.default_rng(2).standard_normal((101, 12))
    found = spectrum(layer(x), most=11)
    wanted = PCA().fit(x[::10]).explained_variance_ratio_[:10]
    assert (found.rows, found.n) == (11, 101)
    np.testing.assert_allclose(found.shares, wanted, atol=1e-10)


def test_what_is_not_finite_is_refused():
    x = np.ones((4, 2))
    x[2, 1] = np.nan
    with pytest.raises(ArtifactError, match="nan"):
        spectrum(layer(x))
