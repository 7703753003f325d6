"""What completion needs to know of a file: names only, read in milliseconds, never an error."""

from collections.abc import Iterable
from pathlib import Path

from nncli.errors import NncliError


def tensor_names(words: Iterable[str]) -> list[tuple[str, str]]:
    """The layers of the first safetensors file among some words of a command line.

    Args:
        words: Words, most of which are no files.

    Returns:
        Pairs of a layer's name and a note of its type and shape (`F32 2x3`: a shell cuts
        descriptions at commas).
    """
    from nncli.formats.safetensors_header import read_header
    from nncli.formats.sources import open_source

    for word in words:
        if not Path(word).is_file():
            continue
        try:
            with open_source(word) as source:
                if source.format == "safetensors":
                    specs = read_header(source).specs
                    return [
                        (name, f"{spec.dtype} {'x'.join(map(str, spec.shape))}")
                        for name, spec in specs.items()
                        if not name.startswith("@")
                    ]
        except (NncliError, OSError):
            continue
    return []


def module_names(words: Iterable[str]) -> list[tuple[str, str]]:
    """The modules of the network in the first safetensors file among some words.

    Args:
        words: Words, most of which are no files.

    Returns:
        Pairs of the path of a module that has parameters, in their order, and an empty note. A
        list of modules (`block` of `block.0`, `block.1`) is no layer and is left out.
    """
    found = {}
    for name, _ in tensor_names(words):
        parts = name.split(".")
        for depth in range(1, len(parts)):
            if not parts[depth].isdigit():
                found[".".join(parts[:depth])] = ""
    return list(found.items())
