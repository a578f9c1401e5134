"""Columns: names, Arrow types, kinds, shapes. What a table has and what a model asks for.

The *type* is how values are stored (``int64``, ``binary``); the *kind* is what they mean (``image``,
``category``), which decides how they become features.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

import pyarrow as pa

from orrery.errors import SchemaError, UnknownColumnError
from orrery.spec import Spec


class Kind(StrEnum):
    """What the values of a column mean."""

    NUMBER = "number"
    CATEGORY = "category"
    TEXT = "text"
    DATETIME = "datetime"
    IMAGE = "image"
    VECTOR = "vector"
    LABELS = "labels"  # several categories in one row: a list of strings
    KEY = "key"  # names a row: kept beside predictions, never learnt from


class Field(Spec):
    """One column.

    >>> Field(name="age", type="int64", kind="number").arrow()
    pyarrow.Field<age: int64>
    """

    name: str
    type: str
    """The Arrow type, as Arrow prints it: ``int64``, ``list<item: float>``, ``timestamp[us, tz=UTC]``."""
    kind: Kind | None = None
    nullable: bool = True
    shape: tuple[int, ...] | None = None
    """Of one value, where it has a fixed one: ``(784,)`` for a vector, ``(8, 8)`` for a picture."""

    @classmethod
    def of(cls, field: Any) -> Self:
        """From an Arrow field; the kind comes from its metadata where there is one."""
        meta = field.metadata or {}
        kind = meta.get(b"orrery.kind")
        shape = meta.get(b"orrery.shape")
        return cls(
            name=field.name,
            type=str(field.type),
            kind=Kind(kind.decode()) if kind else None,
            nullable=field.nullable,
            shape=tuple(int(n) for n in shape.split(b",") if n) if shape else None,
        )

    def arrow(self) -> Any:
        """The Arrow field, kind and shape in its metadata."""
        meta = {}
        if self.kind is not None:
            meta["orrery.kind"] = self.kind.value
        if self.shape is not None:
            meta["orrery.shape"] = ",".join(str(n) for n in self.shape)
        return pa.field(self.name, parse_type(self.type), self.nullable, meta or None)


class Schema(Spec):
    """The columns of a table, in order; names are unique.

    >>> s = Schema.of(pa.schema({"a": pa.int64(), "b": pa.string()}))
    >>> s.names
    ('a', 'b')
    >>> s["b"].type
    'string'
    """

    fields: tuple[Field, ...] = ()

    @classmethod
    def of(cls, schema: Any) -> Self:
        """From an Arrow schema. Raises SchemaError where two columns have one name."""
        names = schema.names
        twice = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise SchemaError(
                f"Two columns have the same name: {', '.join(map(repr, twice))}.", hint="Rename one of them."
            )
        return cls(fields=tuple(Field.of(field) for field in schema))

    def arrow(self) -> Any:
        """The Arrow schema."""
        return pa.schema([field.arrow() for field in self.fields])

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(field.name for field in self.fields)

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    def __getitem__(self, name: str) -> Field:
        if name not in self._by_name:
            raise UnknownColumnError(name, self.names)
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __len__(self) -> int:
        return len(self.fields)

    def each(self) -> Iterator[Field]:
        """The fields, in order."""
        return iter(self.fields)

    def select(self, names: tuple[str, ...] | list[str]) -> Schema:
        """Some columns, in the order asked for. Raises UnknownColumnError."""
        return Schema(fields=tuple(self[name] for name in names))

    def without(self, *names: str) -> Schema:
        """All columns but some."""
        return Schema(fields=tuple(f for f in self.fields if f.name not in names))

    def with_kinds(self, kinds: dict[str, Kind]) -> Schema:
        """The same columns with some kinds set. Raises UnknownColumnError."""
        for name in kinds:
            _ = self[name]
        return Schema(
            fields=tuple(f.replace(kind=kinds[f.name]) if f.name in kinds else f for f in self.fields)
        )


_PLAIN: dict[str, Any] = {
    **{str(kind): kind for kind in (pa.null(), pa.bool_(), pa.date32(), pa.date64())},
    **{name: getattr(pa, name)() for name in ("int8", "int16", "int32", "int64")},
    **{name: getattr(pa, name)() for name in ("uint8", "uint16", "uint32", "uint64")},
    **{name: getattr(pa, name)() for name in ("string", "large_string", "string_view", "utf8", "large_utf8")},
    **{name: getattr(pa, name)() for name in ("binary", "large_binary", "binary_view")},
    **{name: getattr(pa, name)() for name in ("float16", "float32", "float64", "bool_", "date32", "date64")},
    **{"halffloat": pa.float16(), "float": pa.float32(), "double": pa.float64()},
    "month_day_nano_interval": pa.month_day_nano_interval(),
}
_MOST_TEXT = 1 << 20
_MOST_DEPTH = 16
_MOST_WIDTH = 1_000_000
"""Values, or bytes, that one row of a type of fixed size may hold."""


def parse_type(text: str) -> Any:
    """The Arrow type that Arrow prints as ``text``. Raises SchemaError for what Orrery does not store.

    >>> parse_type("list<item: fixed_size_list<item: float>[3]>")
    ListType(list<item: fixed_size_list<item: float>[3]>)
    """
    try:
        made = _parse(text, 0)
        fits = _width(made) <= _MOST_WIDTH
    except (ValueError, TypeError, KeyError, pa.ArrowException):
        made, fits = None, True
    if not fits:
        raise SchemaError(f"{text[:200]!r} holds more than {_MOST_WIDTH} values in each row.")
    if made is None:
        raise SchemaError(
            f"{text[:200]!r} is not a type that Orrery stores.", hint="Use the name that Arrow prints."
        )
    return made


def _parse(text: str, depth: int) -> Any:
    """One type. Raises ValueError, KeyError and what Arrow raises."""
    text = text.strip()
    if text in _PLAIN:
        return _PLAIN[text]
    if depth == _MOST_DEPTH or len(text) > _MOST_TEXT:
        raise ValueError("too deep, or too long")
    nested = re.fullmatch(
        r"(large_list|list|fixed_size_list)<\w*: (.+?)(?: not null)?>(?:\[(\d{1,7})\])?", text
    )
    if nested:
        inner = _parse(nested[2], depth + 1)
        if nested[1] == "fixed_size_list":
            return pa.list_(inner, int(nested[3]))
        return pa.large_list(inner) if nested[1] == "large_list" else pa.list_(inner)
    if found := re.fullmatch(r"dictionary<values=(.+), indices=(\w+), ordered=([01])>", text):
        return pa.dictionary(_parse(found[2], depth + 1), _parse(found[1], depth + 1), found[3] == "1")
    if found := re.fullmatch(r"struct<(.*)>", text):
        return pa.struct([_parse_member(part, depth + 1) for part in _split_top(found[1])])
    if found := re.fullmatch(r"map<(.+)>", text):
        key, value = _split_top(found[1])[:2]
        return pa.map_(_parse(key, depth + 1), _parse(value, depth + 1))
    return _parse_sized(text)


def _parse_sized(text: str) -> Any:
    """Types with a unit or a size."""
    if found := re.fullmatch(r"timestamp\[(s|ms|us|ns)(?:, tz=([\w/:+-]{1,100}))?\]", text):
        return pa.timestamp(found[1], found[2])
    if found := re.fullmatch(r"(duration|time32|time64)\[(s|ms|us|ns)\]", text):
        sized: dict[str, Any] = {"duration": pa.duration, "time32": pa.time32, "time64": pa.time64}
        return sized[found[1]](found[2])
    if found := re.fullmatch(r"decimal(128|256)\((\d{1,2}), (-?\d{1,2})\)", text):
        return (pa.decimal128 if found[1] == "128" else pa.decimal256)(int(found[2]), int(found[3]))
    if found := re.fullmatch(r"fixed_size_binary\[(\d{1,7})\]", text):
        return pa.binary(int(found[1]))
    raise ValueError("no such type")


def _parse_member(text: str, depth: int) -> Any:
    name, _, rest = text.partition(": ")
    plain = rest.removesuffix(" not null")
    return pa.field(name, _parse(plain, depth), nullable=plain == rest)


def _width(kind: Any) -> int:
    """How many values, or bytes, each row of a type takes, whatever is in it."""
    inner = sum(_width(kind.field(i).type) for i in range(kind.num_fields))
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * max(inner, 1)
    if pa.types.is_fixed_size_binary(kind) and not pa.types.is_decimal(kind):
        return int(kind.byte_width)
    return max(inner, 1)


def _split_top(text: str) -> list[str]:
    """Split at commas that are not inside brackets."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "<[(") - (c in ">])")
        if c == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    return [*parts, text[start:].strip()] if text.strip() else []
