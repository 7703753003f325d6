"""The rules of the architecture, read off the source."""

import ast
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from nncli.cli import COMMANDS
from nncli.groups import Group

ROOT = Path(__file__).parents[1]
FOLDERS = {"nncli": "nncli", "commands": "nncli.commands", "formats": "nncli.formats"}
HEAVY = {"torch", "numpy", "scipy", "pyarrow", "datasets", "safetensors", "matplotlib", "rich"}
HEAVY |= {"tqdm", "transformers", "onnx", "sklearn", "pandas", "PIL"}
CORE = ("nncli.cli", "nncli.groups", "nncli.options", "nncli.parameters")
AFFORDABLE = ("nncli.options", "nncli.parameters", "nncli.groups", "nncli.errors")
MAY_READ_FORMATS = (*CORE, "nncli.checkpoints")


def modules():
    """Every module with its path, under the name it is imported by."""
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            if folder == "nncli" and path.relative_to(ROOT / "nncli").parts[0] in FOLDERS:
                continue  # the links
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *(part for part in parts if part != "__init__")])
            yield name, path


MODULES = dict(modules())


def imports(path, *, top_level=False):
    """What a module imports (full names), `TYPE_CHECKING` blocks left out."""
    found = []

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if top_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.Import):
            found.extend(one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.extend(f"{node.module}.{one.name}" for one in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def of(package):
    return [name for name in MODULES if name == package or name.startswith(f"{package}.")]


def within(name, *packages):
    return any(name == one or name.startswith(f"{one}.") for one in packages)


@pytest.mark.parametrize("name", MODULES)
def test_no_module_imports_the_folders_by_their_bare_names(name):
    # it would work inside the repository, and nowhere else
    assert not [one for one in imports(MODULES[name]) if within(one, "commands", "formats")]


@pytest.mark.parametrize("name", of("nncli.formats"))
def test_formats_import_nothing_of_ours_but_errors_and_each_other(name):
    ours = [one for one in imports(MODULES[name]) if within(one, "nncli")]
    assert not [one for one in ours if not within(one, "nncli.formats", "nncli.errors")]


@pytest.mark.parametrize("name", of("nncli.formats"))
def test_formats_know_nothing_of_command_lines(name):
    assert not [one for one in imports(MODULES[name]) if within(one, "click", "tqdm")]


NUMERICS = [
    name
    for name in of("nncli")
    if not within(name, "nncli.commands", "nncli.formats", *CORE)
    and not within(name, "nncli.exits", "nncli.__main__")
]


@pytest.mark.parametrize("name", NUMERICS)
def test_numerics_know_nothing_of_command_lines_or_files(name):
    forbidden = ["click", "tqdm", "nncli.commands", "nncli.cli", "nncli.options"]
    if not within(name, *MAY_READ_FORMATS):
        forbidden.append("nncli.formats")
    assert not [one for one in imports(MODULES[name]) if within(one, *forbidden)]


@pytest.mark.parametrize("name", NUMERICS)
def test_numerics_print_nothing_and_open_nothing(name):
    called = {
        node.func.id
        for node in ast.walk(ast.parse(MODULES[name].read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    allowed = {"open"} if within(name, "nncli.checkpoints") else set()
    assert not called & {"print", "input", "open", "exit", "breakpoint"} - allowed


@pytest.mark.parametrize("name", of("nncli.commands"))
def test_commands_import_at_the_top_only_what_help_can_afford(name):
    affordable = {"click", *sys.stdlib_module_names}
    own = ".".join(name.split(".")[:3])  # the parts of a command are held to this themselves
    for one in imports(MODULES[name], top_level=True):
        cheap = one.split(".")[0] in affordable or within(one, *AFFORDABLE, own)
        assert cheap or one == "nncli.__version__", f"{name} imports {one} at its top"


@pytest.mark.parametrize("name", of("nncli.commands"))
def test_commands_hold_no_mathematics(name):
    text = MODULES[name].read_text()
    assert not re.search(r"\b(np|numpy|torch)\.(linalg|fft|einsum)\b", text)
    assert not [one for one in imports(MODULES[name]) if within(one, "scipy", "torch.nn")]


@pytest.mark.parametrize("name", MODULES)
def test_nothing_heavy_is_imported_by_the_core(name):
    if within(name, *CORE, "nncli.errors", "nncli.exits", "nncli.__main__"):
        for one in imports(MODULES[name], top_level=True):
            assert one.split(".")[0] not in HEAVY, f"{name} imports {one} at its top"


def test_the_table_of_commands_and_the_folder_agree():
    assert {one.module for one in COMMANDS.values()} == commands_in(ROOT / "commands")


def commands_in(folder):
    """The modules and packages of a folder, which are its commands and groups of commands."""
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    return files | {path.parent.name for path in folder.glob("*/__init__.py")}


def groups():
    """The groups, by the names of their folders; other folders are one command each."""
    for path in sorted((ROOT / "commands").glob("*/__init__.py")):
        command = import_module(f"nncli.commands.{path.parent.name}").command
        if isinstance(command, Group):
            yield path.parent.name, command


@pytest.mark.parametrize(("name", "group"), list(groups()))
def test_the_table_of_a_group_and_its_folder_agree(name, group):
    folder = ROOT / "commands" / name
    parts = {one for one in commands_in(folder) if is_part(folder / f"{one}.py")}
    assert {one.module for one in group.table.values()} == commands_in(folder) - parts
    for one in parts:  # of a command of the group, which is too long for one file
        assert any(f"nncli.commands.{name}.{one}" in text for text in map(read, folder.glob("*")))


def is_part(path):
    """Whether a file of a group defines no command."""
    return path.is_file() and not re.search(r"^def command\(", path.read_text(), re.MULTILINE)


def read(path):
    return path.read_text() if path.is_file() else ""


def test_formats_are_flat_and_commands_are_files_or_folders_of_files():
    nested = {folder: list((ROOT / folder).glob("*/*.py")) for folder in ("commands", "formats")}
    assert nested["formats"] == []
    assert {one.parent.name for one in nested["commands"]} <= {
        one.module for one in COMMANDS.values()
    }
    assert not list((ROOT / "commands").glob("*/*/*.py"))


SCRIPT = """
import sys
from nncli.cli import main
sys.argv[1:] = {arguments}
try:
    main()
except SystemExit as done:
    assert done.code == 0, done.code
print("\\n" + " ".join(sorted({heavy} & set(sys.modules))))
"""


def below():
    """The commands of groups, by their words."""
    for _, group in groups():
        yield from (f"{group.name} {name}" for name in group.table)


@pytest.mark.parametrize("command", [None, *sorted(COMMANDS), *below()])
def test_help_imports_nothing_heavy(command, python):
    arguments = [*command.split(), "--help"] if command else ["--help"]
    done = python(SCRIPT.format(arguments=arguments, heavy=HEAVY))
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines()[-1] == ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, invoke):
    """Networks, what they answer, and what two of their layers are."""
    here = tmp_path_factory.mktemp("imports")
    invoke("train", "--arch", "mlp:64-4-10", "--steps", 2, "--seed", "0..1", "-o", f"{here}/runs/")
    short = ("--split", "test", "--limit", 20)
    invoke("predict", f"{here}/runs/", *short, "-o", here / "answers.parquet", code=0)
    for seed in (0, 1):
        network = f"{here}/runs/seed-{seed}.safetensors"
        invoke("capture", network, *short, "-o", here / f"{seed}.safetensors", code=0)
    return here


@pytest.mark.parametrize(
    "line",
    [
        "predict runs/ --split test --limit 20 -o again.parquet",
        "bias-variance answers.parquet -o parts.parquet --per-example examples.parquet",
        "triage evaluate answers.parquet -o triage.parquet --curve curve.parquet",
        "compare 0.safetensors 1.safetensors -o alike.parquet",
        "show answers.parquet --stats",
    ],
)
def test_commands_over_tables_do_not_import_pandas(line, folder, python):
    # pyarrow does for many of its functions, where it is installed: a third of a second
    done = python(SCRIPT.format(arguments=line.split(), heavy={"pandas"}), cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines()[-1] == ""


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_and_stays_small(name):
    text = MODULES[name].read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{name} has no docstring"
    assert len(text.splitlines()) <= 400, f"{name} is too long to hold in the head"
