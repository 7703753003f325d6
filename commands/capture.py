"""`nncli capture`: what the layers of a network put out, over a dataset."""

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from nncli import options
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin
from nncli.options.listings import listing_format
from nncli.options.progress import progress
from nncli.parameters import Choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from nncli.checkpoints import Member, Model
    from nncli.formats.datasets import Dataset
    from nncli.formats.tensors import Array
    from nncli.forward import Batch, Inputs

REDUCTIONS = ["none", "flatten", "mean", "last", "cls", "positions"]
# types of torch and of safetensors; the writer rounds float32 to bfloat16
DTYPES = {
    "float32": ("float32", "F32"),
    "float16": ("float16", "F16"),
    "bfloat16": ("float32", "BF16"),
    "float64": ("float64", "F64"),
}


class Wanted(NamedTuple):
    """What to keep of each network."""

    layers: tuple[str, ...]
    at: str
    reduce: str
    dtype: str
    batch_size: int | None
    limit: int | None = None


@click.command("capture", cls=options.Command)
@click.argument("checkpoint", type=options.artifact)
@options.data
@options.split
@options.limit
@options.arch
@options.layers
@click.option("--list-layers", is_flag=True, help="List the layers there are and run no data.")
@click.option(
    "--at",
    type=Choice(["output", "input"]),
    default="output",
    show_default=True,
    help="What a layer puts out, or what it is given.",
)
@click.option(
    "--reduce",
    type=Choice(REDUCTIONS),
    default="none",
    show_default=True,
    help="What becomes of positions (tokens, places of a map); positions gives each a row.",
)
@options.dtype
@options.device
@options.batch_size
@options.threads
@options.output
@options.table_format
@options.overwrite
def command(
    *,
    checkpoint: str,
    data: str,
    split: str,
    limit: int | None,
    arch: str | None,
    list_layers: bool,
    device: str,
    threads: int | None,
    output: str,
    table_format: str,
    overwrite: bool,
    **wanted: Any,
) -> None:
    """Run CHECKPOINT over a dataset and keep what its layers put out.

    CHECKPOINT is a file of nncli, a state dict with --arch, a torch.export program, an ONNX file or
    a Hugging Face folder. Writes safetensors: a tensor for each layer, named by the path of its
    module, with a row for each example. By default the layers are the blocks of the network and
    what stands beside them (embedding, head).

    A series (a folder with a manifest.parquet, or the manifest) gives a file for each member in the
    folder that -o names.

    \b
    Examples:
      nncli capture checkpoint.safetensors -o a.safetensors
      nncli capture checkpoint.safetensors --list-layers
      nncli capture checkpoint.safetensors --layer 'block.0' --reduce mean -o a.safetensors
      nncli capture checkpoint.safetensors --split test | nncli show -
    """
    from nncli.checkpoints import expand, resolve
    from nncli.errors import UsageError
    from nncli.formats.datasets import load

    demand_one_stdin(checkpoint, data)
    if table_format != "auto" and not list_layers:
        raise UsageError(
            "`--format` is for `--list-layers`; activations are written as safetensors",
            hint="leave it out",
        )
    keep = Wanted(limit=limit, **wanted)
    members = expand([checkpoint])
    if list_layers:
        model = resolve(members[0], arch, device)
        form = listing_format(table_format, output)
        _list(model, keep, data, output, form=form, overwrite=overwrite)
        return
    targets = _targets(checkpoint, members, output, overwrite)
    examples = load(data, split=split, limit=limit)
    for target, member in zip(targets, members, strict=True):
        _capture(resolve(member, arch, device), examples, keep, target, overwrite)


def _targets(
    checkpoint: str, members: "Sequence[Member]", output: str, overwrite: bool
) -> list[str]:
    """Where each capture goes: one to the output, those of a series into a folder."""
    from pathlib import Path

    from nncli.checkpoint_names import short_names
    from nncli.errors import UsageError
    from nncli.formats.writable import demand_tensors

    if [one.name for one in members] == [checkpoint]:
        demand_tensors(output, kind="activations", overwrite=overwrite)
        return [output]
    folder = Path(output)
    if output == "-" or (folder.exists() and not folder.is_dir()):
        raise UsageError(
            f"`{checkpoint}` is a series of {len(members)} checkpoints, each of which gives a file",
            hint="name a folder for them: `-o captures/`",
        )
    folder.mkdir(parents=True, exist_ok=True)
    names = short_names([one.name for one in members])
    targets = [str(folder / f"{name.replace('/', '-')}.safetensors") for name in names]
    for target in targets:
        demand_tensors(target, kind="activations", overwrite=overwrite)
    return targets


