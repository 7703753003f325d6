"""Files of torch, read without torch: against torch itself, and against hostile pickles."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch

from nncli.errors import ArtifactError
from nncli.formats.any_tensors import open_any_tensors
from nncli.formats.describe import describe
from nncli.formats.pickles import read_pickle
from nncli.formats.sources import Source, open_source

TOUCH = "cposix\nsystem\n(S'touch {}'\ntR."


def opened(path):
    return open_any_tensors(str(path))


def described(path):
    with open_source(str(path)) as source:
        return describe(source)


def tensors():
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    return {
        "whole": x,
        "turned": x.t(),
        "part": x[1:4, ::2],
        "repeated": x[:1].expand(3, 7),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "double": x.double(),
        "half": x.half(),
        "brain": x.bfloat16(),
        "long": torch.arange(6).reshape(2, 3),
        "byte": torch.arange(4, dtype=torch.uint8),
        "mask": torch.tensor([True, False]),
        "complex": torch.complex(x[0], x[1]),
        "parameter": torch.nn.Parameter(x[2]),
    }


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_every_tensor_is_what_torch_loads(tmp_path, zipped):
    torch.save(tensors(), tmp_path / "t.pt", _use_new_zipfile_serialization=zipped)
    with opened(tmp_path / "t.pt") as file:
        assert list(file.specs) == list(tensors())
        for name, wanted in tensors().items():
            wide = wanted.detach().float() if name == "brain" else wanted.detach()
            found = file.read(name)
            assert found.shape == tuple(wanted.shape)
            np.testing.assert_array_equal(found, wide.numpy(), err_msg=name)
            if wanted.ndim:
                np.testing.assert_array_equal(file.rows(name, 1, 3), wide.numpy()[1:3])


def test_a_nested_checkpoint_is_listed_by_path_with_its_plain_values(tmp_path):
    model = torch.nn.Linear(3, 2)
    moments = {"step": torch.tensor(1.0), "exp_avg": torch.zeros(2, 3)}
    optimizer = {"state": {0: moments}, "param_groups": [{"lr": 0.25, "params": [0]}]}
    state = {"model": model.state_dict(), "optimizer": optimizer, "epoch": 7}
    torch.save(state, tmp_path / "t.pt")
    found = described(tmp_path / "t.pt")
    names = [one.name for one in found.tensors]
    assert names[:2] == ["model/weight", "model/bias"]
    assert "optimizer/state/0/exp_avg" in names
    assert found.metadata["epoch"] == 7
    assert found.metadata["optimizer/param_groups/0/lr"] == 0.25
    assert found.notes == ()


def test_a_whole_module_is_listed_by_module_names_and_not_loaded(tmp_path):
    torch.save(
        torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)), tmp_path / "t.pt"
    )
    found = described(tmp_path / "t.pt")
    assert [one.name for one in found.tensors] == [
        "0.weight", "0.bias", "1.weight", "1.bias",
        "1.running_mean", "1.running_var", "1.num_batches_tracked",
    ]  # fmt: skip
    assert "holds Python objects, which are not loaded" in found.notes[0]
    assert "`torch.nn.modules.linear.Linear`" in found.notes[0]


def test_shared_weights_are_said_to_be_shared(tmp_path):
    x = torch.ones(2, 2)
    torch.save({"in": x, "out": x, "other": torch.ones(2, 2)}, tmp_path / "t.pt")
    found = described(tmp_path / "t.pt")
    assert found.notes == ("`out` shares the numbers of `in`",)


def test_an_exported_program_lists_its_weights(tmp_path):
    model = torch.nn.Linear(3, 2)
    torch.export.save(torch.export.export(model, (torch.zeros(1, 3),)), tmp_path / "t.pt2")
    with opened(tmp_path / "t.pt2") as file:
        np.testing.assert_array_equal(file.read("weight"), model.weight.detach().numpy())
        assert set(file.specs) == {"weight", "bias"}


def test_arrays_of_numpy_in_a_pickle_are_listed(tmp_path):
    value = {"a": np.zeros((2, 3), np.float32), "b": [np.arange(4), 5], "c": {"d": "text"}}
    for protocol in range(2, 6):
        (tmp_path / "t.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
        found = described(tmp_path / "t.pkl")
        listed = [(one.name, one.dtype, one.shape) for one in found.tensors]
        assert listed == [("a", "F32", (2, 3)), ("b/0", "I64", (4,))]
        assert found.metadata == {"b/1": 5, "c/d": "text"}
        assert found.notes == ()


class Hostile:
    """Runs a command when it is unpickled, and nothing when it is listed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.path}",)


def archive(path, program, *, storages=None):
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("archive/data.pkl", program)
        for key, content in (storages or {}).items():
            made.writestr(f"archive/data/{key}", content)
    return path


@pytest.mark.parametrize("form", ["pickle", "zip", "old protocol", "popped", "build", "instance"])
def test_no_pickle_runs_anything(tmp_path, form):
    flag, file = tmp_path / "touched", tmp_path / "hostile.pt"
    program = pickle.dumps(Hostile(flag))
    old = TOUCH.format(flag).encode()
    programs = {
        "pickle": program,
        "zip": program,
        "old protocol": b"\x80\x02" + old,
        # the result is thrown away, so that it is nowhere in the value
        "popped": b"\x80\x02" + old[:-1] + b"0N.",
        "build": b"\x80\x02" + old[:-1] + b"}b.",
        "instance": f"\x80\x02(S'touch {flag}'\niposix\nsystem\n.".encode("latin-1"),
    }
    if form == "zip":
        archive(file, program)
    else:
        file.write_bytes(programs[form])
    pickle.loads(pickle.dumps(Hostile(tmp_path / "control")))
    assert (tmp_path / "control").exists()  # the weapon is loaded
    found = described(file)
    assert "`posix.system`" in found.notes[0]
    assert not flag.exists()


