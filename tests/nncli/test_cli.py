import os
import signal
import subprocess
import sys
import time

import click
import pytest

from nncli import __version__
from nncli.cli import COMMANDS
from nncli.exits import CLOSED_PIPE, OUR_BUG

PLUGIN = '''
import signal, sys, time, warnings
import click
from nncli import options
from nncli.options.progress import progress
from nncli.errors import *
from nncli.formats.entry import Entry
from nncli.formats.output import open_output


def command(name):
    return click.command(name, cls=options.Command)


@command("yes")
def yes():
    """Say yes."""
    click.echo("yes")


@command("no")
@click.pass_context
def no(ctx):
    """Say no."""
    click.echo("no")
    ctx.exit(1)


@command("fail")
@click.argument("how")
def fail(how):
    """Fail in some way."""
    if how == "ours":
        raise {}["key\\n of\\x1b[2J two lines"]
    raise {
        "mismatch": MismatchError("they do not fit", hint="try others"),
        "usage": UsageError("a contradiction"),
        "environment": EnvironmentFault("no such device"),
        "undecided": NoAnswerError("timed out"),
        "file": click.FileError("a", "gone"),
        "memory": MemoryError(),
        "cursor": ArtifactError("`\\x1b[2J\\n` is odd"),
        "bug": RuntimeError("it broke"),
        "abort": click.Abort(),
    }[how]


@command("flood")
@options.output
def flood(output):
    """Write for ever."""
    with open_output(output, kind="x") as file:
        while True:
            file.write(b"line\\n" * 1000)


@command("wait")
@options.output
def wait(output):
    """Hold an output open."""
    with open_output(output, kind="x") as file:
        file.write(b"x")
        print("waiting", file=sys.stderr, flush=True)
        time.sleep(60)


@command("page")
def page():
    """Print more than a buffer holds."""
    click.echo(b"line\\n" * 10_000, nl=False)


@command("print-forever")
def print_forever():
    """Print lines, as text."""
    while True:
        click.echo("line")


@command("warn")
def warn():
    """Warn in two ways, and work with progress."""
    warnings.warn("rows are missing", NncliWarning, stacklevel=2)
    warnings.warn("an old name", DeprecationWarning, stacklevel=2)
    for _ in progress(range(3), label="working"):
        time.sleep(0.02)
    click.echo("done")
'''
BROKEN = "import nothing_of_that_name\n"
NAMES = ["yes", "no", "fail", "flood", "wait", "page", "print-forever", "warn"]


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """The environment of a process in which another package brings subcommands."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "study_plugin.py").write_text(PLUGIN)
    (folder / "broken_plugin.py").write_text(BROKEN)
    info = folder / "study_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: study-plugin\nVersion: 1.0\n")
    points = [f"{name} = study_plugin:{name.replace('-', '_')}" for name in NAMES]
    points.append("broken = broken_plugin:command")
    (info / "entry_points.txt").write_text("[nncli.commands]\n" + "\n".join(points) + "\n")
    return {"PYTHONPATH": str(folder)}


@pytest.fixture
def run(process, plugins):
    def start(*arguments, environment=None, **settings):
        return process(*arguments, environment={**plugins, **(environment or {})}, **settings)

    return start


def lines(stream):
    return stream.decode().splitlines()


def test_the_version_is_one_line(process):
    for flag in ("--version", "-V"):
        done = process(flag)
        assert (done.returncode, lines(done.stdout)) == (0, [f"nncli {__version__}"])


def test_help_lists_every_command_with_its_summary(process):
    done = process("--help")
    assert done.returncode == 0
    for name, one in COMMANDS.items():
        assert any(line.split() == [name, *one.summary.split()] for line in lines(done.stdout))
    assert process("-h").stdout == done.stdout


def test_no_command_at_all_is_wrong_usage_and_shows_the_help_on_stderr(process):
    done = process()
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"Usage: nncli")


def test_the_script_and_the_module_are_the_same(process, shell):
    assert shell("nncli --version").stdout == process("--version").stdout


FIRST = ", ".join(f"`{name}`" for name in list(COMMANDS)[:3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compra"], "there is no command `compra`; closest: `compare`"),
        (["zzz"], "there is no command `zzz`; there are: " + FIRST),
        (["--vresion"], "no such option `--vresion`. Did you mean `--version`?"),
        (["completion", "bsh"], "`bsh` is not known; closest: `bash`"),
        (["completion", "bash", "--quite"], "no such option `--quite`. Did you mean `--quiet`?"),
        (["completion"], "missing argument `bash|zsh|fish`"),
        (["completion", "bash", "extra"], "got unexpected extra argument (extra)"),
    ],
)
def test_wrong_usage_is_2_and_says_what_was_probably_meant(arguments, message, invoke):
    result = invoke(*arguments, code=2)
    first, hint = result.stderr.splitlines()
    assert first.startswith("nncli: error: ")
    assert message in first
    assert hint.startswith("hint: ")
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["yes"], 0, None),
        (["no"], 1, None),
        (["fail", "usage"], 2, "a contradiction"),
        (["fail", "mismatch"], 3, "they do not fit"),
        (["fail", "environment"], 3, "no such device"),
        (["fail", "file"], 3, "could not open file `a`: gone"),
        (["fail", "undecided"], 4, "timed out"),
        (["fail", "memory"], 3, "out of memory"),
        (["fail", "cursor"], 3, "`\\x1b[2J\\n` is odd"),
        (["fail", "bug"], 70, "a bug in nncli: RuntimeError: it broke"),
        (["broken"], 3, "the plugin command `broken` cannot be loaded"),
        (["brokn"], 2, "there is no command `brokn`"),
    ],
)
def test_each_way_to_end_has_its_code(run, arguments, code, message):
    done = run(*arguments)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert (message is None) == (done.stderr == b"")
    if message:
        assert lines(done.stderr)[0].startswith(f"nncli: error: {message}")
        assert done.stdout == b""


def test_a_hint_is_a_second_line(run):
    assert lines(run("fail", "mismatch").stderr) == [
        "nncli: error: they do not fit",
        "hint: try others",
    ]


def test_a_bug_is_one_line_and_the_traceback_is_there_for_the_asking(run):
    quiet, loud = run("fail", "ours"), run("fail", "ours", environment={"NNCLI_TRACEBACK": "1"})
    assert quiet.returncode == loud.returncode == OUR_BUG
    assert len(lines(quiet.stderr)) == 2
    assert "NNCLI_TRACEBACK=1" in lines(quiet.stderr)[1]
    assert "\x1b" not in quiet.stderr.decode()
    assert lines(loud.stderr)[0].startswith("Traceback")
    assert lines(loud.stderr)[-2:] == lines(quiet.stderr)


def start(plugins, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "nncli", *arguments],
        env={**os.environ, **plugins},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_process_as_itself_without_a_word_or_a_file(plugins, tmp_path, number):
    with start(plugins, "wait", "-o", str(tmp_path / "a")) as work:
        assert work.stderr.readline() == b"waiting\n"
        work.send_signal(number)
        assert work.wait(30) == -number
        assert work.stderr.read() == b""
    assert list(tmp_path.iterdir()) == []


def test_a_shell_sees_130_after_an_interrupt(shell, plugins, tmp_path):
    line = "python -m nncli wait -o a & sleep 0.1; while ! ls .a.* 2>/dev/null; do sleep 0.05; done"
    line = f"set -m; {line}; kill -INT %1; wait %1; echo $?"
    done = shell(line, tmp_path, env={**os.environ, **plugins})
    assert lines(done.stdout)[-1] == "130"


def test_a_process_that_ignores_hangup_goes_on(plugins, tmp_path):
    command = ["nohup", sys.executable, "-m", "nncli", "wait", "-o", str(tmp_path / "a")]
    with subprocess.Popen(
        command,
        env={**os.environ, **plugins},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as work:
        while b"waiting" not in work.stderr.readline():
            pass
        work.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert work.poll() is None
        work.terminate()
        assert work.wait(30) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("command", "reader"),
    [
        ("flood", "head -c 1"),
        ("print-forever", "head -n 1 >/dev/null"),
        ("flood", "true"),
        ("completion bash", "true"),  # this and the next fit into the pipe, were there a reader
        ("--help", "true"),
    ],
)
def test_a_reader_that_goes_away_ends_the_writer_with_141_and_no_word(
    shell, plugins, command, reader
):
    line = f"(sleep 0.2; nncli {command}; echo $? >&2) | {reader}"
    done = shell(line, env={**os.environ, **plugins})
    assert lines(done.stderr) == [str(CLOSED_PIPE)]


def test_a_reader_of_errors_that_goes_away_leaves_the_exit_code(shell, plugins):
    line = "(sleep 0.2; nncli fail mismatch; echo $? >&3) 2>&1 >/dev/null | true"
    done = shell(f"{{ {line}; }} 3>&1", env={**os.environ, **plugins})
    assert lines(done.stdout) == ["3"]


@pytest.mark.parametrize("command", ["yes", "page", "flood", "completion bash", "--help"])
def test_a_full_device_behind_standard_output_is_3(shell, plugins, command):
    done = shell(f"nncli {command} > /dev/full", env={**os.environ, **plugins})
    assert done.returncode == 3
    assert lines(done.stderr) == [
        "nncli: error: cannot write standard output: no space left on device"
    ]


def test_closed_streams_are_no_bug(shell, plugins):
    settings = {"env": {**os.environ, **plugins}}
    done = shell("nncli flood >&-", **settings)
    assert done.returncode == 3
    assert lines(done.stderr)[0] == "nncli: error: standard output is closed"
    assert shell("nncli fail mismatch 2>&-", **settings).returncode == 3
    assert shell("nncli warn 2>&-", **settings).stdout == b"done\n"
    assert shell("nncli fail mismatch 2>/dev/full", **settings).returncode == 3


def test_warnings_are_lines_that_quiet_silences_and_verbose_adds_to(run):
    told = run("warn")
    assert (told.stdout, lines(told.stderr)) == (b"done\n", ["nncli: warning: rows are missing"])
    assert run("warn", "--quiet").stderr == run("warn", "-q").stderr == b""
    assert lines(run("warn", "-v").stderr) == [
        "nncli: warning: rows are missing",
        "nncli: warning: DeprecationWarning: an old name",
    ]


def test_progress_is_for_terminals_only(terminal, plugins):
    command = [sys.executable, "-m", "nncli", "warn"]
    assert "working" in terminal(*command, environment=plugins)[1]
    assert "working" not in terminal(*command, "-q", environment=plugins)[1]
    silenced = {**plugins, "NNCLI_NO_PROGRESS": "1"}
    assert "working" not in terminal(*command, environment=silenced)[1]


def test_colour_is_for_terminals_only_and_never_with_no_color(terminal, plugins):
    command = [sys.executable, "-m", "nncli", "fail", "mismatch"]
    code, shown = terminal(*command, environment=plugins)
    assert code == 3
    assert "\x1b[31m" in shown
    assert "they do not fit" in shown
    assert "\x1b" not in terminal(*command, environment={**plugins, "NO_COLOR": "1"})[1]


def test_a_plugin_takes_part_in_help_and_common_options(run):
    done = run("yes", "--help")
    assert done.returncode == 0
    assert b"--quiet" in done.stdout


def test_a_plugin_cannot_replace_a_command_of_ours(process, plugins, tmp_path):
    info = tmp_path / "thief-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thief\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nncli.commands]\ncompletion = study_plugin:yes\n")
    both = f"{tmp_path}{os.pathsep}{plugins['PYTHONPATH']}"
    assert process("completion", "bash", environment={"PYTHONPATH": both}).stdout != b"yes\n"


def test_nobody_pays_for_plugins_but_who_asks_for_an_unknown_name(python):
    script = "import sys;sys.argv[1:] = {};from nncli.cli import main\ntry:\n    main()\n"
    script += "except SystemExit:\n    print('importlib.metadata' in sys.modules)"
    known = python(script.format(["completion", "bash", "-h"])).stdout
    assert lines(known)[-1] == "False"
    assert lines(python(script.format(["nosuch"])).stdout)[-1] == "True"


def cpu_seconds(*arguments):
    work = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(work.pid, 0)
    work.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["completion", "--help"]])
def test_help_costs_little_more_than_importing_click(arguments):
    # the least of several runs in turn, so that what else the machine does counts for little
    ours, floor = [], []
    for _ in range(8):
        floor.append(cpu_seconds("-c", "import click"))
        ours.append(cpu_seconds("-m", "nncli", *arguments))
        if min(ours) <= 1.6 * min(floor) and len(ours) >= 3:
            return
    assert min(ours) <= 1.6 * min(floor)


def test_the_common_errors_of_click_keep_their_meaning():
    from nncli.exits import report

    assert report(click.UsageError("Option '--x' doesn't exist.")) == 2
    assert report(click.ClickException("broken")) == 3
