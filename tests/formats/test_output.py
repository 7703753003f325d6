import os
import signal
import stat
import subprocess
import sys
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from nncli.errors import ArtifactError, UsageError
from nncli.formats.entry import Entry
from nncli.formats.output import open_output
from nncli.formats.tables import write_table
from nncli.formats.tensors import write_tensors

ENTRY = Entry(kind="table")
SAY = """
import sys
from nncli.errors import NncliError
from nncli.formats.output import open_output
try:
    with open_output(sys.argv[1], binary=sys.argv[2] == "binary", kind="x") as output:
        for _ in range(int(sys.argv[3])):
            output.write(b"x" * 100_000)
except NncliError as error:
    print(error, file=sys.stderr)
    sys.stdout = None
    sys.exit(error.exit_code)
"""


def names(folder):
    return sorted(one.name for one in folder.iterdir())


def test_an_output_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "a"
    with open_output(str(target), kind="x") as output:
        output.write(b"half")
        output.file.flush()
        assert not target.exists()
        output.write(memoryview(b" and half"))
    assert target.read_bytes() == b"half and half"
    assert names(tmp_path) == ["a"]


def fail_half_way(target, error):
    with open_output(str(target), kind="table") as output:
        output.write(b"half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "a"
    write_tensors(str(target), {"x": np.zeros(2)}, ENTRY)
    old = target.read_bytes()
    with pytest.raises(error):
        fail_half_way(target, error)
    assert target.read_bytes() == old
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_killed_process_leaves_the_old_file(tmp_path, number):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    script = """
import sys, time
from nncli.exits import Terminated, die_by, handle_signals
from nncli.formats.output import open_output
handle_signals()
try:
    with open_output(sys.argv[1], overwrite=True, kind="x") as output:
        output.write(b"x" * 1_000_000)
        print("writing", flush=True)
        time.sleep(60)
except Terminated as ended:
    die_by(ended.signal)
"""
    work = subprocess.Popen(
        [sys.executable, "-c", script, str(target)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert work.stdout.readline() == b"writing\n"
    work.send_signal(number)
    work.communicate(timeout=30)
    assert work.returncode == -number
    assert target.read_bytes() == b"old"
    hidden = [name for name in names(tmp_path) if name != "a"]
    assert len(hidden) == (number == signal.SIGKILL)  # nobody can clean up after that one
    assert all(name.startswith(".a.") for name in hidden)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_an_output_has_the_permissions_of_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        with open_output(str(tmp_path / "a"), kind="x") as output:
            output.write(b"x")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~mask


def test_a_link_stays_a_link_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere/real")
    for content in (b"", b"x"):
        with open_output(str(tmp_path / "link"), overwrite=True, kind="x") as output:
            output.write(content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "elsewhere" / "real").read_bytes() == content
    assert names(tmp_path / "elsewhere") == ["real"]


def test_a_reader_of_the_old_file_keeps_the_old_bytes(tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with target.open("rb") as reader:
        with open_output(str(target), overwrite=True, kind="x") as output:
            output.write(b"new")
        assert reader.read() == b"old"
    assert target.read_bytes() == b"new"


def ours_in_safetensors(path):
    write_tensors(str(path), {"x": np.zeros(2)}, ENTRY)


def ours_in_parquet(path):
    write_table(str(path), pa.table({"x": [1]}), ENTRY, format="parquet")


def ours_in_png(path):
    import matplotlib.image

    picture = np.zeros((2, 2))
    matplotlib.image.imsave(path, picture, format="png", metadata={"Software": "nncli"})


@pytest.mark.parametrize("write", [ours_in_safetensors, ours_in_parquet, ours_in_png])
def test_a_file_that_nncli_wrote_is_replaced(tmp_path, write):
    write(tmp_path / "a")
    kind = "figure" if write is ours_in_png else "table"
    with open_output(str(tmp_path / "a"), kind=kind) as output:
        output.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_an_empty_file_is_replaced(tmp_path):
    (tmp_path / "a").touch()
    with open_output(str(tmp_path / "a"), kind="x") as output:
        output.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


FOREIGN = {
    "safetensors": lambda path: save_file({"x": np.zeros(2)}, path),
    "parquet": lambda path: pq.write_table(pa.table({"x": [1]}), path),
    "text": lambda path: path.write_text("nncli was mentioned here\n"),
    "csv": lambda path: path.write_text("a,b\n1,2\n"),
    "cut": lambda path: path.write_bytes(b"PAR1 and no more"),
    "unknown": lambda path: path.write_bytes(bytes(range(1, 100))),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_file_of_somebody_else_is_replaced_only_on_demand(tmp_path, what):
    target = tmp_path / "a"
    FOREIGN[what](target)
    old = target.read_bytes()
    with pytest.raises(ArtifactError, match="exists and was not written by nncli") as caught:
        open_output(str(target), kind="x")
    assert "--overwrite" in caught.value.hint
    assert target.read_bytes() == old
    with open_output(str(target), overwrite=True, kind="x") as output:
        output.write(b"new")
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


def test_an_artifact_of_another_kind_is_not_replaced_by_mistake(tmp_path):
    target = tmp_path / "a.safetensors"
    write_tensors(str(target), {"x": np.zeros(2)}, Entry("checkpoint"))
    old = target.read_bytes()
    with pytest.raises(ArtifactError, match="exists and holds checkpoint, not activations"):
        write_tensors(str(target), {"x": np.ones(2)}, Entry("activations"))
    assert target.read_bytes() == old
    write_tensors(str(target), {"x": np.ones(2)}, Entry("activations"), overwrite=True)
    write_tensors(str(target), {"x": np.zeros(2)}, Entry("activations"))


def test_what_cannot_be_an_output_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ArtifactError, match="is a folder"):
        open_output(str(tmp_path), kind="x")
    with pytest.raises(ArtifactError, match="cannot write") as caught:
        open_output(str(tmp_path / "no" / "a"), kind="x")
    assert caught.value.hint == f"make the folder first: `mkdir -p {tmp_path / 'no'}`"
    for name in ("file/a", "x" * 300):
        with pytest.raises(ArtifactError, match="cannot write"):
            open_output(str(tmp_path / name), kind="x")
    with pytest.raises(ArtifactError, match="cannot write"):
        open_output("/proc/nobody-may-write-here", kind="x")
    assert names(tmp_path) == ["file"]


def test_the_longest_file_name_there_can_be_is_written(tmp_path):
    target = tmp_path / ("é" * 127)
    with open_output(str(target), kind="x") as output:
        output.write(b"x")
    assert target.read_bytes() == b"x"


def test_a_file_called_dash_in_a_folder_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        write_tensors("./-", {"x": np.zeros(2)}, ENTRY)
    assert names(tmp_path) == ["-"]


def test_a_suffix_that_promises_another_format_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match=r"ends in `\.parquet`, but a safetensors file"):
        write_tensors(str(tmp_path / "a.parquet"), {"x": np.zeros(2)}, ENTRY)
    with pytest.raises(UsageError, match=r"ends in `\.safetensors`, but a table"):
        write_table(str(tmp_path / "a.safetensors"), pa.table({"x": [1]}), ENTRY)
    assert names(tmp_path) == []


def test_a_fifo_is_written_in_place(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    received = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_tensors(str(tmp_path / "pipe"), {"x": np.zeros(2)}, ENTRY)
    reader.join()
    write_tensors(str(tmp_path / "file"), {"x": np.zeros(2)}, ENTRY)
    assert received == [(tmp_path / "file").read_bytes()]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_full_device_is_an_error():
    with pytest.raises(ArtifactError, match="cannot write `/dev/full`: no space left on device"):
        write_tensors("/dev/full", {"x": np.zeros(2)}, ENTRY)
    with pytest.raises(ArtifactError, match="cannot write `/dev/full`: no space left on device"):
        write_table("/dev/full", pa.table({"x": [1]}), ENTRY, format="csv")
    with pytest.raises(ArtifactError, match="cannot write `/dev/full`: no space left on device"):
        write_table("/dev/full", pa.table({"x": [1]}), ENTRY, format="parquet")
    write_tensors("/dev/null", {"x": np.zeros(2)}, ENTRY)


def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path, python):
    (tmp_path / "a").write_bytes(b"old")
    script = """
import resource, sys
import numpy as np, pyarrow as pa
from nncli.errors import ArtifactError
from nncli.formats.entry import Entry
from nncli.formats.tables import write_table
from nncli.formats.tensors import write_tensors
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
noise = np.random.default_rng(0).random(100_000)
for write in (
    lambda: write_tensors(sys.argv[1], {"x": noise}, Entry("table"), overwrite=True),
    lambda: write_table(sys.argv[1], pa.table({"x": noise}), Entry("table"), overwrite=True),
    lambda: write_table(
        sys.argv[1], pa.table({"x": noise}), Entry("table"), format="csv", overwrite=True
    ),
):
    try:
        write()
    except ArtifactError as error:
        print(error)
"""
    told = python(script, tmp_path / "a")
    expected = f"cannot write `{tmp_path / 'a'}`: file too large\n" * 3
    assert told.stdout.decode() == expected, told.stderr.decode()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_standard_output_is_whole_also_when_it_is_unbuffered_and_the_reader_slow(tmp_path):
    for option in ([], ["-u"]):
        command = [sys.executable, *option, "-c", SAY, "-", "binary", "30"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as work:
            received = work.stdout.read(1)
            time.sleep(0.1)
            received += work.stdout.read()
        assert work.returncode == 0
        assert len(received) == 3_000_000


def test_dev_stdout_is_standard_output(tmp_path, shell):
    (tmp_path / "say.py").write_text(SAY)
    line = f"(echo first; {sys.executable} say.py /dev/stdout binary 1) > a"
    assert shell(line, tmp_path).returncode == 0
    assert (tmp_path / "a").stat().st_size == 100_006


def test_closed_standard_output_is_an_error(tmp_path, shell):
    (tmp_path / "say.py").write_text(SAY)
    done = shell(f"{sys.executable} say.py - binary 1 >&-", tmp_path)
    assert (done.returncode, done.stderr) == (3, b"standard output is closed\n")


@pytest.mark.parametrize("target", ["-", "/dev/stdout", "/dev/tty"])
def test_a_terminal_is_refused_for_bytes_and_taken_for_text(target, terminal):
    code, shown = terminal(sys.executable, "-c", SAY, target, "binary", "1")
    assert code == 3
    assert shown.startswith("refusing to write a binary artifact to a terminal")
    assert terminal(sys.executable, "-c", SAY, target, "text", "1") == (0, "x" * 100_000)
