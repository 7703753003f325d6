"""What every command keeps to, asked of each of them."""

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from nncli import options
from nncli.cli import cli
from nncli.formats.entry import Entry

WIDTH = 100


def tree_of(group, path=()):
    """Every command below a group, by its words: groups, and what they hold."""
    found = {}
    context = click.Context(group, info_name="nncli")
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found[" ".join([*path, name])] = command
        if isinstance(command, click.Group):
            found |= tree_of(command, (*path, name))
    return found


TREE = tree_of(cli)
GROUPS = {name for name, command in TREE.items() if isinstance(command, click.Group)}
COMMANDS = sorted(set(TREE) - GROUPS)


@dataclass(frozen=True)
class Case:
    """A small run of one command, in the folder that `studio` makes.

    Attributes:
        arguments: The command line, less where the output goes.
        inputs: The files among the arguments.
        writes: What comes out: `tensors`, `table`, `picture`, `text`, or a `folder`.
        suffix: How an output file is called.
    """

    arguments: tuple[str, ...]
    writes: str
    inputs: tuple[str, ...] = ()
    suffix: str = ""


CASES = {
    "attack": Case(
        (
            *("checkpoint.safetensors", "--limit", "20", "--epsilon", "0.05", "--steps", "4"),
            *("--restarts", "0", "--black-box", "20"),
        ),
        "table",
        ("checkpoint.safetensors",),
        ".parquet",
    ),
    "bias-variance": Case(("predictions.parquet",), "table", ("predictions.parquet",), ".parquet"),
    "capture": Case(
        ("checkpoint.safetensors", "--split", "test", "--limit", "40"),
        "tensors",
        ("checkpoint.safetensors",),
        ".safetensors",
    ),
    "cluster": Case(("pairs.parquet",), "table", ("pairs.parquet",), ".parquet"),
    "compare": Case(
        ("a.safetensors", "b.safetensors"), "table", ("a.safetensors", "b.safetensors"), ".parquet"
    ),
    "compare-test": Case(
        ("--scores", "runs/", "--pairs", "pairs.parquet"), "table", ("pairs.parquet",), ".parquet"
    ),
    "completion": Case(("bash",), "text"),
    "merge": Case(
        ("part-0.safetensors", "part-1.safetensors"),
        "tensors",
        ("part-0.safetensors", "part-1.safetensors"),
        ".safetensors",
    ),
    "plot": Case(("grid.parquet",), "picture", ("grid.parquet",), ".png"),
    "predict": Case(
        ("checkpoint.safetensors", "--split", "test", "--limit", "40"),
        "table",
        ("checkpoint.safetensors",),
        ".parquet",
    ),
    "probe": Case(
        ("a.safetensors", "--folds", "2", "--orders", "0"),
        "table",
        ("a.safetensors",),
        ".parquet",
    ),
    "show": Case(("a.safetensors",), "text", ("a.safetensors",)),
    "train": Case(("--arch", "mlp:64-8-10", "--steps", "3", "--seed", "0..1"), "folder"),
}
CASES["verify"] = Case(
    ("checkpoint.safetensors", "--limit", "3", "--epsilon", "0.0001", "--truth", "answer"),
    "table",
    ("checkpoint.safetensors",),
    ".parquet",
)
CASES["triage split"] = Case(
    (
        *("predictions.parquet", "--human", "ratings.parquet", "--order", "confidence"),
        *("--folds", "2", "--resamples", "9"),
    ),
    "table",
    ("predictions.parquet", "ratings.parquet"),
    ".parquet",
)
CASES["triage evaluate"] = Case(
    ("predictions.parquet", "--resamples", "50"), "table", ("predictions.parquet",), ".parquet"
)
CASES["triage second-opinion"] = Case(
    ("--ratings", "ratings.parquet", "--predictions", "predictions.parquet", "--folds", "3"),
    "table",
    ("predictions.parquet", "ratings.parquet"),
    ".parquet",
)
WITH_INPUTS = sorted(name for name, case in CASES.items() if case.inputs)
WITH_OUTPUT = sorted(name for name, case in CASES.items() if case.writes != "text")
TO_FILES = sorted(name for name in WITH_OUTPUT if CASES[name].writes != "folder")
TO_STREAMS = sorted(name for name, case in CASES.items() if case.writes != "folder")
ARTIFACTS = sorted(name for name, case in CASES.items() if case.writes in ("tensors", "table"))

