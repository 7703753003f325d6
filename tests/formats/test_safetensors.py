import itertools
import json
import os
import sys

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save
from safetensors.torch import load_file as load_torch
from safetensors.torch import save as save_torch

from nncli.errors import ArtifactError
from nncli.formats.entry import Entry
from nncli.formats.safetensors_header import BITS, TensorSpec, write_header
from nncli.formats.tensors import NUMPY_OF, create_tensors, open_tensors, spec_of, write_tensors

ENTRY = Entry(kind="activations", facts={"n": 3})
RANDOM = np.random.default_rng(0)
TYPES = {name: kind for name, kind in NUMPY_OF.items() if name != "C64"}


def sample(kind, shape):
    return (RANDOM.random(shape) * 100).astype(kind)


def mixture():
    arrays = {f"{name}.{shape}": sample(kind, shape) for name, kind in TYPES.items() for shape in
              [(3,), (2, 5), (1, 1, 7)]}  # fmt: skip
    return {**arrays, "scalar": np.array(2.5, np.float32), "none": np.zeros((0, 4), np.float64)}


def raw(header, data=b"", *, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def item(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        open_tensors(str(path))
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_every_type_and_shape_comes_back_as_it_was(tmp_path):
    arrays = mixture()
    write_tensors(str(tmp_path / "a"), arrays, ENTRY)
    with open_tensors(str(tmp_path / "a")) as file:
        assert file.entry == ENTRY
        assert set(file.specs) == set(arrays)
        for name, array in arrays.items():
            assert file.read(name).dtype == array.dtype
            assert file.specs[name] == spec_of(array)
            np.testing.assert_array_equal(file.read(name), array, strict=True)


def test_the_official_reader_reads_what_we_write(tmp_path):
    arrays = mixture()
    write_tensors(str(tmp_path / "a"), arrays, ENTRY)
    official = load_file(tmp_path / "a")
    for name, array in arrays.items():
        np.testing.assert_array_equal(official[name], array, strict=True)
    with safe_open(tmp_path / "a", "np") as file:
        assert file.metadata() == {"nncli": ENTRY.to_json()}


def test_our_bytes_are_those_of_the_official_writer():
    arrays = mixture()
    arrays |= {'a "quoted"\n\x01 name': sample("<f4", (2,)), "größe/日本": sample("<f4", (2,))}
    specs = {name: spec_of(array) for name, array in arrays.items()}
    for metadata in ({}, {"nncli": ENTRY.to_json()}):
        header, places = write_header(specs, metadata)
        written = header + b"".join(arrays[name].tobytes() for name in places)
        assert written == save(arrays, metadata=metadata or None)


def test_our_reader_reads_what_the_official_writer_writes(tmp_path):
    arrays = mixture()
    (tmp_path / "a").write_bytes(save(arrays, metadata={"format": "pt", "note": "ü"}))
    with open_tensors(str(tmp_path / "a")) as file:
        assert file.entry is None
        assert file.metadata == {"format": "pt", "note": "ü"}
        for name, array in arrays.items():
            np.testing.assert_array_equal(file.read(name), array, strict=True)


def test_a_file_without_tensors_is_sound(tmp_path):
    (tmp_path / "a").write_bytes(save({}))
    with open_tensors(str(tmp_path / "a")) as file:
        assert file.specs == {}


def every_bfloat16():
    return torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)


def test_bfloat16_is_widened_exactly_for_all_its_values(tmp_path):
    half = every_bfloat16()
    tensors = {"x": half.reshape(256, 256), "scalar": half[300].clone()}
    (tmp_path / "a").write_bytes(save_torch(tensors))
    with open_tensors(str(tmp_path / "a")) as file:
        assert file.specs["x"].dtype == "BF16"
        expected = tensors["x"].float().numpy()
        np.testing.assert_array_equal(file.read("x"), expected, strict=True)
        np.testing.assert_array_equal(file.rows("x", 3, 9), expected[3:9], strict=True)
        scalar = tensors["scalar"].float().numpy()
        np.testing.assert_array_equal(file.read("scalar"), scalar, strict=True)


def test_float32_is_rounded_to_bfloat16_as_torch_rounds(tmp_path):
    bits = RANDOM.integers(0, 2**32, 100_000, dtype=np.uint32)
    ties = (np.arange(2**16, dtype=np.uint32) << 16) | 0x8000
    full = np.concatenate([bits, ties]).view(np.float32)
    with create_tensors(str(tmp_path / "a"), {"x": TensorSpec("BF16", full.shape)}, ENTRY) as file:
        file.append("x", full[:7])
        file.append("x", full[7:])
    found = load_torch(tmp_path / "a")["x"]
    torch.testing.assert_close(found, torch.tensor(full).bfloat16(), equal_nan=True, rtol=0, atol=0)


def test_types_that_numpy_lacks_are_listed_and_refused_only_when_read(tmp_path):
    tensors = {"x": torch.zeros(4, dtype=torch.float8_e4m3fn), "y": torch.ones(2)}
    (tmp_path / "a").write_bytes(save_torch(tensors))
    with open_tensors(str(tmp_path / "a")) as file:
        assert file.read("y").tolist() == [1, 1]
        with pytest.raises(ArtifactError, match=r"`x` in .* is F8_E4M3, which"):
            file.read("x")
    with pytest.raises(ArtifactError, match="safetensors has no type for <U3"):
        write_tensors(str(tmp_path / "b"), {"x": np.array(["abc"])}, ENTRY)


def test_rows_are_slices_of_the_first_dimension(tmp_path):
    x = sample("<f4", (10, 3, 2))
    write_tensors(str(tmp_path / "a"), {"w": sample("<f8", (5,)), "x": x, "z": x + 1}, ENTRY)
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "a.npz", x=x)
    for path, name in (("a", "x"), ("a.npy", "array"), ("a.npz", "x")):
        with open_tensors(str(tmp_path / path)) as file:
            places = [0, 1, 4, 9, 10, 11, -1, -3, -20]
            for start, stop in itertools.product(places, places):
                found = file.rows(name, start, stop)
                np.testing.assert_array_equal(found, x[start:stop], strict=True)
                assert found.flags.writeable


