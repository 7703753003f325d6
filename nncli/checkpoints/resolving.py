"""One checkpoint of any kind as a network that is ready to run."""

import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nncli.architectures import build, canonical, input_shape, is_user_code
from nncli.checkpoints.model import Model, pick_device
from nncli.checkpoints.program import Program
from nncli.checkpoints.series import Member, series
from nncli.checkpoints.state_dicts import find_state_dict, suggested_arch
from nncli.errors import ArtifactError, EnvironmentFault, NncliWarning, UsageError
from nncli.formats.entry import Entry, demand_kind
from nncli.formats.series import MANIFEST
from nncli.formats.sources import Source, open_source
from nncli.formats.tensors import TensorFile
from nncli.formats.torch_files import TorchFile
from nncli.formats.unpacking import unpacked

DAMAGE = (NotImplementedError, ValueError, EOFError, OSError)
WANTED = "a checkpoint (safetensors, torch, torch.export, ONNX, or a Hugging Face model folder)"


def resolve(name: str | Member, arch: str | None = None, device: str = "cpu") -> Model:
    """Load a checkpoint.

    Nothing that a file brings along is run: weights are read as numbers, graphs as data. Only an
    `arch` of the form `file.py:Name`, typed by the user, runs that file.

    Args:
        name: A checkpoint of nncli; weights in safetensors, .npz or a file of torch; a
            `torch.export` program; an ONNX file; any of these packed with gzip; a Hugging Face
            model folder; `-`; a member of a series.
        arch: The architecture, for weights that do not say theirs.
        device: Where the network goes in the end: `cpu`, `cuda`, `mps`, `auto`.

    Returns:
        The model, in evaluation mode.

    Raises:
        ArtifactError: The file is missing, damaged or of another kind, or does not fit `arch`.
        UsageError: `arch` or `device` is wrong, or `arch` is missing.
        EnvironmentFault: The device or an extra is not there.
    """
    member = name if isinstance(name, Member) else Member(name)
    target = pick_device(device)
    with open_source(member.name) as opened, unpacked(opened) as source:
        load = LOADERS.get(source.format)
        if load is None:
            raise source.expected(WANTED)
        model = load(source, member, arch)
    try:
        model.module.to(target).eval()
    except (RuntimeError, TypeError) as error:  # no room there, or no such type of number
        reason = str(error).splitlines()[0]
        raise EnvironmentFault(
            f"`{member.name}` cannot be brought to `{target}`: {reason}", hint="use `--device cpu`"
        ) from error
    return model


def _state_dict(source: Source, member: Member, arch: str | None) -> Model:
    from nncli.checkpoints.fitting import load_weights
    from nncli.formats.any_tensors import open_any_tensors

    digest = source.digest
    file = open_any_tensors(source)
    demand_kind(file.entry, "checkpoint", source=source.name)
    spec = _spec(file.entry, member, arch)
    if spec is None:
        raise _nameless(file)
    module = build(spec)
    load_weights(module, file, arch=spec)
    _tell_of_code(file)
    facts = file.entry.facts if file.entry is not None else {}
    return Model(
        module=module,
        name=source.name,
        kind="state-dict",
        digest=digest,
        arch=canonical(spec),
        entry=file.entry,
        input_shape=input_shape(spec),
        factors=dict(facts.get("factors", {})) | member.factors,
    )


def _spec(entry: Entry | None, member: Member, arch: str | None) -> str | None:
    """The architecture: what the user says, else what the file says, else what its series says."""
    said = entry.facts.get("arch") if entry is not None else None
    recorded = str(said or member.arch or "") or None
    if arch is None:
        if recorded is not None and is_user_code(recorded):
            raise UsageError(
                f"`{member.name}` was made with `{recorded}`, which runs only if you name it",
                hint=f"`--arch {recorded}`, if you trust that file",
            )
        if recorded is not None:
            try:
                canonical(recorded)
            except UsageError as error:
                raise ArtifactError(
                    f"`{member.name}` records an architecture that cannot be: {error.message}",
                    hint="give the right one with `--arch`",
                ) from error
        return recorded
    if recorded and not is_user_code(arch) and canonical(arch) != recorded:
        warnings.warn(
            f"`{member.name}` says that it is `{recorded}`; it is read as `{arch}`",
            NncliWarning,
            stacklevel=3,
        )
    return arch