# options that mean something else in one command than in the others, and why
DIFFERENT = {
    ("attack", "--attack"): "several at once, and they find a table, not answers",
    ("attack", "--norm"): "it may follow a sphere",
    ("attack", "--steps"): "steps of the attack, not of training",
    ("attack", "--epsilon"): "the data say which radii, where the user does not",
    ("attack", "--loss"): "what is driven up, not what is decomposed",
    ("attack", "--per-example"): "the nearest error, not parts of the risk",
    ("attack", "--target"): "a class to drive examples to, not what a probe reads",
    ("predict", "--target"): "as in attack",
    ("verify", "--epsilon"): "text, which says exactly what is meant",
    ("verify", "--norm"): "what can be proved",
    ("verify", "--method"): "how to prove, not how to cluster",
    ("train", "--seed"): "a series has many seeds",
    ("train", "--output"): "a series is a folder",
    ("train", "--batch-size"): "it changes the result, and so has a fixed default",
    ("verify", "--threads"): "most of the work is in pieces too small for several",
    ("train", "--threads"): "networks are trained side by side, with one thread each",
    ("compare", "--reduce"): "what was captured has fewer ways left than what is being captured",
    ("compare-test", "--reduce"): "as in compare",
    ("compare-test", "--permutations"): "networks are relabelled, not examples",
    ("probe", "--reduce"): "as in compare",
    ("probe", "--resamples"): "test examples are drawn, not networks",
    ("triage split", "--resamples"): "cases are drawn",
    ("triage split", "--groups"): "they are drawn together too",
    ("triage split", "--loss"): "of one model, not of a family",
    ("triage split", "--folds"): "they choose more than a penalty",
    ("triage split", "--columns"): "of cases",
    ("triage evaluate", "--against"): "a score, not a capture",
    ("triage evaluate", "--score"): "a column, not how good a network is",
    ("triage evaluate", "--resamples"): "as in triage split",
    ("triage evaluate", "--groups"): "nothing is fitted",
    ("triage evaluate", "--curve"): "over coverage",
    ("triage evaluate", "--points"): "of coverage, not of shares referred",
    ("triage second-opinion", "--score"): "one that it can compute, not a column",
    ("triage second-opinion", "--scores"): "an output",
    ("triage second-opinion", "--resamples"): "as in triage split",
    ("triage second-opinion", "--target"): "what readers differ in",
    ("triage second-opinion", "--columns"): "for groups alone",
    ("triage second-opinion", "--reader"): "one, behind two scores",
    ("triage second-opinion", "--groups"): "as in triage split",
    ("triage second-opinion", "--folds"): "as in triage split",
    ("triage second-opinion", "--predictions"): "an input",
    ("triage second-opinion", "--apply"): "scores, not readers of a layer",
    ("triage second-opinion", "--curve"): "over shares referred",
    ("probe", "--metric"): "it scores readers, and is no measure of similarity",
    (
        "predict",
        "--epsilon",
    ): "the radius of an attack, several at once; in train it is of training",
    ("predict", "--norm"): "the same",
    ("predict", "--format"): "predictions have a dense form too",
    ("show", "--rows"): "how many rows of a table to show, and not which examples are meant",
    ("show", "--format"): "a description is no table",
    ("plot", "--format"): "a picture is no table",
    ("cluster", "--metric"): "it chooses among the metrics of a file, not among those there are",
    ("plot", "--metric"): "it chooses among the metrics of a file, not among those there are",
}


