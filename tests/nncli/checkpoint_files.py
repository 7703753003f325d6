"""A small network, and files that hold its weights."""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from nncli.architectures import build
from nncli.formats.entry import Entry
from nncli.formats.tensors import write_tensors

SPEC = "mlp:64-32-10"


@cache
def mlp() -> nn.Module:
    return build(SPEC, seed=3).eval()


def images() -> Tensor:
    return torch.rand(5, 64, generator=torch.Generator().manual_seed(0))


def agrees(module: nn.Module, network: nn.Module) -> bool:
    return torch.equal(module(images()), network(images()))


def saved(path: Path, content: object, **settings: bool) -> str:
    torch.save(content, path, **settings)
    return str(path)


def ours(path: Path, weights: dict[str, Tensor], **facts: object) -> str:
    entry = Entry("checkpoint", command=("train",), version="1", facts=facts)
    write_tensors(str(path), {name: one.numpy() for name, one in weights.items()}, entry)
    return str(path)
