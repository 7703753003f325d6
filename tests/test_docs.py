"""The pages: one a command, their generated parts up to date, their links alive."""

import importlib.util
import re
from pathlib import Path

import click
import pytest

from nncli.cli import COMMANDS, cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


GROUPS = [name for name in COMMANDS if isinstance(cli.get_command(None, name), click.Group)]
GROUPED = [f"{name} {one}" for name in GROUPS for one in cli.get_command(None, name).table]


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [*COMMANDS, *GROUPED])
def test_every_command_has_a_page_with_its_own_help(name):
    page = (ROOT / "docs" / f"{name.replace(' ', '-')}.md").read_text()
    assert f"<!-- help: {name} -->" in page


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_says_which_question_every_command_answers(name):
    assert f"| [`{name}`](docs/{name}.md) |" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_parts_are_up_to_date(page, generate):
    text = page.read_text()
    assert generate.filled(text) == text, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_are_alive(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
