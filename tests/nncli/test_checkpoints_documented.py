"""The examples of docs/checkpoints.md run as they stand and give what the page says."""

import io
import os
import re
import shlex
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from nncli.checkpoints import resolve
from nncli.checkpoints.onnx_graph import OPERATORS
from nncli.errors import UsageError

PAGE = (Path(__file__).parents[2] / "docs" / "checkpoints.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the Python of the page has run, and what it printed."""
    pytest.importorskip("onnx", reason="the page writes an ONNX file")
    pytest.importorskip("transformers", reason="the page writes a Hugging Face folder")
    folder, printed = tmp_path_factory.mktemp("documented"), io.StringIO()
    before = Path.cwd()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        with warnings.catch_warnings(), redirect_stdout(printed):
            warnings.simplefilter("ignore")
            for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
                if block.startswith("# model.py"):
                    Path("model.py").write_text(block)
                else:
                    exec(block, {})
    finally:
        os.chdir(before)
        sys.path.remove(str(folder))
        sys.modules.pop("model", None)
    return folder, printed.getvalue()


def test_the_python_of_the_page_prints_what_it_says(documented: tuple[Path, str]) -> None:
    kind, factors = documented[1].splitlines()[-2:]
    said = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)[-1].splitlines()
    assert kind.startswith(said[0])
    assert factors == said[1]


def test_every_checkpoint_that_the_page_names_on_a_command_line_resolves(
    documented: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(documented[0])
    lines = re.findall(r"^nncli (?:predict|capture) (.*)$", PAGE, re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        name, *rest = shlex.split(line)
        arch = rest[rest.index("--arch") + 1] if "--arch" in rest else None
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            model = resolve(name, arch)
        assert not model.module.training
        for one in told if name == "weights.pt" else ():
            assert f"nncli: warning: {one.message}" in PAGE


def test_the_error_of_the_page_is_the_one_that_comes(
    documented: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(documented[0])
    with pytest.raises(UsageError) as caught:
        resolve("weights.pt")
    assert f"nncli: error: {caught.value.message}\nhint: {caught.value.hint}" in PAGE


def test_the_page_lists_the_operators_of_onnx_there_are() -> None:
    listed = re.search(r"<!-- operators -->(.*?)<!-- end operators -->", PAGE, re.DOTALL)
    assert listed is not None
    assert re.findall(r"`(\w+)`", listed[1]) == sorted(OPERATORS)
    assert f"{len(OPERATORS)} operators" in PAGE
