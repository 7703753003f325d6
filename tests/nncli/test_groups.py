"""Groups of commands: found without being imported, and as helpful as the root."""

import click
import pytest

from nncli.cli import COMMANDS, cli
from nncli.groups import Group

GROUPS = [name for name in COMMANDS if isinstance(cli.get_command(None, name), Group)]


@pytest.fixture(params=GROUPS)
def group(request):
    return cli.get_command(None, request.param)


def test_there_are_groups():
    assert "triage" in GROUPS


def test_the_help_lists_what_is_in_a_group_with_its_summary(group, invoke):
    lines = [line.split() for line in invoke(group.name, "--help", code=0).stdout.splitlines()]
    for name, one in group.table.items():
        assert [name, *one.summary.split()] in lines


def test_the_summary_in_the_table_is_the_first_line_of_the_help(group):
    for name, one in group.table.items():
        first = group.get_command(None, name).help.splitlines()[0]
        assert first == one.summary


def test_a_group_alone_is_wrong_usage_and_shows_its_help(group, process):
    done = process(group.name)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(f"Usage: nncli {group.name} ".encode())


def test_a_mistyped_command_is_told_what_it_may_have_been(group, invoke):
    name = next(iter(group.table))
    result = invoke(group.name, name[:-1], code=2)
    error, hint = result.stderr.splitlines()
    assert f"there is no command `{group.name} {name[:-1]}`; closest: `{name}`" in error
    assert hint == f"hint: `nncli {group.name} --help` lists the commands"


def test_an_unknown_option_of_a_group_is_wrong_usage(group, invoke):
    assert "no such option `--hlep`" in invoke(group.name, "--hlep", code=2).stderr


@pytest.mark.parametrize("start", ["", "s"])
def test_what_is_in_a_group_is_offered_at_tab(group, start):
    with click.Context(group, info_name=group.name) as context:
        offered = [one.value for one in group.shell_complete(context, start)]
    assert offered == [name for name in group.table if name.startswith(start)]


def test_a_shell_is_offered_the_commands_of_a_group_and_their_options(process):
    def offered(words, place):
        told = {"COMP_WORDS": words, "COMP_CWORD": place, "_NNCLI_COMPLETE": "bash_complete"}
        return process(environment=told).stdout.decode().split()

    assert "plain,split" in offered("nncli triage ", "2")
    assert offered("nncli triage split --ord", "3") == ["plain,--order"]
    assert "plain,oracle" in offered("nncli triage split --order ", "4")


def test_the_help_of_a_group_imports_no_command_of_it(python):
    script = """
import sys
from nncli.cli import main
sys.argv[1:] = ["triage", "--help"]
try:
    main()
except SystemExit:
    pass
print([one for one in sys.modules if one.startswith("nncli.commands.triage.")])
"""
    assert python(script).stdout.decode().splitlines()[-1] == "[]"


def test_the_entry_of_an_artifact_has_the_whole_path_of_its_command():
    from nncli.options import lineage

    root = click.Context(cli, info_name="nncli")
    command = click.Command("inner", callback=lambda: None)
    outer = click.Context(cli.get_command(root, "triage"), parent=root, info_name="triage")
    assert lineage.command_line(click.Context(command, parent=outer, info_name="inner")) == [
        "triage",
        "inner",
    ]
    assert lineage.command_line(click.Context(command, info_name="inner")) == ["inner"]
