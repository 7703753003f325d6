"""One network under one attack at a time, and the files that come of it."""

from typing import TYPE_CHECKING, Any

from nncli.options import lineage
from nncli.options.progress import progress

if TYPE_CHECKING:
    from nncli.attacks.assessing import Assessment
    from nncli.attacks.attack import Attack
    from nncli.commands.attack.runs import Run
    from nncli.origins import Origin


def write(run: "Run") -> None:
    """Measure every network under every attack, and write what was asked for."""
    from contextlib import ExitStack

    from nncli.attacks.summary import label_of
    from nncli.checkpoint_names import short_names
    from nncli.commands.attack.runs import demand_one_dataset
    from nncli.formats.robustness_tables import curve_schema, factor_columns, nearest_schema
    from nncli.formats.tables import create_table, from_rows

    demand_one_dataset(run)
    x = run.examples.x
    assert x is not None
    given, columns = run.given, factor_columns([one.factors for one in run.origins])
    names = short_names([lineage.without_descriptor(one.name) for one in run.origins])
    curve = curve_schema(columns)
    near = nearest_schema(columns, text_ids=run.examples.example_id.dtype.kind == "U")
    entry, replaced = run.entry("table"), {"overwrite": given["overwrite"]}
    with ExitStack() as stack:
        form = given["table_format"]
        opened = create_table(given["output"], curve, entry, format=form, **replaced)
        table, nearest = stack.enter_context(opened), None
        if given["per_example"]:
            opened = create_table(given["per_example"], near, entry, **replaced)
            nearest = stack.enter_context(opened)
        for name, origin in zip(names, run.origins, strict=True):
            for place, attack in enumerate(run.attacks):
                own = {columns[key]: value for key, value in origin.factors.items()}
                keys = {"model_id": name, **own, "attack": label_of(attack), "norm": attack.norm}
                found = _assess(run, origin, attack, name)
                rows = found.rows(x, linear=not place)
                table.write(from_rows((keys | row for row in rows), curve))
                if nearest:
                    ids = run.examples.example_id[found.counted].tolist()
                    known = zip(ids, found.nearest(), strict=True)
                    named = ({"example_id": one, **keys, **row} for one, row in known)
                    nearest.write(from_rows(named, near))
                if given["adversarial"]:
                    _write_adversarial(run, found)


def _assess(run: "Run", origin: "Origin", attack: "Attack", name: str) -> "Assessment":
    """Measure one network under one attack, and warn where it may look too robust."""
    import warnings

    from nncli.attacks.assessing import assess
    from nncli.attacks.measuring import Plan, clean_answers
    from nncli.errors import NncliWarning
    from nncli.feeding import automatic_batch_size, device_of, inputs_of
    from nncli.forward import batches, take
    from nncli.tracing import trace

    examples, model = run.examples, origin.load()
    network, device, inputs = model.module, device_of(model), inputs_of(model, examples)
    size = run.given["batch_size"]
    if size is None:
        size = automatic_batch_size(trace(network, take(inputs, 0, 2, device)), device)

    def stream() -> "Any":
        return progress(
            batches(inputs, size, device),
            label=f"{name} {attack.name}",
            total=-(-len(inputs) // size),
            unit="batch",
        )

    y, names = examples.y, {"name": model.name, "data": examples.name}
    answers = clean_answers(network, stream(), y, attack, **names)
    plan = Plan.of(attack, inputs.x, run.given["radii"], refinements=run.given["refine"])
    source = run.source.load().module if run.source else None
    found = assess(
        network,
        stream,
        answers if y is None or run.given["truth"] == "answer" else y,
        plan,
        queries=run.given["queries"],
        source=source,
        data=examples.name,
    )
    for sign in found.doubts:
        text = f"`{name}` may be less robust than it looks under {attack.name}: {sign}"
        warnings.warn(text, NncliWarning, stacklevel=2)
    return found


def _write_adversarial(run: "Run", found: "Assessment") -> None:
    """The strongest points within the largest radius, as a dataset."""
    from nncli.formats.dataset_writers import write_dataset

    examples, known, rows = run.examples, found.found, found.counted
    y = found.y if examples.y is None else examples.y
    factors = {name: one[rows] for name, one in examples.factors.items()}
    write_dataset(
        run.given["adversarial"],
        known.strongest,
        y[rows],
        example_id=examples.example_id[rows],
        factors=factors | found.factors,
        entry=run.entry("dataset", class_names=examples.class_names),
        overwrite=run.given["overwrite"],
    )