HUGE = 1 << 40
UNSOUND = {
    "claims a terabyte of bytes": b"\x80\x04\x8e" + struct.pack("<Q", HUGE) + b"abc.",
    "claims a terabyte of text": b"\x80\x04\x8d" + struct.pack("<Q", HUGE) + b"abc.",
    "ends early": b"\x80\x02}q\x00X\x01",
    "never stops": b"\x80\x02N",
    "takes from an empty stack": b"\x80\x020.",
    "takes from an empty memo": b"\x80\x02h\x07.",
    "calls without arguments": b"\x80\x02R.",
    "is no program": b"\x80\x02\xff\xff.",
}


@pytest.mark.parametrize("name", UNSOUND)
def test_an_unsound_pickle_is_refused(tmp_path, name):
    (tmp_path / "bad.pkl").write_bytes(UNSOUND[name])
    with pytest.raises(ArtifactError, match="no sound torch file"):
        described(tmp_path / "bad.pkl")


def test_a_memo_of_four_billion_places_takes_no_memory():
    value = read_pickle(io.BytesIO(b"\x80\x02Nr\xff\xff\xff\xff."))
    assert value.value is None


def test_containers_that_hold_each_other_a_billion_times_are_walked_once(tmp_path):
    program = b"\x80\x02]"
    for _ in range(60):  # a list of twice the list below: 2 to the 60 paths to the bottom
        program += b"2\x86"
    (tmp_path / "bomb.pkl").write_bytes(program + b".")
    assert described(tmp_path / "bomb.pkl").tensors == ()


def test_a_pickle_nested_without_end_is_refused_quickly(tmp_path):
    (tmp_path / "deep.pkl").write_bytes(b"\x80\x02N" + b"\x85" * 100_000 + b".")
    with pytest.raises(ArtifactError, match="nests containers deeper"):
        described(tmp_path / "deep.pkl")


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b"null",
        b'{"config": 3}',
        b'{"config": {"w": {"tensor_meta": {"dtype": 7}}}}',
    ],
)
def test_an_unsound_list_of_exported_weights_is_refused(tmp_path, content):
    with zipfile.ZipFile(tmp_path / "t.pt2", "w") as made:
        made.writestr("m/archive_format", "pt2")
        made.writestr("m/data/weights/model_weights_config.json", content)
    with pytest.raises(ArtifactError, match="no sound torch file"):
        described(tmp_path / "t.pt2")


def test_a_damaged_compressed_pickle_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.pt", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("archive/data.pkl", pickle.dumps(list(range(5000))))
    content = bytearray((tmp_path / "t.pt").read_bytes())
    content[80:90] = bytes(10)
    (tmp_path / "t.pt").write_bytes(content)
    with pytest.raises(ArtifactError, match="no sound torch file"):
        described(tmp_path / "t.pt")


def rebuilt(shape, stride, count=6, offset=0):
    """A pickle of one float32 tensor in storage `0`."""

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", torch.FloatStorage, "0", "cpu", count) if value is Storage else None

    class Tensor:
        def __reduce__(self):
            arguments = (Storage, offset, shape, stride, False, None)
            return torch._utils._rebuild_tensor_v2, arguments

    file = io.BytesIO()
    Pickler(file, protocol=2).dump({"w": Tensor()})
    return file.getvalue()


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [
        ((100, 100), (100, 1), 0),
        ((2, 3), (3, 1), 1),
        ((2, 3), (1000, 1), 0),
        ((1 << 28,), (1,), 0),
        ((1 << 40, 1 << 40), (0, 0), 0),
        ((2, 3), (3,), 0),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, shape, stride, offset):
    path = archive(
        tmp_path / "t.pt", rebuilt(shape, stride, offset=offset), storages={"0": bytes(24)}
    )
    with pytest.raises(ArtifactError, match="`w` in"):
        opened(path)


def test_a_tensor_inside_its_storage_is_read(tmp_path):
    numbers = np.arange(6, dtype="<f4")
    path = archive(tmp_path / "t.pt", rebuilt((3, 2), (1, 3)), storages={"0": numbers.tobytes()})
    with opened(path) as file:
        assert file.read("w").tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("shape", [(-1, 3), ("a",), None, (1.5,)])
def test_a_shape_that_is_none_is_refused(tmp_path, shape):
    path = archive(tmp_path / "t.pt", rebuilt(shape, (1,)), storages={"0": bytes(24)})
    with pytest.raises(ArtifactError, match="arguments of its own"):
        opened(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_file_cut_short_anywhere_is_refused(tmp_path, zipped):
    whole = tmp_path / "whole.pt"
    torch.save({"w": torch.ones(40, 5)}, whole, _use_new_zipfile_serialization=zipped)
    content = whole.read_bytes()
    for share in (0.02, 0.2, 0.5, 0.8, 0.99):
        cut = tmp_path / "cut.pt"
        cut.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ArtifactError):
            described(cut)


def test_listing_reads_no_storage(tmp_path):
    torch.save({"w": torch.zeros(1 << 20)}, tmp_path / "t.pt")
    read = []

    class Counting(io.FileIO):
        """A file, with its reads counted."""

        def readinto(self, buffer):
            read.append(super().readinto(buffer))
            return read[-1]

    with io.BufferedReader(Counting(tmp_path / "t.pt")) as file:
        assert len(describe(Source("t.pt", file, path=None)).tensors) == 1
    assert sum(read) < 200_000
