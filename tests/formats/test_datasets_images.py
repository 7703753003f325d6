"""Folders of images: layout, channels, order, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from nncli.errors import ArtifactError
from nncli.formats.datasets import load


def paint(path, *, mode="L", size=(4, 3), form="PNG", seed=0):
    """Write an image of random pixels; returns them as stored."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = rng.integers(0, 256, (size[1], size[0], *channels), np.uint8)
    Image.fromarray(pixels).save(path, form)
    return pixels


def error_of(path, **options) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        load(str(path), **options)
    return caught.value


@pytest.fixture
def animals(tmp_path):
    """Two classes of four images each, and their pixels in the order of the rows."""
    pixels = [
        paint(tmp_path / "animals" / name / f"{number}.png", seed=number + 10 * place)
        for place, name in enumerate(["cat", "dog"])
        for number in range(4)
    ]
    return tmp_path / "animals", np.array(pixels)


def test_subfolders_are_classes_and_paths_are_ids(animals):
    folder, pixels = animals
    data = load(str(folder))
    assert (data.x == pixels[:, None].astype(np.float32) / np.float32(255)).all()
    assert data.y.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert data.class_names == ("cat", "dog")
    assert data.example_id[[0, 7]].tolist() == ["cat/0.png", "dog/3.png"]
    assert data.source_digest is None


def test_a_folder_without_splits_is_divided_by_class(animals):
    test = load(str(animals[0]), split="test")
    assert test.y.tolist() == [0, 1]
    train = load(str(animals[0]), split="train")
    assert sorted([*test.example_id, *train.example_id]) == sorted(load(str(animals[0])).example_id)


def test_classes_are_in_the_order_of_torchvision(tmp_path):
    for name in ("b", "10", "9", "B"):
        paint(tmp_path / name / "0.png")
    assert load(str(tmp_path)).class_names == ("10", "9", "B", "b")


def test_train_and_test_folders_are_the_own_split(tmp_path):
    for part, name in [("train", "b"), ("train", "a"), ("test", "b"), ("val", "a")]:
        paint(tmp_path / part / name / "0.png")
    (tmp_path / "LICENSE.txt").write_text("free")
    both = load(str(tmp_path))
    assert both.example_id.tolist() == [
        "train/a/0.png",
        "train/b/0.png",
        "val/a/0.png",
        "test/b/0.png",
    ]
    assert both.y.tolist() == [0, 1, 0, 1]
    test = load(str(tmp_path), split="test")
    assert test.example_id.tolist() == ["test/b/0.png"]
    assert test.y.tolist() == [1]
    assert test.classes == 2


def test_a_class_may_be_called_like_a_split(tmp_path):
    for name in ("train", "car"):
        paint(tmp_path / name / "0.png")
    assert load(str(tmp_path)).class_names == ("car", "train")


def test_colour_images_have_three_channels_and_grey_ones_are_repeated(tmp_path):
    colour = paint(tmp_path / "a" / "0.png", mode="RGB")
    grey = paint(tmp_path / "a" / "1.png")
    clear = paint(tmp_path / "a" / "2.png", mode="RGBA")
    data = load(str(tmp_path))
    assert data.x.shape == (3, 3, 3, 4)
    assert (data.x[0] == colour.transpose(2, 0, 1) / np.float32(255)).all()
    assert (data.x[1] == grey / np.float32(255)).all()
    assert (data.x[2] == clear[..., :3].transpose(2, 0, 1) / np.float32(255)).all()


def test_the_first_image_of_the_source_decides_whatever_the_split(tmp_path):
    paint(tmp_path / "train" / "a" / "0.png", mode="RGB")
    paint(tmp_path / "test" / "a" / "0.png")
    assert load(str(tmp_path), split="test").x.shape == (1, 3, 3, 4)