def _list(
    model: "Model", keep: Wanted, data: str, output: str, *, form: str, overwrite: bool
) -> None:
    """Write the table of layers; the data are read only where nothing else says their shape."""
    import pyarrow as pa

    from nncli.feeding import device_of, zeros
    from nncli.formats.datasets import load
    from nncli.formats.tables import from_rows, write_table
    from nncli.forward import take
    from nncli.layer_choice import choose_layers
    from nncli.tracing import trace

    texts = [(name, pa.string()) for name in ("layer", "module", "shape", "layout")]
    schema = pa.schema([*texts, ("parameters", pa.int64()), ("chosen", pa.bool_())])
    _demand_inputs(model, keep.at)
    example = take(zeros(model, lambda: load(data, limit=2)), 0, 2, device_of(model))
    layers = trace(model.module, example, at=keep.at)
    chosen = choose_layers(model.module, layers, keep.layers, source=model.name)
    rows = [
        {
            "layer": one.name,
            "module": one.kind,
            "shape": "x".join(map(str, one.shape)) or "1",
            "layout": one.layout,
            "parameters": one.parameters,
            "chosen": one in chosen,
        }
        for one in layers
        if one.axis is not None
    ]
    entry = lineage.entry("table", inputs=[model])
    write_table(output, from_rows(rows, schema), entry, format=form, overwrite=overwrite)


def _demand_inputs(model: "Model", at: str) -> None:
    """Refuse the inputs of layers that are only places in a graph, and have none."""
    from nncli.errors import UsageError

    if at == "input" and model.kind in ("onnx", "torch-export"):
        raise UsageError(
            f"the layers of `{model.name}` are places in a graph and have no input of their own",
            hint="take the output of the layer before",
        )


def _capture(model: "Model", data: "Dataset", keep: Wanted, target: str, overwrite: bool) -> None:
    """Capture one checkpoint into one file: one pass over the data, written while it runs."""
    from concurrent.futures import Future, ThreadPoolExecutor

    import torch

    from nncli.capturing import activations, demand_finite, layer_facts, shape_of
    from nncli.feeding import automatic_batch_size, device_of, inputs_of
    from nncli.formats.safetensors_header import TensorSpec
    from nncli.formats.tensors import create_tensors, spec_of
    from nncli.forward import batches, take
    from nncli.layer_choice import choose_layers, demand_reducible
    from nncli.origins import data_facts, model_facts
    from nncli.tracing import trace

    _demand_inputs(model, keep.at)
    inputs, network, device = inputs_of(model, data), model.module, device_of(model)
    there = trace(network, take(inputs, 0, 2, device), at=keep.at)
    layers = choose_layers(network, there, keep.layers, source=model.name)
    demand_reducible(layers, keep.reduce, inputs.tokens, source=model.name)
    reserved = _reserved(data, inputs, keep.reduce)
    number, kind = DTYPES[keep.dtype]
    specs = {name: spec_of(values) for name, values in reserved.items()}
    specs |= {one.name: TensorSpec(kind, shape_of(one, inputs, keep.reduce)) for one in layers}
    entry = lineage.entry(
        "activations",
        inputs=[model, data],
        n=len(data),
        layers={
            one.name: layer_facts(one, inputs, order=order, how=keep.reduce, at=keep.at)
            for order, one in enumerate(layers)
        },
        model=model_facts(model, lineage.portable),
        data=data_facts(data, keep.limit, lineage.portable),
    )
    dtype = getattr(torch, number)
    size = keep.batch_size or automatic_batch_size(there, device)
    with (
        create_tensors(target, specs, entry, overwrite=overwrite) as writer,
        ThreadPoolExecutor(1) as background,
    ):
        for name, values in reserved.items():
            writer.write(name, values)
        parts = batches(inputs, size, device)
        total, waiting = -(-len(inputs) // size), Future[None]()
        waiting.set_result(None)
        for batch in progress(parts, label=model.name, total=total, unit="batch"):
            caught = activations(network, layers, batch, how=keep.reduce, at=keep.at, dtype=dtype)

            def store(caught: "dict[str, Tensor]" = caught, batch: "Batch" = batch) -> None:
                names = {"network": model.name, "data": data.name}
                demand_finite(caught, layers, batch, how=keep.reduce, **names)
                for name, rows in caught.items():
                    writer.append(name, rows.numpy())

            waiting.result()  # so that two batches are in memory at most
            waiting = background.submit(store)
        waiting.result()


def _reserved(data: "Dataset", inputs: "Inputs", reduce: str) -> "dict[str, Array]":
    """What is known of the examples; the mask where it is needed to read the positions."""
    from nncli.formats.activations import encode_text

    found = {"@example_id": encode_text(data.example_id)}
    if data.y is not None:
        found["@label"] = data.y
    if inputs.mask is not None and reduce in ("none", "flatten", "positions"):
        found["@mask"] = inputs.mask
    return found