STUDIO = """
nncli train --arch mlp:64-16-16-10 --steps 60 --seed 0..1 --save-steps 0,30 -o runs/
nncli capture runs/seed-0.safetensors --split test -o a.safetensors
nncli capture runs/seed-1.safetensors --split test -o b.safetensors
nncli capture runs/ --split test -o captures/
nncli compare a.safetensors b.safetensors -o grid.parquet
nncli compare a.safetensors b.safetensors --partial --rows 0:200 -o part-0.safetensors
nncli compare a.safetensors b.safetensors --partial --rows 200: -o part-1.safetensors
nncli compare captures/ -o pairs.parquet
nncli predict runs/ --split test --limit 50 -o predictions.parquet
"""


@pytest.fixture(scope="session")
def studio(tmp_path_factory, invoke):
    """A folder with the files that the examples of the help name, made by the commands."""
    import torch
    from safetensors.torch import load_file

    folder = tmp_path_factory.mktemp("studio")
    with contextlib.chdir(folder):
        for line in STUDIO.strip().splitlines():
            run_line(line, invoke)
    shutil.copy(folder / "runs" / "seed-0.safetensors", folder / "checkpoint.safetensors")
    shutil.copy(folder / "runs" / "seed-1.safetensors", folder / "net.safetensors")
    (folder / "never.txt").write_text("inputs in [0, 1]\nnever y[0] >= 1000\n")
    rate(folder / "predictions.parquet", folder / "ratings.parquet")
    torch.save(load_file(folder / "checkpoint.safetensors"), folder / "model.pt")
    return folder


def rate(predictions, target):
    """Three readers a case, who err on some."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from nncli.formats.tables import write_table

    read = pq.read_table(predictions, columns=["example_id", "label"]).slice(0, 50)
    rng, label = np.random.default_rng(0), np.repeat(read["label"].to_numpy(), 3)
    wrong = rng.random(len(label)) < np.repeat(rng.random(50) * 0.6, 3)
    rows = {
        "example_id": np.repeat(read["example_id"].to_numpy(), 3),
        "rater_id": np.tile(["ann", "bob", "eve"], 50),
        "label": np.where(wrong, (label + 1) % 10, label),
    }
    write_table(str(target), pa.table(rows), Entry("table"))


def run_line(line, invoke):
    """Run a line of commands joined by `|`, the last perhaps with `> FILE`, without a shell.

    One process, so that torch is imported once; tests/pipelines has shells and real pipes.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|>")
    lexer.whitespace_split = True
    words = list(lexer)
    passed = b""
    while words:
        end = words.index("|") if "|" in words else len(words)
        stage, words = words[:end], words[end + 1 :]
        target = stage.pop() if ">" in stage else None
        program, *arguments = stage[: stage.index(">")] if target else stage
        assert program == "nncli", f"`{program}` in {line}"
        result = invoke(*arguments, input=passed)
        assert result.exit_code == 0, f"{line}\n{result.stderr}"
        assert "error" not in result.stderr, f"{line}\n{result.stderr}"
        passed = result.stdout_bytes
        if target:
            Path(target).write_bytes(passed)


@pytest.fixture
def copy(studio, tmp_path):
    """A copy of the studio that a test may spoil."""
    folder = tmp_path / "copy"
    shutil.copytree(studio, folder)
    return folder


def command_of(name):
    return TREE[name]


def help_of(name, invoke):
    return invoke(*name.split(), "--help", code=0, env={"COLUMNS": "300"}).stdout


def flags_of(param):
    return [*param.opts, *param.secondary_opts]


def examples_of(name, invoke):
    """The command lines under `Examples:` in the help."""
    text = help_of(name, invoke)
    block = re.search(r"\n  Examples:\n((?:    .*\n)+)", text)
    assert block, f"`nncli {name} --help` has no examples"
    joined = re.sub(r"\\\n *", "", block[1])
    return [line.strip() for line in joined.splitlines() if line.strip()]