def _nameless(file: TensorFile) -> UsageError:
    """The error for weights that do not say which network they belong to."""
    state = find_state_dict(file, {})
    spec = suggested_arch(state)
    whole = file.inside.contents.foreign if isinstance(file, TorchFile) else ()
    ways = ([f"`--arch {spec}`"] if spec else []) + ["your own class, `--arch model.py:Name`"]
    return UsageError(
        f"`{file.name}` does not say which architecture its weights are for: {state.told()}"
        + (f"; it names Python code (`{whole[0]}`), which nncli does not run" if whole else ""),
        hint=f"give it: {' or '.join(ways)}",
    )


def _tell_of_code(file: TensorFile) -> None:
    code = file.inside.contents.foreign if isinstance(file, TorchFile) else ()
    if code:
        warnings.warn(
            f"`{file.name}` names Python code ({', '.join(f'`{one}`' for one in code[:3])}), which "
            "was not run: only its tensors were read",
            NncliWarning,
            stacklevel=4,
        )


def _onnx(source: Source, member: Member, arch: str | None) -> Model:
    from nncli.checkpoints.onnx_files import load_onnx

    return _graph(load_onnx(source), "onnx", source, member, arch)


def _exported(source: Source, member: Member, arch: str | None) -> Model:
    from nncli.checkpoints.exported import load_exported

    return _graph(load_exported(source), "torch-export", source, member, arch)


def _archive(source: Source, member: Member, arch: str | None) -> Model:
    """Say what a zip archive of no known kind is: cut short, foreign, or of an old torch."""
    # a damaged one raises whatever its bytes suggest
    with suppress(zipfile.BadZipFile, *DAMAGE), zipfile.ZipFile(source.file) as archive:
        if "serialized_exported_program.json" in archive.namelist():
            raise ArtifactError(
                f"`{source.name}` is a torch.export program of torch before 2.8",
                hint="load and save it again with a newer torch, if you trust it",
            )
    raise source.expected(WANTED)


def _graph(module: Program, kind: str, source: Source, member: Member, arch: str | None) -> Model:
    _demand_no_arch(source, arch)
    return Model(
        module=module,
        name=source.name,
        kind=kind,
        digest=source.digest,
        input_shape=module._inputs[0].whole_shape,
        factors=dict(member.factors),
    )


def _demand_no_arch(source: Source, arch: str | None) -> None:
    if arch is not None:
        warnings.warn(
            f"`{source.name}` brings its own network, `--arch {arch}` is not needed for it",
            NncliWarning,
            stacklevel=4,
        )


def _folder(source: Source, member: Member, arch: str | None) -> Model:
    from nncli.checkpoints import huggingface

    folder = Path(source.name)
    if huggingface.is_model_folder(folder):
        _demand_no_arch(source, arch)
        module = huggingface.load_huggingface(folder, name=source.name)
        return Model(
            module=module,
            name=source.name,
            kind="huggingface",
            digest=huggingface.folder_digest(folder, name=source.name),
            input_shape=huggingface.input_shape(module),
            factors=dict(member.factors),
        )
    if (folder / MANIFEST).is_file():
        first = series(str(folder / MANIFEST))[0].name
        raise ArtifactError(
            f"`{source.name}` is a series of checkpoints, one is needed",
            hint=f"name one of its members, such as `{first}`",
        )
    files = sorted(one.name for one in folder.iterdir())
    weights = [one for one in files if one.endswith((".safetensors", ".pt", ".pth", ".onnx"))]
    held = ", ".join(f"`{one}`" for one in files[:3]) or "nothing"
    raise ArtifactError(
        f"the folder `{source.name}` is no checkpoint: it has no `config.json` and no "
        f"`{MANIFEST}`, it holds {held}" + (" ..." if len(files) > 3 else ""),
        hint=f"name a file inside it, such as `{folder / weights[0]}`" if weights else None,
    )


LOADERS: dict[str, Callable[[Source, Member, str | None], Model]] = {
    "safetensors": _state_dict,
    "npz": _state_dict,
    "torch": _state_dict,
    "pickle": _state_dict,
    "torch-export": _exported,
    "onnx": _onnx,
    "folder": _folder,
    "zip": _archive,
}
