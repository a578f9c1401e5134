"""What columns mean, from their types and from what a pass over them found. All can be overridden."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from orrery.data.codecs import audio, image, tensor, video
from orrery.data.profile import ColumnProfile, Profile
from orrery.features.geo import is_number, place_pairs
from orrery.features.nested import place_names
from orrery.schema import Field, Kind, Schema

MOST_CLASSES = 20
"""A target of whole numbers with at most so many different values is a category."""
WORDS = 3.0
"""A column of strings with at least so many words on average is text."""

_KEY_ROWS = 20  # fewer rows do not tell a key from a value
_KEY_NAME = re.compile(
    r"(^|[_\s.-])((?i:id|ids|uid|uuid|guid|key|rowid|index)|编号|序号)$|^Unnamed: 0$|[a-z]I[dD]$"
)


@dataclass(frozen=True)
class Inferred:
    """The kind of each column that is known, and why some columns are not learnt from."""

    kinds: dict[str, Kind]
    """The target's too; KEY for what only names a row."""
    left_out: dict[str, str]
    """Column -> why. None of them is in ``kinds``."""

    @property
    def notes(self) -> list[str]:
        """What was left out and why, a line each."""
        keys = [f"{n!r} is left out: it names rows." for n, kind in self.kinds.items() if kind is Kind.KEY]
        return keys + [f"{name!r} is left out: {why}." for name, why in self.left_out.items()]


def infer(
    schema: Schema,
    profile: Profile,
    target: str,
    given: Mapping[str, Kind],
    ignore: Collection[str] = (),
    head: pa.Table | None = None,
) -> Inferred:
    """The kind of every column but the ignored ones. ``given`` and kinds in the schema are not questioned.

    ``head`` are some rows, looked at where the profile tells no values.
    """
    kinds: dict[str, Kind] = {}
    left_out: dict[str, str] = {}
    degrees = _degrees(schema, profile, {target, *given, *ignore})
    for field in schema.each():
        if field.name in ignore:
            continue
        column = profile[field.name]
        said = given.get(field.name) or field.kind
        if field.name == target:
            # That a column names rows says nothing of how to predict it.
            kinds[target] = said if said and said is not Kind.KEY else target_kind(field, column)
        elif column.missing == column.rows:
            left_out[field.name] = "it is missing in every row"
        elif said:
            kinds[field.name] = said
        elif column.distinct <= 1 and not column.missing:
            left_out[field.name] = "it holds one value only"
        else:
            values: Sequence[object] = [value for value, _ in column.top]
            if not values and head is not None:
                values = head.column(field.name).to_pylist()
            kind = Kind.GEO if field.name in degrees else input_kind(field, column, values)
            if kind is None:
                left_out[field.name] = f"nothing is learnt from values of type {field.type}"
            else:
                kinds[field.name] = kind
    return Inferred(kinds, left_out)