def test_rows_are_written_in_any_order_of_tensors_and_any_layout(tmp_path):
    x, y = sample("<f4", (6, 3)), sample("<i8", (4, 2, 2))
    specs = {"x": spec_of(x), "y": spec_of(y)}
    with create_tensors(str(tmp_path / "a"), specs, ENTRY) as file:
        file.append("y", y[:1])
        file.append("x", np.asfortranarray(x)[:2])
        file.append("y", np.repeat(y, 2, axis=0)[2::2])
        file.append("x", x[2:2])
        file.append("x", x[2:].astype(">f4"))
    write_tensors(str(tmp_path / "b"), {"y": y.astype(">i8"), "x": x}, ENTRY)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    np.testing.assert_array_equal(load_file(tmp_path / "a")["y"], y)


def test_two_writes_are_identical_whatever_the_order_of_the_dictionary(tmp_path):
    arrays = mixture()
    write_tensors(str(tmp_path / "a"), arrays, ENTRY)
    write_tensors(str(tmp_path / "b"), dict(reversed(arrays.items())), ENTRY)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def unfinished(path):
    with create_tensors(str(path), {"x": TensorSpec("F32", (4, 2))}, ENTRY) as file:
        file.append("x", np.zeros((3, 2), np.float32))


def test_rows_that_do_not_fit_are_a_bug_and_leave_no_file(tmp_path):
    specs = {"x": TensorSpec("F32", (4, 2))}
    for rows in (np.zeros((5, 2), np.float32), np.zeros((4, 3), np.float32), np.zeros((4, 2))):
        with (
            pytest.raises(ValueError, match="do not fit"),
            create_tensors(str(tmp_path / "a"), specs, ENTRY) as file,
        ):
            file.append("x", rows)
    with pytest.raises(ValueError, match="`x` is not complete"):
        unfinished(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_carries_the_same_bytes_as_a_file(tmp_path, python):
    script = """
import sys
import numpy as np
from nncli.formats.entry import Entry
from nncli.formats.tensors import write_tensors
arrays = {"x": np.arange(3_000_000, dtype=np.float32), "y": np.arange(4)}
write_tensors(sys.argv[1], arrays, Entry("activations"))
"""
    python(script, tmp_path / "a")
    assert python(script, "-").stdout == (tmp_path / "a").read_bytes()


SOUND = save({"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(2)})


def test_a_file_cut_anywhere_is_refused(tmp_path):
    for length in range(len(SOUND)):
        refused(tmp_path / "a", SOUND[:length])


def test_a_cut_file_says_how_much_is_missing(tmp_path):
    told = refused(tmp_path / "a", SOUND[:-10])
    assert "is cut short: 10 of 40 bytes of tensors missing" in told


def test_bytes_after_the_last_tensor_are_refused(tmp_path):
    assert "1 bytes follow its last tensor" in refused(tmp_path / "a", SOUND + b"\0")


DEEP = b'{"a":' + b"[" * 200_000
HOSTILE = {
    "claims more than there is": raw(b"{}", length=1000),
    "claims more than any header may have": raw(b"{}", length=2**63),
    "is no JSON": raw(b'{"a": }'),
    "nests too deep": raw(DEEP),
    "is no UTF-8": raw(b'{"\xff": 1}'),
    "is UTF-16": raw('{"a": 1}'.encode("utf-16-le")),
    "has metadata that are no object": raw({"__metadata__": [1]}),
    "has metadata that are no strings": raw({"__metadata__": {"a": {"b": 1}}}),
    "has an entry that is no object": raw({"a": 5}),
    "has an entry without a type": raw({"a": {"shape": [1], "data_offsets": [0, 4]}}, b"1234"),
    "has an unknown type": raw({"a": item([1], 0, 4, "F33")}, b"1234"),
    "has a type that is no name": raw({"a": item([1], 0, 4, ["F32"])}, b"1234"),
    "has a negative dimension": raw({"a": item([-1], 0, 4)}, b"1234"),
    "has two negative dimensions": raw({"a": item([-1, -1], 0, 4)}, b"1234"),
    "has a dimension that is a fraction": raw({"a": item([1.0], 0, 4)}, b"1234"),
    "has a dimension that is a truth": raw({"a": item([True], 0, 4)}, b"1234"),
    "has a shape that is text": raw({"a": item("1", 0, 4)}, b"1234"),
    "has too large a shape": raw({"a": item([2**40], 0, 4)}, b"1234"),
    "has a shape that overflows": raw({"a": item([2**62, 4], 0, 0)}),
    "has an empty shape that no array can have": raw({"a": item([0, 2**63], 0, 0)}),
    "has too many dimensions": raw({"a": item([1] * 65, 0, 4)}, b"1234"),
    "has one offset": raw({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}, b"1234"),
    "has reversed offsets": raw({"a": item([1], 4, 0)}, b"1234"),
    "has a negative offset": raw({"a": item([1], -4, 0)}, b"1234"),
    "has a hole": raw({"a": item([1], 0, 4), "b": item([1], 8, 12)}, b"x" * 12),
    "begins with a hole": raw({"a": item([1], 4, 8)}, b"x" * 8),
    "has an overlap": raw({"a": item([2], 0, 8), "b": item([1], 4, 8)}, b"x" * 8),
    "has one place twice": raw({"a": item([1], 0, 4), "b": item([1], 0, 4)}, b"x" * 4),
    "has one name twice": raw(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b"1234",
    ),
    "is of another kind inside": raw({"__metadata__": {"nncli": '{"kind": 3'}}),
}
OFFICIAL_IS_LAXER = {
    "has metadata that are no object",
    "has one name twice",
    "has an empty shape that no array can have",
    "has too many dimensions",
    "is of another kind inside",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_header_is_refused_that(what, tmp_path):
    refused(tmp_path / "a", HOSTILE[what])
    if what not in OFFICIAL_IS_LAXER:
        with pytest.raises(SafetensorError), safe_open(tmp_path / "a", "np"):
            pass


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04.", b"PK\x03\x04", b"text\n", b"a,b\n1,2\n", b"PAR1", b"[1]", b"\0"]
)
def test_what_holds_no_tensors_is_refused(content, tmp_path):
    told = refused(tmp_path / "a", content)
    assert "expected a file of tensors (safetensors, .npz or .npy)" in told or not content


def test_a_folder_holds_no_tensors(tmp_path):
    with pytest.raises(ArtifactError, match="is a folder, expected a file of tensors"):
        open_tensors(str(tmp_path))


def test_the_order_of_types_covers_all_that_can_be_written():
    assert set(NUMPY_OF) | {"BF16"} <= set(BITS)


def test_rows_of_a_file_far_larger_than_memory_cost_no_more_than_the_rows(tmp_path, python):
    path, rows, width = tmp_path / "large", 4_000_000, 256
    header, places = write_header({"x": TensorSpec("F32", (rows, width))}, {})
    with path.open("wb") as file:
        file.write(header)
        file.truncate(places["x"] + rows * width * 4)
        file.seek(places["x"] + (rows - 1) * width * 4)
        file.write(np.arange(width, dtype=np.float32).tobytes())
    assert path.stat().st_size > 4_000_000_000
    script = """
import resource, sys
from nncli.formats.tensors import open_tensors
with open_tensors(sys.argv[1]) as file:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    n = file.specs["x"].shape[0]
    for start in range(0, n, n // 200):
        file.rows("x", start, start + 1000)
    last = file.rows("x", n - 1, n)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(last.sum(), grown)
"""
    done = python(script, path)
    total, grown = done.stdout.split()
    assert float(total) == 255 * 256 / 2
    assert int(grown) * (1 if sys.platform == "linux" else 1 / 1024) < 8 * 1024  # KiB


def test_a_file_that_shrinks_while_it_is_read_is_an_error_and_not_zeros(tmp_path):
    write_tensors(str(tmp_path / "a"), {"x": np.ones((1000, 10))}, ENTRY)
    with open_tensors(str(tmp_path / "a")) as file:
        assert file.rows("x", 990, 1000).all()
        os.truncate(tmp_path / "a", 40_000)
        assert file.rows("x", 0, 10).all()
        with pytest.raises(ArtifactError, match="became shorter while it was read"):
            file.rows("x", 990, 1000)


def test_a_reader_is_not_disturbed_by_a_new_file_of_the_same_name(tmp_path):
    write_tensors(str(tmp_path / "a"), {"x": np.ones((100, 10))}, ENTRY)
    with open_tensors(str(tmp_path / "a")) as file:
        write_tensors(str(tmp_path / "a"), {"x": np.zeros((1, 1))}, ENTRY)
        assert file.read("x").all()
