"""What tests share: one thread, a clean environment, real processes, and in-process calls."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# before anything loads a linear algebra library: small networks are fastest on one thread, and
# workers that run side by side must not fight for cores
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
for name in [name for name in os.environ if name.startswith(("NNCLI_", "_NNCLI_"))]:
    del os.environ[name]
for name in ("NO_COLOR", "FORCE_COLOR", "PYTHONUNBUFFERED"):
    os.environ.pop(name, None)
# a shell that runs the tests in the background has them ignore these, and their children with them
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="session")
def process():
    """Run `nncli ARGUMENTS` as a process of its own."""

    def run(*arguments, cwd=None, environment=None, timeout=120, **settings):
        settings.setdefault("stdin", subprocess.DEVNULL)
        settings.setdefault("stdout", subprocess.PIPE)
        settings.setdefault("stderr", subprocess.PIPE)
        if "input" in settings:
            del settings["stdin"]
        return subprocess.run(
            [sys.executable, "-m", "nncli", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            timeout=timeout,
            check=False,
            **settings,
        )

    return run


@pytest.fixture(scope="session")
def shell():
    """Run a line of bash in which a pipe fails with any of its commands."""

    def run(line, cwd=None, *, timeout=120, **settings):
        settings.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=cwd,
            capture_output=True,
            timeout=timeout,
            check=False,
            **settings,
        )

    return run


@pytest.fixture(scope="session")
def python():
    """Run a Python script in a process of its own, for what cannot be undone in this one."""

    def run(script, *arguments, cwd=None, timeout=120, **settings):
        settings.setdefault("stdin", subprocess.DEVNULL)
        settings.setdefault("stdout", subprocess.PIPE)
        settings.setdefault("stderr", subprocess.PIPE)
        if "input" in settings:
            del settings["stdin"]
        return subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            cwd=cwd,
            timeout=timeout,
            check=False,
            **settings,
        )

    return run


SPAWN = """
import fcntl, os, pty, struct, sys, termios
child, master = pty.fork()
if child == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
try:
    while chunk := os.read(master, 65536):
        os.write(1, chunk)
except OSError:  # how a terminal says that its last process is gone
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture(scope="session")
def terminal():
    """Run a program (its arguments) on a terminal of its own, which shows both its streams."""

    def run(*command, cwd=None, environment=None, timeout=120):
        done = subprocess.run(
            [sys.executable, "-c", SPAWN, *map(str, command)],
            cwd=cwd,
            env={**os.environ, "TERM": "xterm", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=timeout,
            check=False,
        )
        return done.returncode, done.stdout.decode().replace("\r\n", "\n")

    return run


@pytest.fixture(scope="session")
def invoke():
    """Run `nncli ARGUMENTS` inside this process: quick, but without real streams."""
    from click.testing import CliRunner

    from nncli.cli import cli

    def run(*arguments, code=None, **settings):
        result = CliRunner().invoke(cli, [str(one) for one in arguments], **settings)
        assert code is None or result.exit_code == code, result.output
        return result

    return run


@pytest.fixture(scope="session")
def read_answer():
    """Read an answer in the form of the verification competitions: its word and its numbers."""

    def read(path):
        word, _, rest = path.read_text().partition("\n")
        numbers = {"X": [], "Y": []}
        for side, place, number in re.findall(r"\(([XY])_(\d+) ([^\s()]+)\)", rest):
            assert int(place) == len(numbers[side])
            numbers[side].append(float(number))
        return word, tuple(numbers["X"]), tuple(numbers["Y"])

    return read