def target_kind(field: Field, column: ColumnProfile) -> Kind:
    """What the column to predict means: few whole numbers are classes, many are a quantity."""
    kind = field.arrow().type
    if pa.types.is_integer(kind):
        few = column.distinct <= 2 or column.distinct <= min(MOST_CLASSES, column.rows // 3)
        return Kind.CATEGORY if few else Kind.NUMBER
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Kind.CATEGORY if column.distinct <= 2 else Kind.NUMBER
    if _is_list(kind):
        return Kind.LABELS if _is_text(kind.value_type) else Kind.VECTOR
    return Kind.CATEGORY


def input_kind(field: Field, column: ColumnProfile, values: Sequence[object] = ()) -> Kind | None:
    """What a column to learn from means, seen some values; None where nothing is learnt of it."""
    kind = field.arrow().type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if isinstance(kind, pa.BaseExtensionType):
        return _EXTENSIONS.get(kind.extension_name)
    if pa.types.is_boolean(kind):
        return Kind.CATEGORY
    if pa.types.is_integer(kind):
        return Kind.KEY if _is_key(field, column) or _counts_up(column) else Kind.NUMBER
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Kind.NUMBER
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Kind.DATETIME
    if _is_text(kind):
        return _string_kind(field, column, [v for v in values if isinstance(v, str)])
    if _is_bytes(kind):
        return Kind.IMAGE if (column.pictures or 0.0) >= 0.5 else _bytes_kind(values)
    if _is_list(kind):
        return _list_kind(kind.value_type, column)
    return _members_kind(kind, values)


_EXTENSIONS = {
    "arrow.fixed_shape_tensor": Kind.TENSOR,
    "arrow.uuid": Kind.KEY,
    "arrow.bool8": Kind.NUMBER,
}
_MEDIA: dict[Kind, Callable[[bytes], bool]] = {
    Kind.IMAGE: image.is_picture,
    Kind.AUDIO: audio.is_audio,
    Kind.VIDEO: video.is_video,
    Kind.TENSOR: tensor.is_npy,
}


def _bytes_kind(values: Sequence[object]) -> Kind | None:
    """What most of some values are, by how they begin."""
    present = [v for v in values if isinstance(v, bytes)]
    for kind, begins in _MEDIA.items():
        if present and 2 * sum(map(begins, present)) >= len(present):
            return kind
    return None


def _members_kind(kind: Any, values: Sequence[object]) -> Kind | None:
    """Maps, and structs that are known: places, tensors of many shapes, bytes beside their path."""
    if pa.types.is_map(kind):
        item = kind.item_type
        return Kind.MAP if _is_text(item) or is_number(item) or pa.types.is_boolean(item) else None
    if not pa.types.is_struct(kind):
        return None
    members = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
    if len(members) == 2 and place_names(members) and all(map(is_number, members.values())):
        return Kind.GEO
    if "bytes" in members and _is_bytes(members["bytes"]):
        return _bytes_kind([v.get("bytes") for v in values if isinstance(v, dict)])
    return Kind.TENSOR if set(members) == {"data", "shape"} else None


def _degrees(schema: Schema, profile: Profile, said: Collection[str]) -> set[str]:
    """Columns of latitudes and longitudes, by their names and their range."""
    free = [f.name for f in schema.each() if f.name not in said and is_number(f.arrow().type) and not f.kind]
    found: set[str] = set()
    for pair in place_pairs(free):
        columns = [profile[name] for name in pair]
        if all(_within(c, most) and c.distinct > 1 for c, most in zip(columns, (90, 360), strict=True)):
            found.update(pair)
    return found


def _within(column: ColumnProfile, most: float) -> bool:
    low, high = column.minimum, column.maximum
    return low is not None and high is not None and -most <= low and high <= most


def _string_kind(field: Field, column: ColumnProfile, values: Sequence[str]) -> Kind:
    if values and all(map(_is_date, values)):
        return Kind.DATETIME
    words = column.words or 0.0
    if words >= WORDS:
        return Kind.TEXT
    # Every row another single word: a name of the row.
    share = 0.99 if column.distinct_exact else 0.95
    unique = column.distinct >= share * (column.rows - column.missing) and column.rows >= _KEY_ROWS
    if unique and words <= 1.0:
        return Kind.KEY
    return Kind.KEY if _is_key(field, column) else Kind.CATEGORY


def _list_kind(item: Any, column: ColumnProfile) -> Kind | None:
    if _is_text(item):
        return Kind.LABELS
    if _is_list(item):
        while _is_list(item):
            item = item.value_type
        return Kind.TENSOR if is_number(item) else None
    if is_number(item) and column.width is not None:
        return Kind.VECTOR
    if pa.types.is_integer(item):
        return Kind.LABELS
    return Kind.SERIES if is_number(item) else None


def _is_key(field: Field, column: ColumnProfile) -> bool:
    """Named like a key, and nearly every value occurs once."""
    named = _KEY_NAME.search(field.name) is not None
    unique = column.distinct >= 0.9 * column.rows and column.rows >= _KEY_ROWS
    return named and unique and not column.missing


def _counts_up(column: ColumnProfile) -> bool:
    """Each whole number of a range exactly once: the numbers of the rows."""
    if column.missing or column.rows < 2 * _KEY_ROWS or column.minimum is None or column.maximum is None:
        return False
    exactly_once = column.distinct == column.rows and column.distinct_exact
    return exactly_once and bool(column.maximum - column.minimum + 1 == column.rows)


def _is_date(value: str) -> bool:
    try:
        dt.datetime.fromisoformat(value)
    except ValueError:
        return False
    return "-" in value  # fromisoformat also takes plain digits, which are numbers


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_bytes(kind: Any) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _is_list(kind: Any) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
