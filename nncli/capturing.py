"""What the layers of a network put out, or take in, caught by hooks in one forward pass."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nncli.errors import ArtifactError, MismatchError
from nncli.forward import Batch, Inputs, run
from nncli.reductions import masked, positions_of, reduce, reduced_shape
from nncli.tracing import Layer, watched


def activations(
    network: nn.Module,
    layers: Sequence[Layer],
    batch: Batch,
    *,
    how: str = "none",
    at: str = "output",
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Run a network on a batch and keep what chosen layers put out; one forward pass for all.

    Args:
        network: The network, in evaluation mode.
        layers: Layers that `trace` found.
        batch: The examples.
        how: A key of `nncli.reductions.REDUCTIONS`.
        at: `output` or `input`.
        dtype: The type of the result.

    Returns:
        For each layer its rows on the CPU, contiguous, in memory of their own.

    Raises:
        MismatchError: A layer was not called as in the trace, or the network cannot take the data.
    """
    wanted = {(layer.module, layer.call): layer for layer in layers}
    caught: dict[str, Tensor] = {}

    def seen(path: str, call: int, tensor: Tensor) -> None:
        if (path, call) in wanted:
            layer = wanted[path, call]
            caught[layer.name] = _rows(tensor, layer, batch, how, dtype)

    modules = {layer.module: network.get_submodule(layer.module) for layer in layers}
    with torch.inference_mode(), watched(modules, at, seen):
        run(network, batch)
    for layer in layers:
        if layer.name not in caught:
            raise MismatchError(
                f"layer `{layer.name}` was called for the first examples, but not for those from "
                f"row {batch.start} on",
                hint="a network whose path depends on the data has no fixed layers: choose others",
            )
    return {layer.name: caught[layer.name] for layer in layers}


def _rows(x: Tensor, layer: Layer, batch: Batch, how: str, dtype: torch.dtype) -> Tensor:
    """One activation as rows of their own: what comes after the layer may work in place."""
    assert layer.axis is not None
    first = x.movedim(layer.axis, 0)
    if first.shape != (len(batch), *layer.shape):
        raise MismatchError(
            f"layer `{layer.name}` puts out {tuple(x.shape)} for {len(batch)} examples from row "
            f"{batch.start} on, expected {layer.shape} for each"
        )
    mask = batch.mask if applies(layer, batch) else None
    rows = reduce(first, how, layer.layout, mask).to("cpu", dtype).contiguous()
    own = rows.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()
    return rows if own else rows.clone()


def applies(layer: Layer, batch: Batch) -> bool:
    """Whether the mask of a batch speaks of the positions of a layer."""
    return batch.mask is not None and masked(layer.shape, layer.layout, batch.mask.shape[1])


def shape_of(layer: Layer, inputs: Inputs, how: str) -> tuple[int, ...]:
    """The shape that a layer will have over all examples, rows first.

    Args:
        layer: The layer.
        inputs: All examples.
        how: The reduction.

    Returns:
        The shape; with `positions` of masked tokens there are as many rows as real tokens.
    """
    rest = reduced_shape(layer.shape, how, layer.layout)
    if how != "positions":
        return (len(inputs), *rest)
    if inputs.mask is not None and masked(layer.shape, layer.layout, inputs.tokens):
        return (int(inputs.mask.sum()), *rest)
    return (len(inputs) * positions_of(layer.shape, layer.layout), *rest)


def layer_facts(layer: Layer, inputs: Inputs, *, order: int, how: str, at: str) -> dict[str, Any]:
    """What the entry of an artifact says of a layer.

    Args:
        layer: The layer.
        inputs: All examples.
        order: Its place among the layers of the file.
        how: The reduction.
        at: `output` or `input`.

    Returns:
        JSON values; `masked` if there is a row for each real token.
    """
    tokens = inputs.tokens if how == "positions" else None
    return {
        "at": at,
        "layout": layer.layout,
        "masked": masked(layer.shape, layer.layout, tokens),
        "module": layer.kind,
        "order": order,
        "reduce": how,
        "shape": list(layer.shape),
    }


def demand_finite(
    caught: Mapping[str, Tensor],
    layers: Sequence[Layer],
    batch: Batch,
    *,
    how: str,
    network: str,
    data: str,
) -> None:
    """Refuse activations that are NaN or infinite.

    Args:
        caught: Rows from `activations`.
        layers: The layers, the first of which to be at fault is named.
        batch: The examples.
        how: The reduction.
        network: What the network is called, for the error.
        data: What the data are called, for the error.

    Raises:
        ArtifactError: There is one; the layer and the first row of the data are named.
    """
    for layer in layers:
        rows = caught[layer.name].numpy()
        with np.errstate(over="ignore", invalid="ignore"):
            total = rows.sum(dtype=np.promote_types(rows.dtype, np.float32))
        if np.isfinite(total):  # NaN and infinity show in a sum; one that overflows is looked into
            continue
        finite = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
        if finite.all():
            continue
        row = int(np.argmin(finite))
        bad = rows[row][~np.isfinite(rows[row])].flat[0]
        place = batch.start + _example_of(row, layer, batch, how)
        narrow = rows.dtype == np.float16
        raise ArtifactError(
            f"layer `{layer.name}` of `{network}` is {float(bad)} for row {place} of `{data}`",
            hint="it may not fit float16: try `--dtype float32`"
            if narrow
            else "did the training diverge, or is the checkpoint damaged?",
        )


def _example_of(row: int, layer: Layer, batch: Batch, how: str) -> int:
    """Which example of a batch a row belongs to."""
    if how != "positions":
        return row
    if batch.mask is not None and applies(layer, batch):
        ends = batch.mask.sum(dim=1).cumsum(dim=0).cpu()
        return int(torch.searchsorted(ends, row, right=True))
    return row // positions_of(layer.shape, layer.layout)
