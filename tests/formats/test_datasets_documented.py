"""The examples of docs/data.md run as they stand and give what the page says."""

import re
from pathlib import Path

import numpy as np
import pytest

from nncli.formats.datasets import load

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.fixture
def documented(tmp_path, monkeypatch, capsys):
    """A folder in which the Python of the page has run, and what it printed."""
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, {})
    return capsys.readouterr().out


def test_the_python_of_the_page_prints_what_it_says(documented):
    assert documented.splitlines()[-1] == "(100, 1, 8, 8) float32 10"
    assert "# (100, 1, 8, 8) float32 10" in PAGE


def test_the_files_of_the_page_are_read_as_it_says(documented):
    assert load("images.npz", split="test").x.shape == (15, 1, 28, 28)
    assert load("split.npz", split="test").x.shape == (20, 1, 28, 28)
    flowers = load("flowers.csv")
    assert flowers.x.shape == (4, 2)
    assert flowers.class_names == ("setosa", "versicolor", "virginica")
    assert flowers.factors["garden"].tolist() == ["north", "south", "south", "north"]
    assert load("texts.csv").text == ("a fine film", "a dull film")
    assert load("tokens.jsonl").mask.tolist() == [[True, True, False]]
    assert load("saved").y.tolist() == [0, 1, 1]


def test_the_class_sizes_of_the_digits_are_as_the_page_says():
    sizes = np.bincount(load("digits").y)
    assert f"ten classes of {sizes.min()} to {sizes.max()} images" in PAGE
