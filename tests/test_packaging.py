"""What is installed is what is in the tree, and nothing stands at the top but `nncli`."""

import ast
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from nncli import __version__

ROOT = Path(__file__).parents[1]
LINKS = {"commands": "nncli/commands", "formats": "nncli/formats"}
DATA = {"nncli/py.typed", "nncli/formats/digits.npz"}
COMPLETIONS = {
    "share/bash-completion/completions/nncli.bash",
    "share/zsh/site-functions/_nncli",
    "share/fish/vendor_completions.d/nncli.fish",
}


def sources():
    """The modules of the three folders, under the paths they are installed at."""
    found = set()
    for path in (ROOT / "nncli").rglob("*.py"):
        if not any(path.is_relative_to(ROOT / link) for link in LINKS.values()):
            found.add(str(path.relative_to(ROOT)))
    for folder, installed in LINKS.items():
        inside = (path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*.py"))
        found |= {f"{installed}/{path}" for path in inside}
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, built from a source archive, built from a copy of the tree."""
    tree = tmp_path_factory.mktemp("tree") / "nncli"
    tree.mkdir()
    skipped = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("nncli", "commands", "formats", "completions"):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tree / "dist")],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tree / "dist").glob("nncli-*.tar.gz"))) == 1
    (built,) = (tree / "dist").glob("nncli-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_exactly_the_modules_of_the_three_folders(wheel):
    modules = {name for name in names(wheel) if name.endswith(".py")}
    assert modules == sources()


def test_the_wheel_holds_no_other_files_than_the_data_and_the_completions(wheel):
    others = {name for name in names(wheel) if not name.endswith(".py")}
    placed = {name.partition(".data/data/")[2] for name in others if ".data/data/" in name}
    assert placed == COMPLETIONS
    assert {name for name in others if name.startswith("nncli/")} == DATA


def test_nothing_else_is_at_the_top_of_the_wheel(wheel):
    tops = {name.split("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith((".dist-info", ".data"))} == {"nncli"}


def test_every_package_is_listed():
    packages = {str(Path(name).parent).replace("/", ".") for name in sources()}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert set(settings["packages"]) == packages
    assert set(settings["package-dir"]) <= packages


def test_the_installed_package_works_away_from_the_tree(installed, tmp_path):
    script = f"""
import sys
sys.path.insert(0, {str(installed)!r})
import nncli, nncli.commands.completion, nncli.formats.entry
for module in (nncli, nncli.commands, nncli.formats):
    assert module.__file__.startswith({str(installed)!r}), module.__file__
from nncli.cli import COMMANDS, main
for one in COMMANDS.values():
    __import__(f"nncli.commands.{{one.module}}")
for name in ("commands", "formats"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise AssertionError(name)
sys.argv[1:] = ["--version"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"nncli {__version__}\n"), done.stderr


def test_the_embedded_data_are_found_in_the_installed_package(installed, tmp_path):
    script = f"""
import sys
sys.path.insert(0, {str(installed)!r})
from nncli.formats.datasets import load
print(len(load("digits").x))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1797\n", done.stderr


def test_the_links_point_at_the_folders_and_are_relative():
    for folder, link in LINKS.items():
        assert (ROOT / link).readlink() == Path("..") / folder


def test_mypy_sees_every_module():
    from mypy.fscache import FileSystemCache
    from mypy.modulefinder import FindModuleCache, SearchPaths
    from mypy.options import Options

    finder = FindModuleCache(SearchPaths((str(ROOT),), (), (), ()), FileSystemCache(), Options())
    seen = {str(Path(one.path).relative_to(ROOT)) for one in finder.find_modules_recursive("nncli")}
    assert seen == sources()


def test_the_version_is_the_same_in_both_places():
    (line,) = [
        node.value.value
        for node in ast.parse((ROOT / "nncli" / "__init__.py").read_text()).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__version__"
    ]
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == line
