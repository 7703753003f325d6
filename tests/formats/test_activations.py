import warnings

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from nncli.errors import ArtifactError, MismatchError, NncliWarning
from nncli.formats.activations import align, decode_text, encode_text, open_activations
from nncli.formats.entry import Entry
from nncli.formats.tensors import write_tensors

RANDOM = np.random.default_rng(0)


@pytest.fixture
def capture(tmp_path):
    """Write a capture and open it; everything is closed at the end."""
    opened = []

    def make(name, ids, *, digest=None, source=None, positions=1, masked=False, labels=None):
        n = len(ids)
        x = np.arange(n * positions * 2, dtype=np.float32).reshape(n * positions, 2)
        head = RANDOM.random((n, 3)).astype(np.float32)
        tensors = {"head": head, "block.0": x, "@example_id": encode_text(np.array(ids))}
        if labels is not None:
            tensors["@label"] = np.array(labels)
        layers = {"block.0": {"reduce": "positions", "masked": masked}, "head": {}}
        facts = {"n": n, "layers": layers, "data": {"digest": digest, "source": source}}
        write_tensors(str(tmp_path / name), tensors, Entry("activations", facts=facts))
        opened.append(open_activations(str(tmp_path / name)))
        return opened[-1]

    yield make
    for one in opened:
        one.file.close()


@pytest.fixture
def foreign(tmp_path):
    """Write a foreign file and open it; everything is closed at the end."""
    opened = []

    def make(name, **tensors):
        if name.endswith("npz"):
            np.savez(tmp_path / name, **tensors)
        else:
            save_file(tensors, tmp_path / name)
        opened.append(open_activations(str(tmp_path / name)))
        return opened[-1]

    yield make
    for one in opened:
        one.file.close()


def test_layers_are_in_the_recorded_order_and_reserved_tensors_are_none(capture):
    found = capture("a", [5, 6, 7], digest="d", source="s", labels=[1, 0, 1])
    assert found.layers == ("block.0", "head")
    assert found.n == 3
    assert found.example_id.tolist() == [5, 6, 7]
    assert found.label.tolist() == [1, 0, 1]
    assert (found.data_digest, found.source_digest) == ("d", "s")
    assert found.shape("head") == (3, 3)


def test_text_identifiers_come_back(capture):
    ids = ["a", "größe", "日本", ""]
    assert capture("a", ids).example_id.tolist() == ids


def test_text_survives_its_encoding_and_numbers_pass_through():
    texts = np.array(["", "x", "größe", "日本語"])
    assert encode_text(texts).dtype == np.uint8
    assert decode_text(encode_text(texts)).tolist() == texts.tolist()
    assert encode_text(np.array([1, 2])).tolist() == [1, 2]
    assert encode_text(np.array([], dtype=str)).shape == (0, 1)


def test_bytes_that_are_no_text_are_an_error(tmp_path):
    tensors = {"x": np.zeros((1, 2)), "@example_id": np.array([[0xFF, 0xFE]], np.uint8)}
    save_file(tensors, tmp_path / "a")
    found = open_activations(str(tmp_path / "a"))
    with found.file, pytest.raises(ArtifactError, match=r"`@example_id` in .* is no text"):
        _ = found.example_id


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz"])
def test_a_foreign_file_whose_tensors_share_their_rows_is_activations(foreign, name):
    x, y = RANDOM.random((4, 3)), RANDOM.random((4, 2, 2))
    found = foreign(name, x=x, y=y, epoch=np.array(3))
    assert set(found.layers) == {"x", "y"}
    assert (found.n, found.entry, found.data_digest, found.example_id) == (4, None, None, None)
    np.testing.assert_array_equal(found.rows("y", 1, 3), y[1:3])


def test_bfloat16_activations_are_read(tmp_path):
    x = torch.randn(4, 3).bfloat16()
    save_torch({"x": x}, tmp_path / "a")
    with open_activations(str(tmp_path / "a")).file as file:
        np.testing.assert_array_equal(file.read("x"), x.float().numpy())


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        ({"w": np.zeros((3, 2)), "b": np.zeros(2)}, "is not activations: `b` has 2 rows, `w` 3"),
        ({"x": np.array(3.0)}, "holds no layer"),
        ({"@label": np.zeros(3)}, "holds no layer"),
        ({}, "holds no layer"),
        ({"x": np.zeros((0, 2))}, "has zero rows"),
        ({"x": np.zeros(3, bool)}, "holds no layer"),
    ],
)
def test_a_file_that_cannot_be_activations_is_refused(tensors, match, foreign):
    with pytest.raises(ArtifactError, match=match):
        foreign("a", **tensors)


def test_another_kind_of_artifact_is_refused(tmp_path):
    write_tensors(str(tmp_path / "a"), {"x": np.zeros((2, 2))}, Entry("checkpoint"))
    with pytest.raises(ArtifactError, match="holds checkpoint, expected activations"):
        open_activations(str(tmp_path / "a"))


