"""How an artifact was made, as a tree: its command, its inputs, their commands, and so on."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nncli.formats.entry import Entry
from nncli.formats.text_parts import DIGEST, DIGEST_LETTERS, printable

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

MOST_INPUTS, FIRST_INPUTS = 5, 3  # of more inputs than the one number, the other number is shown


def lineage(entry: Entry, *, everything: bool = False) -> "Tree":
    """The commands and inputs that an artifact goes back to.

    Args:
        entry: What the artifact says of itself.
        everything: Show every input, also where they are many.

    Returns:
        A tree: the command at the root, a branch for each input.
    """
    from rich.tree import Tree

    tree = Tree(_made_by(entry.to_dict(), ""), guide_style="dim")
    _grow(tree, entry.inputs, entry.version, None if everything else MOST_INPUTS)
    return tree


def _grow(
    tree: "Tree", inputs: Sequence[Mapping[str, Any]], version: str, most: int | None
) -> None:
    from rich.text import Text

    rest = len(inputs) - FIRST_INPUTS if most is not None and len(inputs) > most else 0
    for one in inputs[:FIRST_INPUTS] if rest else inputs:
        digest = str(one.get("digest", "")).removeprefix(DIGEST)[:DIGEST_LETTERS]
        line = Text.assemble((printable(one.get("name", "?")), "bold"), (f" {digest}", "dim"))
        made = one.get("entry")
        if isinstance(made, Mapping):
            line.append(f" {printable(made.get('kind', ''))}", "cyan")
            branch = tree.add(line.append(": ").append(_made_by(made, version)))
            inside = [part for part in _listed(made, "inputs") if isinstance(part, Mapping)]
            _grow(branch, inside, version, most)
        else:
            tree.add(line)
    if rest:
        tree.add(Text(f"and {rest:,} more; `--all` lists them", style="yellow"))


def _made_by(entry: Mapping[str, Any], known: str) -> "Text":
    """The command that made something, with the version of nncli if it is not the known one."""
    import shlex

    from rich.text import Text

    words = shlex.join(printable(word) for word in _listed(entry, "command"))
    line = Text().append(f"nncli {words}" if words else "made without a command", "green")
    said = [f"nncli {entry['version']}"] if entry.get("version", known) != known else []
    if entry.get("seed") is not None:
        said.append(f"seed {entry['seed']}")
    return line.append(printable(f"  ({', '.join(said)})"), "dim") if said else line


def _listed(entry: Mapping[str, Any], key: str) -> Sequence[Any]:
    """A list in an entry of an input, which nobody has checked."""
    found = entry.get(key)
    return found if isinstance(found, list | tuple) else ()
