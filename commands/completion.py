"""`nncli completion`: the script that teaches a shell to complete our command lines."""

import click

from nncli import options
from nncli.parameters import Choice


@click.command(
    "completion", cls=options.Command, short_help="Print the completion script of a shell."
)
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]), metavar="bash|zsh|fish")
def command(shell: str) -> None:
    """Print the script that makes a shell complete commands, options, layers and metrics.

    The script asks nncli itself at every TAB, so it need not be renewed with nncli. Layer names
    come from the file that is already on the line: `nncli compare a.safetensors --layer <TAB>`.

    \b
    Examples:
      nncli completion bash > nncli.bash
      nncli completion zsh > _nncli
      nncli completion fish > nncli.fish

    Read the bash script from `~/.bashrc` (`source nncli.bash`), put the zsh one into a folder of
    `$fpath`, and the fish one into `~/.config/fish/completions`.
    """
    from click.shell_completion import get_completion_class

    from nncli.cli import COMPLETE, cli

    generator = get_completion_class(shell)
    assert generator is not None, shell
    click.echo(generator(cli, {}, "nncli", COMPLETE).source())
