import json
import os

import click
import numpy as np
import pytest
from click.testing import CliRunner

from nncli import options
from nncli.errors import UsageError
from nncli.formats.entry import Entry
from nncli.formats.tensors import open_tensors, write_tensors
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin
from nncli.options.progress import progress
from nncli.options.threads import THREAD_VARIABLES
from nncli.parameters import Choice


@click.command("study", cls=options.Command)
@click.argument("first", type=options.artifact)
@click.argument("others", type=options.artifact, nargs=-1)
@options.metric("nncli.cli:COMMANDS", "show")
@options.layers
@options.limit
@options.seed
@options.device
@click.option("--grid/--same", default=True)
@click.option("--strict", is_flag=True)
@click.option("--between", nargs=2, type=float)
@options.jobs
@options.threads
@options.output
@options.table_format
@options.overwrite
@click.pass_context
def study(ctx, **given):
    """Record the command line."""
    click.echo(json.dumps(lineage.command_line(ctx)))


def recorded(*arguments, **settings):
    result = CliRunner().invoke(study, list(arguments), catch_exceptions=False, **settings)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_only_what_was_given_is_recorded_in_the_order_of_the_help():
    assert recorded("a") == ["study", "a"]
    assert recorded("--seed", "3", "a", "--limit", "5") == [
        *["study", "a", "--limit", "5", "--seed", "3"]
    ]


def test_every_repetition_and_flag_is_recorded_under_its_long_name():
    assert recorded("a", "--layer", "x", "--layer", "y", "--same", "--strict") == [
        *["study", "a", "--layer", "x", "--layer", "y", "--same", "--strict"]
    ]
    assert recorded("a", "--grid", "--between", "1", "2.5") == [
        *["study", "a", "--grid", "--between", "1.0", "2.5"]
    ]
    assert recorded("a", "b", "c") == ["study", "a", "b", "c"]


def test_where_and_how_fast_the_work_went_is_not_recorded():
    unrecorded = ["-o", "b", "--overwrite", "-q", "-v", "-j", "2", "--threads", "1", "-f", "csv"]
    assert recorded("a", *unrecorded) == ["study", "a"]


def test_a_device_from_the_environment_is_recorded_as_if_it_were_given():
    assert recorded("a", env={"NNCLI_DEVICE": "cpu"}) == recorded("a", "--device", "cpu")


def test_pipes_are_recorded_alike_and_absolute_folders_not_at_all():
    assert recorded("/dev/fd/63", "/proc/self/fd/3", "/dev/stdin", "-") == [
        *["study", "-", "-", "-", "-"]
    ]
    assert recorded("/home/somebody/runs/a.safetensors", "runs/b.safetensors") == [
        *["study", "a.safetensors", "runs/b.safetensors"]
    ]


def test_a_file_name_that_is_no_text_can_be_recorded():
    name = os.fsdecode(b"caf\xe9.npz")
    assert lineage.portable(name) == "caf\ufffd.npz"
    Entry(kind="x", command=(lineage.portable(name),)).to_json().encode()


class Made:
    def __init__(self, name, entry=None):
        self.name, self.digest, self.entry = name, f"sha256:{name}", entry


def test_an_entry_names_its_inputs_with_digest_and_lineage():
    parent = Entry(kind="checkpoint", command=("train",), seed=1, facts={"arch": "mlp"})
    context = click.Context(study, info_name="study")
    with context:
        made = lineage.entry(
            "table", inputs=[Made("/x/a", parent), Made("b")], seed=7, pairs="grid"
        )
    assert (made.kind, made.schema, made.seed, made.facts) == ("table", 1, 7, {"pairs": "grid"})
    assert made.inputs == (
        {"name": "a", "digest": "sha256:/x/a", "entry": parent.as_parent()},
        {"name": "b", "digest": "sha256:b"},
    )


