import gzip
import hashlib
import io
import os
import pickle
import pty
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather
from safetensors.numpy import save

from nncli.errors import ArtifactError, UsageError
from nncli.formats.sources import DESCRIPTIONS, identify, open_source

TABLE = pa.table({"a": [1, 2], "b": ["x", "y"]})
TELL = """
import sys
from nncli.errors import NncliError
from nncli.formats.sources import open_source
try:
    with open_source(sys.argv[1]) as source:
        print(source.format, source.size, source.digest, source.path)
except NncliError as error:
    print(type(error).__name__, error, "|", error.hint)
"""


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def parquet():
    sink = io.BytesIO()
    pq.write_table(TABLE, sink)
    return sink.getvalue()


def arrow(stream):
    sink = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return sink.getvalue()


def feather_file():
    sink = io.BytesIO()
    feather.write_feather(TABLE, sink)
    return sink.getvalue()


def npy(array):
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


def npz():
    sink = io.BytesIO()
    np.savez(sink, a=np.zeros(3), b=np.ones((2, 2)))
    return sink.getvalue()


def zipped(*names):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return sink.getvalue()


def torch_saved():
    import torch

    sink = io.BytesIO()
    torch.save({"weight": torch.zeros(2)}, sink)
    return sink.getvalue()


def onnx_model():
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", [x], [y])
    return helper.make_model(graph).SerializeToString()


FILES = [
    ("safetensors", lambda: save({"a": np.zeros(2, np.float32)})),
    ("safetensors", lambda: save({})),
    ("parquet", parquet),
    ("arrow-stream", lambda: arrow(True)),
    ("arrow-file", lambda: arrow(False)),
    ("arrow-file", feather_file),
    ("npy", lambda: npy(np.zeros(3))),
    ("npz", npz),
    ("torch", torch_saved),
    ("torch-export", lambda: zipped("net/archive_format", "net/data.pkl")),
    ("zip", lambda: zipped("readme.txt")),
    ("zip", lambda: npz()[:-30]),
    ("pickle", lambda: pickle.dumps({"a": 1})),
    ("pickle", lambda: pickle.dumps({"a": 1}, protocol=2)),
    ("onnx", onnx_model),
    ("gzip", lambda: gzip.compress(b"x", mtime=0)),
    ("zstd", lambda: pa.compress(b"x", codec="zstd", asbytes=True)),
    ("hdf5", b"\x89HDF\r\n\x1a\n"),
    ("gguf", b"GGUF\x03\0\0\0"),
    ("png", b"\x89PNG\r\n\x1a\n"),
    ("pdf", b"%PDF-1.4\n"),
    ("empty", b""),
    ("unknown", bytes(range(1, 200))),
    ("unknown", b"\xff\xfea\0b\0"),
    ("json", b'[{"a": 1}]'),
    ("json", b'{\n  "a": 1\n}'),
    ("jsonl", b'{"a": 1}\n{"a": 2}\n'),
    ("jsonl", b'{"a": "' + b"x" * 2000 + b'"}\n'),
    ("csv", b"a,b\n1,2\n"),
    ("csv", b"a\tb\n1\t2\n"),
    ("csv", b"a;b\r\n1;2\r\n"),
    ("csv", b"\xef\xbb\xbfa,b\n1,2\n"),
    ("csv", "größe,größer\n1,2\n".encode()),
    ("csv", b",a\n0,1\n"),
    ("csv", b"value\n1\n2.5\n-3e-4\n\n"),
    ("csv", b'name\n"x"\n""\n'),
    ("csv", b"value\n" + b"1.25\n" * 1000),
    ("text", b"hello\n"),
    ("text", b"apple\npear\nplum\n"),
    ("text", b"\n\n"),
    ("text", b"\xef\xbb\xbf"),
    ("text", b"Job <7> is submitted to queue <gpu>.\nStarting\n"),
]


@pytest.mark.parametrize(("found", "make"), FILES)
def test_a_file_is_recognised_by_its_bytes_whatever_its_name(found, make, tmp_path):
    path = tmp_path / "misleading.csv"
    path.write_bytes(make() if callable(make) else make)
    with open_source(str(path)) as source:
        assert source.format == found
        assert source.file.tell() == 0


def test_every_format_that_can_be_found_can_be_described():
    assert {found for found, _ in FILES} | {"folder"} == set(DESCRIPTIONS)


def test_text_is_recognised_although_its_head_ends_inside_a_character():
    for shift in range(4):
        assert identify(io.BytesIO(b"a,b\n" + b"x" * (505 + shift) + "€€€".encode())) == "csv"


def test_a_regular_file_keeps_its_path_and_size_and_has_the_digest_of_its_bytes(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 3_000_000)
    with open_source(str(path)) as source:
        assert (source.name, source.path, source.size) == (str(path), path, 3_000_000)
        assert source.digest == sha256(b"x" * 3_000_000)
        assert source.file.read(1) == b"x"


def test_a_folder_is_a_source_without_a_file(tmp_path):
    with open_source(str(tmp_path)) as source:
        assert (source.format, source.folder, source.size) == ("folder", tmp_path, 0)
        with pytest.raises(ArtifactError, match="is a folder, a file is needed"):
            _ = source.file


