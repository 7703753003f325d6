"""Programs that `torch.export.save` wrote (.pt2), read as data.

`torch.export.load` unpickles, evaluates expressions as Python and calls whatever the file names, so
it is no way to read a file of somebody else. The archive itself is plain, though: the graph is
JSON and the weights are raw bytes. This module reads those two and runs nothing but ATen operators;
a file that needs more is refused, and what it needs is named.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nncli.checkpoints.exported_calls import DTYPES, WAY_OUT
from nncli.checkpoints.exported_graph import Archive, graph_of
from nncli.checkpoints.program import Program, program
from nncli.errors import ArtifactError
from nncli.formats.sources import Source


def load_exported(source: Source) -> Program:
    """Read a .pt2 file.

    Args:
        source: The opened file.

    Returns:
        The program. The names of layers are those of the module that was exported; a module that
        did nothing (an identity, dropout in evaluation mode) has left no trace.

    Raises:
        ArtifactError: It is damaged, or needs more than ATen operators on tensors.

    Warns:
        NncliWarning: It has several results.
    """
    try:
        return program(graph_of(_open_archive(source)), source=source.name)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ArtifactError(
            f"`{source.name}` is a damaged torch.export program: {_first_line(error)}",
            hint="export it again, with torch 2.9 or later",
        ) from error
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error) as error:
        raise ArtifactError(f"`{source.name}` is damaged: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    text = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {text}" if isinstance(error, KeyError) or not text else text


def _open_archive(source: Source) -> Archive:
    source.file.seek(0)
    with zipfile.ZipFile(source.file) as archive:
        files = {name.partition("/")[2]: name for name in archive.namelist()}
        if "models/model.json" not in files:
            raise ArtifactError(
                f"`{source.name}` holds compiled code, not a graph"
                if any("aotinductor" in name for name in files)
                else f"`{source.name}` holds no program `models/model.json`",
                hint=WAY_OUT,
            )
        if "byteorder" in files and archive.read(files["byteorder"]) != b"little":
            raise ArtifactError(f"`{source.name}` was written on a big-endian machine")
        model = json.loads(archive.read(files["models/model.json"]))
        return Archive(
            source.name,
            model,
            _tensors(archive, files, "weights", source.name),
            _tensors(archive, files, "constants", source.name),
        )


def _tensors(
    archive: zipfile.ZipFile, files: Mapping[str, str], kind: str, source: str
) -> dict[str, Tensor]:
    """Read the tensors of one folder of the archive: raw bytes, described by a JSON file."""
    listing = files.get(f"data/{kind}/model_{kind}_config.json")
    if listing is None:
        raise ArtifactError(
            f"`{source}` keeps its {kind} as a pickle, as torch before 2.9 did",
            hint="load and save it again with a newer torch, if you trust it",
        )
    found: dict[str, Tensor] = {}
    for name, one in json.loads(archive.read(listing))["config"].items():
        meta = one["tensor_meta"]
        if one["use_pickle"] or meta is None:
            raise ArtifactError(
                f"`{source}`: `{name}` is a pickled Python object, which nncli does not unpickle",
                hint=WAY_OUT,
            )
        data = bytearray(archive.read(files[f"data/{kind}/{one['path_name']}"]))
        flat = torch.frombuffer(data, dtype=DTYPES[meta["dtype"]]) if data else torch.empty(0)
        sizes, strides = (_whole_numbers(meta[key]) for key in ("sizes", "strides"))
        offset = _whole_numbers([meta["storage_offset"]])[0]
        if min(sizes, default=1) == 0:
            found[name] = torch.empty(sizes, dtype=DTYPES[meta["dtype"]])
        else:  # as_strided checks that all of it lies inside the bytes
            found[name] = flat.as_strided(sizes, strides, offset).contiguous()
    return found


def _whole_numbers(sizes: list[dict[str, Any]]) -> list[int]:
    return [int(one["as_int"]) for one in sizes]
