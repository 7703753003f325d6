"""Lists of instances and answers, in the form of the verification competitions."""

import gzip
import math

import numpy as np
import pytest

from nncli.errors import ArtifactError
from nncli.formats.competition_results import Answer, answer_text, write_answer
from nncli.formats.instances import read_instances


@pytest.fixture
def folder(tmp_path):
    for name in ("nets/a.onnx", "nets/b.onnx.gz", "props/p.vnnlib", "props/q.vnnlib.gz"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def listed(folder, text, name="instances.csv"):
    path = folder / name
    path.write_text(text)
    return read_instances(str(path))


def test_rows_name_files_relative_to_the_list(folder, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    (row,) = listed(folder, "nets/a.onnx,props/p.vnnlib,116\n").rows
    assert (row.network, row.property) == (folder / "nets/a.onnx", folder / "props/p.vnnlib")
    assert (row.seconds, row.line, row.expected) == (116, 1, None)
    assert row.name == ("nets/a.onnx", "props/p.vnnlib")


def test_packed_and_unpacked_files_stand_for_each_other(folder):
    text = "./nets/a.onnx.gz,props/q.vnnlib,1.5\nnets/b.onnx,props/q.vnnlib.gz,1e1\n"
    first, second = listed(folder, text).rows
    assert (first.network.name, first.property.name) == ("a.onnx", "q.vnnlib.gz")
    assert (second.network.name, second.property.name) == ("b.onnx.gz", "q.vnnlib.gz")
    assert (first.seconds, second.seconds) == (1.5, 10)


def test_blanks_comments_headers_and_quotes_are_passed_over(folder):
    text = (
        "\ufeffonnx,vnnlib,timeout,expected\r\n\r\n# one\r\n"
        ' nets/a.onnx , "props/p.vnnlib",60,unsat\r\n  ,,\r\nnets/a.onnx,props/p.vnnlib,5,sat\r\n'
    )
    rows = listed(folder, text).rows
    assert [(row.line, row.seconds, row.expected) for row in rows] == [
        (4, 60, "unsat"),
        (6, 5, "sat"),
    ]


def test_a_packed_list_is_read(folder):
    path = folder / "instances.csv.gz"
    path.write_bytes(gzip.compress(b"nets/a.onnx,props/p.vnnlib,1\n"))
    assert len(read_instances(str(path)).rows) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nets/a.onnx,props/p.vnnlib\n", "line 1: expected `NETWORK,PROPERTY,SECONDS`, found 2"),
        ("nets/a.onnx,,7\n", "line 1: expected `NETWORK,PROPERTY,SECONDS`"),
        ("\nnets/a.onnx,props/p.vnnlib,soon\n", "line 2: the time-out is `soon`"),
        ("nets/a.onnx,props/p.vnnlib,0\n", "the time-out is `0`"),
        ("nets/a.onnx,props/p.vnnlib,nan\n", "the time-out is `nan`"),
        ("nets/a.onnx,props/p.vnnlib,inf\n", "the time-out is `inf`"),
        ("nets/c.onnx,props/p.vnnlib,1\n", "line 1: there is no file `"),
        ("nets/a.onnx,props/r.vnnlib.gz,1\n", "line 1: there is no file `"),
        ("# nothing\n", "lists no instances"),
        ("onnx,vnnlib,timeout\n", "lists no instances"),
    ],
)
def test_a_row_that_cannot_be_run_is_refused_with_its_line(folder, text, words):
    with pytest.raises(ArtifactError) as caught:
        listed(folder, text)
    assert words in caught.value.message


def test_a_counterexample_is_written_as_the_competitions_read_it(tmp_path):
    target = tmp_path / "answer.txt"
    write_answer(str(target), Answer("violated", (0.25, -1.0), (3.5,)))
    assert target.read_text() == "sat\n((X_0 0.25)\n(X_1 -1.0)\n(Y_0 3.5))\n"


@pytest.mark.parametrize(
    ("verdict", "word"),
    [("verified", "unsat"), ("unknown", "unknown"), ("timeout", "timeout"), ("error", "error")],
)
def test_other_answers_are_one_word(tmp_path, verdict, word):
    target = tmp_path / "answer.txt"
    write_answer(str(target), Answer(verdict))
    assert target.read_text() == f"{word}\n"


def test_numbers_of_float32_come_back_as_they_were(tmp_path, read_answer):
    rng = np.random.default_rng(0)
    drawn = (rng.standard_normal(50) * 10.0 ** rng.integers(-30, 30, 50)).astype(np.float32)
    numbers = (*map(float, drawn), 0.0, float(np.float32(1e-45)), float(np.float32(0.1)))
    target = tmp_path / "answer.txt"
    write_answer(str(target), Answer("violated", numbers, numbers[::-1]))
    assert read_answer(target) == ("sat", numbers, numbers[::-1])


def test_a_negative_zero_keeps_its_sign(tmp_path, read_answer):
    target = tmp_path / "answer.txt"
    write_answer(str(target), Answer("violated", (-0.0,), (1.0,)))
    assert math.copysign(1, read_answer(target)[1][0]) == -1


def test_an_answer_is_replaced_by_another_and_nothing_else_is(tmp_path):
    target = tmp_path / "answer.txt"
    write_answer(str(target), Answer("unknown"))
    write_answer(str(target), Answer("verified"))
    assert target.read_text() == "unsat\n"
    target.write_text("my notes\n")
    with pytest.raises(ArtifactError, match="exists and"):
        write_answer(str(target), Answer("verified"))
    write_answer(str(target), Answer("verified"), overwrite=True)
    assert answer_text(Answer("verified")) == target.read_text()