def test_a_missing_file_is_an_error_that_names_its_neighbours(tmp_path):
    (tmp_path / "seed-0.safetensors").touch()
    with pytest.raises(ArtifactError, match="there is no file") as caught:
        open_source(str(tmp_path / "sead-0.safetensors"))
    assert "seed-0.safetensors" in caught.value.hint
    with pytest.raises(ArtifactError) as caught:
        open_source(str(tmp_path / "nowhere" / "a"))
    assert caught.value.hint == f"there is no folder `{tmp_path / 'nowhere'}` either"


def test_what_the_system_cannot_open_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name in ("file/x", "loop", "x" * 300):
        with pytest.raises(ArtifactError, match="cannot read"):
            open_source(str(tmp_path / name))


def test_an_error_about_text_quotes_its_beginning(tmp_path):
    path = tmp_path / "log"
    path.write_text("\n  Job <7> is submitted\nto a queue with a very long name indeed\n")
    with open_source(str(path)) as source:
        error = source.expected("a table")
    expected = "is text starting `Job <7> is submitted to a queue with a v`, expected a table"
    assert expected in str(error)


@pytest.mark.parametrize(
    ("content", "hint"),
    [(b"\x80\x04.", "runs code"), (gzip.compress(b"x", mtime=0), "gunzip"), (b"GGUF", "gguf_file")],
)
def test_an_error_about_a_foreign_format_says_the_way_out(content, hint, tmp_path):
    (tmp_path / "x").write_bytes(content)
    with open_source(str(tmp_path / "x")) as source:
        assert hint in source.expected("a table").hint


def test_an_empty_file_and_an_empty_pipe_point_at_the_command_before(tmp_path, python):
    (tmp_path / "x").touch()
    with open_source(str(tmp_path / "x")) as source:
        assert "did the command that makes it fail" in source.expected("a table").hint
    script = TELL.replace("print(source.format", "raise source.expected('a table');print(source.a")
    told = python(script, "-", input=b"").stdout.decode()
    assert told.startswith("ArtifactError standard input is empty")
    assert "pipefail" in told


CONTENT = os.urandom(3_000_000)


def test_standard_input_from_a_file_or_a_pipe_is_the_same_source(tmp_path, python):
    (tmp_path / "x").write_bytes(CONTENT)
    expected = f"unknown 3000000 {sha256(CONTENT)} None\n".encode()
    with (tmp_path / "x").open("rb") as file:
        assert python(TELL, "-", stdin=file).stdout == expected
    assert python(TELL, "-", input=CONTENT).stdout == expected


def test_standard_input_that_was_read_in_part_begins_where_it_stands(tmp_path, shell):
    (tmp_path / "x").write_bytes(b"first line\nrest, of\nit\n")
    (tmp_path / "tell.py").write_text(TELL)
    done = shell(f"(read line; {sys.executable} tell.py -) < x", tmp_path)
    assert done.stdout.decode().split()[:3] == ["csv", "12", sha256(b"rest, of\nit\n")]


def test_a_fifo_and_a_process_substitution_are_the_same_source(tmp_path, shell):
    (tmp_path / "x").write_bytes(CONTENT)
    (tmp_path / "tell.py").write_text(TELL)
    done = shell(
        f"mkfifo pipe; (cat x > pipe &); {sys.executable} tell.py pipe; "
        f"{sys.executable} tell.py <(cat x)",
        tmp_path,
    )
    assert done.stdout.decode() == f"unknown 3000000 {sha256(CONTENT)} None\n" * 2, done.stderr


def test_a_slow_pipe_that_trickles_is_read_to_its_end(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    def trickle():
        with (tmp_path / "pipe").open("wb", buffering=0) as pipe:
            for byte in b"a,b\n1,2\n":
                pipe.write(bytes([byte]))

    writer = threading.Thread(target=trickle)
    writer.start()
    with open_source(str(tmp_path / "pipe")) as source:
        assert source.format == "csv"
        assert source.size == 8
    writer.join()


def test_a_spooled_stream_leaves_no_file_behind(tmp_path, python):
    script = "import os, tempfile;tempfile.tempdir = sys.argv[2]" + TELL.replace(
        "        print(", "        print(os.listdir(sys.argv[2]));print("
    )
    done = python("import sys\n" + script, "-", tmp_path, input=CONTENT)
    assert done.stdout.startswith(b"[]\nunknown"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_room_to_spool_is_an_error_that_names_tmpdir(python):
    limit = "import resource;resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
    told = python(limit + TELL, "-", input=CONTENT).stdout.decode()
    assert told.startswith("ArtifactError no room to spool `-`")
    assert "TMPDIR" in told


def test_a_temporary_folder_that_is_not_there_is_an_error(python):
    gone = "import tempfile;tempfile.tempdir = '/nowhere'\n"
    told = python(gone + TELL, "-", input=b"x").stdout.decode()
    assert told.startswith("ArtifactError cannot read `-`")


def test_closed_standard_input_is_an_error(tmp_path, shell):
    (tmp_path / "tell.py").write_text(TELL)
    told = shell(f"{sys.executable} tell.py - <&-", tmp_path).stdout
    assert told.startswith(b"ArtifactError standard input is closed")


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_a_terminal_as_input_is_refused_instead_of_waited_for(name):
    master, slave = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", TELL, name],
            stdin=slave,
            capture_output=True,
            timeout=60,
            check=True,
        )
    finally:
        os.close(master)
        os.close(slave)
    assert done.stdout.startswith(b"UsageError `" + name.encode() + b"` would be read from a term")


def test_reading_a_terminal_is_wrong_usage():
    assert UsageError.exit_code == 2