def test_palettes_bits_and_deep_greys_are_brought_to_one_scale(tmp_path):
    folder = tmp_path / "grey" / "a"
    folder.mkdir(parents=True)
    deep = np.array([[0, 65535], [13107, 256]], np.uint16)
    Image.fromarray(deep).save(folder / "0.png")
    Image.fromarray(np.array([[True, False], [False, True]])).save(folder / "1.png")
    data = load(str(folder.parent))
    np.testing.assert_allclose(data.x[0, 0], deep / 65535, rtol=1e-6)
    assert data.x[1, 0].tolist() == [[1, 0], [0, 1]]
    colour = tmp_path / "colour" / "a"
    colour.mkdir(parents=True)
    red = Image.new("RGB", (2, 2), (255, 0, 0)).quantize(4)
    assert red.mode == "P"
    red.save(colour / "0.png")
    assert load(str(colour.parent)).x[0, :, 0, 0].tolist() == [1, 0, 0]


def test_images_are_known_by_their_bytes(tmp_path):
    paint(tmp_path / "a" / "0.dat", form="JPEG")
    assert load(str(tmp_path)).x.shape == (1, 1, 3, 4)


def test_the_digest_follows_the_files_not_the_decoder(animals):
    folder, _ = animals
    before = load(str(folder))
    assert load(str(folder)).digest == before.digest
    target = folder / "cat" / "0.png"
    Image.open(target).save(target, compress_level=0)
    after = load(str(folder))
    assert (after.x == before.x).all()
    assert after.digest != before.digest


def test_only_the_images_within_the_limit_are_opened(animals):
    (animals[0] / "dog" / "3.png").write_bytes(b"\x89PNG broken")
    assert len(load(str(animals[0]), limit=7)) == 7
    error = error_of(animals[0])
    assert f"`{animals[0]}/dog/3.png` is a damaged image" in str(error)
    assert error.hint == "copy it again, or leave it out"


def test_hidden_files_are_no_images(animals):
    (animals[0] / "cat" / ".DS_Store").write_bytes(b"x")
    (animals[0] / ".git").mkdir()
    assert len(load(str(animals[0]))) == 8


def test_images_of_another_size_are_named(animals):
    paint(animals[0] / "dog" / "2.png", size=(5, 3))
    error = error_of(animals[0])
    assert str(error) == (
        f"`{animals[0]}/dog/2.png` is 5x3 pixels, `{animals[0]}/cat/0.png` is 4x3"
    )
    assert "mogrify -resize 4x3! FILES" in error.hint


def test_a_coloured_image_among_grey_ones_is_named(animals):
    paint(animals[0] / "dog" / "2.png", mode="RGB")
    error = error_of(animals[0])
    assert str(error).startswith(f"`{animals[0]}/dog/2.png` has colours")
    assert "-colorspace Gray" in error.hint


def test_a_truncated_image_is_named(animals):
    target = animals[0] / "cat" / "1.png"
    target.write_bytes(target.read_bytes()[:40])
    assert f"`{target}` is a damaged image" in str(error_of(animals[0]))


def test_a_file_that_is_no_image_is_named(animals):
    (animals[0] / "cat" / "boxes.txt").write_text("1 2")
    error = error_of(animals[0])
    assert str(error) == f"`{animals[0]}/cat/boxes.txt` is no PNG or JPEG image"


def test_folders_laid_out_otherwise_are_explained(animals):
    folder, _ = animals
    paint(folder / "0.png")
    assert str(error_of(folder)) == f"the image `0.png` of `{folder}` is in no class folder"
    (folder / "0.png").unlink()
    (folder / "eel").mkdir()
    assert str(error_of(folder)) == f"the class folder `eel` of `{folder}` is empty"
    paint(folder / "eel" / "young" / "0.png")
    assert str(error_of(folder)) == f"the class folder `eel` of `{folder}` holds folders"


def test_splits_beside_classes_are_refused(tmp_path):
    paint(tmp_path / "cat" / "0.png")
    paint(tmp_path / "train" / "cat" / "0.png")
    assert f"`{tmp_path}` holds folders of splits and `cat`" in str(error_of(tmp_path))


def test_a_folder_of_images_needs_no_import_of_datasets_or_torch(animals):
    code = (
        f"import sys; from nncli.formats.datasets import load; load({str(animals[0])!r});"
        "print(sorted({'datasets', 'pyarrow', 'torch', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
