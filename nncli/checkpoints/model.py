"""What becomes of a checkpoint: a network that is ready to run, and where it came from."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from nncli.errors import EnvironmentFault, UsageError
from nncli.formats.entry import Entry


@dataclass(frozen=True)
class Model:
    """A network and its origin.

    Attributes:
        module: The network, in evaluation mode, on the device that was asked for.
        name: The checkpoint as given.
        kind: Where it came from: `state-dict`, `torch-export`, `onnx` or `huggingface`.
        digest: SHA-256 of the checkpoint; of a folder, of the files that were read.
        arch: The architecture spec, `None` for checkpoints that bring their network.
        entry: What the checkpoint says of itself, `None` for a foreign one.
        input_shape: Shape of one example, without the batch; `None` where it is not known.
        factors: What tells it from the other members of its series: seed, step, ...
    """

    module: nn.Module
    name: str
    kind: str
    digest: str
    arch: str | None = None
    entry: Entry | None = None
    input_shape: tuple[int, ...] | None = None
    factors: dict[str, Any] = field(default_factory=dict)


def pick_device(name: str) -> torch.device:
    """The device of a name.

    Args:
        name: `cpu`, `cuda`, `cuda:1`, `mps`, or `auto` for the best there is.

    Returns:
        The device, which is there.

    Raises:
        UsageError: It is no name of a device.
        EnvironmentFault: This machine has no such device.
    """
    if name == "auto":
        return torch.device(
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdecimal()):
        raise UsageError(f"there is no device `{name}`", hint="one of cpu, cuda, cuda:1, mps, auto")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise EnvironmentFault(
            f"this machine has {torch.cuda.device_count()} CUDA devices that torch can use, "
            f"`{name}` is not among them",
            hint="use `--device cpu` or `auto`, or install a torch built for CUDA",
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise EnvironmentFault("this machine has no device `mps`", hint="use `--device cpu`")
    return torch.device(name)