@pytest.mark.parametrize(
    "facts",
    [{"n": "3"}, {"n": 3, "layers": ["x"]}, {"n": 2}, {"n": 5}, {"n": 7, "layers": {"x": {}}}],
)
def test_an_artifact_edited_by_hand_is_refused(facts, tmp_path):
    entry = Entry("activations", facts=facts)
    write_tensors(str(tmp_path / "a"), {"x": np.zeros((3, 2))}, entry)
    with pytest.raises(ArtifactError, match="is no sound capture"):
        open_activations(str(tmp_path / "a"))


def test_rows_are_gathered_in_the_order_taken(capture):
    found = capture("a", [5, 6, 7, 8]).take(np.array([3, 0, 1]))
    assert (found.n, found.shape("block.0")) == (3, (3, 2))
    assert found.rows("block.0", 0, 3).tolist() == [[6, 7], [0, 1], [2, 3]]
    assert found.rows("block.0", 1, 99).tolist() == [[0, 1], [2, 3]]
    assert found.rows("block.0", 2, 2).shape == (0, 2)
    assert found.example_id.tolist() == [8, 5, 6]
    assert found.take(np.array([1])).example_id.tolist() == [5]


def test_positions_of_an_example_stay_together(capture):
    found = capture("a", [5, 6, 7], positions=2)
    assert found.positions("block.0") == 2
    taken = found.take(np.array([2, 0]))
    assert taken.shape("block.0") == (4, 2)
    assert taken.rows("block.0", 0, 4).tolist() == [[8, 9], [10, 11], [0, 1], [2, 3]]
    assert taken.rows("block.0", 1, 3).tolist() == [[10, 11], [0, 1]]


def quietly(*arguments, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return align(*arguments, **settings)


def test_rows_of_the_same_data_correspond_by_position(capture):
    first, second = capture("a", [1, 2], digest="d"), capture("b", [9, 8], digest="d")
    assert quietly(first, second) == (first, second)


def test_rows_of_different_data_are_refused_unless_said_to_be_aligned(capture):
    first = capture("a", [1, 2], digest="d", source="s")
    second = capture("b", [1, 2], digest="e", source="t")
    with pytest.raises(MismatchError, match="were captured from different data") as caught:
        align(first, second)
    assert "--assume-aligned" in caught.value.hint
    assert quietly(first, second, assume_aligned=True) == (first, second)


def test_parts_of_the_same_data_are_joined_by_example_id(capture):
    first = capture("a", [4, 1, 3, 2], digest="d", source="s")
    second = capture("b", [2, 3, 5], digest="e", source="s")
    expected = r"joined by example id: 2 examples in both, 2 only in .*/a`, 1 only in .*/b`"
    with pytest.warns(NncliWarning, match=expected):
        one, other = align(first, second)
    assert one.example_id.tolist() == other.example_id.tolist() == [3, 2]


def test_the_same_examples_in_another_order_are_joined_without_a_word(capture):
    first = capture("a", ["x", "y"], digest="d", source="s")
    second = capture("b", ["y", "x"], digest="e", source="s")
    one, other = quietly(first, second)
    assert one.rows("block.0", 0, 2).tolist() == [[0, 1], [2, 3]]
    assert other.rows("block.0", 0, 2).tolist() == [[2, 3], [0, 1]]


def test_no_example_in_common_is_an_error(capture):
    first, second = capture("a", [1], source="s"), capture("b", [2], source="s")
    with pytest.raises(MismatchError, match="have no example id in common"):
        align(first, second)


def test_an_example_id_that_appears_twice_is_an_error(capture):
    first, second = capture("a", [1, 1], source="s"), capture("b", [2, 1], source="s")
    with pytest.raises(ArtifactError, match="example id `1` appears twice"):
        align(first, second)


def test_foreign_files_are_taken_by_position_with_a_note(foreign, capture):
    first, second = foreign("a", x=np.zeros((3, 2))), foreign("b.npz", y=np.zeros((3, 2)))
    with pytest.warns(NncliWarning, match="do not both record their rows: taken by position"):
        assert align(first, second) == (first, second)
    with pytest.warns(NncliWarning, match="taken by position"):
        align(first, capture("c", [1, 2, 3], digest="d"))


@pytest.mark.parametrize("assume", [True, False])
def test_captures_of_different_lengths_never_correspond_by_position(foreign, assume):
    first, second = foreign("a", x=np.zeros((3, 2))), foreign("b", x=np.zeros((4, 2)))
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(MismatchError, match=r"has 3 examples, .* has 4"),
    ):
        align(first, second, assume_aligned=assume)


def test_rows_of_tokens_cannot_be_joined_by_example(capture):
    first = capture("a", [1, 2], source="s", digest="d", masked=True)
    second = capture("b", [2, 1], source="s", digest="e")
    with pytest.raises(MismatchError, match="has a row for each token"):
        align(first, second)


def test_layers_come_in_the_order_of_the_network(tmp_path):
    names = ["block.0", "block.2", "block.10", "head"]
    layers = {name: {"order": place} for place, name in enumerate(names)}
    entry = Entry("activations", facts={"n": 2, "layers": layers})
    path = str(tmp_path / "a.safetensors")
    write_tensors(path, {name: np.zeros((2, 3), np.float32) for name in names}, entry)
    with open_activations(path).file as file:
        assert list(file.specs) != names
    found = open_activations(path)
    found.file.close()
    assert list(found.layers) == names
