"""The scripts as the shells run them, and what nncli answers them."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from nncli.cli import COMMANDS
from nncli.formats.entry import Entry
from nncli.formats.tensors import write_tensors

ROOT = Path(__file__).parents[2]
SCRIPTS = {"bash": "nncli.bash", "zsh": "_nncli", "fish": "nncli.fish"}

# each runs the completion of the words given to it and prints what is offered, a line each
ASK = {
    "bash": """
source {script}
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
compopt() {{ printf 'compopt'; printf ' %s' "$@"; echo; }}
_nncli_completion nncli
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "zsh": """
compdef() {{ }}
compadd() {{ print -l -- ${{completions[@]}}; }}
_describe() {{ print -l -- ${{completions_with_descriptions[@]}}; }}
_path_files() {{ print -- "_path_files $*"; }}
source {script}
words=("$@") CURRENT=$#
_nncli_completion
""",
    "fish": """
source {script}
complete -C (string join ' ' -- $argv)
""",
}


@pytest.fixture(params=sorted(SCRIPTS))
def offered(request, tmp_path, process):
    """What a shell offers for the last of some words: names, without their descriptions."""
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    arrays = {"block.0": np.zeros((2, 3)), "block.1": np.zeros(2), "head": np.zeros(2)}
    write_tensors(str(tmp_path / "a.safetensors"), arrays, Entry("activations"))
    script = tmp_path / "ask"
    script.write_text(ASK[name].format(script=ROOT / "completions" / SCRIPTS[name]))
    clean = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[name]

    def ask(*words):
        done = subprocess.run(
            [name, *clean, str(script), "nncli", *words],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == ""
        lines = [line for line in done.stdout.splitlines() if line]
        cut = {"bash": None, "zsh": ":", "fish": "\t"}[name]
        return [line.split(cut)[0] if cut else line for line in lines]

    return ask


def test_commands_are_offered(offered):
    assert sorted(offered("")) == sorted(COMMANDS)
    assert sorted(offered("comp")) == ["compare", "compare-test", "completion"]


def test_layers_of_the_file_on_the_line_are_offered(offered):
    assert offered("compare", "a.safetensors", "--layer", "") == ["block.0", "block.1", "head"]
    assert offered("compare", "a.safetensors", "--layer", "b") == ["block.0", "block.1"]


def test_metrics_are_offered(offered):
    from nncli.similarity import METRICS

    expected = [name for name in METRICS if name.startswith("p")]
    assert expected
    assert sorted(offered("compare", "--metric", "p")) == sorted(expected)


def test_options_and_their_choices_are_offered(offered):
    assert offered("completion", "--ver") == ["--verbose"]
    assert sorted(offered("completion", "")) == sorted(SCRIPTS)
    assert sorted(offered("compare", "--format", "json")) == ["json", "jsonl"]


def test_files_are_left_to_the_shell(offered):
    found = offered("show", "a.s")
    assert found in (["compopt -o default"], ["_path_files -f"], ["a.safetensors"])


def test_what_cannot_be_completed_is_silence(offered):
    assert offered("nosuch", "x") == []
    assert offered("compare", "nowhere", "--layer", "") == []


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_committed_script_is_what_the_command_prints(shell, invoke):
    committed = (ROOT / "completions" / SCRIPTS[shell]).read_text()
    printed = invoke("completion", shell, code=0).stdout
    assert committed == printed, f"run `nncli completion {shell} > completions/{SCRIPTS[shell]}`"


ASKED = """
import os, sys
os.environ |= {"_NNCLI_COMPLETE": "bash_complete", "COMP_WORDS": sys.argv[1]}
os.environ["COMP_CWORD"] = str(len(sys.argv[1].split(" ")) - 1)
from nncli.cli import main
try:
    main()
except SystemExit:
    print(*{"torch", "numpy", "scipy", "pyarrow"} & set(sys.modules), "|", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("nncli comp", set()),
        ("nncli show a.safetensors --layer b", set()),
        ("nncli show a.safetensors --form", set()),
        ("nncli compare a.safetensors b --metric s", {"numpy", "scipy"}),
    ],
)
def test_an_answer_never_waits_for_torch(line, allowed, python):
    done = python(ASKED, line)
    words = done.stderr.decode().split()
    assert words[-1] == "|"
    assert set(words[:-1]) <= allowed


def test_a_failure_at_tab_is_silent(python):
    broken = "import nncli.cli;nncli.cli.cli.table = None\n" + ASKED
    done = python(broken, "nncli comp")
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr


def test_an_unknown_shell_is_met_with_those_there_are(invoke):
    result = invoke("completion", "tcsh", code=2)
    assert "`tcsh` is not known" in result.stderr
