"""The worked example of CONTRIBUTING.md, followed step by step in a copy of the tree."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"```python\n# (?P<path>[\w/.]+)(?P<where>, in COMMANDS)?\n(?P<code>.*?)```", re.S
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    copy = tmp_path_factory.mktemp("tree")
    skip = shutil.ignore_patterns("__pycache__")
    for folder in ("nncli", "commands", "formats"):
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=skip)
    shutil.copy(ROOT / "pyproject.toml", copy)
    blocks = list(BLOCK.finditer((ROOT / "CONTRIBUTING.md").read_text()))
    assert len(blocks) == 4
    for block in blocks:
        path = copy / block["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if block["where"]:
            text = path.read_text()
            assert "COMMANDS = {\n" in text
            path.write_text(text.replace("COMMANDS = {\n", "COMMANDS = {\n" + block["code"]))
        else:
            path.write_text(block["code"])
    np.savez(copy / "a.npz", **{"block.0": np.full((5, 4), 2.0), "head": np.zeros((5, 3))})
    return copy


def run(tree, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_new_command_answers(tree):
    done = run(tree, "-m", "nncli", "norms", "a.npz", "-f", "csv")
    assert done.stdout == "layer,metric,value,n\nblock.0,mean-norm,4.0,5\nhead,mean-norm,0.0,5\n", (
        done.stderr
    )


def test_the_new_command_is_listed_in_the_help(tree):
    assert "norms" in run(tree, "-m", "nncli", "--help").stdout


def test_the_example_tests_pass(tree):
    done = run(tree, "-m", "pytest", "-q", "tests/nncli/test_norms.py", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout


def test_the_example_code_is_in_the_style_of_the_project(tree):
    done = run(
        tree,
        "-m",
        "ruff",
        "check",
        "nncli/norms.py",
        "commands/norms.py",
        "tests/nncli/test_norms.py",
    )
    assert done.returncode == 0, done.stdout
