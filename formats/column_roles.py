"""Which column of a table plays which part in a dataset, by its name and type.

One rule for Parquet, Arrow, CSV, JSON lines and Hugging Face datasets:

- `y`, `label`, `labels`, `target` or `targets` is the label;
- `example_id`, `split`, `mask` (or `attention_mask`) are what they say;
- the inputs are a column of lists, tensors or images: one called as in `INPUT_NAMES`, else the
  only one;
- `text` (or `sentence`) is the text; without inputs, numbers and such a name, the only column of
  text;
- without either, the columns of numbers are the features, in their order, except those that number
  the rows (`id`, `idx`, `index`, no name) and those called `factor_...`;
- all other columns of single values are factors, `factor_` taken off their names.
"""

import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import types

from nncli.errors import ArtifactError, NncliWarning
from nncli.formats.dataset_rows import FACTOR_PREFIX, MASK_NAMES
from nncli.formats.labels import LABEL_NAMES

INPUT_NAMES = ("x", "image", "img", "images", "features", "inputs", "pixel_values", "input_ids")
TEXT_NAMES = ("text", "sentence")
ROW_NUMBERS = ("", "id", "idx", "index", "Unnamed: 0", "__index_level_0__")


@dataclass(frozen=True)
class Roles:
    """The columns of a dataset.

    Attributes:
        inputs: The column of lists, tensors or images.
        features: Or the columns of numbers that make up the inputs together.
        text: The column of text.
        label: The column of labels.
        example_id: The column of ids.
        split: The column of splits.
        mask: The column of attention masks.
        factors: Name of each factor and its column.
        class_names: Names of the classes, where the schema knows them.
    """

    inputs: str | None
    features: tuple[str, ...]
    text: str | None
    label: str | None
    example_id: str | None
    split: str | None
    mask: str | None
    factors: dict[str, str]
    class_names: tuple[str, ...] | None

    @property
    def deciding(self) -> list[str]:
        """The columns that decide on the rows: label and split."""
        return [one for one in (self.label, self.split) if one is not None]


def choose_columns(schema: pa.Schema, *, source: str) -> Roles:
    """Choose the columns of a dataset.

    Args:
        schema: Names and types of the columns.
        source: The source, for errors.

    Returns:
        The columns by role.

    Raises:
        ArtifactError: No column can be the inputs, or several can be one thing.
    """
    repeated = {name for name in schema.names if schema.names.count(name) > 1}
    if repeated:
        raise ArtifactError(f"`{source}` has more than one column `{min(repeated)}`")
    label = _one_of(schema.names, LABEL_NAMES, "the label", source)
    mask = _one_of(schema.names, MASK_NAMES, "the mask", source)
    example_id = _one("example_id", schema, lambda kind: is_number(kind) or is_text(kind))
    split = _one("split", schema, is_text)
    taken = {label, mask, example_id, split}
    free = [field for field in schema if field.name not in taken]
    inputs = _choose_inputs([one.name for one in free if is_array(one.type)], source)
    text = _choose_text(free, inputs)
    features = () if inputs or text else tuple(one.name for one in free if _is_feature(one))
    if not (inputs or text or features):
        raise ArtifactError(
            f"`{source}` holds no inputs; its columns are {_listing(schema.names)}",
            hint="inputs are a column `x` of lists or images, `text`, or columns of numbers",
        )
    rest = [one for one in free if one.name not in {inputs, text, *features}]
    return Roles(
        inputs=inputs,
        features=features,
        text=text,
        label=label,
        example_id=example_id,
        split=split,
        mask=mask,
        factors=_name_factors(rest, source),
        class_names=_class_names(schema, label),
    )


def _one(name: str, schema: pa.Schema, fits: Callable[[pa.DataType], bool]) -> str | None:
    return name if name in schema.names and fits(schema.field(name).type) else None


def _one_of(names: Sequence[str], wanted: Iterable[str], what: str, source: str) -> str | None:
    found = [name for name in wanted if name in names]
    if len(found) > 1:
        raise ArtifactError(
            f"`{source}` has the columns {_listing(found)}, each could be {what}",
            hint=f"keep one, or call the other `{FACTOR_PREFIX}{found[1]}`",
        )
    return found[0] if found else None


def _choose_inputs(arrays: Sequence[str], source: str) -> str | None:
    for name in INPUT_NAMES:
        if name in arrays:
            return name
    if len(arrays) > 1:
        raise ArtifactError(
            f"`{source}` has several columns of lists or images: {_listing(arrays)}",
            hint="call the one that holds the inputs `x`",
        )
    return arrays[0] if arrays else None


def _choose_text(free: Sequence[pa.Field], inputs: str | None) -> str | None:
    texts = [one.name for one in free if is_text(one.type)]
    for name in TEXT_NAMES:
        if name in texts:
            return name
    plain = [name for name in texts if not name.startswith(FACTOR_PREFIX)]
    alone = len(plain) == 1 and not inputs and not any(_is_feature(one) for one in free)
    return plain[0] if alone else None


def _name_factors(rest: Sequence[pa.Field], source: str) -> dict[str, str]:
    factors: dict[str, str] = {}
    left_out = []
    for one in rest:
        name = one.name.removeprefix(FACTOR_PREFIX) or one.name
        if not (is_number(one.type) or is_text(one.type) or types.is_temporal(one.type)):
            left_out.append(one.name)
        elif name in factors:
            raise ArtifactError(f"`{source}` has `{factors[name]}` and `{one.name}`: one factor")
        else:
            factors[name] = one.name
    if left_out:
        warnings.warn(
            f"{_listing(left_out)} in `{source}` left out: not single values",
            NncliWarning,
            stacklevel=2,
        )
    return factors


def _class_names(schema: pa.Schema, label: str | None) -> tuple[str, ...] | None:
    """The class names that Hugging Face `datasets` writes into Arrow and Parquet schemas."""
    try:
        kept = json.loads((schema.metadata or {})[b"huggingface"])
        return tuple(kept["info"]["features"][label]["names"])
    except (KeyError, TypeError, ValueError):
        return None


def _is_feature(field: pa.Field) -> bool:
    named = field.name in ROW_NUMBERS or field.name.startswith(FACTOR_PREFIX)
    return is_number(field.type) and not named


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type holds one number a row."""
    return _is_any(kind, types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds one text a row."""
    if types.is_dictionary(kind):
        return is_text(kind.value_type)
    return _is_any(kind, types.is_string, types.is_large_string, types.is_string_view)


def is_encoded(kind: pa.DataType) -> bool:
    """Whether a column of this type holds files: bytes, or the Hub's struct of bytes and path."""
    if types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return _is_any(kind, types.is_binary, types.is_large_binary)


def is_array(kind: pa.DataType) -> bool:
    """Whether a column of this type holds a list, a tensor or an image a row."""
    if isinstance(kind, pa.BaseExtensionType):
        return is_array(kind.storage_type)
    if is_encoded(kind):
        return True
    if not _is_any(kind, types.is_list, types.is_large_list, types.is_fixed_size_list):
        return False
    return is_number(kind.value_type) or is_array(kind.value_type)


def _is_any(kind: pa.DataType, *tests: Callable[[Any], bool]) -> bool:
    return any(test(kind) for test in tests)


def _listing(names: Sequence[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(f"`{name}`" for name in names[:12]) + more