def test_every_command_has_a_case():
    assert set(CASES) == set(COMMANDS)


@pytest.mark.parametrize("name", TREE)
def test_help_fits_a_hundred_columns_and_says_what_the_table_says(name, invoke):
    lines = help_of(name, invoke).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[0].startswith(f"Usage: nncli {name} ")
    assert command_of(name).name == name.split()[-1]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_and_explains_every_option_and_argument(name, invoke):
    text = help_of(name, invoke)
    for param in command_of(name).params:
        if isinstance(param, click.Option):
            assert param.help, f"{name} {param.opts}"
            for flag in flags_of(param):
                assert re.search(rf"(^|\s){re.escape(flag)}([\s,]|$)", text, re.M), flag
        else:
            assert param.make_metavar(click.Context(command_of(name))).strip("[].") in text


@pytest.mark.parametrize("name", TREE)
def test_examples_use_the_command(name, invoke):
    examples = examples_of(name, invoke)
    assert len(examples) >= 2
    assert all(re.search(rf"\bnncli {name}\b", line) for line in examples)


@pytest.mark.parametrize("name", COMMANDS)
def test_short_options_are_few_and_the_same_everywhere(name):
    flags = {flag for param in command_of(name).params for flag in param.opts}
    short = {flag for flag in flags if re.fullmatch("-.", flag)}
    assert short <= {"-o", "-f", "-j", "-q", "-v"}
    for flag, long in (("-o", "--output"), ("-f", "--format"), ("-j", "--jobs")):
        assert (flag in flags) == (long in flags)


def described(param):
    kind = param.type
    limits = {key: value for key, value in vars(kind).items() if not key.startswith("__")}
    return type(kind), str(limits), param.multiple, param.metavar, param.help


def test_options_of_the_same_name_mean_the_same_everywhere():
    found = {}
    for name in COMMANDS:
        for param in command_of(name).params:
            if isinstance(param, click.Option):
                flag = max(param.opts, key=len)
                if (name, flag) not in DIFFERENT:
                    found.setdefault(flag, {}).setdefault(str(described(param)), []).append(name)
    disagreements = {flag: list(ways.values()) for flag, ways in found.items() if len(ways) > 1}
    assert disagreements == {}


def test_what_differs_on_purpose_is_still_there():
    for name, flag in DIFFERENT:
        assert flag in [flag for param in command_of(name).params for flag in param.opts]


@pytest.mark.parametrize("name", TO_FILES)
def test_an_output_is_given_by_the_shared_option(name):
    given = {flag: param for param in command_of(name).params for flag in param.opts}
    assert given["-o"].type is options.artifact
    assert given["--output"].default == "-"
    assert "--overwrite" in given


@pytest.fixture
def run(invoke, studio, monkeypatch):
    """Run the case of a command inside this process."""
    monkeypatch.chdir(studio)

    def start(name, *, output=None, code=0, arguments=None, **settings):
        words = [*name.split(), *(arguments or CASES[name].arguments)]
        return invoke(*words, *(["-o", output] if output else []), code=code, **settings)

    return start


def content(path):
    """The bytes of a file, or of every file in a folder."""
    if path.is_file():
        return path.read_bytes()
    return {one.name: one.read_bytes() for one in sorted(path.iterdir())}


@pytest.mark.parametrize("name", WITH_OUTPUT)
def test_two_runs_write_the_same_bytes(name, run, tmp_path):
    outputs = [tmp_path / f"{n}{CASES[name].suffix}" for n in (1, 2)]
    for output in outputs:
        result = run(name, output=output)
        assert result.stdout_bytes == b""
        assert result.stderr == ""
    assert content(outputs[0]) == content(outputs[1])


