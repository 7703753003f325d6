"""Radii of the features: exact where they are text, and refused by name where they are none."""

from fractions import Fraction as F

import numpy as np
import pytest
from safetensors.numpy import save_file

from nncli.errors import ArtifactError, MismatchError
from nncli.formats.radii import read_radii


def test_text_means_what_it_says(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("# two rows\n0.1, 8/255,0\n1e-2 ; 3\t.5\n")
    found = read_radii(str(path))
    assert found.values == (F(1, 10), F(8, 255), 0, F(1, 100), 3, F(1, 2))
    assert found.shape == (6,)
    assert found.digest.startswith("sha256:")
    found.demand_fit((2, 3))
    found.demand_fit((6,))


@pytest.mark.parametrize("kind", ["npy", "npz", "safetensors"])
def test_a_tensor_means_what_it_stores(tmp_path, kind):
    path, radii = tmp_path / f"r.{kind}", np.array([[0.1, 0.0], [2.0, 0.25]], np.float32)
    if kind == "npy":
        np.save(path, radii)
    elif kind == "npz":
        np.savez(path, radii=radii)
    else:
        save_file({"radii": radii}, path)
    found = read_radii(str(path))
    assert found.values == (F(float(np.float32(0.1))), 0, 2, F(1, 4))
    found.demand_fit((2, 2))
    with pytest.raises(MismatchError, match=r"holds radii of shape \[2, 2\], inputs have \[2, 3\]"):
        found.demand_fit((2, 3))


def test_one_row_of_a_batch_fits(tmp_path):
    np.save(tmp_path / "r.npy", np.ones((1, 1, 2, 2)))
    read_radii(str(tmp_path / "r.npy")).demand_fit((1, 2, 2))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.1 -0.2", "line 1: the radius `-0.2` is negative"),
        ("0.1\nnan", "line 2: the radius `nan` is no number"),
        ("0.1\n\ninf", "line 3: the radius `inf` is no number"),
        ("much " * 3, "the radius `much` is no number"),
        ("1" * 60 + "x", f"the radius `{'1' * 40}...` is no number"),
        ("# nothing\n", "holds no number"),
        ("", "is empty"),
    ],
)
def test_what_is_no_radius_is_refused_with_its_line(tmp_path, text, words):
    path = tmp_path / "r.txt"
    path.write_text(text)
    with pytest.raises(ArtifactError) as caught:
        read_radii(str(path))
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([[0.1, -0.5]], r"the radius at \[0, 1\] is -0.5"),
        ([[np.nan, 0.5]], r"the radius at \[0, 0\] is nan"),
        ([np.inf], r"the radius at \[0\] is inf"),
    ],
)
def test_tensors_of_other_numbers_are_refused_with_their_place(tmp_path, values, words):
    np.save(tmp_path / "r.npy", np.array(values))
    with pytest.raises(ArtifactError, match=words):
        read_radii(str(tmp_path / "r.npy"))


def test_several_tensors_are_refused(tmp_path):
    np.savez(tmp_path / "r.npz", a=np.ones(2), b=np.ones(2))
    with pytest.raises(ArtifactError, match="2 tensors of numbers"):
        read_radii(str(tmp_path / "r.npz"))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_an_empty_tensor_holds_no_radii(tmp_path, shape):
    np.save(tmp_path / "r.npy", np.ones(shape))
    with pytest.raises(ArtifactError, match="holds no number, expected a number for each input"):
        read_radii(str(tmp_path / "r.npy"))


@pytest.mark.parametrize("text", ["0." + 4500 * "1", "1e-4500", 4500 * "1", "1/" + 4500 * "3"])
def test_numbers_that_cannot_be_written_down_again_are_refused(tmp_path, text):
    (tmp_path / "r.txt").write_text(text)
    with pytest.raises(ArtifactError, match=r"line 1: the radius `[^`]{1,44}` is no number"):
        read_radii(str(tmp_path / "r.txt"))
