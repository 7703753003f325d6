"""Model folders of Hugging Face, through transformers: local files only, none of their code."""

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nncli.errors import ArtifactError, EnvironmentFault, NncliWarning
from nncli.formats.any_tensors import INDEX, weight_files

CONFIG = "config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab*", "*.model")


def is_model_folder(folder: Path) -> bool:
    """Whether a folder looks like one that `save_pretrained` wrote."""
    return (folder / CONFIG).is_file()


def load_huggingface(folder: Path, *, name: str) -> nn.Module:
    """Load a model folder.

    The class is the one that the folder names, out of transformers itself; code in the folder is
    not run, and nothing is fetched. Weights are float32, and attention is written out ("eager"), so
    that its maps can be captured; a kernel that the configuration names would be fetched.

    Args:
        folder: The folder.
        name: The folder as given, for errors.

    Returns:
        The network.

    Raises:
        EnvironmentFault: transformers is not installed.
        ArtifactError: The folder is damaged, or needs code of its own.

    Warns:
        NncliWarning: The folder lacks weights, or holds more than the network has.
    """
    config = _read_config(folder, name)
    if not weight_files(folder, name):
        raise ArtifactError(
            f"`{name}` has a `{CONFIG}` and no `model.safetensors`",
            hint="save it again with `save_pretrained(folder)`",
        )
    transformers = _transformers(name)
    kind = _class(transformers, config, name)
    with _quiet_and_offline(transformers):
        try:
            module, report = kind.from_pretrained(
                str(folder),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                attn_implementation="eager",
                ignore_mismatched_sizes=True,  # they are reported below, with names
                dtype=torch.float32,
                output_loading_info=True,
            )
        except Exception as error:  # whatever a damaged folder makes transformers raise
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ArtifactError(
                f"transformers cannot load `{name}`: {reason}",
                hint="is every file there, and transformers as new as the model?",
            ) from error
    _report(report, name)
    return module  # type: ignore[no-any-return]


def _read_config(folder: Path, name: str) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        if isinstance(config, dict):
            return config
        reason = "it is no JSON object"
    except (ValueError, OSError) as error:
        reason = str(error)
    raise ArtifactError(f"`{name}/{CONFIG}` is damaged: {reason}")


def _transformers(name: str) -> Any:
    try:
        import transformers
    except ImportError:
        raise EnvironmentFault(
            f"`{name}` is a Hugging Face model, and the package `transformers` is not installed",
            hint="pip install 'nncli[huggingface]'",
        ) from None
    return transformers


def _class(transformers: Any, config: dict[str, Any], name: str) -> Any:
    """The class of transformers that the folder was saved from."""
    wanted = next(iter(config.get("architectures") or ()), None)
    found = getattr(transformers, wanted, None) if isinstance(wanted, str) else None
    if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
        return found
    if "auto_map" in config:
        raise ArtifactError(
            f"`{name}` needs Python code that lies in its folder (`auto_map`), which is not run",
            hint="give its weights and your own class: `FOLDER/model.safetensors --arch "
            "model.py:Name`",
        )
    if wanted is not None:
        raise ArtifactError(
            f"`{name}` is a `{wanted}`, which transformers {transformers.__version__} lacks",
            hint="pip install --upgrade transformers",
        )
    return transformers.AutoModel


@contextmanager
def _quiet_and_offline(transformers: Any) -> Iterator[None]:
    """Keep transformers from the network and from writing on standard error."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE  # read from the environment once, at import
    constants.HF_HUB_OFFLINE = True
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
        constants.HF_HUB_OFFLINE = before


def _report(report: dict[str, Any], name: str) -> None:
    """Refuse a folder that lacks weights; say what it has too many of."""
    wrong = [str(one[0]) for one in report.get("mismatched_keys", ())]
    missing = [*sorted(report.get("missing_keys", ())), *wrong]
    if missing:
        rest = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ArtifactError(
            f"`{name}` lacks weights of its own architecture: "
            + ", ".join(f"`{one}`" for one in missing[:3])
            + rest,
            hint="`architectures` in its config.json names a class that its weights are not for",
        )
    extra = sorted(report.get("unexpected_keys", ()))
    if extra:
        shown = ", ".join(f"`{one}`" for one in extra[:3])
        warnings.warn(
            f"`{name}` holds {len(extra)} tensors that its network has no place for: {shown}",
            NncliWarning,
            stacklevel=2,
        )


def folder_digest(folder: Path, *, name: str) -> str:
    """The SHA-256 of what is read from a model folder: its configuration and its weights."""
    digest = hashlib.sha256()
    paths = [folder / CONFIG, *weight_files(folder, name)]
    for path in (*paths, *([folder / INDEX] if (folder / INDEX).is_file() else [])):
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.name}\0{found}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def input_shape(module: nn.Module) -> tuple[int, ...] | None:
    """The shape of one example of an image model; texts have no fixed one."""
    config: Any = module.config
    size, channels = getattr(config, "image_size", None), getattr(config, "num_channels", None)
    return (channels, size, size) if isinstance(size, int) and isinstance(channels, int) else None


def tokenize(
    folder: Path, texts: Sequence[str], *, name: str, length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Turn texts into token ids with the tokenizer of a model folder.

    Args:
        folder: The folder.
        texts: The texts.
        name: The folder as given, for errors.
        length: Most tokens of a text; by default what the model takes.

    Returns:
        Token ids (n, T) and the mask (n, T), True at real tokens; padded to the longest text.

    Raises:
        EnvironmentFault: transformers is not installed.
        ArtifactError: The folder has no tokenizer that can be loaded.
    """
    transformers = _transformers(name)
    # without a file transformers 5 makes up a tokenizer that knows no word
    if not any(next(folder.glob(one), None) for one in TOKENIZER_FILES):
        raise ArtifactError(
            f"`{name}` has no tokenizer",
            hint="save it beside the model: `tokenizer.save_pretrained(folder)`",
        )
    with _quiet_and_offline(transformers):
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
        except Exception as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ArtifactError(
                f"`{name}` has no tokenizer that transformers can load: {reason}",
                hint="save it beside the model: `tokenizer.save_pretrained(folder)`",
            ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    most = length or (tokenizer.model_max_length if tokenizer.model_max_length < 10**6 else None)
    found = tokenizer(
        list(texts),
        padding=True,
        truncation=most is not None,
        max_length=most,
        return_tensors="pt",
    )
    return found["input_ids"], found["attention_mask"].bool()