def test_a_choice_offers_what_begins_like_the_word_and_rejects_with_the_nearest():
    choice = Choice(["parquet", "csv", "json", "jsonl"])
    offered = [one.value for one in choice.shell_complete(None, None, "js")]
    assert offered == ["json", "jsonl"]
    with pytest.raises(click.BadParameter, match="`cvs` is not known; closest: `csv`"):
        choice.convert("cvs", None, None)
    assert choice.convert("csv", None, None) == "csv"


def test_a_choice_from_a_registry_is_imported_only_when_it_is_needed(python):
    script = """
import sys
from nncli.parameters import Choice
choice = Choice("nncli.formats.tables:FORMATS")
assert "pyarrow" not in sys.modules
assert choice.convert("csv", None, None) == "csv"
assert "pyarrow" in sys.modules
"""
    assert python(script).stderr == b""


def complete(words, incomplete="", command=study):
    """What the shell would offer for `nncli study WORDS INCOMPLETE`."""
    from click.shell_completion import ShellComplete

    shell = ShellComplete(command, {}, "study", "_STUDY_COMPLETE")
    return [item.value for item in shell.get_completions(words, incomplete)]


def test_layers_of_the_file_on_the_line_are_offered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arrays = {"block.0": np.zeros((2, 3)), "head": np.zeros(2), "@label": np.zeros(2)}
    write_tensors("a", arrays, Entry("activations"))
    assert complete(["a", "--layer"]) == ["block.0", "head"]
    assert complete(["a", "--seed", "3", "--layer"], "he") == ["head"]
    assert complete(["nowhere", "a", "--layer"], "b") == ["block.0"]
    assert complete(["--layer"]) == []
    assert complete(["nowhere", "--layer"]) == []


def test_a_command_that_runs_a_network_is_offered_its_modules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [
        "embedding.weight",
        "block.0.up.weight",
        "block.0.up.bias",
        "block.0.scale",
        "head.0.w",
    ]
    write_tensors("a", {name: np.zeros(2) for name in names}, Entry("checkpoint"))

    @click.command("run", cls=options.Command)
    @click.argument("checkpoint", type=options.artifact)
    @options.arch
    @options.layers
    def runs(**given):
        """Run a network."""

    expected = ["block.0", "block.0.up", "embedding", "head.0"]
    assert sorted(complete(["a", "--layer"], command=runs)) == expected


@pytest.mark.parametrize("content", [b"", b"text", b"\x20\0\0\0\0\0\0\0{", b"[" * 100_000])
def test_a_file_that_is_no_tensors_offers_nothing(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_bytes(content)
    assert complete(["a", "--layer"]) == []


def test_two_inputs_cannot_both_be_standard_input():
    demand_one_stdin("-", "a", "b")
    with pytest.raises(UsageError, match="only one input can be standard input"):
        demand_one_stdin("-", "a", "-")


def test_threads_are_set_before_the_libraries_read_them():
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    try:
        recorded("a", "--threads", "3")
        assert {os.environ[name] for name in THREAD_VARIABLES} == {"3"}
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        import torch

        torch.set_num_threads(1)


def test_importing_the_options_is_as_cheap_as_click(python):
    script = """
import sys
import nncli.options
heavy = {"torch", "numpy", "scipy", "pyarrow", "datasets", "safetensors", "rich", "tqdm", "json"}
print(sorted(heavy & set(sys.modules)))
"""
    assert python(script).stdout == b"[]\n"


def test_progress_passes_the_items_through_where_there_is_no_terminal():
    items = [1, 2, 3]
    assert progress(items, label="x") is items


def test_what_is_recorded_is_what_the_artifact_says(tmp_path):
    with click.Context(study, info_name="study"):
        write_tensors(str(tmp_path / "a"), {"x": np.zeros(2)}, lineage.entry("activations"))
    with open_tensors(str(tmp_path / "a")) as file:
        assert file.entry.command == ("study",)
        assert file.entry.version
