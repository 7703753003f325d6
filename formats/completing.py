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