@pytest.mark.parametrize("name", TO_STREAMS)
def test_standard_output_carries_the_same_bytes_as_a_file(name, run, tmp_path):
    piped = run(name)
    assert piped.stderr == ""
    if name in TO_FILES:
        output = tmp_path / f"out{CASES[name].suffix}"
        run(name, output=output)
        assert piped.stdout_bytes == output.read_bytes()


@pytest.mark.parametrize("name", WITH_OUTPUT)
def test_a_run_replaces_what_a_run_wrote(name, run, tmp_path):
    output = tmp_path / f"out{CASES[name].suffix}"
    for _ in range(2):
        run(name, output=output)


@pytest.mark.parametrize("name", TO_FILES)
def test_a_file_of_somebody_else_is_replaced_only_on_demand(name, run, tmp_path):
    output = tmp_path / f"out{CASES[name].suffix}"
    output.write_text("precious\n")
    result = run(name, output=output, code=3)
    assert "exists and was not written by nncli" in result.stderr
    assert output.read_text() == "precious\n"
    arguments = (*CASES[name].arguments, "--overwrite")
    run(name, output=output, arguments=arguments)
    assert output.read_bytes() != b"precious\n"


@pytest.mark.parametrize("name", TO_FILES)
def test_an_output_that_cannot_be_is_found_before_the_work(name, run, tmp_path):
    output = tmp_path / "nowhere" / f"out{CASES[name].suffix}"
    result = run(name, output=output, code=3)
    assert f"mkdir -p {output.parent}" in result.stderr


def entry_in(content_of_file):
    start = content_of_file.find(b'{\\"command\\"')
    if start >= 0:  # JSON inside the JSON of a safetensors header
        text = content_of_file[start - 1 :].decode("utf-8", "replace")
        return Entry.from_json(json.JSONDecoder().raw_decode(text)[0], source="x")
    import io

    import pyarrow.parquet as pq

    metadata = pq.read_metadata(io.BytesIO(content_of_file)).metadata
    return Entry.from_json(metadata[b"nncli"].decode(), source="x")


@pytest.mark.parametrize("name", ARTIFACTS)
def test_an_artifact_names_its_inputs_with_their_digests_and_their_own_lineage(name, run, studio):
    made = entry_in(run(name).stdout_bytes)
    named = {one["name"]: one for one in made.inputs}
    for file in CASES[name].inputs:
        bytes_of_file = (studio / file).read_bytes()
        assert named[file]["digest"] == f"sha256:{hashlib.sha256(bytes_of_file).hexdigest()}"
        assert named[file]["entry"] == json.loads(
            json.dumps(entry_in(bytes_of_file).as_parent(), sort_keys=True)
        )
    assert made.command == (*name.split(), *CASES[name].arguments)
    assert str(studio) not in made.to_json()


def anonymous(entry):
    """An entry without the names of its inputs, which a pipe cannot know."""
    text = entry.to_json()
    for case in CASES.values():
        for file in case.inputs:
            text = text.replace(f'"{file}"', '"-"').replace(f'"{Path(file).stem}"', '"-"')
    return text


@pytest.mark.parametrize("name", WITH_INPUTS)
def test_standard_input_is_as_good_as_a_file(name, run, studio):
    case = CASES[name]
    whole = run(name).stdout_bytes
    for file in case.inputs:
        arguments = ["-" if word == file else word for word in case.arguments]
        with (studio / file).open("rb") as stream:
            piped = run(name, arguments=arguments, input=stream.read())
        if case.writes in ("tensors", "table"):
            assert anonymous(entry_in(piped.stdout_bytes)) == anonymous(entry_in(whole))
            assert values(piped.stdout_bytes) == values(whole)
        elif case.writes == "picture":
            assert piped.stdout_bytes.startswith(b"\x89PNG")
        else:
            assert piped.stdout_bytes.replace(b"-", file.encode(), 1)[:20] == whole[:20]


