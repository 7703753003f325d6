"""`file.py:Name`: a network from the user's own file.

This runs the file, and that is why it happens only for a name that the user typed: never for one
that a checkpoint records.
"""

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from nncli.errors import ArtifactError, UsageError, closest


def is_user_code(spec: str) -> bool:
    """Whether a spec names a Python file instead of an architecture."""
    return ".py:" in spec or spec.endswith(".py")


def build_user_network(spec: str, *, seed: int) -> nn.Module:
    """Call the class or function that `file.py:Name` names, without arguments.

    Args:
        spec: The file and the name.
        seed: The seed of PyTorch's global generator while the code runs; the generator is put
            back afterwards.

    Returns:
        The module that came back.

    Raises:
        UsageError: The file or the name is missing, or what it names gives no module.
        ArtifactError: The user's code raised.
    """
    file, _, name = spec.rpartition(":") if not spec.endswith(".py") else (spec, "", "")
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"`{spec}`: there is no file `{file}`", hint="check the path")
    known = _public_names(path, spec)
    if not name:
        raise UsageError(
            f"`{spec}` does not say which class to use; {closest(name, known)}",
            hint=f"for example `{file}:{known[0] if known else 'Name'}`",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        make = getattr(_run(path, spec), name, None)
        if make is None:
            raise UsageError(f"`{file}` defines no `{name}`; {closest(name, known)}")
        if isinstance(make, nn.Module):
            return make
        if not callable(make):
            raise UsageError(f"`{spec}` is {_a(make)}, a class or a function is needed")
        try:
            module = make()
        except Exception as error:
            raise ArtifactError(
                f"calling `{name}()` of `{file}` raised {_told(error)}",
                hint="it is called without arguments: give every argument a default, or wrap it in "
                "a function `def network(): return Name(...)`",
            ) from error
    if not isinstance(module, nn.Module):
        raise UsageError(f"`{spec}` returned {_a(module)}, a torch.nn.Module is needed")
    return module


def _public_names(path: Path, spec: str) -> list[str]:
    """Classes, functions and variables at the top of a file, found without running it."""
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise ArtifactError(f"`{spec}`: the file is not valid Python: {error}") from error
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [one.id for one in node.targets if isinstance(one, ast.Name)]
    return [name for name in names if not name.startswith("_")]


def _run(path: Path, spec: str) -> ModuleType:
    """Import a file under a name of its own, its folder first on the path as for a script."""
    title = f"_nncli_user_{path.stem}"
    found = importlib.util.spec_from_file_location(title, path.resolve())
    if found is None or found.loader is None:
        raise UsageError(f"`{spec}`: `{path}` cannot be imported")
    module = importlib.util.module_from_spec(found)
    sys.modules[title] = module  # dataclasses and pickling look their module up there
    sys.path.insert(0, str(path.resolve().parent))
    try:
        found.loader.exec_module(module)
    except Exception as error:
        raise ArtifactError(f"running `{path}` raised {_told(error)}") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _told(error: Exception) -> str:
    """An exception and the last line of its traceback that lies in a file of somebody else."""
    trace, line = error.__traceback__, 0
    while trace is not None:
        if "_nncli_user_" in trace.tb_frame.f_globals.get("__name__", ""):
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f" (line {line})" if line else ""
    return f"{type(error).__name__}: {error}{where}"


def _a(value: object) -> str:
    return f"of type `{type(value).__name__}`"
