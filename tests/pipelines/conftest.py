"""What tests of pipes and of examples share: Make, its shells and pipes are real.

What an example calls `nncli` is forked from a process that has imported everything once, for some
thirty starts would be most of the time of these tests.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVER = """
import array, os, signal, socket, sys
import matplotlib.figure, numpy, pyarrow.parquet, scipy.cluster.hierarchy, scipy.stats, torch
import nncli.similarity, nncli.populations, nncli.grounding, nncli.figures.drawing
from nncli import exits
from nncli.cli import main

def serve(link):
    message, sent, _, _ = socket.recv_fds(link, 1 << 16, 3)
    folder, *words = message.decode().split("\\0")
    if os.fork():
        for number in sent:  # or pipes would never end
            os.close(number)
        return
    os.chdir(folder)
    for number, received in enumerate(sent):
        os.dup2(received, number)
    sys.argv = ["nncli", *words]
    code = 70
    try:
        code = main() or 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        link.sendall(bytes([code]))
        os._exit(code)

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print("ready", flush=True)
while True:
    serve(listening.accept()[0])
"""
CLIENT = """#!{python} -SE
import os, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect({at!r})
socket.send_fds(link, ["\\0".join([os.getcwd(), *sys.argv[1:]]).encode()], [0, 1, 2])
code = link.recv(1)
sys.exit(code[0] if code else 70)
"""


@pytest.fixture(scope="session")
def pipe(shell):
    """Run a line of bash in a folder, which ends as it should."""

    def run(line, folder, *, code=0):
        done = shell(line, cwd=folder, timeout=600)
        assert done.returncode == code, f"{line}\n{done.returncode}: {done.stderr.decode()}"
        return done

    return run


@pytest.fixture(scope="session")
def started(tmp_path_factory):
    """The environment of make, in which `nncli` starts at once."""
    folder = tmp_path_factory.mktemp("bin")
    at, client = str(folder / "socket"), folder / "nncli"
    client.write_text(CLIENT.format(python=sys.executable, at=at))
    client.chmod(0o755)
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, at], env=settings, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout.readline() == b"ready\n"
        yield {**settings, "PATH": f"{folder}:{os.environ['PATH']}"}
        server.kill()


@pytest.fixture
def make(tmp_path, started):
    """Make an example in a folder of its own, twice: the second time there is nothing to do.

    What the example would download is put there by `before(folder)`.
    """

    def run(name, *settings, before=None):
        place = tmp_path / name
        shutil.copytree(EXAMPLES / name, place)
        if before:
            before(place)
        for _ in range(2):
            done = subprocess.run(
                ["make", *settings],
                cwd=place,
                env=started,
                capture_output=True,
                text=True,
                check=False,
                timeout=600,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        assert "Nothing to be done" in done.stdout
        return place

    return run
