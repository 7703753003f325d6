"""`nncli merge`: adds up the sums over examples of shards."""

import click

from nncli import options
from nncli.options import lineage
from nncli.options.demands import demand_one_stdin, demand_other_output


@click.command("merge", cls=options.Command)
@click.argument("parts", metavar="PART...", type=options.artifact, nargs=-1, required=True)
@options.output
@options.overwrite
def command(*, parts: tuple[str, ...], output: str, overwrite: bool) -> None:
    """Add up what `nncli compare --partial` wrote of shards of the examples.

    Each PART holds sums over some examples, of the same layers of the same networks; they may be
    sums of sums. A folder stands for the parts inside. What comes out is of the same kind, over all
    the examples, and `nncli compare` gives its measures. The order of the parts does not matter;
    the same examples twice are an error.

    \b
    Examples:
      nncli merge part-0.safetensors part-1.safetensors -o whole.safetensors
      nncli merge part-0.safetensors part-1.safetensors > whole.safetensors
    """
    demand_one_stdin(*parts)

    from contextlib import ExitStack

    from nncli.formats.captures import capture_files
    from nncli.formats.moments import KIND, create_moments, demand_same_origin, open_moments
    from nncli.similarity.sums.packed import add_up, common_shards, in_order, pack

    with ExitStack() as stack:
        opened = []
        files = capture_files(parts)
        demand_other_output(output, files)
        for part in files:
            opened.append(open_moments(part))
            stack.enter_context(opened[-1].file)
        opened = in_order(opened)
        demand_same_origin(opened)
        # recorded in the order of the examples, so that the order given does not change the bytes
        click.get_current_context().params["parts"] = tuple(one.name for one in opened)
        facts = {**opened[0].facts, "shards": common_shards(opened)}
        entry = lineage.entry(KIND, inputs=opened, **facts)
        writer = stack.enter_context(
            create_moments(output, opened[0].file.specs, entry, overwrite=overwrite)
        )
        for name, array in pack(add_up(opened))[0].items():
            writer.write(name, array)