def values(artifact):
    """What an artifact holds, less the names that models have after their files."""
    if artifact.startswith(b"PAR1"):
        import io

        import pyarrow.parquet as pq

        data = pq.read_table(io.BytesIO(artifact))
        return data.drop_columns([one for one in ("model_id",) if one in data.column_names])
    length = int.from_bytes(artifact[:8], "little")
    return artifact[8 + length :]


@pytest.mark.parametrize("name", WITH_INPUTS)
def test_a_process_substitution_is_as_good_as_standard_input(name, run, studio):
    file = CASES[name].inputs[0]

    def outcome(word, **settings):
        arguments = [word if one == file else one for one in CASES[name].arguments]
        return run(name, arguments=arguments, **settings).stdout_bytes

    whole = (studio / file).read_bytes()
    reading, writing = os.pipe()  # which is what `<(...)` is: the name of a pipe

    def feed():
        with open(writing, "wb") as pipe:
            pipe.write(whole)

    writer = threading.Thread(target=feed)
    writer.start()
    substituted = outcome(f"/dev/fd/{reading}")
    writer.join()
    os.close(reading)
    if CASES[name].writes != "text":  # a description may say what it was given
        assert substituted == outcome("-", input=whole)


@pytest.mark.parametrize("name", WITH_INPUTS)
@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
def test_a_truncated_input_is_3_in_one_line_and_leaves_no_file(name, share, run, studio, tmp_path):
    case = CASES[name]
    for file in case.inputs:
        spoiled = tmp_path / file
        whole = (studio / file).read_bytes()
        spoiled.write_bytes(whole[: int(len(whole) * share)])
        arguments = [str(spoiled) if word == file else word for word in case.arguments]
        output = tmp_path / "out" if name in WITH_OUTPUT else None
        result = run(name, output=output, arguments=arguments, code=3)
        first, *hints = result.stderr.splitlines()
        assert first.startswith("nncli: error: ")
        assert str(spoiled) in first
        assert len(hints) <= 1
        assert result.stdout_bytes == b""
        assert {one.name for one in tmp_path.iterdir()} == {file}
        spoiled.unlink()


