"""Tensors in whatever holds them: our own formats, NumPy's, torch's, and folders of shards."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from nncli.errors import ArtifactError
from nncli.formats.sources import Source, open_source
from nncli.formats.tensors import Array, TensorFile, open_tensors

FORMATS = ("safetensors", "npz", "npy", "torch", "torch-export", "pickle")
READABLE = "a file of tensors (safetensors, .npz, .npy, torch) or a Hugging Face model folder"
INDEX = "model.safetensors.index.json"
SHARDS = ("model.safetensors", "diffusion_pytorch_model.safetensors", "adapter_model.safetensors")
BLOCK_ITEMS = 1 << 20


class ShardedFile(TensorFile):
    """The tensors of several files as one.

    Attributes:
        files: The files, opened.
    """

    def __init__(self, source: Source, files: tuple[TensorFile, ...]) -> None:
        super().__init__(source, {})
        self.files = files
        self._owner = {name: file for file in files for name in file.specs}
        self.specs = {name: file.specs[name] for name, file in self._owner.items()}

    @property
    def digest(self) -> str:
        """The SHA-256 of the names and digests of the files, as `sha256:<hex>`."""
        listed = "".join(f"{Path(file.name).name} {file.digest}\n" for file in self.files)
        return f"sha256:{hashlib.sha256(listed.encode()).hexdigest()}"

    def close(self) -> None:
        """Close the files."""
        for file in self.files:
            file.close()

    def _load(self, name: str, start: int, shape: tuple[int, ...]) -> Array:
        return self._owner[name]._load(name, start, shape)


def open_any_tensors(source: str | Source) -> TensorFile:
    """Open whatever holds tensors; code that a file holds is not run.

    Args:
        source: The name as given, or a source that is already open.

    Returns:
        The tensors; closing them closes the source.

    Raises:
        ArtifactError: There are none, or the file is cut short or damaged.
    """
    opened = open_source(source) if isinstance(source, str) else source
    try:
        if opened.folder is not None:
            return _open_folder(opened, opened.folder)
        if opened.format in ("torch", "torch-export", "pickle"):
            from nncli.formats.torch_files import TorchFile

            return TorchFile(opened)
        if opened.format not in FORMATS:
            raise opened.expected(READABLE)
        opened.file.seek(0)
        return open_tensors(opened)
    except BaseException:
        opened.close()
        raise


def weight_files(folder: Path, name: str) -> list[Path]:
    """The files of a Hugging Face model folder that hold its weights, none if it has none.

    Raises:
        ArtifactError: The list of shards is damaged, or names a file that is not there or that
            lies elsewhere.
    """
    index = folder / INDEX
    if not index.is_file():
        return [folder / one for one in SHARDS if (folder / one).is_file()][:1]
    try:
        named = sorted({str(one) for one in json.loads(index.read_bytes())["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ArtifactError(f"`{name}/{INDEX}` is no list of shards: {error}") from error
    for one in named:
        if Path(one).name != one or not (folder / one).is_file():
            raise ArtifactError(f"`{name}/{INDEX}` names the shard `{one}`, which is not there")
    return [folder / one for one in named]


def _open_folder(source: Source, folder: Path) -> TensorFile:
    paths = weight_files(folder, source.name)
    if not paths:
        raise ArtifactError(
            f"the folder `{source.name}` holds no `{SHARDS[0]}`", hint="name a file inside it"
        )
    opened: list[TensorFile] = []
    try:
        opened.extend(open_tensors(str(path)) for path in paths)
    except BaseException:
        for one in opened:
            one.close()
        raise
    return ShardedFile(source, tuple(opened))


def blocks(file: TensorFile, name: str) -> Iterator[Array]:
    """One tensor in pieces of whole rows, about a million numbers each.

    Args:
        file: The file.
        name: The tensor.

    Yields:
        Arrays that together are the tensor.
    """
    shape = file.specs[name].shape
    if not shape:
        yield file.read(name)
        return
    row = max(math.prod(shape[1:]), 1)
    step = max(BLOCK_ITEMS // row, 1)
    for start in range(0, shape[0], step):
        yield file.rows(name, start, start + step)


def numeric(file: TensorFile) -> Mapping[str, tuple[int, ...]]:
    """The tensors that hold numbers which can be read, with their shapes."""
    from nncli.formats.tensors import NUMPY_OF

    known = {*NUMPY_OF, "BF16"}
    return {name: spec.shape for name, spec in file.specs.items() if spec.dtype in known}
