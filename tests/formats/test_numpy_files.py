import io
import pickle
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from nncli.errors import ArtifactError
from nncli.formats.tensors import open_tensors

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "x": RANDOM.random((4, 3)),
    "y": np.arange(4),
    "by_columns": np.asfortranarray(RANDOM.random((4, 3))),
    "big_endian": RANDOM.random((4, 2)).astype(">f4"),
    "half": RANDOM.random((4, 2)).astype(np.float16),
    "truth": np.array([True, False, True, True]),
    "scalar": np.array(7),
    "none": np.zeros((0, 3), np.float32),
    "text": np.array(["a", "größe", "", "longer"]),
    "folder/name": np.ones((4, 1), np.uint8),
}


def npy(array):
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=True)
    return sink.getvalue()


def header(text):
    """An .npy whose header is `text`."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def read_all(path):
    with open_tensors(str(path)) as file:
        return [file.read(name) for name in file.specs]


def refused(path, content, match):
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=match) as caught:
        read_all(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_arrays_of_an_archive_come_back_in_the_order_of_this_machine(save, tmp_path):
    save(tmp_path / "a.npz", **ARRAYS)
    with open_tensors(str(tmp_path / "a.npz")) as file:
        assert list(file.specs) == list(ARRAYS)
        assert file.entry is None
        for name, array in ARRAYS.items():
            found = file.read(name)
            assert found.dtype.isnative
            assert file.specs[name].shape == array.shape
            np.testing.assert_array_equal(found, array)
            if array.ndim:
                np.testing.assert_array_equal(file.rows(name, 1, 3), array[1:3])


@pytest.mark.parametrize("name", ARRAYS)
def test_a_single_array_comes_back_whole_and_by_rows(name, tmp_path):
    array = ARRAYS[name]
    (tmp_path / "a.npy").write_bytes(npy(array))
    with open_tensors(str(tmp_path / "a.npy")) as file:
        assert list(file.specs) == ["array"]
        assert file.specs["array"].shape == array.shape
        np.testing.assert_array_equal(file.read("array"), array)
        assert file.read("array").dtype.isnative
        if array.ndim:
            np.testing.assert_array_equal(file.rows("array", 1, 3), array[1:3])


def test_a_caller_may_write_into_what_it_was_given(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 2)))
    with open_tensors(str(tmp_path / "a.npz")) as file:
        file.read("x")[:] = 1
        file.rows("x", 0, 2)[:] = 1
        assert not file.read("x").any()


def test_rows_of_a_large_npy_cost_no_more_than_the_rows(tmp_path, python):
    shape = (4_000_000, 256)
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": shape}
        )
        file.truncate(file.tell() + shape[0] * shape[1] * 4)
    script = """
import resource, sys
from nncli.formats.numpy_files import NumpyFile
from nncli.formats.tensors import open_tensors
with open_tensors(sys.argv[1]) as file:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for start in range(0, 4_000_000, 40_000):
        file.rows("array", start, start + 1000)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    assert int(python(script, tmp_path / "a.npy").stdout) < 8 * 1024  # KiB


class Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was run",)


def test_objects_are_never_unpickled(tmp_path):
    trap = np.array([Trap()], dtype=object)
    refused(tmp_path / "a", npy(trap), "Python objects, which are never unpickled")
    sink = io.BytesIO()
    np.savez(sink, ok=np.zeros(2), trap=trap)
    refused(tmp_path / "a", sink.getvalue(), "`trap` in .* holds Python objects")
    pickled = pickle.dumps(Trap())
    refused(tmp_path / "a", pickled, "is a Python pickle, expected a file of tensors")
    with zipfile.ZipFile(tmp_path / "b", "w") as archive:
        archive.writestr("x.npy", pickled)
    refused(tmp_path / "b", (tmp_path / "b").read_bytes(), "`x` in .* is no sound array")


def test_a_single_array_cut_anywhere_is_refused(tmp_path):
    sound = npy(RANDOM.random((4, 3)))
    for length in range(len(sound)):
        (tmp_path / "a").write_bytes(sound[:length])
        with pytest.raises(ArtifactError):
            open_tensors(str(tmp_path / "a"))


def test_an_archive_cut_or_damaged_anywhere_is_refused_or_whole(tmp_path):
    sink = io.BytesIO()
    np.savez_compressed(sink, x=RANDOM.random((40, 3)))
    sound = sink.getvalue()
    for place in range(0, len(sound), 3):
        (tmp_path / "a").write_bytes(sound[:place])
        with pytest.raises(ArtifactError):
            open_tensors(str(tmp_path / "a"))
        damaged = bytearray(sound)
        damaged[place] ^= 0xFF
        (tmp_path / "a").write_bytes(damaged)
        with suppress(ArtifactError):  # any other exception fails the test
            read_all(tmp_path / "a")


HEADERS = {
    "is a larger array than there are bytes": (
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000,)}"
    ),
    "has a negative dimension": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
    "has two negative ones": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1)}",
    "has no shape": b"{'descr': '<f4', 'fortran_order': False}",
    "has no type": b"{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,)}",
    "is code": b"__import__('os').abort()",
    "is deep": b"[" * 5000,
    "is deeper": b"-" * 9000 + b"1",
    "is an open string": b"{'descr': '''",
    "is no text": b"\xff\xfe\xfd",
    "is empty": b"",
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_header_is_refused_that(what, tmp_path):
    refused(tmp_path / "a", header(HEADERS[what]), "`array` in .* is no sound array")


@pytest.mark.parametrize(
    "array",
    [
        np.array(["2024-01-01"], "datetime64[D]"),
        np.array([b"bytes"]),
        np.array([1j]),
        np.zeros(2, [("a", "f4"), ("b", "i4")]),
    ],
)
def test_a_type_of_no_use_is_refused_by_name(array, tmp_path):
    refused(tmp_path / "a", npy(array), "`array` in .* is .*, which nncli cannot use")


def test_a_name_that_appears_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("x.npy", npy(np.zeros(2)))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x.npy", npy(np.ones(2)))
    refused(tmp_path / "a", (tmp_path / "a").read_bytes(), "it appears twice")


def test_an_encrypted_archive_is_refused(tmp_path):
    sink = io.BytesIO()
    np.savez(sink, x=np.zeros(2))
    content = bytearray(sink.getvalue())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + flags] |= 1
    refused(tmp_path / "a", bytes(content), "encrypted")