def foreign(folder):
    """Sound and unsound files of many kinds, none of them made by the command under test."""
    import gzip
    import pickle

    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    save_file({}, folder / "no-tensors")
    save_file({"x": np.zeros((0, 3), np.float32)}, folder / "no-rows")
    save_file({"x": np.array(1.0)}, folder / "scalar")
    save_file({"x": np.zeros((4, 3), np.float32), "y": np.zeros(5)}, folder / "ragged")
    save_file({"x": np.full((4, 3), np.nan, np.float32)}, folder / "nan")
    save_file({"x": rng.integers(0, 9, (4, 3))}, folder / "integers", {"nncli": "{}"})
    np.save(folder / "array.npy", rng.random((4, 3)))
    np.savez(folder / "arrays.npz", x=rng.random((4, 3)), name=np.array(["a"]))
    np.savez(folder / "objects.npz", x=np.array([{}, []], dtype=object))
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", None]}), folder / "table.parquet")
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), folder / "no-rows.parquet")
    pq.write_table(pa.table({}), folder / "no-columns.parquet")
    (folder / "table.csv").write_text("a,b\n1,x\n2,\n")
    (folder / "table.json").write_text('[{"a": 1}, {"a": [2]}]')
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "object.json").write_text('{\n "a": {"b": 1}\n}')
    (folder / "lines.jsonl").write_text('{"a": 1}\n{"a": null}\n')
    (folder / "log").write_text("Job <7> is submitted.\n")
    (folder / "pickle").write_bytes(pickle.dumps({"a": [1, 2]}))
    (folder / "zip").write_bytes(b"PK\x03\x04" + bytes(100))
    (folder / "gzip").write_bytes(gzip.compress(b"x"))
    (folder / "png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    (folder / "onnx").write_bytes(b"\x08\x07\x12\x04test" + bytes(20))
    (folder / "bytes").write_bytes(rng.bytes(1000))
    (folder / "empty-folder").mkdir()
    (folder / "loop").symlink_to("loop")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("name", WITH_INPUTS)
def test_whatever_it_is_given_it_has_an_answer_or_one_clear_error(name, run, studio, tmp_path):
    case = CASES[name]
    bugs = []
    kinds = [studio / one for one in ("a.safetensors", "grid.parquet", "model.pt", "runs")]
    for path in [*foreign(tmp_path), *kinds, studio / "runs" / "manifest.parquet"]:
        arguments = [str(path) if word == case.inputs[0] else word for word in case.arguments]
        result = run(name, arguments=arguments, code=None)
        lines = [one for one in result.stderr.splitlines() if not one.startswith("nncli: warning:")]
        clear = len(lines) <= 2 and (not lines or path.name.split(".")[0] in lines[0])
        if result.exit_code not in (0, 2, 3, 4) or (result.exit_code and not (lines and clear)):
            bugs.append((path.name, result.exit_code, lines))
    assert bugs == []


@pytest.mark.parametrize("name", WITH_INPUTS)
def test_a_missing_input_is_3_and_names_what_is_near(name, run, studio):
    case = CASES[name]
    file = case.inputs[0]
    arguments = [f"x{file}" if word == file else word for word in case.arguments]
    result = run(name, arguments=arguments, code=3)
    assert f"there is no file `x{file}`" in result.stderr
    assert f"did you mean `{file}`" in result.stderr


@pytest.mark.parametrize("name", WITH_INPUTS)
def test_an_empty_standard_input_points_at_the_command_before_the_pipe(name, run, studio):
    case = CASES[name]
    arguments = ["-" if word == case.inputs[0] else word for word in case.arguments]
    result = run(name, arguments=arguments, code=3, input=b"")
    assert "standard input is empty" in result.stderr
    assert "pipefail" in result.stderr


@pytest.mark.parametrize("name", sorted(n for n, case in CASES.items() if case.writes == "tensors"))
def test_tensors_are_refused_on_a_terminal(name, terminal, studio):
    code, shown = terminal(
        sys.executable, "-m", "nncli", *name.split(), *CASES[name].arguments, cwd=studio
    )
    assert code == 3
    assert "refusing to write a binary artifact to a terminal" in shown
    assert "\0" not in shown


@pytest.mark.parametrize(
    "name", sorted(n for n, case in CASES.items() if case.writes in ("table", "picture", "text"))
)
def test_a_terminal_gets_text(name, terminal, studio):
    code, shown = terminal(
        sys.executable, "-m", "nncli", *name.split(), *CASES[name].arguments, cwd=studio,
        environment={"NO_COLOR": "1"},
    )  # fmt: skip
    assert code == 0
    assert len(shown.splitlines()) > 1
    assert "\x1b[3" not in shown
    assert "PAR1" not in shown


@pytest.mark.parametrize("name", TO_STREAMS)
def test_a_reader_that_goes_away_ends_it_silently_with_141(name, shell, studio):
    arguments = shlex.join(CASES[name].arguments)
    # the reader is gone before the first byte, however short the output is
    line = f"{{ sleep 0.3; nncli {name} {arguments}; echo $? >&2; }} | true"
    done = shell(line, studio)
    assert done.stderr == b"141\n"


@pytest.mark.parametrize("name", TREE)
def test_every_example_in_the_help_runs_as_it_is_written(name, invoke, copy):
    for line in examples_of(name, invoke):
        if name == "train":  # which would find other series in its way
            shutil.rmtree(copy)
            copy.mkdir()
        with contextlib.chdir(copy):
            run_line(line, invoke)


def test_examples_are_not_few(invoke):
    assert sum(len(examples_of(name, invoke)) for name in COMMANDS) > 2 * len(COMMANDS)


def test_the_studio_is_where_the_tests_say(studio):
    assert {case for one in CASES.values() for case in one.inputs} <= {
        str(path.relative_to(studio)) for path in Path(studio).rglob("*")
    }
